// Sign-in on the web as attackers and broken providers would have it. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import { assertErrorPage } from '../lib/expect.mjs';
import { isRedirect } from '../lib/browser.mjs';
import { APP, address, appParameters, exchange, pkce, signIn, signInThrough, tokens, upstreamAnswer, webSignIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const CONSOLE = 'http://127.0.0.1:54321/console';
const REFUSED = [400, 401, 403, 404, 409, 410];

scenario('an unregistered redirect URI is an error page, never a redirect (1-7, 9, 11)', async (stage) => {
  const server = await stage.gatehouse();
  const host = new URL(server.url).host;
  const registered = `${server.url}/dev/callback`;
  const variants = [
    `${registered}.evil.test`, `${registered}evil`, `${registered}/../x`, `${registered}/`, `${registered}?x=1`, `${registered}?`,
    `${registered}#f`, `${registered}#`, `${registered}/..%2f..%2fevil`, `${registered}%2f..`, `${registered}%252f..`,
    `${registered}/..;/evil`, `${registered};x=1`, `${registered}%20`, `${registered}%00`, `${server.url}/dev/./callback`,
    `${server.url}/x/../dev/callback`, `${server.url}//dev/callback`, `${server.url}/dev/Callback`, `${server.url}/dev/callbac%6b`,
    `http://${host}@evil.test/dev/callback`, `http://user@${host}/dev/callback`, `http://${host}\\@evil.test/dev/callback`,
    `http:/\\evil.test/`, '//evil.test/callback', `/\tevil.test`, '/dev/callback', 'dev/callback',
    'https://evil.test/callback', 'http://127.0.0.1.evil.test/callback', 'http://evil.test:80/callback',
    'http://localhost:54321/callback', 'https://127.0.0.1:54321/callback', 'http://127.0.0.2:54321/callback',
    'http://127.1:54321/callback', 'http://2130706433:54321/callback', 'http://0x7f.1:54321/callback', 'http://0177.0.0.1:54321/callback',
    'http://[::ffff:127.0.0.1]:54321/callback', 'http://[::]:54321/callback', 'http://0.0.0.0:54321/callback', 'http://127.0.0.1.:54321/callback',
    'http://１２７.0.0.1:54321/callback', 'http://127。0。0。1:54321/callback',
    `${APP}/`, `${APP}?x=1`, `${APP}#`, `${APP}x`, 'http://127.0.0.1:54321/', 'http://127.0.0.1:54321/CALLBACK', 'http://127.0.0.1:54321/a/../callback',
    'http://user@127.0.0.1:54321/callback', 'http://127.0.0.1:99999/callback', 'http://127.0.0.1:-1/callback', 'http://127.0.0.1:+80/callback',
    'http://127.0.0.1:80:81/callback', 'http://127.0.0.1:0x50/callback', 'ftp://127.0.0.1:54321/callback',
    'javascript:alert(1)', 'data:text/html,x', ' http://127.0.0.1:54321/callback', 'http://127.0.0.1:54321/callback\n', '', 'x'.repeat(9000),
  ];
  for (const variant of variants) {
    const answer = await stage.browser().get(webSignIn(server, 'dev', { redirect_uri: variant }).url);
    assertErrorPage(answer, [400, 414]);
    assert(!answer.text.includes('alert(1)') || !/href="javascript/i.test(answer.text), 'nothing to click');
  }
  assertErrorPage(await stage.browser().get(webSignIn(server, 'dev', { redirect_uri: undefined }).url), 400);
  const { url } = webSignIn(server, 'dev');
  assertErrorPage(await stage.browser().get(`${url}&redirect_uri=${encodeURIComponent('https://evil.test/')}`), 400);
});

scenario('an unknown organization, service or provider is an error page (10)', async (stage) => {
  const server = await stage.gatehouse();
  for (const query of [{ org: 'nobody' }, { service: 'nothing' }, { org: undefined }, { service: undefined }, { org: "' OR 1=1--" }, { org: 'platform', service: 'admin-cli' }, { service: 'cli' }]) {
    assertErrorPage(await stage.browser().get(webSignIn(server, 'dev', query).url), [400, 403, 404]);
  }
  for (const provider of ['github', 'nonsense', 'DEV', '..%2fdev']) { // github: known, but not configured here
    assertErrorPage(await stage.browser().get(webSignIn(server, provider).url), [400, 404]);
  }
});

scenario('without PKCE by S256 the app is told so at its redirect URI (14)', async (stage) => {
  const server = await stage.gatehouse();
  const { challenge } = pkce();
  const bends = [
    { code_challenge: undefined },
    { code_challenge: undefined, code_challenge_method: undefined },
    { code_challenge_method: 'plain' },
    { code_challenge_method: 's256' },
    { code_challenge_method: undefined }, // RFC 7636 section 4.3: the default is plain
    { code_challenge: challenge.slice(1) },
    { code_challenge: `${challenge}A` },
    { code_challenge: `${challenge.slice(1)}=` },
    { code_challenge: `${challenge.slice(1)}!` },
  ];
  for (const bend of bends) {
    const attempt = webSignIn(server, 'dev', bend);
    const { error, state, iss, code } = appParameters(await stage.browser().get(attempt.url));
    assert.deepEqual({ error, state, iss, code }, { error: 'invalid_request', state: attempt.state, iss: server.url, code: undefined }, JSON.stringify(bend));
  }
});

scenario('the login cookie is bound, short-lived, out of reach of scripts, and gone afterwards (249)', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();
  const attempt = webSignIn(server, 'dev');
  const started = await browser.get(attempt.url);
  const [cookie] = started.setCookies.filter((line) => /^gatehouse-login-/.test(line));
  assert(cookie, `a login cookie is set: ${started.setCookies.length} cookies`);
  assert.match(cookie, /; ?HttpOnly/i);
  assert.match(cookie, /; ?SameSite=Lax/i);
  const maxAge = Number(/max-age=(\d+)/i.exec(cookie)?.[1]);
  assert(maxAge > 0 && maxAge <= 600, `Max-Age ${maxAge}`);
  assert(!cookie.includes(attempt.verifier) && !cookie.includes(APP), 'it is sealed');
  const callback = `${server.url}/auth/dev/callback`;
  assert(browser.jar.matching(callback).some(({ name }) => name.startsWith('gatehouse-login-')));
  appParameters(await signInThrough(browser, started.location, ADA));
  assert(!browser.jar.matching(callback).some(({ name }) => name.startsWith('gatehouse-login-')), 'it is removed by the callback');
});

scenario('a callback without the state that this browser was given is refused (29, 30, 33)', async (stage) => {
  const { server, google, microsoft } = await stage.gatehouseWith(['google', 'microsoft']);
  const account = google.account({ ...ADA, email_verified: true });
  const browser = stage.browser();
  const back = new URL(await upstreamAnswer(browser, server, webSignIn(server, 'google').url, account));
  const bent = (change, jar = browser) => {
    const url = new URL(back);
    change(url.searchParams, url);
    return jar.clone().get(url.href);
  };
  const state = back.searchParams.get('state');
  const other = new URL(await upstreamAnswer(stage.browser(), server, webSignIn(server, 'google').url, account)).searchParams.get('state');
  const refusals = [
    bent((query) => query.delete('state')),
    bent((query) => query.set('state', '')),
    bent((query) => query.set('state', other)),
    bent((query) => query.set('state', state.slice(0, -1))),
    bent((query) => query.set('state', `${state}A`)),
    bent((query) => query.set('state', "' OR 1=1--")),
    bent((query) => query.set('state', 'x'.repeat(10_000))),
    bent((query) => query.append('state', state)),
    bent(() => {}, stage.browser()), // the victim's browser, with the attacker's link
    bent((_query, url) => { url.pathname = '/auth/microsoft/callback'; }), // mix-up (RFC 9700 section 4.4)
    bent((_query, url) => { url.pathname = '/auth/dev/callback'; }),
  ];
  for (const refusal of refusals) assertErrorPage(await refusal, [...REFUSED, 414]);
  assert.deepEqual([google.calls.token, microsoft.calls.token], [0, 0], 'no code went anywhere');

  appParameters(await bent(() => {})); // none of it spoiled the honest one
  assert.equal(google.calls.token, 1);
});

scenario('a callback works once (30)', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const browser = stage.browser();
  const attempt = webSignIn(server, 'google');
  const back = await upstreamAnswer(browser, server, attempt.url, google.account({ ...ADA, email_verified: true }));
  const thief = browser.clone(); // even with the cookie
  const { code } = appParameters(await browser.get(back));
  assertErrorPage(await thief.get(back), REFUSED);
  assertErrorPage(await browser.get(back), REFUSED);
  assert.equal(google.calls.token, 1);
  tokens(await exchange(server, { ...attempt, code }));
});

