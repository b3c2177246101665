-- What a browser's newer sign-in and a withdrawn consent reach. The conventions are those of 0001.

-- The session that took this one's place in the same browser, of the same person: a code that was on its way then
-- belongs to that one, and ends with it.
ALTER TABLE browser_sessions ADD COLUMN replaced_by INTEGER;

-- The web origins of services that were registered before 0005, as `data/redirect_origins.rs` writes them: scheme and
-- authority in lower case, without the default port, a loopback address without any port.
INSERT INTO redirect_origins (origin, service_id)
SELECT DISTINCT
    CASE
        WHEN origin LIKE 'http://[::1]%' THEN 'http://[::1]'
        WHEN origin = 'http://127.0.0.1' OR origin LIKE 'http://127.0.0.1:%' THEN 'http://127.0.0.1'
        WHEN origin LIKE 'http://%:80' THEN substr(origin, 1, length(origin) - 3)
        WHEN origin LIKE 'https://%:443' THEN substr(origin, 1, length(origin) - 4)
        ELSE origin
    END,
    service_id
FROM (
    SELECT
        s.id AS service_id,
        lower(substr(uri.value, 1, instr(uri.value, '://') + 1 + instr(substr(uri.value, instr(uri.value, '://') + 3) || '/', '/')))
            AS origin
    FROM services s, json_each(s.redirect_uris) uri
    WHERE s.deleted_at IS NULL
        AND instr(uri.value, '?') = 0
        AND (lower(uri.value) LIKE 'https://%' OR lower(uri.value) LIKE 'http://%')
)
WHERE true
ON CONFLICT (origin, service_id) DO NOTHING;
