-- The hosted sign-in of a browser, and what people consent to. The conventions are those of 0001.

-- A browser that signed in at a provider stays signed in to that realm: one sign-in for all services of an organization.
-- The cookie carries the row's id and a secret. `expires_at` moves on with every use, up to a bound that
-- `authenticated_at` sets. `amr` is a JSON array (RFC 8176). Rows leave oldest first, and the newest always stays, so
-- that an id never comes back and `browser_session_id` in other tables always names the right one.
--
--   live --used for another service--> live (expires_at moves on)
--   live --logout, a newer sign-in of the same browser, revocation, erasure, suspension--> ended (ended_at set)
CREATE TABLE browser_sessions (
    id               INTEGER PRIMARY KEY,
    secret_hash      BLOB    NOT NULL,
    org_id           INTEGER NOT NULL REFERENCES organizations (id),
    user_id          INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider         TEXT    NOT NULL,
    amr              TEXT    NOT NULL DEFAULT '[]',
    authenticated_at INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    ended_at         INTEGER,
    ended_reason     TEXT
) STRICT;

CREATE INDEX browser_sessions_user ON browser_sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX browser_sessions_org ON browser_sessions (org_id) WHERE ended_at IS NULL;

-- Through which browser's sign-in an app got its code and then its session: a logout ends all that it led to.
ALTER TABLE authorization_codes ADD COLUMN browser_session_id INTEGER;
ALTER TABLE sessions ADD COLUMN browser_session_id INTEGER;

CREATE INDEX sessions_browser ON sessions (browser_session_id) WHERE browser_session_id IS NOT NULL;

-- What a person allowed a third-party service. `scope` is the union of what was allowed, space-separated.
CREATE TABLE consents (
    id         INTEGER PRIMARY KEY,
    org_id     INTEGER NOT NULL REFERENCES organizations (id),
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service_id INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    scope      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (user_id, service_id)
) STRICT;

CREATE INDEX consents_service ON consents (service_id);
