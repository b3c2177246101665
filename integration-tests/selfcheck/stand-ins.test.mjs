// The stand-ins of the providers, tried by an independent client.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as openid from 'openid-client';
import { Browser, formWith } from '../lib/browser.mjs';
import { GitHub } from '../lib/github.mjs';
import { request } from '../lib/http.mjs';
import { Upstream } from '../lib/upstream.mjs';

const CALLBACK = 'http://127.0.0.1:7/auth/google/callback';

async function signIn(upstream, account, { decision = 'continue', auth = openid.ClientSecretBasic() } = {}) {
  const config = await openid.discovery(new URL(upstream.url), upstream.clientId, upstream.clientSecret, auth, { execute: [openid.allowInsecureRequests] });
  const verifier = openid.randomPKCECodeVerifier();
  const expected = { pkceCodeVerifier: verifier, expectedState: 'the-state', expectedNonce: 'the-nonce', idTokenExpected: true };
  const start = openid.buildAuthorizationUrl(config, {
    redirect_uri: CALLBACK, scope: 'openid email profile', state: 'the-state', nonce: 'the-nonce',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  });
  const browser = new Browser();
  const page = await browser.follow(await browser.get(start.href));
  const values = decision === 'cancel' ? { decision } : { decision, account: account.sub };
  const back = await browser.follow(await browser.submit(formWith(page, 'account'), values), { stopAt: CALLBACK });
  return { config, back: new URL(back.location), expected };
}

test('the OpenID stand-in signs in with PKCE and either way of client authentication', async () => {
  const google = await Upstream.start('google');
  google.redirectUris.push(CALLBACK);
  const account = google.account({ email: 'ada@example.test', email_verified: true, name: 'Ada' });
  for (const auth of [openid.ClientSecretBasic(google.clientSecret), openid.ClientSecretPost(google.clientSecret)]) {
    const { config, back, expected } = await signIn(google, account, { auth });
    const tokens = await openid.authorizationCodeGrant(config, back, expected);
    const { sub, email, email_verified: verified, name } = tokens.claims();
    assert.deepEqual({ sub, email, verified, name }, { sub: account.sub, email: 'ada@example.test', verified: true, name: 'Ada' });
    await assert.rejects(openid.authorizationCodeGrant(config, back, expected), { error: 'invalid_grant' });
  }
  assert.equal(google.calls.token, 4);
  await google.stop();
});

test('the OpenID stand-in says no, refuses strangers and demands PKCE', async () => {
  const google = await Upstream.start('google');
  google.redirectUris.push(CALLBACK);
  const { back } = await signIn(google, undefined, { decision: 'cancel' });
  assert.equal(back.searchParams.get('error'), 'access_denied');
  assert.equal(back.searchParams.get('state'), 'the-state');
  const query = { client_id: google.clientId, response_type: 'code', scope: 'openid', state: 's' };
  const stranger = await request(`${google.url}/auth?${new URLSearchParams({ ...query, redirect_uri: 'http://127.0.0.1:7/elsewhere' })}`);
  assert.equal(stranger.status, 400);
  const bare = await request(`${google.url}/auth?${new URLSearchParams({ ...query, redirect_uri: CALLBACK })}`);
  assert.match(bare.location, /error=invalid_request/);
  await google.stop();
});

