// Sign-in from a terminal (RFC 8628): npm openid-client as the terminal, a cookie client as the person's browser.

import assert from 'node:assert/strict';
import * as openid from 'openid-client';
import { formWith, links, visibleText } from '../lib/browser.mjs';
import { assertApiError, assertErrorPage, assertOAuthError, assertStrictPolicy } from '../lib/expect.mjs';
import {
  CLI, DEVICE_GRANT, PLATFORM_CLI, WEB, address, decide, deviceCode, enterUserCode, poll, pollToTheEnd, reachConfirmPage,
  refreshGrant, signIn, signInThrough, tokenRequest, tokens, verifyAccessToken, whoAmI,
} from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { harvest } from '../lib/journal.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const EVE = { email: 'eve@example.test', name: 'Eve' };
const USER_CODE = /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/;

for (const algorithm of ['oidc', 'oauth2']) {
  scenario(`openid-client signs a terminal in, metadata found by ${algorithm}`, async (stage) => {
    const server = await stage.gatehouse();
    const config = await openid.discovery(new URL(server.url), CLI.clientId, undefined, openid.None(), { algorithm, execute: [openid.allowInsecureRequests] });
    assert.equal(config.serverMetadata().issuer, server.url);
    const device = await openid.initiateDeviceAuthorization(config, { scope: 'openid email' });
    harvest(device);
    assert.match(device.user_code, USER_CODE);
    assert.equal(device.expires_in, 900);
    assert.equal(device.interval, 5);
    assert.equal(device.verification_uri, `${server.url}/activate`);
    assert.equal(new URL(device.verification_uri_complete).searchParams.get('user_code'), device.user_code);

    const outcome = await decide(stage.browser(), server, device.user_code, ADA);
    assert.equal(outcome.status, 200);
    const answer = await openid.pollDeviceAuthorizationGrant(config, device);
    harvest(answer);
    const { payload } = await verifyAccessToken(server, answer.access_token, CLI.clientId);
    assert.deepEqual([payload.org, payload.service, payload.client_id, payload.email], [CLI.org, CLI.service, CLI.clientId, ADA.email]);
    assert.equal((await whoAmI(server, answer.access_token)).json.email, ADA.email);
    const renewed = await openid.refreshTokenGrant(config, answer.refresh_token);
    harvest(renewed);
    assert.notEqual(renewed.refresh_token, answer.refresh_token);
  });
}

scenario('forms and JSON, either address, and what must match when given', async (stage) => {
  const server = await stage.gatehouse();
  const ask = (path, body) => request(server.url + path, body);
  const members = { client_id: CLI.clientId };
  const good = [
    ask('/auth/device/code', { form: members }),
    ask('/auth/device/code', { json: { ...members, org: CLI.org, service: CLI.service } }),
    ask('/oauth/device_authorization', { form: { ...members, org: CLI.org, service: CLI.service } }),
    ask('/oauth/device_authorization', { json: members }),
  ];
  const shapes = new Set();
  for (const answer of await Promise.all(good)) {
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers['cache-control'] ?? '', /no-store/);
    shapes.add(Object.keys(answer.json).sort().join());
    assert(answer.json.device_code.length >= 22, 'at least 128 bits');
  }
  assert.deepEqual([...shapes], ['device_code,expires_in,interval,user_code,verification_uri,verification_uri_complete']);

  const refused = async (body) => {
    for (const answer of [await ask('/auth/device/code', { form: body }), await ask('/auth/device/code', { json: body })]) {
      assert([400, 401].includes(answer.status), answer.text);
      assertOAuthError(answer, answer.status, answer.json.error);
      assert(['invalid_client', 'invalid_request', 'unauthorized_client'].includes(answer.json.error), answer.json.error);
    }
  };
  await refused({});
  await refused({ client_id: 'platform-nobody' });
  await refused({ ...members, org: 'other' });
  await refused({ ...members, service: WEB.service });
  const unknown = await ask('/auth/device/code', { form: { client_id: 'nobody' } });
  assertOAuthError(unknown, 401, 'invalid_client', 'INVALID_CLIENT');
  assert(unknown.headers['www-authenticate'], 'a 401 says how to authenticate');
});

scenario('polls are told to wait, and faster ones to slow down', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  assertOAuthError(await poll(server, device), 400, 'authorization_pending', 'DEVICE_CODE_PENDING');
  assertOAuthError(await poll(server, device), 400, 'slow_down', 'SLOW_DOWN');
  const other = await deviceCode(server);
  assertOAuthError(await poll(server, other), 400, 'authorization_pending'); // its own pace
  const json = await request(`${server.url}/oauth/token`, { json: { grant_type: DEVICE_GRANT, device_code: (await deviceCode(server)).device_code, client_id: CLI.clientId } });
  assertOAuthError(json, 400, 'authorization_pending');
});

