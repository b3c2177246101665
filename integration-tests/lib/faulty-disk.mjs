// A disk that fails or dawdles under a running service: the system calls that write are stood in front of by a small
// library (faulty-disk.c), which is compiled here and preloaded. What goes wrong can be changed at any moment.

import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('faulty-disk.c', import.meta.url));
/** As the kernel numbers them. */
const ERRNO = { EIO: os.constants.errno.EIO, ENOSPC: os.constants.errno.ENOSPC, EROFS: 30 };
const PLAN_LENGTH = 16;

export class FaultyDisk {
  #dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-faults-'));
  #plan;

  constructor() {
    const library = path.join(this.#dir, 'faulty-disk.so');
    // The compiler that the binary itself was built with: a bundled SQLite needs one.
    execFileSync(process.env.CC ?? 'cc', ['-O2', '-Wall', '-Werror', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl'], { stdio: 'inherit' });
    this.#plan = openSync(path.join(this.#dir, 'plan'), 'w+');
    this.heal();
    this.env = { LD_PRELOAD: library, FAULTY_DISK_PLAN: path.join(this.#dir, 'plan') };
  }

  /**
   * What goes wrong from now on.
   * @param {{ writes?: 'EIO' | 'ENOSPC' | 'EROFS', syncs?: 'EIO' | 'ENOSPC', syncMillis?: number }} plan
   */
  fail({ writes, syncs, syncMillis = 0 }) {
    const bytes = Buffer.alloc(PLAN_LENGTH);
    [ERRNO[writes] ?? 0, ERRNO[syncs] ?? 0, syncMillis, 0].forEach((word, index) => bytes.writeUInt32LE(word, index * 4));
    writeSync(this.#plan, bytes, 0, bytes.length, 0); // in place: the service has it mapped
  }

  /** A good disk again. */
  heal() {
    this.fail({});
  }

  /** How often something went wrong since the last change of plan. */
  get hits() {
    const bytes = Buffer.alloc(4);
    readSync(this.#plan, bytes, 0, 4, 12);
    return bytes.readUInt32LE();
  }

  remove() {
    closeSync(this.#plan);
    if (existsSync(this.#dir)) rmSync(this.#dir, { recursive: true });
  }
}
