// Signing keys: several algorithms, rotation without a failure, withdrawal, and another root secret.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { OpenIdApp } from '../lib/app.mjs';
import { APP, WEB, exchange, obtainCode, refresh, signIn, tokens, whoAmI } from '../lib/flows.mjs';
import { runToEnd } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { ResourceServer } from '../lib/resource-server.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };

async function published(server, algorithm) {
  const { json } = await request(`${server.url}/.well-known/jwks.json`);
  return json.keys.filter((key) => key.alg === algorithm).map((key) => key.kid);
}

/** `gatehouse keys ...` beside the running service. */
function keys(server, ...args) {
  return runToEnd(['keys', ...args, '--dev'], { cwd: server.dir, env: server.clock?.env });
}

function kidOf(token) {
  return decodeProtectedHeader(token).kid;
}

scenario('an id_token is signed as the service registered, with the right at_hash', async (stage) => {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const discovery = (await request(`${server.url}/.well-known/openid-configuration`)).json;
  assert.deepEqual(discovery.id_token_signing_alg_values_supported, ['ES256', 'RS256', 'EdDSA']);
  const remote = createRemoteJWKSet(new URL(discovery.jwks_uri));
  for (const [algorithm, hash] of [['RS256', 'sha256'], ['EdDSA', 'sha512'], ['ES256', 'sha256']]) {
    const changed = await owner.patch('/api/organizations/demo/services/web', { id_token_signed_response_alg: algorithm });
    assert.equal(changed.json.id_token_signed_response_alg, algorithm, changed.text);
    const { access, answer } = tokens(await exchange(server, await obtainCode(server, 'dev', ADA)));
    const { payload, protectedHeader } = await jwtVerify(answer.json.id_token, remote, { issuer: server.url, audience: WEB.clientId, algorithms: [algorithm] });
    assert.equal(protectedHeader.alg, algorithm);
    const digest = createHash(hash).update(access).digest();
    assert.equal(payload.at_hash, digest.subarray(0, digest.length / 2).toString('base64url'));
    assert.equal(decodeProtectedHeader(access).alg, 'ES256', 'access tokens have one algorithm');
  }
});

scenario('openid-client verifies the id_token of every algorithm, and refuses one of another', async (stage) => {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const app = async (algorithm) => {
    const options = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
    const metadata = { id_token_signed_response_alg: algorithm };
    return new OpenIdApp(await client.discovery(new URL(server.url), WEB.clientId, metadata, client.None(), options), APP);
  };
  for (const [algorithm, other] of [['ES256', 'RS256'], ['RS256', 'EdDSA'], ['EdDSA', 'ES256']]) {
    assert.equal((await owner.patch('/api/organizations/demo/services/web', { id_token_signed_response_alg: algorithm })).status, 200);
    const { tokens: answer, claims } = await (await app(algorithm)).signIn(stage.browser(), ADA);
    assert.deepEqual([claims.email, decodeProtectedHeader(answer.id_token).alg], [ADA.email, algorithm]);
    await assert.rejects((await app(other)).signIn(stage.browser(), ADA), /alg|invalid response/i);
  }
});

scenario('a rotation under load fails no verification, and the old key leaves when its last token has died', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true });
  const api = await ResourceServer.start(server, WEB.clientId, { cacheMs: 1000 });
  try {
    let { access, refresh: current } = await signIn(server, 'dev', ADA);
    const first = access;
    const [old] = await published(server, 'ES256');
    let running = true;
    const seen = new Map();
    const failures = [];
    const renew = async () => {
      while (running) {
        const { json, text } = await refresh(server, current);
        if (json?.access_token === undefined) { failures.push(text); return; }
        ({ access_token: access, refresh_token: current } = json);
      }
    };
    const verify = async () => {
      while (running) {
        const token = access;
        const answer = await api.call(token);
        seen.set(kidOf(token), (seen.get(kidOf(token)) ?? 0) + 1);
        if (answer.status !== 200) failures.push(answer.text);
      }
    };
    const load = [renew(), verify(), verify(), verify(), verify()];

    const rotated = await keys(server, 'rotate', '--alg', 'ES256');
    assert.equal(rotated.code, 0, rotated.stderr);
    await until('the next key is published', async () => (await published(server, 'ES256')).length === 2);
    const [next] = (await published(server, 'ES256')).filter((kid) => kid !== old);
    assert.equal(kidOf(access), old, 'published is not yet signing');
    const again = await keys(server, 'rotate', '--alg', 'ES256');
    assert.match(again.stdout, /published already/);
    const before = seen.get(old) ?? 0;
    // As the resource server keeps keys for a second, here a second stands for the five minutes of real life.
    await until('the resource server fetched the keys again', async () => (seen.get(old) ?? 0) > before + 50 && kidOf(access) === old, { deadlineMs: 20_000 });
    const since = Date.now();
    await until('its cache is older than it may be', () => Date.now() - since > 2000);
    server.clock.set(10 * 60 + 5);
    await until('the new key signs under load', () => (seen.get(next) ?? 0) > 50, { deadlineMs: 20_000 });
    assert.equal((await api.call(first)).status, 200, 'what the old key signed is still good');
    assert.match((await keys(server, 'list')).stdout, new RegExp(`${old}\\s+ES256\\s+retiring[\\s\\S]*`));
    server.clock.set(10 * 60 + 16 * 60 + 10);
    assert.deepEqual(await published(server, 'ES256'), [next], 'the old key is gone without a restart');
    running = false;
    await Promise.all(load);
    assert.deepEqual(failures, [], 'no request failed');
    assert.equal((await whoAmI(server, access)).status, 200, 'nobody was signed out');
    assert.match((await keys(server, 'list')).stdout, new RegExp(`${old}\\s+ES256\\s+retired`));
  } finally {
    await api.stop();
  }
});

