// Back-Channel Logout 1.0: a service that registered a URI hears of every session that ends, whatever ended it.

import assert from 'node:assert/strict';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { assertOAuthError } from '../lib/expect.mjs';
import { exchange, obtainCode, refresh, refreshGrant, signIn, tokens } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { Receiver } from '../lib/receiver.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const DEMO = '/api/organizations/demo';
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const person = (name) => ({ email: `${name}@example.test`, name });

async function setting(stage, options) {
  const server = await stage.gatehouse(options);
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const receiver = await Receiver.start();
  const registered = await owner.patch(`${DEMO}/services/web`, { backchannel_logout_uri: receiver.url, backchannel_logout_session_required: true });
  assert.equal(registered.status, 200, registered.text);
  return { server, owner, receiver };
}

/** Checks a logout token as section 2.6 says, with nothing but the published keys. */
async function verified(server, { method, headers, body }, now = new Date()) {
  assert.equal(method, 'POST');
  assert.match(headers['content-type'], /^application\/x-www-form-urlencoded/);
  const form = new URLSearchParams(body);
  assert.deepEqual([...form.keys()], ['logout_token']);
  const keys = createRemoteJWKSet(new URL(`${server.url}/.well-known/jwks.json`));
  const { payload, protectedHeader } = await jwtVerify(form.get('logout_token'), keys, {
    issuer: server.url, audience: 'demo-web', typ: 'logout+jwt', currentDate: now, requiredClaims: ['iat', 'exp', 'jti', 'sub', 'sid', 'events'],
  });
  assert.notEqual(protectedHeader.alg, 'none');
  assert.deepEqual(payload.events, { [EVENT]: {} });
  assert(payload.exp - payload.iat <= 120, 'lives two minutes at most');
  assert(!('nonce' in payload), 'a nonce is forbidden');
  return payload;
}

const ids = ({ access }) => { const { sid, sub } = decodeJwt(access); return { sid, sub }; };
const told = ({ sid, sub }) => ({ sid, sub });

scenario('discovery says so, and a logout is told with a token that an ordinary client accepts', async (stage) => {
  const { server, receiver } = await setting(stage);
  const metadata = (await request(`${server.url}/.well-known/openid-configuration`)).json;
  assert.deepEqual([metadata.backchannel_logout_supported, metadata.backchannel_logout_session_supported], [true, true]);
  const [one, other] = [await signIn(server, 'dev', person('ada')), await signIn(server, 'dev', person('ada'))];
  assert.equal((await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: one.access })).status, 204);
  const [first] = await receiver.until(1);
  assert.deepEqual(told(await verified(server, first)), ids(one));
  assert.equal(decodeProtectedHeader(new URLSearchParams(first.body).get('logout_token')).typ, 'logout+jwt');
  // As a bearer token it opens nothing.
  const token = new URLSearchParams(first.body).get('logout_token');
  assert.equal((await request(`${server.url}/api/user`, { bearer: token })).status, 401);
  assert.equal((await request(`${server.url}/api/user`, { bearer: other.access })).status, 200, 'the other session lives');
  await receiver.close();
});

scenario('whatever ends a session, the service is told once', async (stage) => {
  const { server, owner, receiver } = await setting(stage);
  const expected = [];
  const gone = async (what, session, end) => {
    expected.push(ids(session));
    await end();
    const seen = await receiver.until(expected.length);
    assert.deepEqual(told(await verified(server, seen.at(-1))), expected.at(-1), what);
  };
  const userId = (session) => ids(session).sub;

  const revoked = await signIn(server, 'dev', person('revoked'));
  await gone('an administrator revokes', revoked, () => owner.delete(`${DEMO}/users/${userId(revoked)}/sessions`));
  const erased = await signIn(server, 'dev', person('erased'));
  await gone('a user is erased', erased, () => owner.delete(`${DEMO}/users/${userId(erased)}`));
  const attempt = await obtainCode(server, 'dev', person('replayed'));
  const replayed = tokens(await exchange(server, attempt));
  await gone('a code is replayed', replayed, async () => assertOAuthError(await exchange(server, attempt), 400, 'invalid_grant'));
  const reused = await signIn(server, 'dev', person('reused'));
  const second = tokens(await refresh(server, reused.refresh));
  const third = tokens(await refresh(server, second.refresh));
  await gone('a refresh token is reused', third, async () => assertOAuthError(await refreshGrant(server, reused.refresh), 400, 'invalid_grant'));
  const deleted = await signIn(server, 'dev', person('deleted'));
  await gone('the service is deleted', deleted, () => owner.delete(`${DEMO}/services/web`));

  await until('nothing else is sent', async () => {
    const { actors } = (await request(`${server.url}/health/ready`)).json;
    return actors.outbox.busy === 0 && actors.outbox.delivered === expected.length;
  });
  assert.equal(receiver.seen.length, expected.length, 'each once');
  await receiver.close();
});

scenario('a suspension tells of every session', async (stage) => {
  const { server, owner, receiver } = await setting(stage);
  assert(owner.isPlatformOwner);
  const sessions = await Promise.all(Array.from({ length: 12 }, (_, n) => signIn(server, 'dev', person(`user${n}`))));
  const { id } = (await owner.get(DEMO)).json.organization;
  const suspended = await owner.post(`/api/platform/organizations/${id}/suspend`, {});
  assert.equal(suspended.status, 200, suspended.text);
  const seen = await receiver.until(12);
  const payloads = await Promise.all(seen.map((one) => verified(server, one)));
  assert.deepEqual(new Set(payloads.map(({ sid }) => sid)), new Set(sessions.map((session) => ids(session).sid)));
  assert.equal(new Set(payloads.map(({ jti }) => jti)).size, 12);
  await receiver.close();
});

scenario('a service that is down is told later with a fresh token, one that refuses is not asked again, and kill -9 forgets nobody', async (stage) => {
  const { server, receiver } = await setting(stage, { fakeClock: true });
  const logout = async (session) => assert.equal((await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: session.access })).status, 204);
  receiver.plan({ status: 500 });
  const first = await signIn(server, 'dev', person('ada'));
  await logout(first);
  const [failed] = await receiver.until(1);
  const before = await verified(server, failed);
  server.clock.set(600);
  const [, again] = await receiver.until(2);
  const after = await verified(server, again, new Date(Date.now() + 600_000));
  assert.deepEqual(told(after), told(before));
  assert(after.iat > before.exp, 'signed when it is sent');

  receiver.plan({ status: 400 });
  await logout(await signIn(server, 'dev', person('bob')));
  await receiver.until(3);
  server.clock.set(1200);
  await logout(await signIn(server, 'dev', person('cleo')));
  await receiver.until(4);
  assert.equal(receiver.seen.filter(({ answered }) => answered === 400).length, 1, '400 is final');

  await receiver.close();
  const last = await signIn(server, 'dev', person('dora'));
  await logout(last);
  await server.kill9();
  await receiver.open();
  await server.restart();
  server.clock.set(1800);
  const seen = await receiver.until(5);
  assert.deepEqual(told(decodeJwt(new URLSearchParams(seen[4].body).get('logout_token'))), ids(last));
  await receiver.close();
});
