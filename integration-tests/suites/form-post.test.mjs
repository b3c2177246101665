// OAuth 2.0 Form Post Response Mode, in a real browser and in one without scripts, to an app that uses openid-client.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { Landing, OpenIdApp } from '../lib/app.mjs';
import { DESKTOP, PHONE, assertUsable, launchChromium, openWindow, screenshot } from '../lib/chromium.mjs';
import { forms } from '../lib/browser.mjs';
import { WEB, signInThrough } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

let chromium;
before(async () => { chromium = await launchChromium(); });
after(async () => { await chromium?.close(); });

/** Plays with an app that listens. */
async function withLanding(play) {
  const landing = await Landing.open();
  try {
    await play(landing);
  } finally {
    landing.close();
  }
}

async function typeAccount(page) {
  await page.fill('input[name=email]', ADA.email);
  await page.fill('input[name=name]', ADA.name);
  await page.click('form button[type=submit][value=sign_in]');
}

/** What openid-client takes: the request that arrived at the redirect URI. */
function arrived(visit) {
  return new Request(visit.url, { method: visit.method, headers: { 'content-type': visit.headers['content-type'] }, body: visit.body });
}

for (const [name, options] of Object.entries({ scripts: {}, 'no scripts': { javaScriptEnabled: false } })) {
  scenario(`the answer is posted to the app, ${name}`, async (stage) => {
    const server = await stage.gatehouse();
    await withLanding(async (landing) => {
      const web = await OpenIdApp.discover(server, WEB.clientId, landing.redirectUri);
      const { page, complaints, context } = await openWindow(chromium, options);
      const policies = [];
      page.on('response', (response) => policies.push(response.headers()['content-security-policy'] ?? ''));
      // The second time the browser is signed in already.
      for (const round of [1, 2]) {
        const attempt = await web.start({ response_mode: 'form_post', state: 'a&b="<é>' });
        attempt.checks.expectedState = 'a&b="<é>';
        await page.goto(attempt.url);
        if (round === 1) await typeAccount(page);
        if (options.javaScriptEnabled === false) {
          await page.waitForSelector('form[method=post] button');
          await screenshot(page, 'desktop-form-post');
          await page.click('form[method=post] button');
        }
        await page.waitForSelector('#landed');
        assert.equal(page.url(), landing.redirectUri, 'nothing in the address');
        const visit = landing.visits.at(-1);
        assert.equal(visit.method, 'POST');
        assert.equal(visit.url.search, '');
        assert.deepEqual([...new URLSearchParams(visit.body).keys()].sort(), ['code', 'iss', 'state']);
        assert.equal(visit.headers.origin, server.url, 'the app may check where it comes from');
        const { claims } = await web.finish(attempt, arrived(visit));
        assert.equal(claims.email, ADA.email);
      }
      const policy = policies.find((text) => text.includes('script-src'));
      assert.match(policy, /default-src 'none'.*frame-ancestors 'none'.*script-src 'sha256-[\w+/]+='$/);
      assert.doesNotMatch(policy, /unsafe|nonce/);
      assert.deepEqual(complaints, []);
      await context.close();
    });
  });
}

scenario('errors are posted as well, and a page in a frame shows nothing', async (stage) => {
  const server = await stage.gatehouse();
  const web = await OpenIdApp.discover(server, WEB.clientId, 'http://127.0.0.1:54321/callback');
  for (const [wish, error] of [[{ prompt: 'none' }, 'login_required'], [{ response_type: 'token' }, 'unsupported_response_type'], [{ scope: 'root' }, 'invalid_scope']]) {
    const { url, checks } = await web.start({ response_mode: 'form_post', ...wish });
    const answer = await request(url);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-frame-options'], 'DENY');
    assert.match(answer.headers['cache-control'], /no-store/);
    assert.equal(answer.headers['referrer-policy'], 'strict-origin');
    const [form] = forms({ ...answer, url });
    assert.deepEqual([form.method, form.action], ['POST', web.redirectUri]);
    const fields = Object.fromEntries(form.fill({}));
    assert.deepEqual([fields.error, fields.state, fields.iss, fields.code], [error, checks.expectedState, server.url, undefined]);
  }
});

scenario('a person who says no at the provider is reported by the form', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  google.account(ADA);
  const web = await OpenIdApp.discover(server, WEB.clientId, 'http://127.0.0.1:54321/callback');
  const { url } = await web.start({ response_mode: 'form_post', idp_hint: 'google' });
  const page = await signInThrough(stage.browser(), url, 'cancel');
  assert.equal(page.status, 200);
  assert.equal(Object.fromEntries(forms(page)[0].fill({})).error, 'access_denied');
});

scenario('hostile text in state stays text, on a phone too', async (stage) => {
  const server = await stage.gatehouse();
  await withLanding(async (landing) => {
    const web = await OpenIdApp.discover(server, WEB.clientId, landing.redirectUri);
    const state = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>';
    for (const viewport of [DESKTOP, PHONE]) {
      const { page, complaints, context } = await openWindow(chromium, { viewport, javaScriptEnabled: false });
      const { url } = await web.start({ response_mode: 'form_post', prompt: 'none', state });
      await page.goto(url);
      await assertUsable(page);
      await screenshot(page, `${viewport === PHONE ? 'phone' : 'desktop'}-form-post`);
      await page.click('form[method=post] button');
      await page.waitForSelector('#landed');
      assert.equal(new URLSearchParams(landing.visits.at(-1).body).get('state'), state);
      assert.deepEqual(complaints, []);
      await context.close();
    }
  });
});
