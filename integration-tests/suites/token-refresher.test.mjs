// Provider tokens are refreshed ahead of time, by nobody's request.

import assert from 'node:assert/strict';
import { APP, appParameters, exchange, signInThrough, tokens, webSignIn } from '../lib/flows.mjs';
import { Caller, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const LOOKS_EVERY_MS = 5_000;

/** A service that calls Google for its users, and `people` of them signed in. */
async function setting(stage, people) {
  const { server, google } = await stage.gatehouseWith(['google'], { fakeClock: true, env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  google.givesRefreshTokens = true;
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const { id } = await registerActive(owner, owner, 'acme');
  const made = await owner.post('/api/organizations/acme/services', { slug: 'app', name: 'App', service_type: 'web', redirect_uris: [APP], google_scopes: ['calendar'] });
  const users = [];
  for (let n = 0; n < people; n += 1) {
    const account = google.account({ email: `person${n}@acme.test`, email_verified: true });
    const attempt = webSignIn(server, 'google', { org: 'acme', service: 'app' });
    const { code } = appParameters(await signInThrough(stage.browser(), attempt.url, account));
    users.push(new Caller(server, tokens(await exchange(server, { ...attempt, code }, { client_id: made.json.service.client_id })).access));
  }
  return { server, google, owner, id, users };
}

const read = async (user) => (await user.get('/api/provider-token/google'));

scenario('grants that are due are refreshed before anybody asks, each once', async (stage) => {
  const { server, google, users } = await setting(stage, 6);
  const before = await Promise.all(users.map(async (user) => (await read(user)).json.access_token));
  const calls = google.calls.token;
  server.clock.set(400); // tokens of ten minutes are due after five
  await until('six refreshes', () => google.calls.token === calls + 6, { deadlineMs: 4 * LOOKS_EVERY_MS });
  const after = await Promise.all(users.map(async (user) => (await read(user)).json.access_token));
  assert.equal(new Set([...before, ...after]).size, 12, 'every token is a new one');
  assert.equal(google.calls.token, calls + 6, 'the readers asked nobody');
});

scenario('a provider that fails is asked less and less, and its tokens are fresh once it is back', async (stage) => {
  const { server, google, users: [user] } = await setting(stage, 1);
  const { access_token: old } = (await read(user)).json;
  google.fail('token', 'error');
  const calls = google.calls.token;
  server.clock.set(400);
  await until('a first try', () => google.calls.token === calls + 1, { deadlineMs: 4 * LOOKS_EVERY_MS });
  assert.equal((await read(user)).json.access_token, old, 'the old one is valid yet');
  assert.equal(google.calls.token, calls + 1, 'it waits before it tries again');
  google.heal();
  server.clock.set(450);
  await until('a second try', () => google.calls.token === calls + 2, { deadlineMs: 4 * LOOKS_EVERY_MS });
  await until('the new token is stored', async () => (await read(user)).json.access_token !== old);
  assert.equal(google.calls.token, calls + 2, 'one refresh was enough');
});

scenario('a refresh that a kill cut off leaves a grant that works or says that it is over (191)', async (stage) => {
  const { server, google, users } = await setting(stage, 3);
  const calls = google.calls.token;
  server.clock.set(400);
  await until('the refresher is at work', () => google.calls.token > calls, { deadlineMs: 4 * LOOKS_EVERY_MS, everyMs: 1 });
  await server.kill9();
  await server.restart();
  server.clock.set(800); // the lease of the dead process has ended, and our own tokens have not
  for (const user of users) {
    const answer = await read(user);
    assert([200, 409].includes(answer.status), answer.text);
  }
  const settled = google.calls.token;
  await Promise.all(users.map(read));
  assert.equal(google.calls.token, settled, 'nothing is tried over and over');
});

scenario('a suspended organization has nothing refreshed (171)', async (stage) => {
  const { server, google, owner, id } = await setting(stage, 2);
  const other = (await owner.post(`/api/platform/organizations/${id}/suspend`, { reason: 'test' }));
  assert.equal(other.json.revoked.provider_grants, 2);
  const calls = google.calls.token;
  server.clock.set(400);
  const looked = Date.now() + 2 * LOOKS_EVERY_MS + 500;
  await until('two looks have passed', () => Date.now() > looked, { deadlineMs: 4 * LOOKS_EVERY_MS });
  assert.equal(google.calls.token, calls);
});
