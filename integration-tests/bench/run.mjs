// What the release binary does on this machine, every row beside the yardstick of the same run.
// node bench/run.mjs [--quick] [--rows a,b,...]; `make bench` builds what it needs and writes docs/bench.

import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../lib/gatehouse.mjs';
import { SERVER_CORE, median, require as need, residentMegabytes, run, signIns, wrk } from './load.mjs';
import { latencyPlot, markdown } from './report.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.join(HERE, '../..');
const quick = process.argv.includes('--quick');
const wanted = process.argv.find((argument) => argument.startsWith('--rows='))?.slice(7).split(',');
const binary = path.resolve(process.env.GATEHOUSE_BIN ?? path.join(ROOT, 'target/release/gatehouse'));
const generator = path.resolve(process.env.GATEHOUSE_BENCH_BIN ?? path.join(ROOT, 'bench/target/release/gatehouse-bench'));
const REPEATS = quick ? 1 : 3;
const SECONDS = Number(process.env.BENCH_SECONDS ?? (quick ? 2 : 4));
const LARGE = quick ? 0 : 1_000_000;
const HOT = quick ? 60_000 : 250_000;
const STRIPE = `whsec_${randomBytes(24).toString('hex')}`;
const OVERLAP = 1_000; // what wrk had under way when it stopped was used as well
const FORM = 'application/x-www-form-urlencoded';

['wrk', 'taskset', 'python3'].forEach(need);

/** A service on one core over a folder of its own. */
class Service {
  static async start(dir) {
    const service = new Service();
    service.dir = dir;
    service.url = `http://127.0.0.1:${await freePort()}`;
    const env = { PATH: process.env.PATH, SERVER_PORT: new URL(service.url).port, STRIPE_WEBHOOK_SECRET: STRIPE };
    const begun = performance.now();
    // The log is written as in production, and thrown away: the disk is for the database.
    service.child = spawn('taskset', ['-c', SERVER_CORE, binary, 'serve', '--dev'], { cwd: dir, env, stdio: 'ignore' });
    process.once('exit', () => service.child.kill('SIGKILL'));
    for (;;) {
      try {
        if ((await fetch(`${service.url}/health/live`)).ok) break;
      } catch {
        if (performance.now() - begun > 20_000) throw new Error(`${binary} does not start in ${dir}`);
        await new Promise((resolve) => { setTimeout(resolve, 2); });
      }
    }
    service.startMs = performance.now() - begun;
    service.idleMb = residentMegabytes(service.child.pid);
    return service;
  }

  async stop() {
    const ended = new Promise((resolve) => { this.child.once('close', resolve); });
    this.child.kill('SIGTERM');
    await ended;
  }

  post(address, body) {
    return fetch(this.url + address, { method: 'POST', headers: { 'content-type': FORM }, body });
  }
}

/** A folder with `count` of everything, and what the clients hold. */
async function seeded(count) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-bench-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  await (await Service.start(dir)).stop();
  await run('python3', [path.join(HERE, 'seed.py'), path.join(dir, 'data/gatehouse.db'), dir, String(count), String(Math.min(HOT, count))]);
  return dir;
}

/** What one service is driven with. Each row: what is asked, with what, and what must hold of the answers. */
async function rowsFor(service, file) {
  const used = { refresh: 0, device: 0, stripe: 0 };
  const refreshTokens = readFileSync(file('refresh.txt'), 'utf8').trim().split('\n');
  const access = [];
  for (; used.refresh < 256; used.refresh += 1) {
    const answer = await service.post('/auth/token', `grant_type=refresh_token&client_id=demo-web&refresh_token=${refreshTokens[used.refresh]}`);
    if (answer.status !== 200) throw new Error(`no token: ${await answer.text()}`);
    access.push((await answer.json()).access_token);
  }
  writeFileSync(file('access.txt'), `${access.join('\n')}\n`);
  stripeDeliveries(file);
  const secret = readFileSync(file('secret.txt'), 'utf8');
  const once = (name, result) => { used[name] += result.requests + OVERLAP; };
  const form = (body, ...rest) => ({ script: 'form.lua', args: [body, ...rest] });
  const poll = 'grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=demo-cli&device_code=%s';
  return {
    live: { at: '/health/live', title: 'GET /health/live (the yardstick)', load: () => ({}) },
    user: { at: '/api/user', title: 'GET /api/user', goal: 70, load: () => ({ args: [file('access.txt'), 0] }) },
    userinfo: { at: '/oauth/userinfo', title: 'GET /oauth/userinfo', goal: 55, load: () => ({ args: [file('access.txt'), 0] }) },
    introspect: { at: '/oauth/introspect', title: 'POST /oauth/introspect', goal: 55, load: () => form(`client_id=bench-api&client_secret=${secret}&token=%s`, file('access.txt'), 0) },
    poll: { at: '/auth/token', title: 'POST /auth/token, device code pending', goal: 55, refuses: true, load: () => form(poll, file('device.txt'), used.device), after: (result) => once('device', result) },
    code: { at: '/auth/device/code', title: 'POST /auth/device/code', goal: 25, p99: 25, load: () => form('client_id=demo-cli') },
    code256: { at: '/auth/device/code', title: 'POST /auth/device/code, 256 connections', goal: 25, p99: 40, load: () => ({ ...form('client_id=demo-cli'), connections: 256 }) },
    stripe: { at: '/webhooks/stripe', title: 'POST /webhooks/stripe', goal: 25, p99: 25, load: () => ({ script: 'stripe.lua', args: [file('stripe.json'), file('stripe.txt'), used.stripe] }), after: (result) => once('stripe', result) },
    refresh: { at: '/auth/token', title: 'POST /auth/token, refresh', rate: 8000, p99: 25, load: () => form('grant_type=refresh_token&client_id=demo-web&refresh_token=%s', file('refresh.txt'), used.refresh), after: (result) => once('refresh', result) },
    signIn: { title: 'whole web sign-in, provider inside the binary, 64 at once', rate: 1500, drive: (options) => signIns(generator, service.child.pid, service.url, options), load: () => ({}) },
    code1: { at: '/auth/device/code', title: 'POST /auth/device/code, one connection', rate: 1900, load: () => ({ ...form('client_id=demo-cli'), connections: 1 }) },
  };
}