scenario('wrong clients and unknown codes', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const bent = (members) => tokenRequest(server, { grant_type: DEVICE_GRANT, device_code: device.device_code, client_id: CLI.clientId, ...members });
  assertOAuthError(await bent({ client_id: 'nobody' }), 401, 'invalid_client', 'INVALID_CLIENT');
  assertOAuthError(await bent({ client_id: WEB.clientId }), 400, 'invalid_grant', 'INVALID_GRANT');
  assertOAuthError(await bent({ device_code: undefined }), 400, 'invalid_request');
  const { device_code: code } = device;
  for (const unknown of [code.slice(0, -2), `${code}A`, 'x', '', 'A'.repeat(43), '../..', '🚪', 'x'.repeat(50_000)]) {
    const answer = await bent({ device_code: unknown });
    assert(['invalid_grant', 'invalid_request'].includes(answer.json.error), answer.text);
    assert.equal(answer.status, 400);
  }
  assertOAuthError(await poll(server, device), 400, 'authorization_pending');
});

scenario('the approve page names service, organization, account and place; deny is final', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const browser = stage.browser();
  const confirm = await reachConfirmPage(browser, server, device.user_code.toLowerCase().replace('-', ' '), 'dev', ADA);
  assert.equal(new URL(confirm.url).pathname, '/activate/confirm');
  assertStrictPolicy(confirm);
  const text = visibleText(confirm);
  for (const fact of [ADA.email, device.user_code, '127.0.0.1']) assert(text.includes(fact), `the page names ${fact}: ${text}`);
  const verified = await request(`${server.url}/auth/device/verify`, { json: { user_code: device.user_code } });
  assert(text.includes(verified.json.service_name), `the page names the service: ${text}`);
  assertOAuthError(await poll(server, device), 400, 'authorization_pending'); // reaching the page approves nothing

  const outcome = await browser.follow(await browser.submit(formWith(confirm, 'csrf'), { decision: 'deny' }));
  assert.equal(outcome.status, 200);
  assertOAuthError(await pollToTheEnd(server, device), 400, 'access_denied', 'ACCESS_DENIED');
  const again = await browser.clone().submit(formWith(confirm, 'csrf'), { decision: 'approve' });
  assert.notEqual(again.status, 200, 'a denied code cannot be approved');
  const late = await poll(server, device);
  assert(['access_denied', 'slow_down', 'invalid_grant'].includes(late.json.error), 'denied once and for ever');
});

scenario('approving needs the form\'s own token, the right origin and a decision (113)', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const browser = stage.browser();
  const confirm = await reachConfirmPage(browser, server, device.user_code, 'dev', ADA);
  const form = formWith(confirm, 'csrf');
  const foreign = await reachConfirmPage(stage.browser(), server, (await deviceCode(server)).user_code, 'dev', EVE);
  const attempts = [
    browser.submit(form, { decision: 'approve', csrf: '' }),
    browser.submit(form, { decision: 'approve', csrf: 'x'.repeat(43) }),
    browser.submit(form, { decision: 'approve', csrf: formWith(foreign, 'csrf').fields.find(({ name }) => name === 'csrf').value }),
    browser.submit(form, { decision: 'approve' }, { origin: 'https://evil.test' }),
    browser.submit(form, { decision: 'approve' }, { origin: 'null' }),
    browser.submit(form, {}),
    stage.browser().submit(form, { decision: 'approve' }), // another browser, without the cookie
    browser.get(`${form.action}?csrf=x&decision=approve`),
  ];
  for (const answer of await Promise.all(attempts)) {
    assert(answer.status >= 400 || visibleText(answer).includes(device.user_code), `status ${answer.status}`);
  }
  assertOAuthError(await poll(server, device), 400, 'authorization_pending');
});

scenario('signing in without the code approves nothing (110)', async (stage) => {
  const server = await stage.gatehouse();
  const devices = [await deviceCode(server), await deviceCode(server)];
  await signIn(server, 'dev', ADA); // to the web service
  const browser = stage.browser();
  const bare = await signInThrough(browser, address(server, '/auth/dev', { org: CLI.org, service: CLI.service }), ADA, { stopAt: undefined });
  assertErrorPage(bare, [400, 403, 404]); // the terminal service has no web sign-in
  assertErrorPage(await browser.get(`${server.url}/activate/confirm`), [400, 401, 403, 404, 409, 410]);
  for (const device of devices) assertOAuthError(await poll(server, device), 400, 'authorization_pending');
});

