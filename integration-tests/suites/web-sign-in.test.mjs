// Sign-in on the web as it should go: an app, a browser, a provider, and the life of the session that follows.

import assert from 'node:assert/strict';
import { decodeJwt } from 'jose';
import { assertApiError, assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import {
  APP, CLI, WEB, appParameters, exchange, obtainCode, refresh, refreshGrant, signIn, signInThrough, tokens,
  verifyAccessToken, webSignIn, whoAmI,
} from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { secretCount } from '../lib/journal.mjs';
import { scenario } from '../lib/stage.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

scenario('a person signs in through Google, and the token says who they are', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const account = google.account({ ...ADA, email_verified: true });
  const { access } = await signIn(server, 'google', account);

  const { payload, protectedHeader } = await verifyAccessToken(server, access, WEB.clientId);
  assert.equal(protectedHeader.typ, 'at+jwt');
  assert.match(payload.sub, UUID);
  assert.notEqual(payload.sub, account.sub, 'our own id, not the provider\'s');
  assert.equal(payload.exp - payload.iat, 900);
  assert.equal(payload.client_id, WEB.clientId);
  assert.equal(payload.token_use, 'access');
  assert.equal(payload.email, ADA.email);
  assert.equal(payload.org, WEB.org);
  assert.equal(payload.service, WEB.service);
  assert.equal(payload.plan, 'free');
  assert(Array.isArray(payload.features));
  assert.equal(payload.is_platform_owner ?? false, false);
  for (const claim of ['jti', 'sid']) assert.match(payload[claim], /\S{8,}/, claim);

  const user = await whoAmI(server, access);
  assert.equal(user.status, 200, user.text);
  const { id, email, name, org, service, is_platform_owner: owner, created_at: createdAt } = user.json;
  assert.deepEqual({ id, email, name, org, service, owner }, { id: payload.sub, email: ADA.email, name: ADA.name, org: WEB.org, service: WEB.service, owner: false });
  assert('avatar_url' in user.json);
  assert(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000);

  const keys = await request(`${server.url}/.well-known/jwks.json`);
  const kinds = keys.json.keys.map((key) => [key.alg, key.kty, key.crv, key.use].join(' ')).sort();
  assert.deepEqual(kinds, ['ES256 EC P-256 sig', 'EdDSA OKP Ed25519 sig', 'RS256 RSA  sig']);
  for (const key of keys.json.keys) {
    for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert(!(name in key), 'no private member is published');
  }
  assert.equal(new Set(keys.json.keys.map((key) => key.kid)).size, keys.json.keys.length);
  assert(secretCount() >= 6, 'the leak check has something to look for');
});

scenario('GitHub gives the verified primary e-mail, and the same person again is the same user', async (stage) => {
  const { server, github } = await stage.gatehouseWith(['github']);
  github.user = github.account({
    login: 'ada',
    name: ADA.name,
    emails: [
      { email: 'old@example.test', primary: false, verified: true },
      { email: ADA.email, primary: true, verified: true },
    ],
  });
  const first = decodeJwt((await signIn(server, 'github')).access);
  assert.equal(first.email, ADA.email);
  github.user = { ...github.user, login: 'renamed' };
  const second = decodeJwt((await signIn(server, 'github')).access);
  assert.equal(second.sub, first.sub, 'the account is its number, not its login');
  assert.notEqual(second.sid, first.sid);
  assert.deepEqual([github.calls.token, github.calls.user, github.calls.emails], [2, 2, 2]);
});

scenario('an e-mail that the provider does not vouch for gives no e-mail', async (stage) => {
  const { server, github, microsoft, oidc } = await stage.gatehouseWith(['github', 'microsoft', 'oidc']);
  github.user = github.account({ login: 'eve', email: 'victim@example.test', emails: [{ email: 'victim@example.test', primary: true, verified: false }] });
  const claimed = { email: 'victim@example.test', name: 'Eve' };
  const cases = [
    ['github', undefined],
    ['microsoft', microsoft.account({ ...claimed, email_verified: true })], // anyone may type any e-mail into a tenant
    ['oidc', oidc.account({ ...claimed, email_verified: false })],
    ['oidc', oidc.account({ ...claimed, email_verified: 'false' })],
    ['oidc', oidc.account(claimed)],
  ];
  const subjects = new Set();
  for (const [provider, account] of cases) {
    const { access } = await signIn(server, provider, account);
    const claims = decodeJwt(access);
    assert.equal(claims.email ?? null, null, provider);
    assert.equal((await whoAmI(server, access)).json.email, null, provider);
    subjects.add(claims.sub);
  }
  assert.equal(subjects.size, cases.length, 'nobody was merged with anybody');
});

