// Services, plans and client secrets of an organization, over the API and as the apps that use them.

import assert from 'node:assert/strict';
import { assertApiError, assertOAuthError } from '../lib/expect.mjs';
import { APP, WEB, appParameters, deviceCode, exchange, obtainCode, poll, refresh, signInThrough, tokenRequest, tokens, verifyAccessToken, webSignIn, whoAmI } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BASE = '/api/organizations/demo/services';
const CALLBACK = 'https://app.example.test/signed-in?tenant=1';

/** A service in dev mode and the owner of its demo organization, whose terminal service is out of the way. */
async function setting(stage) {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  assert.equal((await owner.delete(`${BASE}/cli`)).status, 204);
  return { server, owner };
}

async function create(owner, members = {}) {
  const answer = await owner.post(BASE, { slug: 'shop', name: 'Shop', service_type: 'web', redirect_uris: [CALLBACK], ...members });
  assert.equal(answer.status, 201, answer.text);
  return answer.json;
}

/** A web sign-in to the service `shop`, up to its code. `query` overrides or (undefined) removes. */
async function shopCode(stage, server, query = {}) {
  const attempt = webSignIn(server, 'dev', { service: 'shop', redirect_uri: CALLBACK, ...query }, CALLBACK);
  const answer = await signInThrough(stage.browser(), attempt.url, ADA, { stopAt: CALLBACK });
  const { code } = appParameters(answer, CALLBACK);
  assert(code, 'the redirect carries a code');
  return { ...attempt, code };
}

