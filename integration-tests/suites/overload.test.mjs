// The short form of `make overload`: four times as many writes as the disk can take.

import { FaultyDisk } from '../lib/faulty-disk.mjs';
import { scenario } from '../lib/stage.mjs';
import { LOG, SETTINGS, assertKeptItsWord, overload } from '../overload/overload.mjs';

scenario('four times too much: some are answered, the rest is told to come back, nobody is cut off, and it is over at once', async (stage) => {
  const disk = new FaultyDisk();
  try {
    const server = await stage.gatehouse({ env: { ...SETTINGS, ...disk.env }, logLevel: LOG });
    // A slower disk, so that little load is much: this has to hold on a busy machine.
    assertKeptItsWord(await overload(server, disk, { times: 4, seconds: 8, syncMillis: 800, readRate: 50, most: 3_000 }));
  } finally {
    disk.remove();
  }
});
