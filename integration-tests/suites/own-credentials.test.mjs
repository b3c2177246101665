// Organizations that sign their users in through clients of their own. Numbers are those of the abuse cases.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { isRedirect } from '../lib/browser.mjs';
import { assertApiError, assertErrorPage } from '../lib/expect.mjs';
import { APP, CLI, appParameters, decide, deviceCode, exchange, poll, signInThrough, tokens, upstreamAnswer, webSignIn, whoAmI } from '../lib/flows.mjs';
import { freePort } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { ownedPlatform, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const REFUSED = [400, 401, 403, 404, 409, 410];
const KEYS = ['client_id', 'created_at', 'has_secret', 'id', 'is_readable', 'issuer', 'org_id', 'provider', 'redirect_uri', 'updated_at'];

/** An active organization with one web service, run by an administrator of its own. */
async function tenant(server, platformOwner, slug) {
  const admin = await signInAdministrator(server, { email: `admin@${slug}.test`, name: slug });
  await registerActive(admin, platformOwner, slug);
  const base = `/api/organizations/${slug}`;
  const made = await admin.post(`${base}/services`, { slug: 'app', name: `App of ${slug}`, service_type: 'web', redirect_uris: [APP] });
  assert.equal(made.status, 201, made.text);
  const { client_id: clientId } = made.json.service;
  return { slug, admin, base, clientId, callback: (provider) => `${server.url}/auth/${provider}/callback/${slug}` };
}

/** Registers a client for the organization at the provider, and saves it. */
async function bring(org, provider, upstream, { name = org.slug } = {}) {
  const client = upstream.tenant(name, org.callback(provider));
  const issuer = provider === 'oidc' ? { issuer: upstream.url } : {};
  const saved = await org.admin.post(`${org.base}/oauth-credentials/${provider}`, { ...client, ...issuer });
  assert([200, 201].includes(saved.status), saved.text);
  assert(!saved.text.includes(client.client_secret), 'the secret is never returned');
  return { ...client, saved };
}

const start = (server, org, provider) => webSignIn(server, provider, { org: org.slug, service: 'app' });

/** A whole web sign-in to the organization's app: the token answer. */
async function enter(server, org, provider, account, browser) {
  const attempt = start(server, org, provider);
  const { code } = appParameters(await signInThrough(browser, attempt.url, account));
  return tokens(await exchange(server, { ...attempt, code }, { client_id: org.clientId }));
}

scenario('a tenant from its registration to the first sign-in through its own OpenID application', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const idp = await stage.upstream();
  const acme = await tenant(server, owner, 'acme');
  const path = `${acme.base}/oauth-credentials`;
  assert.deepEqual((await acme.admin.get(path)).json, []);
  assertApiError(await acme.admin.get(`${path}/oidc`), 404, 'NOT_FOUND');
  assertErrorPage(await stage.browser().get(start(server, acme, 'oidc').url), 404);

  const { saved, client_id: clientId, client_secret: secret } = await bring(acme, 'oidc', idp);
  assert.equal(saved.status, 201);
  assert.deepEqual(Object.keys(saved.json).sort(), KEYS);
  assert.deepEqual(
    [saved.json.provider, saved.json.client_id, saved.json.has_secret, saved.json.is_readable, saved.json.issuer, saved.json.redirect_uri],
    ['oidc', clientId, true, true, idp.url, acme.callback('oidc')],
  );
  const shown = await acme.admin.get(`${path}/oidc`);
  assert.deepEqual(shown.json, saved.json);
  assert.deepEqual((await acme.admin.get(path)).json, [saved.json]);

  const user = idp.account({ email: 'erin@acme.test', email_verified: true, name: 'Erin' });
  const { access } = await enter(server, acme, 'oidc', user, stage.browser());
  const me = await whoAmI(server, access);
  assert.deepEqual([me.json.email, me.json.org, me.json.service, me.json.is_platform_owner], ['erin@acme.test', 'acme', 'app', false]);
  const { users } = (await acme.admin.get(`${acme.base}/users`)).json;
  assert.deepEqual(users.map((one) => one.user.email), ['erin@acme.test']);
  assert.equal(users[0].identities[0].provider, 'oidc');

  const log = (await acme.admin.get(`${acme.base}/audit-log`)).text;
  assert.match(log, /oauth_credential\.created/);
  assert(!log.includes(secret), 'the secret is in no audit entry');
});

