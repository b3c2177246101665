// The standard authorization endpoint, /oauth/authorize. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import { isRedirect, links } from '../lib/browser.mjs';
import { assertErrorPage } from '../lib/expect.mjs';
import { APP, CLI, WEB, address, appParameters, deviceCode, exchange, pkce, poll, signInThrough, tokens, verifyAccessToken } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const HTML = { accept: 'text/html' };

/** The parameters of a good request, and what the app keeps. `query` overrides or (undefined) removes. */
function authorization(query = {}) {
  const { verifier, challenge } = pkce();
  const parameters = {
    client_id: WEB.clientId,
    response_type: 'code',
    redirect_uri: APP,
    scope: 'openid email',
    state: 'a&b=c +%é',
    nonce: 'n-0S6_WzA2Mj',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...query,
  };
  return { parameters, verifier, redirectUri: APP };
}

scenario('a request by address or by form ends in tokens, with state, nonce and issuer as sent (17, 23)', async (stage) => {
  const server = await stage.gatehouse();
  for (const byForm of [false, true]) {
    const { parameters, ...kept } = authorization();
    const browser = stage.browser();
    let answer;
    if (byForm) {
      answer = await signInThrough(browser, { url: `${server.url}/oauth/authorize`, form: parameters }, ADA);
    } else {
      answer = await signInThrough(browser, address(server, '/oauth/authorize', parameters), ADA);
    }
    const { code, state, iss } = appParameters(answer);
    assert.deepEqual([state, iss], [parameters.state, server.url]);
    const { answer: { json } } = tokens(await exchange(server, { code, ...kept }));
    const { payload } = await verifyAccessToken(server, json.access_token, WEB.clientId);
    assert.equal(payload.email, ADA.email);
    const claims = JSON.parse(Buffer.from(json.id_token.split('.')[1], 'base64url'));
    assert.deepEqual([claims.nonce, claims.aud, claims.sub], [parameters.nonce, WEB.clientId, payload.sub]);
  }
});

scenario('with several providers the person chooses, unless the app names one', async (stage) => {
  const { server, google, github } = await stage.gatehouseWith(['google', 'github']);
  const browser = stage.browser();
  const { parameters } = authorization();
  const page = await browser.get(address(server, '/oauth/authorize', parameters));
  assert.equal(page.status, 200);
  const offered = links(page).map((href) => new URL(href).searchParams.get('idp_hint')).filter(Boolean);
  assert.deepEqual(offered.sort(), ['dev', 'github', 'google']);
  for (const href of links(page)) assert.equal(new URL(href).origin, server.url, 'every link stays here');
  const hinted = await browser.get(address(server, '/oauth/authorize', { ...parameters, idp_hint: 'google' }));
  assert.equal(new URL(hinted.location).origin, google.url);
  const chosen = await browser.get(links(page).find((href) => href.includes('idp_hint=github')));
  assert.equal(new URL(chosen.location).origin, github.url, 'the choice leads there');
  for (const hint of ['nobody', '../../evil.test', '//evil.test']) {
    assert.equal((await browser.get(address(server, '/oauth/authorize', { ...parameters, idp_hint: hint }))).status, 200, hint);
  }
});

scenario('before the redirect URI is known to be the app\'s, errors stay here (1, 9, 10)', async (stage) => {
  const server = await stage.gatehouse();
  for (const query of [
    { client_id: undefined },
    { client_id: 'nobody' },
    { client_id: 'platform-admin-cli' },
    { client_id: CLI.clientId }, // a service without registered URIs has no web sign-in
    { redirect_uri: undefined },
    { redirect_uri: 'https://evil.test/cb' },
    { redirect_uri: `${APP}/../evil` },
  ]) {
    const { parameters } = authorization(query);
    assertErrorPage(await request(address(server, '/oauth/authorize', parameters), { headers: HTML }), 400);
  }
});

