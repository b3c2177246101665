// Tokens of a grant that is gone go back to the provider that gave them, from the durable outbox, and are kept no longer
// than that takes.

import assert from 'node:assert/strict';
import { editDatabase, queryDatabase } from '../lib/database.mjs';
import { APP, appParameters, exchange, linkAccount, signInThrough, tokens, webSignIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { Caller, registerActive, signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const SCOPES = { google_scopes: ['calendar'], microsoft_scopes: ['Mail.Read'], github_scopes: ['repo'] };
const DAY = 24 * 3600;

async function setting(stage, providers, options = {}) {
  const { server, ...upstreams } = await stage.gatehouseWith(providers, { env: { PLATFORM_OWNER_EMAIL: 'root@example.test' }, ...options });
  for (const [name, upstream] of Object.entries(upstreams)) if (name !== 'github') upstream.givesRefreshTokens = true;
  const owner = await signInAdministrator(server, { email: 'root@example.test', name: 'Root' });
  const { id } = await registerActive(owner, owner, 'acme');
  const clients = {};
  for (const slug of ['app', 'other']) {
    const made = await owner.post('/api/organizations/acme/services', { slug, name: slug, service_type: 'web', redirect_uris: [APP], ...SCOPES });
    assert.equal(made.status, 201, made.text);
    clients[slug] = made.json.service.client_id;
  }
  const enter = async (provider, account, service = 'app') => {
    const attempt = webSignIn(server, provider, { org: 'acme', service });
    const { code } = appParameters(await signInThrough(stage.browser(), attempt.url, account));
    return new Caller(server, tokens(await exchange(server, { ...attempt, code }, { client_id: clients[service] })).access);
  };
  return { server, ...upstreams, owner, id, enter };
}

const read = async (user, provider) => {
  const answer = await user.get(`/api/provider-token/${provider}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.access_token;
};
const erin = (upstream) => upstream.account({ email: 'erin@acme.test', email_verified: true, name: 'Erin' });
const octocat = (github) => github.account({ login: 'octocat', emails: [{ email: 'octocat@acme.test', primary: true, verified: true }] });
const isGood = async (upstream, token) => (await request(`${upstream.url}/me`, { bearer: token })).status === 200;
const githubTakes = async (github, token) => (await request(`${github.apiUrl}/user`, { bearer: token, headers: { 'user-agent': 'app' } })).status === 200;

async function outbox(server) {
  const { json } = await request(`${server.url}/health/ready`);
  return json.actors.outbox;
}

/** What is left in the file, once it has stopped. */
async function leftInDatabase(server) {
  await server.stop();
  const [[waiting]] = await queryDatabase(server.dir, 'SELECT COUNT(*) FROM provider_revocations');
  const deliveries = await queryDatabase(server.dir, "SELECT status, last_error, payload FROM outbox WHERE kind = 'provider_revocation' ORDER BY id");
  await server.restart();
  return { waiting, deliveries };
}

scenario('erasing a user gives the tokens back: to GitHub one by one, to OpenID providers by their endpoint', async (stage) => {
  const { server, google, github, microsoft, owner, enter } = await setting(stage, ['google', 'github', 'microsoft']);
  github.user = octocat(github);
  microsoft.revokes = true; // plays a directory that has the endpoint, with the client's authentication
  const atGoogle = await read(await enter('google', erin(google)), 'google');
  const atGitHub = await read(await enter('github'), 'github');
  const atMicrosoft = await read(await enter('microsoft', microsoft.account({ name: 'Erin at work' })), 'microsoft');
  const good = async () => [await isGood(google, atGoogle), await githubTakes(github, atGitHub), await isGood(microsoft, atMicrosoft)];
  assert.deepEqual(await good(), [true, true, true]);
  const { users } = (await owner.get('/api/organizations/acme/users')).json;
  assert.equal(users.length, 3);
  for (const { user } of users) assert.equal((await owner.delete(`/api/organizations/acme/users/${user.id}`)).status, 204);
  await until('no token works any more', async () => (await good()).every((one) => !one));
  await until('the deliveries are settled', async () => (await outbox(server)).delivered >= 3);
  const calls = [google, github, microsoft].map((upstream) => upstream.calls.revocation);
  assert.deepEqual(calls, [1, 1, 2], 'the refresh token first and then the access token, where both are wanted');
  const { waiting, deliveries } = await leftInDatabase(server);
  assert.equal(waiting, 0, 'nothing of the tokens stays');
  assert.deepEqual(deliveries.map(([status]) => status), ['delivered', 'delivered', 'delivered']);
});

scenario('unlinking gives the tokens of that provider back, and a provider without a way to do so costs nothing', async (stage) => {
  const { server, google, microsoft, enter } = await setting(stage, ['google', 'microsoft']);
  const account = erin(google);
  const user = await enter('google', account);
  const googleToken = await read(user, 'google');
  const work = microsoft.account({ name: 'Erin at work' });
  await linkAccount(stage.browser(), user, { provider: 'microsoft', account: work, proof: ['google', account] });
  await read(await enter('microsoft', work), 'microsoft');
  assert.equal((await user.delete('/api/user/identities/microsoft')).status, 204);
  await until('the delivery to Microsoft is over', async () => (await outbox(server)).dead === 1);
  assert.equal(google.calls.revocation, 0);
  assert(await isGood(google, googleToken), 'the other account keeps its tokens');
  const { waiting, deliveries } = await leftInDatabase(server);
  assert.equal(waiting, 0);
  assert.deepEqual(deliveries, [['dead', 'the provider does not revoke tokens', '{}']]);
});

scenario('a suspension gives everything back, also over an outage, a crash and without the data key', async (stage) => {
  const { server, google, owner, id, enter } = await setting(stage, ['google'], { fakeClock: true });
  const people = [];
  for (let n = 0; n < 3; n += 1) people.push(await read(await enter('google', google.account({ email: `p${n}@acme.test`, email_verified: true })), 'google'));
  google.fail('revocation', 'error');
  const suspended = await owner.post(`/api/platform/organizations/${id}/suspend`, { reason: 'test' });
  assert.equal(suspended.json.revoked.provider_grants, 3);
  await until('it was tried in vain', () => google.calls.revocation >= 3);
  await server.kill9();
  await server.restart();
  await server.stop();
  // The organization is erased as crypto-shredding does it: what its tokens were sealed with is gone.
  await editDatabase(server.dir, 'DELETE FROM organization_keys');
  await server.restart();
  assert(await isGood(google, people[0]));
  google.heal();
  server.clock.set(600);
  await until('all were given back', async () => {
    for (const token of people) if (await isGood(google, token)) return false;
    return true;
  }, { deadlineMs: 30_000 });
  await until('all are settled', async () => (await outbox(server)).delivered >= 3, { deadlineMs: 20_000 });
  assert.equal((await leftInDatabase(server)).waiting, 0);
});

scenario('what cannot be given back within a day is dropped, token and all', async (stage) => {
  const { server, google, owner, id, enter } = await setting(stage, ['google'], { fakeClock: true });
  await read(await enter('google', erin(google)), 'google');
  google.fail('revocation', 'drop');
  await owner.post(`/api/platform/organizations/${id}/suspend`, { reason: 'test' });
  await until('it was tried in vain', () => google.calls.revocation >= 1);
  server.clock.set(DAY + 60);
  await until('it is given up', async () => (await outbox(server)).dead === 1, { deadlineMs: 20_000 });
  google.heal();
  const tried = google.calls.revocation;
  const { waiting, deliveries: [[status]] } = await leftInDatabase(server);
  assert.deepEqual([waiting, status], [0, 'dead']);
  assert.equal(google.calls.revocation, tried);
});

scenario('a grant that another service still uses is not taken away with the one that ended', async (stage) => {
  const { server, google, owner, enter } = await setting(stage, ['google']);
  const account = erin(google);
  await read(await enter('google', account), 'google');
  const other = await enter('google', account, 'other');
  const kept = await read(other, 'google');
  assert.equal((await owner.delete('/api/organizations/acme/services/app')).status, 204);
  await until('the delivery is over', async () => (await outbox(server)).dead === 1);
  assert.equal(google.calls.revocation, 0, 'Google would have ended both');
  assert.equal(await read(other, 'google'), kept);
  assert(await isGood(google, kept));
  assert.equal((await owner.delete('/api/organizations/acme/services/other')).status, 204);
  await until('the last one goes back', () => google.calls.revocation === 1);
});

scenario('a ciphertext that was put into another delivery opens nothing', async (stage) => {
  const { server, google, owner, id, enter } = await setting(stage, ['google'], { fakeClock: true });
  const kept = [];
  for (const name of ['ann', 'bob']) kept.push(await read(await enter('google', google.account({ email: `${name}@acme.test`, email_verified: true })), 'google'));
  google.fail('revocation', 'error');
  await owner.post(`/api/platform/organizations/${id}/suspend`, { reason: 'test' });
  await until('it was tried in vain', () => google.calls.revocation >= 2);
  await server.stop();
  await editDatabase(server.dir, 'UPDATE provider_revocations SET access_token_sealed = (SELECT access_token_sealed FROM provider_revocations ORDER BY id DESC LIMIT 1), '
    + 'refresh_token_sealed = (SELECT refresh_token_sealed FROM provider_revocations ORDER BY id DESC LIMIT 1) WHERE id = (SELECT MIN(id) FROM provider_revocations)');
  google.heal();
  await server.restart();
  server.clock.set(600);
  await until('the untouched one went back', async () => (await Promise.all(kept.map((token) => isGood(google, token)))).filter(Boolean).length === 1, { deadlineMs: 30_000 });
  assert(await isGood(google, kept[0]), 'the one that was written over opened nothing');
});
