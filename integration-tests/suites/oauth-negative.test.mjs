// What must not work, each with the error of its RFC. Tokens that carry a genuine signature and one flaw are made in
// process (tests/http/tokens.rs), where the key is at hand. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { SignJWT } from 'jose';
import { assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import { APP, CLI, DEVICE_GRANT, PLATFORM_CLI, WEB, address, appParameters, deviceCode, exchange, obtainCode, pkce, poll, refreshGrant, signIn, tokenRequest, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BASE = '/api/organizations/demo/services';
const OTHER = 'https://app.example.test/cb';
const EVIL = 'https://evil.example.test';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

async function confidential(server) {
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const { client_id: clientId, client_secret: secret } = (await owner.post(`${BASE}/cli/client-secret`)).json;
  return { owner, clientId, secret };
}

function basic(clientId, secret) {
  return { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` };
}

/** The token is refused wherever one is shown, and introspection says no more than that it is not active. */
async function assertVoid(server, guard, token, why) {
  const user = await whoAmI(server, token);
  assert.equal(user.status, 401, why);
  assert.match(user.headers['www-authenticate'], /^Bearer .*error="invalid_token"/, why);
  assertOAuthError(await request(`${server.url}/oauth/userinfo`, { bearer: token }), 401, 'invalid_token');
  const asked = await request(`${server.url}/oauth/introspect`, { form: { client_id: guard.clientId, client_secret: guard.secret, token } });
  assert.deepEqual([asked.status, asked.json], [200, { active: false }], why);
}

scenario('forged and foreign access tokens are refused everywhere, and no address in one is visited (125, 126, 127, 129)', async (stage) => {
  const server = await stage.gatehouse();
  const guard = await confidential(server);
  const { access, refresh, answer } = await signIn(server, 'dev', ADA);
  const [head, body, signature] = access.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url'));
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  const [jwk] = (await request(`${server.url}/.well-known/jwks.json`)).json.keys;
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' });

  const visits = [];
  const lure = http.createServer((incoming, outgoing) => { visits.push(incoming.url); outgoing.end('{"keys":[]}'); }).listen(0, '127.0.0.1');
  await once(lure, 'listening');
  const lureUrl = `http://127.0.0.1:${lure.address().port}`;

  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signed = (extra = {}, payload = claims) => new SignJWT(payload).setProtectedHeader({ ...header, ...extra }).sign(own.privateKey);
  const hmac = (key, alg = 'HS256', hash = 'sha256') => {
    const input = `${encode({ ...header, alg })}.${body}`;
    return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
  };
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const forged = {
    'alg none': `${encode({ ...header, alg: 'none' })}.${body}.`,
    'alg None': `${encode({ ...header, alg: 'None' })}.${body}.${signature}`,
    'HS256 with the PEM': hmac(pem),
    'HS256 with the PEM, trimmed': hmac(pem.trim()),
    'HS256 with the DER': hmac(publicKey.export({ type: 'spki', format: 'der' })),
    'HS256 with the JWK': hmac(JSON.stringify(jwk)),
    'HS384 with the PEM': hmac(pem, 'HS384', 'sha384'),
    'HS512 with the PEM': hmac(pem, 'HS512', 'sha512'),
    'a foreign key under the own kid': await signed(),
    'an unknown kid': await signed({ kid: 'nobody' }),
    'a kid that is a path': await signed({ kid: '../../../dev/null' }),
    jku: await signed({ jku: `${lureUrl}/jwks.json` }),
    x5u: await signed({ x5u: `${lureUrl}/key.pem` }),
    'a key of its own': await signed({ jwk: own.publicKey.export({ format: 'jwk' }) }),
    crit: await signed({ crit: ['exp'], exp: 1 }).catch(() => `${encode({ ...header, crit: ['exp'] })}.${body}.${signature}`),
    'another issuer': await signed({}, { ...claims, iss: EVIL }),
    'a changed payload': `${head}.${encode({ ...claims, is_platform_owner: true })}.${signature}`,
    'no signature': `${head}.${body}.`,
    'an id_token': answer.json.id_token,
    'a refresh token': refresh,
  };
  for (const [why, token] of Object.entries(forged)) await assertVoid(server, guard, token, why);
  assert.equal((await whoAmI(server, access)).status, 200, 'the genuine one works');
  assert.deepEqual(visits, [], 'nobody followed an address in a token');
  lure.close();
});

scenario('an expired token is refused, and one of another realm opens nothing here (131, 141)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const guard = await confidential(server);
  const { access } = await signIn(server, 'dev', ADA);
  for (const [method, path] of [['GET', '/api/organizations'], ['GET', '/api/platform/organizations'], ['GET', BASE]]) {
    assert.equal((await request(server.url + path, { method, bearer: access })).status, 403, path);
  }
  const asked = await request(`${server.url}/oauth/introspect`, {
    form: { client_id: guard.clientId, client_secret: guard.secret, token: guard.owner.access },
  });
  assert.deepEqual(asked.json, { active: false }, 'an administrator is none of the organization\'s users');
  server.clock.set(901);
  await assertVoid(server, guard, access, 'expired');
});

scenario('a token of the wrong kind is no grant (79)', async (stage) => {
  const server = await stage.gatehouse();
  const { access, refresh, answer } = await signIn(server, 'dev', ADA);
  const device = await deviceCode(server);
  const pending = await obtainCode(server, 'dev', ADA);
  for (const wrong of [access, answer.json.id_token, device.device_code, pending.code, 'garbage', `${refresh}=`, `${refresh} `, refresh.slice(0, -1)]) {
    assertOAuthError(await refreshGrant(server, wrong), 400, 'invalid_grant');
  }
  for (const wrong of [access, refresh, device.device_code]) assertOAuthError(await exchange(server, { ...pending, code: wrong }), 400, 'invalid_grant');
  for (const wrong of [access, refresh, pending.code]) assertOAuthError(await poll(server, { device_code: wrong }), 400, 'invalid_grant');
  tokens(await exchange(server, pending));
  tokens(await refreshGrant(server, refresh));
});

scenario('codes and refresh tokens belong to their client (54, 74)', async (stage) => {
  const server = await stage.gatehouse();
  const code = await obtainCode(server, 'dev', ADA);
  for (const { clientId } of [CLI, PLATFORM_CLI]) assertOAuthError(await exchange(server, code, { client_id: clientId }), 400, 'invalid_grant');
  assertOAuthError(await exchange(server, code, { client_id: 'nobody' }), 401, 'invalid_client');
  assertOAuthError(await exchange(server, code, { client_id: undefined }), 401, 'invalid_client');
  const { refresh } = tokens(await exchange(server, code));
  for (const { clientId } of [CLI, PLATFORM_CLI]) assertOAuthError(await refreshGrant(server, refresh, clientId), 400, 'invalid_grant');
  const device = await deviceCode(server);
  assertOAuthError(await poll(server, device, WEB), 400, 'invalid_grant');
  tokens(await refreshGrant(server, refresh));
});

scenario('a redirect URI is compared character for character (1 to 7, 55)', async (stage) => {
  const server = await stage.gatehouse();
  const { owner } = await confidential(server);
  assert.equal((await owner.patch(`${BASE}/web`, { redirect_uris: [OTHER, APP] })).status, 200);
  const { challenge } = pkce();
  const authorize = (redirectUri) => request(address(server, '/oauth/authorize', {
    client_id: WEB.clientId, response_type: 'code', redirect_uri: redirectUri, state: 's', scope: 'openid', code_challenge: challenge, code_challenge_method: 'S256',
  }), { headers: { accept: 'text/html' } });
  assert.notEqual((await authorize(OTHER)).status, 400, 'the registered one is good');
  for (const wrong of [
    'HTTPS://app.example.test/cb', 'https://APP.example.test/cb', 'https://app.example.test:443/cb', 'https://app.example.test:8443/cb',
    `${OTHER}/`, `${OTHER}?`, `${OTHER}?x=1`, `${OTHER}#`, `${OTHER}#f`, `${OTHER}/../cb`, 'https://app.example.test/CB', 'https://app.example.test/%63b',
    'https://app.example.test/cb%2f..', 'https://app.example.test/cb;x=1', 'https://app.example.test@evil.example.test/cb',
    'https://user@app.example.test/cb', 'https://app.example.test\\@evil.example.test/cb', 'https://app.example.test.evil.example.test/cb',
    'https://appXexample.test/cb', 'http://app.example.test/cb', '//app.example.test/cb', '/cb', 'javascript:alert(1)', `${OTHER} `, `${OTHER}\t`,
    'http://localhost:54321/callback', 'http://127.0.0.1:54321/other', 'http://127.0.0.1.evil.example.test/callback',
  ]) {
    assertErrorPage(await authorize(wrong), 400);
  }
  const code = await obtainCode(server, 'dev', ADA);
  for (const wrong of [OTHER, `${APP}/`, APP.toUpperCase(), undefined]) {
    assertOAuthError(await exchange(server, code, { redirect_uri: wrong }), 400, 'invalid_grant');
  }
  tokens(await exchange(server, code));
});

scenario('PKCE cannot be taken off or guessed (14, 58, 59)', async (stage) => {
  const server = await stage.gatehouse();
  const { challenge } = pkce();
  const parameters = { client_id: WEB.clientId, response_type: 'code', redirect_uri: APP, state: 's', scope: 'openid' };
  for (const bad of [
    {}, { code_challenge: challenge, code_challenge_method: 'plain' }, { code_challenge: challenge, code_challenge_method: 's256' }, { code_challenge: challenge },
    { code_challenge: `${challenge}=`, code_challenge_method: 'S256' }, { code_challenge: challenge.slice(1), code_challenge_method: 'S256' },
    { code_challenge: `${challenge}A`, code_challenge_method: 'S256' }, { code_challenge: '+'.repeat(43), code_challenge_method: 'S256' },
  ]) {
    const said = appParameters(await request(address(server, '/oauth/authorize', { ...parameters, ...bad })));
    assert.deepEqual([said.error, said.code], ['invalid_request', undefined], JSON.stringify(bad));
  }
  const code = await obtainCode(server, 'dev', ADA);
  for (const verifier of [undefined, '', 'a'.repeat(42), 'a'.repeat(43), 'a'.repeat(129), `${code.verifier}=`, code.verifier.toUpperCase(), challenge]) {
    assertOAuthError(await exchange(server, code, { code_verifier: verifier }), 400, 'invalid_grant');
  }
  tokens(await exchange(server, code));
});

scenario('a client authenticates in one way, its own (62, 89)', async (stage) => {
  const server = await stage.gatehouse();
  const { clientId, secret } = await confidential(server);
  const device = { grant_type: DEVICE_GRANT, device_code: 'none' };
  const token = (form, headers = {}) => request(`${server.url}/oauth/token`, { form, headers });
  for (const [status, error, form, headers] of [
    [400, 'invalid_request', { ...device, client_id: clientId, client_secret: secret }, basic(clientId, secret)],
    [400, 'invalid_request', { ...device, client_id: WEB.clientId }, basic(clientId, secret)],
    [401, 'invalid_client', { ...device, client_id: clientId }, {}],
    [401, 'invalid_client', { ...device, client_id: clientId, client_secret: 'wrong' }, {}],
    [401, 'invalid_client', device, basic(clientId, 'wrong')],
    [401, 'invalid_client', device, basic(WEB.clientId, secret)],
    [401, 'invalid_client', device, { authorization: `Bearer ${secret}` }],
    [401, 'invalid_client', { ...device, client_id: WEB.clientId, client_secret: secret }, {}],
    [401, 'invalid_client', device, {}],
    [400, 'invalid_grant', device, basic(clientId, secret)],
  ]) {
    const refused = await token(form, headers);
    assertOAuthError(refused, status, error);
    if (status === 401) assert.match(refused.headers['www-authenticate'], /^Basic /);
  }
});

scenario('parameters come once and in the body, by POST (62, 63)', async (stage) => {
  const server = await stage.gatehouse();
  const { refresh } = await signIn(server, 'dev', ADA);
  const form = { grant_type: 'refresh_token', client_id: WEB.clientId, refresh_token: refresh };
  for (const name of Object.keys(form)) {
    for (const path of ['/oauth/token', '/auth/token']) {
      assertOAuthError(await request(server.url + path, { form: [...Object.entries(form), [name, form[name]]] }), 400, 'invalid_request');
    }
  }
  assertOAuthError(await request(address(server, '/oauth/token', form), { method: 'POST', form: {} }), 400, 'invalid_request');
  assertOAuthError(await request(address(server, '/oauth/token', { x: '1' }), { form }), 400, 'invalid_request');
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    const refused = await request(address(server, '/oauth/token', form), { method });
    assertOAuthError(refused, 405, 'invalid_request', 'METHOD_NOT_ALLOWED');
    assert.match(refused.headers.allow, /POST/);
  }
  for (const path of ['/oauth/introspect', '/oauth/revoke']) {
    assertOAuthError(await request(server.url + path), 405, 'invalid_request', 'METHOD_NOT_ALLOWED');
  }
  assertOAuthError(await request(`${server.url}/oauth/token`, { body: new URLSearchParams(form).toString(), headers: { 'content-type': 'text/plain' } }), 415, 'invalid_request');
  for (const grantType of ['password', 'implicit', '', undefined, 'REFRESH_TOKEN']) {
    const refused = await tokenRequest(server, { ...form, grant_type: grantType });
    assertOAuthError(refused, 400, grantType ? 'unsupported_grant_type' : 'invalid_request');
  }
  assertOAuthError(await tokenRequest(server, { ...form, scope: 'openid email profile offline_access' }), 400, 'invalid_scope');
  tokens(await tokenRequest(server, form));
});

