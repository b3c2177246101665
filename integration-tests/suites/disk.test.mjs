// The disk under the live database: full, read-only, broken, slow, hanging. Reads go on, writes are told to come back
// later, nothing that was answered is lost, and the service goes on by itself when the disk does.

import assert from 'node:assert/strict';
import path from 'node:path';
import { integrityProblems } from '../lib/database.mjs';
import { SmallDisk } from '../lib/disk.mjs';
import { FaultyDisk } from '../lib/faulty-disk.mjs';
import { CLI, deviceCode, poll, refreshGrant, signIn, tokens, webSignIn, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { PLATFORM_OWNER, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { deliver, event, subscription, webhookSecret } from '../lib/stripe.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

const askForDevice = (server) => request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId } });
const health = async (server) => (await request(`${server.url}/health/ready`)).status;

/** Told to come back, in the words of the address. */
function assertUnavailable(answer, what) {
  assert.equal(answer.status, 503, `${what}: ${answer.text}`);
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/, `${what} says when to come back`);
  if (answer.json !== undefined) assert.equal(answer.json.error_code, 'SERVICE_UNAVAILABLE', answer.text);
  assert.doesNotMatch(answer.text, /disk|sqlite|i\/o|\.db/i, `${what} says nothing of our insides`);
}

/** Devices that were answered, and one after the other until `enough` of them were. */
async function issue(server, devices, count) {
  for (let number = 0; number < count; number += 1) devices.push(await deviceCode(server));
}

async function assertAllThere(server, devices) {
  for (const device of devices) {
    // `slow_down` is an answer about a code that is there, too.
    const answer = await poll(server, device);
    assert(['authorization_pending', 'slow_down'].includes(answer.json?.error), `one of ${devices.length} acknowledged codes is gone: ${answer.text}`);
  }
}

/** Who knows nothing of the disk goes on. */
async function assertReadsGoOn(server, session, device) {
  assert.equal((await whoAmI(server, session.access)).status, 200);
  for (const url of ['/.well-known/jwks.json', '/.well-known/openid-configuration', '/health/live', '/activate']) {
    assert.equal((await request(server.url + url)).status, 200, url);
  }
  assert(['authorization_pending', 'slow_down'].includes((await poll(server, device)).json?.error), 'a device polls');
}

scenario('a full disk: writes are told to come back, reads go on, and with space everything does', async (stage) => {
  const disk = new SmallDisk('12m');
  try {
    const secret = webhookSecret();
    const env = { DATABASE_URL: `sqlite:${path.join(disk.dir, 'gatehouse.db')}`, STRIPE_WEBHOOK_SECRET: secret };
    const server = await stage.gatehouse({ env, logLevel: 'info' });
    const session = await signIn(server, 'dev', ADA);
    const devices = [];
    await issue(server, devices, 20);

    disk.fill();
    // The log may have room left that is written over first.
    const refused = await until('a write finds no room', async () => {
      const answer = await askForDevice(server);
      if (answer.status === 200) devices.push(answer.json);
      return answer.status !== 200 && answer;
    }, { everyMs: 1, deadlineMs: 30_000 });
    assertUnavailable(refused, 'a device code');
    assert.equal(refused.json.error, 'temporarily_unavailable');

    for (let round = 0; round < 2; round += 1) {
      assertUnavailable(await refreshGrant(server, session.refresh), 'a refresh');
      assertUnavailable(await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: session.access }), 'a logout');
      assertUnavailable(await deliver(server, JSON.stringify(event('customer.subscription.created', subscription())), secret), "an event of Stripe's");
      assertUnavailable(await request(`${server.url}/health/ready`), 'readiness');
      await assertReadsGoOn(server, session, devices[0]);
      assert.equal((await stage.browser().get(webSignIn(server, 'dev').url)).status, 303, 'a sign-in begins: that writes nothing');
    }

    disk.free();
    await until('it is ready again by itself', async () => (await health(server)) === 200, { deadlineMs: 30_000 });
    await assertAllThere(server, devices);
    tokens(await refreshGrant(server, session.refresh)); // the refusals used nothing up
    assert.equal((await whoAmI(server, session.access)).status, 200, 'nobody was signed out');
    await issue(server, devices, 5);
    await signIn(server, 'dev', { email: 'bob@example.test' });

    // Death on a full disk.
    disk.fill();
    await until('it is full again', async () => (await askForDevice(server)).status === 503, { everyMs: 1, deadlineMs: 30_000 });
    await server.kill9();
    disk.free();
    await server.restart();
    await assertAllThere(server, devices);

    // A stop on a full disk is in good order.
    disk.fill();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    disk.free();
    await server.restart();
    await assertAllThere(server, devices);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.deepEqual(await integrityProblems(disk.dir), []);
  } finally {
    disk.remove();
  }
});

/** A service whose database is on a disk that can be made to fail, with an organization whose service can be renamed. */
async function onFaultyDisk(stage, play) {
  const disk = new FaultyDisk();
  try {
    const env = { ...disk.env, PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email };
    const server = await stage.gatehouse({ env, logLevel: 'info' });
    const owner = await signInAdministrator(server, PLATFORM_OWNER);
    await registerActive(owner, owner, 'acme');
    const app = '/api/organizations/acme/services/app';
    const made = await owner.post('/api/organizations/acme/services', { slug: 'app', name: 'first', service_type: 'web', redirect_uris: ['http://127.0.0.1/callback'] });
    assert.equal(made.status, 201, made.text);
    const name = async () => { const { json } = await owner.get(app); return (json.service ?? json).name; };
    await play({ disk, server, rename: (to) => owner.patch(app, { name: to }), name });
    disk.heal();
    if (server.running) assert.deepEqual(await server.stop(), { code: 0, signal: null });
  } finally {
    disk.remove();
  }
}

