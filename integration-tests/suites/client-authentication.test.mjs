// Clients that prove who they are with a key, services that act for themselves, and tokens that are bound to a key:
// as openid-client uses them, and as somebody who bends them.

import assert from 'node:assert/strict';
import { createHash, createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { SignJWT, calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair, importJWK } from 'jose';
import * as client from 'openid-client';
import { assertOAuthError } from '../lib/expect.mjs';
import { APP, WEB, obtainCode, verifyAccessToken, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { ResourceServer } from '../lib/resource-server.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BASE = '/api/organizations/demo/services';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SCOPES = [{ name: 'files:read', description: 'Read files' }, { name: 'files:write', description: 'Change files' }];
const RESOURCES = ['https://files.example.test/', 'https://mail.example.test/'];

async function setting(stage) {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  assert.equal((await owner.delete(`${BASE}/cli`)).status, 204);
  return { server, owner };
}

async function apiService(owner, members = {}) {
  const answer = await owner.post(BASE, { slug: 'worker', name: 'Worker', service_type: 'api', scopes: SCOPES, resources: RESOURCES, ...members });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.service;
}

async function keyPair(algorithm) {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid: `key-${algorithm}`, alg: algorithm } };
}

function discovered(server, clientId, authentication) {
  return client.discovery(new URL(server.url), clientId, undefined, authentication, { execute: [client.allowInsecureRequests] });
}

function tokenCall(server, form, headers) {
  return request(`${server.url}/oauth/token`, { form, headers });
}

/** A right assertion, bent by `claims` and `header`. */
function assertion(server, clientId, { privateKey, jwk }, claims = {}, header = {}) {
  const now = Math.floor(Date.now() / 1000);
  const right = { iss: clientId, sub: clientId, aud: server.url, jti: randomUUID(), iat: now, exp: now + 60, ...claims };
  return new SignJWT(right).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, ...header }).sign(privateKey);
}

scenario('openid-client authenticates with a key of every algorithm and acts for itself', async (stage) => {
  const { server, owner } = await setting(stage);
  const pairs = await Promise.all(['ES256', 'RS256', 'PS256', 'EdDSA'].map(keyPair));
  const service = await apiService(owner, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: pairs.map(({ jwk }) => jwk) } });
  assert.equal(service.has_client_secret, false);
  for (const { privateKey, jwk } of pairs) {
    const key = await importJWK(await exportJWK(privateKey), jwk.alg);
    const config = await discovered(server, service.client_id, client.PrivateKeyJwt({ key, kid: jwk.kid }));
    const answer = await client.clientCredentialsGrant(config, { scope: 'files:read', resource: RESOURCES[0] });
    assert.equal(answer.refresh_token, undefined);
    assert.equal(answer.scope, 'files:read');
    const { payload } = await verifyAccessToken(server, answer.access_token, RESOURCES[0]);
    assert.deepEqual([payload.sub, payload.client_id, payload.org, payload.service], [service.client_id, service.client_id, 'demo', 'worker']);
    assert.equal(payload.sid, undefined);
    assert.equal((await whoAmI(server, answer.access_token)).status, 401, 'nobody is signed in');
  }
});

