// TLS in the binary: what it speaks, what it refuses, and a certificate that is replaced while it runs.

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { makeCertificate } from '../lib/certificate.mjs';
import { freePort, productionEnv, runToEnd } from '../lib/gatehouse.mjs';
import { scrape } from '../lib/prometheus.mjs';
import { connection, head, statuses } from '../lib/socket.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

const LIVE = head('GET', '/health/live');
const RSA = ['rsa:2048'];

/** A service in production mode that speaks TLS with a certificate of its own, in files that a test may overwrite. */
async function speaking(stage, { env = {}, ...options } = {}) {
  let first;
  let settings;
  const metrics = await freePort();
  const server = await stage.gatehouse({
    dev: false,
    ...options,
    env: (dir, port) => {
      first = makeCertificate(dir, 'first', { algorithm: RSA });
      copyFileSync(first.certificate, path.join(dir, 'tls.crt'));
      copyFileSync(first.key, path.join(dir, 'tls.key'));
      settings = {
        BASE_URL: `https://127.0.0.1:${port}`, TLS_CERT_FILE: 'tls.crt', TLS_KEY_FILE: path.join(dir, 'tls.key'),
        SERVER_HOST: '127.0.0.1', METRICS_ADDR: `127.0.0.1:${metrics}`, ...env,
      };
      return settings;
    },
  });
  server.metrics = `http://127.0.0.1:${metrics}/metrics`;
  server.settings = settings;
  return { server, first };
}

/** Puts another certificate in place, as a client of a certificate authority does: one file, then the other. */
function install(server, { certificate, key }) {
  copyFileSync(certificate, path.join(server.dir, 'tls.crt'));
  copyFileSync(key, path.join(server.dir, 'tls.key'));
}

/** Shakes hands and tells what it is shown; the socket stays open. */
function shake(server, options = {}) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port: Number(server.port), host: '127.0.0.1', rejectUnauthorized: false, ...options });
    let received = '';
    socket.on('data', (chunk) => { received += chunk.toString('latin1'); });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.on('error', () => {});
      const closed = new Promise((ended) => { socket.once('close', ended); });
      resolve({ socket, closed, text: () => received, fingerprint: socket.getPeerCertificate().fingerprint256, protocol: socket.getProtocol() });
    });
  });
}

async function shown(server) {
  const { socket, fingerprint } = await shake(server);
  socket.destroy();
  return fingerprint;
}

function ask(server, address, { ca, ...options }) {
  return new Promise((resolve, reject) => {
    https.get(server.url + address, { ca, agent: false, ...options }, (incoming) => {
      let text = '';
      incoming.on('data', (chunk) => { text += chunk; }).on('end', () => resolve({ status: incoming.statusCode, headers: incoming.headers, text }));
    }).on('error', reject);
  });
}

const said = (server, text) => until(`the log says: ${text}`, () => server.logs().some((line) => line.includes(text)), { deadlineMs: 20_000 });

