// A browser without a screen: cookies, redirects, links and forms, over plain HTTP requests.
// It knows no JavaScript, so whatever it gets done works without JavaScript.

import assert from 'node:assert/strict';
import { request } from './http.mjs';

/** RFC 6265 as far as sign-in pages need it. Cookies belong to a host; the port does not part them (section 8.5). */
export class CookieJar {
  #cookies = new Map();

  /** Stores the Set-Cookie lines of one answer, or throws for one that a browser would refuse. */
  store(url, lines) {
    const { hostname, pathname, protocol } = new URL(url);
    for (const line of lines) {
      const [pair, ...attributeTexts] = line.split(';').map((part) => part.trim());
      const cut = pair.indexOf('=');
      const [name, value] = [pair.slice(0, cut), pair.slice(cut + 1)];
      const attributes = new Map(attributeTexts.map((text) => {
        const [key, ...rest] = text.split('=');
        return [key.toLowerCase(), rest.join('=')];
      }));
      const secure = attributes.has('secure');
      const path = attributes.get('path')?.startsWith('/') ? attributes.get('path') : defaultPath(pathname);
      assert(!secure || protocol === 'https:', `cookie ${name} is Secure but came over ${protocol}`);
      assert(!attributes.has('domain'), `cookie ${name} names a Domain: it would reach other hosts`);
      if (name.startsWith('__Host-')) assert(secure && path === '/', `cookie ${name} breaks the rules of its prefix`);
      const key = JSON.stringify([hostname, path, name]);
      const expiresAt = expiry(attributes);
      if (expiresAt <= Date.now()) this.#cookies.delete(key);
      else this.#cookies.set(key, { hostname, path, name, value, secure, expiresAt });
    }
  }

  /** The Cookie header for a request to `url`, undefined when there is none to send. */
  header(url) {
    const sent = this.matching(url);
    return sent.length === 0 ? undefined : sent.map(({ name, value }) => `${name}=${value}`).join('; ');
  }

  /** The live cookies that a request to `url` would carry, longest path first (section 5.4). */
  matching(url) {
    const { hostname, pathname, protocol } = new URL(url);
    return [...this.#cookies.values()]
      .filter((cookie) => cookie.hostname === hostname && cookie.expiresAt > Date.now())
      .filter((cookie) => !cookie.secure || protocol === 'https:')
      .filter(({ path }) => pathname === path || (pathname.startsWith(path) && (path.endsWith('/') || pathname[path.length] === '/')))
      .sort((a, b) => b.path.length - a.path.length);
  }

  /** A copy, as if the profile had been cloned. */
  clone() {
    const copy = new CookieJar();
    copy.#cookies = new Map(this.#cookies);
    return copy;
  }
}

function defaultPath(pathname) {
  const cut = pathname.lastIndexOf('/');
  return cut <= 0 ? '/' : pathname.slice(0, cut);
}

function expiry(attributes) {
  if (attributes.has('max-age')) return Date.now() + Number(attributes.get('max-age')) * 1000;
  if (attributes.has('expires')) return Date.parse(attributes.get('expires'));
  return Infinity;
}

/** One visitor: a cookie jar and a name. */
export class Browser {
  constructor(jar = new CookieJar()) {
    this.jar = jar;
  }

  /** Another window of the same profile state: same cookies now, no sharing afterwards. */
  clone() {
    return new Browser(this.jar.clone());
  }

  /** One navigation by address or link. Follows nothing. */
  get(url, headers = {}) {
    return this.#send(url, { headers });
  }

  /** Posts a form that stands on no page of the service. Follows nothing. */
  post(url, form, headers = {}) {
    return this.#send(url, { form, headers });
  }

  /** Submits a form as a browser does, with its Origin. Follows nothing. */
  submit(form, values = {}, headers = {}) {
    const fields = form.fill(values);
    if (form.method === 'GET') {
      const address = new URL(form.action);
      address.search = new URLSearchParams(fields).toString();
      return this.#send(address.href, { headers });
    }
    const origin = new URL(form.page).origin;
    return this.#send(form.action, { form: fields, headers: { origin, 'sec-fetch-site': 'same-origin', ...headers } });
  }