scenario('twenty parallel callbacks of one state give one code and one call to the provider (30)', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const browser = stage.browser();
  const attempt = webSignIn(server, 'google');
  const back = await upstreamAnswer(browser, server, attempt.url, google.account({ ...ADA, email_verified: true }));
  const answers = await Promise.all(Array.from({ length: 20 }, () => browser.clone().get(back)));
  const won = answers.filter(isRedirect);
  assert.equal(won.length, 1);
  for (const lost of answers.filter((answer) => !isRedirect(answer))) assertErrorPage(lost, REFUSED);
  assert.equal(google.calls.token, 1);
  tokens(await exchange(server, { ...attempt, code: appParameters(won[0]).code }));
});

scenario('platform and service callbacks do not answer for one another (34)', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { platform: true, env: { PLATFORM_ADMIN_REDIRECT_URI: CONSOLE } });
  const account = google.account({ ...ADA, email_verified: true });
  const { challenge } = pkce();
  const admin = address(server, '/auth/admin/google', { redirect_uri: CONSOLE, state: 'admin-state', code_challenge: challenge, code_challenge_method: 'S256' });
  for (const [start, from, to] of [[admin, '/auth/admin/google', '/auth/google'], [webSignIn(server, 'google').url, '/auth/google', '/auth/admin/google']]) {
    const browser = stage.browser();
    const back = await upstreamAnswer(browser, server, start, account);
    assert(back.startsWith(`${server.url}${from}/callback`), 'each realm has its own redirect URI');
    assertErrorPage(await browser.clone().get(back.replace(from, to)), REFUSED);
    assert.equal(google.calls.token, 0);
  }
});