scenario('https is answered, with HSTS, by TLS 1.2 and 1.3 and nothing older', async (stage) => {
  const { server, first } = await speaking(stage);
  assert.match(server.url, /^https:/);
  const ready = await ask(server, '/health/ready', { ca: first.pem });
  assert.equal(ready.status, 200, 'the certificate is good for a client that checks it');
  assert.match(ready.headers['strict-transport-security'], /^max-age=31536000/);
  const metadata = JSON.parse((await ask(server, '/.well-known/openid-configuration', { ca: first.pem })).text);
  assert.equal(metadata.issuer, server.url);

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const { socket, protocol, text } = await shake(server, { minVersion: version, maxVersion: version, ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(protocol, version);
    assert.equal(socket.alpnProtocol, 'http/1.1', 'no HTTP/2');
    socket.write(LIVE + LIVE);
    await until('both are answered', () => statuses(text()).length === 2);
    socket.destroy();
  }
  for (const version of ['TLSv1', 'TLSv1.1']) {
    const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT:@SECLEVEL=0' };
    await assert.rejects(shake(server, old), ({ code }) => /_ALERT_(?:PROTOCOL_VERSION|HANDSHAKE_FAILURE)$/.test(code), version);
  }
  await assert.rejects(shake(server, { ALPNProtocols: ['h2'] }), ({ code }) => code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');

  const { socket, closed, text } = await connection(server);
  socket.write(LIVE);
  await within(5_000, 'plain HTTP is hung up on', closed);
  assert.deepEqual(statuses(text()), [], 'and not answered');
  assert.equal((await ask(server, '/health/live', { ca: first.pem })).status, 200);

  const { samples } = await scrape(server.metrics);
  assert.equal(samples.find(({ name }) => name === 'gatehouse_tls_certificate_expires_at_seconds').value, first.expiresAt / 1000);
});

scenario('a certificate is replaced without a restart, and a bad one is not taken', async (stage) => {
  const { server, first } = await speaking(stage);
  const [second, third, expired] = [
    makeCertificate(server.dir, 'second'), makeCertificate(server.dir, 'third', { days: 60 }), makeCertificate(server.dir, 'expired', { expired: true }),
  ];
  const open = await shake(server);
  assert.equal(open.fingerprint, first.fingerprint);

  install(server, second);
  server.signal('SIGHUP');
  await until('the second one is shown', async () => (await shown(server)) === second.fingerprint);
  open.socket.write(LIVE);
  await until('a connection from before goes on', () => statuses(open.text()).length === 1);

  install(server, { certificate: third.certificate, key: second.key });
  server.signal('SIGHUP');
  await said(server, 'the key belongs to another certificate');
  assert.equal(await shown(server), second.fingerprint, 'the one in use stays');
  install(server, expired);
  server.signal('SIGHUP');
  await said(server, 'the certificate expired on');
  writeFileSync(path.join(server.dir, 'tls.crt'), 'no certificate');
  server.signal('SIGHUP');
  await said(server, 'is not in the file');
  assert.equal(await shown(server), second.fingerprint);

  // Nobody gives a signal: a change of the files is enough.
  install(server, third);
  await until('the third one is shown', async () => (await shown(server)) === third.fingerprint, { deadlineMs: 30_000 });
  const { samples } = await scrape(server.metrics);
  assert.equal(samples.find(({ name }) => name === 'gatehouse_tls_certificate_expires_at_seconds').value, third.expiresAt / 1000);
  open.socket.write(LIVE);
  await until('the connection from before still goes on', () => statuses(open.text()).length === 2);
  open.socket.destroy();

  await server.stop();
  await server.restart();
  assert.equal(await shown(server), third.fingerprint);
});

scenario('the health check asks a service that speaks TLS, whomever its certificate is for', async (stage) => {
  const { server } = await speaking(stage);
  const settings = { ...productionEnv(server.dir, server.port), ...server.settings };
  const ready = await runToEnd(['healthcheck'], { cwd: server.dir, env: settings });
  assert.deepEqual([ready.code, ready.stdout], [0, 'ready\n'], ready.stderr);
  const named = await runToEnd(['healthcheck', '--url', server.url], { cwd: server.dir, env: settings });
  assert.equal(named.code, 1, 'an address that was typed must have a certificate that the world trusts');
  const { TLS_CERT_FILE: _, TLS_KEY_FILE: __, ...plain } = settings;
  assert.equal((await runToEnd(['healthcheck'], { cwd: server.dir, env: plain })).code, 1);
  await server.stop();
  assert.equal((await runToEnd(['healthcheck'], { cwd: server.dir, env: settings })).code, 1);
});

scenario('connections count before they shake hands, and a handshake has its time', async (stage) => {
  const { server, first } = await speaking(stage, { env: { MAX_CONNECTIONS_PER_ADDRESS: '6' } });
  const began = performance.now();
  const silent = await Promise.all(Array.from({ length: 9 }, () => connection(server)));
  // The beginning of a ClientHello that will be long, byte by byte.
  const hello = Buffer.from('160301200001001ffc0303'.padEnd(200, '0'), 'hex');
  let sent = 0;
  const trickle = setInterval(() => {
    for (const { socket } of silent) socket.write(hello.subarray(sent, sent + 1));
    sent += 1;
  }, 250);
  const ends = [];
  for (const { closed } of silent) closed.then(() => ends.push(performance.now() - began));
  try {
    await until('three are hung up on', () => ends.length === 3, { deadlineMs: 2_000 });
    await until('those that never shake hands are hung up on as well', () => ends.length === 9, { deadlineMs: 13_000 });
  } finally {
    clearInterval(trickle);
  }
  assert(ends[3] > 9_000, 'six found a place');
  assert.equal(silent.map(({ text }) => text()).join(''), '', 'before a handshake there are no words');
  console.log(`handshakes that never end were given up after ${(ends[8] / 1000).toFixed(1)} s`);
  assert.equal((await ask(server, '/health/live', { ca: first.pem })).status, 200, 'there is room again');

  // The same times hold for heads as without TLS.
  const slow = await shake(server);
  slow.socket.write(LIVE);
  await until('it is answered', () => statuses(slow.text()).length === 1);
  const since = performance.now();
  const drip = setInterval(() => slow.socket.write('G'), 500);
  await within(18_000, 'a second head that trickles ends the connection', slow.closed);
  clearInterval(drip);
  assert(performance.now() - since > 13_000);
});

test('a certificate that cannot be used refuses to start, with all that is wrong', async () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-e2e-'));
  try {
    const [one, other] = [makeCertificate(dir, 'one'), makeCertificate(dir, 'other', { algorithm: RSA })];
    const expired = makeCertificate(dir, 'expired', { expired: true });
    const port = await freePort();
    const good = { ...productionEnv(dir, port), BASE_URL: `https://127.0.0.1:${port}` };
    const pair = (certificate, key) => ({ TLS_CERT_FILE: certificate, TLS_KEY_FILE: key });
    const absent = path.join(dir, 'absent');
    for (const [settings, problems] of [
      [{ TLS_CERT_FILE: one.certificate }, ['TLS_KEY_FILE', 'is missing, while TLS_CERT_FILE is set']],
      [{ TLS_KEY_FILE: one.key }, ['TLS_CERT_FILE', 'is missing, while TLS_KEY_FILE is set']],
      [pair(absent, absent), ['TLS_CERT_FILE', 'TLS_KEY_FILE', 'No such file']],
      [pair(one.key, one.certificate), ['TLS_CERT_FILE', 'TLS_KEY_FILE', 'is not in the file']],
      [pair(one.certificate, other.key), ['TLS_KEY_FILE', 'belongs to another certificate']],
      [{ ...pair(one.certificate, one.key), BASE_URL: `http://127.0.0.1:${port}` }, ['BASE_URL', 'is not https']],
    ]) {
      for (const command of ['check-config', 'serve']) {
        const { code, stderr } = await runToEnd([command], { cwd: dir, env: { ...good, ...settings } });
        assert.equal(code, 78, `${command} ${JSON.stringify(settings)}: ${stderr}`);
        for (const problem of problems) assert(stderr.includes(problem), `${problem}: ${stderr}`);
      }
    }
    const dev = await runToEnd(['check-config', '--dev'], { cwd: dir, env: { SERVER_PORT: '0', ...pair(one.certificate, one.key) } });
    assert.equal(dev.code, 78);
    assert(dev.stderr.includes('TLS_CERT_FILE'), dev.stderr);
    const fine = await runToEnd(['check-config'], { cwd: dir, env: { ...good, ...pair(one.certificate, one.key) } });
    assert.equal(fine.code, 0, fine.stderr);
    assert.match(fine.stdout, new RegExp(`tls +on, certificate good until ${new Date(one.expiresAt).toISOString().slice(0, 19)}`));
    const old = await runToEnd(['check-config'], { cwd: dir, env: { ...good, ...pair(expired.certificate, expired.key) } });
    assert.equal(old.code, 0, 'clients judge an expired certificate');
    assert.match(old.stdout, /HAS EXPIRED/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
