// The journeys as an app or a terminal takes them, step by step, so that a test can stop or bend one.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Browser, formWith, isRedirect, links } from './browser.mjs';
import { request } from './http.mjs';
import { pause } from './until.mjs';

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** What dev mode seeds: one organization with a service for the web and one for terminals. */
export const WEB = { org: 'demo', service: 'web', clientId: 'demo-web' };
export const CLI = { org: 'demo', service: 'cli', clientId: 'demo-cli' };

/** The built-in client for platform administration from a terminal. */
export const PLATFORM_CLI = { org: 'platform', service: 'admin-cli', clientId: 'platform-admin-cli' };

/** Where the app of these tests would listen. Nobody does: the redirect to it is read, never followed. */
export const APP = 'http://127.0.0.1:54321/callback';

/** Whether a cookie, by its name or its whole line, is a browser's session in a realm. */
export function isSessionCookie(text) {
  return /^(__Host-)?gatehouse-session-/.test(text);
}

/** A verifier and its S256 challenge (RFC 7636). */
export function pkce() {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** The address at which a web sign-in starts, and what the app keeps for its end. `query` overrides or (undefined) removes. */
export function webSignIn(server, provider, query = {}, redirectUri = APP) {
  const { verifier, challenge } = pkce();
  const state = randomBytes(16).toString('base64url');
  const parameters = {
    org: WEB.org,
    service: WEB.service,
    redirect_uri: redirectUri,
    state,
    code_challenge: challenge,
    code_challenge_method: 'S256',
    ...query,
  };
  return { url: address(server, `/auth/${provider}`, parameters), state: parameters.state, verifier, redirectUri };
}

/** `path` with a query of the members that are not undefined. */
export function address(server, path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given).toString();
  return `${server.url}${path}${query === '' ? '' : `?${query}`}`;
}

/**
 * Takes a browser from `url` through the provider's pages. Stops at the first answer that is a redirect to `stopAt`
 * or a page that is not a provider's sign-in page, and returns it.
 * @param {Browser} browser
 * @param {string | { url: string, form: Record<string, string> }} start an address, or a form that is posted there
 * @param {object | undefined} account an Upstream account, or the fields of the dev provider; 'cancel' says no
 * @param {{ stopAt?: string }} [options]
 */
export async function signInThrough(browser, start, account, { stopAt = APP } = {}) {
  const first = typeof start === 'string' ? browser.get(start) : browser.post(start.url, start.form);
  let answer = await browser.follow(await first, { stopAt });
  for (let page = 0; page < 4 && answer.status === 200; page += 1) {
    if (answer.text.includes('name="account"')) {
      const values = account === 'cancel' ? { decision: 'cancel' } : { account: account.sub, decision: 'continue' };
      answer = await browser.follow(await browser.submit(formWith(answer, 'account'), values), { stopAt });
    } else if (answer.text.includes('name="email_verified"')) {
      answer = await browser.follow(await browser.submit(formWith(answer, 'email'), account), { stopAt });
    } else {
      return answer;
    }
  }
  return answer;
}

/**
 * Links an account at a provider to the user who calls: proves who sits there with an account that is linked already,
 * and says yes.
 * @param {Browser} browser
 * @param {import('./management.mjs').Caller} user
 * @param {{ provider: string, account: object, proof: [string, object] }} what the new one, and the proof
 */
export async function linkAccount(browser, user, { provider, account, proof: [proofProvider, proofAccount] }) {
  const begun = await user.post(`/api/user/identities/${provider}/link`);
  assert.equal(begun.status, 200, begun.text);
  await signInThrough(browser, begun.json.authorization_url, account, { stopAt: undefined });
  const proof = `${user.server.url}/auth/link/prove/${proofProvider}`;
  const decision = await signInThrough(browser, proof, proofAccount, { stopAt: undefined });
  assert.equal((await browser.submit(formWith(decision, 'csrf'), { decision: 'link' })).status, 200);
}

/** Goes as far as the provider's redirect back to the service and returns that address, not visited. */
export async function upstreamAnswer(browser, server, url, account) {
  const provider = /\/auth\/(?:admin\/|link\/prove\/|link\/)?(\w+)/.exec(url)[1];
  const paths = [`/auth/${provider}/callback`, `/auth/admin/${provider}/callback`];
  const started = await browser.get(url);
  assert(isRedirect(started), `the sign-in starts with a redirect, not ${started.status}: ${started.text.slice(0, 500)}`);
  let answer = started;
  for (let hop = 0; hop < 12; hop += 1) {
    if (isRedirect(answer)) {
      if (paths.some((path) => answer.location.startsWith(`${server.url}${path}`))) return answer.location;
      answer = await browser.get(answer.location);
    } else if (answer.text.includes('name="account"')) {
      const values = account === 'cancel' ? { decision: 'cancel' } : { account: account.sub, decision: 'continue' };
      answer = await browser.submit(formWith(answer, 'account'), values);
    } else if (answer.text.includes('name="email_verified"')) {
      answer = await browser.submit(formWith(answer, 'email'), account);
    } else {
      assert.fail(`unexpected page ${answer.status} at ${answer.url}: ${answer.text.slice(0, 500)}`);
    }
  }
  return assert.fail('too many hops at the provider');
}

