// The page on which a person allows or denies a service what it asks for.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { Landing, OpenIdApp } from '../lib/app.mjs';
import { formWith, visibleText } from '../lib/browser.mjs';
import { DESKTOP, PHONE, assertUsable, launchChromium, openWindow, screenshot } from '../lib/chromium.mjs';
import { assertApiError, assertErrorPage, assertOAuthError, assertStrictPolicy } from '../lib/expect.mjs';
import { APP, WEB, appParameters, signInThrough } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { Caller, PLATFORM_OWNER, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const BOB = { email: 'bob@example.test', name: 'Bob' };

let chromium;
before(async () => { chromium = await launchChromium(); });
after(async () => { await chromium?.close(); });

/** A browser at the page that asks. */
async function asked(browser, app, account, wish = { prompt: 'consent' }) {
  const attempt = await app.start(wish);
  const page = await signInThrough(browser, attempt.url, account);
  assert.equal(page.status, 200, page.location ?? page.text);
  assert.equal(new URL(page.url).pathname, '/oauth/consent');
  return { attempt, page };
}

for (const [size, viewport, javaScriptEnabled] of [['desktop', DESKTOP, true], ['phone', PHONE, false]]) {
  scenario(`a person reads who asks for what, and allows or denies it, ${size}`, async (stage) => {
    const server = await stage.gatehouse();
    const landing = await Landing.open();
    try {
      const web = await OpenIdApp.discover(server, WEB.clientId, landing.redirectUri);
      const { page, complaints, context } = await openWindow(chromium, { viewport, javaScriptEnabled });
      let headers;
      page.on('response', (response) => {
        if (new URL(response.url()).pathname === '/oauth/consent' && response.status() === 200) headers = response.headers();
      });
      for (const decision of ['allow', 'deny']) {
        const attempt = await web.start({ prompt: 'consent', scope: 'openid profile email offline_access' });
        await page.goto(attempt.url);
        if (decision === 'allow') {
          await page.fill('input[name=email]', ADA.email);
          await page.fill('input[name=name]', ADA.name);
          await page.click('form button[type=submit][value=sign_in]');
        }
        await page.waitForSelector('button[name=decision][value=allow]');
        await assertUsable(page);
        await screenshot(page, `${size}-consent`);
        const text = await page.innerText('main');
        for (const fact of ['Demo web app', 'Demo organization', ADA.email, 'openid', 'profile', 'email', 'offline_access', 'name and picture', 'e-mail address']) assert(text.includes(fact), `the page names ${fact}:\n${text}`);
        assertStrictPolicy({ headers });
        assert(!headers['content-security-policy'].includes('script-src'));
        assert.equal(headers['x-frame-options'], 'DENY');
        await page.click(`button[name=decision][value=${decision}]`);
        await page.waitForSelector('#landed');
        const { url } = landing.visits.at(-1);
        if (decision === 'allow') {
          const { claims } = await web.finish(attempt, url);
          assert.equal(claims.email, ADA.email);
        } else {
          assert.deepEqual([...url.searchParams.keys()].sort(), ['error', 'error_description', 'iss', 'state']);
          assert.equal(url.searchParams.get('error'), 'access_denied');
          assert.equal(url.searchParams.get('state'), attempt.checks.expectedState);
        }
      }
      assert.deepEqual(complaints, []);
      await context.close();
    } finally {
      landing.close();
    }
  });
}

scenario('nobody else answers: CSRF, another browser, another person, an old page, twice (113, 253)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  const browser = stage.browser();
  const { page } = await asked(browser, web, ADA);
  const form = formWith(page, 'csrf');
  const allow = { decision: 'allow' };
  assertErrorPage(await browser.clone().submit(form, allow, { origin: 'https://evil.test' }), 403);
  assertErrorPage(await browser.clone().submit(form, allow, { 'sec-fetch-site': 'cross-site' }), 403);
  assertErrorPage(await browser.clone().submit(form, { ...allow, csrf: 'wrong' }), 403);
  assertErrorPage(await browser.clone().submit(form, { ...allow, csrf: '' }), 403);
  assertErrorPage(await browser.clone().submit(form, {}), 400); // neither allow nor deny
  assertErrorPage(await stage.browser().submit(form, allow), 400); // the victim's link, another browser
  // The page of one question with the token of another.
  const second = await asked(browser, web, ADA);
  const { csrf } = Object.fromEntries(formWith(second.page, 'csrf').fill({}));
  assertErrorPage(await browser.clone().submit(form, { ...allow, csrf }), 403);
  // The question of Ada in a browser that Bob has signed in to since.
  const shared = stage.browser();
  const left = (await asked(shared, web, ADA)).page;
  await web.signIn(shared, BOB, { prompt: 'login' });
  assertErrorPage(await shared.get(left.url), 400);
  assert.equal(appParameters(await shared.submit(formWith(left, 'csrf'), allow)).error, 'login_required');
  // Without the browser's session the question opens nothing.
  const cookies = browser.jar.matching(page.url).filter(({ name }) => name.startsWith('gatehouse-consent-')).map(({ name, value }) => `${name}=${value}`).join('; ');
  const bare = await request(form.action, { form: [...form.fill({ decision: 'allow' })], headers: { cookie: cookies, origin: server.url } });
  assert.equal(new URL(bare.location).searchParams.get('error'), 'login_required');
  // Too late.
  const late = browser.clone();
  server.clock.set(601);
  assertErrorPage(await late.get(page.url), 400);
  assertErrorPage(await late.submit(form, allow), 400);
  server.clock.set(0);
  // And the honest one.
  assert(appParameters(await browser.submit(form, allow)).code);
  assertErrorPage(await browser.get(page.url), 400);
  assertErrorPage(await browser.submit(form, allow), 400);
  for (const ticket of ['', 'x', 'x'.repeat(5000), "' OR 1=1--"]) {
    assertErrorPage(await browser.get(`${server.url}/oauth/consent?ticket=${encodeURIComponent(ticket)}`), [400, 414]);
  }
});

