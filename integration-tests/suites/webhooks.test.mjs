// Webhooks against real receivers: signed so that an ordinary library accepts them, delivered whatever happens.

import assert from 'node:assert/strict';
import { Webhook } from 'standardwebhooks';
import { editDatabase } from '../lib/database.mjs';
import { assertApiError } from '../lib/expect.mjs';
import { signIn } from '../lib/flows.mjs';
import { freePort } from '../lib/gatehouse.mjs';
import { ownedPlatform, registerActive, renew, signInAdministrator } from '../lib/management.mjs';
import { Receiver } from '../lib/receiver.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BASE = '/api/organizations/demo/webhooks';

async function setting(stage, options) {
  const server = await stage.gatehouse(options);
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  return { server, owner };
}

async function create(owner, url, members = {}, base = BASE) {
  const answer = await owner.post(base, { url, ...members });
  assert.equal(answer.status, 201, answer.text);
  assert.match(answer.json.secret, /^whsec_/);
  assert(!JSON.stringify(answer.json.webhook).includes('whsec_'));
  return { ...answer.json.webhook, secret: answer.json.secret, path: `${base}/${answer.json.webhook.id}` };
}

async function ping(owner, hook) {
  const answer = await owner.post(`${hook.path}/ping`);
  assert.equal(answer.status, 202, answer.text);
  return answer.json;
}

async function deliveries(owner, hook, query = '') {
  const answer = await owner.get(`${hook.path}/deliveries${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.deliveries;
}

/** Waits until the newest delivery is in that state. */
function untilNewest(owner, hook, state, options = { deadlineMs: 30_000 }) {
  return until(`the newest delivery matches ${JSON.stringify(state)}`, async () => {
    const [newest] = await deliveries(owner, hook);
    return newest && Object.entries(state).every(([name, value]) => newest[name] === value) && newest;
  }, options);
}

scenario('an ordinary library accepts the signature, and nothing else of the same kind', async (stage) => {
  const { server, owner } = await setting(stage);
  const receiver = await Receiver.start();
  const hook = await create(owner, receiver.url);
  await signIn(server, 'dev', ADA);
  const seen = await receiver.until(2);
  const library = new Webhook(hook.secret);
  const bodies = seen.map(({ body, headers }) => library.verify(body, headers));
  assert.deepEqual(bodies.map(({ type }) => type), ['user.created', 'session.created'], 'in order');
  assert.equal(bodies[1].sequence, bodies[0].sequence + 1);
  assert.deepEqual(seen.map(({ headers }) => headers['webhook-id']), bodies.map(({ id }) => id));
  assert.equal(seen[0].headers['content-type'], 'application/json');
  assert(!seen[0].body.includes(ADA.email), 'ids, nothing personal');
  assert.throws(() => library.verify(seen[0].body.replace('user', 'uzer'), seen[0].headers));
  assert.throws(() => library.verify(seen[0].body, { ...seen[0].headers, 'webhook-id': bodies[1].id }));
  assert.throws(() => new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`).verify(seen[0].body, seen[0].headers));

  // Both secrets sign while one is replaced; the log and the database know neither.
  const rotated = await owner.post(`${hook.path}/secret`);
  assert.equal(rotated.status, 201, rotated.text);
  const event = await ping(owner, hook);
  const pinged = (await receiver.until(3))[2];
  for (const secret of [hook.secret, rotated.json.secret]) assert.equal(new Webhook(secret).verify(pinged.body, pinged.headers).id, event.id);
  assert.equal(pinged.headers['webhook-signature'].split(' ').length, 2);
  const shown = await owner.get(hook.path);
  assert.equal(shown.json.previous_secret_expires_at, rotated.json.previous_secret_expires_at);
  for (const secret of [hook.secret, rotated.json.secret]) {
    assert(![shown.text, ...server.logs()].some((line) => line.includes(secret.slice(6))), 'a secret is shown once');
  }
  const actions = (await owner.get('/api/organizations/demo/audit-log?target_type=webhook')).json.logs.map(({ action }) => action);
  assert.deepEqual(actions, ['webhook.pinged', 'webhook.secret_rotated', 'webhook.created']);
  await receiver.close();
});

