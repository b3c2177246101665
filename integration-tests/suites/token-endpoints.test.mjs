// Userinfo, introspection, revocation and RP-initiated logout as openid-client v6 uses them, and what a plain request
// meets there. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import * as oidc from 'openid-client';
import { Browser, formWith } from '../lib/browser.mjs';
import { assertErrorPage, assertOAuthError, assertStrictPolicy } from '../lib/expect.mjs';
import { APP, CLI, WEB, address, exchange, obtainCode, refreshGrant, signIn, signInThrough, tokenRequest, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const BASE = '/api/organizations/demo/services';
const GOODBYE = 'https://app.example.test/goodbye';

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

scenario('openid-client signs in, reads userinfo, introspects, refreshes, revokes and logs out', async (stage) => {
  const { server, owner, guard } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { post_logout_redirect_uris: [GOODBYE] })).status, 200);
  const app = await discover(server, WEB.clientId, oidc.None());
  const resourceServer = await discover(server, guard.client_id, oidc.ClientSecretBasic(guard.client_secret));
  const browser = stage.browser();
  const first = await openidSignIn(server, app, browser);
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

  const out = oidc.buildEndSessionUrl(app, { id_token_hint: first.id_token, post_logout_redirect_uri: GOODBYE, state: 'a&b' });
  const left = await browser.get(out.href);
  assert.equal(left.status, 303, left.text);
  const back = new URL(left.location);
  assert.deepEqual([back.origin + back.pathname, back.searchParams.get('state')], [GOODBYE, 'a&b']);
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

scenario('a logout without a hint asks first, and a foreign page cannot answer (97)', async (stage) => {
  const { server, owner } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { post_logout_redirect_uris: [GOODBYE] })).status, 200);
  const browser = stage.browser();
  const signedIn = tokens(await exchange(server, await obtainCode(server, 'dev', ADA, { browser })));
  const logout = address(server, '/oauth/logout', { client_id: WEB.clientId, post_logout_redirect_uri: GOODBYE, state: 's' });

  // Looking at the page, from wherever, changes nothing.
  const page = await browser.get(logout);
  assert.equal(page.status, 200);
  assertStrictPolicy(page);
  assert.equal(page.headers['access-control-allow-origin'], undefined);
  assert.equal((await whoAmI(server, signedIn.access)).status, 200);
  const form = formWith(page, 'csrf');
  const confirm = `${server.url}/oauth/logout/confirm`;
  const cookie = browser.jar.header(confirm);
  for (const [headers, members, status] of [
    [{}, { csrf: 'x', decision: 'sign_out' }, 400],
    [{ cookie }, { csrf: 'x', decision: 'sign_out' }, 403],
    [{ cookie }, { decision: 'sign_out' }, 403],
    [{ cookie, origin: 'https://evil.test' }, { csrf: 'x', decision: 'sign_out' }, 403],
  ]) {
    assertErrorPage(await request(confirm, { headers: { accept: 'text/html', ...headers }, form: members }), status);
  }
  assert.equal((await whoAmI(server, signedIn.access)).status, 200);

  const stay = await browser.clone().submit(form, { decision: 'stay' });
  assert.equal(stay.status, 200);
  assert.equal((await whoAmI(server, signedIn.access)).status, 200);

  const left = await browser.submit(form, { decision: 'sign_out' });
  assert.equal(left.location, `${GOODBYE}?state=s`, left.text);
  assert.equal((await whoAmI(server, signedIn.access)).status, 401);
  assertOAuthError(await refreshGrant(server, signedIn.refresh), 400, 'invalid_grant');
});

scenario('a logout leads nowhere but to a registered address, and a hint must be ours (25)', async (stage) => {
  const { server, owner } = await setting(stage);
  assert.equal((await owner.patch(`${BASE}/web`, { post_logout_redirect_uris: [GOODBYE] })).status, 200);
  const { access, answer } = await signIn(server, 'dev', ADA);
  const idToken = answer.json.id_token;
  const html = { headers: { accept: 'text/html' } };
  const logout = (parameters) => request(address(server, '/oauth/logout', parameters), html);
  for (const uri of ['https://evil.test/', `${GOODBYE}/`, `${GOODBYE}?x=1`, `${GOODBYE}.evil.test`, `${GOODBYE}#`, APP, '//evil.test', 'javascript:alert(1)']) {
    assertErrorPage(await logout({ id_token_hint: idToken, post_logout_redirect_uri: uri }), 400);
  }
  for (const parameters of [
    { post_logout_redirect_uri: GOODBYE }, // whose?
    { client_id: CLI.clientId, post_logout_redirect_uri: GOODBYE },
    { client_id: 'nobody' },
    { id_token_hint: idToken, client_id: CLI.clientId },
    { id_token_hint: access },
    { id_token_hint: 'garbage' },
    { id_token_hint: `${idToken.slice(0, -4)}AAAA` },
  ]) {
    assertErrorPage(await logout(parameters), 400);
  }
  assert.equal((await whoAmI(server, access)).status, 200, 'nothing of this ended the session');
  const posted = await request(`${server.url}/oauth/logout`, { ...html, form: { id_token_hint: idToken } });
  assert.equal(posted.status, 200);
  assert.match(posted.text, /Signed out/);
  assert.equal((await whoAmI(server, access)).status, 401);
});

scenario('a hint is good after it expired; with somebody else signed in it takes a question', async (stage) => {
  const { server } = await setting(stage, { fakeClock: true });
  const ada = stage.browser();
  const { access, refresh, answer } = tokens(await exchange(server, await obtainCode(server, 'dev', ADA, { browser: ada })));
  server.clock.set(3600);
  const fresh = tokens(await refreshGrant(server, refresh));
  const logout = address(server, '/oauth/logout', { id_token_hint: answer.json.id_token });
  const eve = stage.browser();
  tokens(await exchange(server, await obtainCode(server, 'dev', EVE, { browser: eve })));
  const question = await eve.get(logout);
  assert.match(question.text, /Sign out\?/);
  assert.equal((await whoAmI(server, fresh.access)).status, 200);
  const done = await ada.get(logout);
  assert.match(done.text, /Signed out/);
  assert.equal((await whoAmI(server, fresh.access)).status, 401);
  assert.equal((await whoAmI(server, access)).status, 401);
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
