// The short form of `make torture`: a few cycles of load and kill -9.

import assert from 'node:assert/strict';
import { scenario } from '../lib/stage.mjs';
import { settings, summary, torture } from '../torture/torture.mjs';

scenario('nine times load and kill -9: what was answered is there, and nothing is broken', async (stage) => {
  const env = settings();
  const server = await stage.gatehouse({ env, logLevel: 'warn,gatehouse=info' });
  const figures = await torture(server, { cycles: 9, seed: 3, secret: env.STRIPE_WEBHOOK_SECRET });
  console.log(summary(figures));
  assert(figures.checked > 100, summary(figures));
  for (const kind of ['device codes', 'refreshes', 'events of Stripe', 'admin writes', 'sign-ins', 'sign-outs']) {
    assert(figures.kinds[kind] > 0, `${kind} were among the load: ${summary(figures)}`);
  }
});
