// Starting, refusing to start, and the subcommands an operator uses.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pretendNewerSchema } from '../lib/database.mjs';
import { databaseFiles, freePort, productionEnv, runToEnd } from '../lib/gatehouse.mjs';
import { deviceCode, poll, signIn } from '../lib/flows.mjs';
import { request } from '../lib/http.mjs';
import { scenario } from '../lib/stage.mjs';
import { until } from '../lib/until.mjs';

const BAD_CONFIGURATION = 78; // EX_CONFIG of sysexits.h

async function inFolder(play) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'gatehouse-e2e-'));
  try {
    await play(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function assertNames(text, names) {
  for (const name of names) assert(text.includes(name), `names ${name}: ${text}`);
  assert(!text.includes('panicked'), text);
}

test('production without settings refuses to start and lists every problem at once', () => inFolder(async (dir) => {
  const { code, stdout, stderr } = await runToEnd(['serve'], { cwd: dir, env: { HTTP_WORKERS: 'many', SERVER_PORT: '70000', PLATFORM_OWNER_EMAIL: 'nobody' } });
  assert.equal(code, BAD_CONFIGURATION, stderr);
  assertNames(stderr, ['JWT_SECRET', 'BASE_URL', 'DATABASE_URL', 'HTTP_WORKERS', 'SERVER_PORT', 'PLATFORM_OWNER_EMAIL']);
  assert.equal(stdout, '');
  assert.deepEqual(readdirSync(dir), [], 'a refused start leaves nothing behind');
}));

test('a weak or broken secret refuses to start, and is not repeated', () => inFolder(async (dir) => {
  const weak = ['hunter2-hunter2', 'a'.repeat(64), 'changeme-changeme-changeme-changeme'];
  for (const secret of weak) {
    const env = { ...productionEnv(dir, await freePort()), JWT_SECRET: secret };
    const { code, stdout, stderr } = await runToEnd(['serve'], { cwd: dir, env });
    assert.equal(code, BAD_CONFIGURATION, stderr);
    assertNames(stderr, ['JWT_SECRET']);
    assert(!(stdout + stderr).includes(secret), 'the secret is not printed');
  }
  for (const key of ['short', randomBytes(16).toString('base64'), 'ä'.repeat(44)]) {
    const { code, stderr } = await runToEnd(['serve'], { cwd: dir, env: { ...productionEnv(dir, await freePort()), ENCRYPTION_KEY: key } });
    assert.equal(code, BAD_CONFIGURATION, stderr);
    assertNames(stderr, ['ENCRYPTION_KEY']);
    assert(!stderr.includes(key));
  }
}));

test('a public address without TLS, a provider without its secret and a missing secret file refuse to start', () => inFolder(async (dir) => {
  const good = productionEnv(dir, await freePort());
  const cases = [
    [{ BASE_URL: 'http://login.example.test' }, ['BASE_URL']],
    [{ GITHUB_CLIENT_ID: 'id' }, ['GITHUB_CLIENT_SECRET']],
    [{ OIDC_CLIENT_ID: 'id', OIDC_CLIENT_SECRET: 'secret-of-the-client' }, ['OIDC_ISSUER']],
    [{ JWT_SECRET: '', JWT_SECRET_FILE: path.join(dir, 'absent') }, ['JWT_SECRET_FILE']],
    [{ JWT_SECRET_FILE: path.join(dir, 'absent') }, ['JWT_SECRET']], // both are set
  ];
  for (const [bend, names] of cases) {
    const { code, stderr } = await runToEnd(['check-config'], { cwd: dir, env: { ...good, ...bend } });
    assert.equal(code, BAD_CONFIGURATION, JSON.stringify(bend));
    assertNames(stderr, names);
    assert(!stderr.includes('secret-of-the-client'));
  }
}));

test('dev mode stays on this machine', () => inFolder(async (dir) => {
  for (const env of [{ SERVER_HOST: '0.0.0.0' }, { SERVER_HOST: '::' }, { BASE_URL: 'https://login.example.test' }]) {
    const { code, stderr } = await runToEnd(['serve', '--dev'], { cwd: dir, env: { SERVER_PORT: '0', ...env } });
    assert.equal(code, BAD_CONFIGURATION, stderr);
    assertNames(stderr, Object.keys(env));
  }
}));

test('check-config says yes or no and starts nothing', () => inFolder(async (dir) => {
  const env = productionEnv(dir, await freePort());
  const good = await runToEnd(['check-config'], { cwd: dir, env });
  assert.equal(good.code, 0, good.stderr);
  assert(!(good.stdout + good.stderr).includes(env.JWT_SECRET));
  const bad = await runToEnd(['check-config'], { cwd: dir });
  assert.equal(bad.code, BAD_CONFIGURATION);
  assertNames(bad.stderr, ['JWT_SECRET', 'BASE_URL']);
  assert.deepEqual(readdirSync(dir), []);

  writeFileSync(path.join(dir, '.env'), Object.entries(env).map(([name, value]) => `${name}='${value}'\n`).join(''));
  assert.equal((await runToEnd(['check-config'], { cwd: dir })).code, 0, 'a .env file is read');
}));

test('version and help are worth reading', () => inFolder(async (dir) => {
  const version = await runToEnd(['version'], { cwd: dir });
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^gatehouse \d+\.\d+\.\d+/);
  const help = await runToEnd(['--help'], { cwd: dir });
  assert.equal(help.code, 0);
  for (const command of ['serve', 'check-config', 'healthcheck', 'version', 'login']) assert.match(help.stdout, new RegExp(`^\\s+${command}\\b\\s+\\S`, 'm'));
  assert.match((await runToEnd(['serve', '--help'], { cwd: dir })).stdout, /--dev/);
  const typo = await runToEnd(['sreve'], { cwd: dir });
  assert.notEqual(typo.code, 0);
  assert.match(typo.stderr, /serve/);
}));

scenario('dev mode makes its folder and its secrets, and finds them again', async (stage) => {
  const server = await stage.gatehouse();
  const files = () => readdirSync(path.join(server.dir, 'data')).sort();
  assert(existsSync(path.join(server.dir, 'data', 'gatehouse.db')));
  const secrets = files().filter((name) => !name.includes('gatehouse.db') && !name.endsWith('.lock'));
  assert(secrets.length >= 2, `the secrets are files: ${files()}`);
  for (const name of files()) assert.equal(statSync(path.join(server.dir, 'data', name)).mode & 0o077, 0, `${name} is nobody else's`);
  const read = () => secrets.map((name) => readFileSync(path.join(server.dir, 'data', name), 'utf8'));
  const before = read();
  assert(before.every((text) => Buffer.from(text, 'base64').length >= 32));
  for (const text of before) assert(!server.logs().join('\n').includes(text.trim()), 'no secret is logged');
  await server.stop();
  await server.restart();
  assert.deepEqual(read(), before);
});

scenario('dev mode tells what to open and what to type', async (stage) => {
  const server = await stage.gatehouse();
  const said = await until('the welcome block is printed', () => {
    const text = server.logs().join('\n');
    return text.includes('login --issuer') && text;
  });
  for (const fact of [`${server.url}/dev`, '--client-id demo-cli']) assert(said.includes(fact), `says ${fact}`);
});

scenario('production starts with a folder that does not exist yet, and is healthy', async (stage) => {
  const server = await stage.gatehouse({ dev: false });
  assert.equal(databaseFiles(server.dir).filter((name) => name.endsWith('.db')).length, 1);
  for (const file of databaseFiles(server.dir)) assert.equal(statSync(file).mode & 0o077, 0, `${path.basename(file)} is nobody else's`);
  for (const health of ['/health/live', '/health/ready', '/health']) {
    assert.equal((await request(server.url + health)).status, 200, health);
  }
  const env = { SERVER_PORT: server.port, BASE_URL: server.url };
  const healthy = await runToEnd(['healthcheck'], { cwd: server.dir, env });
  assert.equal(healthy.code, 0, healthy.stderr);
  await server.stop();
  const dead = await runToEnd(['healthcheck'], { cwd: server.dir, env });
  assert.equal(dead.code, 1, dead.stderr);
  await server.restart();
});

scenario('a database that a newer version has migrated is refused, and left alone', async (stage) => {
  const server = await stage.gatehouse();
  const device = await deviceCode(server);
  await server.stop();
  const file = path.join(server.dir, 'data', 'gatehouse.db');
  const original = readFileSync(file);
  await pretendNewerSchema(file);
  const newer = readFileSync(file);
  const { code, stderr, stdout } = await runToEnd(['serve', '--dev'], { cwd: server.dir, env: { SERVER_PORT: '0' } });
  assert(code > 0, 'it ends with an error');
  assert.match(stderr + stdout, /newer|unknown/i);
  assert.doesNotMatch(stderr + stdout, /panicked|listening/);
  assert(readFileSync(file).equals(newer), 'not a byte was changed');
  writeFileSync(file, original);
  await server.restart();
  assert.equal((await poll(server, device)).json.error, 'authorization_pending');
});

scenario('two processes never share one database', async (stage) => {
  const server = await stage.gatehouse();
  const alias = path.join(server.dir, 'data', 'alias.db');
  symlinkSync(path.join(server.dir, 'data', 'gatehouse.db'), alias);
  for (const env of [{}, { DATABASE_URL: `sqlite:${alias}` }]) {
    const second = await runToEnd(['serve', '--dev'], { cwd: server.dir, env: { SERVER_PORT: '0', ...env } });
    assert.equal(second.code, 1);
    assert.match(second.stderr, /another process is using .*\.db/);
    assertNames(second.stderr, []);
  }
  await signIn(server, 'dev', { email: 'ada@example.test' });
  rmSync(alias);
  // Whoever is killed leaves no lock behind.
  await server.kill9();
  await server.restart();
});

scenario('a database of dev mode is not opened in production, nor the other way round', async (stage) => {
  const dev = await stage.gatehouse();
  await dev.stop();
  const settings = { ...productionEnv(dev.dir, await freePort()), DATABASE_URL: `sqlite:${path.join(dev.dir, 'data', 'gatehouse.db')}` };
  const refused = await runToEnd(['serve'], { cwd: dev.dir, env: settings });
  assert(refused.code > 0);
  assert.match(refused.stderr, /dev mode.*DATABASE_URL/);

  const real = await stage.gatehouse({ dev: false });
  await real.stop();
  const file = path.join(real.dir, 'store', 'gatehouse.db');
  const other = await runToEnd(['serve', '--dev'], { cwd: real.dir, env: { SERVER_PORT: '0', DATABASE_URL: `sqlite:${file}` } });
  assert(other.code > 0);
  assert.match(other.stderr, /production mode.*DATABASE_URL/);
});

scenario('a port that is taken is said plainly', async (stage) => {
  const server = await stage.gatehouse();
  await inFolder(async (dir) => {
    const { code, stderr, stdout } = await runToEnd(['serve', '--dev'], { cwd: dir, env: { SERVER_PORT: server.port } });
    assert(code > 0);
    assertNames(stderr + stdout, [server.port]);
  });
});
