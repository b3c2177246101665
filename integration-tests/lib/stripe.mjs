// Stripe as its webhooks show it: signed by Stripe's own library, in the shapes of several API versions.

import { randomBytes } from 'node:crypto';
import Stripe from 'stripe';
import { request } from './http.mjs';
import { rememberSecret } from './journal.mjs';

const { webhooks } = new Stripe('sk_test_signatures_only');

/** A signing secret as Stripe makes them. */
export function webhookSecret() {
  const secret = `whsec_${randomBytes(24).toString('hex')}`;
  rememberSecret('webhook secret', secret);
  return secret;
}

/** The `Stripe-Signature` of a payload; `ageSeconds` ago. */
export function signature(payload, secret, ageSeconds = 0) {
  const timestamp = Math.floor(Date.now() / 1000) - ageSeconds;
  return webhooks.generateTestHeaderString({ payload: String(payload), secret, timestamp });
}

/** POSTs a payload (text or bytes) to the webhook. `headers` overrides. */
export function deliver(server, payload, secret, { headers = {}, path = '/webhooks/stripe', ...options } = {}) {
  const signed = headers['stripe-signature'] ?? signature(payload, secret);
  return request(server.url + path, {
    method: 'POST',
    body: payload,
    headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': signed, ...headers },
    ...options,
  });
}

let counter = 0;

/** An event around an object; `seconds` moves its `created`. */
export function event(type, object, { seconds = 0, apiVersion = '2025-06-30.basil', ...rest } = {}) {
  counter += 1;
  return {
    id: `evt_1${randomBytes(9).toString('hex')}${counter}`,
    object: 'event',
    api_version: apiVersion,
    created: Math.floor(Date.now() / 1000) + seconds,
    data: { object },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
    ...rest,
  };
}

/**
 * A subscription as `apiVersion` shows it. Until 2025-03-31 the period stands on the subscription, since then on its
 * items; `plan` is there beside `price` up to this day.
 */
export function subscription(members = {}, apiVersion = '2025-06-30.basil') {
  const { id = `sub_1${randomBytes(8).toString('hex')}`, price = 'price_pro', quantity = 1, status = 'active', metadata = {}, ...rest } = members;
  const now = Math.floor(Date.now() / 1000);
  const end = members.current_period_end ?? now + 30 * 86_400;
  const basil = apiVersion >= '2025-03-31';
  const period = { current_period_start: end - 30 * 86_400, current_period_end: end };
  const item = {
    id: `si_${id.slice(4)}`,
    object: 'subscription_item',
    billing_thresholds: null,
    created: now,
    ...(basil ? period : {}),
    discounts: [],
    metadata: {},
    plan: { id: price, object: 'plan', active: true, amount: 900, currency: 'usd', interval: 'month', product: 'prod_1' },
    price: { id: price, object: 'price', active: true, currency: 'usd', product: 'prod_1', recurring: { interval: 'month', interval_count: 1 }, type: 'recurring', unit_amount: 900 },
    quantity,
    subscription: id,
    tax_rates: [],
  };
  return {
    id,
    object: 'subscription',
    application: null,
    automatic_tax: { disabled_reason: null, enabled: false, liability: null },
    billing_cycle_anchor: now,
    ...(apiVersion >= '2025-06-30' ? { billing_mode: { type: 'classic' } } : {}),
    cancel_at: null,
    cancel_at_period_end: false,
    canceled_at: null,
    collection_method: 'charge_automatically',
    created: now,
    currency: 'usd',
    customer: `cus_${id.slice(4)}`,
    ended_at: null,
    items: { object: 'list', data: [item], has_more: false, total_count: 1, url: `/v1/subscription_items?subscription=${id}` },
    latest_invoice: 'in_1',
    livemode: false,
    metadata,
    pause_collection: null,
    ...(basil ? {} : { plan: item.plan, quantity, ...period }),
    start_date: now,
    status,
    trial_end: null,
    ...rest,
    ...(basil ? { current_period_end: undefined } : {}),
  };
}

/** An invoice of a subscription, as `apiVersion` shows it. */
export function invoice(sub, members = {}, apiVersion = '2025-06-30.basil') {
  const details = { metadata: sub.metadata, subscription: sub.id };
  return {
    id: `in_1${randomBytes(8).toString('hex')}`,
    object: 'invoice',
    billing_reason: 'subscription_cycle',
    customer: sub.customer,
    lines: { object: 'list', data: [{ id: 'il_1', period: { start: 1, end: sub.items.data[0].current_period_end ?? sub.current_period_end } }] },
    ...(apiVersion >= '2025-03-31'
      ? { parent: { quote_details: null, subscription_details: details, type: 'subscription_details' } }
      : { subscription: sub.id, subscription_details: details }),
    ...members,
  };
}
