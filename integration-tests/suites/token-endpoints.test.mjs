// Userinfo, introspection and revocation as openid-client v6 uses them, and what a plain request meets there. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import * as oidc from 'openid-client';
import { Browser } from '../lib/browser.mjs';
import { assertOAuthError } from '../lib/expect.mjs';
import { APP, CLI, WEB, exchange, obtainCode, refreshGrant, signIn, signInThrough, tokenRequest, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const BASE = '/api/organizations/demo/services';

/** A service in dev mode, the owner of its demo organization, and the secret of its terminal service. */
async function setting(stage, options) {
  const server = await stage.gatehouse(options);
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const made = await owner.post(`${BASE}/cli/client-secret`);
  assert.equal(made.status, 201, made.text);
  return { server, owner, guard: { client_id: made.json.client_id, client_secret: made.json.client_secret } };
}

/** openid-client, configured by discovery alone. */
function discover(server, clientId, authentication) {
  return oidc.discovery(new URL(server.url), clientId, undefined, authentication, { execute: [oidc.allowInsecureRequests] });
}

/** Code and PKCE with openid-client, up to its tokens. */
async function openidSignIn(server, config, browser = new Browser()) {
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: APP,
    scope: 'openid profile email',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  });
  const answer = await signInThrough(browser, url.href, ADA);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  return oidc.authorizationCodeGrant(config, new URL(answer.location), checks);
}

function inactive(answer) {
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json, { active: false });
}

scenario('openid-client signs in, reads userinfo, introspects, refreshes and revokes', async (stage) => {
  const { server, guard } = await setting(stage);
  const app = await discover(server, WEB.clientId, oidc.None());
  const resourceServer = await discover(server, guard.client_id, oidc.ClientSecretBasic(guard.client_secret));
  const first = await openidSignIn(server, app, stage.browser());
  const claims = first.claims();
  assert.equal(typeof claims.sid, 'string');
  assert.equal(typeof claims.auth_time, 'number');

  const info = await oidc.fetchUserInfo(app, first.access_token, claims.sub);
  assert.deepEqual([info.sub, info.email, info.email_verified, info.name], [claims.sub, ADA.email, true, ADA.name]);

  const said = await oidc.tokenIntrospection(resourceServer, first.access_token);
  assert.deepEqual([said.active, said.sub, said.client_id, said.org, said.plan], [true, claims.sub, WEB.clientId, 'demo', 'free']);

  const second = await oidc.refreshTokenGrant(app, first.refresh_token);
  await oidc.tokenRevocation(app, first.access_token);
  assert.equal((await oidc.tokenIntrospection(resourceServer, first.access_token)).active, false);
  assert.equal((await oidc.tokenIntrospection(resourceServer, second.access_token)).active, true);

  await oidc.tokenRevocation(app, second.refresh_token);
  assert.equal((await oidc.tokenIntrospection(resourceServer, second.access_token)).active, false);
  await assert.rejects(oidc.fetchUserInfo(app, second.access_token, claims.sub));
  await assert.rejects(oidc.refreshTokenGrant(app, second.refresh_token), { error: 'invalid_grant' });
});

scenario('a refresh token that is given up takes its session along, for good (85, 86, 91)', async (stage) => {
  const { server, guard } = await setting(stage);
  const { access, refresh } = await signIn(server, 'dev', ADA);
  const revoke = (members) => request(`${server.url}/oauth/revoke`, { form: members });
  const ask = (token) => request(`${server.url}/oauth/introspect`, { form: { ...guard, token } });
  assert.equal((await ask(access)).json.active, true);
  const done = await revoke({ client_id: WEB.clientId, token: refresh, token_type_hint: 'access_token' });
  assert.deepEqual([done.status, done.text], [200, '']);
  await server.kill9();
  await server.restart();
  inactive(await ask(access));
  assert.equal((await whoAmI(server, access)).status, 401);
  assertOAuthError(await refreshGrant(server, refresh), 400, 'invalid_grant');
  for (const token of ['unknown', refresh, access, 'a.b.c']) {
    assert.equal((await revoke({ client_id: WEB.clientId, token })).status, 200);
  }
});

