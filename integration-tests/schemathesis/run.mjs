// Schemathesis against the real binary: every operation of the API document, by everybody who might call. No answer may
// be a 5xx, have a status or content type that is not documented, or a body that is not of its schema.
//
//   node schemathesis/run.mjs [--examples N] [--seed N] [--phases examples,coverage,fuzzing]

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { WEB, obtainCode, tokenRequest, APP } from '../lib/flows.mjs';
import { Gatehouse } from '../lib/gatehouse.mjs';
import { PLATFORM_OWNER, registerActive, signInAdministrator } from '../lib/management.mjs';

const { values: options } = parseArgs({ options: {
  examples: { type: 'string', default: '2' },
  seed: { type: 'string', default: '1' },
  phases: { type: 'string', default: 'examples,fuzzing' },
  callers: { type: 'string', default: 'anonymous,end user,admin,owner,owner of another,platform owner' },
} });
const PROGRAM = process.env.SCHEMATHESIS ?? 'schemathesis';
const CHECKS = ['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_headers_conformance', 'response_schema_conformance'];
// What would end the caller's own session, so that all that follows is 401; the suites call them.
const ENDS_THE_SESSION = ['logout', 'endOtherSessions'];

/** A service with two organizations, and the token of a caller. */
async function stage(who) {
  const server = await Gatehouse.start({ env: { PLATFORM_OWNER_EMAIL: PLATFORM_OWNER.email }, logLevel: 'info' });
  const platformOwner = await signInAdministrator(server, PLATFORM_OWNER);
  const owner = await signInAdministrator(server, { email: 'owner@example.test', name: 'Owner' });
  await registerActive(owner, platformOwner, 'acme');
  const stranger = await signInAdministrator(server, { email: 'stranger@example.test', name: 'Stranger' });
  await registerActive(stranger, platformOwner, 'globex');
  const service = await owner.post('/api/organizations/acme/services', { slug: 'shop', name: 'Shop', service_type: 'web', redirect_uris: [APP] });
  assert.equal(service.status, 201, service.text);
  const token = {
    anonymous: async () => undefined,
    'end user': () => endUser(server),
    admin: () => admin(server, owner),
    owner: async () => owner.access,
    'owner of another': async () => stranger.access,
    'platform owner': async () => platformOwner.access,
  }[who];
  return { server, token: await token(), plan: service.json.default_plan.id };
}

async function endUser(server) {
  const { code, verifier } = await obtainCode(server, 'dev', { email: 'ada@example.test', name: 'Ada' });
  const answer = await tokenRequest(server, { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: APP, client_id: WEB.clientId });
  assert.equal(answer.status, 200, answer.text);
  return answer.json.access_token;
}

async function admin(server, owner) {
  const account = { email: 'admin@example.test', name: 'Admin' };
  const invited = await owner.post('/api/organizations/acme/invitations', { email: account.email, role: 'admin' });
  const caller = await signInAdministrator(server, account);
  const accepted = await caller.post('/api/invitations/accept', { token: invited.json.token });
  assert.equal(accepted.status, 200, accepted.text);
  return caller.access;
}

/** Runs it as one caller; returns its exit code and what it printed. */
async function runAs(who, number) {
  const { server, token, plan } = await stage(who);
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-schemathesis-'));
  try {
    const config = path.join(dir, 'schemathesis.toml');
    // Half of what matters lies behind names that exist.
    writeFileSync(config, `
[parameters]
"path.org" = "acme"
"path.svc" = "shop"
"path.plan" = "${plan}"

# Without a key of Stripe's there is nothing to sell: 503 with a sentence, as documented. Everywhere else it is a failure.
[[operations]]
include-tag = "Billing"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
`);
    const args = ['--config-file', config, 'run', `${server.url}/openapi.json`, '--checks', CHECKS.join(','), '--phases', options.phases,
      '--max-examples', options.examples, '--seed', String(Number(options.seed) + number), '--continue-on-failure', '--suppress-health-check', 'all',
      '--warnings', 'off', '--no-color', '--request-timeout', '20', '--max-redirects', '0'];
    for (const id of ENDS_THE_SESSION) args.push('--exclude-operation-id', id);
    if (token !== undefined) args.push('-H', `Authorization: Bearer ${token}`);
    const child = spawn(PROGRAM, args, { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout.on('data', (chunk) => { printed += chunk; });
    const [code] = await once(child, 'close');
    const panics = server.logs().filter((line) => line.includes('panicked'));
    assert.deepEqual(panics, []);
    return { code, printed };
  } finally {
    await server.remove();
    rmSync(dir, { recursive: true, force: true });
  }
}

let failed = 0;
for (const [number, who] of options.callers.split(',').entries()) {
  const { code, printed } = await runAs(who, number);
  const figures = printed.split('\n').filter((line) => /Operations?:|Tested:|generated|passed|failures?/i.test(line)).join('; ').replace(/\s+/g, ' ');
  if (code !== 0) console.log(printed);
  console.log(`as ${who}: ${code === 0 ? 'well' : 'FAILED'}; ${figures}`);
  if (code !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