scenario('a company\'s own provider and the dev provider sign people in', async (stage) => {
  const { server, oidc } = await stage.gatehouseWith(['oidc']);
  const { access } = await signIn(server, 'oidc', oidc.account({ ...ADA, email_verified: true }));
  assert.equal((await verifyAccessToken(server, access, WEB.clientId)).payload.email, ADA.email);
  const dev = await signIn(server, 'dev', { email: 'grace@example.test', name: 'Grace Hopper' });
  assert.equal((await whoAmI(server, dev.access)).json.name, 'Grace Hopper');
  const unverified = await signIn(server, 'dev', { email: 'liar@example.test', name: 'Liar', email_verified: false });
  assert.equal((await whoAmI(server, unverified.access)).json.email, null);
});

scenario('state reaches the app byte for byte', async (stage) => {
  const server = await stage.gatehouse();
  const states = ['a&b=c+d e%20%2F', 'ünïcödé 🚪🔑', `"'<script>\\;#?/`, 'x'.repeat(2000)];
  for (const state of states) {
    const attempt = webSignIn(server, 'dev', { state });
    const answer = await signInThrough(stage.browser(), attempt.url, ADA);
    assert.equal(appParameters(answer).state, state);
  }
});

scenario('the app\'s loopback redirect URI takes any port, on both loopback addresses', async (stage) => {
  const server = await stage.gatehouse();
  for (const redirectUri of ['http://127.0.0.1:1/callback', 'http://127.0.0.1:65535/callback', 'http://[::1]:4711/callback', `${server.url}/dev/callback`]) {
    const attempt = webSignIn(server, 'dev', {}, redirectUri);
    const answer = await signInThrough(stage.browser(), attempt.url, ADA, { stopAt: redirectUri });
    const { code } = appParameters(answer, redirectUri);
    tokens(await exchange(server, { ...attempt, code }));
  }
});

scenario('two sign-ins of one user in the same second both work', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const account = google.account({ ...ADA, email_verified: true });
  const sessions = await Promise.all(Array.from({ length: 4 }, () => signIn(server, 'google', account)));
  const claims = sessions.map(({ access }) => decodeJwt(access));
  assert.equal(new Set(claims.map(({ sub }) => sub)).size, 1, 'one user, even when the first sign-ins race');
  assert.equal(new Set(claims.map(({ sid }) => sid)).size, 4);
  assert.equal(new Set(claims.map(({ jti }) => jti)).size, 4);
  for (const { access, refresh: token } of sessions) {
    assert.equal((await whoAmI(server, access)).status, 200);
    assert.equal((await refresh(server, token)).status, 200);
  }
});

scenario('one browser signs in twice at once, in two tabs', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const browser = stage.browser();
  const first = webSignIn(server, 'google');
  const second = webSignIn(server, 'dev');
  const pending = await browser.follow(await browser.get(first.url)); // waits on Google's page
  const done = appParameters(await signInThrough(browser, second.url, ADA));
  assert.equal(done.state, second.state);
  assert.equal(pending.status, 200);
  const later = appParameters(await signInThrough(browser, pending.url, google.account({ email: 'b@example.test', email_verified: true })));
  assert.equal(later.state, first.state, 'the second tab did not take the first one\'s cookie away');
});

scenario('a refresh token rotates, at either address, and a replay within the grace gets the same successor', async (stage) => {
  const server = await stage.gatehouse();
  const first = await signIn(server, 'dev', ADA);
  const second = tokens(await refreshGrant(server, first.refresh));
  assert.notEqual(second.refresh, first.refresh);
  assert.equal(decodeJwt(second.access).sid, decodeJwt(first.access).sid);
  const again = tokens(await refresh(server, first.refresh));
  assert.equal(again.refresh, second.refresh, 'the lost answer is given again');

  const third = tokens(await refresh(server, second.refresh));
  assert.equal((await whoAmI(server, third.access)).status, 200);
  // The successor has been used: now the first token in other hands can only be a theft.
  assertOAuthError(await refreshGrant(server, first.refresh), 400, 'invalid_grant', 'INVALID_GRANT');
  assert.equal((await whoAmI(server, third.access)).status, 401, 'the whole family is dead');
  assertOAuthError(await refreshGrant(server, third.refresh), 400, 'invalid_grant');
});

scenario('twenty parallel refreshes of one token get one successor', async (stage) => {
  const server = await stage.gatehouse();
  const { refresh: token } = await signIn(server, 'dev', ADA);
  const answers = await Promise.all(Array.from({ length: 20 }, () => refreshGrant(server, token)));
  assert.deepEqual(answers.map(({ status }) => status), Array(20).fill(200));
  const successors = new Set(answers.map(({ json }) => json.refresh_token));
  assert.equal(successors.size, 1);
  tokens(await refreshGrant(server, [...successors][0]));
});

