// Tokens for the provider's API, kept for the user's app: always fresh, never in clear. Numbers are those of the abuse
// cases.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { formWith } from '../lib/browser.mjs';
import { editDatabase, queryDatabase } from '../lib/database.mjs';
import { assertApiError, assertErrorPage } from '../lib/expect.mjs';
import { APP, appParameters, exchange, linkAccount, signInThrough, tokens, webSignIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { Caller, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const PROVIDERS = ['google', 'microsoft', 'github'];
const SCOPES = { google_scopes: ['https://www.googleapis.com/auth/calendar.readonly'], microsoft_scopes: ['Mail.Read'], github_scopes: ['repo'] };
const HOUR_MS = 3600 * 1000;
const path = (provider) => `/api/provider-token/${provider}`;

/** A service whose app calls providers, and stand-ins that give tokens which end and can be refreshed. */
async function setting(stage, { providers = ['google'], ...options } = {}) {
  const { server, ...upstreams } = await stage.gatehouseWith(providers, { env: { PLATFORM_OWNER_EMAIL: 'root@example.test' }, ...options });
  for (const name of PROVIDERS) if (upstreams[name] !== undefined) upstreams[name].givesRefreshTokens = true;
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const admin = await signInAdministrator(server, { email: 'admin@acme.test', name: 'Admin' });
  const { id } = await registerActive(admin, owner, 'acme');
  const made = await admin.post('/api/organizations/acme/services', { slug: 'app', name: 'App', service_type: 'web', redirect_uris: [APP], ...SCOPES });
  assert.equal(made.status, 201, made.text);
  const clientId = made.json.service.client_id;
  const enter = async (provider, account, browser = stage.browser()) => {
    const attempt = webSignIn(server, provider, { org: 'acme', service: 'app' });
    const { code } = appParameters(await signInThrough(browser, attempt.url, account));
    return new Caller(server, tokens(await exchange(server, { ...attempt, code }, { client_id: clientId })).access);
  };
  return { server, ...upstreams, owner, admin, orgId: id, enter };
}

/** Whether the provider's own API takes the token. */
async function isGood(upstream, token) {
  return (await request(`${upstream.url}/me`, { bearer: token })).status === 200;
}

async function figures(server) {
  return (await request(`${server.url}/health/ready`)).json.actors.token_refresher;
}

async function token(caller, provider = 'google') {
  const answer = await caller.get(path(provider));
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

const erin = (upstream) => upstream.account({ email: 'erin@acme.test', email_verified: true, name: 'Erin' });

scenario('an app reads a token that works at the provider, and never the refresh token', async (stage) => {
  const { server, google, admin, enter } = await setting(stage);
  const user = await enter('google', erin(google));
  const answer = await token(user);
  assert.deepEqual(Object.keys(answer).sort(), ['access_token', 'expires_at', 'provider', 'scopes']);
  assert.equal(answer.provider, 'google');
  assert(answer.scopes.includes('openid'));
  const left = Date.parse(answer.expires_at) - Date.now();
  assert(left > 60_000 && left <= 600_000, `${left} ms`);
  assert(await isGood(google, answer.access_token));
  assert.equal((await token(user)).access_token, answer.access_token, 'it is the same one while it is good');
  assert.equal(google.calls.token, 1);

  assertApiError(await user.get(path('microsoft')), 409, 'REAUTHORIZATION_REQUIRED');
  assertApiError(await user.get(path('oidc')), 404, 'NOT_FOUND');
  assertApiError(await user.get(path('nonsense')), 404, 'NOT_FOUND');
  assertApiError(await admin.get(path('google')), 403, 'FORBIDDEN');
  assertApiError(await Caller.anonymous(server).get(path('google')), 401, 'UNAUTHORIZED');

  const log = (await admin.get('/api/organizations/acme/audit-log')).json.logs;
  const reads = log.filter(({ action }) => action.startsWith('provider_token.'));
  assert.deepEqual(reads.map(({ action }) => action), ['provider_token.first_read'], 'the reads of an hour are one entry');
  assert.equal(reads[0].metadata.provider, 'google');

  // What was granted to another service, or to the demo organization's, is not this one's.
  await server.stop();
  await server.restart();
  assert.equal((await token(user)).access_token, answer.access_token, 'it survives a restart');
});

scenario('a hundred callers of an expired token cause one refresh and all get the new one (190)', async (stage) => {
  const { server, google, enter } = await setting(stage, { fakeClock: true });
  const user = await enter('google', erin(google));
  const first = await token(user);
  server.clock.set(700); // past the end of the provider token, within the life of ours
  const before = google.calls.token;
  const answers = await Promise.all(Array.from({ length: 100 }, () => token(user)));
  assert.equal(google.calls.token, before + 1, 'the provider was asked once');
  assert.equal(new Set(answers.map((answer) => answer.access_token)).size, 1);
  assert.notEqual(answers[0].access_token, first.access_token);
  assert(await isGood(google, answers[0].access_token));
});

scenario('a token that ends at once is refreshed for each reader in turn, and rotation never trips', async (stage) => {
  const { google, enter } = await setting(stage);
  google.tokenSeconds = 20; // less than the minute that is promised
  const user = await enter('google', erin(google));
  const seen = new Set();
  for (let read = 0; read < 5; read += 1) seen.add((await token(user)).access_token);
  assert.equal(seen.size, 5);
  for (const burst of [1, 2]) {
    const before = google.calls.token;
    const answers = await Promise.all(Array.from({ length: 50 }, () => token(user)));
    const asked = google.calls.token - before;
    assert(asked >= 1 && asked <= 3, `burst ${burst}: the provider was asked ${asked} times for 50 readers`);
    for (const { access_token: one } of answers.slice(0, 5)) assert(await isGood(google, one));
  }
});

scenario('a grant that is over asks for the user, and the address that it gives mends it', async (stage) => {
  const { server, google, enter } = await setting(stage, { fakeClock: true });
  const account = erin(google);
  const user = await enter('google', account);
  await token(user);
  server.clock.set(700);
  google.fail('token', 'invalid_grant');
  const over = await user.get(path('google'));
  assertApiError(over, 409, 'REAUTHORIZATION_REQUIRED');
  assert(over.json.reauthorize_url.startsWith(`${server.url}/auth/link/google?`));
  const asked = google.calls.token;
  google.heal();
  assertApiError(await user.get(path('google')), 409, 'REAUTHORIZATION_REQUIRED');
  assert.equal(google.calls.token, asked, 'a dead grant is not tried again');
  server.clock.set(0); // the provider's clock was never ahead

  const stranger = google.account({ email: 'mallory@acme.test', email_verified: true });
  const elsewhere = await signInThrough(stage.browser(), over.json.reauthorize_url, stranger, { stopAt: undefined });
  assert.equal(new URL(elsewhere.url).pathname, '/auth/link/confirm', 'another account is no way to renew this one');
  assertApiError(await user.get(path('google')), 409, 'REAUTHORIZATION_REQUIRED');
  const page = await signInThrough(stage.browser(), (await user.get(path('google'))).json.reauthorize_url, account, { stopAt: undefined });
  assert.equal(page.status, 200, page.text);
  assert(await isGood(google, (await token(user)).access_token));
});

scenario('a provider that is away costs a bounded time, and the old token is served while it is valid', async (stage) => {
  const { server, google, enter } = await setting(stage, { fakeClock: true });
  const user = await enter('google', erin(google));
  const { access_token: old } = await token(user);
  for (const kind of ['error', 'garbage', 'drop', 'redirect']) {
    google.fail('token', kind);
    server.clock.set(570); // half a minute left
    assert.equal((await token(user)).access_token, old, `${kind}: still valid`);
    server.clock.set(610);
    assertApiError(await user.get(path('google')), 502, 'OAUTH_ERROR');
  }
  google.fail('token', 'hang');
  const before = google.calls.token;
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 20 }, () => user.get(path('google'))));
  for (const answer of answers) assertApiError(answer, 502, 'OAUTH_ERROR');
  assert(performance.now() - began < 25_000, 'nobody waits for all who were there before');
  assert(google.calls.token - before <= 2, 'those who waited share the failure');
  google.heal();
  assert.notEqual((await token(user)).access_token, old);
});

