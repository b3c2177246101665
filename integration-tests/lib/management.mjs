// The management API as a script uses it: an administrator signs in at a terminal, then sends JSON.

import assert from 'node:assert/strict';
import { Browser } from './browser.mjs';
import { PLATFORM_CLI, decide, deviceCode, poll, tokens, verifyAccessToken } from './flows.mjs';
import { request } from './http.mjs';

/** Somebody with (or, as `Caller.anonymous`, without) an access token. */
export class Caller {
  constructor(server, access) {
    this.server = server;
    this.access = access;
  }

  static anonymous(server) {
    return new Caller(server, undefined);
  }

  /**
   * One call. Like common clients it names its content type also when there is no body.
   * @param {string} method
   * @param {string} path
   * @param {unknown} [json]
   * @param {Record<string, string>} [headers]
   */
  call(method, path, json, headers = {}) {
    const options = json === undefined ? { headers: { 'content-type': 'application/json', ...headers } } : { json, headers };
    return request(this.server.url + path, { method, bearer: this.access, ...options });
  }

  get(path) { return this.call('GET', path); }
  post(path, json) { return this.call('POST', path, json); }
  patch(path, json) { return this.call('PATCH', path, json); }
  delete(path, json) { return this.call('DELETE', path, json); }
}

/** Signs in to the platform realm through the device flow. `provider` is `dev`, or a stand-in given to that realm. */
export async function signInAdministrator(server, account, { provider = 'dev', browser = new Browser() } = {}) {
  const device = await deviceCode(server, PLATFORM_CLI);
  await decide(browser, server, device.user_code, account, { provider });
  const { access, refresh } = tokens(await poll(server, device, PLATFORM_CLI));
  const { payload } = await verifyAccessToken(server, access, `${server.url}/api`);
  const caller = new Caller(server, access);
  return Object.assign(caller, { refresh, email: payload.email, userId: payload.sub, isPlatformOwner: payload.is_platform_owner === true });
}

/** Gives a caller whose access token has expired a fresh one. */
export async function renew(caller) {
  const answer = await request(`${caller.server.url}/api/auth/refresh`, { json: { refresh_token: caller.refresh } });
  assert.equal(answer.status, 200, answer.text);
  Object.assign(caller, { access: answer.json.access_token, refresh: answer.json.refresh_token });
}

/** The address that starts a service whose first administrator of that address owns the platform. */
export const PLATFORM_OWNER = { email: 'root@example.test', name: 'Root' };

/** A dev-mode service and its platform owner: `{ server, owner }`. */
export async function ownedPlatform(stage, { env = {}, ...options } = {}) {
  const server = await stage.gatehouse({ env: { PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email, ...env }, ...options });
  const owner = await signInAdministrator(server, PLATFORM_OWNER);
  assert(owner.isPlatformOwner, 'the awaited address owns the platform');
  return { server, owner };
}

/** Registers an organization and returns it. */
export async function register(caller, slug, name = `Organization ${slug}`) {
  const answer = await caller.post('/api/organizations', { slug, name });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.organization;
}

/** Registers an organization and has the platform owner approve it. */
export async function registerActive(caller, platformOwner, slug) {
  const { id } = await register(caller, slug);
  const answer = await platformOwner.post(`/api/platform/organizations/${id}/approve`, {});
  assert.equal(answer.status, 200, answer.text);
  return (await caller.get(`/api/organizations/${slug}`)).json.organization;
}
