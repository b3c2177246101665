// Invitations: over a real SMTP server, through the API, and in a real browser.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before } from 'node:test';
import { formWith, isRedirect, links, visibleText } from '../lib/browser.mjs';
import { PHONE, assertUsable, launchChromium, openWindow, screenshot } from '../lib/chromium.mjs';
import { assertApiError, assertErrorPage, assertStrictPolicy } from '../lib/expect.mjs';
import { signIn, signInThrough } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { rememberSecret } from '../lib/journal.mjs';
import { Caller, ownedPlatform, registerActive, signInAdministrator } from '../lib/management.mjs';
import { startMailServer } from '../lib/mail.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const BOB = { email: 'bob@example.test', name: 'Bob' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const DAY = 24 * 60 * 60;

let chromium;
before(async () => { chromium = await launchChromium(); });
after(async () => { await chromium?.close(); });

/** A service with an active organization `acme` that Ada owns. */
async function acme(stage, options) {
  const { server, owner: platformOwner } = await ownedPlatform(stage, options);
  const ada = await signInAdministrator(server, ADA);
  const organization = await registerActive(ada, platformOwner, 'acme');
  return { server, ada, platformOwner, organization };
}

/** Invites and returns the answer's body. The token is remembered as a secret: it must show up nowhere else. */
async function invite(caller, email, role = 'member') {
  const answer = await caller.post('/api/organizations/acme/invitations', { email, role });
  assert.equal(answer.status, 201, answer.text);
  rememberSecret('invitation token', answer.json.token);
  return answer.json;
}

async function members(caller) {
  const answer = await caller.get('/api/organizations/acme/members');
  assert.equal(answer.status, 200, answer.text);
  return answer.json.members.map(({ email, role }) => `${email} ${role}`).sort();
}

