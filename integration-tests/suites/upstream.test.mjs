// A provider that hangs while many wait for it: who waits is answered in bounded time, who signs in elsewhere does not
// notice, nothing grows without end, and it works again as soon as the provider does. (Single failures of every kind:
// web-sign-in-abuse.test.mjs.)

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { appParameters, signIn, upstreamAnswer, webSignIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

/** More than may be under way at one host per worker. */
const WAITING = 100;
/** A provider gets ten seconds for each of the calls that a sign-in makes, and a place is waited for as long. */
const LONGEST_MS = 25_000;

const residentBytes = (server) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) * 1024;
const descriptors = (server) => readdirSync(`/proc/${server.pid}/fd`).length;

scenario('a provider that hangs holds up those who wait for it, and nobody else', async (stage) => {
  const { server, google, oidc } = await stage.gatehouseWith(['google', 'oidc'], { env: { HTTP_WORKERS: '1' }, logLevel: 'info' });
  const ada = google.account({ email: 'ada@example.test', email_verified: true });
  const bob = oidc.account({ email: 'bob@example.test', email_verified: true });
  await signIn(server, 'google', ada);
  await signIn(server, 'oidc', bob);
  const before = { memory: residentBytes(server), descriptors: descriptors(server) };

  const arrivals = [];
  for (let number = 0; number < WAITING; number += 1) {
    const browser = stage.browser();
    const account = google.account({ email: `person-${number}@example.test`, email_verified: true });
    arrivals.push({ browser, back: await upstreamAnswer(browser, server, webSignIn(server, 'google').url, account) });
  }
  google.fail('token', 'hang');
  const calls = google.calls.token;
  const waiting = arrivals.map(({ browser, back }) => browser.get(back));
  await until('the provider is asked', () => google.calls.token - calls >= 64);

  for (let number = 0; number < 5; number += 1) await within(5_000, 'who signs in elsewhere is let in', signIn(server, 'oidc', bob));
  assert.equal((await request(`${server.url}/health/ready`)).status, 200);
  assert.equal(google.calls.token - calls, 64, 'no more than so many ask it at once');

  for (const answer of await within(LONGEST_MS, 'everybody who waited is told', Promise.all(waiting))) {
    const { error } = appParameters(answer);
    assert.equal(error, 'temporarily_unavailable');
  }
  google.heal();
  await signIn(server, 'google', ada);
  await until('connections are let go', () => descriptors(server) < before.descriptors + 40);
  const grown = residentBytes(server) - before.memory;
  assert(grown < 64 * 1024 * 1024, `memory grew by ${grown} bytes`);
});