scenario('suspension, unlinking and erasure take the tokens away', async (stage) => {
  const { server, google, microsoft, owner, admin, orgId, enter } = await setting(stage, { providers: ['google', 'microsoft'] });
  const account = erin(google);
  const user = await enter('google', account);
  await token(user);
  const work = microsoft.account({ name: 'Erin at work' });
  await linkAccount(stage.browser(), user, { provider: 'microsoft', account: work, proof: ['google', account] });
  const viaMicrosoft = await enter('microsoft', work);
  assert(await isGood(microsoft, (await token(viaMicrosoft, 'microsoft')).access_token));
  assert.equal((await token(viaMicrosoft, 'google')).provider, 'google', 'one user, one grant for each provider');
  assert.equal((await user.delete('/api/user/identities/microsoft')).status, 204);
  assertApiError(await user.get(path('microsoft')), 409, 'REAUTHORIZATION_REQUIRED');

  const suspended = await owner.post(`/api/platform/organizations/${orgId}/suspend`, { reason: 'test' });
  assert.equal(suspended.json.revoked.provider_grants, 1);
  assertApiError(await user.get(path('google')), 403, 'ORGANIZATION_NOT_ACTIVE');
  assert.equal((await owner.post(`/api/platform/organizations/${orgId}/activate`, {})).status, 200);
  assertApiError(await user.get(path('google')), 401, 'UNAUTHORIZED');

  const back = await enter('google', account);
  const [{ user: { id } }] = (await admin.get('/api/organizations/acme/users')).json.users;
  assert.equal((await token(back)).provider, 'google');
  assert.equal((await admin.delete(`/api/organizations/acme/users/${id}`)).status, 204);
  assertApiError(await back.get(path('google')), 401, 'UNAUTHORIZED');
});