/** What the app reads at its redirect URI. Fails unless `answer` is the redirect there. */
export function appParameters(answer, redirectUri = APP) {
  assert(isRedirect(answer), `expected the redirect to the app, got ${answer.status} at ${answer.url}:\n${answer.text.slice(0, 1500)}`);
  assert(answer.location.startsWith(redirectUri), `the redirect leads to ${new URL(answer.location).origin}, not to the app`);
  const { searchParams, hash } = new URL(answer.location);
  assert.equal(hash, '', 'nothing in the fragment');
  return Object.fromEntries(searchParams);
}

/** A web sign-in up to the app's code: `{ code, verifier, redirectUri, state, browser }`. */
export async function obtainCode(server, provider, account, { browser = new Browser(), query } = {}) {
  const attempt = webSignIn(server, provider, query);
  const answer = await signInThrough(browser, attempt.url, account);
  const { code, state, iss, ...rest } = appParameters(answer);
  assert.deepEqual(rest, {}, 'the redirect carries code, state and iss, nothing else');
  assert(code, 'the redirect carries a code');
  assert.equal(state, attempt.state);
  assert.equal(iss, server.url);
  return { ...attempt, code, browser };
}

/** POST to the token endpoint with a form. Members that are undefined are not sent. */
export function tokenRequest(server, members, path = '/auth/token') {
  return request(server.url + path, { form: Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) });
}

/** Exchanges the code of `obtainCode`. `overrides` bends it. */
export function exchange(server, { code, verifier, redirectUri }, overrides = {}) {
  return tokenRequest(server, {
    grant_type: 'authorization_code',
    client_id: WEB.clientId,
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
    ...overrides,
  });
}

/** A whole web sign-in: the token answer. */
export async function signIn(server, provider, account, options) {
  const attempt = await obtainCode(server, provider, account, options);
  return tokens(await exchange(server, attempt));
}

/** The members of a successful token answer, its shape checked. */
export function tokens(answer) {
  assert.equal(answer.status, 200, answer.text);
  const { access_token: access, refresh_token: refresh, token_type: type, expires_in: lifetime } = answer.json;
  assert.equal(type, 'Bearer');
  assert.equal(lifetime, 900);
  assert.equal(access.split('.').length, 3);
  assert(refresh.length >= 43, 'a refresh token carries at least 256 bits');
  assert.match(answer.headers['cache-control'] ?? '', /no-store/);
  return { access, refresh, answer };
}

/** Verifies an access token against the published keys and returns `{ payload, protectedHeader }`. */
export function verifyAccessToken(server, accessToken, audience) {
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', server.url));
  return jwtVerify(accessToken, keys, { issuer: server.url, audience, typ: 'at+jwt', algorithms: ['ES256'] });
}

/** POST /api/auth/refresh. */
export function refresh(server, refreshToken) {
  return request(`${server.url}/api/auth/refresh`, { json: { refresh_token: refreshToken } });
}

/** The refresh grant at the token endpoint. */
export function refreshGrant(server, refreshToken, clientId = WEB.clientId) {
  return tokenRequest(server, { grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId });
}

/** GET /api/user with a token. */
export function whoAmI(server, accessToken) {
  return request(`${server.url}/api/user`, { bearer: accessToken });
}

/** Starts a device authorization (RFC 8628) and checks the answer's shape. */
export async function deviceCode(server, client = CLI) {
  const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: client.clientId } });
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** One poll of the token endpoint. */
export function poll(server, device, client = CLI) {
  return tokenRequest(server, { grant_type: DEVICE_GRANT, device_code: device.device_code, client_id: client.clientId });
}

/** Polls at the pace that the service demands until it answers with something other than "not yet". */
export async function pollToTheEnd(server, device, client = CLI) {
  let interval = device.interval;
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const answer = await poll(server, device, client);
    const error = answer.json?.error;
    if (error === 'slow_down') interval += 5; // RFC 8628 section 3.5
    else if (error !== 'authorization_pending') return answer;
    await pause(interval * 1000 + 50);
  }
  return assert.fail('the device code is still pending after five polls');
}

/** Types the code at /activate and returns the page that offers the providers. */
export async function enterUserCode(browser, server, userCode) {
  const page = await browser.get(`${server.url}/activate`);
  assert.equal(page.status, 200);
  return browser.follow(await browser.submit(formWith(page, 'user_code'), { user_code: userCode }));
}

/** From the typed code through the provider to the page that asks to approve. */
export async function reachConfirmPage(browser, server, userCode, provider, account) {
  const choice = await enterUserCode(browser, server, userCode);
  assert.equal(choice.status, 200, choice.text);
  const link = links(choice).find((href) => /^\/auth\/(?:admin\/)?/.test(new URL(href).pathname) && new URL(href).pathname.endsWith(`/${provider}`));
  assert(link, `the page offers ${provider}: ${links(choice)}`);
  return signInThrough(browser, link, account, { stopAt: undefined });
}

/** The whole browser side: type the code, sign in, decide. Returns the last page. */
export async function decide(browser, server, userCode, account, { provider = 'dev', decision = 'approve' } = {}) {
  const confirm = await reachConfirmPage(browser, server, userCode, provider, account);
  assert.equal(new URL(confirm.url).pathname, '/activate/confirm');
  return browser.follow(await browser.submit(formWith(confirm, 'csrf'), { decision }));
}
