// Stripe's webhook: what is believed, what is kept, and what a user has because of it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import initSqlJs from 'sql.js';
import { assertApiError } from '../lib/expect.mjs';
import { WEB, refresh, signIn, tokens, verifyAccessToken } from '../lib/flows.mjs';
import { databaseFiles } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { deliver, event, invoice, signature, subscription, webhookSecret } from '../lib/stripe.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const VERSIONS = ['2023-10-16', '2024-06-20', '2025-03-31.basil', '2025-06-30.basil', '2026-01-28.clover'];

/** A service with a paid plan, its owner, and a signed-in user with the ids that a checkout would write down. */
async function setting(stage, options = {}) {
  const secret = webhookSecret();
  const server = await stage.gatehouse({ ...options, env: { STRIPE_WEBHOOK_SECRET: secret, ...options.env } });
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const plan = await newPlan(owner, 'web', 'pro', 'price_pro');
  const user = await signIn(server, 'dev', ADA);
  const { payload } = await verifyAccessToken(server, user.access, WEB.clientId);
  const metadata = { user_id: payload.sub, service_id: plan.service_id, plan_id: plan.id };
  return { server, owner, secret, user, plan, metadata };
}

async function newPlan(owner, service, name, price, members = {}) {
  const answer = await owner.post(`/api/organizations/demo/services/${service}/plans`, {
    name, price_cents: 900, currency: 'USD', features: [`${name}-feature`], stripe_price_id: price, ...members,
  });
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
}

async function received(server, body, secret) {
  const answer = await deliver(server, JSON.stringify(body), secret);
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json, { received: true });
}

