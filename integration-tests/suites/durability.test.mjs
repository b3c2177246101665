// What was answered is kept: through kill -9, and through SIGTERM under load.

import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { assertOAuthError } from '../lib/expect.mjs';
import {
  CLI, WEB, appParameters, decide, deviceCode, exchange, obtainCode, poll, pollToTheEnd, refresh, refreshGrant, signIn,
  tokens, upstreamAnswer, verifyAccessToken, webSignIn, whoAmI,
} from '../lib/flows.mjs';
import { readAnswer, request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';
import { until, within } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

async function crash(server) {
  await server.kill9();
  await server.restart();
}

scenario('kill -9 right after an answer loses nothing (123)', async (stage) => {
  const server = await stage.gatehouse();
  const browser = stage.browser();

  const device = await deviceCode(server);
  await crash(server);
  assertOAuthError(await poll(server, device), 400, 'authorization_pending');
  await decide(browser, server, device.user_code, ADA);
  await crash(server);
  const fromDevice = tokens(await poll(server, device)); // the approval is kept
  await crash(server);
  assert.equal((await whoAmI(server, fromDevice.access)).status, 200, 'and so are the session and the signing key');

  const attempt = await obtainCode(server, 'dev', ADA);
  await crash(server);
  const first = tokens(await exchange(server, attempt));
  await crash(server);
  const second = tokens(await refresh(server, first.refresh));
  await crash(server);
  tokens(await refreshGrant(server, second.refresh));

  const { access } = await signIn(server, 'dev', ADA);
  assert.equal((await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: access })).status, 204);
  await crash(server);
  assert.equal((await whoAmI(server, access)).status, 401, 'signed out is signed out');
});

scenario('a sign-in that began before the crash ends after it', async (stage) => {
  // A provider outside: the dev provider keeps its codes in the memory that the crash takes away.
  const { server, oidc } = await stage.gatehouseWith(['oidc']);
  const browser = stage.browser();
  const begun = webSignIn(server, 'oidc');
  const back = await upstreamAnswer(browser, server, begun.url, oidc.account({ ...ADA, email_verified: true }));
  await crash(server);
  tokens(await exchange(server, { ...begun, code: appParameters(await browser.get(back)).code }));
});

scenario('a used code and a used refresh token are still used after kill -9 (67, 70)', async (stage) => {
  const server = await stage.gatehouse();
  const attempt = await obtainCode(server, 'dev', ADA);
  const first = tokens(await exchange(server, attempt));
  const second = tokens(await refresh(server, first.refresh));
  const third = tokens(await refresh(server, second.refresh));
  await crash(server);
  assertOAuthError(await refreshGrant(server, first.refresh), 400, 'invalid_grant');
  assertOAuthError(await refreshGrant(server, third.refresh), 400, 'invalid_grant');
  assert.equal((await whoAmI(server, third.access)).status, 401, 'the family died with the reuse');

  const replayed = await obtainCode(server, 'dev', ADA);
  const { access } = tokens(await exchange(server, replayed));
  const begun = webSignIn(server, 'dev');
  const browser = stage.browser();
  const back = await upstreamAnswer(browser, server, begun.url, ADA);
  const thief = browser.clone();
  appParameters(await browser.get(back));
  await crash(server);
  assertOAuthError(await exchange(server, replayed), 400, 'invalid_grant');
  assert.equal((await whoAmI(server, access)).status, 401);
  assert((await thief.get(back)).status >= 400, 'a used state is still used');
});

scenario('kill -9 under load: every answer that was read in full is true afterwards (262)', async (stage) => {
  const server = await stage.gatehouse();
  const session = await signIn(server, 'dev', ADA);
  for (let round = 0; round < 3; round += 1) {
    const ledger = [];
    let stopped = false;
    const worker = async () => {
      while (!stopped) {
        const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId } }).catch(() => undefined);
        if (answer === undefined) return;
        if (answer.status === 200) ledger.push(answer.json);
      }
    };
    const workers = Array.from({ length: 16 }, worker);
    await until('some codes are issued', () => ledger.length > 50 * (round + 1), { everyMs: 1 });
    await server.kill9();
    stopped = true;
    await Promise.all(workers);
    await server.restart();
    for (const device of ledger) {
      const answer = await poll(server, device);
      assert.equal(answer.json.error, 'authorization_pending', `one of ${ledger.length} acknowledged codes is gone`);
    }
  }
  assert.equal((await whoAmI(server, session.access)).status, 200);
  await verifyAccessToken(server, session.access, WEB.clientId);
});