/** The secret in a header (RFC 6749 section 2.3.1). */
function basic(clientId, secret) {
  return { authorization: `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`).toString('base64')}` };
}

function withHeader(server, clientId, secret, form, path = '/oauth/token') {
  return request(server.url + path, { form, headers: basic(clientId, secret) });
}

scenario('a fresh service signs people in at its own redirect URI', async (stage) => {
  const { server, owner } = await setting(stage);
  const { service, default_plan: plan, usage, provider_grants: grants } = await create(owner);
  assert.deepEqual([usage.current_services, usage.max_services, usage.tier], [2, 2, 'free']);
  assert.deepEqual([plan.name, plan.is_default, plan.price_cents, grants], ['free', true, 0, []]);
  assert.deepEqual([service.redirect_uris, service.github_scopes, service.device_activation_uri], [[CALLBACK], [], null]);
  assert.match(service.client_id, /^[\w-]{32}$/);

  const { code, verifier } = await shopCode(stage, server);
  const { access } = tokens(await exchange(server, { code, verifier, redirectUri: CALLBACK }, { client_id: service.client_id }));
  const { payload } = await verifyAccessToken(server, access, service.client_id);
  assert.deepEqual([payload.org, payload.service, payload.plan], ['demo', 'shop', 'free']);

  // Taken back, the URI is worth nothing from the next request on.
  const late = await shopCode(stage, server);
  const changed = await owner.patch(`${BASE}/shop`, { redirect_uris: null, name: 'Shop 2' });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual([changed.json.service.name, changed.json.redirect_uris, changed.json.plans.length], ['Shop 2', [], 1]);
  assertOAuthError(await exchange(server, { ...late, redirectUri: CALLBACK }, { client_id: service.client_id }), 400, 'invalid_grant');
  const start = webSignIn(server, 'dev', { service: 'shop', redirect_uri: CALLBACK });
  assert.equal((await stage.browser().get(start.url)).status, 400);

  const list = await owner.get(`${BASE}?limit=1`);
  assert.deepEqual(list.json.services.map(({ slug, plan_count: plans, subscription_count: subscriptions }) => [slug, plans, subscriptions]), [['shop', 1, 0]], 'newest first');
  for (const query of ['?limit=0', '?limit=x', '?offset=-1', '?service_type=tv']) assertApiError(await owner.get(BASE + query), 400, 'VALIDATION_FAILED');
});

scenario('nonsense is refused with its name, and strangers see nothing', async (stage) => {
  const { server, owner } = await setting(stage);
  const right = { slug: 'shop', name: 'Shop', service_type: 'web' };
  for (const [bad, field] of [
    [{ slug: 'Shop' }, 'slug'], [{ slug: '\u0430cme' }, 'slug'], [{ name: ' ' }, 'name'], [{ service_type: 'tv' }, 'service_type'],
    [{ redirect_uris: ['http://evil.test/'] }, 'redirect_uris'], [{ redirect_uris: ['https://a.test/*'] }, 'redirect_uris'],
    [{ redirect_uris: 'https://a.test/' }, 'redirect_uris'], [{ github_scopes: ['a b'] }, 'github_scopes'],
    [{ device_activation_uri: 'com.example:/x' }, 'device_activation_uri'],
  ]) {
    const answer = await owner.post(BASE, { ...right, ...bad });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, [field], answer.text);
  }
  assertApiError(await owner.patch(`${BASE}/web`, { slug: 'other' }), 400, 'VALIDATION_FAILED');
  assertApiError(await owner.post(BASE, { ...right, slug: 'web' }), 409, 'CONFLICT');
  assertApiError(await owner.get(`${BASE}/nothing`), 404, 'NOT_FOUND');
  const stranger = await signInAdministrator(server, ADA);
  for (const path of [BASE, `${BASE}/web`, `${BASE}/web/plans`]) assertApiError(await stranger.get(path), 404, 'NOT_FOUND');
  assertApiError(await stranger.delete(`${BASE}/web`), 404, 'NOT_FOUND');
  assertApiError(await request(server.url + BASE), 401, 'UNAUTHORIZED');
});

scenario('twelve at once on a tier of two give exactly two', async (stage) => {
  const { owner } = await setting(stage);
  assert.equal((await owner.delete(`${BASE}/web`)).status, 204);
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => owner.post(BASE, { slug: `app-${n}`, name: `App ${n}`, service_type: 'api' })));
  assert.equal(answers.filter(({ status }) => status === 201).length, 2);
  for (const answer of answers.filter(({ status }) => status !== 201)) assertApiError(answer, 400, 'SERVICE_LIMIT_EXCEEDED');
  assert.equal((await owner.get(BASE)).json.usage.current_services, 2);
});

scenario('plans have exact prices, and there is always one default', async (stage) => {
  const { owner } = await setting(stage);
  const plans = `${BASE}/web/plans`;
  const pro = await owner.post(plans, { name: 'pro', price_monthly: 19.99, features: ['sso'], is_default: true });
  assert.equal(pro.status, 201, pro.text);
  assert.deepEqual([pro.json.price_cents, pro.json.price_monthly, pro.json.currency, pro.json.plan.id === pro.json.id, pro.json.subscription_count], [1999, 19.99, 'USD', true, 0]);
  const defaults = async () => (await owner.get(plans)).json.filter(({ is_default: is }) => is).map(({ name }) => name);
  assert.deepEqual(await defaults(), ['pro']);
  assertApiError(await owner.post(plans, { name: 'pro' }), 409, 'CONFLICT');
  assertApiError(await owner.post(plans, { name: 'odd', price_monthly: 1.999 }), 400, 'VALIDATION_FAILED');
  assertApiError(await owner.delete(`${plans}/${pro.json.id}`), 409, 'CONFLICT');
  const free = (await owner.get(plans)).json.find(({ name }) => name === 'free');
  assert.equal((await owner.patch(`${plans}/${free.id}`, { is_default: true })).status, 200);
  assert.deepEqual(await defaults(), ['free']);
  assert.equal((await owner.delete(`${plans}/${pro.json.id}`)).status, 204);
});

scenario('a confidential client authenticates in the header or in the body, and in no other way', async (stage) => {
  const { server, owner } = await setting(stage);
  const { service: { client_id: clientId } } = await create(owner);
  const secretPath = `${BASE}/shop/client-secret`;
  const first = await owner.post(secretPath);
  assert.equal(first.status, 201, first.text);
  assert.deepEqual([first.json.client_id, first.json.previous_secret_expires_at, first.json.grace_seconds], [clientId, null, 0]);
  const secret = first.json.client_secret;
  const form = async (query) => {
    const { code, verifier } = await shopCode(stage, server, query);
    return { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, ...(query === undefined ? { code_verifier: verifier } : {}) };
  };
  const unbound = { code_challenge: undefined, code_challenge_method: undefined };

  // Refused, and the code stays good: RFC 6749 section 5.2.
  const one = await form();
  for (const bad of [
    await tokenRequest(server, { ...one, client_id: clientId }),
    await tokenRequest(server, { ...one, client_id: clientId, client_secret: 'wrong' }),
    await withHeader(server, clientId, 'wrong', one),
    await withHeader(server, WEB.clientId, secret, one),
    await request(`${server.url}/oauth/token`, { form: one, bearer: secret }),
  ]) {
    assertOAuthError(bad, 401, 'invalid_client', 'INVALID_CLIENT');
    assert.match(bad.headers['www-authenticate'], /^Basic /);
  }
  assertOAuthError(await withHeader(server, clientId, secret, { ...one, client_secret: secret }), 400, 'invalid_request');
  assertOAuthError(await withHeader(server, clientId, secret, { ...one, client_id: WEB.clientId }), 400, 'invalid_request');
  const { refresh: refreshToken } = tokens(await withHeader(server, clientId, secret, one));
  tokens(await tokenRequest(server, { ...await form(), client_id: clientId, client_secret: secret }));

  // The refresh token alone is not enough; and PKCE is the client's choice, but not half of it.
  assertApiError(await refresh(server, refreshToken), 401, 'INVALID_CLIENT');
  tokens(await withHeader(server, clientId, secret, { grant_type: 'refresh_token', refresh_token: refreshToken }));
  tokens(await withHeader(server, clientId, secret, await form(unbound)));
  assertOAuthError(await withHeader(server, clientId, secret, { ...await form(unbound), code_verifier: 'a'.repeat(43) }), 400, 'invalid_grant');
  const { code_verifier: dropped, ...bound } = await form();
  assert(dropped);
  assertOAuthError(await withHeader(server, clientId, secret, bound), 400, 'invalid_grant');

  // A terminal of the same service.
  assertOAuthError(await request(`${server.url}/auth/device/code`, { form: { client_id: clientId } }), 401, 'invalid_client');
  assert.equal((await withHeader(server, clientId, secret, {}, '/auth/device/code')).status, 200);

  // The replaced secret works for its grace; removed, none works, and a code without a challenge is void.
  const second = (await owner.post(secretPath)).json;
  assert.equal(second.grace_seconds, 86_400);
  assert(Date.parse(second.previous_secret_expires_at) > Date.now());
  tokens(await withHeader(server, clientId, secret, await form()));
  const orphan = await form(unbound);
  assert.equal((await owner.delete(secretPath)).status, 204);
  for (const gone of [secret, second.client_secret]) assertOAuthError(await withHeader(server, clientId, gone, orphan), 401, 'invalid_client');
  assertOAuthError(await tokenRequest(server, { ...orphan, client_id: clientId }), 400, 'invalid_grant');
  const metadata = await request(`${server.url}/.well-known/openid-configuration`);
  assert.deepEqual(metadata.json.token_endpoint_auth_methods_supported, ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']);
});

scenario('deleting a service cuts off what it gave, and its name inherits nothing', async (stage) => {
  const { server, owner } = await setting(stage);
  const live = tokens(await exchange(server, await obtainCode(server, 'dev', ADA)));
  const pending = await obtainCode(server, 'dev', ADA);
  const device = await deviceCode(server, { clientId: WEB.clientId });
  assert.equal((await owner.delete(`${BASE}/web`)).status, 204);
  assertApiError(await whoAmI(server, live.access), 401, 'UNAUTHORIZED');
  assertApiError(await refresh(server, live.refresh), 400, 'INVALID_GRANT');
  assertOAuthError(await exchange(server, pending), 401, 'invalid_client');
  assertOAuthError(await poll(server, device, { clientId: WEB.clientId }), 401, 'invalid_client');
  assertApiError(await owner.get(`${BASE}/web`), 404, 'NOT_FOUND');

  const { service } = await create(owner, { slug: 'web', redirect_uris: [APP] });
  assert.notEqual(service.client_id, WEB.clientId);
  assertApiError(await whoAmI(server, live.access), 401, 'UNAUTHORIZED');
  assertOAuthError(await exchange(server, pending, { client_id: service.client_id }), 400, 'invalid_grant');
});