scenario('a receiver that fails, redirects or is not there gets it later, under the same id', async (stage) => {
  const { server, owner } = await setting(stage, { fakeClock: true });
  const receiver = await Receiver.start();
  const elsewhere = await Receiver.start();
  receiver.plan({ status: 500 }, { status: 302, location: elsewhere.url }, { status: 429 });
  const hook = await create(owner, receiver.url, { event_types: ['service.created'] });
  const event = await ping(owner, hook);
  let failed = await untilNewest(owner, hook, { attempts: 1, last_status: 500 });
  assert.deepEqual([failed.event_id, failed.event_type, failed.status, failed.last_error], [event.id, 'webhook.ping', 'pending', 'answered 500']);
  assert(Date.parse(failed.next_attempt_at) > Date.parse(failed.last_attempt_at));
  server.clock.set(60);
  failed = await untilNewest(owner, hook, { attempts: 2, last_status: 302 });
  assert.match(failed.last_error, /redirects are not followed/);
  server.clock.set(10 * 60);
  await untilNewest(owner, hook, { attempts: 3, last_status: 429 });
  assert.notEqual((await owner.get(hook.path)).json.failing_since, null);
  await receiver.close();
  server.clock.set(60 * 60);
  await renew(owner);
  failed = await untilNewest(owner, hook, { attempts: 4, last_status: null });
  assert.equal(failed.last_error, 'no connection');
  await receiver.open();
  server.clock.set(5 * 60 * 60);
  await renew(owner);
  await untilNewest(owner, hook, { attempts: 5, status: 'delivered', last_status: 200, last_error: null });
  assert.equal((await owner.get(hook.path)).json.failing_since, null);
  assert.deepEqual(new Set(receiver.seen.map(({ headers }) => headers['webhook-id'])), new Set([event.id]));
  assert.equal(new Set(receiver.seen.map(({ body }) => body)).size, 1, 'every attempt says the same');
  assert.equal(elsewhere.seen.length, 0, 'a redirect is not followed');

  // The same once more on request, and never two at once.
  const replay = await owner.post(`${hook.path}/deliveries/${event.id}/replay`);
  assert.equal(replay.status, 202, replay.text);
  await receiver.until(5);
  assert.equal(receiver.seen[4].headers['webhook-id'], event.id);
  await untilNewest(owner, hook, { status: 'delivered', attempts: 1 });
  assertApiError(await owner.post(`${hook.path}/deliveries/${event.id.replace(/.$/, 'f')}/replay`), 404, 'NOT_FOUND');
  await Promise.all([receiver.close(), elsewhere.close()]);
});

scenario('a receiver that asks to be left alone is, and one that fails for three days is switched off', async (stage) => {
  const { server, owner } = await setting(stage, { fakeClock: true });
  const receiver = await Receiver.start();
  receiver.plan({ status: 503, retryAfter: '3600' }, { status: 429, retryAfter: '99999999' });
  receiver.always({ status: 500 });
  const hook = await create(owner, receiver.url, { event_types: ['service.created'] });
  await ping(owner, hook);
  const pause = ({ last_attempt_at: last, next_attempt_at: next }) => (Date.parse(next) - Date.parse(last)) / 1000;
  assert.equal(pause(await untilNewest(owner, hook, { attempts: 1, last_status: 503 })), 3600);
  server.clock.set(3605);
  await renew(owner);
  assert.equal(pause(await untilNewest(owner, hook, { attempts: 2, last_status: 429 })), 4 * 3600, 'not for longer than we would wait ourselves');

  const day = 24 * 3600;
  for (const days of [1, 2]) {
    server.clock.set(days * day);
    await renew(owner);
    await untilNewest(owner, hook, { attempts: 2 + days, last_status: 500 });
    assert.equal((await owner.get(hook.path)).json.enabled, true);
  }
  server.clock.set(3 * day + 3600);
  await renew(owner);
  const off = await until('it is switched off', async () => { const { json } = await owner.get(hook.path); return !json.enabled && json; });
  assert.match(off.disabled_reason, /three days/);
  const { logs } = (await owner.get('/api/organizations/demo/audit-log')).json;
  assert(logs.some(({ action }) => action === 'webhook.disabled'), JSON.stringify(logs.map(({ action }) => action)));
  const { length } = receiver.seen;
  assert.equal((await owner.patch(hook.path, { enabled: true })).status, 200);
  receiver.always({ status: 204 });
  await ping(owner, hook);
  await receiver.until(length + 1);
  await untilNewest(owner, hook, { status: 'delivered' });
  await receiver.close();
});

