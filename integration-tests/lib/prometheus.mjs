// /metrics as a Prometheus server reads it.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './gatehouse.mjs';
import { request } from './http.mjs';
import { until } from './until.mjs';

const TOOLS = process.env.PROMETHEUS_TOOLS ?? fileURLToPath(new URL('../../target/tools/prometheus/usr/bin', import.meta.url));

/** The path of `prometheus` or `promtool`. */
export function tool(name) {
  const file = path.join(TOOLS, name);
  assert(existsSync(file), `there is no ${file}: run make test-end-to-end, or set PROMETHEUS_TOOLS`);
  return file;
}

/** Runs promtool with `input` on its standard input: `{ code, output }`. */
export function promtool(args, input = '') {
  return new Promise((resolve, reject) => {
    const child = execFile(tool('promtool'), args, { timeout: 30_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve({ code: error?.code ?? 0, output: stdout + stderr });
    });
    child.stdin.end(input);
  });
}

/** One scrape. */
export async function scrape(url, options = {}) {
  const answer = await request(url, options);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4');
  return new Scrape(answer.text);
}

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;

/** The text as this suite reads it. That others read it as well is promtool's to say. */
export class Scrape {
  constructor(text) {
    this.text = text;
    this.types = new Map();
    this.samples = [];
    for (const line of text.trimEnd().split('\n')) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type) this.types.set(type[1], type[2]);
      if (line.startsWith('#')) continue;
      const [, name, labels = '', value] = LINE.exec(line) ?? assert.fail(`not a sample: ${line}`);
      this.samples.push({ name, labels: readLabels(labels, line), value: Number(value) });
    }
  }

  /** Every series, without its value. */
  series() {
    return new Set(this.samples.map(({ name, labels }) => `${name}${JSON.stringify(labels)}`));
  }

  /** The names that a query may use. */
  names() {
    return new Set(this.samples.map(({ name }) => name));
  }

  /** The sum of all series of this name with these labels. Fails when there is no such name at all. */
  value(name, labels = {}) {
    const named = this.samples.filter((sample) => sample.name === name);
    assert(named.length > 0, `no metric ${name}`);
    const chosen = named.filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value));
    return chosen.reduce((sum, { value }) => sum + value, 0);
  }
}

function readLabels(text, line) {
  const found = [...text.matchAll(LABEL)];
  assert.equal(found.reduce((length, [whole]) => length + whole.length, 0), text.length, `labels of ${line}`);
  return Object.fromEntries(found.map(([, name, value]) => [name, value]));
}

/** A real Prometheus server that scrapes one service, with these alert rules. */
export class Prometheus {
  static async start(target, rules) {
    const self = new Prometheus();
    self.dir = mkdtempSync(path.join(os.tmpdir(), 'prometheus-'));
    self.url = `http://127.0.0.1:${await freePort()}`;
    copyFileSync(rules, path.join(self.dir, 'alerts.yml'));
    const every = { scrape_interval: '1s', evaluation_interval: '1s' };
    const config = { global: every, rule_files: ['alerts.yml'], scrape_configs: [{ job_name: 'gatehouse', static_configs: [{ targets: [target] }] }] };
    writeFileSync(path.join(self.dir, 'prometheus.yml'), JSON.stringify(config)); // JSON is YAML
    const args = ['--config.file=prometheus.yml', `--web.listen-address=${new URL(self.url).host}`, '--storage.tsdb.path=data', '--log.level=error'];
    self.child = spawn(tool('prometheus'), args, { cwd: self.dir, stdio: 'ignore' });
    await until('Prometheus is ready', async () => (await request(`${self.url}/-/ready`).catch(() => ({}))).status === 200);
    return self;
  }

  /** The data of an answer of its API. Fails when it refuses. */
  async get(target) {
    const { status, json } = await request(this.url + target);
    assert.equal(status, 200, `${target}: ${json?.error}`);
    return json.data;
  }

  async query(query) {
    return (await this.get(`/api/v1/query?query=${encodeURIComponent(query)}`)).result;
  }

  async stop() {
    const ended = once(this.child, 'close');
    this.child.kill();
    await ended;
    rmSync(this.dir, { recursive: true, force: true });
  }
}