scenario('a refresh token serves its own client only', async (stage) => {
  const server = await stage.gatehouse();
  const { refresh: token } = await signIn(server, 'dev', ADA);
  assertOAuthError(await refreshGrant(server, token, CLI.clientId), 400, 'invalid_grant');
  tokens(await refreshGrant(server, token));
});

scenario('signing out is effective at once', async (stage) => {
  const server = await stage.gatehouse();
  const other = await signIn(server, 'dev', ADA);
  const { access, refresh: token } = await signIn(server, 'dev', ADA);
  assert.equal((await whoAmI(server, access)).status, 200);
  const logout = (bearer) => request(`${server.url}/api/auth/logout`, { method: 'POST', bearer, headers: { 'content-type': 'application/json' } });
  assert.equal((await logout(access)).status, 204);
  const refused = await whoAmI(server, access);
  assertApiError(refused, 401, 'UNAUTHORIZED');
  assert.match(refused.headers['www-authenticate'] ?? '', /^Bearer .*error="invalid_token"/);
  assertOAuthError(await refreshGrant(server, token), 400, 'invalid_grant');
  assert.equal((await logout(access)).status, 204, 'ending an ended session is fine');
  assert.equal((await whoAmI(server, other.access)).status, 200, 'the other session lives');
});

scenario('a code works once; its second use takes back what the first one gave', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const { access, refresh: token } = tokens(await exchange(server, attempt));
  assertOAuthError(await exchange(server, attempt), 400, 'invalid_grant', 'INVALID_GRANT');
  assert.equal((await whoAmI(server, access)).status, 401);
  assertOAuthError(await refreshGrant(server, token), 400, 'invalid_grant');
});

scenario('fifty parallel exchanges of one code give at most one session', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(server, attempt)));
  const won = answers.filter(({ status }) => status === 200);
  assert.equal(won.length, 1);
  for (const lost of answers.filter(({ status }) => status !== 200)) assertOAuthError(lost, 400, 'invalid_grant');
});

scenario('a code is bound to its verifier, its redirect URI and its client', async (stage) => {
  const server = await stage.gatehouse();
  const bends = [
    { code_verifier: 'w'.repeat(43) },
    { code_verifier: undefined },
    { code_verifier: 'w'.repeat(42) },
    { code_verifier: 'w'.repeat(129) },
    { code_verifier: `${'w'.repeat(42)}!` },
    { redirect_uri: undefined },
    { redirect_uri: 'http://127.0.0.1:54322/callback' },
    { client_id: CLI.clientId },
  ];
  for (const bend of bends) {
    const attempt = await obtainCode(server, 'dev', ADA);
    assertOAuthError(await exchange(server, attempt, bend), 400, 'invalid_grant');
  }
  const attempt = await obtainCode(server, 'dev', ADA);
  const { searchParams } = new URL(attempt.url);
  assertOAuthError(await exchange(server, attempt, { code_verifier: searchParams.get('code_challenge') }), 400, 'invalid_grant');
});

scenario('a bent code is just unknown', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const { code } = attempt;
  const last = code.at(-1) === 'A' ? 'Q' : 'A';
  const bodies = new Set();
  for (const bent of [code.slice(0, -1) + last, code.slice(0, -4), `${code}=`, ` ${code}`, code.toUpperCase(), 'x'.repeat(60_000), 'a\u0000b', '🚪']) {
    const answer = await exchange(server, { ...attempt, code: bent });
    assertOAuthError(answer, 400, 'invalid_grant');
    bodies.add(answer.json.error_description);
  }
  assert.equal(bodies.size, 1, 'every wrong code gets the same sentence');
  tokens(await exchange(server, attempt));
});

scenario('the second provider of one verified e-mail is refused with a page that says how to link', async (stage) => {
  const { server, google, oidc } = await stage.gatehouseWith(['google', 'oidc']);
  const account = google.account({ ...ADA, email_verified: true });
  const { access } = await signIn(server, 'google', account);
  const other = oidc.account({ email: 'ADA@Example.Test', email_verified: true, name: 'Not Ada' });
  const page = await signInThrough(stage.browser(), webSignIn(server, 'oidc').url, other);
  assertErrorPage(page, 409);
  assert.match(page.text, /link/i);
  const user = await whoAmI(server, access);
  assert.deepEqual([user.status, user.json.name], [200, ADA.name], 'the account is untouched');
  const again = await signIn(server, 'google', account);
  assert.equal(decodeJwt(again.access).sub, user.json.id);
});

scenario('JSON bodies are understood at the token endpoint, and both addresses are one', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const answer = await request(`${server.url}/oauth/token`, {
    json: { grant_type: 'authorization_code', client_id: WEB.clientId, code: attempt.code, redirect_uri: APP, code_verifier: attempt.verifier },
  });
  const { refresh: token } = tokens(answer);
  tokens(await request(`${server.url}/oauth/token`, { json: { grant_type: 'refresh_token', refresh_token: token, client_id: WEB.clientId } }));
});
