// One sign-in for the services of one organization: openid-client, unchanged, and browsers that are signed in already.

import assert from 'node:assert/strict';
import { OpenIdApp } from '../lib/app.mjs';
import { assertErrorPage } from '../lib/expect.mjs';
import { APP, WEB, appParameters, exchange, isSessionCookie, signInThrough, tokens, webSignIn } from '../lib/flows.mjs';
import { PLATFORM_OWNER, registerActive, signInAdministrator } from '../lib/management.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const BOB = { email: 'bob@example.test', name: 'Bob' };
const SHOP = 'http://127.0.0.1:54321/shop';
const CONSOLE = 'http://127.0.0.1:54321/console';

/** A second service in an organization, and the app that uses it. */
async function openShop(owner, server, org, slug = 'shop') {
  if (org === WEB.org) await owner.delete(`/api/organizations/${org}/services/cli`);
  const answer = await owner.post(`/api/organizations/${org}/services`, { slug, name: `Shop of ${org}`, service_type: 'web', redirect_uris: [SHOP] });
  assert.equal(answer.status, 201, answer.text);
  return OpenIdApp.discover(server, answer.json.service.client_id, SHOP);
}

/** The demo organization with two apps, and its owner, who owns the platform as well. */
async function twoApps(stage, options = {}) {
  const server = await stage.gatehouse({ ...options, env: { PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email, ...options.env } });
  const owner = await signInAdministrator(server, PLATFORM_OWNER);
  const shop = await openShop(owner, server, WEB.org);
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  return { server, owner, web, shop };
}

function sessionCookies(browser, server) {
  return browser.jar.matching(server.url).filter(({ name }) => isSessionCookie(name));
}

scenario('a second service of the organization signs in without a trip to the provider', async (stage) => {
  const { server, web, shop } = await twoApps(stage);
  const browser = stage.browser();
  const first = await web.signIn(browser, ADA);
  assert.equal(first.claims.email, ADA.email);
  const attempt = await shop.start();
  const answer = await browser.get(attempt.url);
  assert(answer.location?.startsWith(SHOP), 'straight back to the app');
  const second = await shop.finish(attempt, new URL(answer.location));
  assert.deepEqual([second.claims.sub, second.claims.auth_time], [first.claims.sub, first.claims.auth_time], 'the same person, the original moment');
  assert.notEqual(second.claims.sid, first.claims.sid, 'a session of its own');
  assert.equal(second.claims.aud, shop.config.clientMetadata().client_id);
  assert((await shop.silent(browser)).code, 'prompt=none is answered with a code');
  assert.equal((await shop.silent(stage.browser())).error, 'login_required', 'another browser is nobody');
  for (const { value } of sessionCookies(browser, server)) assert(value.length > 40);
});

scenario('not across organizations, and not into the platform, in one and the same browser', async (stage) => {
  const { server, owner, web } = await twoApps(stage, { env: { PLATFORM_ADMIN_REDIRECT_URI: CONSOLE } });
  await registerActive(owner, owner, 'acme');
  const acme = await openShop(owner, server, 'acme');
  const platform = await OpenIdApp.discover(server, 'platform-admin-cli', CONSOLE);
  const browser = stage.browser();
  const ada = await web.signIn(browser, ADA);
  for (const other of [acme, platform]) assert.equal((await other.silent(browser)).error, 'login_required');
  // Not even with the cookie of one under the name of the other.
  const [cookie] = sessionCookies(browser, server);
  for (const [app, realm] of [[acme, 'acme'], [platform, 'platform']]) {
    const { url } = await app.start({ prompt: 'none' });
    const answer = await request(url, { headers: { cookie: `gatehouse-session-${realm}=${cookie.value}` } });
    assert.equal(new URL(answer.location).searchParams.get('error'), 'login_required');
  }
  const elsewhere = await acme.signIn(browser, ADA);
  assert.notEqual(elsewhere.claims.sub, ada.claims.sub, 'the same address is another person there');
  const root = await platform.signIn(browser, PLATFORM_OWNER);
  assert.equal(new Set([ada, elsewhere, root].map(({ claims }) => claims.sub)).size, 3);
  assert.deepEqual(sessionCookies(browser, server).map(({ name }) => name).sort(), ['gatehouse-session-acme', 'gatehouse-session-demo', 'gatehouse-session-platform']);
  for (const app of [web, acme, platform]) assert((await app.silent(browser)).code, 'each is signed in to its own');
});

