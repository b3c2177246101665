// A web app that signs people in with a library of its own choosing: openid-client, unchanged.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import * as client from 'openid-client';
import { signInThrough } from './flows.mjs';
import { rememberSecret } from './journal.mjs';
import { readBody } from './upstream.mjs';

/** One registered client of the service, as openid-client sees it. */
export class OpenIdApp {
  constructor(config, redirectUri) {
    this.config = config;
    this.redirectUri = redirectUri;
  }

  /** Reads the discovery document, as every app does at its start. */
  static async discover(server, clientId, redirectUri) {
    const config = await client.discovery(new URL(server.url), clientId, undefined, client.None(), { execute: [client.allowInsecureRequests] });
    return new OpenIdApp(config, redirectUri);
  }

  /** A sign-in to be: where it starts, and what must be remembered for its end. */
  async start(parameters = {}) {
    const pkceCodeVerifier = client.randomPKCECodeVerifier();
    const expectedState = client.randomState();
    const expectedNonce = client.randomNonce();
    const url = client.buildAuthorizationUrl(this.config, {
      redirect_uri: this.redirectUri,
      scope: 'openid email profile',
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      state: expectedState,
      nonce: expectedNonce,
      ...parameters,
    });
    const maxAge = parameters.max_age === undefined ? undefined : Number(parameters.max_age);
    return { url: url.href, checks: { pkceCodeVerifier, expectedState, expectedNonce, maxAge } };
  }

  /** The end: exchanges the code and checks everything that the library checks. `answer` is a URL or a Request. */
  async finish({ checks }, answer) {
    const tokens = await client.authorizationCodeGrant(this.config, answer, checks);
    for (const name of ['access_token', 'refresh_token', 'id_token']) rememberSecret(name, tokens[name]);
    return { tokens, claims: tokens.claims() };
  }

  /** All of it in a browser without a screen. `account` is what is typed when the provider asks. */
  async signIn(browser, account, parameters) {
    const attempt = await this.start(parameters);
    const answer = await signInThrough(browser, attempt.url, account, { stopAt: this.redirectUri });
    assert(answer.location?.startsWith(this.redirectUri), `not at the app but at ${answer.url} (${answer.status})`);
    return this.finish(attempt, new URL(answer.location));
  }

  /** One request that must not show anything: what the app is told at once, as parameters. */
  async silent(browser, parameters = {}) {
    const { url } = await this.start({ prompt: 'none', ...parameters });
    const answer = await browser.get(url);
    assert(answer.location?.startsWith(this.redirectUri), `not at the app but at ${answer.location ?? answer.status}`);
    return Object.fromEntries(new URL(answer.location).searchParams);
  }
}

/** A place that listens at an app's redirect URI and keeps what comes: `{ method, url, body, headers }`. */
export class Landing {
  visits = [];

  static async open() {
    const landing = new Landing();
    landing.http = http.createServer(async (req, res) => {
      const url = new URL(req.url, landing.origin);
      if (url.pathname === '/callback') landing.visits.push({ method: req.method, url, body: await readBody(req), headers: req.headers });
      res.setHeader('content-type', 'text/html; charset=utf-8');
      res.setHeader('cache-control', 'no-store');
      res.end('<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,"><main><h1 id="landed">Welcome to the app</h1></main>');
    }).listen(0, '127.0.0.1');
    landing.http.unref();
    await once(landing.http, 'listening');
    landing.origin = `http://127.0.0.1:${landing.http.address().port}`;
    landing.redirectUri = `${landing.origin}/callback`;
    return landing;
  }

  close() {
    this.http.close();
    this.http.closeAllConnections();
  }
}