scenario('a key that somebody else may have is withdrawn within seconds', async (stage) => {
  const server = await stage.gatehouse();
  const { access, refresh: refreshToken } = await signIn(server, 'dev', ADA);
  const kid = kidOf(access);
  const careful = await keys(server, 'retire', kid);
  assert.equal(careful.code, 1);
  assert.match(careful.stderr, /--force/);
  assert.equal((await keys(server, 'retire', 'nothing')).code, 1);
  const retired = await keys(server, 'retire', kid, '--force');
  assert.equal(retired.code, 0, retired.stderr);
  assert.match(retired.stdout, /was active and is retired/);
  await until('its tokens are void', async () => (await whoAmI(server, access)).status === 401, { deadlineMs: 10_000 });
  assert(!(await published(server, 'ES256')).includes(kid));
  const renewed = tokens(await refresh(server, refreshToken));
  assert.notEqual(kidOf(renewed.access), kid);
  assert.equal((await whoAmI(server, renewed.access)).status, 200, 'the session lives on');
});

scenario('keys that are old enough make room by themselves', async (stage) => {
  const server = await stage.gatehouse({ fakeClock: true, env: { KEY_ROTATION_DAYS: '30' } });
  const before = await published(server, 'ES256');
  server.clock.set(31 * 24 * 3600);
  for (const algorithm of ['ES256', 'RS256', 'EdDSA']) {
    await until(`the next ${algorithm} key is published`, async () => (await published(server, algorithm)).length === 2, { deadlineMs: 20_000 });
  }
  server.clock.set(31 * 24 * 3600 + 11 * 60);
  const { access } = await signIn(server, 'dev', ADA);
  assert(!before.includes(kidOf(access)));
});

scenario('with another root secret everything goes on once it is sealed anew', async (stage) => {
  const [oldSecret, newSecret] = [randomBytes(48).toString('base64'), randomBytes(48).toString('base64')];
  const server = await stage.gatehouse({ env: { JWT_SECRET: oldSecret } });
  const { access, refresh: refreshToken } = await signIn(server, 'dev', ADA);
  const reencrypt = (env) => runToEnd(['secrets', 'reencrypt', '--dev'], { cwd: server.dir, env });
  const both = { JWT_SECRET: newSecret, JWT_SECRET_PREVIOUS: oldSecret };
  assert.match((await reencrypt(both)).stderr, /another process is using/, 'not while it runs');
  await server.stop();

  const refused = await runToEnd(['serve', '--dev'], { cwd: server.dir, env: { JWT_SECRET: newSecret, SERVER_PORT: '0' } });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /JWT_SECRET_PREVIOUS/, 'it says what to do');
  const forgotten = await reencrypt({ JWT_SECRET: newSecret });
  assert.equal(forgotten.code, 1);
  assert.match(forgotten.stdout, /signing_keys\.private_sealed {2}0 sealed anew, 0 were current, 3 unreadable/);
  const done = await reencrypt(both);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /signing_keys\.private_sealed {2}3 sealed anew, 0 were current, 0 unreadable/);
  assert.match((await reencrypt(both)).stdout, /0 sealed anew, 3 were current, 0 unreadable/);

  await server.restart({ env: { JWT_SECRET: newSecret } });
  assert.equal((await whoAmI(server, access)).status, 200, 'no token died');
  tokens(await refresh(server, refreshToken));
});