scenario('the page names who is signed in, and where the answer goes', async (stage) => {
  const server = await stage.gatehouse();
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  const browser = stage.browser();
  await web.signIn(browser, ADA);
  const { page } = await asked(browser, web, undefined);
  const text = visibleText(page);
  for (const fact of ['Demo web app', 'Demo organization', ADA.email, 'an app on this device']) assert(text.includes(fact), text);
  assert.equal((await web.silent(browser)).error, undefined, 'an organization\'s own service is not asked for');
});

/** The demo organization with a service of somebody else, and its owner. */
async function withPartner(stage) {
  const server = await stage.gatehouse({ env: { PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email } });
  const owner = await signInAdministrator(server, PLATFORM_OWNER);
  const services = `/api/organizations/${WEB.org}/services`;
  assert.equal((await owner.delete(`${services}/cli`)).status, 204);
  const members = { slug: 'partner', name: 'Partner reports', service_type: 'web', redirect_uris: [APP], is_third_party: true };
  const answer = await owner.post(services, members);
  assert.equal(answer.status, 201, answer.text);
  return { server, owner, services, partner: await OpenIdApp.discover(server, answer.json.service.client_id, APP) };
}

scenario('a third party gets no device code: a device has no page that asks', async (stage) => {
  const { server, owner, services } = await withPartner(stage);
  const { client_id: clientId } = (await owner.get(`${services}/partner`)).json;
  const ask = () => request(`${server.url}/oauth/device_authorization`, { form: { client_id: clientId } });
  assertOAuthError(await ask(), 400, 'unauthorized_client');
  assert.equal((await owner.patch(`${services}/partner`, { is_third_party: false })).status, 200);
  assert.equal((await ask()).status, 200);
});

