// docs/connect-your-app.md: its examples are taken out of the page and run, against the real binary and in a real browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchChromium, openWindow } from '../lib/chromium.mjs';
import { CLI, WEB, decide, signIn, signInThrough } from '../lib/flows.mjs';
import { freePort } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';
import { signInAdministrator } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const ADA = { email: 'ada@example.test', name: 'Ada Lovelace' };
const SERVICE = '/api/organizations/demo/services/web';
const GUIDE = fileURLToPath(new URL('../../docs/connect-your-app.md', import.meta.url));
// Beside the packages, so that the examples find them as they would after `npm install`.
const CACHE = fileURLToPath(new URL('../node_modules/.cache/', import.meta.url));

let folder;
let chromium;
before(async () => {
  mkdirSync(CACHE, { recursive: true });
  folder = mkdtempSync(path.join(CACHE, 'guide-'));
  const text = readFileSync(GUIDE, 'utf8');
  for (const [, name, code] of text.matchAll(/^```\w+ file=(\S+)\n([^]*?)^```$/gm)) writeFileSync(path.join(folder, name), code);
  chromium = await launchChromium();
});
after(async () => {
  await chromium?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** An example as a process: `said()` is what it printed so far. */
function run(file, env) {
  const child = spawn(process.execPath, [path.join(folder, file)], { env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { text += chunk; });
  return {
    said: () => text,
    has: (pattern) => until(`${file} prints ${pattern}`, () => pattern.exec(text), { deadlineMs: 30_000 }).catch((error) => { throw new Error(`${error.message}\n${text}`); }),
    stop: () => child.kill('SIGKILL'),
  };
}

async function owned(stage) {
  const server = await stage.gatehouse();
  return { server, owner: await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' }) };
}

scenario('the web app of the guide signs in and out', async (stage) => {
  const { server, owner } = await owned(stage);
  const port = await freePort();
  const home = `http://127.0.0.1:${port}/`;
  assert.equal((await owner.patch(SERVICE, { redirect_uris: [`${home}callback`], post_logout_redirect_uris: [home] })).status, 200);
  const { client_secret: secret } = (await owner.post(`${SERVICE}/client-secret`)).json;
  const app = run('web-app.mjs', { ISSUER: server.url, CLIENT_ID: WEB.clientId, CLIENT_SECRET: secret, PORT: String(port) });
  try {
    await app.has(/listening on/);
    const browser = stage.browser();
    assert.match((await browser.get(home)).text, /Nobody is signed in/);
    const welcome = await signInThrough(browser, `${home}sign-in`, ADA, { stopAt: undefined });
    assert.match(welcome.text, /Hello Ada Lovelace/);
    const left = await browser.follow(await browser.get(`${home}sign-out`));
    assert.equal(left.url, home);
    assert.match(left.text, /Nobody is signed in/);
    const again = await browser.get(`${home}sign-in`);
    const asked = await browser.follow(again);
    assert.match(asked.text, /name="email_verified"/, 'signed out at Gatehouse as well: the provider asks again');
  } finally {
    app.stop();
  }
});

scenario('the single-page app of the guide signs in from another origin', async (stage) => {
  const { server, owner } = await owned(stage);
  const page = readFileSync(path.join(folder, 'spa.html'));
  const settings = JSON.stringify({ issuer: server.url, clientId: WEB.clientId });
  const web = http.createServer((incoming, outgoing) => {
    const isSettings = incoming.url === '/settings.json';
    outgoing.writeHead(200, { 'content-type': isSettings ? 'application/json' : 'text/html' }).end(isSettings ? settings : page);
  });
  await new Promise((resolve) => { web.listen(0, '127.0.0.1', resolve); });
  const home = `http://127.0.0.1:${web.address().port}/`;
  assert.equal((await owner.patch(SERVICE, { redirect_uris: [home] })).status, 200);
  const { page: window, context, complaints } = await openWindow(chromium);
  try {
    await window.goto(home);
    await window.getByText('Nobody is signed in').waitFor();
    await window.click('#sign-in');
    await window.fill('input[name=email]', ADA.email);
    await window.fill('input[name=name]', ADA.name);
    await window.click('form button[type=submit], form input[type=submit]');
    await window.getByText('Hello Ada Lovelace').waitFor();
    assert.equal(window.url(), home, 'no code stays in the address');
    assert.deepEqual(complaints.filter((line) => !/favicon/.test(line)), []);
  } finally {
    await context.close();
    web.closeAllConnections();
    web.close();
  }
});

scenario('the CLI of the guide signs in and gives its session up', async (stage) => {
  const { server } = await owned(stage);
  const cli = run('cli.mjs', { ISSUER: server.url, CLIENT_ID: CLI.clientId });
  try {
    const [, userCode] = await cli.has(/compare the code: (\S+)/);
    await decide(stage.browser(), server, userCode, ADA);
    await cli.has(/Signed in as ada@example\.test/);
    await cli.has(/Signed out/);
  } finally {
    cli.stop();
  }
});

scenario('the resource server of the guide lets good tokens in and no others', async (stage) => {
  const { server } = await owned(stage);
  const port = await freePort();
  const api = run('resource-server.mjs', { ISSUER: server.url, AUDIENCE: WEB.clientId, PORT: String(port) });
  try {
    await api.has(/listening on/);
    const ask = (bearer) => request(`http://127.0.0.1:${port}/`, bearer === undefined ? {} : { bearer });
    const { access, refresh, answer } = await signIn(server, 'dev', ADA);
    const good = await ask(access);
    assert.deepEqual([good.status, good.json.org, good.json.plan], [200, 'demo', 'free']);
    const owner = await signInAdministrator(server, { email: 'admin@example.com', name: 'Admin' });
    for (const bad of [undefined, 'garbage', refresh, answer.json.id_token, owner.access]) assert.equal((await ask(bad)).status, 401);
  } finally {
    api.stop();
  }
});
