// A start on a full disk: it says what is missing and ends, or it serves; and once there is room the same folder starts,
// with everything that was ever answered in it.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { integrityProblems } from '../lib/database.mjs';
import { SmallDisk } from '../lib/disk.mjs';
import { deviceCode, poll, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const KIB = 1024;
// In bytes: nothing; the files, and no page of them; a part of the schema. With the last three a start once ended
// between a migration and the record of it, after which none came up any more.
const ROOMS = [0, 4, 40, 120, 224, 452, 848].map((room) => room * KIB);
const FAILED = 1;
const BAD_CONFIGURATION = 78; // dev mode could not make its secrets

/** Whether it started; it is stopped again then. If it did not, it ended by itself and said why. */
async function starts(server, what) {
  const before = server.logs().length;
  try {
    await server.restart();
  } catch {
    const { code, signal } = await server.exited();
    const said = server.logs().slice(before).join('\n');
    assert.equal(signal, null, `${what}: it ended by itself\n${said}`);
    assert([FAILED, BAD_CONFIGURATION].includes(code), `${what}: exit code ${code}\n${said}`);
    assert.match(said, /disk is full|no space left/i, `${what}: it says why\n${said}`);
    return false;
  }
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, what);
  return true;
}

/** A service whose folder of data is on a small disk, and which does not run. */
async function onSmallDisk(stage, size, play) {
  const disk = new SmallDisk(size);
  try {
    const server = await stage.gatehouse({ logLevel: 'info' });
    const session = await signIn(server, 'dev', ADA);
    const devices = [await deviceCode(server), await deviceCode(server)];
    await server.stop();
    const data = path.join(server.dir, 'data');
    const there = path.join(disk.dir, 'data');
    cpSync(data, there, { recursive: true });
    rmSync(data, { recursive: true });
    symlinkSync(there, data);
    await play({ disk, server, session, devices, there });
    if (server.running) assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.deepEqual(await integrityProblems(there), []);
  } finally {
    disk.remove();
  }
}

scenario('a start of an existing database on a full disk ends with the reason, and with room all rows are there', async (stage) => {
  await onSmallDisk(stage, '24m', async ({ disk, server, session, devices, there }) => {
    const assertAllThere = async () => {
      for (const device of devices) assert.equal((await poll(server, device)).json.error, 'authorization_pending', 'an acknowledged code is gone');
      assert.equal((await whoAmI(server, session.access)).status, 200, 'nobody was signed out');
    };
    for (const death of ['stop', 'kill9']) {
      await server.restart();
      devices.push(await deviceCode(server)); // after `kill9` it is in the log alone
      await server[death]();
      // As after a restore: the index of the log has to be made anew, too.
      if (death === 'stop') rmSync(path.join(there, 'gatehouse.db-shm'), { force: true });
      for (const room of ROOMS) {
        disk.fill();
        disk.giveBack(room);
        await starts(server, `${room} bytes free after ${death}`);
        disk.free();
      }
      await server.restart();
      await assertAllThere();
      await server.stop();
    }
    await server.restart();
    tokens(await refreshGrant(server, session.refresh));
    await signIn(server, 'dev', { email: 'bob@example.test' });
  });
});

scenario('a first start on a full disk ends with the reason, and with room the same folder starts', async (stage) => {
  await onSmallDisk(stage, '24m', async ({ disk, server, there }) => {
    for (const room of ROOMS) {
      rmSync(there, { recursive: true });
      mkdirSync(there);
      disk.fill();
      disk.giveBack(room);
      assert(!await starts(server, `${room} bytes free`), `${room} bytes are too few for a database`);
      disk.free();
      await server.restart();
      await signIn(server, 'dev', ADA);
      const device = await deviceCode(server);
      await server.stop();
      await server.restart();
      assert.equal((await poll(server, device)).json.error, 'authorization_pending');
      await server.stop();
      assert.deepEqual(await integrityProblems(there), []);
      assert.deepEqual(readdirSync(there).filter((name) => /^\.|journal|partial|schema-/.test(name)), [], 'no half file is left');
    }
  });
});
