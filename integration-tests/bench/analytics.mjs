// What a million login events cost: every endpoint of analytics against a thousand events, sign-ins while reports are
// read, writes while a million events are swept out. Prints tables. Needs python3.
// node bench/analytics.mjs [events] [reports | sweep | all]; the binary is GATEHOUSE_BIN.

import { execFileSync } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BINARY, Gatehouse } from '../lib/gatehouse.mjs';
import { signIn } from '../lib/flows.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { pause, until } from '../lib/until.mjs';

const FEW = 1_000;
const many = Number(process.argv[2] ?? 1_000_000);
const part = process.argv[3] ?? 'all';
const ROUNDS = 300;
const MEASURED_MS = 6_000;
const FILL = fileURLToPath(new URL('fill.py', import.meta.url));
const DEMO = '/api/organizations/demo/analytics';
const PLATFORM = '/api/platform/analytics';
const ENDPOINTS = [
  `${DEMO}/login-trends`, `${DEMO}/logins-by-service`, `${DEMO}/logins-by-provider`, `${DEMO}/recent-logins?limit=10`,
  `${PLATFORM}/overview`, `${PLATFORM}/organization-status`, `${PLATFORM}/growth-trends`, `${PLATFORM}/login-activity`,
  `${PLATFORM}/top-organizations`, `${PLATFORM}/recent-organizations`,
];
const servers = [];

async function filled(events, counted = true) {
  const server = await Gatehouse.start({ env: { RUST_LOG: 'error,gatehouse=info', PLATFORM_OWNER_EMAIL: 'admin@example.com' } });
  servers.push(server);
  await server.stop();
  const database = path.join(server.dir, 'data', 'gatehouse.db');
  console.log(execFileSync('python3', [FILL, database, 'logins', String(events)], { encoding: 'utf8' }).trim());
  const begun = performance.now();
  if (counted) execFileSync(BINARY, ['analytics', 'rebuild', '--database', database], { stdio: 'ignore' });
  if (counted) console.log(`counted anew in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await server.restart();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  return { server, owner };
}

class Latencies {
  #all = [];
  add(ms) { this.#all.push(ms); }
  get count() { return this.#all.length; }
  at(share) {
    const sorted = this.#all.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  }
}

/** One request over a kept connection; resolves with its duration once the body is read, or with its first byte. */
function timed(agent, server, { method = 'GET', target, bearer, form, firstByte = false }) {
  const body = form === undefined ? undefined : new URLSearchParams(form).toString();
  const headers = { ...(bearer && { authorization: `Bearer ${bearer}` }), ...(body && { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) }) };
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const outgoing = http.request(`${server.url}${target}`, { method, agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${method} ${target}: ${response.statusCode}`));
      if (firstByte) {
        response.once('data', () => { resolve(performance.now() - begun); response.destroy(); });
        return;
      }
      response.resume().on('end', () => resolve(performance.now() - begun));
    });
    outgoing.on('error', reject).end(body);
  });
}

async function ask({ server, owner }, target, firstByte = false) {
  const agent = new http.Agent({ keepAlive: !firstByte, maxSockets: 1 });
  const latencies = new Latencies();
  for (let round = 0; round < ROUNDS + 30; round += 1) {
    const took = await timed(agent, server, { target, bearer: owner.access, firstByte });
    if (round >= 30) latencies.add(took);
  }
  agent.destroy();
  return latencies;
}

async function endpoints(few, lots) {
  console.log(`\nlatency in ms over HTTP, p50 / p99 of ${ROUNDS}`);
  console.log(`${''.padEnd(50)} ${`${FEW} events`.padStart(18)} ${`${many} events`.padStart(18)}   p50 ratio`);
  for (const target of [...ENDPOINTS, `${DEMO}/export?format=csv`]) {
    const firstByte = target.includes('export');
    const [a, b] = [await ask(few, target, firstByte), await ask(lots, target, firstByte)];
    const pair = (one) => `${one.at(0.5).toFixed(2)} / ${one.at(0.99).toFixed(2)}`.padStart(18);
    console.log(`${(target + (firstByte ? ' (first byte)' : '')).padEnd(50)} ${pair(a)} ${pair(b)}   ${(b.at(0.5) / a.at(0.5)).toFixed(2)}`);
  }
}

let person = 0;

/** Whole sign-ins in the browser (six requests), eight people at a time, until it is over. */
async function signIns(server, isOver) {
  const latencies = new Latencies();
  const begun = performance.now();
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (!isOver()) {
      person += 1;
      const started = performance.now();
      await signIn(server, 'dev', { email: `person${person}@bench.test`, name: 'Somebody' });
      latencies.add(performance.now() - started);
    }
  }));
  return { latencies, rate: latencies.count / ((performance.now() - begun) / 1000) };
}

