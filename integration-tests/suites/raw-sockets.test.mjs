// Bytes that no HTTP client sends: what RFC 9112 forbids, what dawdles, what comes by the thousand. Bad input is answered
// with 4xx or with silence, never with 5xx, and the service goes on.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { EventStream } from '../lib/event-stream.mjs';
import { CLI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scrape } from '../lib/prometheus.mjs';
import { connection, head, statuses } from '../lib/socket.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

const FORM = 'content-type: application/x-www-form-urlencoded';
const HOST = 'host: gatehouse.test';
const LIVE = head('GET', '/health/live');

/** A request for a token with a body that is written as it is, and behind it a request that must not be seen as one. */
const post = (fields, body = '') => `${head('POST', '/auth/token', FORM, ...fields)}${body}`;
const chunked = (body) => post(['transfer-encoding: chunked'], body);
const get = (...fields) => head('GET', '/health/live', ...fields);

/** Nothing of it may be served, and the connection ends (RFC 9112 sections 2.2, 3, 5, 6.3 and 7.1). */
const REFUSED = {
  'Content-Length and Transfer-Encoding': post(['content-length: 5', 'transfer-encoding: chunked'], '0\r\n\r\n'),
  'Transfer-Encoding and Content-Length': post(['transfer-encoding: chunked', 'content-length: 5'], '0\r\n\r\n'),
  'two lengths': post(['content-length: 5', 'content-length: 6'], 'hello'),
  'the same length twice': post(['content-length: 5', 'content-length: 5'], 'hello'),
  'a list of lengths': post(['content-length: 5, 5'], 'hello'),
  'a length with a plus': post(['content-length: +5'], 'hello'),
  'a length below zero': post(['content-length: -5'], 'hello'),
  'a length in hex': post(['content-length: 0x5'], 'hello'),
  'a length without digits': post(['content-length:'], 'hello'),
  'a length that no integer holds': post(['content-length: 99999999999999999999999'], 'hello'),
  'a blank before the colon': post(['content-length : 5'], 'hello'),
  'Transfer-Encoding: xchunked': post(['transfer-encoding: xchunked'], '0\r\n\r\n'),
  'Transfer-Encoding: gzip, chunked': post(['transfer-encoding: gzip, chunked'], '0\r\n\r\n'),
  'Transfer-Encoding: identity': post(['transfer-encoding: identity']),
  'two transfer encodings': post(['transfer-encoding: chunked', 'transfer-encoding: identity'], '0\r\n\r\n'),
  'a vertical tab before chunked': post(['transfer-encoding: \vchunked'], '0\r\n\r\n'),
  'chunks in HTTP/1.0': chunked('0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0'),
  'a folded field': get('x-a: b\r\n c'),
  'a folded Transfer-Encoding': post(['transfer-encoding:\r\n chunked'], '0\r\n\r\n'),
  'a field before the first that begins with a blank': `GET /health/live HTTP/1.1\r\n x-a: b\r\n${HOST}\r\n\r\n`,
  'a bare CR in a value': get('x-a: b\rc'),
  'bare CRs for line ends': `GET /health/live HTTP/1.1\r${HOST}\r\r`,
  'NUL in a value': get('x-a: b\0c'),
  'NUL in a name': get('x\0a: b'),
  'NUL in the target': head('GET', '/health\0/live'),
  'a blank in a name': get('x a: b'),
  'a field without a name': get(': b'),
  'a field without a colon': get('xyz'),
  'no host': 'GET /health/live HTTP/1.1\r\n\r\n',
  'two hosts': get(HOST),
  'HTTP/0.9': 'GET /health/live\r\n\r\n',
  'HTTP/2 without being asked': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/1.2': LIVE.replace('HTTP/1.1', 'HTTP/1.2'),
  'http/1.1': LIVE.replace('HTTP/1.1', 'http/1.1'),
  'a method that is no token': head('G(T', '/health/live'),
  'a target without a slash': head('GET', 'health/live'),
  'two blanks in the first line': LIVE.replace('GET ', 'GET  '),
  'tabs in the first line': 'GET\t/health/live\tHTTP/1.1\r\nhost: gatehouse.test\r\n\r\n',
  'a ClientHello': `\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03${'x'.repeat(100)}`,
  'a chunk size that overflows': chunked('10000000000000005\r\nhello\r\n0\r\n\r\n'),
  'a chunk size below zero': chunked('-1\r\nhello\r\n0\r\n\r\n'),
  'a chunk size with 0x': chunked('0x5\r\nhello\r\n0\r\n\r\n'),
  'a chunk size in two words': chunked('5 0\r\nhello\r\n0\r\n\r\n'),
  'a chunk without a size': chunked('\r\nhello\r\n0\r\n\r\n'),
  'a chunk longer than its size': chunked('5\r\nhelloX\r\n0\r\n\r\n'),
  'a line feed in a chunk extension': chunked('5;a\nb\r\nhello\r\n0\r\n\r\n'),
  'chunks with bare line feeds': chunked('5\nhello\n0\n\n'),
  'a WebSocket handshake with a body': post(['connection: upgrade', 'upgrade: websocket', 'content-length: 5'], 'hello'),
};