async function statuses(caller, query = '') {
  const answer = await caller.get(`/api/organizations/acme/invitations${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.map(({ email, status }) => `${email} ${status}`);
}

scenario('an invitation is mailed, opened, and accepted in a real browser', async (stage) => {
  const mail = await startMailServer();
  try {
    const { server, ada } = await acme(stage, { env: { SMTP_URL: mail.url, MAIL_FROM: 'Gatehouse Test <no-reply@example.test>' } });
    const created = await invite(ada, 'Bob@Example.Test', 'admin');
    assert.equal(created.mail_queued, true);
    assert.equal(created.accept_url, `${server.url}/invitations/accept?token=${created.token}`);
    assert.equal(created.inviter.email, ADA.email);
    const { invitation } = created;
    assert.deepEqual([invitation.email, invitation.invitee_email, invitation.role, invitation.status], [BOB.email, BOB.email, 'admin', 'pending']);
    assert.deepEqual([invitation.inviter_email, invitation.organization_slug, invitation.organization_name], [ADA.email, 'acme', 'Organization acme']);
    assert.equal(invitation.invited_by, ada.userId);
    assert.equal(Date.parse(invitation.expires_at) - Date.parse(invitation.created_at), 7 * DAY * 1000);
    assert(!JSON.stringify(invitation).includes(created.token));

    const letter = await mail.next();
    assert.deepEqual([letter.envelope.from, letter.envelope.to], ['no-reply@example.test', [BOB.email]]);
    assert.equal(letter.user, 'mailer@example.test/relay', 'the service signed in to the mail server');
    assert.equal(letter.headers.get('from'), '"Gatehouse Test" <no-reply@example.test>');
    assert.equal(letter.headers.get('to'), BOB.email);
    assert.equal(letter.headers.get('subject'), 'Invitation to Organization acme');
    assert.equal(letter.headers.get('auto-submitted'), 'auto-generated');
    assert.match(letter.headers.get('message-id'), /^<[\w-]+@example\.test>$/);
    assert(letter.parts['text/plain'].includes(`\n${created.accept_url}\n`));
    assert(letter.parts['text/plain'].includes(ADA.email));
    const link = /href="([^"]+)"/.exec(letter.parts['text/html'])[1];
    assert.equal(link, created.accept_url);

    const { page, context, complaints } = await openWindow(chromium, { viewport: PHONE, javaScriptEnabled: false });
    const opened = await page.goto(link);
    assertStrictPolicy({ headers: opened.headers() });
    assert.equal(opened.headers()['cache-control'], 'no-store');
    const text = await page.innerText('main');
    for (const fact of ['Organization acme', 'Administrator', ADA.email, BOB.email]) assert(text.includes(fact), `the page names ${fact}:\n${text}`);
    await screenshot(page, 'phone-invitation-1');
    await page.click('a[href*="/auth/admin/dev"]');
    await page.fill('input[name=email]', BOB.email);
    await page.fill('input[name=name]', BOB.name);
    await page.click('form button[type=submit]');
    await page.waitForSelector('button[name=decision][value=accept]');
    assert.equal(new URL(page.url()).pathname, '/invitations/confirm');
    assert.equal(new URL(page.url()).search, '', 'the token is gone from the address bar');
    await screenshot(page, 'phone-invitation-2');
    assert.deepEqual(await members(ada), ['ada@example.test owner'], 'signing in alone accepts nothing');
    await page.click('button[name=decision][value=accept]');
    await page.waitForSelector('button[name=decision]', { state: 'detached' });
    assert((await page.innerText('h1')).includes('Welcome'));
    await screenshot(page, 'phone-invitation-3');
    assert.deepEqual(complaints, []);
    await context.close();

    assert.deepEqual(await members(ada), ['ada@example.test owner', 'bob@example.test admin']);
    const bob = await signInAdministrator(server, BOB);
    assert.equal((await bob.get('/api/organizations/acme')).status, 200);
    assertErrorPage(await stage.browser().get(link), 409);
    assert.equal(mail.count, 1, 'one letter per invitation');
  } finally {
    await mail.stop();
  }
});

scenario('the pages look as they should', async (stage) => {
  const { server, ada } = await acme(stage);
  const created = await invite(ada, BOB.email);
  assert.equal(created.mail_queued, false, 'no mail server, no mail');
  for (const account of [EVE, BOB]) {
    const { page, context } = await openWindow(chromium);
    await page.goto(created.accept_url);
    await assertUsable(page);
    await screenshot(page, 'desktop-invitation-1');
    await page.click('a[href*="/auth/admin/dev"]');
    await page.fill('input[name=email]', account.email);
    await page.click('form button[type=submit]');
    await page.waitForURL(`${server.url}/invitations/confirm`);
    await assertUsable(page);
    await screenshot(page, account === EVE ? 'desktop-invitation-wrong-account' : 'desktop-invitation-2');
    if (account === EVE) {
      const text = await page.innerText('main');
      assert(text.includes(EVE.email) && text.includes(BOB.email), text);
    } else {
      await page.click('button[name=decision][value=decline]');
      await page.waitForSelector('button[name=decision]', { state: 'detached' });
      await assertUsable(page);
      await screenshot(page, 'desktop-invitation-declined');
    }
    await context.close();
  }
  assert.deepEqual(await statuses(ada), ['bob@example.test declined']);
  assert.deepEqual(await members(ada), ['ada@example.test owner']);
});

scenario('the wrong account is refused, by API and in the browser, and the invitation stays (155)', async (stage) => {
  const { server, ada } = await acme(stage);
  const { token, accept_url: acceptUrl } = await invite(ada, BOB.email);
  const eve = await signInAdministrator(server, EVE);
  for (const path of ['accept', 'decline']) assertApiError(await eve.post(`/api/invitations/${path}`, { token }), 403, 'FORBIDDEN');
  assert.deepEqual((await eve.get('/api/invitations')).json, []);

  const browser = stage.browser();
  const page = await browser.get(acceptUrl);
  const link = links(page).find((href) => href.includes('/auth/admin/dev'));
  const refused = await signInThrough(browser, link, EVE, { stopAt: undefined });
  assert.equal(refused.status, 403);
  assert(!/name="csrf"/.test(refused.text), 'there is nothing to press');

  // An unverified address proves nothing.
  const liar = stage.browser();
  const unproved = await signInThrough(liar, link, { email: BOB.email, name: 'Liar', email_verified: false }, { stopAt: undefined });
  assert.equal(unproved.status, 403);

  const bob = await signInAdministrator(server, BOB);
  // A token made for a service opens none of these routes.
  const { access } = await signIn(server, 'dev', BOB);
  const endUser = new Caller(server, access);
  assertApiError(await endUser.post('/api/invitations/accept', { token }), 403, 'FORBIDDEN');
  assertApiError(await endUser.get('/api/invitations'), 403, 'FORBIDDEN');
  assertApiError(await Caller.anonymous(server).post('/api/invitations/accept', { token }), 401, 'UNAUTHORIZED');

  assert.deepEqual(await statuses(ada), ['bob@example.test pending']);
  const [mine] = (await bob.get('/api/invitations')).json;
  assert.deepEqual([mine.organization_slug, mine.status], ['acme', 'pending']);
  const accepted = await bob.post('/api/invitations/accept', { token });
  assert.equal(accepted.status, 200, accepted.text);
  assert.deepEqual([accepted.json.membership.role, accepted.json.membership.user_id, accepted.json.invitation.status], ['member', bob.userId, 'accepted']);
  assert.deepEqual((await bob.get('/api/invitations')).json, []);
});

scenario('a form of another site or another browser decides nothing', async (stage) => {
  const { ada } = await acme(stage);
  const { accept_url: acceptUrl } = await invite(ada, BOB.email);
  const browser = stage.browser();
  const link = links(await browser.get(acceptUrl)).find((href) => href.includes('/auth/admin/dev'));
  const confirm = await signInThrough(browser, link, BOB, { stopAt: undefined });
  assert.equal(confirm.status, 200, confirm.text);
  const form = formWith(confirm, 'csrf');
  assertErrorPage(await browser.clone().submit(form, { decision: 'accept' }, { origin: 'https://evil.test' }), 403);
  assertErrorPage(await browser.clone().submit(form, { decision: 'accept', csrf: 'wrong' }), 403);
  assertErrorPage(await stage.browser().submit(form, { decision: 'accept' }), 400);
  assertErrorPage(await stage.browser().get(new URL('/invitations/confirm', acceptUrl).href), 400);
  assert.deepEqual(await members(ada), ['ada@example.test owner']);
  const cancelled = await signInThrough(stage.browser(), link, { ...BOB, decision: 'cancel' }, { stopAt: undefined });
  assert(cancelled.status < 500);
  const twice = browser.clone();
  assert.match(visibleText(await browser.submit(form, { decision: 'accept' })), /Welcome/);
  assertErrorPage(await twice.submit(form, { decision: 'accept' }), 409);
  assert.deepEqual(await members(ada), ['ada@example.test owner', 'bob@example.test member']);
});

scenario('twenty accepts at once make one member (159), and accept and cancel have one outcome', async (stage) => {
  const { server, ada } = await acme(stage);
  const bob = await signInAdministrator(server, BOB);
  const eve = await signInAdministrator(server, EVE);
  const { token } = await invite(ada, BOB.email);
  const answers = await Promise.all(Array.from({ length: 20 }, () => bob.post('/api/invitations/accept', { token })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(409)]);
  assert.deepEqual(await members(ada), ['ada@example.test owner', 'bob@example.test member']);

  const second = await invite(ada, EVE.email);
  const cancelPath = `/api/organizations/acme/invitations/${second.invitation.id}`;
  const [accepted, cancelled] = await Promise.all([eve.post('/api/invitations/accept', { token: second.token }), ada.delete(cancelPath)]);
  assert.deepEqual([accepted.status === 200, cancelled.status === 204].filter(Boolean).length, 1, `${accepted.status} ${cancelled.status}`);
  assert.equal((await members(ada)).includes('eve@example.test member'), accepted.status === 200);
});

scenario('decline, cancel, invite again: any number of times (161)', async (stage) => {
  const { server, ada } = await acme(stage);
  const bob = await signInAdministrator(server, BOB);
  for (let round = 0; round < 2; round += 1) {
    const declined = await invite(ada, BOB.email);
    assert.equal((await bob.post('/api/invitations/decline', { token: declined.token })).status, 204);
    assertApiError(await bob.post('/api/invitations/accept', { token: declined.token }), 409, 'CONFLICT');
    const cancelled = await invite(ada, BOB.email);
    const path = `/api/organizations/acme/invitations/${cancelled.invitation.id}`;
    assert.equal((round === 0 ? await ada.post(path) : await ada.delete(path)).status, 204);
    assertApiError(await ada.delete(path), 409, 'CONFLICT');
    assertApiError(await bob.post('/api/invitations/accept', { token: cancelled.token }), 409, 'CONFLICT');
    assertErrorPage(await stage.browser().get(cancelled.accept_url), 409);
  }
  await invite(ada, BOB.email);
  assert.deepEqual(await statuses(ada, '?status=pending'), ['bob@example.test pending']);
  assert.equal((await statuses(ada)).length, 5);
  assert.deepEqual(await statuses(ada, '?limit=1&page=2'), ['bob@example.test cancelled']);
  assertApiError(await ada.get('/api/organizations/acme/invitations?status=nonsense'), 400, 'VALIDATION_FAILED');
});

scenario('an invitation ends after seven days, and a new one takes its place (157)', async (stage) => {
  const { server, ada, platformOwner } = await acme(stage, { fakeClock: true });
  const created = await invite(ada, BOB.email);
  assertApiError(await ada.post('/api/organizations/acme/invitations', { email: 'BOB@example.test', role: 'admin' }), 409, 'CONFLICT');
  server.clock.set(7 * DAY + 1);
  // Sessions ended meanwhile as well.
  const [later, bob] = [await signInAdministrator(server, ADA), await signInAdministrator(server, BOB)];
  assert(platformOwner);
  assertApiError(await bob.post('/api/invitations/accept', { token: created.token }), 400, 'INVITATION_EXPIRED');
  assertErrorPage(await stage.browser().get(created.accept_url), 400);
  assert.deepEqual((await bob.get('/api/invitations')).json, []);
  assert.deepEqual(await statuses(later), ['bob@example.test expired']);
  const fresh = await invite(later, BOB.email);
  assert.deepEqual(await statuses(later), ['bob@example.test pending', 'bob@example.test expired']);
  assertApiError(await bob.post('/api/invitations/accept', { token: created.token }), 400, 'INVITATION_EXPIRED');
  assert.equal((await bob.post('/api/invitations/accept', { token: fresh.token })).status, 200);
});

scenario('what is sent is checked, and the link is always ours (165)', async (stage) => {
  const { server, ada } = await acme(stage);
  const path = '/api/organizations/acme/invitations';
  for (const [body, fields] of [
    [{}, ['email', 'role']],
    [{ email: 'nobody', role: 'member' }, ['email']],
    [{ invitee_email: 'x@y', role: 'member' }, ['invitee_email']],
    [{ email: 'b\u0131b@example.test', role: 'member' }, ['email']],
    [{ email: 'bob@example.test\r\nBcc: eve@example.test', role: 'member' }, ['email']],
    [{ email: BOB.email, invitee_email: EVE.email, role: 'member' }, ['invitee_email', 'email']],
    [{ email: BOB.email, role: 'owner' }, ['role']],
    [{ email: BOB.email, role: 1 }, ['role']],
  ]) {
    const answer = await ada.post(path, body);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual([...new Set(answer.json.fields)].sort(), [...fields].sort(), JSON.stringify(body));
  }
  assertApiError(await ada.post(path, { email: ADA.email, role: 'member' }), 409, 'CONFLICT');
  const headers = { 'x-forwarded-host': 'evil.test', 'x-forwarded-proto': 'https', forwarded: 'host=evil.test' };
  const created = await ada.call('POST', path, { invitee_email: BOB.email, role: 'member', status: 'accepted', org_id: 'x' }, headers);
  assert.equal(created.status, 201, created.text);
  rememberSecret('invitation token', created.json.token);
  assert(created.json.accept_url.startsWith(`${server.url}/invitations/accept?token=`));
  assert.equal(created.json.invitation.status, 'pending');
});

scenario('members and strangers do not invite, and see nothing', async (stage) => {
  const { server, ada } = await acme(stage);
  const [bob, eve] = [await signInAdministrator(server, BOB), await signInAdministrator(server, EVE)];
  const { token, invitation } = await invite(ada, BOB.email);
  assert.equal((await bob.post('/api/invitations/accept', { token })).status, 200);
  const path = '/api/organizations/acme/invitations';
  const body = { email: 'new@example.test', role: 'member' };
  for (const [caller, status, code] of [[bob, 403, 'FORBIDDEN'], [eve, 404, 'NOT_FOUND'], [Caller.anonymous(server), 401, 'UNAUTHORIZED']]) {
    assertApiError(await caller.post(path, body), status, code);
    assertApiError(await caller.get(path), status, code);
    assertApiError(await caller.delete(`${path}/${invitation.id}`), status, code);
  }
  assertApiError(await ada.delete(`${path}/00000000-0000-7000-8000-000000000000`), 404, 'NOT_FOUND');
});

scenario('the team has a limit, and a suspended organization takes nobody', async (stage) => {
  const { server, ada, platformOwner, organization } = await acme(stage);
  const people = ['bob', 'carl', 'dora'].map((name) => ({ email: `${name}@example.test`, name }));
  const waiting = [];
  for (const person of people) waiting.push([await signInAdministrator(server, person), (await invite(ada, person.email)).token]);
  const answers = await Promise.all(waiting.map(([caller, token]) => caller.post('/api/invitations/accept', { token })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 400], 'three on the free tier, Ada is one');
  assertApiError(answers.find(({ status }) => status === 400), 400, 'TEAM_LIMIT_EXCEEDED');

  const [caller, token] = waiting[answers.findIndex(({ status }) => status === 400)];
  const suspended = await platformOwner.post(`/api/platform/organizations/${organization.id}/suspend`, { reason: 'test' });
  assert.equal(suspended.status, 200, suspended.text);
  const refused = await caller.post('/api/invitations/accept', { token });
  assert([403, 409].includes(refused.status), refused.text);
  assertApiError(await ada.post('/api/organizations/acme/invitations', { email: 'x@example.test', role: 'member' }), 403, 'ORGANIZATION_NOT_ACTIVE');
});

scenario('guessing tokens is limited per address (166)', async (stage) => {
  const { server, ada } = await acme(stage);
  const bob = await signInAdministrator(server, BOB);
  const { token } = await invite(ada, BOB.email);
  const wrong = () => Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 1]), randomBytes(32)]).toString('base64url');
  const seen = new Set();
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const guess = attempt % 2 === 0 ? bob.post('/api/invitations/accept', { token: wrong() }) : request(`${server.url}/invitations/accept?token=${wrong()}`);
    seen.add((await guess).status);
  }
  assert.deepEqual([...seen].sort(), [404, 429]);
  const limited = await bob.post('/api/invitations/accept', { token });
  assertApiError(limited, 429, 'RATE_LIMITED');
  assert(Number(limited.headers['retry-after']) > 0);
});

scenario('a mail server that is down or refuses fails no request', async (stage) => {
  const mail = await startMailServer({ refuse: true });
  try {
    const { server, ada } = await acme(stage, { env: { SMTP_URL: mail.url, MAIL_FROM: 'no-reply@example.test' } });
    const { token } = await invite(ada, BOB.email);
    await mail.refused();
    const bob = await signInAdministrator(server, BOB);
    assert.equal((await bob.post('/api/invitations/accept', { token })).status, 200);
    await mail.stop();
    await invite(ada, EVE.email);
  } finally {
    await mail.stop();
  }
});

scenario('the link works for a sign-in that was cancelled before', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { platform: true, env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  const root = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const ada = await signInAdministrator(server, ADA);
  await registerActive(ada, root, 'acme');
  const { accept_url: acceptUrl } = await invite(ada, BOB.email);
  const browser = stage.browser();
  const link = links(await browser.get(acceptUrl)).find((href) => href.includes('/auth/admin/google'));
  const back = await signInThrough(browser, link, 'cancel', { stopAt: `${server.url}/invitations/accept` });
  assert(isRedirect(back) && back.location === acceptUrl, `${back.status} ${back.location}`);
  const account = google.account({ email: BOB.email, email_verified: true, name: 'Bob' });
  const confirm = await signInThrough(browser, link, account, { stopAt: undefined });
  assert.match(visibleText(await browser.submit(formWith(confirm, 'csrf'), { decision: 'accept' })), /Welcome/);
});
