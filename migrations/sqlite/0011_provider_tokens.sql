-- What seals an organization's provider tokens. Sealed itself under ENCRYPTION_KEY; without this row nothing that the
-- organization's tokens were sealed with can be opened again, in no copy of the database.
CREATE TABLE organization_keys (
    org_id     INTEGER PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    key_sealed BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- What a user granted a service at a provider: tokens, sealed for exactly this user, service and client. `generation`
-- counts what was stored, so that a late refresh never takes the place of something newer. A grant that somebody works
-- on is due again when his lease ends, so a lease is a later `refresh_due_at` and nothing else.
--
--   live --sign-in, refresh--> live (generation + 1)
--   live --provider says the grant is over--> over --sign-in--> live
--   any --unlink, erasure, suspension of the organization--> no row
CREATE TABLE provider_grants (
    id                   INTEGER PRIMARY KEY,
    org_id               INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id              INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service_id           INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    provider             TEXT    NOT NULL,
    issuer               TEXT    NOT NULL,
    subject              TEXT    NOT NULL,
    credential_version   TEXT,
    generation           INTEGER NOT NULL DEFAULT 1,
    is_over              INTEGER NOT NULL DEFAULT 0 CHECK (is_over IN (0, 1)),
    scopes               TEXT    NOT NULL,
    access_token_sealed  BLOB    NOT NULL,
    refresh_token_sealed BLOB,
    access_expires_at    INTEGER,
    refresh_due_at       INTEGER,
    failures             INTEGER NOT NULL DEFAULT 0,
    read_hour            INTEGER,
    reads                INTEGER NOT NULL DEFAULT 0,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    UNIQUE (user_id, service_id, provider)
) STRICT;

CREATE INDEX provider_grants_due ON provider_grants (refresh_due_at) WHERE refresh_due_at IS NOT NULL;
CREATE INDEX provider_grants_org ON provider_grants (org_id);
