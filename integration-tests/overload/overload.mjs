// Several times as much work as there is room for. So that it can be had on any machine, the disk is made slow: with
// `syncMillis` for an fsync, and 512 writes in each, it is known how many writes a second there can be.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CLI, poll, signIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { until } from '../lib/until.mjs';
import { deviceCodeRequest, openLoop, percentile, userRequest } from './load.mjs';

// The store has 1,024 places for writes, and all that wait go together. But the first ones that get a place after a commit are
// committed at once, so that it takes two for as many.
const WRITES_PER_SYNC = 512;

/** What a service under this needs in its environment: limits are against floods, and this is one. */
export const SETTINGS = { RATE_LIMITS: 'off', MAX_CONNECTIONS: '10000', MAX_CONNECTIONS_PER_ADDRESS: '10000', HTTP_WORKERS: '2' };

/** Where it listens and what is wrong; no line of every request, for whoever reads that has no time for the load. */
export const LOG = 'warn,gatehouse::server=info';

const BEGUN = /WARN gatehouse::http::overload more comes than there is room for/;
const OVER = /WARN gatehouse::http::overload there is room for everything again refused=(\d+) seconds=\d+/;

const residentMegabytes = (server) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;

/**
 * Offers `times` as many device codes as the disk can take, over `most` connections, and reads beside them at `readRate`.
 * Returns figures.
 * @param {import('../lib/gatehouse.mjs').Gatehouse} server
 * @param {import('../lib/faulty-disk.mjs').FaultyDisk} disk
 */
export async function overload(server, disk, { times, seconds, syncMillis, readRate = 200, most = 8_000 }) {
  const { access } = await signIn(server, 'dev', { email: 'ada@example.test' });
  const capacity = WRITES_PER_SYNC / (syncMillis / 1000);
  const memory = [];
  const before = residentMegabytes(server);
  disk.fail({ syncMillis });
  const [writes, reads] = await Promise.all([
    openLoop({ port: server.port, message: deviceCodeRequest(CLI.clientId), rate: capacity * times, seconds, most, each: () => memory.push(residentMegabytes(server)) }),
    openLoop({ port: server.port, message: userRequest(access), rate: readRate, seconds }),
  ]);
  // The load is over: from now on somebody new is served as if nothing had been.
  const stopped = performance.now();
  const fresh = await until('a write is answered again', async () => {
    const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId } });
    return answer.status === 200 && answer.json;
  }, { deadlineMs: 20_000 });
  const recoveryMs = performance.now() - stopped;
  const [settledWrites, settledReads] = [await writes.settle(), await reads.settle()];
  disk.heal();
  assert.equal((await poll(server, fresh)).json.error, 'authorization_pending');
  await until('it is ready', async () => (await request(`${server.url}/health/ready`)).status === 200);
  const figure = (status, part) => percentile(status?.millis ?? [], part);
  const count = (status) => status?.millis.length ?? 0;
  const { 200: answered, 503: refused, ...others } = writes.byStatus;
  const { 200: read, ...otherReads } = reads.byStatus;
  return {
    capacity, offered: capacity * times, seconds, sent: writes.sent, unsent: writes.unsent,
    answered: count(answered), answeredP50: figure(answered, 0.5), answeredP99: figure(answered, 0.99),
    refused: count(refused), refusedP99: figure(refused, 0.99), unhinted: refused?.unhinted ?? 0,
    others: Object.fromEntries([...Object.entries(others), ...Object.entries(otherReads)].map(([status, { millis }]) => [status, millis.length])),
    broken: settledWrites.broken + settledReads.broken,
    reads: count(read), readP50: figure(read, 0.5), readP99: figure(read, 0.99),
    memoryBefore: before, memoryMost: Math.max(...memory), memoryLate: percentile(memory.slice(-10), 0.5), memoryMiddle: percentile(memory.slice(Math.floor(memory.length / 2), Math.floor(memory.length / 2) + 10), 0.5),
    recoveryMs, log: await linesOf(server),
  };
}

/** What the log says of it all, once it has said that it is over. */
async function linesOf(server) {
  await until('the log says that it is over', () => server.logs().some((line) => OVER.test(line)), { deadlineMs: 30_000 });
  return server.logs().filter((line) => / (ERROR|WARN) /.test(line));
}

/** What holds on every machine, however slow. */
export function assertKeptItsWord(figures) {
  assert.deepEqual(figures.others, {}, 'an answer is 200, or 503');
  assert.equal(figures.broken, 0, 'no connection was reset');
  assert.equal(figures.unhinted, 0, 'every 503 says when to come back');
  assert(figures.refused > 0, `it was too much: ${JSON.stringify(figures)}`);
  assert(figures.answered > 0 && figures.reads > 0, 'work went on');
  // Who refuses thousands says so in a few lines, and none of them is an error.
  assert.deepEqual(figures.log.filter((line) => line.includes(' ERROR ')), []);
  assert.equal(figures.log.filter((line) => BEGUN.test(line)).length, 1, figures.log.join('\n'));
  assert(figures.log.length < 10, figures.log.slice(0, 20).join('\n'));
  const told = figures.log.map((line) => OVER.exec(line)?.[1]).filter(Boolean);
  assert.equal(told.length, 1);
  assert(Number(told[0]) >= figures.refused, `${told[0]} were told of, ${figures.refused} were refused`);
  assert(figures.memoryMost < figures.memoryBefore + 200, `memory grew from ${figures.memoryBefore} to ${figures.memoryMost} MB`);
}