scenario('SIGTERM under load: every accepted request gets its whole answer, and the exit code is 0 (273)', async (stage) => {
  const server = await stage.gatehouse();

  // Requests that the service has certainly accepted: it has said 100 Continue and waits for the body.
  const open = await Promise.all(Array.from({ length: 40 }, () => openRequest(server)));
  const ledger = [];
  const load = Array.from({ length: 16 }, () => loadUntilClosed(server, ledger));
  await until('the load runs', () => ledger.length > 50, { everyMs: 1 });

  server.signal('SIGTERM');
  await until('the service accepts no more', () => refuses(server), { everyMs: 2 });
  const answers = await Promise.all(open.map(({ finish }) => finish()));
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.text);
    ledger.push(answer.json);
  }
  await Promise.all(load);
  assert.deepEqual(await server.exited(), { code: 0, signal: null });

  await server.restart();
  for (const device of ledger.slice(-200)) {
    assert.equal((await poll(server, device)).json.error, 'authorization_pending', 'what was acknowledged while stopping is kept');
  }
});

scenario('SIGTERM when idle is quick, SIGINT is the same, and what came before is kept', async (stage) => {
  const server = await stage.gatehouse();
  const { refresh: token } = await signIn(server, 'dev', ADA);
  const started = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert(performance.now() - started < 5_000, 'nothing to wait for');
  await server.restart();
  const next = tokens(await refresh(server, token));
  server.signal('SIGINT');
  assert.deepEqual(await server.exited(), { code: 0, signal: null });
  await server.restart();
  tokens(await refresh(server, next.refresh));
});

scenario('a restart between the steps of a device sign-in is not noticed', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  await server.stop();
  await server.restart();
  await decide(stage.browser(), server, device.user_code, ADA);
  await server.stop();
  await server.restart();
  const { access } = tokens(await pollToTheEnd(server, device));
  const { payload } = await verifyAccessToken(server, access, CLI.clientId);
  assert.equal(payload.email, ADA.email);
});

/** Sends the head of a request and waits for 100 Continue; `finish` sends the body and reads the answer. */
async function openRequest(server) {
  const body = `client_id=${CLI.clientId}`;
  const url = `${server.url}/auth/device/code`;
  const outgoing = http.request(url, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length, expect: '100-continue' },
  });
  const answered = new Promise((resolve, reject) => {
    outgoing.on('response', (incoming) => resolve(readAnswer(url, 'POST', incoming)));
    outgoing.on('error', reject);
  });
  answered.catch(() => {}); // reported by `finish`
  const accepted = new Promise((resolve) => { outgoing.on('continue', resolve); });
  outgoing.flushHeaders();
  await within(10_000, 'the service says 100 Continue', Promise.race([accepted, answered]));
  return {
    finish: () => {
      outgoing.end(body);
      return within(35_000, 'an accepted request is answered', answered);
    },
  };
}

/**
 * Asks for device codes over one connection until the service closes it. An answer that has begun must end; a request
 * on a connection that the service closed before a byte of the answer may be lost (RFC 9112 section 9.3.1), a fresh
 * one may find nobody listening.
 */
async function loadUntilClosed(server, ledger) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (;;) {
      const answer = await request(`${server.url}/auth/device/code`, { form: { client_id: CLI.clientId }, agent });
      if (answer.status === 200) ledger.push(answer.json);
      else assert.equal(answer.status, 429, answer.text);
    }
  } catch (error) {
    assert(['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(error.code), `an answer broke off: ${error.message}`);
  } finally {
    agent.destroy();
  }
}

function refuses(server) {
  return new Promise((resolve) => {
    const socket = net.connect(Number(server.port), '127.0.0.1');
    socket.on('connect', () => { socket.destroy(); resolve(false); });
    socket.on('error', (error) => resolve(error.code === 'ECONNREFUSED'));
  });
}
