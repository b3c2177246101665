// What a backup does to those who write meanwhile: device codes at a steady rate, alone and beside `gatehouse backup`.
// node bench/backup.mjs [ROWS] [RATE]; ROWS of everything (seed.py), some 1.6 kB each. With BACKUP_KEY they are encrypted.

import { execFileSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLI } from '../lib/flows.mjs';
import { Gatehouse, runToEnd } from '../lib/gatehouse.mjs';
import { openJournal } from '../lib/journal.mjs';
import { SETTINGS } from '../overload/overload.mjs';
import { deviceCodeRequest, openLoop, percentile } from '../overload/load.mjs';

const rows = Number(process.argv[2] ?? 300_000);
const rate = Number(process.argv[3] ?? 500);
const SECONDS = 15;
const KEY = process.env.BACKUP_KEY === undefined ? {} : { BACKUP_KEY: process.env.BACKUP_KEY };

openJournal();
const server = await Gatehouse.start({ env: SETTINGS, logLevel: 'off,gatehouse::server=info' });
const database = path.join(server.dir, 'data/gatehouse.db');
try {
  await server.stop();
  execFileSync('python3', [fileURLToPath(new URL('seed.py', import.meta.url)), database, server.dir, String(rows), '1000'], { stdio: 'ignore' });
  await server.restart();
  const size = statSync(database).size;
  console.log(`database of ${(size / 1e6).toFixed(0)} MB, ${rate} device codes a second for ${SECONDS} s\n\n| | answered | p50 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|`);
  const row = async (name, beside = async () => {}) => {
    const load = openLoop({ port: server.port, message: deviceCodeRequest(CLI.clientId), rate, seconds: SECONDS });
    const [outcome] = await Promise.all([load, beside()]);
    await outcome.settle();
    const { 200: answered, ...others } = outcome.byStatus;
    if (Object.keys(others).length > 0) throw new Error(`not all were answered: ${Object.keys(others)}`);
    const figures = [0.5, 0.99, 0.999, 1].map((part) => `${percentile(answered.millis, part).toFixed(1)} ms`);
    console.log(`| ${[name, answered.millis.length, ...figures].join(' | ')} |`);
  };
  const copies = [];
  const backups = async () => {
    const begin = performance.now();
    while (performance.now() - begin < (SECONDS - 1) * 1000) {
      const file = path.join(server.dir, `copy-${copies.length}.db`);
      const began = performance.now();
      const { code, stderr } = await runToEnd(['backup', '--dev', file], { cwd: server.dir, env: KEY, deadlineMs: 120_000 });
      if (code !== 0) throw new Error(stderr);
      copies.push({ file, seconds: (performance.now() - began) / 1000 });
    }
  };
  await row('warming up');
  await row('alone');
  await row('beside backups, one after the other', backups);
  await row('while they are removed, which is no part of a backup', async () => { for (const { file } of copies) rmSync(file); });
  await row('alone again');
  console.log(`\n${copies.length} backups, ${copies.map(({ seconds }) => seconds.toFixed(1)).join(', ')} s each`);
} finally {
  await server.remove();
}
