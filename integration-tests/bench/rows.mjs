// What a service is driven with: each row asks one thing, with what the clients hold, over and over.

import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { signIns, wrk } from './load.mjs';

const OVERLAP = 1_000; // what wrk had under way when it stopped was used as well
const TOKENS = 256;
const CONNECTIONS = 64;
const POLL = 'grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=demo-cli&device_code=%s';
const REFRESH = 'grant_type=refresh_token&client_id=demo-web&refresh_token=%s';
const DEVICE = 'client_id=demo-cli';

const PRODUCT = { type: 'product.updated', data: { object: { id: 'prod_bench@', object: 'product', name: 'x'.repeat(600) } } };
const ITEM = { id: 'si_bench@', object: 'subscription_item', quantity: 1, current_period_end: 4_102_444_800, price: { id: 'price_bench', object: 'price' } };
const SUBSCRIPTION = {
  type: 'customer.subscription.updated',
  data: { object: { id: 'sub_bench@', object: 'subscription', customer: 'cus_bench@', status: 'active', start_date: 1_700_000_000, metadata: {}, description: 'x'.repeat(400), items: { object: 'list', data: [ITEM] } } },
};

/** What the services are told about Stripe, and what events are signed with. */
export const STRIPE_SECRET = `whsec_${randomBytes(24).toString('hex')}`;

/**
 * The rows of one service by their names. Each has a title, goals, `connections`, and `drive(seconds)`, which asks and
 * answers with what was measured; `prepare()`, where there is one, comes right before the first repeat; `refuses` is true
 * where no answer is a success. What is good once is used once: each service has its own and counts for itself.
 */
export async function rowsFor(service, folder, { hot, signInProgram }) {
  const file = (name) => path.join(folder, name);
  const used = { device: 0, stored: 0, applied: 0, refresh: await accessTokens(service, file) };
  const secret = readFileSync(file('secret.txt'), 'utf8');
  const ask = (address, { script, args, connections, once } = {}) => async (seconds) => {
    const from = once ? [used[once]] : [];
    const result = await wrk(service.pid, service.url + address, { script, args: [...args ?? [], ...from], connections, seconds });
    if (once) used[once] += result.requests + OVERLAP;
    return result;
  };
  const get = (address) => ask(address, { args: [file('access.txt'), 0] });
  const form = (address, body, { args = [], ...rest } = {}) => ask(address, { script: 'form.lua', args: [body, ...args], ...rest });
  const deliveries = (once, event) => ({
    prepare: () => stripeDeliveries({ template: file(`${once}.json`), lines: file(`${once}.txt`) }, event, hot),
    drive: ask('/webhooks/stripe', { script: 'stripe.lua', args: [file(`${once}.json`), file(`${once}.txt`)], once }),
  });
  const rows = {
    live: { title: 'GET /health/live (the yardstick)', drive: ask('/health/live') },
    user: { title: 'GET /api/user', goal: 70, drive: get('/api/user') },
    userinfo: { title: 'GET /oauth/userinfo', goal: 55, drive: get('/oauth/userinfo') },
    introspect: { title: 'POST /oauth/introspect', goal: 55, drive: form('/oauth/introspect', `client_id=bench-api&client_secret=${secret}&token=%s`, { args: [file('access.txt'), 0] }) },
    poll: { title: 'POST /auth/token, device code pending', goal: 55, refuses: true, drive: form('/auth/token', POLL, { args: [file('device.txt')], once: 'device' }) },
    code: { title: 'POST /auth/device/code', goal: 25, p99: 25, drive: form('/auth/device/code', DEVICE) },
    code256: { title: 'POST /auth/device/code, 256 connections', goal: 25, p99: 40, connections: 256, drive: form('/auth/device/code', DEVICE, { connections: 256 }) },
    stripe: { title: 'POST /webhooks/stripe, nothing follows from the event', goal: 25, p99: 25, ...deliveries('stored', PRODUCT) },
    stripeApplied: { title: 'POST /webhooks/stripe, a subscription, applied meanwhile', ...deliveries('applied', SUBSCRIPTION) },
    refresh: { title: 'POST /auth/token, refresh', rate: 8000, p99: 25, drive: form('/auth/token', REFRESH, { args: [file('refresh.txt')], once: 'refresh' }) },
    signIn: {
      title: `whole web sign-in, provider inside the binary, ${CONNECTIONS} at once`, rate: 1500,
      drive: (seconds) => signIns(signInProgram, service.pid, service.url, { connections: CONNECTIONS, seconds }),
    },
    code1: { title: 'POST /auth/device/code, one connection', rate: 1900, connections: 1, drive: form('/auth/device/code', DEVICE, { connections: 1 }) },
  };
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, { connections: CONNECTIONS, ...row }]));
}

/** Writes access tokens for the rows that need some, and returns how many refresh tokens that took. */
async function accessTokens(service, file) {
  const refreshTokens = readFileSync(file('refresh.txt'), 'utf8').trim().split('\n').slice(0, TOKENS);
  const access = [];
  for (const token of refreshTokens) {
    const answer = await service.post('/auth/token', REFRESH.replace('%s', token));
    if (answer.status !== 200) throw new Error(`no token: ${await answer.text()}`);
    access.push((await answer.json()).access_token);
  }
  writeFileSync(file('access.txt'), `${access.join('\n')}\n`);
  return refreshTokens.length;
}

/** So many deliveries of an event, @ being its number, signed now: the service takes a signature for five minutes. */
function stripeDeliveries(files, event, count) {
  const now = Math.floor(Date.now() / 1000);
  const template = JSON.stringify({ id: 'evt_bench@', object: 'event', api_version: '2025-06-30.basil', created: now, livemode: false, pending_webhooks: 1, ...event });
  const mark = randomBytes(4).toString('hex');
  const lines = Array.from({ length: count }, (_, index) => {
    const body = template.replaceAll('@', `${mark}${index}`);
    return `${mark}${index} ${now} ${createHmac('sha256', STRIPE_SECRET).update(`${now}.${body}`).digest('hex')}`;
  });
  writeFileSync(files.template, template);
  writeFileSync(files.lines, `${lines.join('\n')}\n`);
}