scenario('a terminal and the page that offers providers know the own application too', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const idp = await stage.upstream();
  const acme = await tenant(server, owner, 'acme');
  const cli = await acme.admin.post(`${acme.base}/services`, { slug: 'cli', name: 'Terminal', service_type: 'desktop' });
  const client = { clientId: cli.json.service.client_id };
  const offered = async (device) => (await request(`${server.url}/auth/device/verify`, { json: { user_code: device.user_code } })).json.available_providers;
  const device = await deviceCode(server, client);
  assert.deepEqual(await offered(device), ['dev']);
  await bring(acme, 'oidc', idp);
  assert.deepEqual(await offered(device), ['oidc', 'dev']);
  assert.deepEqual(await offered(await deviceCode(server, CLI)), ['dev'], 'another organization is offered nothing of it');
  const account = idp.account({ email: 'erin@acme.test', email_verified: true });
  await decide(stage.browser(), server, device.user_code, account, { provider: 'oidc' });
  const { access } = tokens(await poll(server, device, client));
  assert.equal((await whoAmI(server, access)).json.org, 'acme');

  const choice = await stage.browser().get(`${server.url}/oauth/authorize?${new URLSearchParams({
    client_id: acme.clientId, redirect_uri: APP, response_type: 'code', code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256',
  })}`);
  assert.match(choice.text, /idp_hint=oidc/);
});

scenario('own credentials replace the default of their provider for that organization alone', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const [acme, other] = [await tenant(server, owner, 'acme'), await tenant(server, owner, 'other')];
  const leaves = async (org) => {
    const answer = await stage.browser().get(start(server, org, 'google').url);
    if (!isRedirect(answer)) return answer;
    const { searchParams } = new URL(answer.location);
    return [searchParams.get('client_id'), searchParams.get('redirect_uri')];
  };
  const byDefault = [google.clientId, `${server.url}/auth/google/callback`];
  assert.deepEqual(await leaves(acme), byDefault);
  const own = await bring(acme, 'google', google);
  assert.deepEqual(await leaves(acme), [own.client_id, acme.callback('google')]);
  assert.deepEqual(await leaves(other), byDefault);

  const account = google.account({ email: 'erin@acme.test', email_verified: true });
  const first = await whoAmI(server, (await enter(server, acme, 'google', account, stage.browser())).access);
  const second = await whoAmI(server, (await enter(server, other, 'google', account, stage.browser())).access);
  assert.notEqual(first.json.id, second.json.id, 'the same person at two organizations is two users');

  // Deleting turns the provider off (187): nobody else's client stands in, until the default is asked for by name.
  const path = `${acme.base}/oauth-credentials/google`;
  assert.equal((await acme.admin.delete(path)).status, 204);
  assertErrorPage(await leaves(acme), 404);
  assert.deepEqual(await leaves(other), byDefault);
  assertApiError(await acme.admin.delete(path), 404, 'NOT_FOUND');
  assertApiError(await acme.admin.delete(`${path}?restore_default=maybe`), 400, 'VALIDATION_FAILED');
  assert.equal((await acme.admin.delete(`${path}?restore_default=true`)).status, 204);
  assert.deepEqual(await leaves(acme), byDefault);
  const again = await whoAmI(server, (await enter(server, acme, 'google', account, stage.browser())).access);
  assert.equal(again.json.id, first.json.id, 'the identity is the provider account, not the client it came through');
});