scenario('afterwards they go to the app, with state and issuer (13, 14, 21, 22)', async (stage) => {
  const server = await stage.gatehouse();
  for (const [query, error] of [
    [{ response_type: undefined }, 'invalid_request'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
    [{ response_type: 'code id_token' }, 'unsupported_response_type'],
    [{ response_type: 'id_token' }, 'unsupported_response_type'],
    [{ response_type: 'code token' }, 'unsupported_response_type'],
    [{ response_type: 'CODE' }, 'unsupported_response_type'],
    [{ response_mode: 'fragment' }, 'invalid_request'],
    [{ response_mode: 'web_message' }, 'invalid_request'],
    [{ code_challenge_method: 's256' }, 'invalid_request'],
    [{ code_challenge_method: undefined }, 'invalid_request'],
    [{ code_challenge: 'a'.repeat(42) }, 'invalid_request'],
    [{ code_challenge: 'a'.repeat(44) }, 'invalid_request'],
    [{ code_challenge: `${'a'.repeat(42)}=` }, 'invalid_request'],
    [{ code_challenge: `${'a'.repeat(42)}!` }, 'invalid_request'],
    [{ prompt: 'none login' }, 'invalid_request'],
    [{ prompt: 'consent none' }, 'invalid_request'],
    [{ prompt: 'create' }, 'invalid_request'],
    [{ max_age: '-1' }, 'invalid_request'],
    [{ max_age: '1.5' }, 'invalid_request'],
    [{ id_token_hint: 'nonsense' }, 'invalid_request'],
    [{ login_hint: 'x'.repeat(400) }, 'invalid_request'],
    [{ code_challenge: undefined }, 'invalid_request'],
    [{ code_challenge_method: 'plain' }, 'invalid_request'],
    [{ scope: 'openid root' }, 'invalid_scope'],
    [{ prompt: 'none' }, 'login_required'],
    [{ request: 'eyJhbGciOiJub25lIn0..' }, 'request_not_supported'],
    [{ request_uri: 'http://127.0.0.1:1/' }, 'request_uri_not_supported'],
  ]) {
    const { parameters } = authorization(query);
    const answer = await request(address(server, '/oauth/authorize', parameters));
    assert(isRedirect(answer), `${JSON.stringify(query)}: ${answer.status}`);
    const said = appParameters(answer);
    assert.deepEqual([said.error, said.state, said.iss, said.code], [error, parameters.state, server.url, undefined], JSON.stringify(query));
  }
});

scenario('methods other than GET and POST make nothing, and a parameter given twice is refused (23)', async (stage) => {
  const server = await stage.gatehouse();
  const url = address(server, '/oauth/authorize', authorization().parameters);
  for (const method of ['HEAD', 'PUT', 'OPTIONS']) assert.equal((await request(url, { method })).status, 405, method);
  assertErrorPage(await request(`${url}&redirect_uri=${encodeURIComponent(APP)}`, { headers: HTML }), 400);
});

scenario('a user code in an app\'s request does not make it a device\'s (110)', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  const { parameters } = authorization({ user_code: device.user_code });
  const answer = await signInThrough(stage.browser(), address(server, '/oauth/authorize', parameters), ADA);
  assert(appParameters(answer).code, 'the app gets its code');
  const cli = authorization({ user_code: device.user_code, client_id: CLI.clientId, redirect_uri: APP });
  assertErrorPage(await request(address(server, '/oauth/authorize', cli.parameters), { headers: HTML }), 400);
  assert.equal((await poll(server, device)).json.error, 'authorization_pending');
});

scenario('redirect URIs are compared character for character at this endpoint as well (1-7, 11)', async (stage) => {
  const server = await stage.gatehouse();
  const host = new URL(server.url).host;
  for (const variant of [
    `${APP}.evil.test`, `${APP}evil`, `${APP}/../x`, `${APP}.evil.test/cb`, `${APP}/..%2f..%2fevil`, `${APP}%2f..`, `${APP}%252f..`, `${APP}/..;/evil`, `${APP};x=1`,
    `http://${host}@evil.test/callback`, `http://${host}\\@evil.test/callback`, 'https:/\\evil.test', '//evil.test', '/\tevil.test',
    `${APP}/`, `${APP}?x=1`, `${APP}#f`, `${APP}#`, 'http://127.0.0.1:0x1/callback', 'http://localhost:54321/callback', 'http://127.0.0.2:54321/callback',
    'http://127。0。0。1:54321/callback', 'http://１２７.0.0.1:54321/callback', 'https://127.0.0.1:54321/callback',
  ]) {
    const { parameters } = authorization({ redirect_uri: variant });
    for (const prompt of [undefined, 'none']) {
      assertErrorPage(await request(address(server, '/oauth/authorize', { ...parameters, prompt }), { headers: HTML }), 400);
    }
  }
});

scenario('state comes back byte for byte, one question mark in all, nothing but code, state and iss (17-19)', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();
  for (const state of ['a&b', 'a+b c', '100%25 %zz', '\u{1f600}', '"<script>', 'x'.repeat(2048)]) {
    const { parameters } = authorization({ state });
    const answer = await signInThrough(browser, address(server, '/oauth/authorize', parameters), ADA);
    const said = appParameters(answer);
    assert.deepEqual(Object.keys(said).sort(), ['code', 'iss', 'state']);
    assert.equal(said.state, state);
    assert.equal(said.iss, server.url);
    assert.equal(answer.location.split('?').length - 1, 1);
  }
  const { parameters } = authorization({ state: 'x'.repeat(2049) });
  assertErrorPage(await request(address(server, '/oauth/authorize', parameters), { headers: HTML }), 400);
});

scenario('nobody is sent elsewhere by a parameter that no standard names, and nothing is fetched (22, 25)', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();
  const strange = Object.fromEntries(['next', 'return_to', 'redirect', 'post_logout_redirect_uri', 'activation', 'url'].map((name) => [name, 'https://evil.test/']));
  const ignored = { display: 'popup', ui_locales: 'de fr-CA', claims_locales: 'de', acr_values: 'urn:mace:incommon:iap:silver', claims: '{"id_token":{"email":null}}', resource_hint: 'x' };
  const { parameters } = authorization({ ...strange, ...ignored });
  let answer = await browser.get(address(server, '/oauth/authorize', parameters));
  for (let hop = 0; isRedirect(answer) && hop < 5; hop += 1) {
    assert.equal(new URL(answer.location).origin, server.url);
    answer = await browser.get(answer.location);
  }
  assert(appParameters(await signInThrough(browser, address(server, '/oauth/authorize', parameters), ADA)).code);
  for (const path of ['/oauth/consent', '/activate', '/activate/confirm', '/invitations/confirm']) {
    const page = await browser.get(address(server, path, strange));
    assert(!isRedirect(page) || new URL(page.location).origin === server.url, path);
  }
});