scenario('an assertion counts once, for us, for a moment, with a registered key', async (stage) => {
  const { server, owner } = await setting(stage);
  const [pair, stranger] = await Promise.all([keyPair('ES256'), keyPair('ES256')]);
  const { client_id: clientId } = await apiService(owner, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [pair.jwk] } });
  const send = async (text, more = {}) => tokenCall(server, {
    grant_type: 'client_credentials', client_assertion_type: ASSERTION, client_assertion: await text, ...more,
  });
  const once = await assertion(server, clientId, pair);
  assert.equal((await send(once)).status, 200);
  assertOAuthError(await send(once), 401, 'invalid_client');
  await server.stop();
  await server.restart();
  assertOAuthError(await send(once), 401, 'invalid_client');
  assert.equal((await send(assertion(server, clientId, pair, { aud: `${server.url}/oauth/token` }))).status, 200);
  assert.equal((await send(assertion(server, clientId, pair, {}, { jku: 'http://127.0.0.1:1/', x5u: 'http://127.0.0.1:1/', jwk: stranger.jwk }))).status, 200, 'where a key might be found is not looked at');

  const now = Math.floor(Date.now() / 1000);
  const right = { iss: clientId, sub: clientId, aud: server.url, jti: randomUUID(), exp: now + 60 };
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = `${encode({ alg: 'none', kid: pair.jwk.kid })}.${encode(right)}.`;
  const message = `${encode({ alg: 'HS256', kid: pair.jwk.kid })}.${encode(right)}`;
  const keyed = (secret) => `${message}.${createHmac('sha256', secret).update(message).digest('base64url')}`;
  const bent = {
    'alg none': unsigned,
    'HS256 with the public key': keyed(JSON.stringify(pair.jwk)),
    'HS256 with its coordinate': keyed(Buffer.from(pair.jwk.x, 'base64url')),
    'a key that is not registered': assertion(server, clientId, stranger),
    'an unknown kid': assertion(server, clientId, pair, {}, { kid: 'other' }),
    'wrong aud': assertion(server, clientId, pair, { aud: 'https://other.test' }),
    'two audiences': assertion(server, clientId, pair, { aud: [server.url, 'https://other.test'] }),
    'no aud': assertion(server, clientId, pair, { aud: undefined }),
    'another iss': assertion(server, clientId, pair, { iss: 'other' }),
    'another sub': assertion(server, clientId, pair, { sub: 'other' }),
    'no jti': assertion(server, clientId, pair, { jti: undefined }),
    expired: assertion(server, clientId, pair, { exp: now - 1 }),
    'good for a day': assertion(server, clientId, pair, { exp: now + 86400 }),
    'not yet valid': assertion(server, clientId, pair, { nbf: now + 600 }),
    'no exp': assertion(server, clientId, pair, { exp: undefined }),
    rubbish: 'a.b.c',
  };
  for (const [what, text] of Object.entries(bent)) {
    const answer = await send(text);
    assert.equal(answer.status, 401, `${what}: ${answer.text}`);
    assertOAuthError(answer, 401, 'invalid_client');
  }
  assertOAuthError(await send(assertion(server, clientId, pair), { client_secret: 'x' }), 400, 'invalid_request');
  assertOAuthError(await send(assertion(server, clientId, pair), { client_id: WEB.clientId }), 401, 'invalid_client');
});

scenario('a service acts for itself only as far as it may', async (stage) => {
  const { server, owner } = await setting(stage);
  const { client_id: clientId } = await apiService(owner);
  const grant = (members = {}, headers) => tokenCall(server, { grant_type: 'client_credentials', client_id: clientId, ...members }, headers);
  assertOAuthError(await grant(), 400, 'unauthorized_client');
  const { client_secret: secret } = (await owner.post(`${BASE}/worker/client-secret`)).json;
  const good = await grant({ client_secret: secret });
  assert.equal(good.status, 200, good.text);
  assert.deepEqual([good.json.scope, good.json.token_type, good.json.refresh_token, good.json.id_token], ['files:read files:write', 'Bearer', undefined, undefined]);
  assert.equal(decodeJwt(good.json.access_token).aud, clientId);
  for (const [members, error] of [
    [{ scope: 'openid' }, 'invalid_scope'], [{ scope: 'files:read admin' }, 'invalid_scope'],
    [{ resource: 'https://other.example.test/' }, 'invalid_target'], [{ resource: `${server.url}/api` }, 'invalid_target'], [{ resource: 'nonsense' }, 'invalid_target'],
  ]) assertOAuthError(await grant({ client_secret: secret, ...members }), 400, error);
  const both = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret });
  for (const resource of RESOURCES) both.append('resource', resource);
  const several = await fetch(`${server.url}/oauth/token`, { method: 'POST', body: both });
  assert.deepEqual(decodeJwt((await several.json()).access_token).aud, RESOURCES);
  // A service that people sign in to does not act for itself.
  const { client_secret: webSecret } = (await owner.post(`${BASE}/web/client-secret`)).json;
  assertOAuthError(await grant({ client_id: WEB.clientId, client_secret: webSecret }), 400, 'unauthorized_client');

  const api = await ResourceServer.start(server, RESOURCES[1]);
  try {
    const { json } = await grant({ client_secret: secret, resource: RESOURCES[1] });
    assert.deepEqual((await api.call(json.access_token)).json.clientId, clientId);
    assert.equal((await api.call(good.json.access_token)).status, 401, 'a token for somebody else');
  } finally {
    await api.stop();
  }
});

