// What the release binary does on this machine, every row beside the yardstick of the same moment, with few rows in the
// database and with many, in turn: machines drift, and what is minutes apart cannot be compared.
// node bench/run.mjs [--quick] [--rows=a,b,...]; `make bench` builds what it needs and writes docs/bench.

import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SERVER_CORE, median, require as need, run, wrk } from './load.mjs';
import { latencyPlot, markdown } from './report.mjs';
import { STRIPE_SECRET, rowsFor } from './rows.mjs';
import { Service, databaseOf, seeded, starts } from './service.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const quick = process.argv.includes('--quick');
const wanted = process.argv.find((argument) => argument.startsWith('--rows='))?.slice(7).split(',');
const binary = path.resolve(process.env.GATEHOUSE_BIN ?? path.join(ROOT, 'target/release/gatehouse'));
const benchProgram = path.resolve(process.env.GATEHOUSE_BENCH_BIN ?? path.join(ROOT, 'bench/target/release/gatehouse-bench'));
const REPEATS = quick ? 1 : 3;
const STARTS = 5;
const SECONDS = Number(process.env.BENCH_SECONDS ?? (quick ? 2 : 4));
const FEW = quick ? 60_000 : 250_000;
const MANY = 1_000_000;

['wrk', 'taskset', 'python3'].forEach(need);

/** Every row, `REPEATS` times, each service in turn within a repeat: what is compared lies seconds apart. */
async function measure(targets) {
  const rows = await Promise.all(targets.map(({ service, folder }) => rowsFor(service, folder, { hot: FEW, signInProgram: benchProgram })));
  for (const name of Object.keys(rows[0])) {
    if (wanted && name !== 'live' && !wanted.includes(name)) continue;
    const samples = targets.map(() => []);
    for (const { [name]: row } of rows) row.prepare?.();
    for (let repeat = 0; repeat < REPEATS; repeat += 1) {
      for (const [index, { service }] of targets.entries()) samples[index].push(await sample(service, name, rows[index][name]));
    }
    for (const [index, target] of targets.entries()) {
      const result = summary(name, rows[index][name], samples[index], index > 0 ? samples[0] : undefined);
      target.rows.push({ ...result, mb: target.service.megabytes });
      console.error(`${target.count} ${name}: ${result.rate.toFixed(0)}/s, ${result.ratio.toFixed(1)} % of the yardstick, p99 ${result.p99.toFixed(1)} ms`
        + (result.growth ? `, ${result.growth.middle.toFixed(0)} % of few rows` : ''));
    }
  }
}

/** One run of a row, right after the yardstick of the same service over as many connections. */
async function sample(service, name, row) {
  const yardstick = await wrk(service.pid, `${service.url}/health/live`, { seconds: Math.max(1, SECONDS / 2), connections: row.connections });
  const result = await row.drive(SECONDS);
  const refused = row.refuses ? result.requests : 0;
  if (result.refused !== refused) throw new Error(`${name}: ${result.refused} of ${result.requests} answers were no success, expected ${refused}`);
  await service.settle();
  return { ...result, ratio: (result.rate / yardstick.rate) * 100 };
}

/** Medians of a row's repeats; beside `before`, the same repeats with few rows, the median of what is left of each rate. */
function summary(name, row, samples, before) {
  const of = (key) => median(samples.map((one) => one[key]));
  const { middle: rate, spread } = of('rate');
  const figures = Object.fromEntries(['ratio', 'p50', 'p99', 'p999', 'cpu'].map((key) => [key, of(key).middle]));
  const growth = before && median(samples.map((one, repeat) => (one.rate / before[repeat].rate) * 100));
  return { name, title: row.title, goal: row.goal, goalRate: row.rate, goalP99: row.p99, rate, spread, ...figures, growth };
}

/** The latency of one slow-paced client beside a full load of writes: what a checkpoint does to it shows here. */
async function overTime(service) {
  const seconds = quick ? 12 : 25;
  const points = [];
  const begun = performance.now();
  const load = wrk(service.pid, `${service.url}/auth/device/code`, { script: 'form.lua', args: ['client_id=demo-cli'], connections: 64, seconds });
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
const report = { machine, commit, date: new Date().toISOString(), command: `make bench${quick ? '-quick' : ''}`, repeats: REPEATS, seconds: SECONDS, starts: STARTS, binaryMb: statSync(binary).size / 1e6 };

const start = (folder) => Service.start(binary, folder, { STRIPE_WEBHOOK_SECRET: STRIPE_SECRET });
const targets = [];
for (const count of quick ? [FEW] : [FEW, MANY]) targets.push({ count, folder: await seeded(start, count, FEW), rows: [] });
for (const target of targets) Object.assign(target, await starts(start, target.folder, STARTS));
// Both run from here on; the one that is not asked costs nothing.
for (const target of targets) target.service = await start(target.folder);
await measure(targets);
const [few, large] = targets;
if (large) {
  large.loadedMb = large.service.megabytes;
  await large.service.stop();
}
if (!wanted) report.points = await overTime(few.service);
await few.service.stop();
report.bare = JSON.parse(await run('taskset', ['-c', SERVER_CORE, benchProgram, 'storage', databaseOf(few.folder), '2']));
[report.few, report.large] = targets.map(({ folder, service, ...measured }) => measured);

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