/** Legal, or a matter of taste: the statuses of all answers. */
const ANSWERED = [
  ['an absolute target', head('GET', 'http://gatehouse.test/health/live'), [200]],
  ['an absolute target for another host, which is as good (section 3.2.2)', head('GET', 'http://evil.test/health/live'), [200]],
  ['an authority for a target', head('GET', 'gatehouse.test:80'), [404]],
  ['CONNECT', head('CONNECT', 'gatehouse.test:443') + LIVE, [404]],
  ['OPTIONS *', head('OPTIONS', '*'), [404]],
  ['TRACE', head('TRACE', '/health/live'), [405]],
  ['a method of one\'s own', head('SMUGGLE', '/health/live'), [405]],
  ['bare line feeds for line ends (section 2.2)', `GET /health/live HTTP/1.1\n${HOST}\n\n`, [200]],
  ['empty lines before the first (section 2.2)', `\r\n\r\n${LIVE}`, [200]],
  ['an empty host', 'GET /health/live HTTP/1.1\r\nhost:\r\n\r\n', [200]],
  ['a host that is none', 'GET /health/live HTTP/1.1\r\nhost: u@a b/c\r\n\r\n', [400]],
  ['an extension of a chunk, and a trailer', chunked('0;a=b\r\nx-a: b\r\n\r\n') + LIVE, [400, 200]],
  ['a tab before chunked', post(['transfer-encoding:\tchunked'], '0\r\n\r\n') + LIVE, [400, 200]],
  ['a GET with a body', get('content-length: 5') + 'hello' + LIVE, [200, 200]],
  ['h2c, which is not taken up', get('connection: upgrade, http2-settings', 'upgrade: h2c', 'http2-settings: AAMAAABkAAQAAP__'), [200]],
  ['96 fields', get(...Array(95).fill('x: y')), [200]],
  ['97 fields', get(...Array(96).fill('x: y')), [431]],
  ['a field of 40 kB', get(`x: ${'y'.repeat(40_000)}`), [431]],
  ['a field of 200 kB', get(`x: ${'y'.repeat(200_000)}`), [431]],
  ['a field of 200 kB that does not end', get(`x: ${'y'.repeat(200_000)}`).trimEnd(), [431]],
  ['a target of 20 kB', head('GET', `/${'y'.repeat(20_000)}`), [414]],
  ['a target of 70 kB', head('GET', `/${'y'.repeat(70_000)}`), [400]],
  ['a length that is too much, told at once', post(['content-length: 100000'], 'hello'), [413]],
  ['the largest length there is', post(['content-length: 18446744073709551615'], 'hello'), [413]],
  ['a request behind the last', get('connection: close') + LIVE, [200, 400]],
];

