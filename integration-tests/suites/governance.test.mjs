// Platform governance from end to end: the state machine, what a suspension cuts off, who owns the platform, and the
// audit log with its proof.

import assert from 'node:assert/strict';
import { tamperWithAuditLog } from '../lib/database.mjs';
import { assertApiError, assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import { APP, decide, deviceCode, exchange, obtainCode, poll, refresh, refreshGrant, signIn, tokens, webSignIn, whoAmI } from '../lib/flows.mjs';
import { databaseFiles, runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { PLATFORM_OWNER, ownedPlatform, register, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BOB = { email: 'bob@example.test', name: 'Bob' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const ABSENT = '01900000-0000-7000-8000-00000000abcd';

const BODIES = { approve: {}, reject: { reason: 'We do not know you.' }, suspend: { reason: 'Unpaid.' }, activate: {} };
const STEPS = { pending: [], active: ['approve'], suspended: ['approve', 'suspend'], rejected: ['reject'] };
const ALLOWED = {
  pending: { approve: 'active', reject: 'rejected' },
  active: { suspend: 'suspended' },
  suspended: { activate: 'active' },
  rejected: {},
};

function act(owner, organization, action, body = BODIES[action]) {
  return owner.post(`/api/platform/organizations/${organization}/${action}`, body);
}

async function auditLog(caller, query = '') {
  const answer = await caller.get(`/api/platform/audit-log${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

scenario('every state allows its own steps, and everything else is a conflict that leaves no trace (167)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  for (const [status, steps] of Object.entries(STEPS)) {
    for (const action of Object.keys(BODIES)) {
      const slug = `${status}-${action}`;
      const { id } = await register(ada, slug);
      for (const step of steps) assert.equal((await act(owner, id, step)).status, 200);
      const before = await auditLog(owner, `?target_id=${id}`);
      assert.equal(before.total, 1 + steps.length, 'its registration, and one row per decision');

      const answer = await act(owner, action === 'reject' ? slug : id, action);
      const next = ALLOWED[status][action];
      const shown = (await ada.get(`/api/organizations/${slug}`)).json.organization;
      const after = await auditLog(owner, `?target_id=${id}`);
      if (next === undefined) {
        assertApiError(answer, 409, 'CONFLICT');
        assert(answer.json.error.includes(status), answer.json.error);
        assert.equal(shown.status, status);
        assert.equal(after.total, before.total, `${slug}: a refusal is no row`);
        continue;
      }
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual([answer.json.status, answer.json.organization.status, shown.status], [next, next, next]);
      assert.equal(answer.json.owner.id, ada.userId);
      assert.equal('revoked' in answer.json, action === 'suspend');
      assert.equal(after.total, before.total + 1);
      const [row] = after.logs;
      assert.deepEqual([row.metadata.before.status, row.metadata.after.status], [status, next]);
      assert.deepEqual([row.actor_user_id, row.user_email, row.target_type, row.target_id, row.ip_address], [owner.userId, owner.email, 'organization', id, '127.0.0.1']);
      if (next === 'rejected') assert.deepEqual([shown.rejected_by, shown.rejection_reason], [owner.userId, BODIES.reject.reason]);
      if (action === 'approve') assert.equal(shown.approved_by, owner.userId);
    }
  }
});

scenario('what platform owners send is checked, and a refused decision leaves no row (225)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  const { id } = await register(ada, 'acme');
  const before = await auditLog(owner);
  assertApiError(await act(owner, id, 'approve', { tier_id: 'tier_gold' }), 404, 'NOT_FOUND');
  for (const reason of [undefined, '', '   ', 'x'.repeat(10_240), 7, 'a\u0000b']) {
    const answer = await act(owner, id, 'reject', { reason });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, ['reason']);
  }
  for (const organization of [ABSENT, 'missing', 'platform', '01900000-0000-7000-8000-000000000001']) {
    for (const action of Object.keys(BODIES)) assertApiError(await act(owner, organization, action), 404, 'NOT_FOUND');
  }
  const tier = (body) => owner.patch(`/api/platform/organizations/${id}/tier`, body);
  for (const [body, field] of [
    [{}, 'tier_id'], [{ tier_id: 'tier_pro', max_services: -1 }, 'max_services'], [{ tier_id: 'tier_pro', max_users: 0 }, 'max_users'],
    [{ tier_id: 'tier_pro', max_users: 1.5 }, 'max_users'], [{ tier_id: 'tier_pro', max_services: '3' }, 'max_services'],
  ]) {
    const answer = await tier(body);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, [field]);
  }
  assertApiError(await tier({ tier_id: 'tier_gold' }), 404, 'NOT_FOUND');
  assert.equal((await auditLog(owner)).total, before.total);

  const approved = await act(owner, id, 'approve', { tier_id: 'tier_starter' });
  assert.deepEqual([approved.json.tier_id, approved.json.max_services, approved.json.tier.name], ['tier_starter', 10, 'starter']);
  const limits = async (body) => {
    const answer = await tier(body);
    assert.equal(answer.status, 200, answer.text);
    return [answer.json.tier_id, answer.json.max_services, answer.json.max_users];
  };
  assert.deepEqual(await limits({ tier_id: 'tier_starter', max_services: 4 }), ['tier_starter', 4, 10]);
  assert.deepEqual(await limits({ tier_id: 'tier_pro' }), ['tier_pro', 4, 50], 'what is left out stays');
  assert.deepEqual(await limits({ tier_id: 'tier_pro', max_services: null, max_users: 7 }), ['tier_pro', 50, 7], 'null goes back to the tier');
  const tiers = (await owner.get('/api/platform/tiers')).json;
  assert.deepEqual(tiers.map(({ name, price_cents: price }) => [name, price]), [['free', 0], ['starter', 4900], ['pro', 14_900], ['enterprise', 49_900]]);

  const list = async (query) => (await owner.get(`/api/platform/organizations${query}`)).json;
  assert.deepEqual((await list('?search=ACM')).organizations.map(({ slug, owner: { email } }) => [slug, email]), [['acme', ADA.email]]);
  assert.deepEqual((await list(`?search=${ADA.email}`)).total, 1);
  for (const search of ['%25', '_cme', "' OR 1=1 --"]) assert.equal((await list(`?search=${search}`)).total, 0, 'a pattern is text');
  assert.deepEqual((await list('?status=active&tier_id=tier_pro')).organizations.map(({ slug }) => slug), ['acme']);
  assertApiError(await owner.get('/api/platform/organizations?status=open'), 400, 'VALIDATION_FAILED');
});

scenario('ten approvals at once are one change and one row in each log (167)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  for (const [action, entry] of [['approve', 'organization.approved'], ['suspend', 'organization.suspended'], ['activate', 'organization.activated']]) {
    if (action === 'approve') await register(ada, 'acme');
    const answers = await Promise.all(Array.from({ length: 10 }, () => act(owner, 'acme', action)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)]);
    assert.equal((await auditLog(owner, `?action=${entry}`)).total, 1, 'a decision is one row, though it stands in two chains');
    assert.equal((await ada.get(`/api/organizations/acme/audit-log?action=${entry}`)).json.total, 1);
  }
});

/** An active organization with a service for the web and one for terminals, owned by Ada. */
async function acmeWithServices(server, owner) {
  const ada = await signInAdministrator(server, ADA);
  await registerActive(ada, owner, 'acme');
  const service = async (slug, type) => {
    const answer = await ada.post('/api/organizations/acme/services', { slug, name: slug, service_type: type, redirect_uris: [APP] });
    assert.equal(answer.status, 201, answer.text);
    return { org: 'acme', service: slug, clientId: answer.json.service.client_id };
  };
  return { ada, web: await service('shop', 'web'), cli: await service('tool', 'desktop') };
}

scenario('a suspension cuts off web, terminal, refresh, API and poll, and reactivation brings nothing back (65, 77, 119, 170)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const { ada, web, cli } = await acmeWithServices(server, owner);
  const query = { org: web.org, service: web.service };
  const codeFor = (account) => obtainCode(server, 'dev', account, { query });
  const redeem = (attempt) => exchange(server, attempt, { client_id: web.clientId });

  const browserSession = tokens(await redeem(await codeFor(EVE)));
  const approved = await deviceCode(server, cli);
  await decide(stage.browser(), server, approved.user_code, BOB);
  const terminalSession = tokens(await poll(server, approved, cli));
  const unpolled = await deviceCode(server, cli);
  await decide(stage.browser(), server, unpolled.user_code, BOB);
  const pending = await deviceCode(server, cli);
  const unredeemed = await codeFor(EVE);
  const invited = await ada.post('/api/organizations/acme/invitations', { email: BOB.email, role: 'member' });
  const neighbour = await signIn(server, 'dev', EVE); // the same person, at another organization
  assert.equal((await whoAmI(server, browserSession.access)).status, 200);
  assert.equal((await whoAmI(server, terminalSession.access)).status, 200);

  const suspended = await act(owner, 'acme', 'suspend');
  assert.equal(suspended.status, 200, suspended.text);
  assert.deepEqual(suspended.json.revoked, { sessions: 2, device_codes: 2, authorization_codes: 1, invitations: 1, provider_grants: 0 });

  // At once, every way in.
  for (const { access } of [browserSession, terminalSession]) {
    const answer = await whoAmI(server, access);
    assertApiError(answer, 403, 'ORGANIZATION_NOT_ACTIVE');
    assert(answer.json.error.includes('suspended'));
  }
  const refused = (answer) => assert(answer.status >= 400 && answer.status < 404 && answer.json.access_token === undefined, answer.text);
  const deadEnds = async (device, status, code) => {
    for (const [session, client] of [[browserSession, web], [terminalSession, cli]]) {
      refused(await refreshGrant(server, session.refresh, client.clientId));
      refused(await refresh(server, session.refresh));
    }
    assertOAuthError(await poll(server, device, cli), status, 'access_denied', code);
    refused(await redeem(unredeemed));
  };
  await deadEnds(pending, 403, 'ORGANIZATION_NOT_ACTIVE');
  assertErrorPage(await stage.browser().get(webSignIn(server, 'dev', query).url), 403);
  const again = await request(`${server.url}/auth/device/code`, { form: { client_id: cli.clientId } });
  assert.deepEqual([again.status, again.json.error_code], [403, 'ORGANIZATION_NOT_ACTIVE']);
  for (const path of ['/services', '/users', '/services/shop', '/services/shop/plans']) {
    assertApiError(await ada.get(`/api/organizations/acme${path}`), 403, 'ORGANIZATION_NOT_ACTIVE');
  }
  const bob = await signInAdministrator(server, BOB);
  assert.deepEqual((await bob.get('/api/invitations')).json, []);
  const acceptance = await bob.post('/api/invitations/accept', { token: invited.json.token });
  assert(acceptance.status >= 400 && acceptance.status < 500, acceptance.text);
  assert.equal((await whoAmI(server, neighbour.access)).status, 200, 'the neighbour notices nothing');
  assert.equal((await ada.get('/api/organizations/acme')).json.organization.status, 'suspended', 'its own people can still look');

  assert.equal((await act(owner, 'acme', 'activate')).status, 200);
  for (const { access } of [browserSession, terminalSession]) assertApiError(await whoAmI(server, access), 401, 'UNAUTHORIZED');
  await deadEnds(unpolled, 400, 'ACCESS_DENIED');
  assert.deepEqual((await bob.get('/api/invitations')).json, []);
  assert((await bob.post('/api/invitations/accept', { token: invited.json.token })).status >= 400);
  assert.deepEqual((await ada.get('/api/organizations/acme/invitations')).json.map(({ status }) => status), ['cancelled']);
  const fresh = tokens(await redeem(await codeFor(EVE)));
  assert.equal((await whoAmI(server, fresh.access)).status, 200, 'a new sign-in works');
  const device = await deviceCode(server, cli);
  await decide(stage.browser(), server, device.user_code, BOB);
  assert.equal((await poll(server, device, cli)).status, 200);

  const [row] = (await auditLog(owner, '?action=organization.suspended')).logs;
  assert.deepEqual(row.metadata.revoked, suspended.json.revoked);
  assert.equal(row.metadata.reason, 'Unpaid.');
});

scenario('no request that begins after the answer to a suspension gets through', async (stage) => {
  const { server, owner } = await ownedPlatform(stage, { logLevel: 'info' });
  const { web } = await acmeWithServices(server, owner);
  const attempts = await Promise.all(Array.from({ length: 8 }, (_, index) => obtainCode(server, 'dev', { email: `user-${index}@example.test`, name: 'User' }, { query: { org: web.org, service: web.service } })));
  const sessions = await Promise.all(attempts.map(async (attempt) => tokens(await exchange(server, attempt, { client_id: web.clientId }))));
  let answered;
  const late = [];
  const hammer = async ({ access }) => {
    for (let after = 0; after < 5;) {
      const begunAfter = answered !== undefined;
      const { status } = await whoAmI(server, access);
      if (begunAfter) {
        after += 1;
        late.push(status);
      }
    }
  };
  const hammering = sessions.map(hammer);
  const suspended = await act(owner, 'acme', 'suspend');
  answered = suspended.status;
  await Promise.all(hammering);
  assert.deepEqual([answered, suspended.json.revoked.sessions], [200, sessions.length]);
  assert.deepEqual([...new Set(late)], [403]);
  assert.equal(late.length, sessions.length * 5);
});

scenario('the platform always has an owner, and the one of the settings is made once (221, 222, 226)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  const eve = await signInAdministrator(server, EVE);
  const owners = (body) => owner.post('/api/platform/owners', body);
  for (const body of [{ user_id: ABSENT }, { email: 'nobody@example.test' }]) assertApiError(await owners(body), 404, 'NOT_FOUND');
  for (const body of [{}, { email: 'nobody' }, { email: ADA.email, user_id: ada.userId }]) assertApiError(await owners(body), 400, 'VALIDATION_FAILED');
  const customer = await signIn(server, 'dev', BOB);
  const { id: customerId } = (await whoAmI(server, customer.access)).json;
  for (const body of [{ user_id: customerId }, { email: BOB.email }]) assertApiError(await owners(body), 404, 'NOT_FOUND');

  assertApiError(await ada.get('/api/platform/tiers'), 403, 'FORBIDDEN');
  const appointed = await owners({ email: ADA.email.toUpperCase() });
  assert.deepEqual([appointed.status, appointed.json.id, appointed.json.is_platform_owner], [201, ada.userId, true]);
  assert.equal((await owners({ user_id: ada.userId })).status, 200, 'already');
  assert.equal((await ada.get('/api/platform/tiers')).status, 200, 'from the next request on, with the token of before');
  assertApiError(await ada.delete(`/api/platform/owners/${ada.userId}`), 400, 'BAD_REQUEST');
  assertApiError(await ada.delete(`/api/platform/owners/${eve.userId}`), 404, 'NOT_FOUND');

  for (let round = 0; round < 10; round += 1) {
    const pair = await Promise.all([
      owner.delete(`/api/platform/owners/${ada.userId}`),
      ada.delete(`/api/platform/owners/${owner.userId}`),
    ]);
    assert.deepEqual(pair.map(({ status }) => status).sort(), [204, 403], 'the one who is demoted demotes nobody');
    const [winner, loser] = pair[0].status === 204 ? [owner, ada] : [ada, owner];
    assertApiError(await loser.get('/api/platform/tiers'), 403, 'FORBIDDEN');
    assert.equal((await winner.post('/api/platform/owners', { user_id: loser.userId })).status, 201);
  }

  assert.equal((await ada.delete(`/api/platform/owners/${owner.userId}`)).status, 204);
  assertApiError(await owner.get('/api/platform/tiers'), 403, 'FORBIDDEN');
  await server.stop();
  await server.restart();
  assertApiError(await owner.get('/api/platform/tiers'), 403, 'FORBIDDEN');
  const back = await signInAdministrator(server, PLATFORM_OWNER);
  assert.equal(back.userId, owner.userId);
  assert(!back.isPlatformOwner, 'signing in again with the address of the settings changes nothing');
  assertApiError(await back.get('/api/platform/tiers'), 403, 'FORBIDDEN');
  assert.equal((await ada.get('/api/platform/tiers')).status, 200);
  const rows = await auditLog(ada, '?action=platform_owner.demoted&limit=1');
  assert.equal(rows.total, 11);
  assert.deepEqual([rows.logs[0].target_id, rows.logs[0].actor_user_id], [owner.userId, ada.userId]);
});

scenario('the audit log is filtered, paged and each organization\'s own', async (stage) => {
  const { server, owner } = await ownedPlatform(stage, { fakeClock: true });
  const today = new Date().toISOString().slice(0, 10);
  const ada = await signInAdministrator(server, ADA);
  const bob = await signInAdministrator(server, BOB);
  const acme = await registerActive(ada, owner, 'acme');
  const globex = await registerActive(bob, owner, 'globex');
  await act(owner, 'globex', 'suspend');
  const actions = async (caller, path, query) => {
    const answer = await caller.get(`${path}?${query}`);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.logs.length, Math.min(answer.json.total, 50));
    return answer.json.logs.map(({ action }) => action);
  };
  const platform = (query) => actions(owner, '/api/platform/audit-log', query);
  assert.deepEqual(await platform('action=organization.approved'), ['organization.approved', 'organization.approved']);
  assert.deepEqual(await platform(`target_id=${globex.id}`), ['organization.suspended', 'organization.approved', 'organization.created'], 'newest first');
  assert.deepEqual(await platform(`target_type=organization&target_id=${acme.id}&user_id=${owner.userId}`), ['organization.approved']);
  assert.deepEqual(await platform(`user_id=${ada.userId}&target_type=organization`), ['organization.created']);
  assert.deepEqual(await platform(`action=organization.approved&start_date=${today}&end_date=${today}&target_id=${acme.id}`), ['organization.approved']);
  assert.deepEqual(await platform('start_date=2001-01-01&end_date=2001-12-31'), []);
  for (const query of ["action=' OR 1=1 --", 'action=%25', 'target_type=_rganization']) assert.deepEqual(await platform(query), [], 'a pattern is text');
  for (const query of ['start_date=2026-02-30', 'end_date=today', `start_date=${today}&end_date=2001-01-01`, 'limit=0', 'limit=101', 'page=0', 'page=1&offset=0', 'action=%00']) {
    assertApiError(await owner.get(`/api/platform/audit-log?${query}`), 400, 'VALIDATION_FAILED');
  }
  const pages = await Promise.all([0, 1, 2].map((offset) => auditLog(owner, `?action=organization.approved&limit=1&offset=${offset}`)));
  assert.deepEqual(pages.map(({ logs, total }) => [logs.length, total]), [[1, 2], [1, 2], [0, 2]]);
  assert.notEqual(pages[0].logs[0].id, pages[1].logs[0].id);

  const own = async (caller, slug) => (await caller.get(`/api/organizations/${slug}/audit-log`)).json.logs;
  assert.deepEqual((await own(ada, 'acme')).map(({ action, org_id: org }) => [action, org]), [['organization.approved', acme.id], ['organization.created', acme.id]]);
  assert.deepEqual((await own(bob, 'globex')).map(({ action }) => action), ['organization.suspended', 'organization.approved', 'organization.created']);
  assertApiError(await bob.get('/api/organizations/acme/audit-log'), 404, 'NOT_FOUND');
  // A platform owner may look, and the organization sees that they did.
  const [look] = (await owner.get('/api/organizations/acme/members')).status === 200 ? await own(ada, 'acme') : [];
  assert.deepEqual([look.action, look.actor_user_id, look.metadata], ['organization.read_by_platform', owner.userId, { route: '/api/organizations/{org}/members' }]);

  server.clock.set(24 * 60 * 60);
  const later = await signInAdministrator(server, PLATFORM_OWNER);
  assert.equal((await act(later, 'globex', 'activate')).status, 200);
  const tomorrow = new Date(Date.now() + 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  assert.deepEqual((await auditLog(later, `?start_date=${tomorrow}&target_id=${globex.id}`)).logs.map(({ action }) => action), ['organization.activated']);
  assert.equal((await auditLog(later, `?end_date=${today}&target_id=${globex.id}`)).total, 3);
});

scenario('the proof holds for the very database, and shows what was tampered with', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const ada = await signInAdministrator(server, ADA);
  await registerActive(ada, owner, 'acme');
  for (const action of ['suspend', 'activate', 'suspend']) assert.equal((await act(owner, 'acme', action)).status, 200);
  const verify = (...args) => runToEnd(['audit', 'verify', '--dev', ...args], { cwd: server.dir });
  const line = (run, slug) => run.stdout.split('\n').find((text) => text.startsWith(`${slug} `));

  const running = await verify();
  assert.deepEqual([running.code, running.stderr], [0, '']);
  assert.match(line(running, 'acme'), /^acme +5 entries +head [0-9a-f]{64} +ok$/);
  for (const slug of ['platform', 'demo']) assert.match(line(running, slug), / ok$/);
  const head = /head ([0-9a-f]{64})/.exec(line(running, 'acme'))[1];

  await server.stop();
  const [file] = databaseFiles(server.dir);
  assert.equal((await verify('--expect-head', `acme=${head}`)).code, 0);
  await tamperWithAuditLog(file, "UPDATE audit_log SET metadata = REPLACE(metadata, 'Unpaid.', 'Paid.') WHERE action = 'organization.suspended' AND sequence = 3");
  const tampered = await verify();
  assert.notEqual(tampered.code, 0);
  assert.match(line(tampered, 'acme'), /BROKEN.*3/);
  assert.match(line(tampered, 'platform'), / ok$/, 'the other chains are whole');
  await tamperWithAuditLog(file, "UPDATE audit_log SET metadata = REPLACE(metadata, 'Paid.', 'Unpaid.') WHERE action = 'organization.suspended' AND sequence = 3");
  assert.equal((await verify()).code, 0, 'put back, it is whole again');
  await tamperWithAuditLog(file, "DELETE FROM audit_log WHERE org_id = (SELECT id FROM organizations WHERE slug = 'acme') AND sequence = 5");
  assert.equal((await verify()).code, 0, 'a cut end does not show by itself');
  const cut = await verify('--expect-head', `acme=${head}`);
  assert.notEqual(cut.code, 0, 'to whoever kept the head it does');
  assert.match(line(cut, 'acme'), /BROKEN/);
});