test('the OpenID stand-in lies and fails as told', async () => {
  const google = await Upstream.start('google');
  google.redirectUris.push(CALLBACK);
  const account = google.account({ email: 'ada@example.test', email_verified: true });
  const attempt = async () => {
    const { config, back, expected } = await signIn(google, account);
    openid.enableNonRepudiationChecks(config);
    return openid.authorizationCodeGrant(config, back, expected);
  };
  await attempt();
  const lies = [
    [(claims) => ({ ...claims, nonce: 'another' }), 'own', /nonce/],
    [(claims) => ({ ...claims, aud: 'another' }), 'own', /aud/],
    [(claims) => ({ ...claims, iss: 'http://another.test' }), 'own', /iss/],
    [(claims) => ({ ...claims, exp: 1 }), 'own', /exp/],
    [(claims) => claims, 'foreign', /signature/],
    [(claims) => claims, 'none', /alg/],
  ];
  for (const [change, signature, complaint] of lies) {
    google.forge(change, signature);
    await assert.rejects(attempt(), (error) => complaint.test(`${error.message} ${error.cause?.message} ${JSON.stringify(error.cause)}`));
  }
  google.heal();
  google.forge((claims) => ({ ...claims, email: 'kept@example.test' }));
  assert.equal((await attempt()).claims().email, 'kept@example.test', 'a forged token with our own key verifies');
  google.heal();
  for (const kind of ['error', 'garbage', 'drop', 'redirect']) {
    google.fail('token', kind);
    await assert.rejects(attempt());
  }
  google.fail('token', 'hang');
  await assert.rejects(request(`${google.url}/token`, { form: {}, timeoutMs: 200 }), /no answer/);
  google.heal();
  await attempt();
  await google.stop();
});

test('the GitHub stand-in stumbles clients as GitHub does', async () => {
  const github = await GitHub.start();
  github.redirectUris.push(CALLBACK);
  github.user = github.account({ login: 'ada', emails: [{ email: 'ada@example.test', primary: true, verified: true }] });
  const authorize = (query = {}) => request(`${github.url}/login/oauth/authorize?${new URLSearchParams({ client_id: github.clientId, redirect_uri: CALLBACK, state: 's', scope: 'read:user user:email', ...query })}`);
  const code = async (query) => new URL((await authorize(query)).location).searchParams.get('code');
  const token = (form, accept = 'application/json') => request(`${github.url}/login/oauth/access_token`, { headers: { accept }, form: { client_id: github.clientId, client_secret: github.clientSecret, ...form } });
  const api = (path, bearer, headers = { 'user-agent': 'test' }) => request(`${github.apiUrl}${path}`, { bearer, headers });

  const first = await code();
  const answer = await token({ code: first, redirect_uri: CALLBACK });
  assert.equal(answer.json.token_type, 'bearer');
  assert.deepEqual([(await token({ code: first })).status, (await token({ code: first })).json.error], [200, 'bad_verification_code']);
  assert.equal((await token({ code: await code(), client_secret: 'wrong' })).json.error, 'incorrect_client_credentials');
  assert.equal((await token({ code: await code(), redirect_uri: 'http://other.test/' })).json.error, 'redirect_uri_mismatch');
  const challenge = { code_challenge: await openid.calculatePKCECodeChallenge('v'.repeat(43)), code_challenge_method: 'S256' };
  assert.equal((await token({ code: await code(challenge) })).json.error, 'bad_verification_code');
  assert(new URLSearchParams((await token({ code: await code(challenge), code_verifier: 'v'.repeat(43) }, '*/*')).text).get('access_token'));

  const user = await api('/user', answer.json.access_token);
  assert.deepEqual([user.json.login, user.json.email, user.json.id], ['ada', null, github.user.id]);
  assert.deepEqual((await api('/user/emails', answer.json.access_token)).json[0], { visibility: 'private', email: 'ada@example.test', primary: true, verified: true });
  assert.equal((await api('/user', 'wrong')).status, 401);
  assert.equal((await api('/user', answer.json.access_token, {})).status, 403);
  const narrow = await token({ code: await code({ scope: '' }) });
  assert.equal((await api('/user/emails', narrow.json.access_token)).status, 404);

  github.user = undefined;
  const denied = new URL((await authorize()).location).searchParams;
  assert.deepEqual([denied.get('error'), denied.get('state')], ['access_denied', 's']);
  assert.equal((await authorize({ client_id: 'unknown' })).status, 404);
  await github.stop();
});
