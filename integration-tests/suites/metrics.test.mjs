// /metrics: what is counted is what happened, nothing makes it grow, and nothing in it is anybody's.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { APP, WEB, address, appParameters, deviceCode, obtainCode, pkce, poll, refresh, signIn, signInThrough, webSignIn, whoAmI } from '../lib/flows.mjs';
import { freePort } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { lastRequests, leaksInLog, secretCount } from '../lib/journal.mjs';
import { Prometheus, promtool, scrape } from '../lib/prometheus.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada.lovelace@example.test', name: 'Ada Lovelace' };
const TOKEN = randomBytes(48).toString('base64');

/** How much each of these series grew between two scrapes. */
function growth(before, after, rows) {
  return rows.map(([name, labels]) => after.value(name, labels) - before.value(name, labels));
}

scenario('counters move by exactly what was done', async (stage) => {
  const server = await stage.gatehouse();
  const url = `${server.url}/metrics`;
  await scrape(url);
  const before = await scrape(url);

  const browser = stage.browser();
  let session = await signIn(server, 'dev', ADA, { browser });
  for (let n = 0; n < 3; n += 1) {
    const { status, json } = await refresh(server, session.refresh);
    assert.equal(status, 200);
    session = { access: json.access_token, refresh: json.refresh_token };
  }
  assert.equal((await whoAmI(server, session.access)).status, 200);
  assert.equal((await whoAmI(server, 'garbage')).status, 401);
  assert.equal((await refresh(server, 'garbage')).status, 400);
  // Single sign-on: the browser has a session.
  const { challenge } = pkce();
  const query = { client_id: WEB.clientId, redirect_uri: APP, response_type: 'code', state: 's'.repeat(20), code_challenge: challenge, code_challenge_method: 'S256' };
  assert(appParameters(await browser.get(address(server, '/oauth/authorize', query))).code);
  // Somebody who says no at the provider.
  const cancelled = webSignIn(server, 'dev');
  assert.equal(appParameters(await signInThrough(stage.browser(), cancelled.url, { decision: 'cancel' })).error, 'access_denied');
  const devices = await Promise.all(Array.from({ length: 20 }, () => deviceCode(server)));
  assert.equal((await poll(server, devices[0])).json.error, 'authorization_pending');
  assert.equal((await poll(server, devices[0])).json.error, 'slow_down');

  const after = await scrape(url);
  const requests = 'gatehouse_http_request_seconds_count';
  const expected = [
    [requests, { route: '/api/auth/refresh', method: 'POST', status: '2xx' }, 3],
    [requests, { route: '/api/auth/refresh', method: 'POST', status: '4xx' }, 1],
    [requests, { route: '/api/user', method: 'GET', status: '2xx' }, 1],
    [requests, { route: '/api/user', method: 'GET', status: '4xx' }, 1],
    [requests, { route: '/auth/{provider}', method: 'GET', status: '3xx' }, 2],
    [requests, { route: '/auth/{provider}/callback', method: 'GET', status: '3xx' }, 2],
    [requests, { route: '/auth/device/code', method: 'POST', status: '2xx' }, 20],
    [requests, { route: '/metrics', method: 'GET', status: '2xx' }, 1],
    [requests, { route: '/auth/token', method: 'POST' }, 3],
    ['gatehouse_sign_ins_total', { provider: 'dev', outcome: 'succeeded' }, 1],
    ['gatehouse_sign_ins_total', { provider: 'dev', outcome: 'cancelled' }, 1],
    ['gatehouse_sign_ins_total', { provider: 'session', outcome: 'succeeded' }, 1],
    ['gatehouse_token_grants_total', { grant: 'authorization_code', outcome: 'granted' }, 1],
    ['gatehouse_token_grants_total', { grant: 'refresh_token', outcome: 'granted' }, 3],
    ['gatehouse_token_grants_total', { grant: 'refresh_token', outcome: 'refused' }, 1],
    ['gatehouse_token_grants_total', { grant: 'device_code', outcome: 'pending' }, 2],
    ['gatehouse_http_errors_total', { code: 'DEVICE_CODE_PENDING' }, 1],
    ['gatehouse_http_errors_total', { code: 'SLOW_DOWN' }, 1],
    ['gatehouse_http_errors_total', {}, 4],
    ['gatehouse_device_codes_issued_total', {}, 20],
    ['gatehouse_refused_total', {}, 0],
    ['gatehouse_commit_failures_total', {}, 0],
  ];
  assert.deepEqual(growth(before, after, expected), expected.map(([,, grown]) => grown));
  // A transaction is counted where it is measured and where it is asked for, and every operation is in one.
  const [commits, measured, operations, inBatches] = growth(before, after, [
    ['gatehouse_commits_total'], ['gatehouse_commit_seconds_count'], ['gatehouse_operations_total'], ['gatehouse_commit_operations_sum'],
  ]);
  assert(commits > 0 && operations >= commits, `${operations} operations in ${commits} commits`);
  assert.deepEqual([measured, inBatches], [commits, operations]);
  assert.equal(after.value('gatehouse_http_requests_in_flight'), 1, 'the scrape itself');
  for (const name of ['process_resident_memory_bytes', 'process_open_fds', 'process_cpu_seconds_total', 'gatehouse_database_bytes']) {
    assert(after.value(name) > 0, name);
  }
  const started = after.value('process_start_time_seconds') * 1000;
  assert(Math.abs(Date.now() - started) < 60_000, `started at ${new Date(started).toISOString()}`);
});

