// The discovery documents: consistent with each other, and true to what is served.

import assert from 'node:assert/strict';
import { APP, CLI, WEB, address, appParameters, deviceCode, obtainCode, pkce, signIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };

scenario('both documents say the same, may be cached, and have a tag', async (stage) => {
  const server = await stage.gatehouse();
  const paths = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server', '/.well-known/jwks.json'];
  const answers = await Promise.all(paths.map((path) => request(server.url + path)));
  assert.deepEqual(answers[0].json, answers[1].json);
  for (const [index, { status, headers, json }] of answers.entries()) {
    assert.equal(status, 200);
    assert.match(headers['cache-control'], /^public, max-age=\d+$/);
    assert.match(headers.etag, /^"[\w-]+"$/);
    assert(json);
    const again = await request(server.url + paths[index], { headers: { 'if-none-match': headers.etag } });
    assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', headers.etag]);
    assert.equal((await request(server.url + paths[index], { headers: { 'if-none-match': '"other"' } })).status, 200);
  }
  assert.equal(answers[0].json.issuer, server.url);
  const [key] = answers[2].json.keys;
  assert.equal(key.d, undefined, 'public members only');
});

scenario('everything that is advertised works', async (stage) => {
  const server = await stage.gatehouse();
  const { json: metadata } = await request(`${server.url}/.well-known/openid-configuration`);

  // Every endpoint is there: it answers its own method, even if it finds much to complain about.
  for (const [name, value] of Object.entries(metadata)) {
    if (!/_endpoint$|^jwks_uri$/.test(name)) continue;
    assert(value.startsWith(`${server.url}/`), name);
    const statuses = await Promise.all([request(value), request(value, { form: {} })].map((answer) => answer.then(({ status }) => status)));
    assert(!statuses.includes(404), `${name} is served`);
    assert(statuses.some((status) => status !== 405), `${name} takes GET or POST`);
  }

  // Scopes, response types and modes, prompts: accepted by the authorization endpoint; others are not.
  const { challenge } = pkce();
  const base = { client_id: WEB.clientId, redirect_uri: APP, response_type: 'code', state: 's', code_challenge: challenge, code_challenge_method: 'S256', scope: 'openid' };
  const authorize = (members) => request(address(server, '/oauth/authorize', { ...base, ...members }));
  const error = async (members) => {
    const answer = await authorize(members);
    if (answer.status !== 303 || !answer.location.startsWith(APP)) return undefined;
    return appParameters(answer).error;
  };
  for (const scope of metadata.scopes_supported) assert.equal(await error({ scope: `openid ${scope}` }), undefined, scope);
  assert.equal(await error({ scope: 'openid nothing' }), 'invalid_scope');
  for (const type of metadata.response_types_supported) assert.equal(await error({ response_type: type }), undefined, type);
  for (const mode of metadata.response_modes_supported) assert.equal(await error({ response_mode: mode }), undefined, mode);
  for (const prompt of metadata.prompt_values_supported ?? []) {
    assert.equal(await error({ prompt }), prompt === 'none' ? 'login_required' : undefined, prompt);
  }
  for (const method of metadata.code_challenge_methods_supported) assert.equal(await error({ code_challenge_method: method }), undefined);
  for (const [flag, members, refusal] of [
    ['request_parameter_supported', { request: 'e30.e30.' }, 'request_not_supported'],
    ['request_uri_parameter_supported', { request_uri: 'https://app.example.test/r' }, 'request_uri_not_supported'],
  ]) {
    if (metadata[flag] === false) assert.equal(await error(members), refusal, flag);
  }

  // Grants: each is known, whatever is wrong with the request.
  for (const grant of metadata.grant_types_supported) {
    const { json } = await request(metadata.token_endpoint, { form: { grant_type: grant, client_id: CLI.clientId } });
    assert.notEqual(json.error, 'unsupported_grant_type', grant);
  }
  const device = await request(metadata.device_authorization_endpoint, { form: { client_id: CLI.clientId } });
  assert.equal(device.status, 200);
  assert((await deviceCode(server)).user_code);

  // Claims and algorithm of an id_token, and who signed it.
  const { answer } = await signIn(server, 'dev', ADA, { query: { nonce: 'n', scope: 'openid profile email' } });
  const [head, body] = answer.json.id_token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  assert(metadata.id_token_signing_alg_values_supported.includes(head.alg));
  const unnamed = Object.keys(body).filter((claim) => !metadata.claims_supported.includes(claim));
  assert.deepEqual(unnamed, [], 'no claim that is not advertised');
  for (const claim of ['iss', 'sub', 'aud', 'exp', 'iat', 'auth_time', 'nonce', 'sid', 'at_hash', 'email', 'email_verified', 'name']) assert(claim in body, claim);

  // RFC 9207.
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  assert((await obtainCode(server, 'dev', ADA)).code);
});
