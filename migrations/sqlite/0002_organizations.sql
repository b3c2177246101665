-- Administration of organizations. The conventions are those of 0001.

-- Who administers an organization. `user_id` is a user of the platform realm. Exactly one owner, always.
CREATE TABLE memberships (
    id         INTEGER PRIMARY KEY,
    public_id  TEXT    NOT NULL UNIQUE,
    org_id     INTEGER NOT NULL REFERENCES organizations (id),
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT    NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
    created_at INTEGER NOT NULL,
    UNIQUE (org_id, user_id)
) STRICT;

CREATE UNIQUE INDEX memberships_one_owner ON memberships (org_id) WHERE role = 'owner';
CREATE INDEX memberships_user ON memberships (user_id);

-- The token of an invitation is mailed or shown once and stored hashed.
--
--   pending --accept--> accepted
--   pending --decline--> declined
--   pending --cancel--> cancelled
--   pending, and expires_at passed: expired (never stored, told by the clock). A new invitation for the same address
--   cancels it to make room; decided_at >= expires_at then still says that it expired.
CREATE TABLE invitations (
    id         INTEGER PRIMARY KEY,
    public_id  TEXT    NOT NULL UNIQUE,
    org_id     INTEGER NOT NULL REFERENCES organizations (id),
    email      TEXT    NOT NULL,
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'member')),
    token_hash BLOB    NOT NULL,
    invited_by INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'accepted', 'declined', 'cancelled')),
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    decided_at INTEGER
) STRICT;

CREATE UNIQUE INDEX invitations_one_pending ON invitations (org_id, email) WHERE status = 'pending';
CREATE INDEX invitations_org ON invitations (org_id, id);
CREATE INDEX invitations_email ON invitations (email, id);

-- An organization's own client at a provider. The secret is sealed with its place as associated data.
CREATE TABLE oauth_credentials (
    id                   INTEGER PRIMARY KEY,
    public_id            TEXT    NOT NULL UNIQUE,
    org_id               INTEGER NOT NULL REFERENCES organizations (id),
    provider             TEXT    NOT NULL CHECK (provider IN ('github', 'google', 'microsoft', 'oidc')),
    client_id            TEXT    NOT NULL,
    client_secret_sealed BLOB    NOT NULL,
    issuer               TEXT,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    UNIQUE (org_id, provider)
) STRICT;

-- Secrets of confidential clients. While one is replaced the old one works until expires_at.
CREATE TABLE client_secrets (
    id          INTEGER PRIMARY KEY,
    service_id  INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    secret_hash BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER
) STRICT;

CREATE INDEX client_secrets_service ON client_secrets (service_id);

-- What a user has subscribed to. One subscription per user and service.
CREATE TABLE subscriptions (
    id                 INTEGER PRIMARY KEY,
    public_id          TEXT    NOT NULL UNIQUE,
    user_id            INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service_id         INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    plan_id            INTEGER NOT NULL REFERENCES plans (id),
    status             TEXT    NOT NULL,
    current_period_end INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    UNIQUE (user_id, service_id)
) STRICT;

CREATE INDEX subscriptions_plan ON subscriptions (plan_id);
CREATE INDEX subscriptions_service ON subscriptions (service_id);

-- Who did what. Each organization has a chain of its own (the platform's is that of organization 1): an entry's hash
-- covers its content and the hash before it, so that a change, a removal or a swap shows.
CREATE TABLE audit_log (
    id            INTEGER PRIMARY KEY,
    public_id     TEXT    NOT NULL UNIQUE,
    org_id        INTEGER NOT NULL REFERENCES organizations (id),
    sequence      INTEGER NOT NULL,
    actor_user_id TEXT,
    action        TEXT    NOT NULL,
    target_type   TEXT    NOT NULL,
    target_id     TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    ip_address    TEXT    NOT NULL,
    user_agent    TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    previous_hash BLOB    NOT NULL,
    entry_hash    BLOB    NOT NULL,
    UNIQUE (org_id, sequence)
) STRICT;

CREATE INDEX audit_log_actor ON audit_log (actor_user_id, id);

CREATE TRIGGER audit_log_is_append_only_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_log_is_append_only_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Lists of an organization's users and of a user's sessions.
CREATE INDEX users_realm ON users (org_id, id);
CREATE INDEX sessions_org ON sessions (org_id, id);
CREATE INDEX sessions_service ON sessions (service_id);

-- The list of an organization's services.
CREATE INDEX services_org ON services (org_id, id) WHERE deleted_at IS NULL;

-- An erased user stays as an empty row, so that counts and history keep their sense. A sign-in at or before
-- `signed_out_at` makes no living session any more, also when its code is redeemed later.
--
--   known --erase--> erased (erased_at set; no e-mail, name, picture or identity left)
ALTER TABLE users ADD COLUMN erased_at INTEGER;
ALTER TABLE users ADD COLUMN signed_out_at INTEGER;
