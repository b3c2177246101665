// The feed of an organization: pulled and streamed, nothing missed and nothing twice, also while others write.

import assert from 'node:assert/strict';
import { EventStream } from '../lib/event-stream.mjs';
import { assertApiError } from '../lib/expect.mjs';
import { signIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const FEED = '/api/organizations/demo/events';
const ADA = { email: 'ada@example.test', name: 'Ada' };

async function setting(stage, options) {
  const server = await stage.gatehouse(options);
  const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  return { server, owner };
}

async function page(caller, query = '') {
  const answer = await caller.get(FEED + query);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

const types = (events) => events.map(({ type }) => type);
const rename = (owner, name) => owner.patch('/api/organizations/demo', { name });

scenario('a cursor is pulled along without missing or repeating anything while others write', async (stage) => {
  const { owner } = await setting(stage);
  let cursor = (await page(owner, '?after=latest')).next_cursor;
  const before = await page(owner);
  assert.equal(before.events.at(-1)?.id ?? null, cursor);
  const WRITERS = 6;
  const EACH = 25;
  let done = false;
  const writing = Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
    for (let n = 0; n < EACH; n += 1) assert.equal((await rename(owner, `${writer}-${n}`)).status, 200);
  })).then(() => { done = true; });
  const seen = [];
  for (;;) {
    const finished = done;
    const { events, next_cursor: next, has_more: more } = await page(owner, `?limit=7${cursor === null ? '' : `&after=${cursor}`}`);
    seen.push(...events);
    cursor = next;
    if (finished && events.length === 0 && !more) break;
  }
  await writing;
  assert.equal(seen.length, WRITERS * EACH);
  assert.deepEqual(seen.map(({ sequence }) => sequence), seen.map((_, n) => seen[0].sequence + n), 'no gap, no repeat, in order');
  const names = new Set(seen.map(({ data }) => data.details.after.name));
  assert.equal(names.size, WRITERS * EACH, 'every change once');
});

