// What a scenario plays on: its own service, its own upstream providers, its own visitors.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser } from './browser.mjs';
import { integrityProblems } from './database.mjs';
import { Gatehouse } from './gatehouse.mjs';
import { GitHub } from './github.mjs';
import { lastRequests, openJournal, rememberSecret } from './journal.mjs';
import { Upstream } from './upstream.mjs';

const SCENARIO_DEADLINE_MS = 90_000;

/**
 * A test that owns a stage. Afterwards every service on it is stopped by SIGTERM and must exit with 0; no panic, no
 * secret in a log or on the disk, and the database is whole. A failure prints request ids and the last log lines.
 * @param {string} name
 * @param {(stage: Stage) => Promise<void>} play
 */
export function scenario(name, play) {
  test(name, { timeout: SCENARIO_DEADLINE_MS }, async () => {
    openJournal();
    const stage = new Stage();
    try {
      await play(stage);
      await stage.finish();
    } catch (error) {
      stage.report();
      throw error;
    } finally {
      await stage.remove();
    }
  });
}

export class Stage {
  #servers = [];
  #upstreams = [];

  /** A service in dev mode (or not: `{ dev: false }`), see Gatehouse.start. */
  async gatehouse(options) {
    const server = await Gatehouse.start(options);
    this.#servers.push(server);
    return server;
  }

  /**
   * A service in dev mode with stand-ins behind the named providers (github, google, microsoft, oidc).
   * Returns `{ server, google, github, ... }`. `platform` gives the platform realm the same stand-ins.
   */
  async gatehouseWith(providers, { platform = false, env = {}, ...options } = {}) {
    const upstreams = {};
    for (const name of providers) upstreams[name] = name === 'github' ? await GitHub.start() : await Upstream.start(name);
    this.#upstreams.push(...Object.values(upstreams));
    const settings = Object.assign({}, ...Object.entries(upstreams).map(([name, upstream]) => providerEnv(name, upstream, platform, options.dev)));
    const server = await this.gatehouse({ ...options, env: { ...settings, ...env } });
    for (const [name, upstream] of Object.entries(upstreams)) {
      upstream.redirectUris.push(`${server.url}/auth/${name}/callback`, `${server.url}/auth/admin/${name}/callback`);
    }
    return { server, ...upstreams };
  }

  /** A provider that no setting names: an organization's own. */
  async upstream(name = 'oidc') {
    const upstream = await Upstream.start(name);
    this.#upstreams.push(upstream);
    return upstream;
  }

  /** A visitor with an empty cookie jar. */
  browser() {
    return new Browser();
  }

  /** Everything that must hold after every scenario. */
  async finish() {
    for (const server of this.#servers) {
      server.assertClean(); // while it runs, so that the write-ahead log is still there
      if (server.running) assert.deepEqual(await server.stop(), { code: 0, signal: null }, 'SIGTERM ends it with exit code 0');
      server.assertClean(); // and what it said and wrote while it stopped
      assert.deepEqual(await integrityProblems(server.dir), [], 'the database is whole');
    }
  }

  /** Prints what helps to understand a failure. */
  report() {
    const parts = ['last requests:', ...lastRequests().map((line) => `  ${line}`)];
    for (const server of this.#servers) parts.push(`log of ${server.url}:`, server.tail());
    console.error(parts.join('\n'));
  }

  /** Ends everything, whatever happened. */
  async remove() {
    await Promise.all(this.#servers.map((server) => server.remove()));
    await Promise.all(this.#upstreams.map((upstream) => upstream.stop()));
  }
}

const ENDPOINT_KEYS = { google: 'GOOGLE_ISSUER', microsoft: 'MICROSOFT_AUTHORITY', oidc: 'OIDC_ISSUER' };

// Production mode has no seeded organization, so there the application belongs to the platform realm alone.
function providerEnv(name, upstream, platform, dev = true) {
  const upper = name.toUpperCase();
  rememberSecret('provider client secret', upstream.clientSecret);
  const env = name === 'github'
    ? { GITHUB_BASE_URL: upstream.url, GITHUB_API_URL: upstream.apiUrl }
    : { [ENDPOINT_KEYS[name]]: upstream.url };
  const application = (prefix) => ({
    [`${prefix}${upper}_CLIENT_ID`]: upstream.clientId,
    [`${prefix}${upper}_CLIENT_SECRET`]: upstream.clientSecret,
  });
  return { ...env, ...(dev ? application('') : {}), ...(platform ? application('PLATFORM_') : {}) };
}
