// What a service registers as an OAuth client, over the API and as the apps feel it.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { assertApiError, assertOAuthError } from '../lib/expect.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const BASE = '/api/organizations/demo/services';

async function setting(stage) {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  return { server, owner };
}

function publicKey() {
  return { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' };
}

scenario('a registration is kept, shown and cleared member by member', async (stage) => {
  const { owner } = await setting(stage);
  const before = await owner.get(`${BASE}/web`);
  assert.deepEqual(
    [before.json.token_endpoint_auth_method, before.json.jwks, before.json.id_token_signed_response_alg, before.json.scopes],
    ['none', null, 'ES256', []],
  );
  const registration = {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [publicKey()] },
    backchannel_logout_uri: 'https://app.example.test/backchannel',
    backchannel_logout_session_required: true,
    is_third_party: true,
    scopes: [{ name: 'files:read', description: 'Read your files' }],
    resources: ['https://api.example.test/'],
  };
  const changed = await owner.patch(`${BASE}/web`, registration);
  assert.equal(changed.status, 200, changed.text);
  for (const [name, value] of Object.entries(registration)) {
    const expected = name === 'jwks' ? { keys: [{ ...value.keys[0], use: 'sig' }] } : value;
    assert.deepEqual(changed.json[name], expected, name);
    assert.deepEqual(changed.json.service[name], expected, name);
  }
  const cleared = await owner.patch(`${BASE}/web`, Object.fromEntries(Object.keys(registration).map((name) => [name, null])));
  assert.equal(cleared.status, 200, cleared.text);
  for (const name of Object.keys(registration)) assert.deepEqual(cleared.json[name], before.json[name], name);
});

scenario('what would be unsafe is refused with its name', async (stage) => {
  const { owner } = await setting(stage);
  const secret = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  for (const [bad, field] of [
    [{ token_endpoint_auth_method: 'private_key_jwt' }, 'jwks'],
    [{ token_endpoint_auth_method: 'client_secret_jwt' }, 'token_endpoint_auth_method'],
    [{ jwks: { keys: [secret] } }, 'jwks'], [{ jwks: { keys: [] } }, 'jwks'], [{ jwks_uri: 'https://app.example.test/keys' }, 'jwks_uri'],
    [{ id_token_signed_response_alg: 'none' }, 'id_token_signed_response_alg'],
    [{ backchannel_logout_uri: 'http://10.0.0.1/' }, 'backchannel_logout_uri'],
    [{ scopes: [{ name: 'openid', description: 'x' }] }, 'scopes'],
    [{ resources: ['https://api.test/#x'] }, 'resources'],
    [{ resources: [`${owner.server.url}/api`] }, 'resources'],
  ]) {
    const answer = await owner.patch(`${BASE}/web`, bad);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, [field], answer.text);
  }
});

scenario('a client authenticates in the way it registered and in no other', async (stage) => {
  const { server, owner } = await setting(stage);
  const made = await owner.post(`${BASE}/web/client-secret`);
  assert.equal(made.status, 201, made.text);
  const { client_id: clientId, client_secret: secret } = made.json;
  assertApiError(await owner.patch(`${BASE}/web`, { token_endpoint_auth_method: 'none' }), 409, 'CONFLICT');
  const ask = (form, headers = {}) => request(`${server.url}/oauth/token`, { form: { grant_type: 'refresh_token', refresh_token: 'x', ...form }, headers });
  const header = { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` };
  const inHeader = () => ask({}, header);
  const inBody = () => ask({ client_id: clientId, client_secret: secret });
  // The token is nonsense, so who comes as far as that is authenticated.
  for (const [method, good, bad] of [['client_secret_basic', inHeader, inBody], ['client_secret_post', inBody, inHeader]]) {
    assert.equal((await owner.patch(`${BASE}/web`, { token_endpoint_auth_method: method })).status, 200);
    assertOAuthError(await good(), 400, 'invalid_grant');
    assertOAuthError(await bad(), 401, 'invalid_client');
  }
  assert.equal((await owner.patch(`${BASE}/web`, { token_endpoint_auth_method: null })).json.token_endpoint_auth_method, 'client_secret_basic');
  for (const either of [inHeader, inBody]) assertOAuthError(await either(), 400, 'invalid_grant');
  assert.equal((await owner.patch(`${BASE}/web`, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [publicKey()] } })).status, 200);
  for (const either of [inHeader, inBody, () => ask({ client_id: clientId })]) assertOAuthError(await either(), 401, 'invalid_client');
  assertApiError(await owner.post(`${BASE}/web/client-secret`), 409, 'CONFLICT');
});
