// How many of Stripe's events per second are verified and stored over 64 connections, and how fast a hundred thousand
// that wait are worked off. Needs python3.
// node bench/webhooks.mjs [seconds] [waiting events]; the binary is GATEHOUSE_BIN.

import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gatehouse } from '../lib/gatehouse.mjs';
import { event, subscription, webhookSecret } from '../lib/stripe.mjs';
import { until } from '../lib/until.mjs';

const CONNECTIONS = 64;
const [seconds = 10, waiting = 100_000] = process.argv.slice(2).map(Number);
const secret = webhookSecret();
const server = await Gatehouse.start({ logLevel: 'warn', env: { STRIPE_WEBHOOK_SECRET: secret, RUST_LOG: 'error,gatehouse=info' } });
const template = JSON.stringify(event('customer.subscription.updated', subscription({ metadata: { user_id: '01900000-0000-7000-8000-000000000009' } })));

let next = 0;
let stored = 0;
const latencies = [];

function post(agent, mark = `bench${next += 1}`) {
  // Another event about another subscription each time, signed as Stripe signs.
  const body = template.replace(/evt_\w+/, `evt_${mark}`).replace(/sub_\w+/g, `sub_${mark}`).replace(/cus_\w+/g, `cus_${mark}`);
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const request = http.request(`${server.url}/webhooks/stripe`, {
      method: 'POST', agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'stripe-signature': `t=${timestamp},v1=${signature}` },
    }, (response) => {
      response.resume().on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        latencies.push(performance.now() - begun);
        stored += 1;
        resolve();
      });
    });
    request.on('error', reject).end(body);
  });
}

async function connection(until) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  while (until()) await post(agent);
  agent.destroy();
}

async function figures() {
  const answer = await fetch(`${server.url}/health/ready`);
  return (await answer.json()).actors.stripe_event_actor;
}

/** What waits is in the database when the service starts: nothing else is stored meanwhile. */
async function drain() {
  await server.stop();
  const fill = fileURLToPath(new URL('fill.py', import.meta.url));
  console.log(execFileSync('python3', [fill, path.join(server.dir, 'data', 'gatehouse.db'), 'stripe', String(waiting)], { encoding: 'utf8' }).trim());
  await server.restart();
  const begun = performance.now();
  const left = await figures();
  await until('nothing waits', async () => (await figures()).waiting === 0, { deadlineMs: 240_000, everyMs: 200 });
  const took = (performance.now() - begun) / 1000;
  console.log(`${left.waiting} waiting events worked off in ${took.toFixed(1)} s: ${Math.round(left.waiting / took)} events/s`);
}

try {
  await post(undefined, 'first');
  await drain();
  latencies.length = stored = 0;
  const begun = performance.now();
  const deadline = begun + seconds * 1000;
  await Promise.all(Array.from({ length: CONNECTIONS }, () => connection(() => performance.now() < deadline)));
  const took = (performance.now() - begun) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.floor(latencies.length * share)].toFixed(1);
  console.log(`${CONNECTIONS} connections: ${Math.round(stored / took)} events/s verified and stored; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);

  await server.stop();
  await server.remove();
} finally {
  if (server.running) await server.kill9();
}
