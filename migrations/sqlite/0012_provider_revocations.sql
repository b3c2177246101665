-- Whom a token goes back to: one provider for one organization, so that a provider that is away holds up nobody else.
CREATE TABLE revocation_targets (
    id       INTEGER PRIMARY KEY,
    org_id   INTEGER NOT NULL REFERENCES organizations (id),
    provider TEXT    NOT NULL,
    UNIQUE (org_id, provider)
) STRICT;

-- Tokens that are to be revoked at their provider, moved here from provider_grants in the transaction that takes the
-- grant away. They stay sealed as they were: for their user, service, account and client. A copy of the sealed data key
-- travels with them, so that they can be revoked also when the organization's own is gone. `id` is the delivery's.
--
--   waiting --delivered, or dead--> no row (the trigger below: whatever ends a delivery, the tokens go with it)
CREATE TABLE provider_revocations (
    id                   INTEGER PRIMARY KEY REFERENCES outbox (id) ON DELETE CASCADE,
    org_id               INTEGER NOT NULL REFERENCES organizations (id),
    service_id           INTEGER NOT NULL,
    provider             TEXT    NOT NULL,
    issuer               TEXT    NOT NULL,
    subject              TEXT    NOT NULL,
    credential_version   TEXT,
    access_token_sealed  BLOB    NOT NULL,
    refresh_token_sealed BLOB,
    key_sealed           BLOB    NOT NULL
) STRICT;

CREATE TRIGGER provider_revocation_over AFTER UPDATE OF status ON outbox
WHEN NEW.kind = 'provider_revocation' AND NEW.status <> 'pending'
BEGIN
    DELETE FROM provider_revocations WHERE id = NEW.id;
END;

-- Some providers take back everything that an account granted a client, also what others still use.
CREATE INDEX provider_grants_account ON provider_grants (issuer, subject);
CREATE INDEX provider_grants_service ON provider_grants (service_id);
