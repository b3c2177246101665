// Lifetimes end when they should, with the service's clock set ahead while it runs. The query that uses a row checks
// its age: no janitor is waited for.

import assert from 'node:assert/strict';
import { assertApiError, assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import { appParameters, deviceCode, exchange, obtainCode, poll, reachConfirmPage, refresh, refreshGrant, signIn, tokens, upstreamAnswer, webSignIn, whoAmI } from '../lib/flows.mjs';
import { formWith } from '../lib/browser.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;

/** Sets the clock and makes sure that the service goes by it. */
async function later(server, seconds) {
  server.clock.set(seconds);
  const { json } = await request(`${server.url}/api/user`);
  const ahead = (Date.parse(json.timestamp) - Date.now()) / 1000;
  assert(Math.abs(ahead - seconds) < 5, `the service is ${ahead} s ahead instead of ${seconds}`);
}

scenario('a login state lives ten minutes (31)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const start = async () => {
    const browser = stage.browser();
    const attempt = webSignIn(server, 'dev');
    return { browser, attempt, back: await upstreamAnswer(browser, server, attempt.url, ADA) };
  };
  const dead = await start();
  await later(server, 10 * MINUTE + 1);
  assertErrorPage(await dead.browser.get(dead.back), [400, 401, 403, 410]);
  const live = await start();
  assert(appParameters(await live.browser.get(live.back)).code);
});

scenario('a code lives sixty seconds, an access token fifteen minutes (56)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const dead = await obtainCode(server, 'dev', ADA);
  const live = await obtainCode(server, 'dev', ADA);
  await later(server, 45);
  const { access, refresh: token } = tokens(await exchange(server, live));
  await later(server, 62);
  assertOAuthError(await exchange(server, dead), 400, 'invalid_grant', 'INVALID_GRANT');
  await later(server, 45 + 14 * MINUTE);
  assert.equal((await whoAmI(server, access)).status, 200);
  await later(server, 45 + 17 * MINUTE); // beyond any leeway for clocks that differ
  const expired = await whoAmI(server, access);
  assertApiError(expired, 401, 'TOKEN_EXPIRED');
  assert.match(expired.headers['www-authenticate'], /error="invalid_token"/);
  const renewed = tokens(await refresh(server, token));
  assert.equal((await whoAmI(server, renewed.access)).status, 200);
});

scenario('a device code lives fifteen minutes, whoever holds it (105)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const typed = await deviceCode(server);
  const untouched = await deviceCode(server);
  const browser = stage.browser();
  const confirm = await reachConfirmPage(browser, server, typed.user_code, 'dev', ADA);
  await later(server, 15 * MINUTE + 1);
  const approved = await browser.submit(formWith(confirm, 'csrf'), { decision: 'approve' });
  assert(approved.status >= 400, `an expired code is not approved: ${approved.status}`);
  for (const device of [typed, untouched]) assertOAuthError(await poll(server, device), 400, 'expired_token', 'DEVICE_CODE_EXPIRED');
  const verify = await request(`${server.url}/auth/device/verify`, { json: { user_code: untouched.user_code } });
  assert([400, 404].includes(verify.status), verify.text);
  assertErrorPage(await stage.browser().get(untouched.verification_uri_complete), [400, 404, 410]);
});

scenario('a replay after the grace is a theft', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const first = await signIn(server, 'dev', ADA);
  const second = tokens(await refreshGrant(server, first.refresh));
  await later(server, 8);
  assert.equal(tokens(await refreshGrant(server, first.refresh)).refresh, second.refresh, 'inside the grace');
  await later(server, 13);
  assertOAuthError(await refreshGrant(server, first.refresh), 400, 'invalid_grant');
  assertOAuthError(await refreshGrant(server, second.refresh), 400, 'invalid_grant');
  assert.equal((await whoAmI(server, second.access)).status, 401);
});

scenario('a refresh token slides for thirty days, and a session ends after one hundred and eighty (76)', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const idle = await signIn(server, 'dev', ADA);
  let { refresh: token } = await signIn(server, 'dev', ADA);
  for (let day = 29; day < 180; day += 29) {
    await later(server, day * DAY);
    ({ refresh: token } = tokens(await refreshGrant(server, token)));
  }
  assertOAuthError(await refreshGrant(server, idle.refresh), 400, 'invalid_grant');
  await later(server, 180 * DAY + MINUTE);
  assertOAuthError(await refreshGrant(server, token), 400, 'invalid_grant');
  await signIn(server, 'dev', ADA);
});
