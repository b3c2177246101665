// The API tour of the README, run as it is written: its blocks one after the other in one shell. The test is the person
// who opens pages, signs in and approves in between.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { appParameters, decide, signInThrough } from '../lib/flows.mjs';
import { BINARY } from '../lib/gatehouse.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const ADA = { email: 'ada@example.com', name: 'ada' };
const OWNER = { email: 'admin@example.com', name: 'Admin' };
const USER_CODE = /\b[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\b/;

/** The shell blocks of the section "API tour". */
function tour() {
  const [, section] = readFileSync(README, 'utf8').split(/^## API tour$/m);
  const [text] = section.split(/^## /m);
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block);
}

/** A shell that stays open from block to block and complains about the first command that fails. */
class Shell {
  #child;
  #ended;
  stdout = '';
  stderr = '';

  constructor(cwd) {
    this.#child = spawn('bash', ['-o', 'pipefail'], { cwd, env: { PATH: process.env.PATH, HOME: cwd }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = once(this.#child, 'close');
    this.#child.stdout.on('data', (chunk) => { this.stdout += chunk; });
    this.#child.stderr.on('data', (chunk) => { this.stderr += chunk; });
    this.#child.stdin.write("FAILED=; trap 'FAILED=yes' ERR; set -E\n");
  }

  /** Runs a block to its end and returns what it printed. `meanwhile` is the person at the browser. */
  async run(block, meanwhile = async () => {}) {
    this.stdout = '';
    this.stderr = '';
    this.#child.stdin.write(`${block}\nprintf '\\nend of block:%s\\n' "$FAILED"\n`);
    await meanwhile();
    const end = await until(`the end of the block\n${block}`, () => /^end of block:(.*)$/m.exec(this.stdout), { deadlineMs: 30_000 });
    assert.equal(end[1], '', `a command failed:\n${block}\n${this.stdout}\n${this.stderr}`);
    return this.stdout.slice(0, end.index);
  }

  async close() {
    this.#child.stdin.end();
    const [code] = await within(10_000, 'the shell has ended', this.#ended);
    return code;
  }

  kill() {
    this.#child.kill('SIGKILL');
  }
}

scenario('the API tour of the README runs as written', async (stage) => {
  const server = await stage.gatehouse();
  mkdirSync(path.join(server.dir, 'target', 'debug'), { recursive: true });
  symlinkSync(BINARY, path.join(server.dir, 'target', 'debug', 'gatehouse'));
  const blocks = tour();
  assert(blocks.length >= 8, `the tour has ${blocks.length} blocks`);
  const shell = new Shell(server.dir);
  const printed = [];
  try {
    for (const written of blocks) {
      // This service listens elsewhere, and the internet is not to be asked in a test.
      let block = written.replace('http://127.0.0.1:3000', server.url).replace('https://accounts.google.com', `${server.url}/dev/provider`);
      let person;
      if (block.includes('grant-type:device_code')) {
        await decide(stage.browser(), server, JSON.parse(printed.at(-1)).user_code, ADA);
      } else if (block.includes('CODE=...')) {
        const answer = await signInThrough(stage.browser(), printed.at(-1).trim(), ADA, { stopAt: 'http://127.0.0.1:9999/' });
        block = block.replace('CODE=...', `CODE=${appParameters(answer, 'http://127.0.0.1:9999/callback').code}`);
      } else if (block.includes('gatehouse login')) {
        person = async () => {
          const code = await until('the terminal shows a code', () => USER_CODE.exec(shell.stderr)?.[0]);
          await decide(stage.browser(), server, code, OWNER);
        };
      }
      const output = await shell.run(block, person);
      assert(!output.includes('"error_code"'), `${block}\nwas answered:\n${output}`);
      assert(!/^null$/m.test(output), `${block}\nprinted null where it meant to show something:\n${output}`);
      printed.push(output);
    }
    assert.equal(await shell.close(), 0, shell.stderr);
  } finally {
    shell.kill();
  }
  const all = printed.join('\n');
  for (const fact of [/"user_code": "/, /"token_type": "Bearer"/, /"email": "ada@example\.com"/, /^HTTP\/1\.1 204/m, /"slug": "acme"/, /^"active"$/m, /"client_id": "/, /\/invitations\/accept\?token=/, /"organization\.approved"/, /"status": "suspended"/, /^acme .* ok$/m]) {
    assert.match(all, fact);
  }
});
