// Connections that dawdle: no client holds the service up by being slow, neither while it runs nor while it stops.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { CLI, deviceCode, poll } from '../lib/flows.mjs';
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
      assert.match(text(), /^HTTP\/1\.1 400 /);
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
  for (const [request, status, body] of [
    [head('GET', '/health/live', 'transfer-encoding: chunked'), 200, ''],
    [head('GET', '/health/live', 'content-length: 1000'), 200, ''],
    [head('DELETE', '/auth/token', 'transfer-encoding: chunked'), 405, '5\r\nhello\r\n'],
    [head('POST', '/auth/token', FORM, 'transfer-encoding: chunked'), 413, large],
  ]) {
    const { socket, closed, text } = await connection(server);
    socket.write(request + body);
    await within(10_000, `the connection is closed after ${request.split('\r\n')[0]}`, closed);
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

/** A connection: its socket, what came in so far, and a promise of its end. */
async function connection(server) {
  const socket = net.connect(Number(server.port), '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => { received += chunk.toString('latin1'); });
  socket.on('error', () => {}); // writing to a connection that the service closed
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  return { socket, closed, text: () => received };
}

function head(method, path, ...fields) {
  return [`${method} ${path} HTTP/1.1`, 'host: gatehouse.test', ...fields, '', ''].join('\r\n');
}
