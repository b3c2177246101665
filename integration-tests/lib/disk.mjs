// A small disk of one's own: a tmpfs that can be filled, made read-only and grown while a service writes to it.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, rmdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export class SmallDisk {
  /** @param {string} size as mount(8) takes it: "8m" */
  constructor(size) {
    this.dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-disk-'));
    asRoot('mount', '-t', 'tmpfs', '-o', `size=${size},mode=0700,uid=${process.getuid()},gid=${process.getgid()}`, 'tmpfs', this.dir);
  }

  /** Takes all the space that is left; `free` gives it back. */
  fill() {
    const chunk = Buffer.alloc(64 * 1024);
    for (const length of [chunk.length, 4096]) {
      try {
        for (;;) writeFileSync(this.#ballast, chunk.subarray(0, length), { flag: 'a' });
      } catch (error) {
        if (error.code !== 'ENOSPC') throw error;
      }
    }
  }

  /** Gives back `bytes` of what `fill` took. */
  giveBack(bytes) {
    truncateSync(this.#ballast, statSync(this.#ballast).size - bytes);
  }

  /** Gives back what `fill` took. */
  free() {
    rmSync(this.#ballast, { force: true });
  }

  /** Changes options while it is in use: "ro", "rw", "size=64m". Whoever has files open for writing goes on with "ro" refused. */
  remount(options) {
    asRoot('mount', '-o', `remount,${options}`, this.dir);
  }

  /** Unmounts it; what was on it is gone. */
  remove() {
    asRoot('umount', '-l', this.dir);
    rmdirSync(this.dir);
  }

  get #ballast() {
    return path.join(this.dir, 'ballast');
  }
}

function asRoot(command, ...args) {
  const [program, ...rest] = process.getuid() === 0 ? [command, ...args] : ['sudo', '-n', command, ...args];
  try {
    execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    throw new Error(`these tests mount small disks, which needs root or sudo without a password: ${error.stderr}`, { cause: error });
  }
}