scenario('what is no HTTP is refused, and nothing in it is served', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info' });
  await Promise.all(Object.entries(REFUSED).map(async ([what, bytes]) => {
    const { socket, closed, text } = await connection(server);
    socket.write(Buffer.from(bytes + LIVE, 'latin1'));
    await within(10_000, `the connection is closed after ${what}`, closed);
    assert.deepEqual(statuses(text()), [400], what);
  }));
  await assertWell(server);
});

scenario('what is unusual is answered once, in words', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info' });
  await Promise.all(ANSWERED.map(async ([what, bytes, expected]) => {
    const { socket, text } = await connection(server);
    socket.write(Buffer.from(bytes, 'latin1'));
    await until(`${what} is answered`, () => statuses(text()).length >= expected.length);
    assert.deepEqual(statuses(text()), expected, what);
    socket.destroy();
  }));
  await assertWell(server);
});

scenario('requests that come at once are answered in their order', async (stage) => {
  const server = await stage.gatehouse();
  const { socket, text } = await connection(server);
  const body = `client_id=${CLI.clientId}`;
  const ids = Array.from({ length: 60 }, (_, n) => `request-${String(n).padStart(3, '0')}`);
  // Every third one waits for the disk, and those behind it must not overtake it.
  socket.write(ids.map((id, n) => (n % 3 === 0
    ? head('POST', '/auth/device/code', FORM, `content-length: ${body.length}`, `x-request-id: ${id}`) + body
    : get(`x-request-id: ${id}`))).join(''));
  await until('all are answered', () => statuses(text()).length === ids.length);
  assert.deepEqual([...text().matchAll(/^x-request-id: (.*)\r$/gm)].map(([, id]) => id), ids);
  assert.deepEqual(new Set(statuses(text())), new Set([200]));
  socket.destroy();
});

scenario('a client that has said everything is still answered', async (stage) => {
  const server = await stage.gatehouse();
  for (const [sent, expected] of [
    [LIVE, [200]],
    [LIVE.repeat(3), [200, 200, 200]],
    ['GET /health/li', []],
    [post(['content-length: 50'], 'hello'), [400]],
    [chunked('5\r\nhel'), [400]],
  ]) {
    const { socket, closed, text } = await connection(server);
    socket.end(sent);
    await within(10_000, 'the connection is closed', closed);
    assert.deepEqual(statuses(text()), expected, sent);
  }
});

scenario('a connection is held by nobody who is silent, slow or deaf, and kept for who listens', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info' });
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const stream = await EventStream.open(server, '/api/organizations/demo/events?after=latest', { bearer: owner.access });
  const drips = [];
  const drip = ({ socket }) => drips.push(setInterval(() => socket.write('a'), 500));
  const dawdlers = {
    'a first head that trickles': async (one) => { one.socket.write('GET /health/live HTTP/1.1\r\nx: '); drip(one); return [14, 17, [408]]; },
    'a second head that trickles': async (one) => { await asked(one); one.socket.write('GET /health/live HTTP/1.1\r\nx: '); drip(one); return [14, 17, [200]]; },
    'one byte of a second head': async (one) => { await asked(one); one.socket.write('G'); return [14, 17, [200]]; },
    'half a head behind a request': async (one) => { one.socket.write(`${LIVE}GET /hea`); await answered(one); return [73, 78, [200]]; },
    'half a head behind a request that trickles': async (one) => { one.socket.write(`${LIVE}GET /hea`); await answered(one); drip(one); return [14, 17, [200]]; },
    'silence from the start': async () => [14, 17, [408]],
    'silence after a request': async (one) => { await asked(one); return [73, 78, [200]]; },
    'a reader that does not read': async (one) => { one.socket.pause(); one.socket.write(head('GET', '/openapi.json').repeat(60)); return [58, 78, undefined]; },
  };
  const times = {};
  try {
    await Promise.all(Object.entries(dawdlers).map(async ([what, begin]) => {
      const one = await connection(server);
      const [least, most, expected] = await begin(one);
      const began = performance.now();
      if (expected === undefined) await until(`${what} is cut off`, () => isCut(server, one.socket), { deadlineMs: most * 1000, everyMs: 250 });
      else await within(most * 1000, `${what} is ended`, one.closed);
      const took = (performance.now() - began) / 1000;
      times[what] = `${took.toFixed(1)} s`;
      assert(took > least, `${what}: already after ${took} s`);
      if (expected !== undefined) assert.deepEqual(statuses(one.text()), expected, what);
      one.socket.destroy();
    }));
  } finally {
    drips.forEach(clearInterval);
  }
  console.log(times);
  assert(!stream.ended, 'a stream of events is no idle connection');
  assert.equal((await owner.patch('/api/organizations/demo', { name: 'Still here' })).status, 200);
  await stream.until(1);
  stream.close();
  await assertWell(server);
});

