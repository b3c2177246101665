// The log: one object per line, one id per request in all of them, and nothing forged or secret in it.

import assert from 'node:assert/strict';
import { obtainCode, exchange, refresh, tokens } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };

/** Every line as an object, the last one too, so the service ends. Fails at the first that is none. */
async function objects(server) {
  assert.equal((await server.stop()).code, 0);
  return server.logs().filter((line) => !isForPeople(line)).map((line) => {
    const object = JSON.parse(line);
    const { time, level, target, message, fields, ...rest } = object;
    assert.deepEqual(rest, {}, line);
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.match(level, /^(error|warn|info|debug|trace)$/);
    assert.equal(typeof target, 'string');
    assert.equal(typeof message, 'string');
    return object;
  });
}

// What dev mode prints for who started it, on standard output.
const isForPeople = (line) => line === '' || line.startsWith('  ');

scenario('LOG_FORMAT=json: one object per line, stable keys, the id of the request in each of its lines', async (stage) => {
  const server = await stage.gatehouse({ env: { LOG_FORMAT: 'json' }, logLevel: 'info' });
  const id = 'reuse-0123456789';
  const { refresh: token } = tokens(await exchange(server, await obtainCode(server, 'dev', ADA)));
  assert.equal((await refresh(server, token)).status, 200);
  const next = (await refresh(server, token)).json.refresh_token;
  assert.equal((await refresh(server, next)).status, 200);
  // Reuse: the successor was used, so this ends the session, and the log says so beside the request line.
  const reused = await request(`${server.url}/api/auth/refresh?token=${token}`, { json: { refresh_token: token }, headers: { 'x-request-id': id, 'user-agent': 'a"b\\c' } });
  assert.equal(reused.status, 400);
  assert.equal(reused.headers['x-request-id'], id);
  assert.equal(reused.json.instance, id);

  const lines = await objects(server);
  const ofReuse = lines.filter(({ fields }) => fields?.request === id);
  assert.deepEqual(ofReuse.map(({ level, message }) => [level, message]), [
    ['warn', 'refresh token reused, session ended'],
    ['info', 'request refused'],
  ]);
  const { micros, ...fields } = ofReuse[1].fields;
  assert.deepEqual(fields, { request: id, method: 'POST', route: '/api/auth/refresh', status: 400, address: '127.0.0.1', code: 'INVALID_GRANT', detail: reused.json.error });
  assert(Number.isInteger(micros) && micros > 0);
  const requests = lines.filter(({ message }) => /^request/.test(message));
  for (const { fields: { request: requestId, method, route, status } } of requests) {
    assert.match(requestId, /^[0-9A-Za-z-]{8,64}$/);
    assert.equal(typeof method, 'string');
    assert(route === 'unmatched' || route.startsWith('/'), route);
    assert(Number.isInteger(status));
  }
  assert.equal(new Set(requests.map((line) => line.fields.request)).size, requests.length, 'an id per request');
  assert(!server.logs().some((line) => /[?&](code|state|token|user_code)=/.test(line)), 'no query');
});

scenario('an id that is not well formed is replaced, whoever sends it', async (stage) => {
  const server = await stage.gatehouse({ env: { LOG_FORMAT: 'json' }, logLevel: 'info' });
  const ask = (id) => request(`${server.url}/api/user`, { headers: { 'x-request-id': id } });
  for (const good of ['0123abcd', 'A'.repeat(64), '01a21126-6a68-78db-b0ac-51a7b8ae7eb2']) {
    assert.equal((await ask(good)).headers['x-request-id'], good);
  }
  const given = [];
  for (const bad of ['short', 'A'.repeat(65), 'a b c d e f', '{"level":"error"}', 'x"},"y":{"z', '../../../../etc', 'id_with_underscore', 'ümlaut-umlaut']) {
    const answer = await ask(Buffer.from(bad).toString('latin1'));
    given.push(answer.headers['x-request-id']);
    assert.match(given.at(-1), /^[0-9a-f]{8}-[0-9a-f]{4}-7/, bad);
    assert.equal(answer.json.instance, given.at(-1));
  }
  const logged = (await objects(server)).map(({ fields }) => fields?.request);
  assert.deepEqual(given.map((id) => logged.filter((other) => other === id).length), given.map(() => 1));
});