scenario('a ciphertext that was moved to another row, or to another column, opens nothing (178, 194)', async (stage) => {
  const { server, google, enter } = await setting(stage);
  const [erinsApp, eve] = [await enter('google', erin(google)), await enter('google', google.account({ email: 'eve@acme.test', email_verified: true }))];
  await token(erinsApp);
  await token(eve);
  await server.stop();
  await editDatabase(server.dir, 'UPDATE provider_grants SET access_token_sealed = (SELECT o.access_token_sealed FROM provider_grants o WHERE o.id = 2) WHERE id = 1');
  await server.restart();
  assertApiError(await erinsApp.get(path('google')), 409, 'REAUTHORIZATION_REQUIRED');
  assert.equal((await token(eve)).provider, 'google', 'the other row is what it was');
  await server.stop();
  await editDatabase(server.dir, 'UPDATE provider_grants SET access_token_sealed = refresh_token_sealed WHERE id = 2');
  await server.restart();
  assertApiError(await eve.get(path('google')), 409, 'REAUTHORIZATION_REQUIRED');
  const again = await enter('google', google.account({ email: 'zoe@acme.test', email_verified: true }));
  assert(await isGood(google, (await token(again)).access_token), 'others go on');
});

scenario('a classic token of GitHub does not end and is not refreshed', async (stage) => {
  const { server, github, enter } = await setting(stage, { providers: ['github'], fakeClock: true });
  github.user = github.account({ login: 'octocat', emails: [{ email: 'octocat@acme.test', primary: true, verified: true }] });
  const user = await enter('github');
  const answer = await token(user, 'github');
  assert.equal(answer.expires_at, null);
  assert(answer.scopes.includes('repo'));
  const profile = await request(`${github.apiUrl}/user`, { bearer: answer.access_token, headers: { 'user-agent': 'app' } });
  assert.equal(profile.status, 200);
  server.clock.set(800);
  assert.equal((await token(user, 'github')).access_token, answer.access_token);
  assert.equal(github.calls.token, 1);
  assertErrorPage(await stage.browser().get(`${server.url}/auth/link/github?ticket=x`), 400);
});

scenario("a GitHub App's tokens end after eight hours, rotate, and are over when GitHub says so with status 200", async (stage) => {
  const { server, github, enter } = await setting(stage, { providers: ['github'], fakeClock: true });
  github.isApp = true;
  github.user = github.account({ login: 'octocat', emails: [{ email: 'octocat@acme.test', primary: true, verified: true }] });
  const takes = async (one) => (await request(`${github.apiUrl}/user`, { bearer: one, headers: { 'user-agent': 'app' } })).status === 200;
  const first = await token(await enter('github'), 'github');
  const left = Date.parse(first.expires_at) - Date.now();
  assert(left > 7.9 * HOUR_MS && left <= 8 * HOUR_MS, `${left} ms`);
  assert.match(first.access_token, /^ghu_/);

  // Ahead of time, by nobody's request, again and again: each refresh token works once.
  for (const [hours, calls] of [[8, 2], [16, 3], [24, 4]]) {
    server.clock.set(hours * 3600 - 240);
    await until(`refresh at ${hours} hours`, () => github.calls.token === calls, { deadlineMs: 25_000 });
  }
  await until('it is stored', async () => figures(server).then(({ refreshed }) => refreshed === 3));
  const back = await enter('github');
  const now = await token(back, 'github');
  assert(await takes(now.access_token) && !(await takes(first.access_token)));

  // On demand: who comes after the end waits for one refresh.
  github.tokenSeconds = 30;
  const third = await token(await enter('github'), 'github');
  const before = github.calls.token;
  const answers = await Promise.all(Array.from({ length: 20 }, () => token(back, 'github')));
  assert(github.calls.token > before);
  for (const { access_token: one } of answers) assert.notEqual(one, third.access_token);
  assert(await takes((await token(back, 'github')).access_token), 'rotation never tripped');

  github.forgetEverything();
  assertApiError(await back.get(path('github')), 409, 'REAUTHORIZATION_REQUIRED');
  const asked = github.calls.token;
  assertApiError(await back.get(path('github')), 409, 'REAUTHORIZATION_REQUIRED');
  assert.equal(github.calls.token, asked, 'bad_refresh_token is the end of it');
});

