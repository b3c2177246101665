-- What is written at high rates carries no index that its writes pay for and hardly anybody reads. The conventions are
-- those of 0001.

-- RFC 8628. A user code follows from the row's id and from when it was made, for who holds the key (crypto/user_codes.rs),
-- so no index leads from a code to its row, and rows are written one behind the other. AUTOINCREMENT, because an id that
-- came a second time would bring back a user code that somebody knows. `user_code_hash` is set in rows from before only,
-- so that devices that wait at the update are found; nothing writes it any more.
--
--   pending --sign-in binds user_id--> pending --approve--> approved --poll--> redeemed --poll again--> session ends
--   pending --deny--> denied
CREATE TABLE device_codes_0019 (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    secret_hash      BLOB    NOT NULL,
    user_code_hash   BLOB,
    org_id           INTEGER NOT NULL REFERENCES organizations (id),
    service_id       INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    scope            TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'redeemed')),
    requested_from   TEXT    NOT NULL,
    user_agent       TEXT    NOT NULL,
    user_id          INTEGER REFERENCES users (id) ON DELETE CASCADE,
    provider         TEXT,
    authenticated_at INTEGER,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    session_id       INTEGER REFERENCES sessions (id) ON DELETE SET NULL,
    amr              TEXT    NOT NULL DEFAULT '[]'
) STRICT;

INSERT INTO device_codes_0019 (id, secret_hash, user_code_hash, org_id, service_id, scope, status, requested_from,
    user_agent, user_id, provider, authenticated_at, created_at, expires_at, session_id, amr)
SELECT id, secret_hash, user_code_hash, org_id, service_id, scope, status, requested_from,
    user_agent, user_id, provider, authenticated_at, created_at, expires_at, session_id, amr
FROM device_codes;

DROP TABLE device_codes;
ALTER TABLE device_codes_0019 RENAME TO device_codes;

CREATE INDEX device_codes_session ON device_codes (session_id) WHERE session_id IS NOT NULL;
CREATE UNIQUE INDEX device_codes_user_code ON device_codes (user_code_hash) WHERE user_code_hash IS NOT NULL;

-- Only a replay by name asked for it, and finds the event of each organization by (org_id, event_id).
DROP INDEX stripe_events_by_name;
