// The crash harness: load of every kind, kill -9 at random moments, and after each start a look at everything that was
// answered before. Seeded: the same seed kills at the same moments of the same load, as far as a machine repeats itself.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLI, deviceCode, poll, refresh, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { PLATFORM_OWNER, registerActive, renew, signInAdministrator } from '../lib/management.mjs';
import { deliver, event, subscription, webhookSecret } from '../lib/stripe.mjs';
import { pause } from '../lib/until.mjs';

const LOOK = fileURLToPath(new URL('look.py', import.meta.url));
const FAMILIES = 8;
/** Access tokens live for 15 minutes; older ones prove nothing. */
const PROVABLE_MS = 13 * 60_000;

/** What the service must be started with. */
export function settings() {
  return { PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email, STRIPE_WEBHOOK_SECRET: webhookSecret(), TRUSTED_PROXIES: '127.0.0.1' };
}

/** A generator of numbers from 0 to 1 (mulberry32). */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Tortures a service that runs in dev mode with `settings()`. Returns what was counted; fails at the first loss.
 * @param {import('../lib/gatehouse.mjs').Gatehouse} server
 * @param {{ cycles: number, seed: number, secret: string, say?: (line: string) => void }} options
 */
export async function torture(server, { cycles, seed, secret, say = () => {} }) {
  const random = seeded(seed);
  const figures = { cycles: 0, killedWhileStarting: 0, checked: 0, lost: 0, retried: 0, refused: 0, slowestStartMs: 0, kinds: {} };
  const world = await begin(server, secret);
  while (figures.cycles < cycles) {
    await oneCycle(world, random, figures);
    figures.cycles += 1;
    if (figures.cycles % 20 === 0) say(summary(figures));
    if (figures.cycles % 50 === 0) await renew(world.owner);
  }
  await everything(world, figures);
  assert.equal(figures.lost, 0);
  return figures;
}

/** One line for people. */
export function summary({ cycles, killedWhileStarting, checked, lost, retried, refused, slowestStartMs, kinds }) {
  const parts = Object.entries(kinds).map(([kind, count]) => `${count} ${kind}`).join(', ');
  return `cycles ${cycles} (${killedWhileStarting} killed again while starting), acknowledged writes checked ${checked} (${parts}), lost ${lost}, `
    + `answers lost and retried ${retried}, refused under load ${refused}, slowest start ${Math.round(slowestStartMs)} ms`;
}

async function begin(server, secret) {
  const owner = await signInAdministrator(server, PLATFORM_OWNER);
  await registerActive(owner, owner, 'torture');
  const made = await owner.post('/api/organizations/torture/services', { slug: 'app', name: 'name 0', service_type: 'web', redirect_uris: ['http://127.0.0.1/callback'] });
  assert.equal(made.status, 201, made.text);
  const families = [];
  for (let number = 0; number < FAMILIES; number += 1) {
    families.push({ token: (await signIn(server, 'dev', person(number))).refresh, lost: false });
  }
  return { server, secret, owner, families, named: { tried: 0, acknowledged: 0 }, sessions: [], people: FAMILIES };
}

const person = (number) => ({ email: `person-${number}@example.test`, name: `Person ${number}` });
const service = '/api/organizations/torture/services/app';

/** What was answered in one cycle. */
function ledger() {
  return { devices: [], events: [], refreshed: 0, signedIn: [], signedOut: [], admin: 0 };
}

async function oneCycle(world, random, figures) {
  const { server } = world;
  const book = ledger();
  const load = { stopped: false };
  const workers = [
    ...world.families.map((family) => keepRefreshing(world, family, book, load, figures)),
    ...Array.from({ length: 3 }, (_, number) => repeat(load, figures, () => askForDevices(world, book, number))),
    ...Array.from({ length: 2 }, () => repeat(load, figures, () => deliverEvent(world, book))),
    repeat(load, figures, () => rename(world, book)),
    repeat(load, figures, () => personSignsIn(world, book)),
  ];
  await pause(20 + random() * 380);
  await server.kill9();
  load.stopped = true;
  await Promise.all(workers);
  lookAtTheFile(server, book);

  if (random() < 0.2) {
    figures.killedWhileStarting += 1;
    const started = server.restart().catch(() => {});
    await pause(random() * 120);
    await server.kill9();
    await started;
  }
  const begun = performance.now();
  await server.restart();
  figures.slowestStartMs = Math.max(figures.slowestStartMs, performance.now() - begun);
  await verify(world, book, figures);
}

/** Runs one step after the other until the service is gone. Only a connection that broke may end a step. */
async function repeat(load, figures, step) {
  while (!load.stopped) {
    try {
      if (await step() === 'refused') {
        figures.refused += 1;
        await pause(5);
      }
    } catch (error) {
      if (isBroken(error)) return;
      throw error;
    }
  }
}

function isBroken(error) {
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code) || /cut short|aborted|socket hang up/.test(error.message);
}

/** 429 and 503 are answers of a service under load; anything else but `wanted` is a fault. */
function accepted(answer, wanted) {
  if (answer.status === 429 || answer.status === 503) return false;
  assert.equal(answer.status, wanted, answer.text);
  return true;
}