scenario('the code of one service is not approved by a sign-in to another', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const bent = address(server, '/auth/dev', { org: WEB.org, service: WEB.service, user_code: device.user_code });
  const page = await signInThrough(stage.browser(), bent, ADA, { stopAt: undefined });
  assertErrorPage(page, [400, 403, 404, 409]);
  assertOAuthError(await poll(server, device), 400, 'authorization_pending');
});

scenario('a code that one account has claimed cannot be decided by another (111)', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const ada = stage.browser();
  const confirm = await reachConfirmPage(ada, server, device.user_code, 'dev', ADA);
  const eve = stage.browser();
  const second = await reachConfirmPage(eve, server, device.user_code, 'dev', EVE);
  assert.notEqual(second.status, 200, `the second account gets no page to decide: ${visibleText(second)}`);
  assert([403, 404, 409].includes(second.status), `${second.status}`);
  assertOAuthError(await poll(server, device), 400, 'authorization_pending');
  const done = await ada.follow(await ada.submit(formWith(confirm, 'csrf'), { decision: 'approve' }));
  assert.equal(done.status, 200);
  const { access } = tokens(await pollToTheEnd(server, device));
  assert.equal((await whoAmI(server, access)).json.email, ADA.email);
});

scenario('an approved code redeems once under 64 parallel polls; a replay takes it back (107)', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  await decide(stage.browser(), server, device.user_code, ADA);
  const answers = await Promise.all(Array.from({ length: 64 }, () => poll(server, device)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  for (const answer of answers.filter(({ status }) => status !== 200)) {
    assert.equal(answer.status, 400, answer.text);
    assert(['invalid_grant', 'slow_down'].includes(answer.json.error), answer.json.error);
  }

  const other = await deviceCode(server);
  await decide(stage.browser(), server, other.user_code, ADA);
  const { access, refresh } = tokens(await poll(server, other));
  assert.equal((await whoAmI(server, access)).status, 200);
  assertOAuthError(await pollToTheEnd(server, other), 400, 'invalid_grant', 'INVALID_GRANT');
  assertApiError(await whoAmI(server, access), 401, 'UNAUTHORIZED');
  assertOAuthError(await refreshGrant(server, refresh, CLI.clientId), 400, 'invalid_grant');
});

scenario('approve and deny at the same moment end in one state (109)', async (stage) => {
  const server = await stage.gatehouse();
  for (let round = 0; round < 4; round += 1) {
    const device = await deviceCode(server);
    const browser = stage.browser();
    const form = formWith(await reachConfirmPage(browser, server, device.user_code, 'dev', ADA), 'csrf');
    const decisions = round % 2 === 0 ? ['approve', 'deny'] : ['deny', 'approve'];
    const answers = await Promise.all(decisions.map((decision) => browser.clone().submit(form, { decision })));
    const accepted = decisions.filter((_, index) => answers[index].status < 400);
    assert.equal(accepted.length, 1, `accepted: ${accepted}, statuses ${answers.map(({ status }) => status)}`);
    const outcome = await poll(server, device);
    if (accepted[0] === 'approve') tokens(outcome);
    else assertOAuthError(outcome, 400, 'access_denied');
  }
});

scenario('the verify endpoint takes a code as people type it, and tells strangers nothing', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const verify = (userCode) => request(`${server.url}/auth/device/verify`, { json: { user_code: userCode } });
  const plain = device.user_code.replace('-', '');
  for (const typed of [device.user_code, plain, plain.toLowerCase(), device.user_code.toLowerCase(), ` ${device.user_code} `, plain.match(/../g).join('-')]) {
    const answer = await verify(typed);
    assert.equal(answer.status, 200, `${typed}: ${answer.text}`);
    const { org_slug: org, service_slug: service, service_name: name, client_id: client, available_providers: providers, expires_in: left } = answer.json;
    assert.deepEqual({ org, service, client }, { org: CLI.org, service: CLI.service, client: CLI.clientId });
    assert.equal(typeof name, 'string');
    assert(providers.includes('dev') || providers.some((provider) => provider.name === 'dev'), answer.text);
    assert(left > 800 && left <= 900);
    assert(!answer.text.includes(device.device_code));
  }
  const misses = new Set();
  for (const wrong of ['BBBB-BBBB', "' OR 1=1--", '<b>', 'x'.repeat(10_000), '🚪🚪', '', 'AAAA-EEEE']) {
    const answer = await verify(wrong);
    assert([400, 404].includes(answer.status), `${wrong.slice(0, 20)}: ${answer.status} ${answer.text}`);
    assert.equal(typeof answer.json.error_code, 'string');
    misses.add(answer.status);
  }
  assert.equal((await request(`${server.url}/auth/device/verify`, { json: { user_code: 7 } })).status, 400);
  assert.equal((await request(`${server.url}/auth/device/verify`, { json: {} })).status, 400);
});