scenario('a receiver that hangs is cut, and holds up neither others nor the stop', async (stage) => {
  const { server, owner } = await setting(stage);
  const [hanging, good] = [await Receiver.start(), await Receiver.start()];
  hanging.always('hang');
  const [slow, quick] = [await create(owner, hanging.url), await create(owner, good.url)];
  await signIn(server, 'dev', ADA);
  await good.until(2);
  await hanging.until(1);
  assert.equal((await deliveries(owner, quick)).length, 2);
  const cut = await until('the hanging one is cut', async () => {
    const log = await deliveries(owner, slow);
    return log.find(({ last_error: error }) => error !== null);
  }, { deadlineMs: 30_000 });
  assert.equal(cut.last_error, 'did not answer in time');
  const begun = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert(performance.now() - begun < 15_000, 'a stop does not wait for a receiver');
  await Promise.all([hanging.close(), good.close()]);
});

scenario('kill -9 between commit and delivery: delivered after the restart, with the same id', async (stage) => {
  const { server, owner } = await setting(stage);
  const receiver = await Receiver.start();
  receiver.always('hang');
  const hook = await create(owner, receiver.url);
  const event = await ping(owner, hook);
  await receiver.until(1); // it has it, and the service does not know
  await server.kill9();
  receiver.always({ status: 204 });
  await server.restart();
  const seen = await receiver.until(2);
  assert.deepEqual(seen.map(({ headers }) => headers['webhook-id']), [event.id, event.id]);
  new Webhook(hook.secret).verify(seen[1].body, seen[1].headers);
  await untilNewest(owner, hook, { status: 'delivered', last_status: 204 });

  // Nobody there at all when the change commits, and a crash right after it.
  await receiver.close();
  for (const name of ['one', 'two', 'three']) await owner.patch('/api/organizations/demo', { name });
  await server.kill9();
  await receiver.open();
  await server.restart();
  const again = await receiver.until(5);
  const names = again.slice(2).map(({ body }) => JSON.parse(body).data.details.after.name);
  assert.deepEqual(new Set(names), new Set(['one', 'two', 'three']));
  await receiver.close();
});

