// A small stand-in for Stripe's API, as far as a service uses it that sells subscriptions: it remembers idempotency
// keys, closes open pages only, and tells the state of subscriptions.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { rememberSecret } from './journal.mjs';

const id = (prefix) => `${prefix}_${randomBytes(10).toString('hex')}`;

export class StripeApi {
  /** Subscriptions by id: what `GET /v1/subscriptions/{id}` answers. */
  subscriptions = new Map();
  /** Checkout sessions by id. */
  sessions = new Map();
  /** Every request: `{ method, path, key, idempotencyKey, form }`. */
  requests = [];
  /** While set, every answer has this status. */
  broken;
  #answers = new Map();
  #server;

  static async start() {
    const api = new StripeApi();
    api.key = `sk_test_${randomBytes(16).toString('hex')}`;
    rememberSecret('stripe key', api.key);
    api.#server = http.createServer((request, response) => api.#serve(request, response));
    api.#server.listen(0, '127.0.0.1');
    await once(api.#server, 'listening');
    api.url = `http://127.0.0.1:${api.#server.address().port}`;
    return api;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => { this.#server.close(resolve); });
  }

  /** The buyer pays: the page is complete, and a subscription exists. Returns it. */
  complete(sessionId, subscription) {
    const session = this.sessions.get(sessionId);
    session.status = 'complete';
    session.url = null;
    session.subscription = subscription.id;
    session.customer = subscription.customer;
    this.subscriptions.set(subscription.id, subscription);
    return session;
  }

  async #serve(request, response) {
    let body = '';
    for await (const chunk of request) body += chunk;
    const url = new URL(request.url, this.url);
    const key = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    const idempotencyKey = request.headers['idempotency-key'];
    const form = Object.fromEntries(new URLSearchParams(body));
    this.requests.push({ method: request.method, path: url.pathname, key, idempotencyKey, form });
    const [status, answer] = this.#answer(request.method, url, { key, idempotencyKey, form });
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  #answer(method, url, { key, idempotencyKey, form }) {
    if (this.broken) return [this.broken, { error: { type: 'api_error' } }];
    if (key !== this.key) return [401, { error: { type: 'invalid_request_error' } }];
    // The same parameters are the same request, in whatever order they come.
    const parameters = JSON.stringify(Object.entries(form).sort());
    if (idempotencyKey !== undefined && this.#answers.has(idempotencyKey)) {
      const [known, answer] = this.#answers.get(idempotencyKey);
      if (known !== parameters) return [400, { error: { type: 'idempotency_error' } }];
      return [200, answer];
    }
    const [status, answer] = this.#perform(method, url, form);
    if (status === 200 && idempotencyKey !== undefined) this.#answers.set(idempotencyKey, [parameters, answer]);
    return [status, answer];
  }

  #perform(method, url, form) {
    const missing = [404, { error: { type: 'invalid_request_error', code: 'resource_missing' } }];
    const route = `${method} ${url.pathname}`;
    const named = /^GET \/v1\/subscriptions\/(\w+)$/.exec(route);
    if (named) return this.subscriptions.has(named[1]) ? [200, this.subscriptions.get(named[1])] : missing;
    if (route === 'GET /v1/subscriptions') {
      const all = [...this.subscriptions.values()];
      const after = url.searchParams.get('starting_after');
      const from = after === null ? 0 : all.findIndex((one) => one.id === after) + 1;
      const data = all.slice(from, from + 2); // small pages, so that there are some
      return [200, { object: 'list', data, has_more: from + 2 < all.length }];
    }
    if (route === 'POST /v1/checkout/sessions') {
      if (form.mode !== 'subscription' || !form['line_items[0][price]'] || !form.success_url) return [400, { error: { type: 'invalid_request_error' } }];
      const session = { id: id('cs'), object: 'checkout.session', status: 'open', expires_at: Math.floor(Date.now() / 1000) + 86_400, form };
      session.url = `https://checkout.stripe.example/${session.id}`;
      this.sessions.set(session.id, session);
      return [200, session];
    }
    const expire = /^POST \/v1\/checkout\/sessions\/(\w+)\/expire$/.exec(route);
    if (expire) {
      const session = this.sessions.get(expire[1]);
      if (session === undefined) return missing;
      if (session.status !== 'open') return [400, { error: { type: 'invalid_request_error' } }];
      session.status = 'expired';
      session.url = null;
      return [200, session];
    }
    if (route === 'POST /v1/billing_portal/sessions') {
      if (!form.customer) return [400, { error: { type: 'invalid_request_error' } }];
      return [200, { id: id('bps'), object: 'billing_portal.session', url: `https://billing.stripe.example/${form.customer}` }];
    }
    return missing;
  }
}