/** Reads reports at a steady pace until it is over; returns how many. */
async function reports({ server, owner }, perSecond, isOver) {
  const agent = new http.Agent({ keepAlive: true });
  const latencies = new Latencies();
  const open = [];
  for (let n = 0; !isOver(); n += 1) {
    open.push(timed(agent, server, { target: ENDPOINTS[n % ENDPOINTS.length], bearer: owner.access }).then((ms) => latencies.add(ms)));
    await pause(1000 / perSecond);
  }
  await Promise.all(open);
  agent.destroy();
  return latencies;
}

const line = ({ latencies, rate }) => `${rate.toFixed(0).padStart(6)}/s   p50 ${latencies.at(0.5).toFixed(1)} ms, p99 ${latencies.at(0.99).toFixed(1)} ms`;
const lasting = (ms) => { const end = performance.now() + ms; return () => performance.now() > end; };

async function besideReports(lots) {
  console.log(`\nsign-ins in the browser, from the app to its tokens, 8 at a time, ${many} events`);
  await signIns(lots.server, lasting(2_000));
  console.log(`alone                          ${line(await signIns(lots.server, lasting(MEASURED_MS)))}`);
  const isOver = lasting(MEASURED_MS);
  const [read, beside] = await Promise.all([reports(lots, 50, isOver), signIns(lots.server, isOver)]);
  console.log(`while reports are read         ${line(beside)}   (${(read.count / MEASURED_MS * 1000).toFixed(0)} reports/s, p50 ${read.at(0.5).toFixed(1)} ms)`);
  console.log(`alone again                    ${line(await signIns(lots.server, lasting(MEASURED_MS)))}`);
}

const WRITE = { method: 'POST', target: '/auth/device/code', form: { client_id: 'demo-cli', service: 'cli', org: 'demo' } };

/** Device codes, each durable when it is answered, over 16 connections. */
async function writes(server, isOver) {
  const latencies = new Latencies();
  const begun = performance.now();
  await Promise.all(Array.from({ length: 16 }, async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while (!isOver()) latencies.add(await timed(agent, server, WRITE));
    agent.destroy();
  }));
  return { latencies, rate: latencies.count / ((performance.now() - begun) / 1000) };
}

/** Device codes at a steady pace, as many connections as that needs. */
async function pacedWrites(server, perSecond, isOver) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const latencies = new Latencies();
  const open = [];
  const begun = performance.now();
  while (!isOver()) {
    const due = Math.floor((performance.now() - begun) / 1000 * perSecond);
    while (open.length < due) open.push(timed(agent, server, WRITE).then((ms) => latencies.add(ms)));
    await pause(2);
  }
  await Promise.all(open);
  agent.destroy();
  return { latencies, rate: latencies.count / ((performance.now() - begun) / 1000) };
}

async function swept(server) {
  const answer = await fetch(`${server.url}/health/ready`);
  return (await answer.json()).actors.housekeeper.login_events;
}

async function sweeping({ server }) {
  console.log(`\ndurable writes (device codes) while ${many} events are swept out`);
  console.log(`before, 16 connections         ${line(await writes(server, lasting(MEASURED_MS)))}`);
  console.log(`before, 500 a second           ${line(await pacedWrites(server, 500, lasting(MEASURED_MS)))}`);
  await server.stop();
  await server.restart({ env: { LOGIN_EVENT_RETENTION_DAYS: '1' } });
  await until('the sweep has begun', async () => await swept(server) > 0, { deadlineMs: 90_000, everyMs: 50 });
  const note = async (work) => {
    const [begun, first] = [performance.now(), await swept(server)];
    const found = await work();
    const rows = await swept(server) - first;
    const seconds = (performance.now() - begun) / 1000;
    return `${line(found)}   (${rows} rows swept in ${seconds.toFixed(1)} s: ${Math.round(rows / seconds)} rows/s)`;
  };
  console.log(`sweeping, 16 connections       ${await note(() => writes(server, lasting(MEASURED_MS)))}`);
  let [last, isOver] = [-1, false];
  const watch = async () => {
    for (const giveUp = lasting(120_000); !isOver;) {
      await pause(500);
      const now = await swept(server);
      isOver = now === last || giveUp();
      last = now;
    }
  };
  console.log(`sweeping, 500 a second         ${await note(async () => (await Promise.all([pacedWrites(server, 500, () => isOver), watch()]))[0])}`);
  console.log(`swept out in all               ${await swept(server)}`);
  console.log(`after, 500 a second            ${line(await pacedWrites(server, 500, lasting(MEASURED_MS)))}`);
}

try {
  if (part !== 'sweep') {
    const [few, lots] = [await filled(FEW), await filled(many)];
    await endpoints(few, lots);
    await few.server.stop();
    await besideReports(lots);
    await lots.server.stop();
  }
  if (part !== 'reports') {
    const lots = await filled(many, false);
    await sweeping(lots);
    await lots.server.stop();
  }
} finally {
  for (const server of servers) await server.remove();
}
