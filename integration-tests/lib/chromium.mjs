// A real browser: Debian's Chromium, driven by playwright-core.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const ARTIFACTS = fileURLToPath(new URL('../artifacts/', import.meta.url));

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 375, height: 667 };

/** Starts Chromium with an empty profile. A missing Chromium is a failure: these tests are never skipped. */
export async function launchChromium() {
  assert(existsSync(EXECUTABLE), `there is no Chromium at ${EXECUTABLE}: apt-get install -y chromium`);
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS, headless: true });
}

/**
 * Opens a window with cookies of its own. `complaints` collects what the browser holds against the pages: console
 * errors, script errors, refused resources, policy violations.
 */
export async function openWindow(browser, { javaScriptEnabled = true, viewport = DESKTOP } = {}) {
  const context = await browser.newContext({ javaScriptEnabled, viewport, ...(viewport === PHONE ? { hasTouch: true, isMobile: true } : {}) });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`console ${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`script error: ${error.message}`));
  page.on('requestfailed', (failed) => complaints.push(`request failed: ${failed.url()} ${failed.failure()?.errorText}`));
  return { context, page, complaints };
}

/** Saves what the window shows, for people to look at. */
export async function screenshot(page, name) {
  mkdirSync(ARTIFACTS, { recursive: true });
  await page.screenshot({ path: path.join(ARTIFACTS, `${name}.png`), fullPage: true });
}

/** What makes a page usable for everybody: language, title, labels, one heading, no sideways scrolling, sizes to tap. */
export async function assertUsable(page) {
  const found = await page.evaluate(() => {
    const controls = [...document.querySelectorAll('input:not([type=hidden]), select, textarea')];
    const targets = [...document.querySelectorAll('button, .button, .provider, input[type=submit]')].filter((element) => element.checkVisibility());
    return {
      language: document.documentElement.lang,
      title: document.title.trim(),
      headings: document.querySelectorAll('h1').length,
      main: document.querySelectorAll('main').length,
      unlabelled: controls.filter((control) => control.labels.length === 0 && !control.getAttribute('aria-label')).map((control) => control.name),
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      small: targets.filter((element) => element.getBoundingClientRect().height < 24).map((element) => element.textContent.trim()),
    };
  });
  assert.match(found.language, /^[a-z]{2}/);
  assert.notEqual(found.title, '');
  assert.equal(found.headings, 1, 'one main heading');
  assert.equal(found.main, 1, 'one main landmark');
  assert.deepEqual(found.unlabelled, [], 'every field has a label');
  assert(found.overflow <= 0, `the page is ${found.overflow} px wider than the window`);
  assert.deepEqual(found.small, [], 'targets are at least 24 px high (WCAG 2.2, 2.5.8)');
}
