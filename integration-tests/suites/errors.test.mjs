// Everything that can be said wrongly over HTTP, and the shape of the answer.

import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import http from 'node:http';
import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader, exportSPKI, generateKeyPair, importJWK } from 'jose';
import { assertApiError, assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import { CLI, WEB, deviceCode, obtainCode, signIn, tokenRequest, webSignIn, whoAmI } from '../lib/flows.mjs';
import { readAnswer, request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';
import { pause, within } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const HTML = { accept: 'text/html' };

scenario('unknown routes and wrong methods, in the three renderings', async (stage) => {
  const server = await stage.gatehouse();
  const { access } = await signIn(server, 'dev', ADA);
  const at = (path, options) => request(server.url + path, options);

  assertApiError(await at('/api/nothing-here', { bearer: access }), 404, 'NOT_FOUND');
  assertErrorPage(await at('/nothing-here', { headers: HTML }), 404);
  assertOAuthError(await at('/auth/device/nothing-here'), 404, 'invalid_request', 'NOT_FOUND');

  const wrong = [['/auth/token', 'GET'], ['/oauth/token', 'PUT'], ['/auth/device/code', 'GET'], ['/oauth/device_authorization', 'DELETE'], ['/auth/device/verify', 'GET']];
  for (const [path, method] of wrong) {
    const answer = await at(path, { method });
    assertOAuthError(answer, 405, 'invalid_request', 'METHOD_NOT_ALLOWED');
    assert.match(answer.headers.allow ?? '', /POST/, `${path} says what is allowed`);
  }
  for (const [path, method] of [['/api/user', 'DELETE'], ['/api/auth/refresh', 'GET'], ['/api/auth/logout', 'GET']]) {
    const answer = await at(path, { method, bearer: access });
    assertApiError(answer, 405, 'METHOD_NOT_ALLOWED');
    assert(answer.headers.allow, path);
  }
  for (const [path, method] of [['/activate', 'DELETE'], ['/auth/dev', 'POST']]) assertErrorPage(await at(path, { method, headers: HTML }), 405);
  for (const method of ['TRACE', 'PROPFIND']) assert((await at('/auth/token', { method })).status >= 400);
});

scenario('problem+json for those who ask, and a request id for everybody', async (stage) => {
  const server = await stage.gatehouse();
  const plain = await request(`${server.url}/api/user`);
  assert.match(plain.headers['content-type'], /^application\/json/);
  const problem = await request(`${server.url}/api/user`, { headers: { accept: 'application/problem+json' } });
  assert.match(problem.headers['content-type'], /^application\/problem\+json/);
  assertApiError(problem, 401, 'UNAUTHORIZED');
  const ids = new Set([plain, problem, await request(server.url), await request(`${server.url}/health/live`)].map(({ requestId }) => requestId));
  assert.equal(ids.size, 4);
  assert(!ids.has(undefined));
  const forged = await request(`${server.url}/api/user`, { headers: { 'x-request-id': 'evil=1 level=error forged' } });
  assert(!server.logs().some((line) => /^\S+ \S+ forged/.test(line)));
  assert.doesNotMatch(forged.headers['x-request-id'], /[\s=]/);
  for (const { headers } of [plain, problem, forged]) {
    assert.doesNotMatch(headers.server ?? '', /\d/, 'no version is told');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
});

scenario('bodies of the wrong type, shape or size', async (stage) => {
  const server = await stage.gatehouse();
  const token = (options) => request(`${server.url}/auth/token`, { method: 'POST', ...options });
  const renew = (options) => request(`${server.url}/api/auth/refresh`, { method: 'POST', ...options });

  for (const type of ['text/plain', 'application/xml', 'multipart/form-data; boundary=x']) {
    const body = 'grant_type=refresh_token';
    assertOAuthError(await token({ body, headers: { 'content-type': type } }), 415, 'invalid_request', 'UNSUPPORTED_MEDIA_TYPE');
    assertApiError(await renew({ body: '{"refresh_token":"x"}', headers: { 'content-type': type } }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  }
  const json = { 'content-type': 'application/json' };
  const deep = (open, close, depth) => open.repeat(depth) + close.repeat(depth);
  const broken = ['', '{', '[]', 'null', '"text"', '7', '{"refresh_token":null}', '{"refresh_token":["x"]}', '{"refresh_token":{"a":1}}',
    deep('[', ']', 129), deep('{"a":', '}', 129), deep('[', ']', 30_000), '{"refresh_token":"x","refresh_token":"y"}', '\u0000', Buffer.from([0x22, 0xff, 0xfe, 0x22])];
  for (const body of broken) {
    const answer = await renew({ body, headers: json });
    assert.equal(answer.status, 400, `${String(body).slice(0, 60)}: ${answer.text.slice(0, 300)}`);
    assertApiError(answer, 400, answer.json.error_code);
    assert(['BAD_REQUEST', 'VALIDATION_FAILED'].includes(answer.json.error_code), answer.text);
    const oauth = await token({ body, headers: json });
    assertOAuthError(oauth, 400, 'invalid_request');
  }
  assertOAuthError(await token({ form: {} }), 400, 'invalid_request');
  assertApiError(await renew({ json: { refresh_token: 'not-a-token' } }), 400, 'INVALID_GRANT');
  for (const path of ['/api/auth/refresh', '/auth/token', '/auth/device/code', '/auth/device/verify']) {
    const answer = await oversized(server, path);
    assert.equal(answer.status, 413, `${path}: ${answer.text}`);
    assert.equal(answer.json.error_code, 'PAYLOAD_TOO_LARGE');
  }
});

scenario('token requests that the standard forbids', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const form = [['grant_type', 'authorization_code'], ['client_id', WEB.clientId], ['code', attempt.code], ['redirect_uri', attempt.redirectUri], ['code_verifier', attempt.verifier]];
  // RFC 6749 section 3.2: parameters must not be included more than once.
  for (const [name, value] of form) {
    for (const twice of [value, 'another']) {
      assertOAuthError(await request(`${server.url}/auth/token`, { form: [...form, [name, twice]] }), 400, 'invalid_request');
    }
  }
  assertOAuthError(await request(`${server.url}/auth/token?${new URLSearchParams(form)}`, { form: {} }), 400, 'invalid_request');
  for (const grantType of ['password', 'implicit', 'AUTHORIZATION_CODE', 'urn:ietf:params:oauth:grant-type:jwt-bearer', '🚪']) {
    assertOAuthError(await tokenRequest(server, { grant_type: grantType, client_id: WEB.clientId }), 400, 'unsupported_grant_type', 'UNSUPPORTED_GRANT_TYPE');
  }
  assertOAuthError(await tokenRequest(server, { client_id: WEB.clientId }), 400, 'invalid_request');
  for (const clientId of [undefined, 'nobody', "' OR 1=1--"]) {
    const answer = await tokenRequest(server, { ...Object.fromEntries(form), client_id: clientId });
    assert(['invalid_client', 'invalid_request'].includes(answer.json.error), answer.text);
    assertOAuthError(answer, answer.json.error === 'invalid_client' ? 401 : 400, answer.json.error);
    if (answer.status === 401) assert(answer.headers['www-authenticate']);
  }
  const basic = await request(`${server.url}/auth/token`, { form, headers: { authorization: `Basic ${Buffer.from('nobody:secret').toString('base64')}` } });
  assert.equal(basic.json.error, basic.status === 401 ? 'invalid_client' : 'invalid_request', basic.text);
  // None of it burned the code.
  assert.equal((await request(`${server.url}/auth/token`, { form })).status, 200);

  for (const path of ['/auth/device/code', '/oauth/device_authorization']) {
    assertOAuthError(await request(server.url + path, { form: [['client_id', CLI.clientId], ['client_id', CLI.clientId]] }), 400, 'invalid_request');
  }
});

scenario('duplicate parameters on a page', async (stage) => {
  const server = await stage.gatehouse();
  const { url } = webSignIn(server, 'dev');
  for (const name of ['org', 'service', 'redirect_uri']) {
    const value = new URL(url).searchParams.get(name);
    assertErrorPage(await request(`${url}&${name}=${encodeURIComponent(value)}`, { headers: HTML }), 400);
  }
  const device = await deviceCode(server);
  assertErrorPage(await request(`${server.url}/activate?user_code=${device.user_code}&user_code=${device.user_code}`, { headers: HTML }), 400);
});

scenario('a bearer token must be ours, whole and alone (125-137)', async (stage) => {
  const server = await stage.gatehouse();
  const { access, refresh } = await signIn(server, 'dev', ADA);
  const device = await deviceCode(server);
  const [head, body, signature] = access.split('.');
  const header = decodeProtectedHeader(access);
  const claims = decodeJwt(access);
  const { json: { keys } } = await request(`${server.url}/.well-known/jwks.json`);
  const published = keys.find((key) => key.kid === header.kid);
  assert(published, 'the key of the token is published');
  const publicKey = await importJWK(published, 'ES256', { extractable: true });
  const pem = await exportSPKI(publicKey);
  const der = createPublicKey(pem).export({ type: 'spki', format: 'der' });
  const { privateKey: foreign } = await generateKeyPair('ES256');
  const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const sign = (change, key = foreign, more = {}) => new SignJWT({ ...claims, ...change }).setProtectedHeader({ ...header, ...more }).sign(key);
  const hmac = (alg, key) => new SignJWT(claims).setProtectedHeader({ ...header, alg }).sign(key);
  const withHeader = (change) => `${encode({ ...header, ...change })}.${body}.${signature}`;
  const withClaims = (change) => `${head}.${encode({ ...claims, ...change })}.${signature}`;

  const forged = {
    'alg none': new UnsecuredJWT(claims).encode(),
    'alg none with a signature': withHeader({ alg: 'none' }),
    'alg NONE': `${encode({ ...header, alg: 'NONE' })}.${body}.`,
    'no signature': `${head}.${body}.`,
    'foreign key': await sign({}),
    'foreign key, no kid': await sign({}, foreign, { kid: undefined }),
    'foreign key in the header': await sign({}, foreign, { jwk: published }),
    'foreign owner': await sign({ is_platform_owner: true }),
    'r = s = 0 (CVE-2022-21449)': `${head}.${body}.${Buffer.alloc(64).toString('base64url')}`,
    'signature as DER': `${head}.${body}.${Buffer.from('3006020101020101', 'hex').toString('base64url')}`,
    'claims changed': withClaims({ email: 'other@example.test' }),
    'owner claimed': withClaims({ is_platform_owner: true }),
    'audience changed': withClaims({ aud: `${server.url}/api` }),
    'expiry as text': withClaims({ exp: String(claims.exp) }),
    'expiry enormous': withClaims({ exp: 1e308 }),
    'expiry missing': withClaims({ exp: undefined }),
    'duplicate sub': `${head}.${encode(`{"sub":"x",${JSON.stringify(claims).slice(1)}`)}.${signature}`,
    'typ changed': withHeader({ typ: 'JWT' }),
    'crit': withHeader({ crit: ['x'], x: 1 }),
    'b64 false': withHeader({ b64: false, crit: ['b64'] }),
    'zip': withHeader({ zip: 'DEF' }),
    'padding': `${access}==`,
    'trailing dot': `${access}.`,
    'two parts': `${head}.${body}`,
    'five parts': `${access}.x.y`,
    'white space inside': `${head}. ${body}.${signature}`,
    'spare bits flipped': `${head}.${body}.${flipSpareBits(signature)}`,
    'not base64': `${head}.${body}.${'*'.repeat(86)}`,
    'empty': '',
    'huge': `${head}.${body}.${'A'.repeat(20_000)}`,
    'refresh token': refresh,
    'device code': device.device_code,
  };
  for (const alg of ['HS256', 'HS384', 'HS512']) {
    for (const [form, key] of Object.entries({ pem, 'pem without newline': pem.trim(), jwk: JSON.stringify(published), x: published.x })) {
      forged[`${alg} keyed with ${form}`] = await hmac(alg, new TextEncoder().encode(key));
    }
    forged[`${alg} keyed with der`] = await hmac(alg, der);
  }
  for (const kid of ['unknown', '', '../../../dev/null', "' OR 1=1--", 'http://127.0.0.1:9/', 'x'.repeat(10_000), 7, null, {}]) {
    forged[`kid ${String(JSON.stringify(kid)).slice(0, 20)}`] = withHeader({ kid });
  }
  for (const [name, token] of Object.entries(forged)) {
    const answer = await request(`${server.url}/api/user`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status, 401, `${name}: ${answer.status} ${answer.text}`);
    assertApiError(answer, 401, answer.json.error_code);
    assert(['UNAUTHORIZED', 'JWT_ERROR', 'TOKEN_EXPIRED'].includes(answer.json.error_code), name);
    assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer/, name);
  }
  for (const authorization of ['', 'Bearer', `Basic ${access}`, access, `Bearer ${access}, Bearer ${access}`, `Bearer ${access} x`]) {
    assert.equal((await request(`${server.url}/api/user`, { headers: { authorization } })).status, 401, authorization.slice(0, 12));
  }
  const larger = await request(`${server.url}/api/user`, { headers: { authorization: `Bearer ${'A'.repeat(60_000)}` } });
  assertApiError(larger, 431, 'HEADERS_TOO_LARGE');
  assert.equal((await request(`${server.url}/api/user?access_token=${access}`)).status, 401, 'no token in an address (RFC 6750 section 2.3)');
  assert.equal((await request(`${server.url}/api/user`, { headers: { cookie: `access_token=${access}` } })).status, 401);
  const none = await request(`${server.url}/api/user`);
  assert.match(none.headers['www-authenticate'], /^Bearer(?!.*error=)/, 'without a token there is no error to name (RFC 6750 section 3.1)');
  // The scheme's name has no case (RFC 9110 section 11.1), and after all that the honest token works.
  assert.equal((await request(`${server.url}/api/user`, { headers: { authorization: `bEaReR ${access}` } })).status, 200);
  assert.equal((await whoAmI(server, access)).status, 200);
});

scenario('hostile text in every field is stored or refused, never run (229-235)', async (stage) => {
  const server = await stage.gatehouse();
  const texts = ["' OR 1=1--", '"; DROP TABLE users;--', '%00', 'a\u0000b', '\u202eevil', '\u200b', 'x'.repeat(7000), '<script>alert(1)</script>', '../../etc/passwd', '${jndi:ldap://x}', '\r\nSet-Cookie: a=b', '𝕳'.repeat(500)];
  for (const text of texts) {
    const query = encodeURIComponent(text);
    const paths = [`/auth/${query}`, `/auth/dev?org=${query}`, `/activate?user_code=${query}`, `/auth/dev/callback?state=${query}&code=${query}`, `/dev/provider/${query}`, `/api/${query}`, `/.well-known/${query}`, `/${query}`];
    for (const path of paths) {
      const answer = await request(server.url + path, { headers: HTML });
      assert(answer.status >= 300 && answer.status < 500, `${path.slice(0, 80)}: ${answer.status}`);
      assert.equal(answer.headers['set-cookie']?.some((cookie) => cookie.startsWith('a=b')) ?? false, false);
      assert(!answer.text.includes('<script>alert'), path);
    }
    for (const name of ['grant_type', 'code', 'client_id', 'redirect_uri', 'code_verifier', 'refresh_token', 'device_code', 'scope']) {
      const answer = await tokenRequest(server, { grant_type: 'authorization_code', client_id: WEB.clientId, code: 'x', redirect_uri: 'x', code_verifier: 'x', [name]: text });
      assert(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status}`);
    }
  }
  const { access } = await signIn(server, 'dev', { email: 'bobby@example.test', name: `Robert'); DROP TABLE users;-- <b>` });
  assert.equal((await whoAmI(server, access)).json.name, `Robert'); DROP TABLE users;-- <b>`);
});

/** Announces a body over any limit and sends it only if the service insists on reading. */
async function oversized(server, path) {
  const length = 8 * 1024 * 1024;
  const url = server.url + path;
  const outgoing = http.request(url, { method: 'POST', agent: false, headers: { 'content-type': 'application/json', 'content-length': length } });
  let answered = false;
  const answer = new Promise((resolve, reject) => {
    outgoing.on('response', (incoming) => { answered = true; resolve(readAnswer(url, 'POST', incoming)); });
    outgoing.on('error', (error) => { if (!answered) reject(error); });
  });
  outgoing.write('{"refresh_token":"');
  await Promise.race([answer, pause(1_000)]);
  if (!answered) outgoing.write(Buffer.alloc(length - 18, 'x'));
  try {
    return await within(20_000, 'an oversized body is refused', answer);
  } finally {
    outgoing.destroy();
  }
}

// The last letter of a base64url text of 64 bytes carries four bits that mean nothing.
function flipSpareBits(text) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1)) ^ 1];
}
