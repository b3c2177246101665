-- Times are unix milliseconds. Flags are 0 or 1. Secrets are hashes (…_hash) or ciphertext (…_sealed), never clear.
-- `id` joins rows inside; `public_id` (UUID version 7) is what the outside sees.

-- What an organization pays for. NULL limits mean unlimited. `features` is a JSON object.
CREATE TABLE tiers (
    id                   TEXT    PRIMARY KEY,
    name                 TEXT    NOT NULL UNIQUE,
    display_name         TEXT    NOT NULL,
    default_max_services INTEGER,
    default_max_users    INTEGER,
    features             TEXT    NOT NULL DEFAULT '{}',
    price_cents          INTEGER NOT NULL,
    currency             TEXT    NOT NULL,
    created_at           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO tiers (id, name, display_name, default_max_services, default_max_users, price_cents, currency, created_at)
VALUES ('tier_free', 'free', 'Free', 2, 3, 0, 'USD', 0),
       ('tier_starter', 'starter', 'Starter', 10, 10, 4900, 'USD', 0),
       ('tier_pro', 'pro', 'Pro', 50, 50, 14900, 'USD', 0),
       ('tier_enterprise', 'enterprise', 'Enterprise', NULL, NULL, 49900, 'USD', 0);

-- An organization is a tenant and the realm of its end users. The row with is_platform = 1 is the platform realm:
-- the people who administer organizations. It is created here and never listed, renamed or removed.
-- `max_services` and `max_users` override the tier. `claim_email` is who may claim an organization that somebody
-- registered without signing in; approved_by and rejected_by are rows of users.
--
--   pending --approve--> active --suspend--> suspended --activate--> active
--   pending --reject---> rejected
CREATE TABLE organizations (
    id               INTEGER PRIMARY KEY,
    public_id        TEXT    NOT NULL UNIQUE,
    slug             TEXT    NOT NULL UNIQUE,
    name             TEXT    NOT NULL,
    is_platform      INTEGER NOT NULL DEFAULT 0 CHECK (is_platform IN (0, 1)),
    status           TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'suspended', 'rejected')),
    tier_id          TEXT    NOT NULL DEFAULT 'tier_free' REFERENCES tiers (id),
    max_services     INTEGER,
    max_users        INTEGER,
    claim_email      TEXT,
    approved_by      INTEGER,
    approved_at      INTEGER,
    rejected_by      INTEGER,
    rejected_at      INTEGER,
    rejection_reason TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX organizations_one_platform ON organizations (is_platform) WHERE is_platform = 1;
CREATE INDEX organizations_claim ON organizations (claim_email) WHERE claim_email IS NOT NULL;
CREATE INDEX organizations_status ON organizations (status, id);

-- A service is an application of an organization: an OAuth client. Lists are JSON arrays of strings. A deleted one
-- stays as a row, so that history keeps its name; its slug is free again.
--
--   live --delete--> deleted (deleted_at set)
CREATE TABLE services (
    id                           INTEGER PRIMARY KEY,
    public_id                    TEXT    NOT NULL UNIQUE,
    org_id                       INTEGER NOT NULL REFERENCES organizations (id),
    slug                         TEXT    NOT NULL,
    name                         TEXT    NOT NULL,
    service_type                 TEXT    NOT NULL CHECK (service_type IN ('web', 'mobile', 'desktop', 'api')),
    client_id                    TEXT    NOT NULL UNIQUE,
    redirect_uris                TEXT    NOT NULL DEFAULT '[]',
    post_logout_redirect_uris    TEXT    NOT NULL DEFAULT '[]',
    github_scopes                TEXT    NOT NULL DEFAULT '[]',
    google_scopes                TEXT    NOT NULL DEFAULT '[]',
    microsoft_scopes             TEXT    NOT NULL DEFAULT '[]',
    device_activation_uri        TEXT,
    id_token_signed_response_alg TEXT    NOT NULL DEFAULT 'ES256' CHECK (id_token_signed_response_alg IN ('ES256')),
    created_at                   INTEGER NOT NULL,
    updated_at                   INTEGER NOT NULL,
    deleted_at                   INTEGER
) STRICT;

CREATE UNIQUE INDEX services_slug ON services (org_id, slug) WHERE deleted_at IS NULL;

-- What a user of a service is entitled to. Every service has one default plan. `features` is a JSON array.
CREATE TABLE plans (
    id              INTEGER PRIMARY KEY,
    public_id       TEXT    NOT NULL UNIQUE,
    service_id      INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    name            TEXT    NOT NULL,
    description     TEXT,
    price_cents     INTEGER NOT NULL DEFAULT 0,
    currency        TEXT    NOT NULL DEFAULT 'USD',
    features        TEXT    NOT NULL DEFAULT '[]',
    is_default      INTEGER NOT NULL DEFAULT 0 CHECK (is_default IN (0, 1)),
    stripe_price_id TEXT,
    created_at      INTEGER NOT NULL,
    UNIQUE (service_id, name)
) STRICT;

