// Backups: made while the service runs, proved, restored; encrypted; by themselves; and what they refuse.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openDatabase, pretendNewerSchema } from '../lib/database.mjs';
import { SmallDisk } from '../lib/disk.mjs';
import { CLI, deviceCode, poll, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const HOUR = 3600;

const command = (server, name, file, env = {}) => runToEnd([name, '--dev', file], { cwd: server.dir, env });
const database = (server) => path.join(server.dir, 'data', 'gatehouse.db');
const mode = (file) => statSync(file).mode & 0o777;

async function made(server, file, env) {
  const { code, stdout, stderr } = await command(server, 'backup', file, env);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /verified/);
  assert.equal(mode(file), 0o600, 'nobody else may read it');
  return file;
}

async function refused(server, name, file, sentence, env) {
  const { code, stdout, stderr } = await command(server, name, file, env);
  assert.equal(code, 1, `${stdout}${stderr}`);
  assert.match(stderr, sentence);
  assert(!stderr.includes('panicked'), stderr);
}

/** Asks for device codes from eight connections and keeps those that were answered; `stop` ends it. */
function load(server) {
  const acknowledged = [];
  const refusals = [];
  let running = true;
  const worker = async () => {
    while (running) {
      const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId } });
      if (answer.status === 200) acknowledged.push(answer.json);
      else refusals.push(answer.text);
    }
  };
  const workers = Array.from({ length: 8 }, worker);
  return { acknowledged, stop: async () => { running = false; await Promise.all(workers); assert.deepEqual(refusals, []); } };
}

scenario('a backup under load holds every write that was acknowledged before it began, and a restore brings it back', async (stage) => {
  const server = await stage.gatehouse();
  const ada = await signIn(server, 'dev', ADA);
  const { acknowledged, stop } = load(server);
  await until('some codes are issued', () => acknowledged.length > 100, { everyMs: 1 });
  const before = [...acknowledged];
  const file = await made(server, path.join(server.dir, 'copy.db'));
  const during = acknowledged.length;
  await until('the service goes on', () => acknowledged.length > during + 50, { everyMs: 1 });
  await stop();
  const after = await deviceCode(server);

  await refused(server, 'restore', file, /another process is using/);
  await refused(server, 'backup', file, /exists already/);
  assert.equal((await poll(server, after)).json.error, 'authorization_pending', 'nothing was touched');

  await server.stop();
  const { code, stdout, stderr } = await command(server, 'restore', file);
  assert.equal(code, 0, stderr);
  const aside = /^(\S+) {2}is the database that was there before$/m.exec(stdout)?.[1];
  assert(statSync(path.join(server.dir, aside)).size > 0, stdout);
  assert.equal(mode(database(server)), 0o600);
  assert.deepEqual(readdirSync(path.join(server.dir, 'data')).filter((name) => /-wal|-shm|restoring|partial/.test(name)), []);

  await server.restart();
  for (const device of before) assert.equal((await poll(server, device)).json.error, 'authorization_pending', `one of ${before.length} is gone`);
  assert.equal((await poll(server, after)).json.error, 'invalid_grant', 'what came after the backup is not in it');
  assert.equal((await whoAmI(server, ada.access)).status, 200, 'and the keys that signed tokens are');
  const next = tokens(await refreshGrant(server, ada.refresh));

  // The old one is as good as new: back to it, log and all.
  await server.kill9();
  assert.equal((await command(server, 'restore', aside)).code, 0);
  await server.restart();
  assert.equal((await poll(server, after)).json.error, 'authorization_pending');
  assert.equal((await whoAmI(server, next.access)).status, 200);
});

