// Selling through Stripe: one purchase per buyer, events as hints, comparison, accounts of organizations, dev mode.

import assert from 'node:assert/strict';
import { assertApiError } from '../lib/expect.mjs';
import { WEB, signIn, verifyAccessToken } from '../lib/flows.mjs';
import { productionEnv, runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { StripeApi } from '../lib/stripe-api.mjs';
import { deliver, event, subscription, webhookSecret } from '../lib/stripe.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const PAGES = { success_url: 'http://127.0.0.1:7777/paid', cancel_url: 'http://127.0.0.1:7777/plans' };

/** Runs `play` with a dev-mode service that sells through a stand-in for Stripe. */
function selling(name, play) {
  scenario(name, async (stage) => {
    const stripe = await StripeApi.start();
    try {
      const secret = webhookSecret();
      const env = { STRIPE_WEBHOOK_SECRET: secret, STRIPE_SECRET_KEY: stripe.key, STRIPE_API_BASE: stripe.url };
      const server = await stage.gatehouse({ env });
      const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
      const plans = {};
      for (const plan of ['plus', 'pro']) {
        const answer = await owner.post('/api/organizations/demo/services/web/plans', { name: plan, price_cents: 900, stripe_price_id: `price_${plan}` });
        assert.equal(answer.status, 201, answer.text);
        plans[plan] = answer.json;
      }
      const user = await signIn(server, 'dev', ADA);
      const { payload } = await verifyAccessToken(server, user.access, WEB.clientId);
      const metadata = { user_id: payload.sub, service_id: plans.pro.service_id };
      await play({ stage, server, stripe, owner, plans, user, secret, metadata, env });
    } finally {
      await stripe.stop();
    }
  });
}

const post = (server, path, user, json) => request(server.url + path, { json, bearer: user.access });
const has = async (server, user) => (await request(`${server.url}/api/subscription`, { bearer: user.access })).json;

async function tell(server, secret, body, options) {
  const answer = await deliver(server, JSON.stringify(body), secret, options);
  assert.equal(answer.status, 200, answer.text);
}

function planBecomes(server, user, plan) {
  return until(`the plan is ${plan}`, async () => (await has(server, user)).plan === plan);
}

selling('a double click, two tabs and a second thought never make two subscriptions', async ({ server, stripe, plans, user, secret, metadata }) => {
  const buy = (plan, pages = PAGES) => post(server, '/api/billing/checkout', user, { plan_id: plans[plan].id, ...pages });
  const clicks = await Promise.all(Array.from({ length: 20 }, () => buy('plus')));
  const urls = new Set(clicks.map((answer) => { assert.equal(answer.status, 200, answer.text); return answer.json.url; }));
  assert.deepEqual([urls.size, stripe.sessions.size], [1, 1], 'one page');
  const [first] = stripe.sessions.values();
  const { form } = first;
  assert.deepEqual([form['line_items[0][price]'], form['line_items[0][quantity]'], form.customer_email, form.success_url], ['price_plus', '1', ADA.email, PAGES.success_url]);
  for (const where of ['metadata', 'subscription_data[metadata]']) {
    assert.deepEqual([form[`${where}[user_id]`], form[`${where}[service_id]`], form[`${where}[plan_id]`]], [metadata.user_id, metadata.service_id, plans.plus.id]);
  }
  assert.equal((await buy('plus')).json.url, [...urls][0], 'also later');

  const other = await buy('pro');
  assert.equal(other.status, 200, other.text);
  assert.deepEqual([...stripe.sessions.values()].map(({ status }) => status), ['expired', 'open'], 'the first page sells nothing any more');

  // Bought, but the event is not here yet: neither plan can be bought again.
  const second = [...stripe.sessions.values()].at(-1);
  const sub = subscription({ metadata: { ...metadata, plan_id: plans.pro.id }, price: 'price_pro' });
  const session = stripe.complete(second.id, sub);
  assertApiError(await buy('plus'), 409, 'CONFLICT');
  await tell(server, secret, event('checkout.session.completed', session));
  await planBecomes(server, user, 'pro');
  for (const plan of ['plus', 'pro']) assertApiError(await buy(plan), 409, 'CONFLICT');
  assert.equal(stripe.sessions.size, 2);

  const portal = await post(server, '/api/billing/portal', user, { return_url: PAGES.cancel_url });
  assert.equal(portal.status, 200, portal.text);
  assert.equal(portal.json.url, `https://billing.stripe.example/${sub.customer}`);

  // It ends; buying again begins anew, for the customer that is known.
  stripe.subscriptions.set(sub.id, { ...sub, status: 'canceled' });
  await tell(server, secret, event('customer.subscription.deleted', sub, { seconds: 1 }));
  await planBecomes(server, user, 'free');
  assert.equal((await buy('pro')).status, 200);
  assert.equal([...stripe.sessions.values()].at(-1).form.customer, sub.customer);
});

selling('what cannot be bought says why', async ({ stage, server, stripe, owner, plans, user }) => {
  const buy = (json) => post(server, '/api/billing/checkout', user, { plan_id: plans.pro.id, ...PAGES, ...json });
  for (const success of ['https://evil.test/', 'http://127.0.0.1.evil.test/', 'javascript:alert(1)', '//127.0.0.1/', 'http://a@127.0.0.1/', '']) {
    assertApiError(await buy({ success_url: success }), 400, 'VALIDATION_FAILED');
  }
  assertApiError(await buy({ plan_id: 'nonsense' }), 404, 'NOT_FOUND');
  const cli = await owner.post('/api/organizations/demo/services/cli/plans', { name: 'pro', price_cents: 1, stripe_price_id: 'price_cli' });
  assertApiError(await buy({ plan_id: cli.json.id }), 404, 'NOT_FOUND');
  const unpriced = await owner.post('/api/organizations/demo/services/web/plans', { name: 'gold', price_cents: 1 });
  assertApiError(await buy({ plan_id: unpriced.json.id }), 409, 'CONFLICT');
  assertApiError(await post(server, '/api/billing/portal', user, { return_url: PAGES.cancel_url }), 409, 'CONFLICT');
  assertApiError(await post(server, '/api/billing/checkout', owner, { access: 1 }), 403, 'FORBIDDEN');
  stripe.broken = 500;
  assertApiError(await buy({}), 502, 'OAUTH_ERROR');
  stripe.broken = undefined;
  assert.equal((await buy({})).status, 200, 'and then it works');

  const without = await stage.gatehouse();
  const admin = await signInAdministrator(without, { email: 'admin@example.com', name: 'Admin' });
  const plan = await admin.post('/api/organizations/demo/services/web/plans', { name: 'pro', price_cents: 1, stripe_price_id: 'price_pro' });
  const buyer = await signIn(without, 'dev', ADA);
  const answer = await post(without, '/api/billing/checkout', buyer, { plan_id: plan.json.id, ...PAGES });
  assertApiError(answer, 503, 'SERVICE_UNAVAILABLE');
  assert.match(answer.json.error, /STRIPE_SECRET_KEY/);
});

selling('with a key events only say where to look, and a comparison repairs what was lost', async ({ server, stripe, user, secret, metadata, env }) => {
  const sub = subscription({ metadata, price: 'price_plus' });
  stripe.subscriptions.set(sub.id, sub);
  for (let number = 0; number < 5; number += 1) {
    const foreign = subscription({ price: 'price_of_another_program' });
    stripe.subscriptions.set(foreign.id, foreign);
  }
  await tell(server, secret, event('customer.subscription.created', subscription({ ...sub, metadata, price: 'price_pro' })));
  await planBecomes(server, user, 'plus');

  // The upgrade's event is lost.
  stripe.subscriptions.set(sub.id, subscription({ id: sub.id, metadata, price: 'price_pro' }));
  const command = (...args) => runToEnd(['billing', ...args], { cwd: server.dir, env: { ...env, SERVER_PORT: server.port } });
  const repaired = await command('reconcile', '--dev');
  assert.deepEqual([repaired.code, repaired.stderr], [0, ''], repaired.stderr);
  assert.match(repaired.stdout, new RegExp(`1 account\\(s\\), 6 subscription\\(s\\) compared, 1 repaired\\n  ${sub.id}: active -> active`));
  await planBecomes(server, user, 'pro');
  assert.match((await command('reconcile', '--dev')).stdout, / 0 repaired/);

  // Stripe is down: the event waits, and is applied when Stripe is back.
  stripe.broken = 503;
  const deleted = event('customer.subscription.deleted', sub, { seconds: 5 });
  await tell(server, secret, deleted);
  await until('it was tried', () => server.logs().some((line) => line.includes('stripe events not applied')));
  stripe.broken = undefined;
  stripe.subscriptions.set(sub.id, { ...sub, status: 'canceled' });
  await planBecomes(server, user, 'free');

  // The service does not run: the command does the work itself.
  stripe.subscriptions.set(sub.id, sub);
  await server.stop();
  const replayed = await command('replay', '--dev', '--event', deleted.id);
  assert.deepEqual([replayed.code, replayed.stdout], [0, '1 event(s) applied once more\n'], replayed.stderr);
  await server.restart();
  assert.equal((await has(server, user)).plan, 'plus');
  for (const args of [['--dead'], ['--since', '2026-01-01T00:00:00Z']]) assert.equal((await command('replay', '--dev', ...args)).code, 0);
  assert.equal((await command('replay', '--dev')).code, 2);
  assertApiError(await request(`${server.url}/internal/billing/reconcile`, { method: 'POST', headers: { authorization: `Gatehouse-Operator ${Date.now()}:${'0'.repeat(64)}` } }), 401, 'UNAUTHORIZED');
});

selling('an organization sells through its own account, and nothing else', async ({ server, stripe, owner, user, secret, metadata }) => {
  const theirs = await StripeApi.start();
  try {
    const theirSecret = webhookSecret();
    const account = '/api/organizations/demo/stripe-account';
    assertApiError(await owner.get(account), 404, 'NOT_FOUND');
    assertApiError(await owner.post(account, { secret_key: 'pk_test_12345678', webhook_secret: 'short' }), 400, 'VALIDATION_FAILED');
    assertApiError(await deliver(server, '{}', theirSecret, { path: '/webhooks/stripe/demo' }), 404, 'NOT_FOUND');
    // The stand-in of the platform plays their account too: what matters is whose key asks.
    const saved = await owner.post(account, { secret_key: stripe.key, webhook_secret: theirSecret });
    assert.equal(saved.status, 201, saved.text);
    assert.doesNotMatch(saved.text, new RegExp(`${stripe.key}|${theirSecret}`));
    const { webhook_url: address, has_secret_key: hasKey, livemode } = saved.json;
    assert.deepEqual([hasKey, livemode], [true, false]);

    const sub = subscription({ metadata, price: 'price_pro' });
    stripe.subscriptions.set(sub.id, sub);
    const body = event('customer.subscription.created', sub);
    const path = new URL(address).pathname;
    assert.equal((await deliver(server, JSON.stringify(body), secret, { path })).status, 400, 'the platform does not sign for them');
    assert.equal((await deliver(server, JSON.stringify(body), theirSecret)).status, 400, 'nor they for the platform');
    await tell(server, theirSecret, body, { path });
    await planBecomes(server, user, 'pro');

    // Somebody else's user, told by their account: nothing.
    const registered = await owner.post('/api/organizations', { slug: 'other', name: 'Other' });
    const { id } = registered.json.organization;
    await owner.post(`/api/platform/organizations/${id}/approve`, {});
    const otherSecret = webhookSecret();
    assert.equal((await owner.post('/api/organizations/other/stripe-account', { secret_key: stripe.key, webhook_secret: otherSecret })).status, 201);
    stripe.subscriptions.set(sub.id, { ...sub, status: 'canceled' });
    await tell(server, otherSecret, event('customer.subscription.deleted', sub, { seconds: 9 }), { path: '/webhooks/stripe/other' });
    await tell(server, otherSecret, event('customer.created', {}), { path: '/webhooks/stripe/other' });
    assert.equal((await has(server, user)).plan, 'pro');

    assert.equal((await owner.delete(account)).status, 204);
    assertApiError(await deliver(server, JSON.stringify(body), theirSecret, { path }), 404, 'NOT_FOUND');
  } finally {
    await theirs.stop();
  }
});

selling('the platform bills organizations', async ({ server, stripe, owner, secret }) => {
  const tierOf = async () => (await owner.get('/api/organizations/demo')).json.tier.id;
  assert.equal((await owner.patch('/api/platform/tiers/tier_pro', { stripe_price_id: 'price_tier_pro' })).status, 200);
  assertApiError(await owner.patch('/api/platform/tiers/tier_x', { stripe_price_id: 'p' }), 404, 'NOT_FOUND');
  const pages = { success_url: `${server.url}/done`, cancel_url: `${server.url}/` };
  const buy = (tier) => owner.post('/api/organizations/demo/billing/checkout', { tier_id: tier, ...pages });
  assertApiError(await buy('tier_starter'), 409, 'CONFLICT');
  const answers = await Promise.all(Array.from({ length: 8 }, () => buy('tier_pro')));
  assert(answers.every(({ status }) => status === 200), answers[0].text);
  assert.equal(stripe.sessions.size, 1);
  const [session] = stripe.sessions.values();
  const metadata = { organization_id: session.form['subscription_data[metadata][organization_id]'], tier_id: 'tier_pro' };
  const sub = subscription({ metadata, price: 'price_tier_pro' });
  await tell(server, secret, event('checkout.session.completed', stripe.complete(session.id, sub)));
  await until('the tier is pro', async () => (await tierOf()) === 'tier_pro');
  assertApiError(await buy('tier_pro'), 409, 'CONFLICT');
  assert.equal((await owner.post('/api/organizations/demo/billing/portal', { return_url: pages.cancel_url })).status, 200);
  stripe.subscriptions.set(sub.id, { ...sub, status: 'canceled' });
  await tell(server, secret, event('customer.subscription.deleted', sub, { seconds: 1 }));
  await until('the tier is free again', async () => (await tierOf()) === 'tier_free');
  const log = await owner.get('/api/organizations/demo/audit-log');
  const changes = JSON.stringify(log.json).match(/organization\.tier_changed/g) ?? [];
  assert(changes.length >= 2, 'both changes are in the audit log');
});

scenario('dev mode shows entitlements move without an account at Stripe', async (stage) => {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const play = (...args) => runToEnd(['dev', 'stripe', ...args], { cwd: server.dir, env: { SERVER_PORT: server.port } });
  assert.match((await play('subscribe', '--email', ADA.email)).stderr, /never signed in/);
  const user = await signIn(server, 'dev', ADA);
  assert.match((await play('subscribe', '--email', ADA.email)).stderr, /it has: free/);
  for (const name of ['plus', 'pro']) await owner.post('/api/organizations/demo/services/web/plans', { name, price_cents: 1 });
  for (const [step, plan, status] of [['subscribe', 'plus', 'active'], ['upgrade', 'pro', 'active'], ['fail-payment', 'pro', 'past_due'], ['cancel', 'free', 'canceled']]) {
    // Stripe counts in whole seconds, and so does the stand-in: one step after the other.
    const second = Math.floor(Date.now() / 1000);
    await until('a second has passed', () => Math.floor(Date.now() / 1000) > second);
    const { code, stdout, stderr } = await play(step, '--email', ADA.email, ...(plan === 'pro' ? ['--plan', 'pro'] : ['--plan', 'plus']));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /received/);
    await until(`${step} leads to ${plan}`, async () => { const now = await has(server, user); return now.plan === plan && now.status === status; });
  }
});

scenario('wrong settings are refused with what to do', async (stage) => {
  const server = await stage.gatehouse({ dev: false });
  const check = (env) => runToEnd(['check-config'], { cwd: server.dir, env: { ...productionEnv(server.dir, 1), ...env } });
  for (const [name, value] of [['STRIPE_SECRET_KEY', 'pk_live_12345678'], ['STRIPE_WEBHOOK_SECRET', 'short'], ['STRIPE_API_BASE', 'http://stripe.test'], ['BILLING_PAST_DUE_GRACE_DAYS', '-1']]) {
    const { code, stderr } = await check({ [name]: value });
    assert.equal(code, 78);
    assert.match(stderr, new RegExp(name));
  }
  assert.equal((await check({ STRIPE_SECRET_KEY: 'rk_live_12345678', STRIPE_WEBHOOK_SECRET: 'whsec_0123456789abcdef', STRIPE_API_BASE: 'http://127.0.0.1:1' })).code, 0);
});
