// The wall clock of a running service, set ahead from outside (libfaketime). Lifetimes of minutes and days can be
// seen to end without waiting, in the real binary, with every janitor where it is.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** The preloaded library, wherever this architecture keeps it. */
export function library() {
  const found = ['/usr/lib', ...readdirSync('/usr/lib').filter((name) => name.includes('-linux-')).map((name) => `/usr/lib/${name}`)]
    .map((dir) => path.join(dir, 'faketime', 'libfaketimeMT.so.1'))
    .find(existsSync);
  assert(found, 'libfaketime is missing: apt-get install -y libfaketime');
  return found;
}

export class FakeClock {
  #file;

  constructor(dir) {
    this.#file = path.join(dir, 'clock');
    this.set(0);
    this.env = {
      LD_PRELOAD: library(),
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1', // timeouts and timers go by the monotonic clock and stay real
      DONT_FAKE_MONOTONIC: '1', // its older name
    };
  }

  /** From now on the service believes that it is this many seconds later than it is; earlier when it is negative. */
  set(secondsAhead) {
    writeFileSync(`${this.#file}.new`, `${secondsAhead < 0 ? '' : '+'}${secondsAhead}s\n`);
    renameSync(`${this.#file}.new`, this.#file); // a reader sees the old offset or the new one
  }
}