scenario('a person who says no at the provider comes back to the app with access_denied (38)', async (stage) => {
  const { server, google, github } = await stage.gatehouseWith(['google', 'github']);
  github.user = undefined;
  for (const [provider, account] of [['google', 'cancel'], ['github', undefined]]) {
    const browser = stage.browser();
    const attempt = webSignIn(server, provider);
    const back = await upstreamAnswer(browser, server, attempt.url, account);
    const thief = browser.clone();
    const { error, state, iss, code } = appParameters(await browser.get(back));
    assert.deepEqual({ error, state, iss, code }, { error: 'access_denied', state: attempt.state, iss: server.url, code: undefined });
    assertErrorPage(await thief.get(back), REFUSED); // the state is used up
  }
  // An error that did not come with a state of ours leads nowhere.
  assertErrorPage(await stage.browser().get(`${server.url}/auth/google/callback?error=access_denied&state=unknown`), REFUSED);
});

scenario('a provider that fails is told to the app as RFC 6749 says, and the next sign-in works', async (stage) => {
  const { server, google, github } = await stage.gatehouseWith(['google', 'github']);
  const account = google.account({ ...ADA, email_verified: true });
  github.user = github.account({ login: 'grace', emails: [{ email: 'grace@example.test', primary: true, verified: true }] });
  const attempts = [
    ...['error', 'garbage', 'drop', 'redirect', 'huge'].map((kind) => [google, 'token', kind]),
    ...['error', 'garbage', 'drop', 'redirect'].flatMap((kind) => [[github, 'token', kind], [github, 'user', kind], [github, 'emails', kind]]),
  ];
  for (const [upstream, endpoint, kind] of attempts) {
    upstream.fail(endpoint, kind);
    const provider = upstream === google ? 'google' : 'github';
    await assertToldToApp(stage, server, provider, account, kind === 'drop' ? 'temporarily_unavailable' : 'server_error');
    upstream.heal();
  }
  // Those that hang, all at once: each is given up on its own.
  google.fail('token', 'hang');
  github.fail('emails', 'hang');
  await Promise.all(['google', 'github'].map((provider) => assertToldToApp(stage, server, provider, account, 'temporarily_unavailable')));
  google.heal();
  github.heal();
  await signIn(server, 'google', account);
  await signIn(server, 'github');
});

