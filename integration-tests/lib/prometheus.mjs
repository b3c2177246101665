// /metrics as a Prometheus server reads it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.mjs';

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
