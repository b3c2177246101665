-- An organization's own client at a provider: which version of it, and whether it was taken away. The secret is sealed
-- with organization, provider and version as associated data, so that a ciphertext opens in its own row only.
--
--   live --save--> live (another version_id)
--   live --delete--> deleted (deleted_at set, secret gone: the provider is off for this organization)
--   deleted --save--> live
--   live or deleted --delete, restoring the default--> no row (the platform's client again)
ALTER TABLE oauth_credentials ADD COLUMN version_id TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_credentials ADD COLUMN deleted_at INTEGER;