scenario('credentials that change while somebody is at the provider end that sign-in (186, 187)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const [idp, successor] = [await stage.upstream(), await stage.upstream('google')];
  const acme = await tenant(server, owner, 'acme');
  const account = idp.account({ email: 'erin@acme.test', email_verified: true });
  const path = `${acme.base}/oauth-credentials/oidc`;
  const changes = {
    'the same client saved again': (client) => acme.admin.post(path, { ...client, issuer: idp.url }),
    'another client at the same issuer': () => bring(acme, 'oidc', idp, { name: 'second' }),
    'another issuer': () => bring(acme, 'oidc', successor),
    'deleted': () => acme.admin.delete(path),
    'deleted, and the default restored': () => acme.admin.delete(`${path}?restore_default=true`),
  };
  for (const [name, change] of Object.entries(changes)) {
    const { client_id, client_secret } = await bring(acme, 'oidc', idp);
    const browser = stage.browser();
    const back = await upstreamAnswer(browser, server, start(server, acme, 'oidc').url, account);
    assert(new URL(back).searchParams.has('code'), back);
    const calls = [idp.calls.token, successor.calls.token];
    await change({ client_id, client_secret });
    assertErrorPage(await browser.get(back), REFUSED);
    assert.deepEqual([idp.calls.token, successor.calls.token], calls, `${name}: no code goes anywhere`);
  }
});

scenario('a default that is replaced meanwhile does not answer either, nor the other way round', async (stage) => {
  const { server, google } = await stage.gatehouseWith(['google'], { env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const acme = await tenant(server, owner, 'acme');
  const account = google.account({ email: 'erin@acme.test', email_verified: true });
  const browser = stage.browser();
  const back = await upstreamAnswer(browser, server, start(server, acme, 'google').url, account);
  await bring(acme, 'google', google);
  assertErrorPage(await browser.get(back), REFUSED);

  const second = await upstreamAnswer(browser, server, start(server, acme, 'google').url, account);
  assert.equal((await acme.admin.delete(`${acme.base}/oauth-credentials/google?restore_default=true`)).status, 204);
  assertErrorPage(await browser.get(second), REFUSED);
  assert.equal(google.calls.token, 0);
});

scenario('an answer is taken only at the callback of the organization that asked (33-35)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const [honest, malicious] = [await stage.upstream(), await stage.upstream('google')];
  const [acme, mallory] = [await tenant(server, owner, 'acme'), await tenant(server, owner, 'mallory')];
  const acmeClient = await bring(acme, 'oidc', honest);
  await bring(mallory, 'oidc', malicious);
  const victim = honest.account({ email: 'erin@acme.test', email_verified: true });

  // Mallory's authorization server bounces the victim to the honest one, with the client and callback of Acme.
  const browser = stage.browser();
  const atMallory = new URL((await browser.get(start(server, mallory, 'oidc').url)).location);
  const state = atMallory.searchParams.get('state');
  const bounced = new URL('/auth', honest.url);
  bounced.search = new URLSearchParams({
    ...Object.fromEntries(atMallory.searchParams), client_id: acmeClient.client_id, redirect_uri: acme.callback('oidc'),
  });
  const answer = await signInThrough(browser, bounced.href, victim, { stopAt: acme.callback('oidc') });
  const back = new URL(answer.location);
  assert.deepEqual([back.searchParams.get('state'), back.searchParams.has('code')], [state, true]);
  for (const callback of [acme.callback('oidc'), mallory.callback('oidc'), `${server.url}/auth/oidc/callback`, `${server.url}/auth/admin/oidc/callback`, acme.callback('google'), `${acme.callback('oidc')}/`, acme.callback('oidc').replace('acme', 'ACME')]) {
    assertErrorPage(await browser.clone().get(callback + back.search), REFUSED);
  }
  assert.deepEqual([honest.calls.token, malicious.calls.token], [0, 0], 'no code went anywhere');

  const own = await upstreamAnswer(browser, server, start(server, acme, 'oidc').url, victim);
  for (const callback of [mallory.callback('oidc'), `${server.url}/auth/oidc/callback`, `${server.url}/auth/admin/oidc/callback`]) {
    assertErrorPage(await browser.clone().get(callback + new URL(own).search), REFUSED);
  }
  assert.deepEqual([honest.calls.token, malicious.calls.token], [0, 0]);
  appParameters(await browser.get(own));
});

scenario('an own provider speaks for its own organization only (45)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const idp = await stage.upstream();
  const [acme, other] = [await tenant(server, owner, 'acme'), await tenant(server, owner, 'other')];
  await bring(acme, 'oidc', idp);
  assertErrorPage(await stage.browser().get(start(server, other, 'oidc').url), 404);
  assertErrorPage(await stage.browser().get(`${server.url}/auth/admin/oidc`), [400, 404]);
  const impostor = idp.account({ email: 'root@example.test', email_verified: true });
  const { access } = await enter(server, acme, 'oidc', impostor, stage.browser());
  const me = (await whoAmI(server, access)).json;
  assert.deepEqual([me.email, me.org, me.is_platform_owner], ['root@example.test', 'acme', false]);
  assert.notEqual(me.id, owner.userId);
  assertApiError(await request(`${server.url}/api/platform/organizations`, { bearer: access }), 403, 'FORBIDDEN');
});

