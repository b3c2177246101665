// The real binary, in a folder of its own, on a port of its own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { watch } from './api-document.mjs';
import { FakeClock } from './clock.mjs';
import { leaksInBytes, leaksInLog } from './journal.mjs';
import { until, within } from './until.mjs';

const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 35_000; // the service gives itself 30 s

/** The binary under test. */
export const BINARY = process.env.GATEHOUSE_BIN === undefined
  ? fileURLToPath(new URL('../../target/debug/gatehouse', import.meta.url))
  : path.resolve(process.env.GATEHOUSE_BIN);

/**
 * One instance of the service. `start` returns when it listens.
 * In dev mode everything lies in `./data` of its folder; in production mode the environment names it all.
 */
export class Gatehouse {
  #child;
  #exited;
  #lines = [];
  #options;

  constructor(options) {
    assert(existsSync(BINARY), `there is no binary at ${BINARY}: build it, or set GATEHOUSE_BIN`);
    this.#options = options;
    this.dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-e2e-'));
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.dev] `serve --dev` (the default) or production mode
   * @param {Record<string, string> | ((dir: string, port: number) => Record<string, string>)} [options.env] added to the environment
   * @param {string} [options.logLevel] RUST_LOG; trace by default, so that the leak check sees everything
   * @param {boolean} [options.fakeClock] gives `server.clock`, which can be set ahead while it runs
   */
  static async start({ dev = true, env = {}, logLevel = 'trace', fakeClock = false } = {}) {
    const server = new Gatehouse({ dev, logLevel, env: typeof env === 'function' ? {} : { ...env } });
    if (fakeClock) {
      server.clock = new FakeClock(server.dir);
      Object.assign(server.#options.env, server.clock.env);
    }
    if (!dev) {
      const port = await freePort();
      Object.assign(server.#options.env, productionEnv(server.dir, port), typeof env === 'function' ? env(server.dir, port) : env);
    }
    await server.#launch();
    return server;
  }

  async #launch() {
    const { dev, env, logLevel } = this.#options;
    const args = dev ? ['serve', '--dev'] : ['serve'];
    this.#child = spawn(BINARY, args, {
      cwd: this.dir,
      env: { ...bareEnv(this.dir), RUST_LOG: logLevel, RUST_BACKTRACE: '1', SERVER_PORT: this.port ?? '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // 'close' and not 'exit': by then every line has been read.
    this.#exited = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }));
    const first = this.#lines.length;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#lines.push(line));
    }
    let exit;
    this.#exited.then((outcome) => { exit = outcome; });
    try {
      this.url = await until('the service listens', () => {
        assert(exit === undefined, `the service ended before it listened: ${JSON.stringify(exit)}`);
        return this.#lines.slice(first).map(listeningUrl).find(Boolean);
      }, { deadlineMs: START_DEADLINE_MS });
    } catch (error) {
      this.#child.kill('SIGKILL');
      throw new Error(`${error.message}\n${this.tail()}`, { cause: error });
    }
    this.port = new URL(this.url).port;
    if (this.url.startsWith('http:')) await watch(this.url); // the document is the same one over TLS
  }

  /** The process id, for a look at /proc. */
  get pid() {
    return this.#child.pid;
  }

  /** Every line written so far, standard output and standard error together, all runs of this folder. */
  logs() {
    return [...this.#lines];
  }

  /** The last 40 lines, for a failure. */
  tail() {
    return this.#lines.slice(-40).join('\n');
  }

  /** Sends a signal and returns at once. */
  signal(name) {
    this.#child.kill(name);
  }

  /** How the process ended, once it has. */
  exited() {
    return within(STOP_DEADLINE_MS, 'the service has ended', this.#exited);
  }

  /** SIGTERM; returns `{ code, signal }`. */
  async stop() {
    this.signal('SIGTERM');
    return this.exited();
  }

  /** SIGKILL: nothing is flushed, nothing is said. */
  async kill9() {
    this.signal('SIGKILL');
    return this.exited();
  }

  /** Starts again after `stop` or `kill9`: same folder, same port, same settings but for those of `env`. */
  async restart({ env = {} } = {}) {
    Object.assign(this.#options.env, env);
    await this.#launch();
  }

  /** Whether it is running now. */
  get running() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Fails when a thread panicked, or when a secret of this scenario is in the log or on the disk. */
  assertClean() {
    const panics = this.#lines.filter((line) => line.includes('panicked'));
    assert.deepEqual(panics, [], 'the service panicked');
    const leaks = leaksInLog(this.#lines);
    for (const file of databaseFiles(this.dir)) leaks.push(...leaksInBytes(path.basename(file), readFileSync(file)));
    assert.deepEqual(leaks, [], 'secrets leaked');
  }

  /** Ends it for good and removes its folder. */
  async remove() {
    if (this.running) await this.kill9();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Runs the binary to its end: `{ code, signal, stdout, stderr }`. For subcommands and for refusals to start. */
export async function runToEnd(args, { env = {}, cwd, deadlineMs = 20_000 } = {}) {
  const child = spawn(BINARY, args, { cwd, env: { ...bareEnv(cwd), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => { stdout += chunk; });
  child.stderr.on('data', (chunk) => { stderr += chunk; });
  try {
    const [code, signal] = await within(deadlineMs, `gatehouse ${args.join(' ')} has ended`, once(child, 'close'));
    return { code, signal, stdout, stderr };
  } finally {
    child.kill('SIGKILL');
  }
}

/** What production mode demands, each value valid. */
export function productionEnv(dir, port) {
  return {
    SERVER_PORT: String(port),
    BASE_URL: `http://127.0.0.1:${port}`,
    DATABASE_URL: `sqlite:${path.join(dir, 'store', 'gatehouse.db')}`,
    JWT_SECRET: randomBytes(48).toString('base64'),
    ENCRYPTION_KEY: randomBytes(32).toString('base64'),
  };
}

/** A TCP port of the loopback interface that was free a moment ago. */
export async function freePort() {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  return port;
}

/** The database file, its write-ahead log and whatever else lies beside them under the same name. */
export function databaseFiles(dir) {
  return readdirSync(dir, { recursive: true }).filter((name) => /\.db(-\w+)?$/.test(name)).map((name) => path.join(dir, name));
}

// No setting of the developer's own shell may reach the service.
function bareEnv(home) {
  return { PATH: process.env.PATH, ...(home === undefined ? {} : { HOME: home }) };
}

function listeningUrl(line) {
  return /\blistening\b.*\burl(?:="?|":")(https?:\/\/[^\s"]+)/.exec(line.replace(/\u001b\[[\d;]*m/g, ''))?.[1];
}
