// Upgrades: a database of every earlier schema version, with data in it, is opened by the present binary.
//
// The data comes from a service of today. For each version N the migrations up to N make an empty database, and every
// row of today's that fits into a table of version N is put there, by the columns that the table has at N.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createDatabase, openDatabase } from '../lib/database.mjs';
import { decide, deviceCode, poll, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { ownedPlatform, registerActive } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { SmallDisk } from '../lib/disk.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const folder = fileURLToPath(new URL('../../migrations/sqlite/', import.meta.url));
const files = readdirSync(folder).filter((name) => name.endsWith('.sql')).sort();
const migrations = files.map((name) => ({ version: Number.parseInt(name, 10), sql: readFileSync(path.join(folder, name), 'utf8') }));
const versions = migrations.map(({ version }) => version);
// Whatever a version has, it must hold these rows, or its upgrade proves nothing.
const MUST_HAVE = ['organizations', 'services', 'users', 'identities', 'sessions', 'refresh_tokens', 'device_codes', 'signing_keys', 'settings'];

const database = (server) => path.join(server.dir, 'data', 'gatehouse.db');
const rows = (db, sql) => (db.exec(sql)[0] ?? { values: [] }).values;
const columns = (db, table) => rows(db, `PRAGMA table_info("${table}")`).map(([, name]) => name);

/** A database at schema version `version` with what fits into it of `source`. Returns how many rows each table has. */
async function databaseAt(version, source, target) {
  return openDatabase(source, (today) => createDatabase(target, (db) => {
    for (const migration of migrations) if (migration.version <= version) db.exec(migration.sql);
    const filled = {};
    const tables = rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").flat();
    for (const table of tables) {
      const known = columns(today, table);
      const shared = columns(db, table).filter((name) => known.includes(name)).map((name) => `"${name}"`);
      // Up to version 18 every device code had one; today none has.
      const values = shared.map((name) => (name === '"user_code_hash"' ? `COALESCE(${name}, randomblob(16))` : name));
      for (const row of rows(today, `SELECT ${values} FROM "${table}"`)) {
        db.run(`INSERT OR IGNORE INTO "${table}" (${shared}) VALUES (${shared.map(() => '?')})`, row);
      }
      filled[table] = rows(db, `SELECT COUNT(*) FROM "${table}"`)[0][0];
    }
    const [ledger] = rows(today, "SELECT sql FROM sqlite_schema WHERE name = 'schema_migrations'");
    db.run(ledger[0]);
    for (const row of rows(today, `SELECT version, name, applied_on, checksum FROM schema_migrations WHERE version <= ${version}`)) {
      db.run('INSERT INTO schema_migrations (version, name, applied_on, checksum) VALUES (?, ?, ?, ?)', row);
    }
    assert.deepEqual(rows(db, 'PRAGMA foreign_key_check'), [], `what is in version ${version} hangs together`);
    return filled;
  }));
}

/** A service of today with people, a device that waits, an organization, and a refresh token of before the upgrade. */
async function lived(stage) {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signIn(server, 'dev', ADA);
  const waiting = await deviceCode(server);
  const device = await deviceCode(server);
  await decide(stage.browser(), server, device.user_code, { email: 'grace@example.test', name: 'Grace Hopper' });
  tokens(await poll(server, device));
  await registerActive(owner, owner, 'acme');
  const id = (await whoAmI(server, ada.access)).json.id;
  await server.stop();
  return { server, ada, id, waiting };
}

scenario('a database of every earlier schema version is upgraded with all that is in it, and a copy from before is kept', async (stage) => {
  const { server, ada, id, waiting } = await lived(stage);
  const source = path.join(server.dir, 'today');
  const { code, stderr } = await runToEnd(['backup', '--dev', source], { cwd: server.dir });
  assert.equal(code, 0, stderr);
  const snapshots = () => readdirSync(path.join(server.dir, 'data')).filter((name) => name.includes('schema-'));
  assert(versions.length > 10);
  for (const version of versions.slice(0, -1)) {
    const filled = await databaseAt(version, source, database(server));
    for (const table of MUST_HAVE) assert(filled[table] > 0, `version ${version} has rows in ${table}: ${JSON.stringify(filled)}`);

    await server.restart();
    const at = `after the upgrade from version ${version}`;
    assert.equal((await whoAmI(server, ada.access)).status, 200, `a token from before is good ${at}`);
    tokens(await refreshGrant(server, ada.refresh));
    assert.equal((await poll(server, waiting)).json.error, 'authorization_pending', `a device waits ${at}`);
    const again = await signIn(server, 'dev', ADA);
    assert.equal((await whoAmI(server, again.access)).json.id, id, `the same person signs in ${at}`);
    assert.equal((await request(`${server.url}/health/ready`)).status, 200);
    for (const proof of [['audit', 'verify', '--dev'], ['analytics', 'verify', '--dev']]) {
      const answer = await runToEnd(proof, { cwd: server.dir });
      assert.equal(answer.code, 0, `${proof[0]} ${at}: ${answer.stdout}${answer.stderr}`);
    }
    await server.stop();

    const snapshot = `${database(server)}.schema-${version}`;
    assert.equal(statSync(snapshot).mode & 0o777, 0o600);
    const [found, users] = await openDatabase(snapshot, (db) => [rows(db, 'SELECT MAX(version) FROM schema_migrations')[0][0], rows(db, 'SELECT COUNT(*) FROM users')[0][0]]);
    assert.deepEqual([found, users], [version, filled.users], 'the copy is the database of before');
    assert(snapshots().length <= 3, `not more than three are kept: ${snapshots()}`);
  }
  assert.equal(snapshots().length, 3);
});

scenario('without room for a copy from before, nothing is migrated', async (stage) => {
  const { server, ada } = await lived(stage);
  const source = path.join(server.dir, 'today');
  assert.equal((await runToEnd(['backup', '--dev', source], { cwd: server.dir })).code, 0);
  const disk = new SmallDisk('2m');
  try {
    const file = path.join(disk.dir, 'gatehouse.db');
    await databaseAt(versions.at(-2), source, file);
    const was = readFileSync(file);
    disk.fill();
    const env = { DATABASE_URL: `sqlite:${file}`, SERVER_PORT: server.port };
    const { code, stderr } = await runToEnd(['serve', '--dev'], { cwd: server.dir, env });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /so it was not migrated: .*full/);
    assert(was.equals(readFileSync(file)), 'it is as it was');
    assert(!existsSync(`${file}.schema-${versions.at(-2)}`));
    disk.free();
    await server.restart({ env: { DATABASE_URL: `sqlite:${file}` } });
    assert.equal((await whoAmI(server, ada.access)).status, 200);
    await server.stop();
  } finally {
    disk.remove();
  }
});
