// `make torture`: the long form. CYCLES and SEED in the environment say how long and which.

import { Gatehouse } from '../lib/gatehouse.mjs';
import { openJournal } from '../lib/journal.mjs';
import { settings, summary, torture } from './torture.mjs';

const cycles = Number(process.env.CYCLES ?? 200);
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}, ${cycles} cycles`);
openJournal();
const env = settings();
const server = await Gatehouse.start({ env, logLevel: 'warn,gatehouse=info' });
try {
  const figures = await torture(server, { cycles, seed, secret: env.STRIPE_WEBHOOK_SECRET, say: console.log });
  console.log(`done: ${summary(figures)}`);
  if (figures.slowestStartMs > 1000) throw new Error('a start took more than a second');
} catch (error) {
  console.error(`${error.stack}\nseed ${seed}; the last lines of its log:\n${server.tail()}`);
  process.exitCode = 1;
} finally {
  await server.remove();
}