scenario('a code is redeemed for a registered resource and no other, and own scopes are granted', async (stage) => {
  const { server, owner } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { resources: RESOURCES, scopes: SCOPES })).status, 200);
  const { code, verifier } = await obtainCode(server, 'dev', ADA);
  const redeem = (members) => tokenCall(server, { grant_type: 'authorization_code', client_id: WEB.clientId, code, code_verifier: verifier, redirect_uri: APP, ...members });
  assertOAuthError(await redeem({ resource: 'https://other.example.test/' }), 400, 'invalid_target');
  const answer = await redeem({ resource: RESOURCES[0] });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(decodeJwt(answer.json.access_token).aud, RESOURCES[0]);
  assert.equal((await whoAmI(server, answer.json.access_token)).status, 401, 'not a token for us');
  const renewed = await tokenCall(server, { grant_type: 'refresh_token', client_id: WEB.clientId, refresh_token: answer.json.refresh_token });
  assert.equal((await whoAmI(server, renewed.json.access_token)).status, 200, 'for us again, as nothing else was asked for');
});

scenario('openid-client uses tokens that are bound to its key', async (stage) => {
  const { server, owner } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { dpop_bound_access_tokens: true })).status, 200);
  const config = await discovered(server, WEB.clientId, client.None());
  for (const algorithm of ['ES256', 'Ed25519', 'RS256', 'PS256']) {
    const keys = await client.randomDPoPKeyPair(algorithm);
    const DPoP = client.getDPoPHandle(config, keys);
    const { code, verifier } = await obtainCode(server, 'dev', ADA);
    const members = { code, redirect_uri: APP, code_verifier: verifier };
    const tokens = await client.genericGrantRequest(config, 'authorization_code', members, { DPoP });
    assert.equal(tokens.token_type, 'dpop');
    const { cnf } = decodeJwt(tokens.access_token);
    assert.equal(cnf.jkt, await calculateJwkThumbprint(await exportJWK(keys.publicKey)));
    const me = await client.fetchProtectedResource(config, tokens.access_token, new URL('/api/user', server.url), 'GET', undefined, undefined, { DPoP });
    assert.equal((await me.json()).email, ADA.email);
    const renewed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
    assert.equal(decodeJwt(renewed.access_token).cnf.jkt, cnf.jkt);
    // Who has found the tokens has no use for them.
    assert.equal((await whoAmI(server, renewed.access_token)).status, 401);
    const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
    await assert.rejects(client.refreshTokenGrant(config, renewed.refresh_token, undefined, { DPoP: thief }), { error: 'invalid_grant' });
    await assert.rejects(client.fetchProtectedResource(config, renewed.access_token, new URL('/api/user', server.url), 'GET', undefined, undefined, { DPoP: thief }));
    await client.refreshTokenGrant(config, renewed.refresh_token, undefined, { DPoP });
  }
});