scenario('who may see and change credentials, and what is not accepted', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const [acme, other] = [await tenant(server, owner, 'acme'), await tenant(server, owner, 'other')];
  const path = `${acme.base}/oauth-credentials`;
  const good = { client_id: 'client', client_secret: randomBytes(20).toString('hex') };
  for (const provider of ['dev', 'saml', 'GitHub', 'github%2f..']) {
    assertApiError(await acme.admin.post(`${path}/${provider}`, good), 404, 'NOT_FOUND');
  }
  for (const [provider, body, fields] of [
    ['github', {}, ['client_id', 'client_secret']],
    ['github', { ...good, client_secret: '' }, ['client_secret']],
    ['github', { ...good, client_id: ['client'] }, ['client_id']],
    ['github', { ...good, issuer: 'https://id.example.test' }, ['issuer']],
    ['oidc', good, ['issuer']],
    ['oidc', { ...good, issuer: 'id.example.test' }, ['issuer']],
  ]) {
    const answer = await acme.admin.post(`${path}/${provider}`, body);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, fields);
  }
  assertApiError(await other.admin.post(`${path}/github`, good), 404, 'NOT_FOUND');
  assertApiError(await other.admin.get(path), 404, 'NOT_FOUND');
  assertApiError(await owner.post(`${path}/github`, good), 404, 'NOT_FOUND');
  assert.equal((await acme.admin.post(`${path}/github`, good)).status, 201);
  assert.equal((await acme.admin.post(`${path}/github`, good)).status, 200);
  assert.equal((await owner.get(path)).json.length, 1, 'platform owners read, and it is audited');
  const { id } = (await owner.get('/api/platform/organizations?search=acme')).json.organizations[0];
  assert.equal((await owner.post(`/api/platform/organizations/${id}/suspend`, { reason: 'test' })).status, 200);
  assertApiError(await acme.admin.post(`${path}/github`, good), 403, 'ORGANIZATION_NOT_ACTIVE');
  assertApiError(await acme.admin.delete(`${path}/github`), 403, 'ORGANIZATION_NOT_ACTIVE');
});

scenario('an issuer that lies or does not answer is refused when it is saved (185)', async (stage) => {
  const { server, owner } = await ownedPlatform(stage);
  const idp = await stage.upstream();
  const acme = await tenant(server, owner, 'acme');
  const client = idp.tenant('acme', acme.callback('oidc'));
  const refused = async (issuer) => {
    const answer = await acme.admin.post(`${acme.base}/oauth-credentials/oidc`, { ...client, issuer });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, ['issuer']);
  };
  for (const kind of ['error', 'garbage', 'redirect', 'drop', 'huge']) {
    idp.fail('discovery', kind);
    await refused(idp.url);
  }
  idp.heal();
  idp.fail('jwks', 'error');
  await refused(idp.url);
  idp.heal();
  await refused(`${idp.url}/`); // the document names another issuer, if only by a slash
  await refused(idp.url.replace('127.0.0.1', 'localhost'));
  await refused(`http://127.0.0.1:${await freePort()}`);
  assert.deepEqual((await acme.admin.get(`${acme.base}/oauth-credentials`)).json, [], 'nothing was stored');
});

