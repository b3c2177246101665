// One HTTP request over node:http: no hidden headers, no redirects followed, no pooled connection
// unless the caller brings an agent. Everything that crosses the wire goes through the journal.

import http from 'node:http';
import { checkAnswer } from './api-document.mjs';
import { harvest, harvestUrl, rememberRequest, rememberSecret } from './journal.mjs';

/**
 * @typedef {object} Answer
 * @property {string} url the address that was asked
 * @property {number} status
 * @property {http.IncomingHttpHeaders} headers
 * @property {string[]} setCookies
 * @property {string} text
 * @property {any} json the parsed body, undefined when it is not JSON
 * @property {string | undefined} location absolute
 * @property {string | undefined} requestId
 */

/**
 * @param {string | URL} url
 * @param {object} [options]
 * @param {string} [options.method] GET, or POST when there is a body
 * @param {Record<string, string>} [options.headers]
 * @param {Record<string, string> | [string, string][]} [options.form] sent as application/x-www-form-urlencoded
 * @param {unknown} [options.json] sent as application/json
 * @param {string | Buffer} [options.body] sent as it is
 * @param {string} [options.bearer]
 * @param {http.Agent} [options.agent]
 * @param {number} [options.timeoutMs]
 * @returns {Promise<Answer>}
 */
export function request(url, options = {}) {
  const { form, json, bearer, agent = false, timeoutMs = 45_000 } = options;
  const headers = { accept: '*/*', ...options.headers };
  let { body } = options;
  if (form !== undefined) {
    body = new URLSearchParams(form).toString();
    headers['content-type'] ??= 'application/x-www-form-urlencoded';
    harvest(Object.fromEntries(new URLSearchParams(form)));
  } else if (json !== undefined) {
    body = JSON.stringify(json);
    headers['content-type'] ??= 'application/json';
    harvest(json);
  }
  if (bearer !== undefined) headers.authorization = `Bearer ${bearer}`;
  const method = options.method ?? (body === undefined ? 'GET' : 'POST');
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  harvestUrl(url);

  return new Promise((resolve, reject) => {
    const outgoing = http.request(url, { method, headers, agent });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms from ${method} ${withoutQuery(url)}`)));
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => resolve(readAnswer(url, method, incoming)));
    outgoing.end(body);
  });
}

/** Reads a whole answer; rejects when the connection ends before the answer does. */
export async function readAnswer(url, method, incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  if (!incoming.complete) throw new Error(`the answer to ${method} ${withoutQuery(url)} was cut short`);
  const text = Buffer.concat(chunks).toString('utf8');
  const location = incoming.headers.location === undefined ? undefined : absolute(incoming.headers.location, url);
  const answer = {
    url: String(url),
    status: incoming.statusCode,
    headers: incoming.headers,
    setCookies: incoming.headers['set-cookie'] ?? [],
    text,
    json: parseJson(text, incoming.headers['content-type']),
    location,
    requestId: incoming.headers['x-request-id'],
  };
  harvest(answer.json);
  if (location !== undefined) harvestUrl(location);
  for (const cookie of answer.setCookies) {
    const [name, value = ''] = cookie.split(';')[0].split('=');
    if (name.includes('gatehouse')) rememberSecret(`cookie ${name}`, value);
  }
  rememberRequest({ method, url: answer.url, status: answer.status, requestId: answer.requestId });
  checkAnswer(method, answer.url, answer);
  return answer;
}

function parseJson(text, type = '') {
  if (!/[/+]json/.test(type)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// A native app's redirect URI (`com.example.app:/cb`) is absolute too; only a relative one needs the base.
function absolute(location, base) {
  try {
    return new URL(location).href;
  } catch {
    return new URL(location, base).href;
  }
}

function withoutQuery(url) {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
