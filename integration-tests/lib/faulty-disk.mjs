// A disk that fails with an error of the test's choice, or takes its time, while the service runs (native/disk_faults.c).

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../native/disk_faults.c', import.meta.url));

export class FaultyDisk {
  #dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-faults-'));
  #plan;

  constructor() {
    const library = path.join(this.#dir, 'disk_faults.so');
    execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl']);
    const plan = path.join(this.#dir, 'plan');
    writeFileSync(plan, Buffer.alloc(8));
    this.#plan = openSync(plan, 'r+');
    /** For the environment of the service. */
    this.env = { LD_PRELOAD: library, DISK_FAULTS_PLAN: plan };
  }

  /** From now on writing fails like this: a name of errno(3), or none. */
  failWith(name) {
    this.#set(0, name === undefined ? 0 : os.constants.errno[name]);
  }

  /** From now on what is written takes this long to reach the platter. */
  slowBy(millis) {
    this.#set(4, millis);
  }

  remove() {
    closeSync(this.#plan);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #set(offset, value) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    writeSync(this.#plan, bytes, 0, 4, offset);
  }
}
