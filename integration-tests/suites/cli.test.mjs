// `gatehouse login`: the terminal's side, as a process of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { BINARY } from '../lib/gatehouse.mjs';
import { CLI, decide } from '../lib/flows.mjs';
import { rememberSecret } from '../lib/journal.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const USER_CODE = /\b[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\b/;

function login(server, ...more) {
  const args = ['login', '--issuer', server.url, '--client-id', CLI.clientId, ...more];
  const child = spawn(BINARY, args, { cwd: server.dir, env: { PATH: process.env.PATH, HOME: server.dir }, stdio: ['ignore', 'pipe', 'pipe'] });
  const terminal = { child, stdout: '', stderr: '', ended: once(child, 'close') };
  child.stdout.on('data', (chunk) => { terminal.stdout += chunk; });
  child.stderr.on('data', (chunk) => { terminal.stderr += chunk; });
  terminal.userCode = (where) => until('the terminal shows a code', () => {
    assert(child.exitCode === null, `it ended with ${child.exitCode}: ${terminal.stderr}`);
    return USER_CODE.exec(terminal[where])?.[0];
  });
  return terminal;
}

scenario('login --json: instructions on stderr, claims on stdout, nothing else', async (stage) => {
  const server = await stage.gatehouse();
  const terminal = login(server, '--json');
  try {
    const userCode = await terminal.userCode('stderr');
    rememberSecret('user_code', userCode, { atRest: false });
    assert(terminal.stderr.includes(`${server.url}/activate`), terminal.stderr);
    assert.equal(terminal.stdout, '', 'nothing on stdout before the end');
    await decide(stage.browser(), server, userCode, ADA);
    const [code] = await within(30_000, 'login has ended', terminal.ended);
    assert.equal(code, 0, terminal.stderr);
    const output = JSON.parse(terminal.stdout);
    const claims = output.claims ?? output;
    assert.deepEqual([claims.iss, claims.aud, claims.org, claims.service, claims.email], [server.url, CLI.clientId, CLI.org, CLI.service, ADA.email]);
  } finally {
    terminal.child.kill('SIGKILL');
  }
});

scenario('login for people: names, no JSON, and no token on the screen', async (stage) => {
  const server = await stage.gatehouse();
  const terminal = login(server);
  try {
    const userCode = await until('the terminal shows a code', () => USER_CODE.exec(terminal.stdout + terminal.stderr)?.[0]);
    await decide(stage.browser(), server, userCode, ADA);
    const [code] = await within(30_000, 'login has ended', terminal.ended);
    assert.equal(code, 0, terminal.stderr);
    assert.match(terminal.stdout + terminal.stderr, /ada@example\.test/);
    assert.doesNotMatch(terminal.stdout + terminal.stderr, /eyJ[\w-]{20,}\./);
  } finally {
    terminal.child.kill('SIGKILL');
  }
});

scenario('login says plainly when it was denied, interrupted or sent to nobody', async (stage) => {
  const server = await stage.gatehouse();
  const denied = login(server, '--json');
  const interrupted = login(server, '--json');
  const nobody = spawnNobody(server);
  try {
    const userCode = await denied.userCode('stderr');
    await decide(stage.browser(), server, userCode, ADA, { decision: 'deny' });
    const [code] = await within(30_000, 'login has ended', denied.ended);
    assert.equal(code, 1, denied.stderr);
    assert.match(denied.stderr, /denied/i);
    assert.equal(denied.stdout, '');

    await interrupted.userCode('stderr');
    interrupted.child.kill('SIGINT');
    const [interruptCode, signal] = await within(10_000, 'login has ended', interrupted.ended);
    assert(interruptCode === 130 || signal === 'SIGINT', `${interruptCode} ${signal}`);

    const [nobodyCode] = await within(20_000, 'login has ended', nobody.ended);
    assert.equal(nobodyCode, 1, nobody.stderr);
    assert.doesNotMatch(nobody.stderr, /panicked/);
    assert.match(nobody.stderr, /127\.0\.0\.1:9/);
  } finally {
    for (const { child } of [denied, interrupted, nobody]) child.kill('SIGKILL');
  }
});

function spawnNobody(server) {
  return login({ ...server, url: 'http://127.0.0.1:9', dir: server.dir });
}
