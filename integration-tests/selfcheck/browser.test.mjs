// The cookie client and the forms it reads.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CookieJar, formWith, links, visibleText } from '../lib/browser.mjs';

const page = (text) => ({ url: 'http://127.0.0.1:8000/activate?x=1', status: 200, text });

test('cookies keep to their host and path, end with Max-Age=0, and ignore the port', () => {
  const jar = new CookieJar();
  jar.store('http://127.0.0.1:8000/auth/dev', ['a=1; Path=/; HttpOnly; SameSite=Lax', 'b=2; Path=/auth', 'c=3']);
  assert.equal(jar.header('http://127.0.0.1:9000/auth/dev/callback'), 'b=2; c=3; a=1');
  assert.equal(jar.header('http://127.0.0.1:8000/authority'), 'a=1');
  assert.equal(jar.header('http://localhost:8000/auth'), undefined);
  const copy = jar.clone();
  jar.store('http://127.0.0.1:8000/', ['a=; Path=/; Max-Age=0']);
  assert.equal(jar.header('http://127.0.0.1:8000/'), undefined);
  assert.equal(copy.header('http://127.0.0.1:8000/'), 'a=1');
});

test('cookies that a browser refuses are failures', () => {
  const jar = new CookieJar();
  assert.throws(() => jar.store('http://127.0.0.1/', ['a=1; Secure']), /Secure/);
  assert.throws(() => jar.store('https://x.test/', ['__Host-a=1; Secure; Path=/auth']), /prefix/);
  assert.throws(() => jar.store('https://x.test/', ['a=1; Domain=x.test']), /Domain/);
});

test('forms submit what a browser submits', () => {
  const html = page(`<form method="post" action="/activate/confirm"><input type="hidden" name="csrf" value="a&amp;b&#x2F;">
    <input name=email value=''><input type="checkbox" name="email_verified" value="true" checked>
    <button name="decision" value="approve">Yes</button><button name="decision" value="deny">No</button></form><form><input name="q"></form>`);
  const form = formWith(html, 'csrf');
  assert.equal(form.method, 'POST');
  assert.equal(form.action, 'http://127.0.0.1:8000/activate/confirm');
  assert.deepEqual(form.fill({ decision: 'deny', email: 'a@b' }), [['csrf', 'a&b/'], ['email', 'a@b'], ['email_verified', 'true'], ['decision', 'deny']]);
  assert.deepEqual(form.fill({ email_verified: false }), [['csrf', 'a&b/'], ['email', '']]);
  assert.throws(() => form.fill({ nothing: 'x' }), /no field nothing/);
  assert.throws(() => formWith(html, 'absent'), /expected one form/);
});

test('links are absolute and text is what a reader sees', () => {
  const html = page('<style>p{}</style><p>A &amp; B</p><a class="provider" href="/auth/dev?a=1&amp;b=2">Go</a>');
  assert.deepEqual(links(html), ['http://127.0.0.1:8000/auth/dev?a=1&b=2']);
  assert.equal(visibleText(html), 'A & B Go');
});
