-- What the endpoints of tokens and sessions need. The conventions are those of 0001.

-- Access tokens that were revoked one by one (RFC 7009), by their `jti`. A row is of use until its token expires, and
-- leaves by the door through which new ones come in. The ids are UUIDs of version 7, so the key grows at its end.
CREATE TABLE revoked_access_tokens (
    jti        TEXT    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- From which device and place somebody signed in, how the provider knew them (`amr`, a JSON array, RFC 8176), and when
-- the session was last used. `last_used_at` is gathered in memory and written in batches: it may be minutes behind.
ALTER TABLE sessions ADD COLUMN user_agent   TEXT    NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN ip_address   TEXT    NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN amr          TEXT    NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN last_used_at INTEGER;

ALTER TABLE device_codes ADD COLUMN amr TEXT NOT NULL DEFAULT '[]';

-- The web origins of registered redirect URIs: from where a page may call the endpoints of tokens (CORS). A loopback
-- address stands here without its port, because a redirect there may name any (RFC 8252, section 7.3).
CREATE TABLE redirect_origins (
    origin     TEXT    NOT NULL,
    service_id INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    PRIMARY KEY (origin, service_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX redirect_origins_service ON redirect_origins (service_id);