scenario('what happens is in the feed, with ids and without anything personal', async (stage) => {
  const { server, owner } = await setting(stage);
  const { next_cursor: start } = await page(owner, '?after=latest');
  const since = start === null ? '' : `?after=${start}`;
  const { access } = await signIn(server, 'dev', ADA);
  assert.equal((await request(`${server.url}/api/auth/logout`, { method: 'POST', bearer: access })).status, 204);
  const [user] = (await owner.get('/api/organizations/demo/users')).json.users;
  await until('the end of the session is told of', async () => types((await page(owner, since)).events).includes('session.ended'));
  assert.equal((await owner.delete(`/api/organizations/demo/users/${user.user.id}`)).status, 204);
  const invited = await owner.post('/api/organizations/demo/invitations', { email: 'new@example.test', role: 'member' });
  await owner.delete(`/api/organizations/demo/invitations/${invited.json.invitation.id}`);
  await owner.delete('/api/organizations/demo/services/cli');
  const { events } = await page(owner, since);
  assert.deepEqual(types(events), [
    'user.created', 'session.created', 'session.ended', 'user.erased', 'invitation.created', 'invitation.cancelled', 'service.deleted',
  ]);
  const [created, opened, ended] = events;
  assert.equal(created.data.user_id, user.user.id);
  assert.deepEqual([opened.data.user_id, opened.data.session_id, ended.data.session_id], [user.user.id, ended.data.session_id, opened.data.session_id]);
  assert.equal(ended.data.reason, 'logout');
  assert(!JSON.stringify(events).includes('@'), 'no address');
  const filtered = await page(owner, `?types=user.created,user.erased${since.replace('?', '&')}`);
  assert.deepEqual(types(filtered.events), ['user.created', 'user.erased']);
  assert.equal(filtered.next_cursor, events.at(-1).id, 'what was filtered out counts as seen');

  for (const [query, field] of [['?after=1', 'after'], ['?limit=0', 'limit'], ['?limit=101', 'limit'], ['?types=user', 'types'], [`?after=${created.id.replace(/^./, 'f')}`, 'after']]) {
    const answer = await owner.get(FEED + query);
    assertApiError(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual(answer.json.fields, [field], query);
  }
  const stranger = await signInAdministrator(server, ADA);
  assertApiError(await stranger.get(FEED), 404, 'NOT_FOUND');
  assertApiError(await request(`${server.url}${FEED}`, { headers: { accept: 'text/event-stream' } }), 401, 'UNAUTHORIZED');
});

scenario('a stream tells at once, and goes on where it was cut', async (stage) => {
  const { server, owner } = await setting(stage);
  await rename(owner, 'before');
  const first = await EventStream.open(server, `${FEED}?after=latest`, { bearer: owner.access });
  assert.equal(first.status, 200);
  assert.match(first.headers['content-type'], /^text\/event-stream/);
  assert.match(first.headers['cache-control'], /no-store/);
  await rename(owner, 'one');
  const [one] = await first.until(1, { deadlineMs: 5_000 });
  assert.deepEqual([one.event, one.data.data.details.after.name, one.id], ['organization.renamed', 'one', one.data.id]);
  first.close();
  for (const name of ['two', 'three']) await rename(owner, name);
  const second = await EventStream.open(server, `${FEED}?after=latest`, { bearer: owner.access, lastEventId: first.lastEventId });
  await second.until(2, { deadlineMs: 5_000 });
  await rename(owner, 'four');
  await second.until(3, { deadlineMs: 5_000 });
  assert.deepEqual(second.events.map(({ data }) => data.data.details.after.name), ['two', 'three', 'four']);

  // Many at once, one of them while others write; each sees each once.
  const streams = await Promise.all(Array.from({ length: 4 }, () => EventStream.open(server, `${FEED}?after=latest`, { bearer: owner.access })));
  await Promise.all(Array.from({ length: 30 }, (_, n) => rename(owner, `n${n}`)));
  for (const stream of [second, ...streams]) {
    const own = (await stream.until(stream === second ? 33 : 30)).slice(-30);
    assert.deepEqual(own.map(({ data }) => data.sequence), own.map((_, n) => own[0].data.sequence + n));
  }
  assertApiError(await request(`${server.url}${FEED}`, { bearer: owner.access, headers: { accept: 'text/event-stream', 'last-event-id': 'nonsense' } }), 400, 'VALIDATION_FAILED');

  // SIGTERM ends streams at once; the stop waits for nobody.
  const begun = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert(performance.now() - begun < 10_000);
  await until('the streams ended', () => [second, ...streams].every(({ ended }) => ended));
});

scenario('a stream ends with the role and with the session of its reader', async (stage) => {
  const { server, owner } = await setting(stage);
  const ann = await signInAdministrator(server, { email: 'ann@example.test', name: 'Ann' });
  const invited = await owner.post('/api/organizations/demo/invitations', { email: 'ann@example.test', role: 'admin' });
  assert.equal((await ann.post('/api/invitations/accept', { token: invited.json.token })).status, 200);
  const path = `${FEED}?after=latest`;
  const stream = await EventStream.open(server, path, { bearer: ann.access });
  await rename(owner, 'seen');
  await stream.until(1, { deadlineMs: 5_000 });
  assert.equal((await owner.patch(`/api/organizations/demo/members/${ann.userId}`, { role: 'member' })).status, 200);
  await until('the stream ended', () => stream.ended, { deadlineMs: 25_000 });
  assert.equal(stream.events.length, 1, 'not even the event that took the role away');

  const other = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
  const own = await EventStream.open(server, path, { bearer: other.access });
  assert.equal((await other.post('/api/auth/logout')).status, 204);
  await rename(owner, 'not seen');
  await until('the stream ended', () => own.ended, { deadlineMs: 25_000 });
  assert.equal(own.events.length, 0);

  // Eleven of one organization are one too many, and a place that is left is free again.
  const streams = await Promise.all(Array.from({ length: 10 }, () => EventStream.open(server, path, { bearer: owner.access })));
  assert(streams.every(({ status }) => status === 200));
  const full = await request(server.url + path, { bearer: owner.access, headers: { accept: 'text/event-stream' } });
  assertApiError(full, 429, 'RATE_LIMITED');
  assert(Number(full.headers['retry-after']) > 0);
  streams[0].close();
  await rename(owner, 'wakes'); // who hung up is noticed when something is sent
  await until('a place is free', async () => {
    const again = await EventStream.open(server, path, { bearer: owner.access });
    again.close();
    return again.status === 200;
  }, { deadlineMs: 25_000, everyMs: 200 });
  for (const one of streams) one.close();
});
