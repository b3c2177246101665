// How fast provider tokens that are due are kept fresh ahead of time, and in how much memory. One person signs in through
// a real provider; the grant is copied, and a quick stand-in takes the provider's place. Needs python3.
// node bench/refresher.mjs [grants] [milliseconds of a provider's answer] [longest seconds]; the binary is GATEHOUSE_BIN.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { APP, appParameters, exchange, signInThrough, tokens, webSignIn } from '../lib/flows.mjs';
import { registerActive, signInAdministrator } from '../lib/management.mjs';
import { Stage } from '../lib/stage.mjs';
import { pause } from '../lib/until.mjs';

const [grants = 100_000, answerMs = 20, longestSeconds = 240] = process.argv.slice(2).map(Number);
const NEEDED = grants / 3600;

const megabytes = (server, what) => Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) / 1024;

/** One grant of a person who signed in through the provider; then the service stands still. */
async function oneGrant(stage) {
  const { server, google } = await stage.gatehouseWith(['google'], { env: { RUST_LOG: 'error,gatehouse=info', PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  google.givesRefreshTokens = true;
  google.tokenSeconds = 3600;
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  await registerActive(owner, owner, 'acme');
  const made = await owner.post('/api/organizations/acme/services', { slug: 'app', name: 'App', service_type: 'web', redirect_uris: [APP], google_scopes: ['calendar'] });
  const attempt = webSignIn(server, 'google', { org: 'acme', service: 'app' });
  const { code } = appParameters(await signInThrough(stage.browser(), attempt.url, google.account({ email: 'p@acme.test', email_verified: true })));
  tokens(await exchange(server, { ...attempt, code }, { client_id: made.json.service.client_id }));
  await server.stop();
  await google.stop();
  return { server, address: google.url };
}

/** Answers where the provider was: its metadata, and a fresh pair of tokens after a while. */
async function standIn(address) {
  const seen = { refreshes: 0, atOnce: 0, most: 0 };
  const document = {
    issuer: address, authorization_endpoint: `${address}/auth`, token_endpoint: `${address}/token`, jwks_uri: `${address}/jwks`,
    token_endpoint_auth_methods_supported: ['client_secret_basic'],
  };
  const served = http.createServer((req, res) => {
    const json = (body) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    req.resume().on('end', () => {
      if (!req.url.startsWith('/token')) return json(document);
      seen.atOnce += 1;
      seen.most = Math.max(seen.most, seen.atOnce);
      return setTimeout(() => {
        seen.atOnce -= 1;
        seen.refreshes += 1;
        json({ access_token: randomBytes(48).toString('base64url'), refresh_token: randomBytes(48).toString('base64url'), token_type: 'Bearer', expires_in: 7200, scope: 'calendar' });
      }, answerMs);
    });
  }).listen(Number(new URL(address).port), '127.0.0.1');
  await once(served, 'listening');
  return { seen, close: () => { served.close(); served.closeAllConnections(); } };
}

const stage = new Stage();
try {
  const { server, address } = await oneGrant(stage);
  const fill = fileURLToPath(new URL('fill.py', import.meta.url));
  console.log(execFileSync('python3', [fill, path.join(server.dir, 'data', 'gatehouse.db'), 'grants', String(grants)], { encoding: 'utf8' }).trim());
  const provider = await standIn(address);
  await server.restart();
  const figures = async () => (await (await fetch(`${server.url}/health/ready`)).json()).actors.token_refresher;
  const atStart = megabytes(server, 'VmRSS');
  while (provider.seen.refreshes === 0) await pause(20);
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  let most = { due: 0, lag_millis: 0 };
  while (provider.seen.refreshes < grants && seconds() < longestSeconds) {
    await pause(500);
    const now = await figures();
    most = { due: Math.max(most.due, now.due), lag_millis: Math.max(most.lag_millis, now.lag_millis) };
  }
  const took = seconds();
  const { refreshes, most: atOnce } = provider.seen;
  await pause(200);
  const { refreshed, failed } = await figures();
  console.log(`${refreshes} of ${grants} grants refreshed in ${took.toFixed(1)} s: ${Math.round(refreshes / took)}/s, the provider answering after ${answerMs} ms, ${atOnce} asked at once`);
  console.log(`needed for ${grants} an hour: ${NEEDED.toFixed(1)}/s, so ${(refreshes / took / NEEDED).toFixed(1)} times that`);
  console.log(`memory: ${atStart.toFixed(0)} MB at the start, ${megabytes(server, 'VmHWM').toFixed(0)} MB at most; ${refreshed} stored, ${failed} failed; due at most ${most.due}, lag at most ${(most.lag_millis / 1000).toFixed(1)} s`);
  provider.close();
  await server.stop();
} finally {
  await stage.remove();
}
