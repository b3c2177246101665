// A look into the database file of a service that has stopped. Reading only, but for edits that play a newer version
// of the service, somebody with the file in their hands, or a state that no request leads to.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import initSqlJs from 'sql.js';
import { databaseFiles } from './gatehouse.mjs';

let engine;

/** What `integrity_check` and `foreign_key_check` complain about; empty for a whole database. */
export async function integrityProblems(dir) {
  const problems = [];
  for (const file of databaseFiles(dir).filter((name) => name.endsWith('.db'))) {
    // After SIGKILL the newest pages are in the log still: this engine does not read it.
    if (existsSync(`${file}-wal`) && statSync(`${file}-wal`).size > 0) continue;
    await withDatabase(file, (db) => {
      for (const [{ values }] of [db.exec('PRAGMA integrity_check')]) if (values[0][0] !== 'ok') problems.push(...values.flat());
      for (const { values } of db.exec('PRAGMA foreign_key_check')) problems.push(...values.map((row) => `foreign key: ${row}`));
    });
  }
  return problems;
}

/** Makes the schema look as if a service from the future had migrated it. */
export async function pretendNewerSchema(file) {
  await withDatabase(file, (db) => {
    const tables = db.exec("SELECT name FROM sqlite_schema WHERE type = 'table' AND (name LIKE '%migration%' OR name LIKE '%schema_%') AND name NOT LIKE 'sqlite_%'");
    const [name] = tables[0]?.values.flat() ?? [];
    assert(name, 'the database keeps a table of its migrations');
    const [{ columns, values }] = db.exec(`SELECT * FROM "${name}" ORDER BY 1 DESC LIMIT 1`);
    const row = values[0].map((value, index) => (columns[index] === 'version' ? 9999 : value));
    assert(row.includes(9999), `the table ${name} has a column "version", it has ${columns}`);
    db.run(`INSERT INTO "${name}" (${columns.map((column) => `"${column}"`)}) VALUES (${columns.map(() => '?')})`, row);
    writeFileSync(file, Buffer.from(db.export()));
  });
  for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
}

/** Changes the database of a stopped service behind its back. */
export async function editDatabase(dir, sql) {
  for (const file of databaseFiles(dir).filter((name) => name.endsWith('.db'))) {
    await withDatabase(file, (db) => {
      db.run(sql);
      writeFileSync(file, Buffer.from(db.export()));
    });
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  }
}

/** The rows that a query finds in the database of a stopped service. */
export async function queryDatabase(dir, sql) {
  const rows = [];
  for (const file of databaseFiles(dir).filter((name) => name.endsWith('.db'))) {
    await withDatabase(file, (db) => {
      for (const { values } of db.exec(sql)) rows.push(...values);
    });
  }
  return rows;
}

/** Runs a change of the audit log as somebody would who owns the file: past the triggers, which are put back. */
export async function tamperWithAuditLog(file, sql) {
  await withDatabase(file, (db) => {
    const triggers = db.exec("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit_log'")[0].values;
    for (const [name] of triggers) db.run(`DROP TRIGGER "${name}"`);
    db.run(sql);
    assert.equal(db.getRowsModified(), 1, 'the change hits one entry');
    for (const [, create] of triggers) db.run(create);
    writeFileSync(file, Buffer.from(db.export()));
  });
  for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
}

async function withDatabase(file, look) {
  engine ??= await initSqlJs();
  const bytes = readFileSync(file);
  // The engine opens a copy in memory, where no write-ahead log can exist: mark the copy as rollback-journal
  // (bytes 18 and 19 of the header, "file format write and read version").
  bytes[18] = 1;
  bytes[19] = 1;
  const db = new engine.Database(bytes);
  try {
    look(db);
  } finally {
    db.close();
  }
}
