// Every answer of the service that the tests see is held against its own API document: its status must be documented,
// its content type and its JSON body as well, down to the last member.

import assert from 'node:assert/strict';
import http from 'node:http';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const origins = new Set();
let loaded;
let seen = 0;

/** Answers from this origin are held against the document, which is read from it the first time. */
export async function watch(origin) {
  origins.add(new URL(origin).origin);
  loaded ??= new ApiDocument(JSON.parse(await fetchText(new URL('/openapi.json', origin))));
}

/** The document of the binary under test. */
export function apiDocument() {
  return loaded;
}

/** How many answers were checked in this process. */
export function answersSeen() {
  return seen;
}

/** Fails when an answer is not one that the document describes. */
export function checkAnswer(method, url, answer) {
  const { origin, pathname } = new URL(url);
  if (!origins.has(origin) || loaded === undefined) return;
  const problems = loaded.problems(method, pathname, answer);
  assert.deepEqual(problems, [], `the answer to ${method} ${pathname} is not one of the API document`);
  seen += 1;
}

/** Requests that are no part of the API: dev mode's own addresses and the operator's commands. */
const isLeftOut = (path) => path === '/' || path === '/dev' || path.startsWith('/dev/') || path.startsWith('/internal/');

/** An OpenAPI document that answers can be held against. */
export class ApiDocument {
  #routes;
  #validators = new Map();

  constructor(document) {
    this.document = document;
    this.ajv = new Ajv2020({ strict: false, allErrors: true });
    addFormats(this.ajv);
    this.ajv.addSchema(document, 'document');
    this.ajv.addSchema(closed(document), 'closed');
    this.#routes = Object.keys(document.paths).map((template) => ({ template, pattern: patternOf(template) }));
    // Literal paths win over patterns.
    this.#routes.sort((a, b) => (a.template.match(/\{/g)?.length ?? 0) - (b.template.match(/\{/g)?.length ?? 0));
  }

  /** Every operation: template, method and what is said about it. */
  * operations() {
    for (const [template, item] of Object.entries(this.document.paths)) {
      for (const [method, operation] of Object.entries(item)) yield { template, method, operation };
    }
  }

  /** A validator for the schema at a JSON pointer; `strict` refuses members that nobody described. */
  validator(pointer, { strict = false } = {}) {
    const reference = `${strict ? 'closed' : 'document'}#${pointer}`;
    if (!this.#validators.has(reference)) this.#validators.set(reference, this.ajv.compile({ $ref: reference }));
    return this.#validators.get(reference);
  }

  /** The JSON pointer of what a pointer refers to. */
  resolve(pointer) {
    const value = pointer.split('/').slice(1).reduce((at, part) => at?.[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')], this.document);
    return value?.$ref === undefined ? [pointer, value] : this.resolve(value.$ref.slice(1));
  }

  /** What is wrong with an answer. */
  problems(method, path, { status, headers, text, json }) {
    if (isLeftOut(path) || method === 'OPTIONS' || method === 'HEAD') return [];
    const template = this.#routes.find(({ pattern }) => pattern.test(path))?.template;
    if (template === undefined) return status === 404 || status === 400 ? [] : [`${status} at an address that is not documented`];
    const operation = this.document.paths[template][method.toLowerCase()];
    if (operation === undefined) return status === 405 || status === 400 ? [] : [`${status} to a method that is not documented`];
    const pointer = `/paths/${escape(template)}/${method.toLowerCase()}/responses/${status}`;
    const [found, response] = this.resolve(pointer);
    if (response === undefined) return [`the status ${status} is not documented: ${text.slice(0, 300)}`];
    if (text === '') return [];
    const media = (headers['content-type'] ?? '').split(';')[0].trim();
    if (response.content?.[media] === undefined) return [`the content type ${media} is not documented for ${status}`];
    if (!/[/+]json$/.test(media)) return [];
    const validate = this.validator(`${found}/content/${escape(media)}/schema`, { strict: true });
    return validate(json) ? [] : validate.errors.map((one) => `${status}: ${one.instancePath} ${one.message} ${JSON.stringify(one.params)}`);
  }
}

/** The same document, with every object closed that does not say it is open. */
function closed(value, { inAllOf = false } = {}) {
  if (Array.isArray(value)) return value.map((one) => closed(one, { inAllOf }));
  if (value === null || typeof value !== 'object') return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, one]) => [name, name === 'example' ? one : closed(one, { inAllOf: name === 'allOf' })]));
  if (value.properties !== undefined && value.additionalProperties === undefined && !inAllOf && value.type === 'object') copy.additionalProperties = false;
  return copy;
}

const patternOf = (template) => new RegExp(`^${template.split('/').map((part) => (part.startsWith('{') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))).join('/')}$`);

/** A name as a part of a JSON pointer within an address (RFC 6901, section 6). */
export const escape = (name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'));

function fetchText(url) {
  return new Promise((resolve, reject) => {
    http.get(url, { agent: false }, async (incoming) => {
      try {
        const chunks = [];
        for await (const chunk of incoming) chunks.push(chunk);
        assert.equal(incoming.statusCode, 200, `GET ${url} answers ${incoming.statusCode}`);
        resolve(Buffer.concat(chunks).toString('utf8'));
      } catch (error) {
        reject(error);
      }
    }).on('error', reject);
  });
}