  /**
   * Follows redirects from `answer` until a page comes, or a redirect leads to an address that starts with `stopAt`
   * (the app's redirect URI, where nobody listens). That last redirect is returned unfollowed.
   */
  async follow(answer, { stopAt, limit = 12 } = {}) {
    let current = answer;
    for (let hop = 0; isRedirect(current); hop += 1) {
      if (stopAt !== undefined && current.location.startsWith(stopAt)) return current;
      assert(hop < limit, `more than ${limit} redirects`);
      current = await this.get(current.location);
    }
    return current;
  }

  async #send(url, options) {
    const headers = {
      accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
      'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) gatehouse-integration-tests',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      ...options.headers,
    };
    const cookie = this.jar.header(url);
    if (cookie !== undefined) headers.cookie = cookie;
    const answer = await request(url, { ...options, headers });
    this.jar.store(url, answer.setCookies);
    return answer;
  }
}

/** Whether the answer sends the browser elsewhere. */
export function isRedirect(answer) {
  return [301, 302, 303, 307, 308].includes(answer.status) && answer.location !== undefined;
}

/** The addresses of a page's links, absolute. */
export function links(page) {
  return [...page.text.matchAll(/<a\b([^>]*)>/gi)]
    .map(([, attributes]) => parseAttributes(attributes).href)
    .filter((href) => href !== undefined)
    .map((href) => new URL(href, page.url).href);
}

/** The forms of a page. */
export function forms(page) {
  return [...page.text.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, inner]) => new Form(page, parseAttributes(head), inner));
}

/** The only form of a page that has a field of this name. */
export function formWith(page, field) {
  const found = forms(page).filter((form) => form.fields.some(({ name }) => name === field));
  assert.equal(found.length, 1, `expected one form with the field ${field} at ${page.url} (${page.status}), found ${found.length}:\n${page.text.slice(0, 2000)}`);
  return found[0];
}

/** The text a reader sees, without markup. */
export function visibleText(page) {
  return decodeEntities(page.text.replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]+>/g, ' ')).replace(/\s+/g, ' ').trim();
}

class Form {
  constructor(page, attributes, inner) {
    this.page = page.url;
    this.method = (attributes.method ?? 'get').toUpperCase();
    this.action = new URL(attributes.action ?? page.url, page.url).href;
    this.fields = [...inner.matchAll(/<(input|button|select|textarea)\b([^>]*)>/gi)].map(([, tag, text]) => {
      const { name, value, type, checked } = parseAttributes(text);
      return { tag: tag.toLowerCase(), name, value: value ?? '', type: (type ?? 'text').toLowerCase(), checked: checked !== undefined };
    });
  }

  /** The name-value pairs of a submission: a checkbox takes true or false, a button is pressed by its value. */
  fill(values) {
    const pairs = [];
    const unused = new Set(Object.keys(values));
    for (const { tag, name, value, type, checked } of this.fields) {
      if (name === undefined) continue;
      unused.delete(name);
      const given = values[name];
      if (tag === 'button' || type === 'submit') {
        if (given === value) pairs.push([name, value]);
      } else if (type === 'checkbox') {
        if (given ?? checked) pairs.push([name, value || 'on']);
      } else if (type === 'radio') {
        if (given === undefined ? checked : given === value) pairs.push([name, value]);
      } else {
        pairs.push([name, given ?? value]);
      }
    }
    assert.equal(unused.size, 0, `the form has no field ${[...unused].join(', ')}`);
    return pairs;
  }
}

function parseAttributes(text) {
  const attributes = {};
  for (const [, name, , double, single, bare] of text.matchAll(/([\w-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) {
    attributes[name.toLowerCase()] = decodeEntities(double ?? single ?? bare ?? '');
  }
  return attributes;
}

function decodeEntities(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', middot: '·' };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return named[name.toLowerCase()] ?? whole;
  });
}
