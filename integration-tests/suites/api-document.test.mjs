// The API document: valid by somebody else's validator, every example of its own schema, readable by a person.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { apiDocument, escape } from '../lib/api-document.mjs';
import { launchChromium } from '../lib/chromium.mjs';
import { Gatehouse } from '../lib/gatehouse.mjs';
import { request } from '../lib/http.mjs';

let server;
before(async () => { server = await Gatehouse.start(); });
after(() => server.remove());

test('the document is valid OpenAPI 3.1', async () => {
  const { json } = await request(`${server.url}/openapi.json`);
  const validator = new Validator();
  const result = await validator.validate(structuredClone(json));
  assert.equal(validator.version, '3.1');
  assert.ok(result.valid, JSON.stringify(result.errors, null, 2));
});

test('every example is valid against its schema', () => {
  const api = apiDocument();
  const counted = { parameters: 0, requests: 0, responses: 0 };
  const wrong = [];
  const check = (kind, pointer, example) => {
    counted[kind] += 1;
    const validate = api.validator(`${pointer}/schema`, { strict: true });
    if (!validate(example)) wrong.push(`${pointer}: ${api.ajv.errorsText(validate.errors)}`);
  };
  const contents = (kind, pointer, content) => {
    for (const [media, { example }] of Object.entries(content ?? {})) {
      assert.notEqual(example, undefined, `${pointer} has no example of ${media}`);
      check(kind, `${pointer}/content/${escape(media)}`, example);
    }
  };
  for (const { template, method, operation } of api.operations()) {
    const at = `/paths/${escape(template)}/${method}`;
    operation.parameters.forEach((parameter, index) => check('parameters', `${at}/parameters/${index}`, parameter.example));
    contents('requests', `${at}/requestBody`, operation.requestBody?.content);
    for (const status of Object.keys(operation.responses)) {
      const [pointer, response] = api.resolve(`${at}/responses/${status}`);
      contents('responses', pointer, response.content);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(Object.values(counted).every((count) => count > 50), JSON.stringify(counted));
});

test('what is not documented is noticed', () => {
  const api = apiDocument();
  const answer = (status, json) => ({ status, json, text: JSON.stringify(json), headers: { 'content-type': 'application/json' } });
  const problems = (status, json) => api.problems('GET', '/health/live', answer(status, json)).length;
  assert.equal(problems(200, { status: 'ok' }), 0);
  assert.equal(problems(200, { status: 'ok', more: 1 }), 1);
  assert.equal(problems(200, {}), 1);
  assert.equal(problems(218, { status: 'ok' }), 1);
  assert.equal(api.problems('PUT', '/health/live', answer(200, {})).length, 1);
  assert.equal(api.problems('GET', '/not/there', answer(200, {})).length, 1);
});

test('the pages fit a phone and a desk, and need no script', { timeout: 90_000 }, async () => {
  const browser = await launchChromium();
  try {
    for (const width of [375, 1280]) {
      const page = await (await browser.newContext({ viewport: { width, height: 800 }, javaScriptEnabled: false })).newPage();
      for (const address of ['/docs', '/docs/services', '/docs/sign-in']) {
        const answer = await page.goto(server.url + address);
        assert.equal(answer.status(), 200, address);
        const box = await page.locator('main').boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width, `${address} at ${width} px: ${JSON.stringify(box)}`);
        if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${address.slice(1).replaceAll('/', '-')}-${width}.png` });
      }
      await page.goto(`${server.url}/docs`);
      await page.getByRole('link', { name: 'Make a service' }).click();
      assert.equal(new URL(page.url()).hash, '#createService');
    }
  } finally {
    await browser.close();
  }
});