scenario('another ENCRYPTION_KEY than the data opens nothing, says so, and a new save mends it (179)', async (stage) => {
  const key = () => randomBytes(32).toString('base64');
  const [first, second, third] = [key(), key(), key()];
  const { server, owner } = await ownedPlatform(stage, { env: { ENCRYPTION_KEY: first } });
  const idp = await stage.upstream();
  const acme = await tenant(server, owner, 'acme');
  const client = await bring(acme, 'oidc', idp);
  const readable = async () => (await acme.admin.get(`${acme.base}/oauth-credentials/oidc`)).json.is_readable;
  const leaves = () => stage.browser().get(start(server, acme, 'oidc').url);
  const restart = async (ring) => {
    assert.equal((await server.stop()).code, 0);
    await server.restart({ env: { ENCRYPTION_KEY: ring } });
  };
  await restart(`${second},${first}`);
  assert.equal(await readable(), true, 'a ring that still holds the old key opens');
  assert(isRedirect(await leaves()));
  await until('it is sealed with the new one', async () => (await request(`${server.url}/health/ready`)).json.actors.resealer.columns_left === 0);
  await restart(second);
  assert.equal(await readable(), true, 'the old key is not needed any more');
  await restart(third);
  assert.equal(await readable(), false);
  const page = await leaves();
  assertErrorPage(page, 502);
  assert.match(page.text, /cannot be read/);
  assert(isRedirect(await stage.browser().get(start(server, acme, 'dev').url)), 'other providers go on');
  assert.equal((await acme.admin.post(`${acme.base}/oauth-credentials/oidc`, { client_id: client.client_id, client_secret: client.client_secret, issuer: idp.url })).status, 200);
  assert.equal(await readable(), true);
  await enter(server, acme, 'oidc', idp.account({ email: 'erin@acme.test', email_verified: true }), stage.browser());
});

scenario('outside dev mode no issuer inside is connected to, however it is written (181)', async (stage) => {
  const { server, oidc } = await stage.gatehouseWith(['oidc'], { dev: false, platform: true, env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  const root = oidc.account({ email: 'root@example.test', email_verified: true, name: 'Root' });
  const owner = await signInAdministrator(server, root, { provider: 'oidc' });
  await registerActive(owner, owner, 'acme');
  const { port } = new URL(oidc.url);
  const calls = { ...oidc.calls };
  const hosts = ['127.0.0.1', 'localhost', 'localhost.', '127.1', '0177.1', '0x7f.1', '2130706433', '0', '0.0.0.0', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '169.254.169.254', '[fd00::1]', '[fe80::1]', '100.64.1.1', '10.0.0.1', '192.168.1.1', '１２７.0.0.1'];
  const issuers = hosts.flatMap((host) => [`https://${host}:${port}`, `http://${host}:${port}`]);
  issuers.push('http://example.com', 'file:///etc/passwd', 'gopher://127.0.0.1:70/', `https://root:secret@127.0.0.1:${port}`, `https://127.0.0.1:${port}#`, `https://example.com@127.0.0.1:${port}`);
  for (const issuer of issuers) {
    const answer = await owner.post('/api/organizations/acme/oauth-credentials/oidc', { client_id: 'c', client_secret: 'some secret', issuer });
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, ['issuer'], issuer);
  }
  assert.deepEqual(oidc.calls, calls, 'nobody was connected to');
});

scenario('the scopes of a service are asked for at each provider', async (stage) => {
  const { server, google, microsoft, github } = await stage.gatehouseWith(['google', 'microsoft', 'github'], { env: { PLATFORM_OWNER_EMAIL: 'root@example.test' } });
  assert(google && microsoft && github);
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const acme = await tenant(server, owner, 'acme');
  const scopes = { github_scopes: ['repo', 'read:user'], google_scopes: ['https://www.googleapis.com/auth/calendar.readonly'], microsoft_scopes: ['Mail.Read'] };
  assert.equal((await acme.admin.patch(`${acme.base}/services/app`, scopes)).status, 200);
  const asked = async (provider) => new URL((await stage.browser().get(start(server, acme, provider).url)).location).searchParams.get('scope').split(' ');
  assert.deepEqual(await asked('github'), ['read:user', 'user:email', 'repo']);
  assert.deepEqual(await asked('google'), ['openid', 'email', 'profile', ...scopes.google_scopes]);
  assert.deepEqual(await asked('microsoft'), ['openid', 'email', 'profile', 'offline_access', 'Mail.Read']);
  const demo = new URL((await stage.browser().get(webSignIn(server, 'github').url)).location);
  assert.equal(demo.searchParams.get('scope'), 'read:user user:email');
});
