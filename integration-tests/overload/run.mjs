// `make overload`: several times as much work as there is room for, in one table. SECONDS and TIMES in the environment.

import assert from 'node:assert/strict';
import { FaultyDisk } from '../lib/faulty-disk.mjs';
import { Gatehouse } from '../lib/gatehouse.mjs';
import { openJournal } from '../lib/journal.mjs';
import { LOG, SETTINGS, assertKeptItsWord, overload } from './overload.mjs';

const seconds = Number(process.env.SECONDS ?? 20);
const times = Number(process.env.TIMES ?? 4);
const syncMillis = 800;
/** A place is waited for at most two seconds; then, at worst, for a checkpoint (four fsyncs), a commit and one's own. */
const LONGEST_WAIT = 2_000 + 6 * syncMillis;

openJournal();
const disk = new FaultyDisk();
const server = await Gatehouse.start({ env: { ...SETTINGS, ...disk.env }, logLevel: LOG });
try {
  const figures = await overload(server, disk, { times, seconds, syncMillis });
  const row = (name, value) => console.log(`| ${name} | ${value} |`);
  const ms = (value) => `${value.toFixed(0)} ms`;
  const mb = (value) => `${value.toFixed(0)} MB`;
  row('', '');
  row('---', '---');
  row('room for', `${figures.capacity} device codes a second (an fsync takes ${syncMillis} ms)`);
  row('offered', `${figures.offered} a second for ${seconds} s, and 200 reads a second`);
  row('sent', `${figures.sent} (${figures.unsent} more found no connection)`);
  row('answered', `${figures.answered}, ${(figures.answered / seconds).toFixed(0)} a second; p50 ${ms(figures.answeredP50)}, p99 ${ms(figures.answeredP99)}`);
  row('503 with Retry-After', `${figures.refused}; p99 ${ms(figures.refusedP99)}`);
  row('reads meanwhile', `${figures.reads}; p50 ${ms(figures.readP50)}, p99 ${ms(figures.readP99)}`);
  row('other answers, resets', `${JSON.stringify(figures.others)}, ${figures.broken}`);
  row('memory before / half way / at the end / most', [figures.memoryBefore, figures.memoryMiddle, figures.memoryLate, figures.memoryMost].map(mb).join(' / '));
  row('warnings in the log', figures.log.length);
  row('a write is answered again after the load', ms(figures.recoveryMs));
  assertKeptItsWord(figures);
  assert(figures.answeredP99 < LONGEST_WAIT + 500, 'who is answered waits for a place and a few commits');
  assert(figures.answered > 0.7 * figures.capacity * seconds, 'the room there is is used');
  assert(figures.memoryMost < 250, 'memory is bounded: 8,000 connections with a request each');
  assert(figures.memoryLate < figures.memoryMiddle + 20, 'and does not go on growing');
  assert(figures.recoveryMs < LONGEST_WAIT, 'it recovers as soon as those who wait have been told');
} catch (error) {
  console.error(`${error.stack}\nthe last lines of its log:\n${server.tail()}`);
  process.exitCode = 1;
} finally {
  await server.remove();
  disk.remove();
}
