// Pushed authorization requests (RFC 9126), scopes of an organization and resources at the authorization endpoint.

import assert from 'node:assert/strict';
import { calculateJwkThumbprint, decodeJwt, exportJWK } from 'jose';
import * as client from 'openid-client';
import { assertErrorPage, assertOAuthError } from '../lib/expect.mjs';
import { APP, WEB, appParameters, pkce, signInThrough } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada' };
const BASE = '/api/organizations/demo/services';
const RESOURCES = ['https://files.example.test/', 'https://mail.example.test/'];

async function setting(stage, members) {
  const server = await stage.gatehouse();
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const answer = await owner.patch(`${BASE}/web`, { resources: RESOURCES, scopes: [{ name: 'files:read', description: 'Read files' }], ...members });
  assert.equal(answer.status, 200, answer.text);
  const config = await client.discovery(new URL(server.url), WEB.clientId, undefined, client.None(), { execute: [client.allowInsecureRequests] });
  return { server, owner, config };
}

function push(server, members) {
  const { challenge } = pkce();
  const right = { client_id: WEB.clientId, response_type: 'code', redirect_uri: APP, code_challenge: challenge, code_challenge_method: 'S256' };
  const form = Object.fromEntries(Object.entries({ ...right, ...members }).filter(([, value]) => value !== undefined));
  return request(`${server.url}/oauth/par`, { form });
}

scenario('openid-client pushes a request, bound to a key, and gets tokens for what it asked', async (stage) => {
  const { server, config } = await setting(stage, { require_pushed_authorization_requests: true, dpop_bound_access_tokens: true });
  const keys = await client.randomDPoPKeyPair('ES256');
  const DPoP = client.getDPoPHandle(config, keys);
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const parameters = {
    redirect_uri: APP, scope: 'openid files:read', resource: RESOURCES[0], state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  };
  const url = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP });
  assert.deepEqual([...url.searchParams.keys()].sort(), ['client_id', 'request_uri'], 'the browser carries a reference and nothing else');
  const answer = await signInThrough(stage.browser(), url.href, ADA);
  const tokens = await client.authorizationCodeGrant(config, new URL(answer.location), { pkceCodeVerifier: verifier, expectedState: state }, undefined, { DPoP });
  const claims = decodeJwt(tokens.access_token);
  assert.deepEqual([claims.aud, claims.scope, claims.cnf.jkt], [RESOURCES[0], 'openid files:read', await calculateJwkThumbprint(await exportJWK(keys.publicKey))]);
  const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token, { resource: RESOURCES[0] }, { DPoP: thief }));
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token, { resource: RESOURCES[1] }, { DPoP }), { error: 'invalid_target' });
  await client.refreshTokenGrant(config, tokens.refresh_token, { resource: RESOURCES[0] }, { DPoP });
  // Used once, and never by the way of parameters.
  assertErrorPage(await stage.browser().get(url.href), 400);
  const direct = client.buildAuthorizationUrl(config, parameters);
  assert.equal(appParameters(await stage.browser().get(direct.href)).error, 'invalid_request');
  const query = new URLSearchParams({ org: 'demo', service: 'web', ...parameters });
  assert.equal(appParameters(await stage.browser().get(`${server.url}/auth/dev?${query}`)).error, 'invalid_request');
});

scenario('what is pushed is checked when it is pushed, and belongs to its client', async (stage) => {
  const { server, owner } = await setting(stage, {});
  assert.equal((await request(`${server.url}/.well-known/openid-configuration`)).json.pushed_authorization_request_endpoint, `${server.url}/oauth/par`);
  const good = await push(server, {});
  assert.equal(good.status, 201, good.text);
  assert.equal(good.json.expires_in, 90);
  assert.match(good.json.request_uri, /^urn:ietf:params:oauth:request_uri:/);
  for (const [members, status, error] of [
    [{ client_id: undefined }, 401, 'invalid_client'], [{ client_id: 'nobody' }, 401, 'invalid_client'],
    [{ redirect_uri: 'https://evil.test/' }, 400, 'invalid_request'], [{ response_type: 'token' }, 400, 'unsupported_response_type'],
    [{ scope: 'openid admin' }, 400, 'invalid_scope'], [{ resource: 'https://other.test/' }, 400, 'invalid_target'],
    [{ code_challenge: undefined, code_challenge_method: undefined }, 400, 'invalid_request'],
    [{ request_uri: good.json.request_uri }, 400, 'invalid_request'], [{ request: 'a.b.c' }, 400, 'request_not_supported'],
    [{ dpop_jkt: 'short' }, 400, 'invalid_request'], [{ client_secret: 'x' }, 401, 'invalid_client'],
  ]) assertOAuthError(await push(server, members), status, error);
  const cli = await owner.patch(`${BASE}/cli`, { redirect_uris: [APP] });
  const foreign = new URLSearchParams({ client_id: cli.json.client_id, request_uri: good.json.request_uri });
  assertErrorPage(await stage.browser().get(`${server.url}/oauth/authorize?${foreign}`), 400);
  const made = new URLSearchParams({ client_id: WEB.clientId, request_uri: `${good.json.request_uri}x` });
  assertErrorPage(await stage.browser().get(`${server.url}/oauth/authorize?${made}`), 400);
});