scenario('guessing user codes is stopped, and a forwarded address does not help (114, 115)', async (stage) => {
  const server = await stage.gatehouse();
  const letters = 'BCDFGHJKLMNPQRSTVWXZ';
  let limited;
  for (let guess = 0; guess < 400 && limited === undefined; guess += 1) {
    const code = Array.from({ length: 8 }, (_, place) => letters[(guess * 7 + place * guess) % letters.length]).join('');
    const answer = await request(`${server.url}/auth/device/verify`, {
      json: { user_code: code },
      headers: { 'x-forwarded-for': `203.0.113.${guess % 250}`, forwarded: `for=198.51.100.${guess % 250}`, 'x-real-ip': `192.0.2.${guess % 250}` },
    });
    if (answer.status === 429) limited = answer;
  }
  assert(limited, 'guessing is limited within 400 guesses');
  assert.equal(limited.json.error_code, 'RATE_LIMITED');
  assert(Number(limited.headers['retry-after']) > 0);
  await signIn(server, 'dev', ADA); // everybody else goes on
});

scenario('guessing in parallel gets no more guesses, and typing nonsense or the right code costs none (114)', async (stage) => {
  const server = await stage.gatehouse();
  const verify = (code) => request(`${server.url}/auth/device/verify`, { json: { user_code: code } });
  const device = await deviceCode(server);
  for (const code of ['BBBB', 'AEIO-UAEI', '1234-5678', '']) {
    for (let times = 0; times < 10; times += 1) assert.equal((await verify(code)).status, 400, code);
  }
  for (let times = 0; times < 40; times += 1) assert.equal((await verify(device.user_code)).status, 200);

  const letters = 'BCDFGHJKLMNPQRSTVWXZ';
  const guesses = Array.from({ length: 300 }, (_, guess) => `BBBBB${letters[guess % 20]}${letters[Math.floor(guess / 20)]}B`);
  const statuses = await Promise.all(guesses.map(async (code) => (await verify(code)).status));
  assert.equal(statuses.filter((status) => status === 400).length, 30, 'looked up and not found');
  assert.equal(statuses.filter((status) => status === 429).length, 270, 'not looked up');
});

scenario('a wrong code at the page is a friendly page, and the link fills the code in', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();
  const wrong = await enterUserCode(browser, server, 'BBBB-BBBB');
  assert([400, 404].includes(wrong.status));
  formWith(wrong, 'user_code'); // one can try again
  const device = await deviceCode(server);
  const direct = await browser.get(device.verification_uri_complete);
  assert.equal(direct.status, 200);
  assert(visibleText(direct).includes(device.user_code), 'the page shows the code to compare');
  assert(links(direct).some((href) => new URL(href).pathname === '/auth/dev'));
  for (const hostile of ['<script>alert(1)</script>', `"><img src=x onerror=alert(1)>`]) {
    const page = await browser.get(address(server, '/activate', { user_code: hostile }));
    assert(!page.text.includes(hostile), 'what was typed is escaped');
    assertStrictPolicy(page);
  }
});

scenario('the built-in terminal client administers the platform', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { platform: true, env: { PLATFORM_OWNER_EMAIL: ADA.email } });
  const answer = await request(`${server.url}/auth/device/code`, { json: { client_id: PLATFORM_CLI.clientId, org: PLATFORM_CLI.org, service: PLATFORM_CLI.service } });
  assert.equal(answer.status, 200, answer.text);
  const account = google.account({ ...ADA, email_verified: true });
  await decide(stage.browser(), server, answer.json.user_code, account, { provider: 'google' });
  const { access } = tokens(await pollToTheEnd(server, answer.json, PLATFORM_CLI));
  const { payload } = await verifyAccessToken(server, access, `${server.url}/api`);
  assert.deepEqual([payload.is_platform_owner, payload.client_id], [true, PLATFORM_CLI.clientId]);
});
