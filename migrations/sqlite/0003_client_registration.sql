-- What a service registers as an OAuth client, under the names of RFC 7591 and its relatives.

-- Without a method of its own a service has the one that its secret implies: `none` without a secret.
ALTER TABLE services ADD COLUMN token_endpoint_auth_method TEXT CHECK (token_endpoint_auth_method IN
    ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'));
-- A JSON Web Key Set (RFC 7517) of public keys.
ALTER TABLE services ADD COLUMN jwks TEXT;
ALTER TABLE services ADD COLUMN backchannel_logout_uri TEXT;
ALTER TABLE services ADD COLUMN backchannel_logout_session_required INTEGER NOT NULL DEFAULT 0
    CHECK (backchannel_logout_session_required IN (0, 1));
ALTER TABLE services ADD COLUMN dpop_bound_access_tokens INTEGER NOT NULL DEFAULT 0
    CHECK (dpop_bound_access_tokens IN (0, 1));
ALTER TABLE services ADD COLUMN require_pushed_authorization_requests INTEGER NOT NULL DEFAULT 0
    CHECK (require_pushed_authorization_requests IN (0, 1));
ALTER TABLE services ADD COLUMN is_third_party INTEGER NOT NULL DEFAULT 0 CHECK (is_third_party IN (0, 1));
-- Scopes that the organization defines: a JSON array of {"name": ..., "description": ...}.
ALTER TABLE services ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
-- Audiences that the service may ask for (RFC 8707): a JSON array of absolute URIs.
ALTER TABLE services ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';

-- More algorithms: the check of a column cannot be changed in place.
ALTER TABLE services ADD COLUMN signed_response_alg TEXT NOT NULL DEFAULT 'ES256'
    CHECK (signed_response_alg IN ('ES256', 'RS256', 'EdDSA'));
UPDATE services SET signed_response_alg = id_token_signed_response_alg;
ALTER TABLE services DROP COLUMN id_token_signed_response_alg;
ALTER TABLE services RENAME COLUMN signed_response_alg TO id_token_signed_response_alg;