scenario('where the database is a symbolic link, what it leads to is restored, and it stays a link', async (stage) => {
  const server = await stage.gatehouse();
  const ada = await signIn(server, 'dev', ADA);
  const file = await made(server, path.join(server.dir, 'copy.db'));
  const after = await deviceCode(server);
  await server.stop();
  const store = path.join(server.dir, 'store');
  const real = path.join(store, 'real.db');
  mkdirSync(store);
  renameSync(database(server), real);
  symlinkSync('../store/real.db', database(server));
  await server.restart();
  assert.equal((await poll(server, after)).json.error, 'authorization_pending');

  for (const env of [{}, { DATABASE_URL: `sqlite:${real}` }]) await refused(server, 'restore', file, /another process is using/, env);
  await server.kill9();
  assert(statSync(`${real}-wal`).size > 0, 'there is a log, beside the file and not beside the link');
  const restored = async (from) => {
    const { code, stdout, stderr } = await command(server, 'restore', from);
    assert.equal(code, 0, stderr);
    assert(lstatSync(database(server)).isSymbolicLink(), 'the link is still one');
    assert(!existsSync(`${real}-wal`), 'the log went with its database');
    assert.equal(mode(real), 0o600);
    assert.deepEqual(readdirSync(path.join(server.dir, 'data')).filter((name) => /restor/.test(name)), [], 'nothing is left beside the link');
    return /^(\S+) {2}is the database that was there before$/m.exec(stdout)?.[1];
  };
  const aside = await restored(file);
  assert.equal(path.join(server.dir, path.dirname(aside)), store, 'the old one is beside what the link leads to');
  await server.restart();
  assert.equal((await whoAmI(server, ada.access)).status, 200);
  assert.equal((await poll(server, after)).json.error, 'invalid_grant', 'what came after the backup is not in it');

  // The old one is whole, log and all; and where there is nothing behind the link, it is made there.
  await server.stop();
  assert.equal(typeof await restored(aside), 'string');
  rmSync(real);
  assert.equal(await restored(path.join(server.dir, aside)), undefined, 'nothing was there before');
  await server.restart();
  assert.equal((await poll(server, after)).json.error, 'authorization_pending');
});

scenario('an encrypted backup opens with its key only, and shows nothing without', async (stage) => {
  const key = { BACKUP_KEY: randomBytes(32).toString('base64') };
  const server = await stage.gatehouse();
  const ada = await signIn(server, 'dev', ADA);
  const folder = path.join(server.dir, 'backups');
  mkdirSync(folder);
  assert.equal((await command(server, 'backup', folder, key)).code, 0);
  const [name, ...more] = readdirSync(folder);
  assert.deepEqual(more, [], 'nothing else is left in the folder');
  assert.match(name, /^gatehouse-\d{8}T\d{6}Z\.db\.sealed$/);
  const file = path.join(folder, name);
  const bytes = readFileSync(file);
  for (const clear of ['SQLite format 3', ADA.email, 'CREATE TABLE']) assert(!bytes.includes(clear), `${clear} is readable`);
  await server.stop();

  const was = readFileSync(database(server));
  const bend = (change) => { const bent = path.join(server.dir, 'bent'); writeFileSync(bent, change(Buffer.from(bytes))); return bent; };
  await refused(server, 'restore', file, /set BACKUP_KEY/);
  await refused(server, 'restore', file, /another key/, { BACKUP_KEY: randomBytes(32).toString('base64') });
  await refused(server, 'restore', bend((all) => all.subarray(0, all.length - 1)), /cut off/, key);
  await refused(server, 'restore', bend((all) => { all[all.length >> 1] ^= 1; return all; }), /changed/, key);
  await refused(server, 'restore', bend((all) => Buffer.concat([all, Buffer.from([0])])), /changed/, key);
  assert(was.equals(readFileSync(database(server))), 'the database is untouched');

  assert.equal((await command(server, 'restore', file, key)).code, 0);
  await server.restart();
  assert.equal((await whoAmI(server, ada.access)).status, 200);

  const clash = await command(server, 'backup', path.join(folder, 'x'), { ...key, ENCRYPTION_KEY: key.BACKUP_KEY });
  assert.equal(clash.code, 78, 'the key must not be one that the database is sealed with');
  assert(!clash.stderr.includes(key.BACKUP_KEY));
});

