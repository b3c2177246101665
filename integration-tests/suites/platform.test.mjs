// The platform realm, in production mode: who becomes the platform owner, and who does not.

import assert from 'node:assert/strict';
import { isRedirect } from '../lib/browser.mjs';
import { assertErrorPage } from '../lib/expect.mjs';
import { PLATFORM_CLI, WEB, address, appParameters, pkce, refreshGrant, signIn, signInThrough, tokenRequest, tokens, verifyAccessToken, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const OWNER = 'owner@example.test';
const CONSOLE = 'http://127.0.0.1:54321/console';
const PLATFORM_ENV = { PLATFORM_OWNER_EMAIL: OWNER, PLATFORM_ADMIN_REDIRECT_URI: CONSOLE };

function production(stage, env = {}) {
  return stage.gatehouseWith(['google'], { dev: false, platform: true, env: { ...PLATFORM_ENV, ...env } });
}

/** Sign-in to the platform realm in the browser: the token answer. */
async function platformSignIn(stage, server, account) {
  const { verifier, challenge } = pkce();
  const state = 'console state & more';
  const url = address(server, '/auth/admin/google', { redirect_uri: CONSOLE, state, code_challenge: challenge, code_challenge_method: 'S256' });
  const answer = await signInThrough(stage.browser(), url, account, { stopAt: CONSOLE });
  const { code, iss, state: returned } = appParameters(answer, CONSOLE);
  assert.deepEqual([iss, returned], [server.url, state]);
  return tokens(await tokenRequest(server, { grant_type: 'authorization_code', client_id: PLATFORM_CLI.clientId, code, redirect_uri: CONSOLE, code_verifier: verifier }));
}

async function claimsOf(server, access) {
  return (await verifyAccessToken(server, access, `${server.url}/api`)).payload;
}

scenario('the verified owner address becomes the platform owner; nobody else does', async (stage) => {
  const { server, google } = await production(stage);
  const liar = google.account({ email: OWNER, email_verified: false, name: 'Liar' });
  const second = google.account({ email: 'second@example.test', email_verified: true, name: 'Second' });
  const owner = google.account({ email: 'Owner@Example.Test', email_verified: true, name: 'Owner' });

  // First the liar, so that a wrong bootstrap would show in everything that follows.
  const lying = await platformSignIn(stage, server, liar);
  assert.notEqual((await claimsOf(server, lying.access)).is_platform_owner, true, 'an unverified address proves nothing');
  const other = await platformSignIn(stage, server, second);
  assert.notEqual((await claimsOf(server, other.access)).is_platform_owner, true);

  const { access, refresh } = await platformSignIn(stage, server, owner);
  const claims = await claimsOf(server, access);
  assert.equal(claims.is_platform_owner, true);
  assert.equal(claims.email, OWNER);
  for (const claim of ['org', 'service', 'plan']) assert(!claims[claim], `a platform token has no ${claim}`);
  const user = await whoAmI(server, access);
  assert.equal(user.status, 200, user.text);
  assert.deepEqual([user.json.is_platform_owner, user.json.org, user.json.service], [true, '', '']);
  assert.equal((await whoAmI(server, other.access)).json.is_platform_owner, false);

  const renewed = tokens(await refreshGrant(server, refresh, PLATFORM_CLI.clientId));
  assert.equal((await claimsOf(server, renewed.access)).is_platform_owner, true);
  assert.equal((await claimsOf(server, (await platformSignIn(stage, server, owner)).access)).sub, claims.sub);

  await server.stop();
  await server.restart();
  assert.equal((await whoAmI(server, renewed.access)).json.is_platform_owner, true);
  assert.notEqual((await claimsOf(server, (await platformSignIn(stage, server, second)).access)).is_platform_owner, true);
});

scenario('the console\'s redirect URI is the configured one, and no other', async (stage) => {
  const { server } = await production(stage);
  const { challenge } = pkce();
  const start = (query) => stage.browser().get(address(server, '/auth/admin/google', { state: 's', code_challenge: challenge, code_challenge_method: 'S256', ...query }));
  assert(isRedirect(await start({ redirect_uri: CONSOLE })));
  for (const redirectUri of [undefined, 'https://evil.test/', `${CONSOLE}/`, `${CONSOLE}?x=1`, `${CONSOLE}.evil.test`, 'http://localhost:54321/console']) {
    assertErrorPage(await start({ redirect_uri: redirectUri }), 400);
  }
  const missing = await start({ redirect_uri: CONSOLE, code_challenge: undefined });
  assert.equal(appParameters(missing, CONSOLE).error, 'invalid_request', 'PKCE here too');
});

scenario('production has no seeded organization, no dev provider and no demo', async (stage) => {
  const { server } = await production(stage);
  for (const path of ['/dev', '/dev/callback', '/dev/provider', '/dev/provider/.well-known/openid-configuration', '/auth/admin/dev']) {
    assertErrorPage(await stage.browser().get(server.url + path), 404);
  }
  assertErrorPage(await stage.browser().get(address(server, '/auth/dev', { org: WEB.org, service: WEB.service, redirect_uri: 'http://127.0.0.1:1/callback', state: 's' })), [400, 404]);
  const device = await request(`${server.url}/auth/device/code`, { form: { client_id: 'demo-cli' } });
  assert.deepEqual([device.status, device.json.error], [401, 'invalid_client']);
});

scenario('an end user with the owner\'s address is no platform owner, and opens no platform route', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { platform: true, env: PLATFORM_ENV });
  const account = google.account({ email: OWNER, email_verified: true, name: 'End user' });
  const { access } = await signIn(server, 'google', account); // into the organization's realm
  const { payload } = await verifyAccessToken(server, access, WEB.clientId);
  assert.notEqual(payload.is_platform_owner, true);
  assert.equal((await whoAmI(server, access)).json.is_platform_owner, false);
  for (const path of ['/api/platform/organizations', '/api/platform/tiers', '/api/organizations']) {
    const answer = await request(server.url + path, { bearer: access });
    assert([403, 404].includes(answer.status), `${path}: ${answer.status}`);
  }
  const platform = await platformSignIn(stage, server, account); // the same person at the same provider, in the other realm
  const claims = await claimsOf(server, platform.access);
  assert.equal(claims.is_platform_owner, true, 'the end user did not use up the bootstrap');
  assert.notEqual(claims.sub, payload.sub, 'two realms, two users');
});