scenario('promtool finds nothing to complain about', async (stage) => {
  const server = await stage.gatehouse();
  await signIn(server, 'dev', ADA);
  const { text } = await scrape(`${server.url}/metrics`);
  assert.deepEqual(await promtool(['check', 'metrics'], text), { code: 0, output: '' });
  // It would say so.
  assert.notEqual((await promtool(['check', 'metrics'], '# TYPE gatehouse_x counter\ngatehouse_x 1\n')).code, 0);
});

scenario('a thousand addresses make no series, and nobody is in the text', async (stage) => {
  const server = await stage.gatehouse();
  const url = `${server.url}/metrics`;
  const { access } = await signIn(server, 'dev', ADA);
  const { code } = await obtainCode(server, 'dev', ADA);
  const random = () => randomBytes(9).toString('base64url');
  const shapes = [
    () => `/${random()}`,
    () => `/api/organizations/${random()}/services/${random()}`,
    () => `/auth/${random()}?org=${random()}&service=${random()}`,
    () => `/api/user/identities/${random()}?token=${random()}`,
    () => `/auth/token/${random()}`,
  ];
  const ask = (n) => request(server.url + shapes[n % shapes.length](), { method: n % 7 === 0 ? 'BREW' : 'GET', bearer: n % 2 === 0 ? access : undefined });
  for (let n = 0; n < 70; n += 1) await ask(n); // every shape with every method and caller
  await scrape(url);
  const before = await scrape(url);
  const all = 1000;
  for (let n = 0; n < all; n += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => ask(n + k)));
  const after = await scrape(url);
  assert.deepEqual([...after.series()].filter((series) => !before.series().has(series)), []);
  const [counted] = growth(before, after, [['gatehouse_http_request_seconds_count']]);
  assert.equal(counted, all + 1, 'all of them, and a scrape');

  for (const somebodys of ['demo', 'ada.', 'lovelace', 'example', '127.0.0.1', code]) {
    const labels = after.text.split('\n').filter((line) => !line.startsWith('#')).join('\n').toLowerCase();
    assert(!labels.includes(somebodys.toLowerCase()), somebodys);
  }
  assert(secretCount() >= 4, 'there are secrets to look for');
  assert.deepEqual(leaksInLog(after.text.split('\n')), []);
  assert(lastRequests().length > 0);
});