scenario('what is damaged, from a newer version or no database is not restored', async (stage) => {
  const server = await stage.gatehouse();
  await signIn(server, 'dev', ADA);
  const good = await made(server, path.join(server.dir, 'good.copy'));
  await server.stop();
  const was = readFileSync(database(server));
  const file = (name, make) => { const target = path.join(server.dir, name); copyFileSync(good, target); make?.(target); return target; };

  const newer = file('newer.copy');
  await pretendNewerSchema(newer);
  await refused(server, 'restore', newer, /newer/);
  await refused(server, 'restore', file('text.copy', (target) => writeFileSync(target, 'hello')), /text\.copy/);
  await refused(server, 'restore', file('empty.copy', (target) => writeFileSync(target, '')), /not a database of this service/);
  await refused(server, 'restore', path.join(server.dir, 'absent'), /absent/);
  await refused(server, 'restore', file('damaged.copy', (target) => {
    const bytes = readFileSync(target);
    bytes.fill(0xa5, 3 * 4096, 12 * 4096);
    writeFileSync(target, bytes);
  }), /damaged/);
  const dangling = file('dangling.copy');
  await openDatabase(dangling, (db) => { db.run('PRAGMA foreign_keys = OFF'); db.run('DELETE FROM users'); }, { keep: true });
  await refused(server, 'restore', dangling, /refers to a row that is not there/);

  assert(was.equals(readFileSync(database(server))), 'the database is untouched');
  assert.deepEqual(readdirSync(path.join(server.dir, 'data')).filter((name) => /restor/.test(name)), [], 'nothing is left');
  await server.restart();
});

scenario('a full disk during a backup leaves no half file, and the service goes on', async (stage) => {
  const disk = new SmallDisk('256k');
  try {
    const server = await stage.gatehouse({ env: { BACKUP_FOLDER: disk.dir } });
    const figures = async () => (await request(`${server.url}/health/ready`)).json.actors.backup_keeper;
    await until('the failure is counted', async () => (await figures()).failures > 0);
    assert.equal((await figures()).made, 0);
    assert.deepEqual(readdirSync(disk.dir), [], 'no half backup');
    await refused(server, 'backup', path.join(disk.dir, 'copy.db'), /full/);
    await refused(server, 'backup', path.join(disk.dir, 'copy.db'), /space/i, { BACKUP_KEY: randomBytes(32).toString('base64') });
    assert.deepEqual(readdirSync(disk.dir), [], 'no half backup');
    assert.deepEqual(readdirSync(path.join(server.dir, 'data')).filter((name) => name.includes('backup')), [], 'nor a copy beside the database');
    await signIn(server, 'dev', ADA);
    disk.remount('size=16m');
    await server.stop();
    await server.restart();
    await until('there is a backup once there is room', async () => (await figures()).made === 1);
    assert.equal(readdirSync(disk.dir).length, 1);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  } finally {
    disk.remove();
  }
});

scenario('backups are made by themselves, and as many are kept as the settings say', async (stage) => {
  const folder = 'backups';
  const server = await stage.gatehouse({ fakeClock: true, env: { BACKUP_FOLDER: folder, BACKUP_INTERVAL_HOURS: '6', BACKUP_KEEP: '2' } });
  const at = path.join(server.dir, folder);
  const names = () => (existsSync(at) ? readdirSync(at).sort() : []);
  const finished = () => names().filter((name) => name.endsWith('.db'));
  const first = await until('the first one is there', () => finished()[0]);
  writeFileSync(path.join(at, 'notes.txt'), 'not a backup');
  writeFileSync(path.join(at, '.gatehouse-20200101T000000Z.db.partial'), 'of a process that was killed');
  const seen = [first];
  for (const hours of [5, 7, 14, 21]) {
    server.clock.set(hours * HOUR);
    await server.stop();
    await server.restart();
    if (hours === 5) {
      await until('it has looked', async () => (await request(`${server.url}/health/ready`)).json.actors.backup_keeper !== undefined);
      assert.deepEqual(finished(), [first], 'none is due yet');
    } else {
      seen.push(await until('another one is there', () => finished().find((name) => !seen.includes(name))));
      await until('the oldest one is gone', () => finished().length <= 2);
    }
  }
  assert.deepEqual(names(), [...seen.slice(-2), 'notes.txt'].sort());
  for (const name of finished()) assert.equal(mode(path.join(at, name)), 0o600);
  // The clock is set back, as by an operator who mends it: that must not keep the next one from being made.
  server.clock.set(0);
  await server.stop();
  await server.restart();
  await until('it looked and failed at nothing', async () => (await request(`${server.url}/health/ready`)).json.actors.backup_keeper.made === 1);
});