scenario('thousands of idle connections cost little, and delay nobody', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info', env: { MAX_CONNECTIONS: '20000' } });
  const files = Math.min(openFiles(server.pid), openFiles('self'));
  const count = Math.min(10_000, files - 300);
  assert(count >= 500, `only ${files} files may be open`);
  const before = resident(server);
  const crowd = [];
  while (crowd.length < count) {
    const more = await Promise.all(Array.from({ length: Math.min(250, count - crowd.length) }, () => connection(server)));
    for (const one of more) one.socket.write(LIVE);
    crowd.push(...more);
  }
  await until('each was answered once', () => crowd.every(({ text }) => statuses(text()).length === 1), { deadlineMs: 30_000 });
  const grown = resident(server) - before;
  const times = [];
  for (let n = 0; n < 200; n += 1) {
    const began = performance.now();
    assert.equal((await request(`${server.url}/health/live`)).status, 200);
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const kilobytes = grown / count / 1024;
  console.log(`${count} idle connections: ${(grown / 2 ** 20).toFixed(0)} MB, ${kilobytes.toFixed(1)} kB each; an honest client waits ${times[100].toFixed(1)} ms, p99 ${times[198].toFixed(1)} ms`);
  assert(kilobytes < 40, `${kilobytes} kB for a connection`);
  assert(times[198] < 250, `p99 ${times[198]} ms`);
  assert.equal(crowd.filter(({ socket }) => socket.destroyed).length, 0, 'nobody was hung up on');
  for (const { socket } of crowd) socket.destroy();
  await until('they are gone', async () => (await metric(server, 'gatehouse_connections_open')) < 10);
});

/** One request on the connection, answered. */
async function asked(one) {
  one.socket.write(LIVE);
  await answered(one);
}

const answered = (one) => until('the request is answered', () => statuses(one.text()).length === 1);

/** Whether the service has let go of a connection that nobody reads, by the port that it came from. */
function isCut(server, socket) {
  const port = socket.localPort.toString(16).toUpperCase().padStart(4, '0');
  const own = Number(server.port).toString(16).toUpperCase().padStart(4, '0');
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  return !lines.some((line) => new RegExp(`^\\s*\\d+: \\w{8}:${own} \\w{8}:${port} 01`).test(line));
}

/** It answers, it never answered 5xx, and it has nothing to complain about. */
async function assertWell(server) {
  assert.equal((await request(`${server.url}/health/ready`)).status, 200);
  const failed = (await scrape(`${server.url}/metrics`)).samples.filter(({ name, labels }) => name === 'gatehouse_http_request_seconds_count' && labels.status === '5xx');
  assert.deepEqual(failed, []);
  assert.deepEqual(server.logs().filter((line) => / (?:ERROR|WARN) /.test(line)), []);
}

async function metric(server, wanted) {
  return (await scrape(`${server.url}/metrics`)).samples.find(({ name }) => name === wanted).value;
}

const openFiles = (pid) => Number(/^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))[1]);
const resident = (server) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'latin1'))[1]) * 1024;
