// The machine's clock is set while the service runs: ahead by a day, back by an hour. Nobody loses a session, nobody
// is locked out, and what happens by itself goes on happening.

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { CLI, decide, deviceCode, obtainCode, poll, pollToTheEnd, refreshGrant, signIn, tokens, verifyAccessToken, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { ownedPlatform, registerActive, renew } from '../lib/management.mjs';
import { Receiver } from '../lib/receiver.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const HOUR = 3600;
const DAY = 24 * HOUR;

const askForDevice = (server) => request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId } });

/**
 * An access token that was issued an hour from now would live for that much longer: it is refused, as an expired one is,
 * and its holder refreshes. The session has lost nothing.
 */
async function assertFromTheFuture(server, access) {
  const answer = await whoAmI(server, access);
  assert.equal(answer.status, 401);
  assert.match(answer.headers['www-authenticate'], /error="invalid_token"/);
}

/** Everything that somebody new does. */
async function everythingWorks(stage, server, email) {
  const session = await signIn(server, 'dev', { email });
  assert.equal((await whoAmI(server, session.access)).status, 200);
  tokens(await refreshGrant(server, session.refresh));
  const device = await deviceCode(server);
  await decide(stage.browser(), server, device.user_code, { email });
  tokens(await poll(server, device));
  assert.equal((await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: session.access })).status, 204);
  assert.equal((await whoAmI(server, session.access)).status, 401);
}

scenario('the clock goes back by an hour: sessions live, devices and browsers finish what they began, and new people sign in', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const ada = await signIn(server, 'dev', ADA);
  const used = await signIn(server, 'dev', ADA);
  const next = tokens(await refreshGrant(server, used.refresh));
  const device = await deviceCode(server);
  assert.equal((await poll(server, device)).json.error, 'authorization_pending');
  const browser = stage.browser();
  await obtainCode(server, 'dev', ADA, { browser });

  server.clock.set(-HOUR);
  await assertFromTheFuture(server, ada.access);
  assert.equal((await poll(server, device)).json.error, 'authorization_pending', 'who polled before is not too early now');
  await decide(browser, server, device.user_code, ADA);
  const terminal = tokens(await pollToTheEnd(server, device));
  assert.equal((await whoAmI(server, terminal.access)).status, 200);
  for (const { refresh: token } of [ada, next]) {
    const fresh = tokens(await refreshGrant(server, token));
    assert.equal((await whoAmI(server, fresh.access)).status, 200);
  }
  await everythingWorks(stage, server, 'bob@example.test');
  assert.equal((await request(`${server.url}/health/ready`)).status, 200);

  server.clock.set(0);
  await everythingWorks(stage, server, 'cleo@example.test');
});

scenario('the clock goes ahead by a day and comes back: what expired is renewed, and nothing waits for the day to pass', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true, env: { KEY_ROTATION_DAYS: '1' } });
  const ada = await signIn(server, 'dev', ADA);
  const keys = async () => (await request(`${server.url}/.well-known/jwks.json`)).json.keys.length;
  assert.equal(await keys(), 3);

  server.clock.set(DAY + HOUR);
  assert.equal((await whoAmI(server, ada.access)).json.error_code, 'TOKEN_EXPIRED');
  const ahead = tokens(await refreshGrant(server, ada.refresh));
  assert.equal((await whoAmI(server, ahead.access)).status, 200, 'the session itself lives');
  await until('keys that are a day old get successors', async () => (await keys()) === 6);
  await everythingWorks(stage, server, 'bob@example.test');

  server.clock.set(0);
  await assertFromTheFuture(server, ahead.access);
  const back = tokens(await refreshGrant(server, ahead.refresh));
  await verifyAccessToken(server, back.access, 'demo-web');
  await everythingWorks(stage, server, 'cleo@example.test');
  await server.stop();
  await server.restart();
  tokens(await refreshGrant(server, back.refresh));
  await everythingWorks(stage, server, 'dora@example.test');
});

scenario('a limit that was reached before the clock went back does not hold for an hour', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true, env: { RATE_LIMITS: 'device_codes=5/m' } });
  const limited = () => until('the limit is reached', async () => { const answer = await askForDevice(server); return answer.status === 429 && answer; }, { everyMs: 1 });
  await limited();
  server.clock.set(-HOUR);
  assert.equal((await askForDevice(server)).status, 200);
  const { headers } = await limited();
  assert(Number(headers['retry-after']) <= 60, `it holds for its period: ${headers['retry-after']}`);
});

scenario('events reach webhooks after the clock went back, those of before too', async (stage) => {
  const { server, owner } = await ownedPlatform(stage, { fakeClock: true });
  const receiver = await Receiver.start();
  try {
    await registerActive(owner, owner, 'acme');
    const made = await owner.post('/api/organizations/acme/webhooks', { url: receiver.url });
    assert.equal(made.status, 201, made.text);
    const invite = (email) => owner.post('/api/organizations/acme/invitations', { email, role: 'admin' });
    assert.equal((await invite('one@example.test')).status, 201);
    const { length } = await receiver.until(1);
    receiver.always({ status: 500 });
    assert.equal((await invite('two@example.test')).status, 201);
    await receiver.until(length + 1);
    server.clock.set(-HOUR);
    await renew(owner);
    receiver.always({ status: 204 });
    assert.equal((await invite('three@example.test')).status, 201);
    await until('the new one arrives', () => receiver.seen.some(({ body, answered }) => answered === 204 && body.includes('invitation')));
  } finally {
    await receiver.close();
  }
});

scenario('backups of a clock that was ahead keep no other from being made and push none out', async (stage) => {
  const folder = 'backups';
  const server = await stage.gatehouse({ fakeClock: true, env: { BACKUP_FOLDER: folder, BACKUP_INTERVAL_HOURS: '24', BACKUP_KEEP: '2' } });
  const finished = () => (existsSync(path.join(server.dir, folder)) ? readdirSync(path.join(server.dir, folder)).filter((name) => name.endsWith('.db')).sort() : []);
  const figures = async () => (await request(`${server.url}/health/ready`)).json.actors.backup_keeper;
  const another = (what, known) => until(what, () => finished().find((name) => !known.includes(name)), { deadlineMs: 30_000 });
  const today = await another('one is made', []);
  server.clock.set(30 * DAY);
  const ahead = await another('one is made a month ahead', [today]);
  server.clock.set(2 * DAY);
  await another('the next one is made', [today, ahead]);
  await server.stop();
  await server.restart();
  await until('it has looked', async () => (await figures()) !== undefined);
  assert.equal((await figures()).made, 0, 'it is young enough');
  assert.equal(finished().length, 3);
  for (const name of [today, ahead]) assert(finished().includes(name), 'the one from the future is none of the two that are kept');
});