scenario('a proof counts once, for one request, for a moment', async (stage) => {
  const { server, owner } = await setting(stage);
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = pair.publicKey.export({ format: 'jwk' });
  const proof = (claims = {}, header = {}, key = pair.privateKey) => new SignJWT({
    jti: randomUUID(), htm: 'POST', htu: `${server.url}/oauth/token`, iat: Math.floor(Date.now() / 1000), ...claims,
  }).setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk, ...header }).sign(key);
  const { code, verifier } = await obtainCode(server, 'dev', ADA);
  const redeem = async (text) => tokenCall(server, { grant_type: 'authorization_code', client_id: WEB.clientId, code, code_verifier: verifier, redirect_uri: APP }, { dpop: await text });
  const now = Math.floor(Date.now() / 1000);
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  for (const [what, text] of Object.entries({
    'another method': proof({ htm: 'GET' }), 'another address': proof({ htu: `${server.url}/oauth/par` }), 'another host': proof({ htu: 'https://other.test/oauth/token' }),
    'too old': proof({ iat: now - 3600 }), 'from the future': proof({ iat: now + 600 }), 'no jti': proof({ jti: undefined }),
    'another type': proof({}, { typ: 'JWT' }), 'a private key inside': proof({}, { jwk: pair.privateKey.export({ format: 'jwk' }) }),
    'another key': proof({}, {}, other.privateKey), rubbish: 'a.b.c', two: Promise.all([proof(), proof()]).then((all) => all.join(', ')),
  })) {
    const answer = await redeem(text);
    assert.equal(answer.json.error, 'invalid_dpop_proof', `${what}: ${answer.text}`);
    assertOAuthError(answer, 400, 'invalid_dpop_proof');
  }
  const used = await proof();
  const answer = await redeem(used);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.token_type, 'DPoP');
  assertOAuthError(await redeem(used), 400, 'invalid_dpop_proof');

  const access = answer.json.access_token;
  const ath = createHash('sha256').update(access).digest('base64url');
  const call = async (claims, scheme = 'DPoP') => request(`${server.url}/api/user`, {
    headers: { authorization: `${scheme} ${access}`, dpop: await proof({ htm: 'GET', htu: `${server.url}/api/user`, ...claims }) },
  });
  assert.equal((await call({ ath })).status, 200);
  for (const [what, refused] of Object.entries({ 'no ath': await call({}), 'ath of another token': await call({ ath: ath.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')) }), 'as a bearer token': await call({ ath }, 'Bearer') })) {
    assert.equal(refused.status, 401, `${what}: ${refused.text}`);
    assert.match(refused.headers['www-authenticate'], what === 'as a bearer token' ? /^Bearer / : /^DPoP .*algs="ES256/);
  }
  // Without a proof the refresh token of a public client is worth nothing.
  assertOAuthError(await tokenCall(server, { grant_type: 'refresh_token', client_id: WEB.clientId, refresh_token: answer.json.refresh_token }), 400, 'invalid_grant');
  assert.equal((await request(`${server.url}/api/auth/refresh`, { json: { refresh_token: answer.json.refresh_token } })).status, 400);
  assert.equal((await owner.patch(`${BASE}/web`, { dpop_bound_access_tokens: true })).status, 200);
  const fresh = await obtainCode(server, 'dev', ADA);
  assertOAuthError(await tokenCall(server, { grant_type: 'authorization_code', client_id: WEB.clientId, code: fresh.code, code_verifier: fresh.verifier, redirect_uri: APP }), 400, 'invalid_dpop_proof');
});

scenario('a service that asks for bound tokens gets no other, at neither refresh address', async (stage) => {
  const { server, owner } = await setting(stage);
  const { client_secret: secret } = (await owner.post(`${BASE}/web/client-secret`)).json;
  const authenticated = { client_id: WEB.clientId, client_secret: secret };
  const { code, verifier } = await obtainCode(server, 'dev', ADA);
  const first = await tokenCall(server, { grant_type: 'authorization_code', ...authenticated, code, code_verifier: verifier, redirect_uri: APP });
  assert.equal(first.status, 200, first.text);
  const refresh = { grant_type: 'refresh_token', refresh_token: first.json.refresh_token, ...authenticated };
  assert.equal((await owner.patch(`${BASE}/web`, { dpop_bound_access_tokens: true })).status, 200);
  assertOAuthError(await tokenCall(server, refresh), 400, 'invalid_dpop_proof');
  const { status, json } = await request(`${server.url}/api/auth/refresh`, { json: refresh });
  assert.deepEqual([status, json.access_token], [400, undefined]);
  assert.equal((await owner.patch(`${BASE}/web`, { dpop_bound_access_tokens: false })).status, 200);
  assert.equal((await tokenCall(server, refresh)).status, 200, 'and the refused ones burned nothing');
});

scenario('the token of a service dies with its credential, its service and its organization', async (stage) => {
  const { server, owner } = await setting(stage);
  const { client_id: clientId } = await apiService(owner);
  const { client_secret: webSecret } = (await owner.post(`${BASE}/web/client-secret`)).json;
  const rotate = async (json) => (await owner.post(`${BASE}/worker/client-secret`, json)).json.client_secret;
  const issue = async (secret) => (await tokenCall(server, { grant_type: 'client_credentials', client_id: clientId, client_secret: secret })).json.access_token;
  const introspect = async (token) => (await request(`${server.url}/oauth/introspect`, { form: { token, client_id: WEB.clientId, client_secret: webSecret } })).json;
  const first = await rotate();
  const token = await issue(first);
  const said = await introspect(token);
  assert.deepEqual([said.active, said.sub, said.client_id, said.scope, said.sid], [true, clientId, clientId, 'files:read files:write', undefined]);
  const second = await rotate();
  assert.equal((await introspect(token)).active, true, 'in the grace of the old secret');
  const revoked = await issue(second);
  assert.equal((await request(`${server.url}/oauth/revoke`, { form: { token: revoked, client_id: clientId, client_secret: second } })).status, 200);
  assert.deepEqual(await introspect(revoked), { active: false });
  const last = await issue(second);
  assert.equal((await owner.delete(`${BASE}/worker/client-secret`)).status, 204);
  for (const dead of [token, last]) assert.deepEqual(await introspect(dead), { active: false });

  const pair = await keyPair('ES256');
  assert.equal((await owner.patch(`${BASE}/worker`, { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [pair.jwk] } })).status, 200);
  const asserted = async () => (await tokenCall(server, { grant_type: 'client_credentials', client_assertion_type: ASSERTION, client_assertion: await assertion(server, clientId, pair) })).json.access_token;
  const signed = await asserted();
  assert.equal((await introspect(signed)).active, true);
  const other = await keyPair('EdDSA');
  assert.equal((await owner.patch(`${BASE}/worker`, { jwks: { keys: [other.jwk] } })).status, 200);
  assert.deepEqual(await introspect(signed), { active: false }, 'its key is not registered any more');
  assert.equal((await owner.patch(`${BASE}/worker`, { jwks: { keys: [pair.jwk] } })).status, 200);
  const again = await asserted();
  assert.equal((await owner.delete(`${BASE}/worker`)).status, 204);
  assert.deepEqual(await introspect(again), { active: false });
});

scenario('introspection says what a bound token and a token for another resource are', async (stage) => {
  const { server, owner } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { resources: RESOURCES })).status, 200);
  const { client_secret: secret } = (await owner.post(`${BASE}/web/client-secret`)).json;
  const config = await client.discovery(new URL(server.url), WEB.clientId, undefined, client.ClientSecretPost(secret), { execute: [client.allowInsecureRequests] });
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
  const { code, verifier } = await obtainCode(server, 'dev', ADA);
  const members = { code, redirect_uri: APP, code_verifier: verifier, resource: RESOURCES[0] };
  const tokens = await client.genericGrantRequest(config, 'authorization_code', members, { DPoP });
  const said = await client.tokenIntrospection(config, tokens.access_token);
  assert.deepEqual([said.active, said.token_type, said.aud, said.cnf.jkt], [true, 'DPoP', RESOURCES[0], decodeJwt(tokens.access_token).cnf.jkt]);
  const inTheForm = await request(`${server.url}/oauth/userinfo`, { form: { access_token: tokens.access_token } });
  assert.equal(inTheForm.status, 401, 'neither for us nor with a proof');
});