/** The whole sign-in ends at the app's redirect URI with this error, the state and the issuer, and nothing of ours leaks. */
async function assertToldToApp(stage, server, provider, account, expected) {
  const attempt = webSignIn(server, provider);
  const answer = await signInThrough(stage.browser(), attempt.url, account);
  const { error, error_description: description, state, iss, code } = appParameters(answer);
  assert.deepEqual({ error, state, iss, code }, { error: expected, state: attempt.state, iss: server.url, code: undefined });
  assert.doesNotMatch(description, /UPSTREAM-INTERNALS|[^\x20-\x21\x23-\x5b\x5d-\x7e]/, 'RFC 6749 appendix A.8');
}

scenario('a provider that cannot be found is told to the app, and is found again later', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google']);
  const account = google.account({ ...ADA, email_verified: true });
  for (const kind of ['error', 'garbage', 'drop', 'redirect']) {
    google.fail('discovery', kind);
    await assertToldToApp(stage, server, 'google', account, kind === 'drop' ? 'temporarily_unavailable' : 'server_error');
  }
  google.heal();
  await signIn(server, 'google', account);
});

scenario('GitHub\'s refusals with status 200 are refusals (197)', async (stage) => {
  const { server, github } = await stage.gatehouseWith(['github']);
  github.user = github.account({ login: 'ada', emails: [] });
  const browser = stage.browser();
  const back = new URL(await upstreamAnswer(browser, server, webSignIn(server, 'github').url));
  back.searchParams.set('code', 'not-a-code');
  const answer = await browser.get(back.href);
  assert.equal(appParameters(answer).error, 'access_denied');
  assert.equal(github.calls.user, 0, 'an error is not taken for a token');
});

scenario('an id_token that is not true is refused (46)', async (stage) => {
  const { server, oidc } = await stage.gatehouseWith(['oidc']);
  const account = oidc.account({ ...ADA, email_verified: true });
  const now = Math.floor(Date.now() / 1000);
  const lies = {
    'another nonce': [(claims) => ({ ...claims, nonce: 'another' })],
    'no nonce': [({ nonce: _, ...claims }) => claims],
    'another audience': [(claims) => ({ ...claims, aud: 'another' })],
    'us and another, authorized for the other': [(claims) => ({ ...claims, aud: [claims.aud, 'another'], azp: 'another' })],
    'no audience': [({ aud: _, ...claims }) => claims],
    'another issuer': [(claims) => ({ ...claims, iss: 'https://evil.test' })],
    'our issuer with a slash': [(claims) => ({ ...claims, iss: `${claims.iss}/` })],
    'expired': [(claims) => ({ ...claims, exp: now - 3600 })],
    'no expiry': [({ exp: _, ...claims }) => claims],
    'an expiry in letters': [(claims) => ({ ...claims, exp: String(now + 3600) })],
    'no subject': [({ sub: _, ...claims }) => claims],
    'an empty subject': [(claims) => ({ ...claims, sub: '' })],
    'signed by somebody else': [(claims) => claims, 'foreign'],
    'not signed': [(claims) => claims, 'none'],
  };
  for (const [name, [change, signature]] of Object.entries(lies)) {
    oidc.forge(change, signature);
    const answer = await signInThrough(stage.browser(), webSignIn(server, 'oidc').url, account);
    const { error, code } = appParameters(answer);
    assert.deepEqual({ error, code }, { error: 'access_denied', code: undefined }, name);
  }
  oidc.heal();
  const { access } = await signIn(server, 'oidc', account);
  assert(access);
});

