// A second, independent family of clients: Python's Authlib does code with PKCE, device, refresh, userinfo and
// revocation. It is installed from the distribution's packages; see the Makefile.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { APP, CLI, WEB, decide, signInThrough } from '../lib/flows.mjs';
import { scenario } from '../lib/stage.mjs';
import { within } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const PYTHON = '/usr/bin/python3';
const SCRIPT = fileURLToPath(new URL('../clients/authlib_client.py', import.meta.url));

/** The running client: `next` is its next line, `tell` answers it, `end` its outcome. */
function client(...args) {
  const child = spawn(PYTHON, [SCRIPT, ...args], {
    env: { PATH: process.env.PATH, AUTHLIB_INSECURE_TRANSPORT: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => { complaints += chunk; });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const closed = once(child, 'close');
  return {
    async next() {
      const { value, done } = await within(30_000, 'the client speaks', lines.next());
      assert(!done, `the client ended early: ${complaints}`);
      return JSON.parse(value);
    },
    tell(members) {
      child.stdin.write(`${JSON.stringify(members)}\n`);
    },
    async end() {
      const [code] = await within(30_000, 'the client ends', closed);
      assert.equal(code, 0, complaints);
    },
    kill: () => child.kill('SIGKILL'),
  };
}

async function assertOutcome(running) {
  const said = await running.next();
  await running.end();
  assert.equal(said.userinfo.sub, said.sub);
  assert.equal(said.refreshed_sub, said.sub);
  assert.deepEqual([said.userinfo.email, said.userinfo.name], [ADA.email, ADA.name]);
  assert.deepEqual([said.rotated, said.revoked, said.after_revocation], [true, 200, 401]);
}

scenario('Authlib signs in with code and PKCE, refreshes and revokes', async (stage) => {
  const server = await stage.gatehouse();
  const running = client(server.url, 'code', WEB.clientId, APP);
  try {
    const { url } = await running.next();
    const answer = await signInThrough(stage.browser(), url, ADA);
    assert(answer.location.startsWith(APP), answer.text);
    running.tell({ redirect: answer.location });
    await assertOutcome(running);
  } finally {
    running.kill();
  }
});

scenario('Authlib signs a terminal in, refreshes and revokes', async (stage) => {
  const server = await stage.gatehouse();
  const running = client(server.url, 'device', CLI.clientId);
  try {
    const { user_code: userCode, verification_uri: page } = await running.next();
    assert(page.startsWith(server.url));
    await decide(stage.browser(), server, userCode, ADA);
    running.tell({});
    await assertOutcome(running);
  } finally {
    running.kill();
  }
});