scenario('pages of registered apps may call, others and pages of ours may not (246, 247)', async (stage) => {
  const server = await stage.gatehouse({ env: { CORS_ALLOWED_ORIGINS: 'https://console.example.test' } });
  const { owner } = await confidential(server);
  assert.equal((await owner.patch(`${BASE}/web`, { redirect_uris: [OTHER, APP] })).status, 200);
  const app = 'https://app.example.test';
  const ask = (path, origin, options = {}) => request(server.url + path, { ...options, headers: { origin, ...options.headers } });
  const preflight = (path, origin, method = 'POST') => ask(path, origin, {
    method: 'OPTIONS', headers: { 'access-control-request-method': method, 'access-control-request-headers': 'authorization' },
  });
  const allowed = (answer) => answer.headers['access-control-allow-origin'];

  const open = [['/oauth/token', 'POST'], ['/auth/token', 'POST'], ['/oauth/revoke', 'POST'], ['/oauth/userinfo', 'GET'], ['/.well-known/jwks.json', 'GET'],
    ['/.well-known/openid-configuration', 'GET'], ['/.well-known/oauth-authorization-server', 'GET']];
  for (const [path, method] of open) {
    for (const origin of [app, 'http://127.0.0.1:54321', 'http://127.0.0.1:5173', 'https://console.example.test']) {
      const answer = await preflight(path, origin, method);
      assert.equal(answer.status, 204, `${path} ${origin}`);
      assert.equal(allowed(answer), origin);
      assert.match(answer.headers['access-control-allow-methods'], new RegExp(method));
      assert.match(answer.headers['access-control-allow-headers'], /authorization/);
      const real = await ask(path, origin, method === 'POST' ? { form: {} } : {});
      assert.equal(allowed(real), origin, 'errors are readable as well');
      assert.match(real.headers.vary, /origin/i);
      for (const one of [answer, real]) assert.equal(one.headers['access-control-allow-credentials'], undefined);
    }
    for (const origin of ['null', '*', 'http://app.example.test', 'https://app.example.test:8443', 'https://app.example.test.evil.example.test',
      'https://appXexample.test', 'https://sub.app.example.test', 'https://app.example.test/', 'HTTPS://APP.EXAMPLE.TEST', EVIL]) {
      const refused = await preflight(path, origin, method);
      assert.deepEqual([refused.status, allowed(refused)], [405, undefined], `${path} ${origin}`);
      assert.equal(allowed(await ask(path, origin, method === 'POST' ? { form: {} } : {})), undefined);
    }
  }
  assert.equal(allowed(await preflight('/api/user', 'https://console.example.test', 'GET')), 'https://console.example.test');
  assert.equal(allowed(await preflight('/api/user', app, 'GET')), undefined);
  for (const path of ['/oauth/authorize', '/oauth/logout', '/oauth/logout/confirm', '/activate', '/activate/confirm', '/auth/dev', '/auth/device/code', '/oauth/introspect', '/health']) {
    for (const origin of [app, 'https://console.example.test', server.url]) {
      for (const answer of [await preflight(path, origin), await ask(path, origin)]) assert.equal(allowed(answer), undefined, path);
    }
  }
  // What is taken back is closed from the next request on.
  assert.equal((await owner.patch(`${BASE}/web`, { redirect_uris: [APP] })).status, 200);
  assert.equal(allowed(await preflight('/oauth/token', app)), undefined);
});