function stripeDeliveries(file) {
  const now = Math.floor(Date.now() / 1000);
  const product = { id: 'prod_bench@', object: 'product', name: 'x'.repeat(600) };
  const template = JSON.stringify({ id: 'evt_bench@', object: 'event', api_version: '2025-06-30.basil', created: now, type: 'product.updated', livemode: false, pending_webhooks: 1, data: { object: product } });
  const run = randomBytes(4).toString('hex');
  const lines = Array.from({ length: quick ? 60_000 : 250_000 }, (_, index) => {
    const body = template.replaceAll('@', `${run}${index}`);
    return `${run}${index} ${now} ${createHmac('sha256', STRIPE).update(`${now}.${body}`).digest('hex')}`;
  });
  writeFileSync(file('stripe.json'), template);
  writeFileSync(file('stripe.txt'), `${lines.join('\n')}\n`);
}

/** Every row, `REPEATS` times, each time beside the yardstick at the same connections. */
async function measure(service, label) {
  const file = (name) => path.join(service.dir, name);
  const rows = await rowsFor(service, file);
  const results = [];
  for (const [name, row] of Object.entries(rows)) {
    if (wanted && name !== 'live' && !wanted.includes(name)) continue;
    const samples = [];
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      const load = row.load();
      const yardstick = await wrk(service.child.pid, `${service.url}/health/live`, { seconds: Math.max(1, SECONDS / 2), connections: load.connections ?? 64 });
      const drive = row.drive ?? ((options) => wrk(service.child.pid, service.url + row.at, options));
      const result = await drive({ seconds: SECONDS, ...load });
      const refused = row.refuses ? result.requests : 0;
      if (result.refused !== refused) throw new Error(`${name}: ${result.refused} of ${result.requests} answers were no success, expected ${refused}`);
      row.after?.(result);
      samples.push({ ...result, ratio: (result.rate / yardstick.rate) * 100 });
    }
    const of = (key) => median(samples.map((sample) => sample[key]));
    const { middle: rate, spread } = of('rate');
    const figures = Object.fromEntries(['ratio', 'p50', 'p99', 'p999', 'cpu'].map((key) => [key, of(key).middle]));
    results.push({ name, title: row.title, goal: row.goal, goalRate: row.rate, goalP99: row.p99, rate, spread, ...figures, mb: residentMegabytes(service.child.pid) });
    console.error(`${label} ${name}: ${rate.toFixed(0)}/s, ${figures.ratio.toFixed(1)} % of the yardstick, p99 ${figures.p99.toFixed(1)} ms`);
  }
  return results;
}

/** The latency of one slow-paced client beside a full load of writes: what a checkpoint does to it shows here. */
async function overTime(service) {
  const seconds = quick ? 12 : 25;
  const points = [];
  const begun = performance.now();
  const load = wrk(service.child.pid, `${service.url}/auth/device/code`, { script: 'form.lua', args: ['client_id=demo-cli'], connections: 64, seconds });
  while (performance.now() - begun < seconds * 1000) {
    const at = performance.now();
    const answer = await service.post('/auth/device/code', 'client_id=demo-cli');
    await answer.text();
    if (answer.status === 200) points.push([(at - begun) / 1000, performance.now() - at]);
  }
  await load;
  return points;
}

const machine = `${os.cpus()[0].model}, ${os.cpus().length} cores, Linux ${os.release()}`;
const commit = (await run('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'])).trim();
const report = { machine, commit, date: new Date().toISOString(), command: `make bench${quick ? '-quick' : ''}`, repeats: REPEATS, seconds: SECONDS, binaryMb: statSync(binary).size / 1e6 };

let service = await Service.start(await seeded(HOT));
Object.assign(report, { emptyStartMs: service.startMs, idleMb: service.idleMb });
report.empty = await measure(service, 'empty');
if (!wanted) report.points = await overTime(service);
await service.stop();
report.bare = JSON.parse(await run('taskset', ['-c', SERVER_CORE, generator, 'storage', path.join(service.dir, 'data/gatehouse.db'), '2']));
rmSync(service.dir, { recursive: true, force: true });
if (LARGE > 0) {
  service = await Service.start(await seeded(LARGE));
  Object.assign(report, { count: LARGE, startMs: service.startMs, largeIdleMb: service.idleMb });
  report.large = await measure(service, 'large');
  report.loadedMb = residentMegabytes(service.child.pid);
  await service.stop();
}

const text = markdown(report);
console.log(text);
if (!wanted) {
  const docs = path.join(ROOT, 'docs/bench');
  const name = quick ? 'quick' : 'full';
  mkdirSync(docs, { recursive: true });
  writeFileSync(path.join(docs, `${name}.svg`), latencyPlot(report.points));
  writeFileSync(path.join(docs, `${name}.md`), `${text}\n![Latency over time](${name}.svg)\n`);
  writeFileSync(path.join(docs, `${name}.json`), `${JSON.stringify({ ...report, points: undefined }, null, 2)}\n`);
}
process.exit(0);
