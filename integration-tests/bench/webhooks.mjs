// How many of Stripe's events per second are verified and stored over 64 connections.
// node bench/webhooks.mjs [seconds]; the binary is GATEHOUSE_BIN.

import { createHmac } from 'node:crypto';
import http from 'node:http';
import { Gatehouse } from '../lib/gatehouse.mjs';
import { event, subscription, webhookSecret } from '../lib/stripe.mjs';

const CONNECTIONS = 64;
const [seconds = 10] = process.argv.slice(2).map(Number);
const secret = webhookSecret();
const server = await Gatehouse.start({ logLevel: 'warn', env: { STRIPE_WEBHOOK_SECRET: secret, RUST_LOG: 'error,gatehouse=info' } });
const template = JSON.stringify(event('customer.subscription.updated', subscription({ metadata: { user_id: '01900000-0000-7000-8000-000000000009' } })));

let next = 0;
let stored = 0;
const latencies = [];

function post(agent) {
  next += 1;
  // Another event about another subscription each time, signed as Stripe signs.
  const body = template.replace(/evt_\w+/, `evt_bench${next}`).replace(/sub_\w+/g, `sub_bench${next}`).replace(/cus_\w+/g, `cus_bench${next}`);
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

try {
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
