-- Signing keys of several algorithms that follow one another, and what proofs of possession leave behind.

-- The check of a column cannot be changed in place.
ALTER TABLE signing_keys ADD COLUMN signs_with TEXT NOT NULL DEFAULT 'ES256'
    CHECK (signs_with IN ('ES256', 'RS256', 'EdDSA'));
UPDATE signing_keys SET signs_with = algorithm;
ALTER TABLE signing_keys DROP COLUMN algorithm;
ALTER TABLE signing_keys RENAME COLUMN signs_with TO algorithm;

-- A key is published from `created_at` on, signs from `signs_from` until its successor does, and is good for nothing
-- from `retired_at` on, or else some time after its successor began. Told by the clock, never moved along.
ALTER TABLE signing_keys ADD COLUMN signs_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN retired_at INTEGER;
UPDATE signing_keys SET signs_from = created_at;

-- Assertions that a client authenticated with (RFC 7523): each counts once. The hash covers the client and the `jti`.
CREATE TABLE used_assertions (
    id         INTEGER PRIMARY KEY,
    jti_hash   BLOB    NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL
) STRICT;

-- Pushed authorization requests (RFC 9126). `parameters` is a JSON array of pairs, as the client sent them.
--
--   pushed --authorize--> shown (shown_at) --authorize, with a provider chosen--> chosen (chosen_at)
CREATE TABLE pushed_requests (
    id          INTEGER PRIMARY KEY,
    secret_hash BLOB    NOT NULL,
    service_id  INTEGER NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    parameters  TEXT    NOT NULL,
    expires_at  INTEGER NOT NULL,
    shown_at    INTEGER,
    chosen_at   INTEGER
) STRICT;

CREATE INDEX pushed_requests_service ON pushed_requests (service_id);

-- The key that a client proved to have (RFC 9449), as its thumbprint, and what its tokens may be for (RFC 8707), as a
-- JSON array. An empty array: nothing was asked for.
ALTER TABLE authorization_codes ADD COLUMN dpop_jkt  TEXT;
ALTER TABLE authorization_codes ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
ALTER TABLE sessions ADD COLUMN dpop_jkt  TEXT;
ALTER TABLE sessions ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
