// RP-initiated logout, as openid-client v6 uses it and as a stranger would. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import * as oidc from 'openid-client';
import { formWith } from '../lib/browser.mjs';
import { assertErrorPage, assertOAuthError, assertStrictPolicy } from '../lib/expect.mjs';
import { APP, CLI, WEB, address, exchange, obtainCode, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const SERVICE = '/api/organizations/demo/services/web';
const GOODBYE = 'https://app.example.test/goodbye';

/** A service in dev mode whose web app may have people back at GOODBYE. */
async function setting(stage, options) {
  const server = await stage.gatehouse(options);
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  assert.equal((await owner.patch(SERVICE, { post_logout_redirect_uris: [GOODBYE] })).status, 200);
  return server;
}

scenario('openid-client signs out at the app and here, and comes back with its state', async (stage) => {
  const server = await setting(stage);
  const browser = stage.browser();
  const { access, refresh, answer } = tokens(await exchange(server, await obtainCode(server, 'dev', ADA, { browser })));
  const app = await oidc.discovery(new URL(server.url), WEB.clientId, undefined, oidc.None(), { execute: [oidc.allowInsecureRequests] });
  const out = oidc.buildEndSessionUrl(app, { id_token_hint: answer.json.id_token, post_logout_redirect_uri: GOODBYE, state: 'a&b' });
  const left = await browser.get(out.href);
  assert.equal(left.status, 303, left.text);
  const back = new URL(left.location);
  assert.deepEqual([back.origin + back.pathname, back.searchParams.get('state')], [GOODBYE, 'a&b']);
  assert.equal((await whoAmI(server, access)).status, 401);
  assertOAuthError(await refreshGrant(server, refresh), 400, 'invalid_grant');
});

scenario('a logout without a hint asks first, and a foreign page cannot answer (97)', async (stage) => {
  const server = await setting(stage);
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
  const server = await setting(stage);
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
  const server = await setting(stage, { fakeClock: true });
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


