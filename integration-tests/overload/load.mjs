// A load that does not wait: requests arrive at their rate whether or not the ones before were answered, as those of
// many clients do. Each is timed from the moment at which it was due, so that waiting for a connection counts.

import net from 'node:net';
import { pause } from '../lib/until.mjs';

const HEAD_END = '\r\n\r\n';

/**
 * Sends `message` (a whole HTTP request) `rate` times a second for `seconds` seconds, over as many kept connections as
 * that takes, `most` of them at most. `each()` is called ten times a second meanwhile. Returns the answers by status:
 * `{ sent, broken, unsent, byStatus: { 200: { millis, unhinted } } }`, where `unhinted` counts those without Retry-After.
 */
export async function openLoop({ port, message, rate, seconds, most = 8_000, each = () => {} }) {
  const outcome = { sent: 0, broken: 0, unsent: 0, byStatus: {} };
  const idle = [];
  const all = new Set();
  const arrivals = []; // due, and without a connection yet

  const connect = () => {
    const connection = { socket: net.connect(port, '127.0.0.1'), due: undefined, text: '' };
    all.add(connection);
    connection.socket.setNoDelay(true);
    connection.socket.on('data', (chunk) => { connection.text += chunk.toString('latin1'); take(connection); });
    connection.socket.on('error', () => {}); // 'close' follows
    connection.socket.on('close', () => {
      all.delete(connection);
      if (connection.due !== undefined) outcome.broken += 1;
      if (idle.includes(connection)) idle.splice(idle.indexOf(connection), 1);
    });
    return connection;
  };
  const send = (connection, due) => {
    connection.due = due;
    connection.text = '';
    connection.socket.write(message);
    outcome.sent += 1;
  };
  const take = (connection) => {
    const end = connection.text.indexOf(HEAD_END);
    if (end < 0) return;
    const head = connection.text.slice(0, end);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (connection.text.length < end + HEAD_END.length + length) return;
    const status = (outcome.byStatus[head.slice(9, 12)] ??= { millis: [], unhinted: 0 });
    status.millis.push(performance.now() - connection.due);
    if (!/^retry-after: \d+\r?$/im.test(head)) status.unhinted += 1;
    connection.due = undefined;
    if (arrivals.length > 0) send(connection, arrivals.shift());
    else idle.push(connection);
  };

  const begin = performance.now();
  let [arrived, looked] = [0, 0];
  for (let passed = 0; passed < seconds * 1000; passed = performance.now() - begin) {
    for (; arrived < (passed * rate) / 1000; arrived += 1) {
      const due = begin + (arrived * 1000) / rate;
      const connection = idle.pop() ?? (all.size < most ? connect() : undefined);
      if (connection === undefined) arrivals.push(due);
      else send(connection, due);
    }
    if (passed >= looked * 100) {
      looked += 1;
      each(passed);
    }
    await pause(1);
  }
  outcome.unsent = arrivals.length; // nobody was free to ask: the load was less than it was meant to be
  arrivals.length = 0;
  return { ...outcome, settle: () => settle(all, outcome) };
}

/** Waits for what is under way, hangs up, and returns how long that took. */
async function settle(all, outcome) {
  const begin = performance.now();
  const busy = () => [...all].some(({ due }) => due !== undefined);
  while (busy() && performance.now() - begin < 30_000) await pause(5);
  const millis = performance.now() - begin;
  for (const connection of all) {
    if (connection.due !== undefined) outcome.broken += 1;
    connection.due = undefined;
    connection.socket.destroy();
  }
  return { millis, broken: outcome.broken };
}

/** The value below which this part of them lies. */
export function percentile(values, part) {
  const sorted = Float64Array.from(values).sort();
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/** A whole request for a device code. */
export function deviceCodeRequest(clientId) {
  const body = `client_id=${clientId}`;
  return ['POST /auth/device/code HTTP/1.1', 'host: gatehouse.test', 'content-type: application/x-www-form-urlencoded',
    `content-length: ${body.length}`, '', body].join('\r\n');
}

/** A whole request for the user behind a token. */
export function userRequest(access) {
  return ['GET /api/user HTTP/1.1', 'host: gatehouse.test', `authorization: Bearer ${access}`, '', ''].join('\r\n');
}