scenario('a third party is asked for once, and again when it wants more or the app says so', async (stage) => {
  const { server, owner, services, partner } = await withPartner(stage);
  const web = await OpenIdApp.discover(server, WEB.clientId, APP);
  const browser = stage.browser();
  assert.equal((await partner.silent(browser)).error, 'login_required');
  await web.signIn(browser, ADA);
  const scope = 'openid email';
  assert.equal((await partner.silent(browser, { scope })).error, 'consent_required');
  const answer = async (page, decision) => appParameters(await browser.submit(formWith(page, 'csrf'), { decision }));

  const denied = await asked(browser, partner, undefined, { scope });
  assert.match(visibleText(denied.page), /belongs to somebody else/);
  assert.equal((await answer(denied.page, 'deny')).error, 'access_denied');
  assert.equal((await partner.silent(browser, { scope })).error, 'consent_required', 'a no is not remembered as a yes');

  const allowed = await asked(browser, partner, undefined, { scope });
  const redirect = await browser.submit(formWith(allowed.page, 'csrf'), { decision: 'allow' });
  const { claims } = await partner.finish(allowed.attempt, new URL(redirect.location));
  assert.equal(claims.email, ADA.email);
  assert((await partner.silent(browser, { scope })).code, 'remembered');
  assert((await partner.silent(browser, { scope: 'openid' })).code, 'less is covered');
  assert.equal((await partner.silent(browser, { scope: 'openid email profile' })).error, 'consent_required', 'more is not');
  await asked(browser, partner, undefined, { scope, prompt: 'consent' });

  // In another browser the same person is asked no more; another person is.
  assert((await partner.signIn(stage.browser(), ADA, { scope })).claims.sub === claims.sub);
  await asked(stage.browser(), partner, BOB, { scope });

  // What was allowed to a service is not inherited by a new one of the same name.
  assert.equal((await owner.delete(`${services}/partner`)).status, 204);
  const anew = await owner.post(services, { slug: 'partner', name: 'Partner reports', service_type: 'web', redirect_uris: [APP], is_third_party: true });
  const successor = await OpenIdApp.discover(server, anew.json.service.client_id, APP);
  assert.equal((await successor.silent(browser, { scope })).error, 'consent_required');
  // And nothing is left of an erased person's consents.
  const question = await asked(browser, successor, undefined, { scope });
  assert((await answer(question.page, 'allow')).code);
  assert.equal((await owner.delete(`/api/organizations/${WEB.org}/users/${claims.sub}`)).status, 204);
  await asked(browser, successor, ADA, { scope });
});

scenario('a person sees what they allowed and takes it back: the tokens end, a waiting code too, and the service asks again', async (stage) => {
  const { server, partner } = await withPartner(stage);
  const browser = stage.browser();
  const scope = 'openid email';
  const allow = async (wish) => {
    const { attempt, page } = await asked(browser, partner, ADA, wish);
    const redirect = await browser.submit(formWith(page, 'csrf'), { decision: 'allow' });
    return { attempt, answer: new URL(redirect.location) };
  };
  const first = await allow({ scope });
  const { tokens } = await partner.finish(first.attempt, first.answer);
  const own = await (await OpenIdApp.discover(server, WEB.clientId, APP)).signIn(browser, ADA);
  const ada = new Caller(server, own.tokens.access_token);
  const consents = (await ada.get('/api/user/consents')).json;
  assert.deepEqual(consents.map(({ service, service_name: name, scope: allowed }) => [service, name, allowed]), [['partner', 'Partner reports', 'email openid']]);
  const waiting = await partner.start({ prompt: 'none', scope });
  const redirect = await browser.get(waiting.url);
  assert(new URL(redirect.location).searchParams.get('code'));

  const [{ service_id: id }] = consents;
  assert.equal((await ada.delete(`/api/user/consents/${id}`)).status, 204);
  assertApiError(await ada.delete(`/api/user/consents/${id}`), 404, 'NOT_FOUND');
  assert.deepEqual((await ada.get('/api/user/consents')).json, []);
  assert.equal((await request(`${server.url}/oauth/userinfo`, { bearer: tokens.access_token })).status, 401);
  assert.equal((await ada.get('/api/user')).status, 200, 'the organization\'s own service is not touched');
  await assert.rejects(partner.finish(waiting, new URL(redirect.location)), { error: 'invalid_grant' });
  assert.equal((await partner.silent(browser, { scope })).error, 'consent_required');
});
