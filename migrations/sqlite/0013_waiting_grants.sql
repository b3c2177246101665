-- Tokens that a sign-in brought whose question (consent, or the approval of a device) is not answered yet. Nobody can
-- use them and nothing refreshes them. Sealed as in provider_grants.
--
--   waiting --yes--> provider_grants
--   waiting --no, unlink, erasure, suspension, a new sign-in, expires_at--> no row
CREATE TABLE waiting_grants (
    id                   INTEGER PRIMARY KEY,
    org_id               INTEGER NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id              INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service_id           INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    provider             TEXT    NOT NULL,
    issuer               TEXT    NOT NULL,
    subject              TEXT    NOT NULL,
    credential_version   TEXT,
    scopes               TEXT    NOT NULL,
    access_token_sealed  BLOB    NOT NULL,
    refresh_token_sealed BLOB,
    access_expires_at    INTEGER,
    refresh_due_at       INTEGER,
    expires_at           INTEGER NOT NULL,
    UNIQUE (user_id, service_id, provider)
) STRICT;

CREATE INDEX waiting_grants_service ON waiting_grants (service_id);
CREATE INDEX waiting_grants_org ON waiting_grants (org_id);
