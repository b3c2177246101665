// Tenants beside each other: the same person at two of them, names that were used before, members that nobody may
// send, and teams that change from all sides at once.

import assert from 'node:assert/strict';
import { assertApiError } from '../lib/expect.mjs';
import { APP, deviceCode, exchange, obtainCode, poll, refreshGrant, tokens, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { ownedPlatform, register, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BOB = { email: 'bob@example.test', name: 'Bob' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const ABSENT = '01900000-0000-7000-8000-00000000abcd';

async function createService(caller, org, slug, type = 'web') {
  const answer = await caller.post(`/api/organizations/${org}/services`, { slug, name: slug, service_type: type, redirect_uris: [APP] });
  assert.equal(answer.status, 201, answer.text);
  return { org, service: slug, clientId: answer.json.service.client_id, id: answer.json.service.id };
}

async function signInTo(server, { org, service, clientId }, account) {
  const attempt = await obtainCode(server, 'dev', account, { query: { org, service } });
  return tokens(await exchange(server, attempt, { client_id: clientId }));
}

async function join(server, inviter, org, account, role) {
  const invited = await inviter.post(`/api/organizations/${org}/invitations`, { email: account.email, role });
  assert.equal(invited.status, 201, invited.text);
  const person = await signInAdministrator(server, account);
  const accepted = await person.post('/api/invitations/accept', { token: invited.json.token });
  assert.equal(accepted.status, 200, accepted.text);
  return person;
}

/** Two active organizations with a service each: `{ server, owner, ada, bob, acme, globex }`. */
async function neighbours(stage) {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  const bob = await signInAdministrator(server, BOB);
  await registerActive(ada, owner, 'acme');
  await registerActive(bob, owner, 'globex');
  return { server, owner, ada, bob, acme: await createService(ada, 'acme', 'app'), globex: await createService(bob, 'globex', 'app') };
}

scenario('one person at two organizations is two users: sign-in, lists, sessions, erasure, audit (146)', async (stage) => {
  const { server, ada, bob, acme, globex } = await neighbours(stage);
  const atAcme = await signInTo(server, acme, EVE);
  await signInTo(server, acme, EVE);
  const atGlobex = await signInTo(server, globex, EVE);
  const [here, there] = [(await whoAmI(server, atAcme.access)).json, (await whoAmI(server, atGlobex.access)).json];
  assert.deepEqual([here.email, there.email, here.org, there.org], [EVE.email, EVE.email, 'acme', 'globex']);
  assert.notEqual(here.id, there.id);

  const users = async (caller, org) => (await caller.get(`/api/organizations/${org}/users?email=${EVE.email}`)).json;
  const [acmeUsers, globexUsers] = [await users(ada, 'acme'), await users(bob, 'globex')];
  assert.deepEqual([acmeUsers.total, globexUsers.total], [1, 1]);
  assert.deepEqual([acmeUsers.users[0].user.id, globexUsers.users[0].user.id], [here.id, there.id]);
  assert.deepEqual([acmeUsers.users[0].session_count, globexUsers.users[0].session_count], [2, 1], 'sessions are counted apart');
  assertApiError(await ada.get(`/api/organizations/acme/users/${there.id}`), 404, 'NOT_FOUND');

  assert((await refreshGrant(server, atAcme.refresh, globex.clientId)).status >= 400, 'a token of one is no token of the other');
  assertApiError(await ada.delete(`/api/organizations/acme/users/${there.id}/sessions`), 404, 'NOT_FOUND');
  assert.equal((await ada.delete(`/api/organizations/acme/users/${here.id}/sessions`)).json.revoked_count, 2);
  assert.equal((await whoAmI(server, atAcme.access)).status, 401);
  assert.equal((await whoAmI(server, atGlobex.access)).status, 200);

  assert.equal((await ada.delete(`/api/organizations/acme/users/${here.id}`)).status, 204);
  assert.deepEqual([(await users(ada, 'acme')).total, (await users(bob, 'globex')).total], [0, 1]);
  assert.equal((await whoAmI(server, atGlobex.access)).json.email, EVE.email);

  const log = async (caller, org) => (await caller.get(`/api/organizations/${org}/audit-log?limit=100`)).json;
  const acmeLog = await log(ada, 'acme');
  assert(acmeLog.logs.some(({ target_id: target }) => target === here.id));
  for (const text of [there.id, bob.userId, 'globex']) assert(!JSON.stringify(acmeLog).includes(text), `the log of acme names ${text}`);
  const globexLog = JSON.stringify(await log(bob, 'globex'));
  for (const text of [here.id, ada.userId, 'acme']) assert(!globexLog.includes(text), `the log of globex names ${text}`);
});

scenario('a name that is used again inherits nothing (150)', async (stage) => {
  const { server, ada, acme } = await neighbours(stage);
  const before = await signInTo(server, acme, EVE);
  const device = await createService(ada, 'acme', 'tool', 'desktop');
  const pending = await deviceCode(server, device);
  const unredeemed = await obtainCode(server, 'dev', EVE, { query: { org: 'acme', service: 'app' } });
  const plan = await ada.post('/api/organizations/acme/services/app/plans', { name: 'Gold', price_cents: 100, currency: 'USD' });
  assert.equal(plan.status, 201, plan.text);
  for (const { service } of [acme, device]) assert.equal((await ada.delete(`/api/organizations/acme/services/${service}`)).status, 204);
  const [app, tool] = [await createService(ada, 'acme', 'app'), await createService(ada, 'acme', 'tool', 'desktop')];
  assert.notEqual(app.clientId, acme.clientId);
  assert.deepEqual((await ada.get('/api/organizations/acme/services/app')).json.plans.map(({ name }) => name).includes('Gold'), false);
  assert.equal((await whoAmI(server, before.access)).status, 401);
  for (const clientId of [acme.clientId, app.clientId]) {
    assert((await refreshGrant(server, before.refresh, clientId)).status >= 400);
    assert((await exchange(server, unredeemed, { client_id: clientId })).status >= 400);
  }
  for (const client of [device, tool]) assert((await poll(server, pending, client)).status >= 400);
  assertApiError(await ada.patch(`/api/organizations/acme/services/app/plans/${plan.json.id}`, { name: 'Mine' }), 404, 'NOT_FOUND');

  const user = (await whoAmI(server, (await signInTo(server, app, EVE)).access)).json;
  assert.equal((await ada.delete(`/api/organizations/acme/users/${user.id}`)).status, 204);
  const again = (await whoAmI(server, (await signInTo(server, app, EVE)).access)).json;
  assert.notEqual(again.id, user.id);
  const [shown] = (await ada.get('/api/organizations/acme/users')).json.users;
  assert.deepEqual([shown.session_count, shown.identities.length], [1, 1], 'nothing of the erased one');

  const eve = await join(server, ada, 'acme', EVE, 'admin');
  assert.equal((await ada.delete(`/api/organizations/acme/members/${eve.userId}`)).status, 204);
  assertApiError(await eve.get('/api/organizations/acme'), 404, 'NOT_FOUND');
  const back = await ada.post('/api/organizations/acme/invitations', { email: EVE.email, role: 'member' });
  assert.equal((await eve.post('/api/invitations/accept', { token: back.json.token })).status, 200);
  assertApiError(await eve.patch('/api/organizations/acme', { name: 'Mine' }), 403, 'FORBIDDEN');
});

scenario('members that are not to be sent are ignored or refused, and none twice (143, 231)', async (stage) => {
  const { server, owner, ada, bob, acme } = await neighbours(stage);
  const { id: foreign } = (await bob.get('/api/organizations/globex')).json.organization;
  const forged = {
    id: ABSENT, org_id: foreign, user_id: bob.userId, owner_user_id: bob.userId, owner: bob.userId, status: 'rejected',
    tier_id: 'tier_enterprise', max_services: 99, max_users: 99, is_platform_owner: true, is_platform: true, created_at: '2001-01-01T00:00:00Z',
    client_secret: 'mine', client_id: 'mine', approved_by: bob.userId, invited_by: bob.userId, session_count: 9,
  };
  const { json: before } = await ada.get('/api/organizations/acme');
  const renamed = await ada.patch('/api/organizations/acme', { ...forged, name: before.organization.name });
  assert([200, 400].includes(renamed.status), renamed.text);
  assert.deepEqual((await ada.get('/api/organizations/acme')).json, before);

  const service = await ada.post('/api/organizations/acme/services', { ...forged, slug: 'second', name: 'Second', service_type: 'api' });
  if (service.status === 201) {
    const { id, org_id: org, client_id: client } = service.json.service;
    assert.equal(org, before.organization.id);
    assert.notEqual(id, ABSENT);
    assert.notEqual(client, 'mine');
  } else assertApiError(service, 400, 'VALIDATION_FAILED');
  const changed = await ada.patch(`/api/organizations/acme/services/${acme.service}`, { ...forged, name: 'App' });
  assertApiError(changed, 400, 'VALIDATION_FAILED');
  const created = await ada.post('/api/organizations', { ...forged, slug: 'initech', name: 'Initech' });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual([created.json.organization.status, created.json.organization.tier_id, created.json.owner.id], ['pending', 'tier_free', ada.userId]);
  const invited = await ada.post('/api/organizations/acme/invitations', { ...forged, email: EVE.email, role: 'member' });
  assert.deepEqual([invited.json.invitation.org_id, invited.json.invitation.invited_by, invited.json.invitation.status], [before.organization.id, ada.userId, 'pending']);
  assert.equal((await bob.get('/api/organizations/globex/invitations')).json.length, 0);
  const approved = await owner.post('/api/platform/organizations/initech/approve', { ...forged, tier_id: 'tier_free', max_users: 99 });
  assert.deepEqual([approved.json.status, approved.json.max_users], ['active', 3]);

  const raw = (method, path, body) => request(server.url + path, { method, bearer: ada.access, body, headers: { 'content-type': 'application/json' } });
  for (const [method, path, body] of [
    ['POST', '/api/organizations/acme/invitations', '{"email":"x@example.test","role":"member","role":"admin"}'],
    ['POST', '/api/organizations/acme/invitations', '{"email":"x@example.test","email":"y@example.test","role":"member"}'],
    ['PATCH', `/api/organizations/acme/members/${ada.userId}`, '{"role":"member","role":"owner"}'],
    ['PATCH', '/api/organizations/acme', '{"name":"a","name":"b"}'],
    ['POST', '/api/organizations', '{"slug":"one","slug":"two","name":"x"}'],
  ]) assertApiError(await raw(method, path, body), 400, 'BAD_REQUEST');
  for (const email of ['a@example.test,b@example.test', 'a@example.test\nbcc: b@example.test', 'Eve <eve@example.test>', 'eve@example.test\u200b']) {
    assertApiError(await ada.post('/api/organizations/acme/invitations', { email, role: 'member' }), 400, 'VALIDATION_FAILED');
  }
});

scenario('nobody gives themselves more than they have (147, 149)', async (stage) => {
  const { server, owner, ada } = await neighbours(stage);
  assert.equal((await owner.patch('/api/platform/organizations/acme/tier', { tier_id: 'tier_enterprise' })).status, 200);
  const admin = await join(server, ada, 'acme', EVE, 'admin');
  const member = await join(server, ada, 'acme', { email: 'mia@example.test', name: 'Mia' }, 'member');
  const path = '/api/organizations/acme';
  const on = (person) => `${path}/members/${person.userId}`;
  for (const role of ['owner', 'admin', 'member']) assertApiError(await admin.patch(on(admin), { role }), 403, 'FORBIDDEN');
  for (const caller of [admin, member]) {
    for (const transfer of ['transfer-ownership', 'members/transfer-ownership']) {
      assertApiError(await caller.post(`${path}/${transfer}`, { new_owner_user_id: caller.userId }), 403, 'FORBIDDEN');
    }
    assertApiError(await caller.delete(on(ada)), 403, 'FORBIDDEN');
  }
  for (const role of ['owner', 'root', '', null]) assertApiError(await admin.post(`${path}/invitations`, { email: 'x@example.test', role }), 400, 'VALIDATION_FAILED');
  assertApiError(await member.delete(on(admin)), 403, 'FORBIDDEN');
  for (const [method, route, body] of [
    ['PATCH', path, { name: 'Mine' }], ['POST', `${path}/invitations`, { email: 'x@example.test', role: 'member' }], ['GET', `${path}/invitations`],
    ['GET', `${path}/audit-log`], ['POST', `${path}/services`, {}], ['PATCH', `${path}/services/app`, {}], ['DELETE', `${path}/services/app`],
    ['POST', `${path}/services/app/client-secret`], ['POST', `${path}/services/app/plans`, {}], ['PATCH', on(member), { role: 'admin' }],
  ]) assertApiError(await member.call(method, route, body), 403, 'FORBIDDEN');
  assertApiError(await ada.patch(on(ada), { role: 'member' }), 400, 'BAD_REQUEST');
  assertApiError(await ada.delete(on(ada)), 400, 'BAD_REQUEST');

  assert.equal((await ada.patch(on(admin), { role: 'member' })).status, 200);
  assertApiError(await admin.patch(path, { name: 'Mine' }), 403, 'FORBIDDEN');
  assert.equal((await ada.delete(on(admin))).status, 204);
  assertApiError(await admin.get(path), 404, 'NOT_FOUND');
  assert.deepEqual((await admin.get('/api/organizations')).json, []);
});

scenario('no slug reads like another one, in no spelling (151)', async (stage) => {
  const { server, ada } = await neighbours(stage);
  for (const slug of ['Acme', 'ACME', 'аcme', 'acmе', 'ａｃｍｅ', 'acme\u200b', '\u00adacme', 'ac\u0301me', 'acme ', ' acme', 'acme\u0000', 'acme/', '../acme', 'acme%2f', 'xn--cme-8cd', '.well-known', 'platform', 'Platform', 'admin', 'api', 'oauth']) {
    const answer = await ada.post('/api/organizations', { slug, name: 'Another' });
    assert([400, 409].includes(answer.status), `${JSON.stringify(slug)}: ${answer.status} ${answer.text}`);
    const service = await ada.post('/api/organizations/acme/services', { slug: slug.replace('acme', 'app').replace(/^(platform|admin|api|oauth)$/, 'App'), name: 'Another', service_type: 'api' });
    assert([400, 409].includes(service.status), `${JSON.stringify(slug)}: ${service.status} ${service.text}`);
  }
  assert.equal((await ada.get('/api/organizations')).json.length, 1);
  for (const path of ['ACME', 'acme%20', '%61cme%00', 'acme%2f..%2fglobex', 'аcme']) {
    const answer = await request(`${server.url}/api/organizations/${encodeURI(path).replace(/%25/g, '%')}`, { bearer: ada.access });
    assert.equal(answer.status, 404, `${path}: ${answer.text}`);
  }
});

scenario('teams that change from all sides at once keep exactly one owner', async (stage) => {
  const { server, owner, ada } = await neighbours(stage);
  assert.equal((await owner.patch('/api/platform/organizations/acme/tier', { tier_id: 'tier_enterprise' })).status, 200);
  const team = [ada];
  for (const name of ['eve', 'mia', 'tom']) team.push(await join(server, ada, 'acme', { email: `${name}@example.test`, name }, 'admin'));
  const members = async () => (await team[0].get('/api/organizations/acme/members')).json.members ?? (await owner.get('/api/organizations/acme/members')).json.members;
  for (let round = 0; round < 8; round += 1) {
    const answers = await Promise.all(team.flatMap((person) => team.flatMap((other) => [
      person.post('/api/organizations/acme/transfer-ownership', { new_owner_user_id: other.userId }),
      person.patch(`/api/organizations/acme/members/${other.userId}`, { role: 'admin' }),
    ])));
    for (const { status, text } of answers) assert(status < 500, text);
    const roles = (await members()).map(({ role }) => role);
    assert.equal(roles.filter((role) => role === 'owner').length, 1, `round ${round}: ${roles}`);
    assert.equal(roles.length, team.length);
  }
  // Everybody hands over to everybody and removes everybody.
  const answers = await Promise.all(team.flatMap((person) => team.flatMap((other) => [
    person.post('/api/organizations/acme/transfer-ownership', { new_owner_user_id: other.userId }),
    person.delete(`/api/organizations/acme/members/${other.userId}`),
  ])));
  for (const { status, text } of answers) assert(status < 500, text);
  const left = (await owner.get('/api/organizations/acme/members')).json.members;
  assert.equal(left.filter(({ role }) => role === 'owner').length, 1, JSON.stringify(left));
  const organization = (await owner.get('/api/organizations/acme')).json.organization;
  assert.equal(organization.owner_user_id, left.find(({ role }) => role === 'owner').user_id);
  assert.equal((await register(ada, 'after')).status, 'pending', 'and the service goes on');
});
