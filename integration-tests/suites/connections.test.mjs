// Connections that dawdle: no client holds the service up by being slow, neither while it runs nor while it stops.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { CLI, deviceCode, poll } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { connection, head } from '../lib/socket.mjs';
import { scenario } from '../lib/stage.mjs';
import { pause, until, within } from '../lib/until.mjs';

const FORM = 'content-type: application/x-www-form-urlencoded';

scenario('a body that never ends is given up, and the connection with it', async (stage) => {
  const server = await stage.gatehouse();
  const silent = await connection(server);
  const trickling = await connection(server);
  for (const { socket } of [silent, trickling]) socket.write(head('POST', '/auth/token', FORM, 'content-length: 5000'));
  const drip = setInterval(() => trickling.socket.write('a'), 200);
  try {
    for (const { closed, text } of [silent, trickling]) {
      await within(30_000, 'the connection is closed', closed);
      assert.match(text(), /^HTTP\/1\.1 408 /);
      assert.match(text(), /^connection: close$/im);
      assert.match(text(), /took too long/);
    }
  } finally {
    clearInterval(drip);
  }
  assert.equal((await poll(server, await deviceCode(server))).json.error, 'authorization_pending');
});

scenario('a body that nobody wants does not keep the connection', async (stage) => {
  const server = await stage.gatehouse();
  const large = `30d40\r\n${'x'.repeat(200_000)}\r\n`;
  for (const [message, status, body] of [
    [head('GET', '/health/live', 'transfer-encoding: chunked'), 200, ''],
    [head('GET', '/health/live', 'content-length: 1000'), 200, ''],
    [head('DELETE', '/auth/token', 'transfer-encoding: chunked'), 405, '5\r\nhello\r\n'],
    [head('POST', '/auth/token', FORM, 'transfer-encoding: chunked'), 413, large],
  ]) {
    const { socket, closed, text } = await connection(server);
    socket.write(message + body);
    await within(10_000, `the connection is closed after ${message.split('\r\n')[0]}`, closed);
    assert.match(text(), new RegExp(`^HTTP/1\\.1 ${status} `));
    assert.match(text(), /^connection: close$/im);
  }
});

scenario('a body that was read to its end leaves the connection open for the next request', async (stage) => {
  const server = await stage.gatehouse();
  const { socket, text } = await connection(server);
  const body = `client_id=${CLI.clientId}`;
  for (const [framing, framed] of [
    [`content-length: ${body.length}`, body],
    ['transfer-encoding: chunked', `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
  ]) {
    const answers = () => text().split('HTTP/1.1 200 ').length;
    const before = answers();
    socket.write(head('POST', '/auth/device/code', FORM, framing));
    await pause(50); // head and body in packets of their own
    socket.write(framed);
    await until('the request is answered', () => answers() > before);
  }
  assert.doesNotMatch(text(), /^connection: close$/im);
  socket.destroy();
});

scenario('SIGTERM under load resets no request, on fresh connections and on kept ones (273)', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info' });
  const answered = [];
  const fresh = Array.from({ length: 24 }, () => askUntilRefused(server, false, answered));
  const kept = Array.from({ length: 12 }, () => askUntilRefused(server, new http.Agent({ keepAlive: true, maxSockets: 1 }), answered));
  await until('the load runs', () => answered.length > 200, { everyMs: 1 });
  server.signal('SIGTERM');
  assert.deepEqual(await server.exited(), { code: 0, signal: null });
  await Promise.all([...fresh, ...kept]);
  assert(!server.logs().some((line) => / (?:ERROR|WARN) /.test(line)), 'a stop is nothing to complain about');
  await server.restart();
  for (const device of answered.slice(-100)) assert.equal((await poll(server, device)).json.error, 'authorization_pending');
});

scenario('connections that are idle or half a request do not delay a stop', async (stage) => {
  const server = await stage.gatehouse();
  const open = await Promise.all(Array.from({ length: 20 }, () => connection(server)));
  const live = head('GET', '/health/live');
  for (const [index, { socket }] of open.entries()) socket.write(['', live, 'GET /heal', `${live}GET`][index % 4]);
  await until('some are answered', () => open.filter(({ text }) => text().includes('200 OK')).length === 10);
  const began = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert(performance.now() - began < 5_000, 'nobody is waited for');
  await Promise.all(open.map(({ closed }) => within(1_000, 'every connection is closed', closed)));
});

scenario('a second signal cuts what the first one waits for', async (stage) => {
  const server = await stage.gatehouse();
  const { socket, closed } = await connection(server);
  socket.write(head('POST', '/auth/token', FORM, 'content-length: 100', 'expect: 100-continue'));
  await within(5_000, 'the request is accepted', once(socket, 'data'));
  server.signal('SIGTERM');
  await until('readiness is red or nobody answers', () => server.logs().some((line) => line.includes('step=signal')));
  const began = performance.now();
  server.signal('SIGTERM');
  assert.deepEqual(await server.exited(), { code: 0, signal: null });
  assert(performance.now() - began < 5_000, 'the request in flight is waited for no longer');
  await within(1_000, 'the connection is closed', closed);
});

/** Asks for device codes, one after another, until nobody listens any more. Anything but a whole answer before that fails. */
async function askUntilRefused(server, agent, answered) {
  for (;;) {
    try {
      const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId }, agent });
      assert.equal(answer.status, 200, answer.text);
      answered.push(answer.json);
    } catch (error) {
      if (agent) agent.destroy();
      assert.equal(error.code, 'ECONNREFUSED', `a request was cut off: ${error.message}`);
      return;
    }
  }
}

scenario('one connection too many is told so and hung up on, and those that are open are served', async (stage) => {
  const server = await stage.gatehouse({ env: { MAX_CONNECTIONS_PER_ADDRESS: '6' } });
  const open = [];
  const refused = async () => {
    const one = await connection(server);
    const closed = await Promise.race([one.closed.then(() => true), until('an answer', async () => one.text() !== '', { deadlineMs: 300 }).catch(() => {}).then(() => false)]);
    if (closed || one.text() !== '') return one;
    open.push(one);
    return undefined;
  };
  // The service's own visitors may hold some of the six.
  const last = await until('a refusal', refused, { deadlineMs: 20_000 });
  assert(open.length <= 6, `${open.length} were let in`);
  await within(5_000, 'the connection is closed', last.closed);
  const [top, body] = last.text().split('\r\n\r\n');
  assert.match(top, /^HTTP\/1\.1 503 /);
  assert.match(top, /^retry-after: 5$/m);
  assert.match(top, new RegExp(`^content-length: ${Buffer.byteLength(body)}$`, 'm'));
  const { error, error_code: code, status, detail } = JSON.parse(body);
  assert.deepEqual([code, status, error], ['SERVICE_UNAVAILABLE', 503, detail]);

  const [first, ...others] = open;
  first.socket.write(head('GET', '/health/live'));
  await until('an open one is served', async () => first.text().startsWith('HTTP/1.1 200 '));
  for (const { socket, closed } of others) { socket.destroy(); await closed; }
  await until('there is room again', async () => (await request(`${server.url}/health/live`)).status === 200);
  first.socket.destroy();
});
