// The shapes of refusals, in the three renderings of docs/errors.md.

import assert from 'node:assert/strict';

/** OAuth rendering: RFC 6749 section 5.2 plus our code. */
export function assertOAuthError(answer, status, error, errorCode) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
  assert.match(answer.headers['cache-control'] ?? '', /no-store/);
  assert.equal(answer.json.error, error, answer.text);
  assert.equal(typeof answer.json.error_description, 'string');
  assert.equal(typeof answer.json.error_code, 'string');
  assertTimestamp(answer.json.timestamp);
  if (errorCode !== undefined) assert.equal(answer.json.error_code, errorCode, answer.text);
}

/** API rendering: a sentence, our code and the members of RFC 9457. */
export function assertApiError(answer, status, errorCode) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'] ?? '', /^application\/(problem\+)?json/);
  const { error, error_code: code, timestamp, type, title, status: inBody, detail, instance } = answer.json;
  assert.match(error, /\S+ \S+/, 'error is a sentence');
  assert.equal(code, errorCode, answer.text);
  assertTimestamp(timestamp);
  assert.equal(inBody, status);
  for (const [name, value] of Object.entries({ type, title, detail, instance })) assert.equal(typeof value, 'string', `${name} is a string`);
}

/** Page rendering: HTML with the right status, leading nowhere. */
export function assertErrorPage(answer, statuses) {
  const allowed = [statuses].flat();
  assert(allowed.includes(answer.status), `expected ${allowed}, got ${answer.status} at ${answer.url}: ${answer.location ?? answer.text.slice(0, 1000)}`);
  assert.match(answer.headers['content-type'] ?? '', /^text\/html/);
  assert.equal(answer.headers.location, undefined, 'an error page leads nowhere');
  assert.match(answer.text, /<title>[^<]+<\/title>/);
  assertStrictPolicy(answer);
  assert.doesNotMatch(answer.text, /UPSTREAM-INTERNALS|panicked|rusqlite|\.rs:\d+/, 'no internals on a page');
}

/** A page that runs nothing but what it brings itself, and that nobody may frame. */
export function assertStrictPolicy(answer) {
  const policy = new Map((answer.headers['content-security-policy'] ?? '').split(';').map((text) => {
    const [name, ...values] = text.trim().split(/\s+/);
    return [name, values];
  }));
  assert.deepEqual(policy.get('default-src'), ["'none'"], `default-src of ${answer.headers['content-security-policy']}`);
  assert.deepEqual(policy.get('frame-ancestors'), ["'none'"]);
  assert.deepEqual(policy.get('base-uri'), ["'none'"]);
  for (const [name, values] of policy) {
    for (const value of values) assert(!/unsafe|\*|^https?:$/.test(value), `${name} ${value} is too wide`);
  }
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.match(answer.headers['referrer-policy'] ?? '', /^(no-referrer|same-origin|strict-origin)/);
}

function assertTimestamp(text) {
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
}