scenario('a token of another client is not revoked, and nobody asks without proof (87, 89, 93)', async (stage) => {
  const { server, guard } = await setting(stage);
  const { access, refresh } = await signIn(server, 'dev', ADA);
  const revoke = (members) => request(`${server.url}/oauth/revoke`, { form: members });
  for (const token of [access, refresh]) assertOAuthError(await revoke({ ...guard, token }), 400, 'invalid_grant');
  assertOAuthError(await revoke({ token: access }), 401, 'invalid_client');
  assertOAuthError(await revoke({ client_id: CLI.clientId, token: access }), 401, 'invalid_client');
  assertOAuthError(await revoke({ client_id: WEB.clientId }), 400, 'invalid_request');
  for (const members of [{ token: access }, { client_id: WEB.clientId, token: access }, { ...guard, client_secret: 'wrong', token: access }]) {
    assertOAuthError(await request(`${server.url}/oauth/introspect`, { form: members }), 401, 'invalid_client');
  }
  assert.equal((await whoAmI(server, access)).status, 200);
  tokens(await refreshGrant(server, refresh));
});

scenario('userinfo takes the token in a header or a form, never in the address (95)', async (stage) => {
  const server = await stage.gatehouse();
  const { access, answer } = await signIn(server, 'dev', ADA);
  const idToken = JSON.parse(Buffer.from(answer.json.id_token.split('.')[1], 'base64url'));
  const url = `${server.url}/oauth/userinfo`;
  const told = [
    await request(url, { bearer: access }),
    await request(url, { method: 'POST', bearer: access }),
    await request(url, { form: { access_token: access } }),
  ];
  for (const { status, json, text } of told) {
    assert.equal(status, 200, text);
    assert.deepEqual(json, { sub: idToken.sub, email: ADA.email, email_verified: true, name: ADA.name });
  }
  assertOAuthError(await request(`${url}?access_token=${access}`), 400, 'invalid_request');
  assertOAuthError(await request(url, { form: { access_token: access }, bearer: access }), 400, 'invalid_request');
  for (const [wrong, challenge] of [
    [await request(url), /^Bearer realm="gatehouse"$/],
    [await request(url, { bearer: 'garbage' }), /error="invalid_token"/],
    [await request(url, { form: { access_token: 'garbage' } }), /error="invalid_token"/],
  ]) {
    assertOAuthError(wrong, 401, 'invalid_token');
    assert.match(wrong.headers['www-authenticate'], challenge);
  }
});

scenario('a secret that is taken away at once takes the sessions along; replaced with a grace it does not', async (stage) => {
  const { server, owner, guard } = await setting(stage);
  const secretPath = `${BASE}/web/client-secret`;
  const { client_secret: secret } = (await owner.post(secretPath)).json;
  const authenticated = { client_secret: secret };
  const live = tokens(await exchange(server, await obtainCode(server, 'dev', ADA), authenticated));
  const second = (await owner.post(secretPath, { grace_seconds: 3600 })).json;
  assert.deepEqual([second.grace_seconds, second.ended_sessions], [3600, 0]);
  assert.equal((await whoAmI(server, live.access)).status, 200);
  const third = (await owner.post(secretPath, { grace_seconds: 0 })).json;
  assert.deepEqual([third.grace_seconds, third.ended_sessions, third.previous_secret_expires_at], [0, 1, null]);
  assert.equal((await whoAmI(server, live.access)).status, 401);
  inactive(await request(`${server.url}/oauth/introspect`, { form: { ...guard, token: live.access } }));
  const stale = { grant_type: 'refresh_token', refresh_token: live.refresh, client_id: WEB.clientId };
  assertOAuthError(await tokenRequest(server, { ...stale, client_secret: second.client_secret }), 401, 'invalid_client');
  assertOAuthError(await tokenRequest(server, { ...stale, client_secret: third.client_secret }), 400, 'invalid_grant');
  for (const bad of [-1, 86_401, '0', 1.5]) assert.equal((await owner.post(secretPath, { grace_seconds: bad })).status, 400);
});