scenario('prompt and max_age make the person sign in again, and auth_time says so (21)', async (stage) => {
  const { server, web, shop } = await twoApps(stage, { fakeClock: true });
  const browser = stage.browser();
  const { claims: before } = await web.signIn(browser, ADA);
  server.clock.set(5);
  for (const silent of [{ max_age: '1' }, { max_age: '0' }]) assert.equal((await shop.silent(browser, silent)).error, 'login_required');
  assert((await shop.silent(browser, { max_age: '600' })).code);
  for (const [wish, ahead] of [[{ max_age: '1' }, 5], [{ prompt: 'login' }, 10], [{ prompt: 'select_account' }, 15], [{ max_age: '0' }, 20]]) {
    server.clock.set(ahead);
    const { url } = await shop.start(wish);
    assert(new URL((await browser.get(url)).location).pathname.startsWith('/dev/provider'), `${JSON.stringify(wish)} leads to the provider`);
    const attempt = await shop.start(wish);
    const answer = await signInThrough(browser, attempt.url, ADA, { stopAt: SHOP });
    const { claims } = await shop.finish({ checks: { ...attempt.checks, maxAge: undefined } }, new URL(answer.location));
    assert(claims.auth_time >= before.auth_time + ahead - 1, `${JSON.stringify(wish)}: ${claims.auth_time - before.auth_time}`);
    assert.equal(claims.sub, before.sub);
  }
});

scenario('openid-client checks auth_time itself when it asked for max_age', async (stage) => {
  const { web } = await twoApps(stage);
  const browser = stage.browser();
  const { claims } = await web.signIn(browser, ADA, { max_age: '30' });
  assert(Math.abs(claims.auth_time - Date.now() / 1000) < 30);
  const again = await web.signIn(browser, ADA, { max_age: '0' });
  assert(again.claims.auth_time >= claims.auth_time);
});

scenario('id_token_hint and login_hint name a person; another one is not passed off as them (21)', async (stage) => {
  const { web, shop } = await twoApps(stage);
  const [browser, other] = [stage.browser(), stage.browser()];
  const ada = await web.signIn(browser, ADA);
  const bob = await web.signIn(other, BOB);
  assert((await shop.silent(browser, { id_token_hint: ada.tokens.id_token })).code);
  assert.equal((await shop.silent(browser, { id_token_hint: bob.tokens.id_token })).error, 'login_required');
  assert.equal((await shop.silent(browser, { login_hint: BOB.email })).error, 'account_selection_required');
  assert.equal((await shop.silent(browser, { id_token_hint: ada.tokens.access_token })).error, 'invalid_request');
  const [head, body, signature] = ada.tokens.id_token.split('.');
  for (const forged of [`${head}.${body}.${signature.slice(0, -4)}AAAA`, `${head}.${Buffer.from('{"sub":"x"}').toString('base64url')}.${signature}`, `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`]) {
    assert.equal((await shop.silent(browser, { id_token_hint: forged })).error, 'invalid_request');
  }
  // Bob's hint, Ada at the provider: the app is told, and nobody else is signed in.
  const attempt = await shop.start({ id_token_hint: bob.tokens.id_token });
  const answer = await signInThrough(browser, attempt.url, ADA, { stopAt: SHOP });
  assert.equal(appParameters(answer, SHOP).error, 'login_required');
  assert((await shop.silent(browser, { id_token_hint: ada.tokens.id_token })).code);
});

