// Whole sign-ins in a browser's steps, through the provider inside the binary. Node cannot go as fast as the service, so
// what counts is the processor time that one sign-in costs it.

import { Browser } from '../lib/browser.mjs';
import { signIn } from '../lib/flows.mjs';
import { openJournal } from '../lib/journal.mjs';

const AT_ONCE = 8;

/** `{ count, rate, p50, p99 }` of sign-ins by people who come back. */
export async function signIns(service, seconds) {
  openJournal();
  const end = performance.now() + seconds * 1000;
  const took = [];
  const person = async (number) => {
    const account = { email: `bench-${number}@bench.test`, email_verified: 'on', name: 'Bench' };
    while (performance.now() < end) {
      const begun = performance.now();
      await signIn(service, 'dev', account, { browser: new Browser() });
      took.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, number) => person(number)));
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))];
  return { count: took.length, rate: took.length / seconds, p50: at(0.5), p99: at(0.99) };
}
