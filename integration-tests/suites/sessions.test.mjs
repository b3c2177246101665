// A user's own sessions, and refresh tokens under pressure. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import { assertApiError, assertOAuthError } from '../lib/expect.mjs';
import { WEB, decide, deviceCode, exchange, obtainCode, poll, refresh, refreshGrant, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const SESSIONS = '/api/auth/sessions';

function call(server, access, method = 'GET', path = SESSIONS) {
  return request(server.url + path, { method, bearer: access });
}

async function list(server, access) {
  const answer = await call(server, access);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.sessions;
}

scenario('a user lists sessions, ends one, and ends all others', async (stage) => {
  const server = await stage.gatehouse();
  const web = await signIn(server, 'dev', ADA);
  const device = await deviceCode(server);
  await decide(stage.browser(), server, device.user_code, ADA);
  const terminal = tokens(await poll(server, device));
  const third = await signIn(server, 'dev', ADA);
  const stranger = await signIn(server, 'dev', EVE);

  const sessions = await list(server, web.access);
  assert.deepEqual(sessions.map(({ service, method, current }) => [service, method, current]), [
    ['web', 'web', false],
    ['cli', 'device', false],
    ['web', 'web', true],
  ]);
  for (const session of sessions) {
    assert.equal(session.ip_address, '127.0.0.1');
    assert.equal(session.provider, 'dev');
    for (const time of ['created_at', 'last_used_at', 'expires_at']) assert(Date.parse(session[time]) > 0, time);
  }

  // Those of others are as good as none.
  const [foreign] = await list(server, stranger.access);
  for (const id of [foreign.id, 'nonsense', '01900000-0000-7000-8000-000000000001']) {
    assertApiError(await call(server, web.access, 'DELETE', `${SESSIONS}/${id}`), 404, 'NOT_FOUND');
  }
  assert.equal((await whoAmI(server, stranger.access)).status, 200);

  assert.equal((await call(server, web.access, 'DELETE', `${SESSIONS}/${sessions[1].id}`)).status, 204);
  assertApiError(await whoAmI(server, terminal.access), 401, 'UNAUTHORIZED');
  assertApiError(await call(server, web.access, 'DELETE', `${SESSIONS}/${sessions[1].id}`), 404, 'NOT_FOUND');

  const others = await call(server, web.access, 'DELETE');
  assert.deepEqual([others.status, others.json.revoked_count], [200, 1]);
  assertApiError(await whoAmI(server, third.access), 401, 'UNAUTHORIZED');
  assertApiError(await refresh(server, third.refresh), 400, 'INVALID_GRANT');
  assert.deepEqual((await list(server, web.access)).map(({ current }) => current), [true]);
  assert.equal((await whoAmI(server, stranger.access)).status, 200);

  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const { json } = await owner.get('/api/organizations/demo/audit-log');
  const actions = json.logs.map(({ action }) => action).filter((action) => /session/.test(action));
  assert.deepEqual(actions.sort(), ['session.ended', 'user.other_sessions_ended']);
  assert.equal((await call(server, web.access, 'GET', `${SESSIONS}?limit=0`)).status, 400);
});

scenario('the last use is told at once, costs no write, and outlives a stop', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const { access } = await signIn(server, 'dev', ADA);
  const [{ created_at: created }] = await list(server, access);
  server.clock.set(300);
  await until('the clock moved', async () => {
    const [session] = await list(server, access);
    return Date.parse(session.last_used_at) >= Date.parse(created) + 290_000;
  });
  const [before] = await list(server, access);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  await server.restart();
  server.clock.set(400);
  const [after] = await list(server, access);
  assert(Date.parse(after.last_used_at) >= Date.parse(before.last_used_at));
});

scenario('32 uses of one refresh token at once give one successor (71)', async (stage) => {
  const server = await stage.gatehouse();
  let { refresh: token } = await signIn(server, 'dev', ADA);
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(Array.from({ length: 32 }, () => refreshGrant(server, token)));
    const successors = new Set(answers.map((answer) => tokens(answer).refresh));
    assert.equal(successors.size, 1, `round ${round}`);
    [token] = successors;
  }
  tokens(await refreshGrant(server, token));
});

scenario('a stolen refresh token ends the family, also after kill -9, and leaves an entry (69, 70)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const first = await signIn(server, 'dev', ADA);
  const second = tokens(await refreshGrant(server, first.refresh));
  await server.kill9();
  await server.restart();
  assert.equal((await whoAmI(server, second.access)).status, 200);
  server.clock.set(11);
  await until('the grace is over', async () => (await whoAmI(server, second.access)).status === 200);
  assertOAuthError(await refreshGrant(server, first.refresh), 400, 'invalid_grant');
  await server.kill9();
  await server.restart();
  assertOAuthError(await refreshGrant(server, second.refresh), 400, 'invalid_grant');
  for (const { access } of [first, second]) assertApiError(await whoAmI(server, access), 401, 'UNAUTHORIZED');
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const { json } = await owner.get('/api/organizations/demo/audit-log');
  const entries = json.logs.filter(({ action }) => action === 'session.refresh_token_reused');
  assert.equal(entries.length, 1);
  assert.deepEqual([entries[0].target_type, entries[0].metadata.client_id], ['session', WEB.clientId]);
});

scenario('each refresh says what is true now: plan and features, and nothing after erasure (77, 78)', async (stage) => {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const claims = (access) => JSON.parse(Buffer.from(access.split('.')[1], 'base64url'));
  const first = tokens(await exchange(server, await obtainCode(server, 'dev', ADA)));
  assert.deepEqual(claims(first.access).features, []);
  const made = await owner.post('/api/organizations/demo/services/web/plans', { name: 'gold', features: ['export'], price_cents: 0, currency: 'USD', is_default: true });
  assert.equal(made.status, 201, made.text);
  const second = tokens(await refreshGrant(server, first.refresh));
  assert.deepEqual([claims(second.access).plan, claims(second.access).features], ['gold', ['export']]);
  const { sub } = claims(second.access);
  assert.equal((await owner.delete(`/api/organizations/demo/users/${sub}`)).status < 300, true);
  assertOAuthError(await refreshGrant(server, second.refresh), 400, 'invalid_grant');
  assertApiError(await whoAmI(server, second.access), 401, 'UNAUTHORIZED');
});