async function has(server, user) {
  const answer = await request(`${server.url}/api/subscription`, { bearer: user.access });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

function planBecomes(server, user, plan) {
  return until(`the plan is ${plan}`, async () => (await has(server, user)).plan === plan);
}

scenario('a purchase shows in the subscription at once and in the next token, in every API version', async (stage) => {
  const { server, secret, user, metadata } = await setting(stage);
  assert.deepEqual(await has(server, user), {
    service: 'web', plan: 'free', features: [], status: 'active', current_period_end: null, seats: null, entitlements_exp: null, entitlements_version: 0,
  });
  let { refresh: refreshToken } = user;
  for (const apiVersion of VERSIONS) {
    const sub = subscription({ metadata, quantity: 3 }, apiVersion);
    await received(server, event('customer.subscription.created', sub, { apiVersion }), secret);
    await planBecomes(server, user, 'pro');
    const now = await has(server, user);
    const end = sub.current_period_end ?? sub.items.data[0].current_period_end;
    assert.deepEqual([now.features, now.status, now.seats], [['pro-feature'], 'active', 3]);
    assert.equal(now.current_period_end, new Date(end * 1000).toISOString());

    const next = tokens(await refresh(server, refreshToken));
    refreshToken = next.refresh;
    const { payload } = await verifyAccessToken(server, next.access, WEB.clientId);
    assert.deepEqual([payload.plan, payload.features, payload.seats, payload.current_period_end], ['pro', ['pro-feature'], 3, end]);
    assert.equal(payload.entitlements_version, now.entitlements_version);
    assert(payload.entitlements_exp >= end && payload.entitlements_exp <= end + 3600, 'it ends by itself');

    await received(server, event('invoice.payment_failed', invoice(sub, {}, apiVersion), { seconds: 1, apiVersion }), secret);
    await until('it is past due', async () => (await has(server, user)).status === 'past_due');
    assert.equal((await has(server, user)).plan, 'pro', 'there is a grace');
    await received(server, event('customer.subscription.deleted', { ...sub, status: 'canceled' }, { seconds: 2, apiVersion }), secret);
    await planBecomes(server, user, 'free');
    assert((await has(server, user)).entitlements_version > now.entitlements_version);
  }
});

scenario('only what Stripe signed lately is believed (201, 202, 203, 205)', async (stage) => {
  const older = webhookSecret();
  const newer = webhookSecret();
  const { server } = await setting(stage, { env: { STRIPE_WEBHOOK_SECRET: `${newer}, ${older}` } });
  const body = JSON.stringify(event('customer.created', { id: 'cus_1', object: 'customer' }));
  for (const secret of [older, newer]) assert.equal((await deliver(server, body, secret)).status, 200);
  const refused = async (payload, header, what) => {
    const answer = await deliver(server, payload, newer, { headers: { 'stripe-signature': header } });
    assert.equal(answer.status, 400, what);
    assertApiError(answer, 400, 'BAD_REQUEST');
  };
  const good = signature(body, newer);
  await refused(body, signature(body, webhookSecret()), 'a wrong secret');
  await refused(body.replace('cus_1', 'cus_2'), good, 'another body');
  await refused(JSON.stringify(JSON.parse(body), null, 2), good, 'the same JSON written anew');
  await refused(`${body}\r\n`, good, 'a line break more');
  await refused(body.slice(0, -10), good, 'a truncated body');
  await refused(body, signature(body, newer, 301), 'an old timestamp');
  await refused(body, signature(body, newer, -302), 'a timestamp of the future');
  await refused(body, good.replace('v1=', 'v0='), 'another scheme');
  await refused(body, '', 'no header');
  for (const header of ['t=1', 'nonsense', `t=${'9'.repeat(400)},v1=00`, `${good},t=1`]) await refused(body, header, header);
  const many = `${good.split(',')[0]},v1=${'0'.repeat(64)},${good.split(',')[1]},v9=x`;
  assert.equal((await deliver(server, body, newer, { headers: { 'stripe-signature': many } })).status, 200, 'any v1');
  // Stripe signs a retry anew; the event itself is as old as it is.
  const old = JSON.stringify(event('customer.created', { id: 'cus_9' }, { seconds: -2 * 86_400 }));
  assert.equal((await deliver(server, old, newer)).status, 200);
});

scenario('bodies: size, type, encoding, nonsense; nothing is a 500 (215, 219)', async (stage) => {
  const { server, secret } = await setting(stage);
  const post = (payload, options) => deliver(server, payload, secret, options);
  const padded = (bytes) => {
    const body = JSON.stringify(event('customer.created', { id: 'cus_1', note: '' }));
    return body.replace('"note":""', `"note":"${'x'.repeat(bytes - body.length)}"`);
  };
  assert.equal((await post(padded(1024 * 1024))).status, 200);
  for (const bytes of [1024 * 1024 + 1, 2 * 1024 * 1024]) assertApiError(await post(padded(bytes)), 413, 'PAYLOAD_TOO_LARGE');
  const body = JSON.stringify(event('customer.created', { id: 'cus_1' }));
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', '']) {
    assertApiError(await post(body, { headers: { 'content-type': type } }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  }
  const zipped = gzipSync(body);
  assertApiError(await post(zipped, { headers: { 'content-encoding': 'gzip', 'stripe-signature': signature(body, secret) } }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  for (const nonsense of ['[]', 'null', '""', '{}', '{"id":"evt_1"', '\u0000', '['.repeat(50_000), '{"id":7,"type":"x"}', '{"id":"a b","type":"x"}']) {
    assertApiError(await post(nonsense), 400, 'BAD_REQUEST');
  }
  for (const object of [null, [], 'x', 7, { id: null }, { id: 'sub_1', items: null, status: 7 }, { id: 'sub_1', metadata: [] }]) {
    for (const type of ['customer.subscription.updated', 'invoice.paid', 'checkout.session.completed', 'v2.something.new']) {
      assert.equal((await post(JSON.stringify(event(type, object)))).status, 200);
    }
  }
  assert.equal(await chunked(server, body, secret), 200);
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    assertApiError(await request(`${server.url}/webhooks/stripe`, { method }), 405, 'METHOD_NOT_ALLOWED');
  }
});

scenario('without a secret the webhook says so', async (stage) => {
  const server = await stage.gatehouse({ dev: false });
  const answer = await deliver(server, '{}', webhookSecret());
  assertApiError(answer, 503, 'SERVICE_UNAVAILABLE');
  assert.match(answer.json.error, /STRIPE_WEBHOOK_SECRET/);
});

scenario('one event delivered a thousand times, in parallel too, has one effect; nobody is throttled (206, 207, 218)', async (stage) => {
  const { server, secret, user, metadata } = await setting(stage, { logLevel: 'info' });
  const body = JSON.stringify(event('customer.subscription.created', subscription({ metadata })));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const answers = await Promise.all(Array.from({ length: 1000 }, () => deliver(server, body, secret, { agent })));
  agent.destroy();
  assert(answers.every(({ status }) => status === 200), 'every answer is 200');
  await planBecomes(server, user, 'pro');
  assert.equal((await has(server, user)).entitlements_version, 1);
});

scenario('old news changes nothing, strangers get nothing (209, 211)', async (stage) => {
  const { server, owner, secret, user, metadata } = await setting(stage);
  const sub = subscription({ metadata });
  const created = event('customer.subscription.created', sub);
  await received(server, event('customer.subscription.deleted', { ...sub, status: 'canceled' }, { seconds: 60 }), secret);
  await received(server, created, secret);
  await received(server, created, secret);
  await received(server, event('customer.subscription.updated', sub, { seconds: 59 }), secret);
  await until('it is all applied', async () => (await has(server, user)).status === 'canceled');
  assert.equal((await has(server, user)).plan, 'free');

  const foreign = await newPlan(owner, 'cli', 'pro', 'price_cli_pro');
  const other = { ...metadata, service_id: foreign.service_id };
  for (const [labels, price] of [
    [{ ...metadata, plan_id: foreign.id }, 'price_cli_pro'], [{ ...metadata, service_id: 'x' }, 'price_pro'], [{ ...metadata, user_id: 'x' }, 'price_pro'],
    [{ ...metadata, user_id: undefined }, 'price_pro'], [other, 'price_pro'], [{}, 'price_pro'],
  ]) {
    await received(server, event('customer.subscription.created', subscription({ metadata: labels, price }), { seconds: 70 }), secret);
  }
  // The last one is good, and of the same moment: when it has its effect, the others had none.
  await received(server, event('customer.subscription.created', subscription({ metadata, price: 'price_pro' }), { seconds: 71 }), secret);
  await planBecomes(server, user, 'pro');
  const cli = await owner.get('/api/organizations/demo/services?limit=10');
  const counts = Object.fromEntries(cli.json.services.map(({ slug, subscription_count: count }) => [slug, count]));
  assert.deepEqual(counts, { web: 1, cli: 0 });
});

scenario('a subscription that nobody renews ends by itself', async (stage) => {
  const { server, secret, metadata } = await setting(stage, { fakeClock: true });
  const end = Math.floor(Date.now() / 1000) + 600;
  await received(server, event('customer.subscription.created', subscription({ metadata, current_period_end: end, cancel_at_period_end: true })), secret);
  const user = await signIn(server, 'dev', ADA);
  await planBecomes(server, user, 'pro');
  server.clock.set(650);
  assert.equal((await has(server, user)).plan, 'free', 'the same token, one moment later');
  const { payload } = await verifyAccessToken(server, tokens(await refresh(server, user.refresh)).access, WEB.clientId);
  assert.deepEqual([payload.plan, payload.entitlements_exp], ['free', undefined]);
});

scenario('kill -9 under load: every event answered 200 is kept and applied after the restart', async (stage) => {
  const { server, secret, metadata } = await setting(stage, { logLevel: 'info' });
  const answered = [];
  let stopped = false;
  const worker = async (number) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let round = 0; !stopped; round += 1) {
      const id = `sub_load_${number}_${round}`;
      const body = event('customer.subscription.created', subscription({ id, metadata }));
      const answer = await deliver(server, JSON.stringify(body), secret, { agent }).catch(() => undefined);
      if (answer === undefined) break;
      if (answer.status === 200) answered.push({ event: body.id, subscription: id });
    }
    agent.destroy();
  };
  const workers = Array.from({ length: 16 }, (_, number) => worker(number));
  await until('many were answered', () => answered.length > 500, { everyMs: 1 });
  await server.kill9();
  stopped = true;
  await Promise.all(workers);
  await server.restart();
  // Everything is worked off when one that came last has its effect.
  const last = event('customer.subscription.created', subscription({ id: 'sub_last', metadata }), { seconds: 100 });
  await received(server, last, secret);
  const rows = await until('all are applied', async () => {
    const found = await inbox(server);
    return found.some(([id, status]) => id === last.id && status === 'applied') && found.every(([, status]) => status !== 'waiting') && found;
  }, { deadlineMs: 30_000, everyMs: 200 });
  const fates = new Map(rows);
  for (const { event: id } of answered) assert.equal(fates.get(id), 'applied', `one of ${answered.length} answered events is gone`);
});

/**
 * Event ids and states, from the database file alone: what is still in the write-ahead log is seen after the next
 * checkpoint, which comes every ten seconds.
 */
async function inbox(server) {
  const bytes = readFileSync(databaseFiles(server.dir).find((name) => name.endsWith('.db')));
  bytes[18] = 1; // a copy in memory has no write-ahead log
  bytes[19] = 1;
  const engine = await initSqlJs();
  const db = new engine.Database(bytes);
  try {
    return db.exec('SELECT event_id, status FROM stripe_events')[0]?.values ?? [];
  } finally {
    db.close();
  }
}

/** The same body without a length. */
function chunked(server, body, secret) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(server.port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => { answer += data; });
    socket.on('end', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])));
    socket.on('error', reject);
    const half = Math.floor(body.length / 2);
    const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
    socket.write(`POST /webhooks/stripe HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\nstripe-signature: ${signature(body, secret)}\r\ntransfer-encoding: chunked\r\n\r\n`);
    socket.write(chunk(body.slice(0, half)) + chunk(body.slice(half)) + '0\r\n\r\n');
  });
}
