// The example of a resource server, as a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request } from './http.mjs';
import { within } from './until.mjs';

const EXAMPLE = fileURLToPath(new URL('../examples/resource-server.mjs', import.meta.url));

export class ResourceServer {
  /** Starts it for tokens of `server` for `audience`. `cacheMs` says for how long it keeps the key set. */
  static async start(server, audience, { cacheMs = 300_000 } = {}) {
    const env = { PATH: process.env.PATH, ISSUER: server.url, AUDIENCE: audience, PORT: '0', JWKS_CACHE_MS: String(cacheMs) };
    const child = spawn(process.execPath, [EXAMPLE], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await within(20_000, 'the resource server listens', once(createInterface({ input: child.stdout }), 'line'));
    const example = new ResourceServer();
    Object.assign(example, { child, url: line.replace(/^listening on /, '') });
    return example;
  }

  /** One call with a token. */
  call(accessToken) {
    return request(`${this.url}/`, { bearer: accessToken });
  }

  async stop() {
    const ended = once(this.child, 'close');
    this.child.kill('SIGKILL');
    await ended;
  }
}
