// Chromium, the fake clock and the look into a database file, tried on their own.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import initSqlJs from 'sql.js';
import { assertUsable, launchChromium, openWindow, PHONE } from '../lib/chromium.mjs';
import { FakeClock } from '../lib/clock.mjs';
import { integrityProblems, pretendNewerSchema } from '../lib/database.mjs';

const GOOD = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>t</title><main><h1>t</h1><label for="a">a</label><input id="a" name="a"></main>';
const BAD = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>t</title><main><h1>t</h1><input name="nolabel"><script>throw new Error("boom")</script></main>';
const FORM = GOOD.replace('<label', '<form action="/done"><button name="b" value="1">b</button><label');
const WIDE = GOOD.replace('<label', '<p style="width:900px">wide</p><label');

test('Chromium opens pages, notices their errors and measures them', async () => {
  const server = http.createServer((req, res) => {
    res.setHeader('content-type', 'text/html');
    res.end({ '/bad': BAD, '/wide': WIDE, '/form': FORM }[req.url] ?? GOOD);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}`;
  const browser = await launchChromium();
  try {
    const { page, complaints } = await openWindow(browser, { viewport: PHONE });
    await page.goto(url);
    await assertUsable(page);
    assert.deepEqual(complaints.filter((text) => !text.includes('favicon')), []);
    await page.goto(`${url}/bad`);
    await assert.rejects(assertUsable(page), /label/);
    assert(complaints.some((text) => text.includes('boom')));
    await page.goto(`${url}/wide`);
    await assert.rejects(assertUsable(page), /wider/);
    const plain = await openWindow(browser, { javaScriptEnabled: false });
    await plain.page.goto(`${url}/bad`);
    assert.deepEqual(plain.complaints.filter((text) => !text.includes('favicon')), []);
    await plain.page.goto(`${url}/form`); // forms are filled, sent and waited for without the page's own scripts
    await plain.page.fill('input[name=a]', 'typed');
    await plain.page.click('button[name=b]');
    await plain.page.waitForSelector('button[name=b]', { state: 'detached' });
    assert.equal(new URL(plain.page.url()).searchParams.get('a'), 'typed');
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
  }
});

test('the fake clock moves the wall clock of a running process and leaves its timers alone', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-clock-'));
  const clock = new FakeClock(dir);
  const child = spawn(process.execPath, ['-e', 'process.stdin.on("data", () => console.log(Date.now(), Math.round(process.uptime())))'], { env: { ...process.env, ...clock.env } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async () => {
    child.stdin.write('?');
    const [wall, uptime] = (await lines.next()).value.split(' ').map(Number);
    return { ahead: Math.round(Math.abs(wall - Date.now()) / 1000), uptime };
  };
  try {
    assert.equal((await ask()).ahead, 0);
    clock.set(601);
    const later = await ask();
    assert.equal(later.ahead, 601);
    assert(later.uptime < 60);
  } finally {
    child.kill();
    rmSync(dir, { recursive: true });
  }
});

test('a database file is checked, and can be made to look newer', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-db-'));
  const file = path.join(dir, 'gatehouse.db');
  const sqlite = await initSqlJs();
  const db = new sqlite.Database();
  db.run('CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT) STRICT; INSERT INTO schema_migrations VALUES (1, \'one\')');
  db.run('CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (parent INTEGER REFERENCES parent (id))');
  writeFileSync(file, Buffer.from(db.export()));
  assert.deepEqual(await integrityProblems(dir), []);
  await pretendNewerSchema(file);
  assert.deepEqual(await integrityProblems(dir), []);
  const newer = new sqlite.Database((await import('node:fs')).readFileSync(file));
  assert.deepEqual(newer.exec('SELECT MAX(version) FROM schema_migrations')[0].values, [[9999]]);
  newer.run('PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (7)');
  writeFileSync(file, Buffer.from(newer.export()));
  assert.match((await integrityProblems(dir))[0], /foreign key: child/);
  rmSync(dir, { recursive: true });
});
