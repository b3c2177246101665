// Organizations: registered, claimed, staffed, handed over, and their end users looked after.

import assert from 'node:assert/strict';
import { assertApiError } from '../lib/expect.mjs';
import { obtainCode, exchange, refresh, tokens, whoAmI } from '../lib/flows.mjs';
import { Caller, PLATFORM_OWNER, ownedPlatform, register, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BOB = { email: 'bob@example.test', name: 'Bob' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const ORGANIZATION_KEYS = ['approved_at', 'approved_by', 'created_at', 'id', 'max_services', 'max_users', 'name', 'owner_user_id', 'rejected_at', 'rejected_by', 'rejection_reason', 'slug', 'status', 'tier_id', 'updated_at'];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ABSENT = '01900000-0000-7000-8000-00000000dead';

/** A sign-in to the demo organization in the browser: `{ access, refresh }`. */
async function endUser(server, account) {
  return tokens(await exchange(server, await obtainCode(server, 'dev', account)));
}

scenario('a signed-in administrator owns what they register', async (stage) => {
  const server = await stage.gatehouse();
  const ada = await signInAdministrator(server, ADA);
  const answer = await ada.post('/api/organizations', { slug: 'acme', name: '  Acme & Söhne  ', owner_email: EVE.email, status: 'active', tier_id: 'tier_pro' });
  assert.equal(answer.status, 201, answer.text);
  const { organization, owner, membership } = answer.json;
  assert.deepEqual(Object.keys(organization).sort(), ORGANIZATION_KEYS);
  assert.match(organization.id, UUID);
  assert.deepEqual(
    [organization.slug, organization.name, organization.status, organization.tier_id, organization.max_services, organization.max_users],
    ['acme', 'Acme & Söhne', 'pending', 'tier_free', 2, 3],
    'what a body may not decide is ignored',
  );
  assert.deepEqual([owner.id, owner.email, organization.owner_user_id], [ada.userId, ADA.email, ada.userId]);
  assert.deepEqual([membership.org_id, membership.user_id, membership.role], [organization.id, ada.userId, 'owner']);

  for (const reference of ['acme', organization.id]) {
    const shown = await ada.get(`/api/organizations/${reference}`);
    assert.equal(shown.status, 200, shown.text);
    assert.deepEqual(shown.json.organization, organization);
    assert.deepEqual([shown.json.membership_count, shown.json.service_count, shown.json.tier.name, shown.json.tier.features], [1, 0, 'free', {}]);
  }
  const renamed = await ada.patch('/api/organizations/acme', { name: 'Acme', slug: 'other', status: 'active' });
  assert.deepEqual([renamed.status, renamed.json.organization.name, renamed.json.organization.slug, renamed.json.organization.status], [200, 'Acme', 'acme', 'pending']);

  const mine = await ada.get('/api/organizations?status=pending&limit=10&page=1');
  assert.deepEqual(mine.json.map((item) => item.organization.slug), ['acme']);
  assert.deepEqual((await ada.get('/api/organizations?status=active')).json, []);
  for (const query of ['status=open', 'limit=0', 'limit=101', 'page=x', 'page=1&offset=1']) {
    assertApiError(await ada.get(`/api/organizations?${query}`), 400, 'VALIDATION_FAILED');
  }
  assertApiError(await Caller.anonymous(server).get('/api/organizations'), 401, 'UNAUTHORIZED');
});

scenario('slugs, names and addresses that are none are refused by field', async (stage) => {
  const server = await stage.gatehouse();
  const nobody = Caller.anonymous(server);
  const good = { slug: 'acme', name: 'Acme', owner_email: ADA.email };
  const slugs = ['', 'ab', 'Acme', 'a'.repeat(41), '-acme', 'acme-', 'ac--me', 'ac me', 'ac_me', '.well-known', 'аcme', 'ａcme', 'acme\u200b', 'platform', 'admin', 'api', 'www', ABSENT, 7, ['acme'], null];
  for (const slug of slugs) {
    const answer = await nobody.post('/api/organizations', { ...good, slug });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, ['slug'], JSON.stringify(slug));
  }
  for (const name of ['', '   ', 'x'.repeat(101), 'a\u202eb', 'a\u0000b', 'x'.repeat(10_240), {}]) {
    assert.deepEqual((await nobody.post('/api/organizations', { ...good, name })).json.fields, ['name'], JSON.stringify(name).slice(0, 40));
  }
  for (const email of [undefined, '', 'ada', 'ada@x', 'a@b@x.test', 'ada@x.test.', 'vıctim@x.test', 'ada @x.test']) {
    assert.deepEqual((await nobody.post('/api/organizations', { ...good, owner_email: email })).json.fields, ['owner_email'], email);
  }
  const all = await nobody.post('/api/organizations', {});
  assert.deepEqual(all.json.fields, ['slug', 'name', 'owner_email'], 'all complaints at once');
  assertApiError(await nobody.call('POST', '/api/organizations', undefined), 400, 'VALIDATION_FAILED');
  const forged = await new Caller(server, 'not.a.token').post('/api/organizations', good);
  assertApiError(forged, 401, 'JWT_ERROR');
});

scenario('an anonymous registration waits for a verified sign-in of its address, and can be given back', async (stage) => {
  const server = await stage.gatehouse();
  const nobody = Caller.anonymous(server);
  const ask = (slug, email) => nobody.post('/api/organizations', { slug, name: 'Waiting', owner_email: email });
  await signInAdministrator(server, BOB);
  const shapes = [];
  for (const [slug, email] of [['for-ada', 'Ada@Example.Test'], ['for-bob', BOB.email], ['unwanted', ADA.email]]) {
    const answer = await ask(slug, email);
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual([answer.json.owner, answer.json.membership, answer.json.organization.owner_user_id], [null, null, null]);
    assert(!answer.text.toLowerCase().includes('example.test'));
    const { id, slug: _, created_at: __, updated_at: ___, ...shape } = answer.json.organization;
    shapes.push(shape);
  }
  assert.deepEqual(shapes[0], shapes[1], 'a known address is answered like an unknown one');

  const liar = await signInAdministrator(server, { email: 'eve@example.test', name: 'Eve' });
  assert.deepEqual((await liar.get('/api/organizations')).json, []);
  assertApiError(await liar.get('/api/organizations/for-ada'), 404, 'NOT_FOUND');
  assert.equal((await whoAmI(server, (await endUser(server, ADA)).access)).status, 200);
  const ada = await signInAdministrator(server, ADA);
  const mine = (await ada.get('/api/organizations')).json;
  assert.deepEqual(mine.map((item) => item.organization.slug), ['for-ada', 'unwanted'], 'an end user of that address claimed nothing');
  assert(mine.every((item) => item.organization.owner_user_id === ada.userId && item.organization.status === 'pending'));

  assert.equal((await ada.delete(`/api/organizations/unwanted/members/${ada.userId}`)).status, 204);
  const again = await signInAdministrator(server, ADA);
  assert.deepEqual((await again.get('/api/organizations')).json.map((item) => item.organization.slug), ['for-ada'], 'what was given back does not return');
  assertApiError(await again.get('/api/organizations/unwanted'), 404, 'NOT_FOUND');
  assertApiError(await ask('unwanted', ADA.email), 409, 'CONFLICT');
  const bob = await signInAdministrator(server, BOB);
  assert.deepEqual((await bob.get('/api/organizations')).json.map((item) => item.organization.slug), ['for-bob'], 'a returning user claims too');
});

scenario('a hundred organizations at once all succeed; one slug asked twenty times is given once', async (stage) => {
  const server = await stage.gatehouse({ logLevel: 'info' });
  const ada = await signInAdministrator(server, ADA);
  const made = await Promise.all(Array.from({ length: 100 }, (_, index) => ada.post('/api/organizations', { slug: `org-${index}`, name: `Organization ${index}` })));
  assert.deepEqual([...new Set(made.map((answer) => answer.status))], [201]);
  assert.equal(new Set(made.map((answer) => answer.json.organization.id)).size, 100);
  const pages = await Promise.all([1, 2, 3].map((page) => ada.get(`/api/organizations?page=${page}&limit=40`)));
  assert.deepEqual(pages.map((page) => page.json.length), [40, 40, 20]);
  assert.equal(new Set(pages.flatMap((page) => page.json.map((item) => item.organization.id))).size, 100, 'pages do not overlap');

  const nobody = Caller.anonymous(server);
  const same = await Promise.all(Array.from({ length: 20 }, () => nobody.post('/api/organizations', { slug: 'only-one', name: 'One', owner_email: BOB.email })));
  assert.equal(same.filter((answer) => answer.status === 201).length, 1);
  for (const answer of same.filter((other) => other.status !== 201)) assertApiError(answer, 409, 'CONFLICT');
});

scenario('nobody sees or touches another organization', async (stage) => {
  const server = await stage.gatehouse();
  const ada = await signInAdministrator(server, ADA);
  const bob = await signInAdministrator(server, BOB);
  const acme = await register(ada, 'acme');
  await register(bob, 'globex');
  const routes = (reference, user) => [
    ['GET', ''], ['PATCH', '', { name: 'Mine' }], ['GET', '/members'],
    ['PATCH', `/members/${user}`, { role: 'admin' }], ['POST', `/members/${user}`], ['DELETE', `/members/${user}`],
    ['POST', '/transfer-ownership', { new_owner_user_id: user }], ['POST', '/members/transfer-ownership', { new_owner_user_id: user }],
    ['GET', '/users'], ['GET', `/users/${user}`], ['DELETE', `/users/${user}/sessions`], ['DELETE', `/users/${user}`],
  ].map(([method, path, body]) => [method, `/api/organizations/${reference}${path}`, body]);
  for (const [foreign, missing] of routes('acme', bob.userId).map((route, index) => [route, routes('missing', bob.userId)[index]])) {
    const [a, b] = [await bob.call(...foreign), await bob.call(...missing)];
    assertApiError(a, 404, 'NOT_FOUND');
    assert.deepEqual([a.status, a.json.error], [b.status, b.json.error], 'a foreign one looks like a missing one');
    assertApiError(await Caller.anonymous(server).call(...foreign), 401, 'UNAUTHORIZED');
  }
  assertApiError(await bob.get(`/api/organizations/${acme.id}`), 404, 'NOT_FOUND');
  assertApiError(await bob.get('/api/organizations/platform'), 404, 'NOT_FOUND');

  const { access } = await endUser(server, ADA);
  const customer = new Caller(server, access);
  for (const route of routes('acme', ada.userId)) assertApiError(await customer.call(...route), 403, 'FORBIDDEN');
  assertApiError(await customer.post('/api/organizations', { slug: 'sneaky', name: 'Sneaky' }), 403, 'FORBIDDEN');
  assert.equal((await ada.get('/api/organizations/acme')).json.organization.name, 'Organization acme');

  const wrong = await ada.call('DELETE', '/api/organizations/acme');
  assertApiError(wrong, 405, 'METHOD_NOT_ALLOWED');
  assert.equal(wrong.headers.allow, 'GET, PATCH');
});

scenario('a team of one: limits, roles and an owner who stays', async (stage) => {
  const server = await stage.gatehouse();
  const ada = await signInAdministrator(server, ADA);
  await register(ada, 'acme');
  const { json } = await ada.get('/api/organizations/acme/members');
  assert.deepEqual([json.total, json.limit], [1, { current: 1, max: 3, source: 'tier' }]);
  const [member] = json.members;
  assert.deepEqual([member.user_id, member.email, member.role, member.user.id, member.membership.role], [ada.userId, ADA.email, 'owner', ada.userId, 'owner']);
  assert.equal(member.joined_at, member.membership.created_at);
  assert(!('is_platform_owner' in member.user));
  assert.deepEqual((await ada.get('/api/organizations/acme/members?role=admin')).json.members, []);
  assertApiError(await ada.get('/api/organizations/acme/members?role=boss'), 400, 'VALIDATION_FAILED');

  const self = `/api/organizations/acme/members/${ada.userId}`;
  assertApiError(await ada.patch(self, { role: 'member' }), 400, 'BAD_REQUEST');
  assertApiError(await ada.patch(self, { role: 'owner' }), 400, 'BAD_REQUEST');
  assertApiError(await ada.patch(self, { role: 'king' }), 400, 'VALIDATION_FAILED');
  assertApiError(await ada.patch(`/api/organizations/acme/members/${ABSENT}`, { role: 'admin' }), 404, 'NOT_FOUND');
  assertApiError(await ada.delete(`/api/organizations/acme/members/${ABSENT}`), 404, 'NOT_FOUND');
  const transfer = (body) => ada.post('/api/organizations/acme/transfer-ownership', body);
  assertApiError(await transfer({ new_owner_email: ADA.email.toUpperCase() }), 400, 'BAD_REQUEST');
  assertApiError(await transfer({ new_owner_email: BOB.email }), 404, 'NOT_FOUND');
  assertApiError(await transfer({ new_owner_user_id: ABSENT }), 404, 'NOT_FOUND');
  for (const body of [{}, { new_owner_email: 'bob' }, { new_owner_email: BOB.email, new_owner_user_id: ABSENT }]) {
    assertApiError(await transfer(body), 400, 'VALIDATION_FAILED');
  }
});

scenario('in dev mode the platform owner administers the demo organization', async (stage) => {
  const server = await stage.gatehouse();
  const first = await signInAdministrator(server, BOB);
  assert.deepEqual((await first.get('/api/organizations')).json, [], 'not whoever comes first');
  const admin = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  assert(admin.isPlatformOwner);
  assert.deepEqual((await admin.get('/api/organizations')).json.map(({ organization, service_count }) => [organization.slug, organization.status, service_count]), [['demo', 'active', 2]]);

  // From the first end user to their last session.
  const ada = await endUser(server, ADA);
  const bob = await endUser(server, BOB);
  await endUser(server, ADA);
  const list = (query = '') => admin.get(`/api/organizations/demo/users${query}`);
  const { json } = await list();
  assert.deepEqual([json.total, json.page, json.limit, json.users.map(({ user }) => user.email)], [2, 1, 50, [BOB.email, ADA.email]]);
  const [, found] = json.users;
  assert.deepEqual([found.session_count, found.subscriptions, found.identities.length, found.identities[0].provider], [2, [], 1, 'dev']);
  assert.equal(found.last_login_at, found.identities[0].last_login_at);
  assert.deepEqual((await admin.get(`/api/organizations/demo/users/${found.user.id}`)).json, found);
  const emails = async (query) => (await list(query)).json.users.map(({ user }) => user.email);
  assert.deepEqual(await emails('?limit=1&page=2'), [ADA.email]);
  assert.deepEqual(await emails('?email=ADA%40'), [ADA.email]);
  for (const email of ['%25', '_da', "' OR 1=1 --", '!']) assert.deepEqual(await emails(`?email=${email}`), [], 'a pattern is text');
  assert.deepEqual(await emails('?service_slug=web'), [BOB.email, ADA.email]);
  assert.deepEqual(await emails('?service_slug=cli'), []);
  assertApiError(await list(`?email=${'x'.repeat(300)}`), 400, 'VALIDATION_FAILED');

  const revoked = await admin.delete(`/api/organizations/demo/users/${found.user.id}/sessions`);
  assert.deepEqual([revoked.status, revoked.json], [200, { message: '2 sessions were ended.', revoked_count: 2 }]);
  assert.equal((await whoAmI(server, ada.access)).status, 401);
  assert.equal((await refresh(server, ada.refresh)).status, 400);
  assert.equal((await whoAmI(server, bob.access)).status, 200, 'nobody else is touched');
  assertApiError(await admin.delete(`/api/organizations/demo/users/${ABSENT}/sessions`), 404, 'NOT_FOUND');
  assertApiError(await admin.get(`/api/organizations/demo/users/${admin.userId}`), 404, 'NOT_FOUND');
});

scenario('revoking sessions also takes the codes that were handed out before', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const before = await obtainCode(server, 'dev', ADA);
  const [{ user }] = (await owner.get('/api/organizations/demo/users')).json.users;
  assert.equal((await owner.delete(`/api/organizations/demo/users/${user.id}/sessions`)).json.revoked_count, 0);
  const late = await exchange(server, before);
  if (late.status === 200) assert.equal((await whoAmI(server, late.json.access_token)).status, 401, 'a session that was over from the start');
  assert.equal((await whoAmI(server, (await endUser(server, ADA)).access)).status, 200, 'a new sign-in works');
});

scenario('an erased user leaves nothing personal behind and comes back as somebody new', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  assert.equal(owner.email, PLATFORM_OWNER.email);
  const ada = await endUser(server, ADA);
  const pending = await obtainCode(server, 'dev', ADA);
  const { id } = (await whoAmI(server, ada.access)).json;
  const path = `/api/organizations/demo/users/${id}`;
  assert.equal((await owner.delete(path)).status, 204);
  for (const answer of [await owner.get(path), await owner.delete(path), await owner.delete(`${path}/sessions`)]) assertApiError(answer, 404, 'NOT_FOUND');
  assert.equal((await whoAmI(server, ada.access)).status, 401);
  const late = await exchange(server, pending);
  assert(!late.text.includes(ADA.email));
  if (late.status === 200) assert.equal((await whoAmI(server, late.json.access_token)).status, 401);
  assert.deepEqual((await owner.get('/api/organizations/demo/users')).json.users, []);
  const back = await whoAmI(server, (await endUser(server, ADA)).access);
  assert.notEqual(back.json.id, id);
  assert.equal((await owner.get('/api/organizations/demo/users')).json.total, 1);
});