scenario('the provider hears what the app wants: login_hint, prompt, max_age', async (stage) => {
  const { server, oidc, google, github } = await stage.gatehouseWith(['oidc', 'google', 'github']);
  const asked = async (provider, wish) => {
    const web = await OpenIdApp.discover(server, WEB.clientId, APP);
    const { url } = await web.start({ idp_hint: provider, ...wish });
    const { searchParams } = new URL((await stage.browser().get(url)).location);
    return ['login_hint', 'login', 'prompt', 'max_age'].map((name) => searchParams.get(name));
  };
  assert.deepEqual(await asked('oidc', { login_hint: ADA.email }), [ADA.email, null, null, null]);
  assert.deepEqual(await asked('github', { login_hint: 'ada' }), [null, 'ada', null, null]);
  assert.deepEqual(await asked('oidc', { prompt: 'login' }), [null, null, 'login', null]);
  assert.deepEqual(await asked('oidc', { max_age: '0' }), [null, null, 'login', null]);
  assert.deepEqual(await asked('oidc', { max_age: '60' }), [null, null, null, '60']);
  assert.deepEqual(await asked('oidc', { prompt: 'select_account' }), [null, null, 'select_account', null]);
  for (const provider of ['google', 'github']) {
    for (const wish of [{ prompt: 'login' }, { max_age: '60' }, { prompt: 'select_account' }]) assert.deepEqual((await asked(provider, wish))[2], 'select_account');
  }
  assert.deepEqual([oidc.calls.token, google.calls.token, github.calls.token], [0, 0, 0]);
});

scenario('a provider that did not ask the person again is not believed', async (stage) => {
  const { server, oidc } = await stage.gatehouseWith(['oidc']);
  const account = oidc.account({ ...ADA, email_verified: true });
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  const now = Math.floor(Date.now() / 1000);
  oidc.forge((claims) => ({ ...claims, auth_time: now - 3600 }));
  for (const wish of [{ prompt: 'login' }, { max_age: '0' }, { max_age: '600' }]) {
    const { url } = await web.start({ idp_hint: 'oidc', ...wish });
    const told = appParameters(await signInThrough(stage.browser(), url, account));
    assert.deepEqual([told.error, told.code], ['login_required', undefined], JSON.stringify(wish));
  }
  await web.signIn(stage.browser(), account, { idp_hint: 'oidc' });
});

scenario('a session that came through one provider is none of another', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const account = google.account({ ...ADA, email_verified: true });
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  const browser = stage.browser();
  await web.signIn(browser, account, { idp_hint: 'google' });
  assert((await web.silent(browser, { idp_hint: 'google' })).code);
  assert.equal((await web.silent(browser, { idp_hint: 'dev' })).error, 'interaction_required');
  assert((await web.silent(browser, { idp_hint: 'nobody' })).code, 'a provider that is not here names nobody');
});

scenario('revocation, erasure and suspension end the browser\'s sign-in with the next request', async (stage) => {
  const { server, owner, web, shop } = await twoApps(stage);
  const browsers = { revoked: stage.browser(), erased: stage.browser(), suspended: stage.browser() };
  const people = {};
  for (const [name, browser] of Object.entries(browsers)) {
    people[name] = (await web.signIn(browser, { email: `${name}@example.test`, name })).claims;
    assert((await shop.silent(browser)).code);
  }
  const users = `/api/organizations/${WEB.org}/users`;
  assert.equal((await owner.delete(`${users}/${people.revoked.sub}/sessions`)).status, 200);
  assert.equal((await shop.silent(browsers.revoked)).error, 'login_required');
  assert.equal((await owner.delete(`${users}/${people.erased.sub}`)).status, 204);
  assert.equal((await shop.silent(browsers.erased)).error, 'login_required');
  assert((await shop.silent(browsers.suspended)).code, 'others are not touched');

  const code = await shop.start({ prompt: 'none' });
  const pending = new URL((await browsers.suspended.get(code.url)).location);
  const organization = `/api/platform/organizations/${WEB.org}`;
  assert.equal((await owner.post(`${organization}/suspend`, {})).status, 200);
  const { url } = await shop.start({ prompt: 'none' });
  assertErrorPage(await browsers.suspended.get(url), 403);
  assert.equal((await owner.post(`${organization}/activate`, {})).status, 200);
  assert.equal((await shop.silent(browsers.suspended)).error, 'login_required', 'activation revives nothing');
  await assert.rejects(shop.finish(code, pending), /invalid_grant|OAUTH|response/i);
  // A new sign-in works, and erasing left a new person.
  await web.signIn(browsers.revoked, { email: 'revoked@example.test', name: 'revoked' });
  const anew = await web.signIn(browsers.erased, { email: 'erased@example.test', name: 'erased' });
  assert.notEqual(anew.claims.sub, people.erased.sub);
  assert(server.running);
});