scenario('forwarded and method-override headers of a stranger change nothing (251)', async (stage) => {
  const server = await stage.gatehouse();
  const headers = {
    host: 'evil.test',
    forwarded: 'host=evil.test;proto=https;for=1.2.3.4',
    'x-forwarded-host': 'evil.test',
    'x-forwarded-proto': 'https',
    'x-original-url': '/api/user',
    'x-rewrite-url': '/api/user',
    'x-http-method-override': 'DELETE',
  };
  const attempt = webSignIn(server, 'dev');
  const started = await request(attempt.url, { headers });
  assert(started.location.startsWith(`${server.url}/dev/provider`), 'links are built from BASE_URL');
  assert.equal(new URL(started.location).searchParams.get('redirect_uri'), `${server.url}/auth/dev/callback`);
  const metadata = await request(`${server.url}/.well-known/openid-configuration`, { headers });
  assert.equal(metadata.json.issuer, server.url);
  assert(!metadata.text.includes('evil.test'));
});

scenario('broken, doubled and enormous cookies are no cookies (250)', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();
  const back = await upstreamAnswer(browser, server, webSignIn(server, 'dev').url, ADA);
  const [{ name, value }] = browser.jar.matching(back).filter((cookie) => cookie.name.startsWith('gatehouse-login-'));
  const middle = Math.floor(value.length / 2);
  const flipped = value.slice(0, middle) + (value[middle] === 'A' ? 'B' : 'A') + value.slice(middle + 1);
  for (const cookie of [`${name}=`, `${name}=${flipped}`, `${name}=${value.slice(0, -1)}`, `${name}=${'x'.repeat(10_000)}`, `${name}=%ff; ;;=;=`, `other=${value}`]) {
    const answer = await request(back, { headers: { cookie, accept: 'text/html' } });
    assertErrorPage(answer, [...REFUSED, 431]);
  }
  // Other programs of this host set cookies of bytes that are no text: ours is found all the same.
  const beside = await request(back, { headers: { cookie: `theme=d\u00fcster; ${name}=${value}; \u00ff` } });
  appParameters(beside);
});

scenario('who sends thousands of login cookies does not get thousands back (250)', async (stage) => {
  const server = await stage.gatehouse();
  const withCookies = (length) => {
    const cookie = Array.from({ length }, (_, index) => `gatehouse-login-${index}=x`).join('; ');
    return request(webSignIn(server, 'dev').url, { headers: { cookie } });
  };
  assertErrorPage(await withCookies(3000), 431);
  const answer = await withCookies(1000);
  assert(isRedirect(answer));
  assert(answer.setCookies.length < 16, `${answer.setCookies.length} cookies`);
});

scenario('no answer of the journey carries a token in an address (19)', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = webSignIn(server, 'dev');
  const answer = await signInThrough(stage.browser(), attempt.url, ADA);
  assert.deepEqual(Object.keys(appParameters(answer)).sort(), ['code', 'iss', 'state']);
  assert.match(answer.headers['cache-control'] ?? '', /no-store/, 'a redirect with a code is not kept');
  assert.equal(new URL(answer.location).origin + new URL(answer.location).pathname, APP);
});