scenario('the first key of the ring changes under live traffic, and the old one can be taken away', async (stage) => {
  const [oldest, old, next] = Array.from({ length: 3 }, () => randomBytes(32).toString('base64'));
  const { server, google, enter } = await setting(stage, { env: { PLATFORM_OWNER_EMAIL: 'root@example.test', ENCRYPTION_KEY: old } });
  const people = [];
  for (let n = 0; n < 3; n += 1) people.push(await enter('google', google.account({ email: `p${n}@acme.test`, email_verified: true })));
  const before = await Promise.all(people.map((one) => token(one)));
  await server.stop();

  // While it seals anew, everybody reads and others sign in.
  await server.restart({ env: { ENCRYPTION_KEY: `${next},${old}` } });
  const traffic = Array.from({ length: 20 }, async (_, n) => token(people[n % 3]));
  const during = await enter('google', google.account({ email: 'late@acme.test', email_verified: true }));
  const reads = await Promise.all(traffic);
  for (const [n, { access_token: one }] of reads.entries()) assert.equal(one, before[n % 3].access_token);
  const done = await until('everything is sealed anew', async () => {
    const { json } = await request(`${server.url}/health/ready`);
    return json.actors.resealer.columns_left === 0 && json.actors.resealer;
  });
  assert(done.resealed >= 1, JSON.stringify(done));
  assert.equal(done.unreadable, 0);
  await server.stop();

  await server.restart({ env: { ENCRYPTION_KEY: next } });
  for (const [n, one] of people.entries()) assert.equal((await token(one)).access_token, before[n].access_token, 'the old key is gone and nothing with it');
  assert.equal((await token(during)).provider, 'google');
  const again = (await request(`${server.url}/health/ready`)).json.actors.resealer;
  assert.deepEqual([again.resealed, again.unreadable], [0, 0]);
  await server.stop();

  // Taken away too early, it is missed by name, and nothing is lost.
  await server.restart({ env: { ENCRYPTION_KEY: oldest } });
  await until('what does not open is counted', async () => (await request(`${server.url}/health/ready`)).json.actors.resealer.unreadable === 1);
  assert.equal((await people[0].get(path('google'))).status, 500);
  await server.stop();
  await server.restart({ env: { ENCRYPTION_KEY: `${oldest},${next}` } });
  assert.equal((await token(people[0])).access_token, before[0].access_token);
});

scenario('somebody who allows nothing leaves no token behind', async (stage) => {
  const { server, google, admin, enter } = await setting(stage);
  const made = await admin.post('/api/organizations/acme/services', { slug: 'third', name: 'Third', service_type: 'web', redirect_uris: [APP], is_third_party: true, ...SCOPES });
  assert.equal(made.status, 201, made.text);
  const account = erin(google);
  const browser = stage.browser();
  const attempt = webSignIn(server, 'google', { org: 'acme', service: 'third', scope: 'openid' });
  const question = await signInThrough(browser, attempt.url, account, { stopAt: undefined });
  assert.equal(new URL(question.url).pathname, '/oauth/consent');
  const kept = async () => {
    await server.stop();
    const rows = await queryDatabase(server.dir, 'SELECT (SELECT COUNT(*) FROM provider_grants), (SELECT COUNT(*) FROM waiting_grants)');
    await server.restart();
    return rows[0];
  };
  assert.deepEqual(await kept(), [0, 1], 'nothing is in the vault before the person has answered');
  const denied = await browser.submit(formWith(question, 'csrf'), { decision: 'deny' }, { stopAt: APP });
  assert.equal(appParameters(denied).error, 'access_denied');
  assert.deepEqual(await kept(), [0, 0], 'no is no');

  const asked = await signInThrough(browser, webSignIn(server, 'google', { org: 'acme', service: 'third', scope: 'openid' }).url, account, { stopAt: undefined });
  assert.equal(new URL(asked.url).pathname, '/oauth/consent', asked.text);
  const allowed = await browser.submit(formWith(asked, 'csrf'), { decision: 'allow' }, { stopAt: APP });
  assert(appParameters(allowed).code !== undefined);
  assert.deepEqual(await kept(), [1, 0]);
  assert.equal((await token(await enter('google', account))).provider, 'google', 'another service has its own');
});
