// Services that are measured: folders full of rows, starts, and what is left of a load when it is over.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../lib/gatehouse.mjs';
import { pause } from '../lib/until.mjs';
import { SERVER_CORE, cpuSeconds, median, residentMegabytes, run } from './load.mjs';

const SEED = fileURLToPath(new URL('seed.py', import.meta.url));
const FORM = 'application/x-www-form-urlencoded';
const START_DEADLINE_MS = 20_000;
const SETTLE_DEADLINE_MS = 10_000;

const children = new Set();
const folders = new Set();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A service on one core over a folder of its own. */
export class Service {
  #child;

  /** Starts `binary` in `folder`, with `env` beside what it always gets; returns at its first 200. */
  static async start(binary, folder, env) {
    const service = new Service();
    const port = await freePort();
    service.url = `http://127.0.0.1:${port}`;
    const begun = performance.now();
    // The log is written as in production, and thrown away: the disk is for the database.
    service.#child = spawn('taskset', ['-c', SERVER_CORE, binary, 'serve', '--dev'],
      { cwd: folder, env: { PATH: process.env.PATH, SERVER_PORT: port, ...env }, stdio: 'ignore' });
    children.add(service.#child);
    for (;;) {
      try {
        if ((await fetch(`${service.url}/health/live`)).ok) break;
      } catch {
        if (performance.now() - begun > START_DEADLINE_MS) throw new Error(`${binary} does not start in ${folder}`);
        await pause(2);
      }
    }
    service.startMs = performance.now() - begun;
    service.startMb = service.megabytes;
    return service;
  }

  get pid() {
    return this.#child.pid;
  }

  /** What it has resident. */
  get megabytes() {
    return residentMegabytes(this.pid);
  }

  async stop() {
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await ended;
    children.delete(this.#child);
  }

  /** Waits until it has worked off what a load left behind (Stripe's events), so that this costs nobody else anything. */
  async settle() {
    const begun = performance.now();
    for (let rested = false; !rested;) {
      const before = cpuSeconds(this.pid);
      await pause(100);
      rested = cpuSeconds(this.pid) - before < 0.015; // one tick of the kernel's clock is 0.01
      if (!rested && performance.now() - begun > SETTLE_DEADLINE_MS) throw new Error(`${this.url} does not come to rest`);
    }
  }

  post(address, body) {
    return fetch(this.url + address, { method: 'POST', headers: { 'content-type': FORM }, body });
  }
}

/** A folder with `count` of everything, and what the clients hold of the newest `hot`; all of it on the disk. `start` starts. */
export async function seeded(start, count, hot) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-bench-'));
  folders.add(folder);
  await (await start(folder)).stop();
  await run('python3', [SEED, databaseOf(folder), folder, String(count), String(hot)]);
  // It is written without waiting for the disk. What the kernel still had to write would disturb what is measured next.
  await run('sync', []);
  return folder;
}

export function databaseOf(folder) {
  return path.join(folder, 'data/gatehouse.db');
}

/** Starts and stops a service `times` times: how long that takes, and what it has resident then. */
export async function starts(start, folder, times) {
  const [ms, mb] = [[], []];
  for (let time = 0; time < times; time += 1) {
    const service = await start(folder);
    ms.push(service.startMs);
    mb.push(service.startMb);
    await service.stop();
  }
  return { startMs: median(ms).middle, idleMb: median(mb).middle };
}