scenario('the session cookie: hidden from scripts, new at each sign-in, never adopted, never repaired (249, 250)', async (stage) => {
  const { server, web } = await twoApps(stage);
  const browser = stage.browser();
  const lines = [];
  const sent = browser.get.bind(browser);
  browser.get = async (...parameters) => {
    const answer = await sent(...parameters);
    lines.push(...answer.setCookies.filter((line) => isSessionCookie(line)));
    return answer;
  };
  await web.signIn(browser, ADA, { prompt: 'login' });
  await web.signIn(browser, ADA, { prompt: 'login' });
  assert.equal(lines.length, 2);
  for (const line of lines) {
    for (const attribute of [/; ?HttpOnly/i, /; ?SameSite=Lax/i, /; ?Path=\/(;|$)/i, /; ?Max-Age=604800/i]) assert.match(line, attribute);
    assert(!/domain=/i.test(line));
  }
  assert.notEqual(lines[0].split(';')[0], lines[1].split(';')[0], 'a new value');
  const [old, current] = lines.map((line) => line.split(';')[0].split('=')[1]);
  const { url } = await web.start({ prompt: 'none' });
  const told = async (cookie) => {
    const answer = await request(url, { headers: { cookie } });
    return new URL(answer.location).searchParams.get('error') ?? 'code';
  };
  const name = 'gatehouse-session-demo';
  assert.equal(await told(`${name}=${current}`), 'code');
  for (const cookie of [
    `${name}=${old}`, `${name}=`, `${name}=${current.slice(0, -1)}`, `${name}=${current}A`, `${name}=${current}; ${name}=${current}`, `${name}=${old}; ${name}=${current}`,
    `${name}=%00`, `${name}="${current}"`, `${name.toUpperCase()}=${current}`, `gatehouse-session-other=${current}`, `__Host-${name}=${current}`, `${name}=${'x'.repeat(10_000)}`, `${name}=' OR 1=1--`,
  ]) assert.equal(await told(cookie), 'login_required', cookie.slice(0, 60));
});

scenario('HEAD and prefetches hand out nothing (27)', async (stage) => {
  const { server, web } = await twoApps(stage);
  const browser = stage.browser();
  await web.signIn(browser, ADA);
  const cookie = browser.jar.header(server.url);
  const { url } = await web.start({ prompt: 'none' });
  assert.equal((await request(url, { method: 'HEAD', headers: { cookie } })).status, 405);
  for (const purpose of ['prefetch', 'prefetch;prerender']) {
    const answer = await request(url, { headers: { cookie, accept: 'text/html', 'sec-purpose': purpose } });
    assertErrorPage(answer, 403);
    assert.equal(answer.setCookies.length, 0);
  }
  for (const start of [webSignIn(server, 'dev').url, `${server.url}/auth/dev/callback?state=x&code=y`]) {
    const answer = await request(start, { headers: { cookie, accept: 'text/html', 'sec-purpose': 'prefetch' } });
    assertErrorPage(answer, 403);
  }
  assert((await web.silent(browser)).code, 'the person itself gets one');
});

scenario('the same challenge twice is two sign-ins, and each code stays with its verifier (15)', async (stage) => {
  const { server } = await twoApps(stage);
  const browser = stage.browser();
  const attempt = webSignIn(server, 'dev');
  const codes = [];
  for (let time = 0; time < 2; time += 1) codes.push(appParameters(await signInThrough(browser, attempt.url, ADA)).code);
  assert.notEqual(codes[0], codes[1]);
  for (const code of codes) tokens(await exchange(server, { ...attempt, code }));
});

scenario('discovery says what the endpoint does', async (stage) => {
  const server = await stage.gatehouse();
  const metadata = (await request(`${server.url}/.well-known/openid-configuration`)).json;
  assert.deepEqual(metadata.prompt_values_supported, ['none', 'login', 'consent', 'select_account']);
  assert.deepEqual(metadata.response_modes_supported, ['query', 'form_post']);
  assert.equal(metadata.claims_parameter_supported, false);
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);
});