async function keepRefreshing({ server }, family, book, load, figures) {
  await repeat(load, figures, async () => {
    family.lost = true; // until the answer is here
    const answer = await refreshGrant(server, family.token);
    family.lost = false;
    if (!accepted(answer, 200)) return 'refused';
    family.token = tokens(answer).refresh;
    book.refreshed += 1;
    return 'done';
  });
}

async function askForDevices({ server }, book, number) {
  const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId }, headers: { 'x-forwarded-for': `192.0.2.${number + 1}` } });
  if (!accepted(answer, 200)) return 'refused';
  book.devices.push(answer.json);
  return 'done';
}

async function deliverEvent({ server, secret }, book) {
  const told = event('customer.subscription.created', subscription());
  if (!accepted(await deliver(server, JSON.stringify(told), secret), 200)) return 'refused';
  book.events.push(told.id);
  return 'done';
}

async function rename({ owner, named }, book) {
  named.tried += 1;
  if (!accepted(await owner.patch(service, { name: `name ${named.tried}` }), 200)) return 'refused';
  named.acknowledged = named.tried;
  book.admin += 1;
  return 'done';
}

async function personSignsIn(world, book) {
  const { server } = world;
  world.people += 1;
  const session = { ...(await signIn(server, 'dev', person(world.people))), since: Date.now() };
  book.signedIn.push(session);
  if (world.people % 3 !== 0) return 'done';
  session.unsure = true;
  const answer = await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: session.access });
  if (!accepted(answer, 204)) return 'refused';
  book.signedIn.pop();
  book.signedOut.push(session);
  return 'done';
}

/** The file as it was left, before the service mends anything. */
function lookAtTheFile(server, book) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-look-'));
  try {
    for (const suffix of ['', '-wal']) {
      const file = path.join(server.dir, 'data', `gatehouse.db${suffix}`);
      if (existsSync(file)) copyFileSync(file, path.join(dir, `gatehouse.db${suffix}`));
    }
    const found = JSON.parse(execFileSync('python3', [LOOK, path.join(dir, 'gatehouse.db')], { input: JSON.stringify({ events: book.events }) }));
    assert.deepEqual(found, { problems: [], missing: [] });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function verify(world, book, figures) {
  const { server, owner, named, families } = world;
  const count = (kind, number) => {
    figures.checked += number;
    figures.kinds[kind] = (figures.kinds[kind] ?? 0) + number;
  };
  await inTurn(book.devices, async (device) => {
    const answer = await unhurried(() => poll(server, device));
    lost(answer.json?.error === 'authorization_pending', figures, `a device code is gone: ${answer.text}`);
  });
  count('device codes', book.devices.length);
  count('events of Stripe', book.events.length);

  for (const family of families) {
    const answer = await unhurried(() => (family.lost ? refreshGrant(server, family.token) : refresh(server, family.token)));
    lost(answer.status === 200, figures, `a refresh family is broken (answer lost: ${family.lost}): ${answer.text}`);
    if (family.lost) figures.retried += 1;
    const next = tokens(answer);
    Object.assign(family, { token: next.refresh, lost: false });
    lost((await whoAmI(server, next.access)).status === 200, figures, 'a session is gone');
  }
  count('refreshes', book.refreshed);

  const { json } = await unhurried(() => owner.get(service));
  const number = Number(/(\d+)$/.exec((json.service ?? json).name)[1]);
  lost(number >= named.acknowledged && number <= named.tried, figures, `name ${named.acknowledged} was acknowledged, it is name ${number}`);
  count('admin writes', book.admin);

  await inTurn(book.signedIn.filter(({ unsure }) => !unsure), async ({ access }) => {
    lost((await whoAmI(server, access)).status === 200, figures, 'a sign-in is gone');
  });
  await inTurn(book.signedOut, async ({ access }) => {
    lost((await whoAmI(server, access)).status === 401, figures, 'somebody who signed out is signed in');
  });
  count('sign-ins', book.signedIn.length);
  count('sign-outs', book.signedOut.length);
  world.sessions.push(...book.signedIn.filter(({ unsure }) => !unsure));

  for (const proof of ['audit', 'analytics']) {
    const { code, stdout, stderr } = await runToEnd([proof, 'verify', '--dev'], { cwd: server.dir });
    assert.equal(code, 0, `${proof} verify: ${stdout}${stderr}`);
  }
  assert.equal((await request(`${server.url}/health/ready`)).status, 200);
}

/** At the end, all sign-ins of all cycles that can still be asked for. */
async function everything(world, figures) {
  const young = world.sessions.filter(({ since }) => Date.now() - since < PROVABLE_MS);
  await inTurn(young, async ({ access }) => {
    lost((await whoAmI(world.server, access)).status === 200, figures, 'a sign-in of an earlier cycle is gone');
  });
  const next = await deviceCode(world.server);
  assert(next.device_code, 'it goes on');
}

function lost(isThere, figures, what) {
  if (isThere) return;
  figures.lost += 1;
  assert.fail(`${what}\n${summary(figures)}`);
}

/** Eight at a time, so that the check is no load. */
async function inTurn(items, look) {
  for (let at = 0; at < items.length; at += 8) await Promise.all(items.slice(at, at + 8).map(look));
}

/** Once more when the service is too busy or limits us: what is asked for is whether something is there. */
async function unhurried(ask) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await ask();
    if (attempt === 20 || (answer.status !== 429 && answer.status !== 503)) return answer;
    await pause(250);
  }
}