CREATE UNIQUE INDEX plans_one_default ON plans (service_id) WHERE is_default = 1;

-- A user belongs to one realm. `email` holds a verified address, normalized, or nothing: an address that nobody
-- proved counts for nothing and stays with the identity that claimed it.
CREATE TABLE users (
    id                INTEGER PRIMARY KEY,
    public_id         TEXT    NOT NULL UNIQUE,
    org_id            INTEGER NOT NULL REFERENCES organizations (id),
    email             TEXT,
    name              TEXT,
    avatar_url        TEXT,
    is_platform_owner INTEGER NOT NULL DEFAULT 0 CHECK (is_platform_owner IN (0, 1)),
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX users_email ON users (org_id, email) WHERE email IS NOT NULL;

-- An account at a provider, keyed by who vouches for it (issuer) and whom it names (subject), never by e-mail.
CREATE TABLE identities (
    id             INTEGER PRIMARY KEY,
    org_id         INTEGER NOT NULL REFERENCES organizations (id),
    user_id        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider       TEXT    NOT NULL,
    issuer         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    email          TEXT,
    email_verified INTEGER NOT NULL CHECK (email_verified IN (0, 1)),
    created_at     INTEGER NOT NULL,
    last_login_at  INTEGER NOT NULL,
    UNIQUE (org_id, issuer, subject)
) STRICT;

CREATE INDEX identities_user ON identities (user_id);

-- A session is what a sign-in makes and a sign-out ends.
--
--   live --logout, reuse of a code or of a refresh token, revocation--> ended
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY,
    public_id     TEXT    NOT NULL UNIQUE,
    org_id        INTEGER NOT NULL REFERENCES organizations (id),
    service_id    INTEGER NOT NULL REFERENCES services (id),
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider      TEXT    NOT NULL,
    method        TEXT    NOT NULL CHECK (method IN ('web', 'device')),
    scope         TEXT    NOT NULL,
    authenticated_at INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    ended_reason  TEXT
) STRICT;

CREATE INDEX sessions_user ON sessions (user_id);

-- One row per refresh token ever issued in a session. The successor's secret follows from the predecessor's and a
-- key of the service, so a repeated use inside the grace gets the same successor without it being stored.
--
--   unused --rotate--> used (successor_id set)
CREATE TABLE refresh_tokens (
    id           INTEGER PRIMARY KEY,
    session_id   INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    secret_hash  BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER,
    successor_id INTEGER
) STRICT;

CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);

-- RFC 6749, section 4.1.2. `code_challenge` is NULL only for confidential clients.
--
--   issued --redeem--> redeemed (session_id set) --redeem again--> the session ends
CREATE TABLE authorization_codes (
    id               INTEGER PRIMARY KEY,
    secret_hash      BLOB    NOT NULL,
    org_id           INTEGER NOT NULL REFERENCES organizations (id),
    service_id       INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    user_id          INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider         TEXT    NOT NULL,
    redirect_uri     TEXT    NOT NULL,
    registered_uri   TEXT    NOT NULL,
    code_challenge   TEXT,
    scope            TEXT    NOT NULL,
    nonce            TEXT,
    authenticated_at INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    redeemed_at      INTEGER,
    session_id       INTEGER REFERENCES sessions (id) ON DELETE SET NULL
) STRICT;

-- RFC 8628. Only the user code is looked up without an id, so only it has an index.
--
--   pending --sign-in binds user_id--> pending --approve--> approved --poll--> redeemed --poll again--> session ends
--   pending --deny--> denied
CREATE TABLE device_codes (
    id               INTEGER PRIMARY KEY,
    secret_hash      BLOB    NOT NULL,
    user_code_hash   BLOB    NOT NULL UNIQUE,
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
    session_id       INTEGER REFERENCES sessions (id) ON DELETE SET NULL
) STRICT;

-- A login state is sealed into a cookie; a row here says that it was used. Starting a sign-in writes nothing.
CREATE TABLE login_state_claims (
    id         INTEGER PRIMARY KEY,
    state_hash BLOB    NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

-- Keys that sign tokens. The private half is sealed under a key derived from JWT_SECRET.
CREATE TABLE signing_keys (
    id             INTEGER PRIMARY KEY,
    key_id         TEXT    NOT NULL UNIQUE,
    algorithm      TEXT    NOT NULL CHECK (algorithm IN ('ES256')),
    private_sealed BLOB    NOT NULL,
    created_at     INTEGER NOT NULL
) STRICT;

-- Facts about the installation as a whole.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The platform realm and its built-in client.
INSERT INTO organizations (id, public_id, slug, name, is_platform, status, created_at, updated_at)
VALUES (1, '01900000-0000-7000-8000-000000000001', 'platform', 'Gatehouse platform', 1, 'active', 0, 0);

INSERT INTO services (id, public_id, org_id, slug, name, service_type, client_id, created_at, updated_at)
VALUES (1, '01900000-0000-7000-8000-000000000002', 1, 'admin-cli', 'Platform administration', 'desktop',
        'platform-admin-cli', 0, 0);