scenario('a deployment shows its figures at an address of their own, to who has the token', async (stage) => {
  const port = await freePort();
  const server = await stage.gatehouse({ dev: false, env: { METRICS_ADDR: `127.0.0.1:${port}`, METRICS_TOKEN: TOKEN } });
  const own = `http://127.0.0.1:${port}`;
  assert.equal((await request(`${server.url}/metrics`, { bearer: TOKEN })).status, 404);
  assert.equal((await request(`${own}/metrics`)).status, 401);
  assert.equal((await request(`${own}/metrics`, { bearer: `${TOKEN}x` })).status, 401);
  assert.equal((await request(`${own}/health/ready`, { bearer: TOKEN })).status, 404);
  const { text } = await scrape(`${own}/metrics`, { bearer: TOKEN });
  assert.deepEqual(await promtool(['check', 'metrics'], text), { code: 0, output: '' });
  assert(!server.logs().some((line) => line.includes(TOKEN)), 'the token is in no log line');
});

const DOCKER = fileURLToPath(new URL('../../docker/', import.meta.url));
const OPERATIONS = fileURLToPath(new URL('../../docs/operations.md', import.meta.url));

/** Every query of the dashboard, Grafana's variables replaced as Grafana does. */
function queries(dashboard) {
  const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
  const written = panels.flatMap((panel) => panel.targets ?? []).map((target) => target.expr);
  const variables = dashboard.templating.list.map((variable) => /^label_values\((.+), \w+\)$/.exec(variable.query.query)?.[1]).filter(Boolean);
  return [...written, ...variables].map((query) => query.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'));
}

/** The metrics that a query or a rule names. */
const named = (text) => new Set(text.match(/\b(?:gatehouse|process)_[a-z_]+/g));

scenario('the dashboard and the alerts name only what is there, and a real Prometheus understands both', async (stage) => {
  const dashboard = JSON.parse(readFileSync(path.join(DOCKER, 'grafana/dashboards/gatehouse.json'), 'utf8'));
  const alerts = readFileSync(path.join(DOCKER, 'prometheus/alerts.yml'), 'utf8');
  for (const args of [['check', 'config', 'prometheus.yml'], ['check', 'rules', '--lint=all', '--lint-fatal', 'alerts.yml'], ['test', 'rules', 'alerts.test.yml']]) {
    const { code, output } = await promtool(args.map((arg) => (arg.endsWith('.yml') ? path.join(DOCKER, 'prometheus', arg) : arg)));
    assert.equal(code, 0, output);
  }

  const server = await stage.gatehouse();
  await signIn(server, 'dev', ADA);
  const names = (await scrape(`${server.url}/metrics`)).names();
  const asked = queries(dashboard);
  assert(asked.length > 60, `${asked.length} queries`);
  // Shown only where there is a certificate: suites/tls.test.mjs sees it there.
  names.add('gatehouse_tls_certificate_expires_at_seconds');
  for (const name of [...named(asked.join('\n')), ...named(alerts)]) assert(names.has(name), `no metric ${name}`);

  const prometheus = await Prometheus.start(new URL(server.url).host, path.join(DOCKER, 'prometheus/alerts.yml'));
  try {
    await until('it has been scraped twice', async () => Number((await prometheus.query('count_over_time(up[1m])'))[0]?.value[1]) >= 2);
    assert.deepEqual((await prometheus.query('up{job="gatehouse"}')).map(({ value }) => value[1]), ['1']);
    for (const query of asked) await prometheus.query(query); // fails when it is refused
    const rules = await prometheus.get('/api/v1/rules');
    const all = rules.groups.flatMap((group) => group.rules);
    assert.deepEqual(all.filter((rule) => rule.health === 'err'), []);
    // None of them is pending or firing while all is well.
    assert.deepEqual(all.filter((rule) => rule.state !== 'inactive').map((rule) => rule.name), []);
  } finally {
    await prometheus.stop();
  }

  const explained = readFileSync(OPERATIONS, 'utf8').match(/^\| `(Gatehouse\w+)` /gm).map((row) => row.slice(3, -2));
  assert.deepEqual(explained.sort(), alerts.match(/(?<=- alert: )\w+/g).sort(), 'docs/operations.md explains every alert');
});
