// The hosted pages in a real browser. Pictures of them land in artifacts/.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { DESKTOP, PHONE, assertUsable, launchChromium, openWindow, screenshot } from '../lib/chromium.mjs';
import { assertStrictPolicy } from '../lib/expect.mjs';
import { deviceCode, pollToTheEnd, tokens, webSignIn, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

let chromium;
before(async () => { chromium = await launchChromium(); });
after(async () => { await chromium?.close(); });

/** From the address on the terminal to the page that asks to approve, as a person goes it. */
async function walkToConfirm(page, server, device, shoot = async () => {}) {
  await page.goto(`${server.url}/activate`);
  await shoot('1-enter-code');
  await page.fill('input[name=user_code]', device.user_code.toLowerCase());
  await page.click('form button[type=submit], form input[type=submit]');
  await page.waitForSelector('a[href*="/auth/dev"]');
  await shoot('2-choose-provider');
  await page.click('a[href*="/auth/dev"]');
  await page.fill('input[name=email]', ADA.email);
  await page.fill('input[name=name]', ADA.name);
  assert(await page.isChecked('input[name=email_verified]'));
  await shoot('3-dev-provider');
  await page.click('form button[type=submit], form input[type=submit]');
  await page.waitForSelector('button[name=decision][value=approve]');
  await shoot('4-confirm');
}

for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  scenario(`a person approves a terminal in the browser, ${size}`, async (stage) => {
    const server = await stage.gatehouse();
    const device = await deviceCode(server);
    const { page, complaints, context } = await openWindow(chromium, { viewport });
    const policies = [];
    page.on('response', (response) => {
      if (response.headers()['content-type']?.startsWith('text/html')) policies.push({ path: new URL(response.url()).pathname, headers: response.headers() });
    });
    const shoot = async (name) => {
      await assertUsable(page);
      await screenshot(page, `${size}-${name}`);
    };
    await walkToConfirm(page, server, device, shoot);
    const text = await page.innerText('main');
    const { json: asked } = await request(`${server.url}/auth/device/verify`, { json: { user_code: device.user_code } });
    for (const fact of [asked.service_name, ADA.email, device.user_code, '127.0.0.1']) assert(text.includes(fact), `the page names ${fact}:\n${text}`);
    assert.match(text, /organi[sz]ation/i);
    await press(page, 'approve');
    await shoot('5-approved');
    const { access } = tokens(await pollToTheEnd(server, device));
    assert.equal((await whoAmI(server, access)).json.email, ADA.email);
    assert.deepEqual(complaints, []);
    assert(policies.length >= 4);
    for (const { path, headers } of policies.filter(({ path }) => path.startsWith('/activate'))) {
      assertStrictPolicy({ headers });
      assert(!/script-src/.test(headers['content-security-policy']), `${path} runs no script at all`);
    }
    await context.close();
  });
}

scenario('it all works with JavaScript disabled, and deny denies', async (stage) => {
  const server = await stage.gatehouse();
  const { page, complaints, context } = await openWindow(chromium, { javaScriptEnabled: false });
  for (const decision of ['approve', 'deny']) {
    const device = await deviceCode(server);
    await walkToConfirm(page, server, device);
    await press(page, decision);
    const answer = await pollToTheEnd(server, device);
    if (decision === 'approve') tokens(answer);
    else assert.equal(answer.json.error, 'access_denied');
  }
  assert.deepEqual(complaints, []);
  await context.close();
});

scenario('the keyboard is enough', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const { page, context } = await openWindow(chromium);
  await page.goto(`${server.url}/activate`);
  await page.focus('input[name=user_code]');
  await page.keyboard.type(device.user_code);
  await page.keyboard.press('Enter');
  await page.waitForSelector('a[href*="/auth/dev"]');
  await tabTo(page, 'a[href*="/auth/dev"]');
  await page.keyboard.press('Enter');
  await page.fill('input[name=email]', ADA.email);
  await page.keyboard.press('Enter');
  await page.waitForSelector('button[name=decision][value=approve]');
  await tabTo(page, 'button[name=decision][value=approve]');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, 'none', 'one sees where the focus is');
  await page.keyboard.press('Enter');
  await page.waitForSelector('button[name=decision]', { state: 'detached' });
  tokens(await pollToTheEnd(server, device));
  await context.close();
});

scenario('error pages are pages: wrong code, wrong redirect URI, nothing here', async (stage) => {
  const server = await stage.gatehouse();
  const { page, context } = await openWindow(chromium, { viewport: PHONE });
  const addresses = {
    'wrong-code': `${server.url}/activate?user_code=BBBB-BBBB`,
    'wrong-redirect': webSignIn(server, 'dev', { redirect_uri: 'https://evil.test/' }).url,
    'not-found': `${server.url}/nothing-here`,
  };
  for (const [name, url] of Object.entries(addresses)) {
    const response = await page.goto(url);
    assert(response.status() >= 400 && response.status() < 500, `${name}: ${response.status()}`);
    assertStrictPolicy({ headers: response.headers() });
    await assertUsable(page);
    await screenshot(page, `phone-error-${name}`);
  }
  await context.close();
});

scenario('the demo app at /dev signs in and shows the claims', async (stage) => {
  const server = await stage.gatehouse();
  const { page, complaints, context } = await openWindow(chromium);
  const response = await page.goto(`${server.url}/dev`);
  assertStrictPolicy({ headers: response.headers() });
  await screenshot(page, 'desktop-demo-signed-out');
  await page.click('button[data-provider=dev]:enabled');
  await page.fill('input[name=email]', ADA.email);
  await page.fill('input[name=name]', ADA.name);
  await page.click('form button[type=submit], form input[type=submit]');
  await page.waitForSelector('#signed-in:not([hidden])');
  const claims = await page.innerText('#claims');
  for (const fact of [ADA.email, 'demo-web', server.url]) assert(claims.includes(fact), `the claims show ${fact}:\n${claims}`);
  assert((await page.innerText('#user')).includes(ADA.name));
  assert(!page.url().includes('code='), 'the code is gone from the address bar');
  await screenshot(page, 'desktop-demo-signed-in');

  await page.click('#refresh');
  await page.waitForFunction((before) => document.querySelector('#claims').innerText !== before, claims);
  await page.click('#sign-out');
  await page.waitForSelector('#signed-out:not([hidden])');
  assert.deepEqual(complaints, []);
  await context.close();
});

/** Decides, and waits for the page that says what happened. */
async function press(page, decision) {
  await page.click(`button[name=decision][value=${decision}]`);
  await page.waitForSelector('button[name=decision]', { state: 'detached' });
  await page.waitForSelector('h1');
}

async function tabTo(page, selector) {
  for (let presses = 0; presses < 15; presses += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
    await page.keyboard.press('Tab');
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}