for (const [fault, what] of [
  [{ syncs: 'EIO' }, 'an fsync that fails'],
  [{ writes: 'EIO' }, 'a disk that takes no byte'],
  [{ writes: 'EROFS' }, 'a file system that turned read-only'],
  [{ writes: 'ENOSPC' }, 'a quota that is used up'],
]) {
  scenario(`${what}: nothing is answered that is not on the disk, and nothing refused comes back`, async (stage) => {
    await onFaultyDisk(stage, async ({ disk, server, rename, name }) => {
      const session = await signIn(server, 'dev', ADA);
      const devices = [];
      await issue(server, devices, 10);
      assert.equal((await rename('second')).status, 200);

      for (let round = 0; round < 3; round += 1) {
        disk.fail(fault);
        assertUnavailable(await rename('never'), 'a change');
        assertUnavailable(await refreshGrant(server, session.refresh), 'a refresh');
        const many = await Promise.all(Array.from({ length: 20 }, () => askForDevice(server)));
        for (const answer of many) assertUnavailable(answer, 'a device code');
        assert(disk.hits > 0, 'the disk did fail');
        assertUnavailable(await request(`${server.url}/health/ready`), 'readiness');
        await assertReadsGoOn(server, session, devices[0]);
        assert.equal(await name(), 'second', 'what was refused is not shown');

        disk.heal();
        await until('it is ready again by itself', async () => (await health(server)) === 200);
        await issue(server, devices, 10);
        await assertAllThere(server, devices);
        assert.equal(await name(), 'second');
      }

      // What counts is the file: nothing that was refused is in it, and all that was answered.
      await server.kill9();
      await server.restart();
      await assertAllThere(server, devices);
      assert.equal(await name(), 'second');
      tokens(await refreshGrant(server, session.refresh));
      assert.equal((await rename('third')).status, 200);
    });
  });
}

scenario('a log that cannot be moved into the file stays until it can', async (stage) => {
  await onFaultyDisk(stage, async ({ disk, server }) => {
    const devices = [];
    await issue(server, devices, 200);
    const checkpoints = async () => (await request(`${server.url}/health/ready`)).json.actors.wal_checkpointer;
    disk.fail({ syncs: 'EIO' });
    const failed = () => server.logs().some((line) => line.includes('checkpoint failed'));
    await until('a checkpoint failed', failed, { deadlineMs: 30_000 });
    await server.kill9();
    disk.heal();
    await server.restart();
    await assertAllThere(server, devices);
    await issue(server, devices, 10);
    const { checkpoints: before } = await checkpoints();
    await until('the log is moved', async () => (await checkpoints()).checkpoints > before, { deadlineMs: 30_000, everyMs: 200 });
    await assertAllThere(server, devices);
  });
});

scenario('a slow disk: writes share the wait, and reads do not wait with them', async (stage) => {
  await onFaultyDisk(stage, async ({ disk, server }) => {
    const session = await signIn(server, 'dev', ADA);
    disk.fail({ syncMillis: 200 });
    const devices = await Promise.all(Array.from({ length: 200 }, () => deviceCode(server)));
    assert(disk.hits < 100, `200 codes took ${disk.hits} turns of the disk`);

    disk.fail({ syncMillis: 5_000 });
    let answered = false;
    const write = askForDevice(server).then((answer) => { answered = true; return answer; });
    await until('the disk is asked', () => disk.hits > 0);
    for (let number = 0; number < 20; number += 1) assert.equal((await whoAmI(server, session.access)).status, 200);
    assert(!answered, 'twenty reads were answered while one write waited');
    disk.heal();
    assert.equal((await write).status, 200);
    await assertAllThere(server, devices);
  });
});

scenario('a disk that hangs: readiness says so, reads go on, new writes are turned away, and it goes on when the disk does', async (stage) => {
  await onFaultyDisk(stage, async ({ disk, server }) => {
    const session = await signIn(server, 'dev', ADA);
    const device = await deviceCode(server);
    disk.fail({ syncMillis: 600_000 });
    const waiting = askForDevice(server);
    await until('the disk is asked', () => disk.hits > 0);
    assertUnavailable(await until('readiness says so', async () => {
      const answer = await request(`${server.url}/health/ready`);
      return answer.status !== 200 && answer;
    }, { deadlineMs: 30_000, everyMs: 200 }), 'readiness');
    await assertReadsGoOn(server, session, device);
    disk.heal();
    const late = await waiting;
    assert.equal(late.status, 200, late.text);
    await until('it is ready again by itself', async () => (await health(server)) === 200);
    await assertAllThere(server, [device, late.json]);
  });
});

scenario('a stop while the disk hangs comes to an end, and everything that was answered is there afterwards', async (stage) => {
  await onFaultyDisk(stage, async ({ disk, server }) => {
    const devices = [];
    await issue(server, devices, 10);
    disk.fail({ syncMillis: 600_000 });
    const waiting = askForDevice(server).catch((error) => error);
    await until('the disk is asked', () => disk.hits > 0);
    server.signal('SIGTERM');
    await until('it stops', () => server.logs().some((line) => line.includes('step=signal')));
    server.signal('SIGTERM'); // the request that waits is waited for no longer
    assert.deepEqual(await server.exited(), { code: 1, signal: null });
    assert((await waiting) instanceof Error, 'it was not answered');
    disk.heal();
    await server.restart();
    await assertAllThere(server, devices);
  });
});
