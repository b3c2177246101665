// The handling of the binary, tried on a stand-in for it.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

process.env.GATEHOUSE_BIN = fileURLToPath(new URL('./fake-service.mjs', import.meta.url));
const { Gatehouse } = await import('../lib/gatehouse.mjs');
const { openJournal, rememberSecret, lastRequests } = await import('../lib/journal.mjs');
const { request } = await import('../lib/http.mjs');

let server;
beforeEach(async () => { server = await Gatehouse.start(); });
afterEach(async () => { await server.remove(); });

test('finds the address, restarts on the same port and in the same folder', async () => {
  assert.equal((await request(server.url)).json.restarted, false);
  const { url } = server;
  assert.deepEqual(await server.kill9(), { code: null, signal: 'SIGKILL' });
  await assert.rejects(request(url));
  await server.restart();
  assert.equal(server.url, url);
  assert.equal((await request(url)).json.restarted, true);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.match(server.tail(), /stopping/);
  await server.restart();
});

test('notices a secret in the log, one in a database file as text or bytes, and a panic', async () => {
  const secret = Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz').toString('base64url');
  for (const [path, complaint] of [['/leak', /in the log/], ['/store', /as text in gatehouse\.db-wal/], ['/store-bytes', /as bytes in gatehouse\.db-wal/]]) {
    openJournal();
    server.assertClean();
    rememberSecret('refresh_token', secret);
    await request(`${server.url}${path}?value=${secret}`);
    assert.throws(() => server.assertClean(), complaint);
  }
  openJournal();
  await request(`${server.url}/panic`);
  assert.throws(() => server.assertClean(), /panicked/);
});

test('harvests secrets out of answers, and remembers requests without their queries', async () => {
  openJournal();
  const { json } = await request(`${server.url}/store?value=x&code=notforthereport0000000`);
  await request(`${server.url}/leak?value=${json.refresh_token}`);
  assert.throws(() => server.assertClean(), /refresh_token in the log/);
  assert.match(lastRequests()[0], /GET http:\/\/127\.0\.0\.1:\d+\/store -> 200 x-request-id=fake-request/);
});

test('a service that ends before it listens fails with its words', async () => {
  await assert.rejects(Gatehouse.start({ env: { SERVER_PORT: '70000' } }), /ended before it listened[\s\S]*ERR_SOCKET_BAD_PORT/);
});