scenario('addresses that are not public are refused when saved and when connected to', async (stage) => {
  const { server, oidc } = await stage.gatehouseWith(['oidc'], { platform: true, dev: false, env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  const account = oidc.account({ email: 'root@example.test', email_verified: true, name: 'Root' });
  const owner = await signInAdministrator(server, account, { provider: 'oidc' });
  await registerActive(owner, owner, 'acme');
  const base = '/api/organizations/acme/webhooks';
  for (const url of [
    'http://127.0.0.1/', 'https://127.0.0.1/', 'https://[::1]/', 'https://[::ffff:127.0.0.1]/', 'https://0.0.0.0/', 'https://2130706433/',
    'https://0177.1/', 'https://169.254.169.254/latest', 'https://[fd00::1]/', 'https://100.64.1.1/', 'https://localhost/', 'https://localhost./',
    'https://10.1.2.3/', 'http://8.8.8.8/', 'https://user@8.8.8.8/', 'file:///etc/passwd', 'gopher://8.8.8.8/',
  ]) {
    const answer = await owner.post(base, { url });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, ['url'], url);
  }
  // A name that led to a public address when it was saved.
  const receiver = await Receiver.start();
  const hook = await create(owner, 'https://8.8.8.8/', { enabled: false }, base);
  await server.stop();
  await editDatabase(server.dir, `UPDATE webhooks SET enabled = 1, url = '${receiver.url}'`);
  await server.restart();
  await ping(owner, hook);
  const refused = await untilNewest(owner, hook, { attempts: 1 });
  assert.deepEqual([refused.status, refused.last_error, refused.last_status], ['pending', 'the address is not public', null]);
  assert.equal(receiver.seen.length, 0);
  await receiver.close();
});

scenario('ten at most, types by name, and strangers see nothing', async (stage) => {
  const { server, owner } = await setting(stage);
  const url = `http://127.0.0.1:${await freePort()}/`;
  const first = await create(owner, url, { event_types: ['user.created', 'user.created'], description: 'CRM' });
  assert.deepEqual([first.event_types, first.description, first.enabled], [['user.created'], 'CRM', true]);
  for (const [bad, field] of [
    [{ event_types: ['user'] }, 'event_types'], [{ event_types: [] }, 'event_types'], [{ url: 'nonsense' }, 'url'], [{ enabled: 'yes' }, 'enabled'],
    [{ url: 'http://10.0.0.1/' }, 'url'], [{ url: 'https://no-such-host.invalid/' }, 'url'], [{ description: 'x'.repeat(201) }, 'description'],
  ]) {
    const answer = await owner.patch(first.path, bad);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, [field], answer.text);
  }
  const changed = await owner.patch(first.path, { event_types: null, enabled: false });
  assert.deepEqual([changed.json.event_types, changed.json.enabled], [null, false]);
  assertApiError(await owner.post(`${first.path}/ping`), 409, 'CONFLICT');
  const others = await Promise.all(Array.from({ length: 12 }, () => owner.post(BASE, { url })));
  assert.equal(others.filter(({ status }) => status === 201).length, 9);
  for (const answer of others.filter(({ status }) => status !== 201)) assertApiError(answer, 409, 'CONFLICT');
  const stranger = await signInAdministrator(server, ADA);
  for (const path of [BASE, first.path, `${first.path}/deliveries`]) assertApiError(await stranger.get(path), 404, 'NOT_FOUND');
  assertApiError(await stranger.delete(first.path), 404, 'NOT_FOUND');
  assert.equal((await owner.delete(first.path)).status, 204);
  assertApiError(await owner.get(first.path), 404, 'NOT_FOUND');
  assert.equal((await owner.get(BASE)).json.webhooks.length, 9);
});

scenario('an organization never reaches the webhooks and deliveries of another', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const receiver = await Receiver.start();
  const [ann, bob] = [await signInAdministrator(server, { email: 'ann@example.test' }), await signInAdministrator(server, { email: 'bob@example.test' })];
  await registerActive(ann, owner, 'acme');
  await registerActive(bob, owner, 'beta');
  const hook = await create(ann, receiver.url, {}, '/api/organizations/acme/webhooks');
  const event = await ping(ann, hook);
  await receiver.until(1);
  const through = `/api/organizations/beta/webhooks/${hook.id}`;
  for (const [method, path] of [['GET', ''], ['DELETE', ''], ['POST', '/secret'], ['POST', '/ping'], ['GET', '/deliveries'], ['POST', `/deliveries/${event.id}/replay`]]) {
    assertApiError(await bob.call(method, through + path), 404, 'NOT_FOUND');
  }
  assertApiError(await bob.get(`/api/organizations/beta/events?after=${event.id}`), 400, 'VALIDATION_FAILED');
  await bob.patch('/api/organizations/beta', { name: 'Beta 2' });
  await ann.patch('/api/organizations/acme', { name: 'Acme 2' });
  const seen = await receiver.until(2);
  assert.deepEqual(seen.map(({ body }) => JSON.parse(body).type), ['webhook.ping', 'organization.renamed']);
  assert.equal(JSON.parse(seen[1].body).data.details.after.name, 'Acme 2');
  await receiver.close();
});
