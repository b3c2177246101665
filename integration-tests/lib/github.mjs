// A stand-in for GitHub that answers as GitHub does where clients stumble: errors with status 200, answers in form
// encoding unless asked for JSON, single-use codes, a User-Agent that must be there.

import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { rememberSecret } from './journal.mjs';
import { misbehave, readBody } from './upstream.mjs';

const CODE_LIFETIME_MS = 10 * 60 * 1000;
const ERRORS = {
  incorrect_client_credentials: 'The client_id and/or client_secret passed are incorrect.',
  redirect_uri_mismatch: 'The redirect_uri MUST match the registered callback URL for this application.',
  bad_verification_code: 'The code passed is incorrect or expired.',
  unsupported_grant_type: 'The grant_type is not supported.',
  bad_refresh_token: 'The refresh token passed is incorrect or expired.',
};
const REFRESH_TOKEN_SECONDS = 15_897_600; // six months

export class GitHub {
  #http;
  #codes = new Map();
  #tokens = new Map();
  #refreshTokens = new Map();
  #faults = new Map();

  constructor() {
    this.clientId = `Iv1.${randomBytes(8).toString('hex')}`;
    this.clientSecret = randomBytes(20).toString('hex');
    this.redirectUris = [];
    /** Who approves: the account of the next authorization. `undefined` says no. */
    this.user = undefined;
    /** How often each endpoint was called. */
    this.calls = { authorization: 0, token: 0, user: 0, emails: 0, revocation: 0 };
    /** Whether this is a GitHub App with "expire user authorization tokens", and not a classic OAuth app. */
    this.isApp = false;
    /** Life of an app's access token: eight hours. */
    this.tokenSeconds = 28_800;
  }

  static async start() {
    const github = new GitHub();
    await github.#listen();
    return github;
  }

  async stop() {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  /** An account. `emails` as `/user/emails` lists them; `email` of the public profile is null, as for most people. */
  account({ login, name = null, email = null, emails = [] }) {
    return { id: randomInt(1_000_000, 100_000_000), login, name, email, emails };
  }

  /**
   * Makes an endpoint fail until `heal`: see `Upstream.fail`.
   * @param {'token' | 'user' | 'emails' | 'revocation'} endpoint
   */
  fail(endpoint, kind) {
    this.#faults.set(endpoint, kind);
  }

  heal() {
    this.#faults.clear();
  }

  async #listen() {
    this.#http = http.createServer((req, res) => this.#receive(req, res)).listen(0, '127.0.0.1');
    this.#http.unref(); // a failed test that forgot to stop it must not hang
    await once(this.#http, 'listening');
    this.url = `http://127.0.0.1:${this.#http.address().port}`;
    this.apiUrl = `${this.url}/api/v3`; // where a GitHub Enterprise server has its API
  }

  async #receive(req, res) {
    const url = new URL(req.url, this.url);
    const route = `${req.method} ${url.pathname}`;
    if (route === 'GET /login/oauth/authorize') return this.#authorize(url.searchParams, res);
    if (route === 'POST /login/oauth/access_token') return this.#token(req, res);
    if (route === 'GET /api/v3/user') return this.#api('user', req, res);
    if (route === 'GET /api/v3/user/emails') return this.#api('emails', req, res);
    if (route === `DELETE /api/v3/applications/${this.clientId}/token`) return this.#revoke(req, res);
    return sendJson(res, 404, { message: 'Not Found', documentation_url: 'https://docs.github.com/rest', status: '404' });
  }

  #authorize(query, res) {
    this.calls.authorization += 1;
    if (query.get('client_id') !== this.clientId) return res.writeHead(404).end('Not Found');
    const state = query.get('state');
    const redirectUri = query.get('redirect_uri') ?? this.redirectUris[0];
    if (!this.redirectUris.includes(redirectUri)) return redirect(res, this.redirectUris[0], { error: 'redirect_uri_mismatch', error_description: ERRORS.redirect_uri_mismatch, state });
    if (this.user === undefined) {
      return redirect(res, redirectUri, { error: 'access_denied', error_description: 'The user has denied your application access.', error_uri: 'https://docs.github.com/', state });
    }
    const code = randomBytes(10).toString('hex');
    this.#codes.set(code, {
      user: this.user,
      redirectUri,
      scopes: (query.get('scope') ?? '').split(/[\s,]+/).filter(Boolean),
      challenge: query.get('code_challenge'),
      expiresAt: Date.now() + CODE_LIFETIME_MS,
    });
    return redirect(res, redirectUri, { code, state });
  }

  async #token(req, res) {
    this.calls.token += 1;
    const text = await readBody(req);
    if (misbehave(this.#faults.get('token'), res)) return;
    const fields = /json/.test(req.headers['content-type'] ?? '') ? new Map(Object.entries(JSON.parse(text))) : new URLSearchParams(text);
    const [basicId, basicSecret] = basicCredentials(req.headers.authorization);
    const reply = (members) => {
      if (/json/.test(req.headers.accept ?? '')) return sendJson(res, 200, members);
      return res.writeHead(200, { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }).end(new URLSearchParams(members).toString());
    };
    const refuse = (error) => reply({ error, error_description: ERRORS[error], error_uri: 'https://docs.github.com/' });

    if ((fields.get('client_id') ?? basicId) !== this.clientId || (fields.get('client_secret') ?? basicSecret) !== this.clientSecret) {
      return refuse('incorrect_client_credentials');
    }
    const grantType = fields.get('grant_type') ?? 'authorization_code';
    if (grantType === 'refresh_token' && this.isApp) {
      const used = this.#refreshTokens.get(fields.get('refresh_token'));
      if (used === undefined) return refuse('bad_refresh_token');
      // Both tokens of the pair end with it.
      this.#refreshTokens.delete(fields.get('refresh_token'));
      this.#tokens.delete(used.accessToken);
      return reply(this.#issue(used.grant));
    }
    if (grantType !== 'authorization_code') return refuse('unsupported_grant_type');
    const code = this.#codes.get(fields.get('code'));
    this.#codes.delete(fields.get('code')); // single use, whatever comes of it
    if (code === undefined || code.expiresAt < Date.now()) return refuse('bad_verification_code');
    const redirectUri = fields.get('redirect_uri');
    if (redirectUri != null && redirectUri !== code.redirectUri) return refuse('redirect_uri_mismatch');
    if (code.challenge !== null && code.challenge !== s256(fields.get('code_verifier'))) return refuse('bad_verification_code');
    return reply(this.#issue(code));
  }

  #issue(grant) {
    const token = (prefix) => `${prefix}_${randomBytes(27).toString('base64url').replace(/[-_]/g, 'x')}`;
    const accessToken = token(this.isApp ? 'ghu' : 'gho');
    rememberSecret('upstream access token', accessToken);
    this.#tokens.set(accessToken, grant);
    // A classic app's token does not end; the scope of an app's token is empty, its permissions are the installation's.
    if (!this.isApp) return { access_token: accessToken, scope: grant.scopes.join(','), token_type: 'bearer' };
    const refreshToken = token('ghr');
    rememberSecret('upstream refresh token', refreshToken);
    this.#refreshTokens.set(refreshToken, { grant, accessToken });
    return {
      access_token: accessToken,
      expires_in: this.tokenSeconds,
      refresh_token: refreshToken,
      refresh_token_expires_in: REFRESH_TOKEN_SECONDS,
      scope: '',
      token_type: 'bearer',
    };
  }

  /** The person took the authorization back at GitHub. */
  forgetEverything() {
    this.#tokens.clear();
    this.#refreshTokens.clear();
  }

  // DELETE /applications/{client_id}/token
  async #revoke(req, res) {
    this.calls.revocation += 1;
    const text = await readBody(req);
    if (misbehave(this.#faults.get('revocation'), res)) return undefined;
    const [id, secret] = basicCredentials(req.headers.authorization);
    if (id !== this.clientId || secret !== this.clientSecret) return sendJson(res, 404, { message: 'Not Found', status: '404' });
    const { access_token: token } = JSON.parse(text);
    if (typeof token !== 'string') return sendJson(res, 422, { message: 'Validation Failed', status: '422' });
    if (!this.#tokens.delete(token)) return sendJson(res, 404, { message: 'Not Found', status: '404' });
    return res.writeHead(204).end();
  }

  #api(endpoint, req, res) {
    this.calls[endpoint] += 1;
    if (misbehave(this.#faults.get(endpoint), res)) return undefined;
    if (!req.headers['user-agent']) {
      return res.writeHead(403, { 'content-type': 'text/html' }).end('Request forbidden by administrative rules. Please make sure your request has a User-Agent header.');
    }
    const [, token] = /^(?:bearer|token) (\S+)$/i.exec(req.headers.authorization ?? '') ?? [];
    const grant = this.#tokens.get(token);
    if (grant === undefined) return sendJson(res, 401, { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest', status: '401' });
    const { user, scopes } = grant;
    if (endpoint === 'emails') {
      if (!scopes.includes('user:email') && !scopes.includes('user')) return sendJson(res, 404, { message: 'Not Found', documentation_url: 'https://docs.github.com/rest', status: '404' });
      return sendJson(res, 200, user.emails.map((entry) => ({ visibility: entry.primary ? 'private' : null, ...entry })));
    }
    const { emails: _private, ...profile } = user;
    return sendJson(res, 200, { ...profile, node_id: `U_${user.id}`, type: 'User', site_admin: false, avatar_url: `${this.url}/avatars/u/${user.id}?v=4`, html_url: `${this.url}/${user.login}` });
  }
}

function redirect(res, address, members) {
  const target = new URL(address);
  for (const [name, value] of Object.entries(members)) if (value !== null) target.searchParams.set(name, value);
  res.writeHead(302, { location: target.href }).end();
}

function sendJson(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body));
}

function s256(verifier) {
  return verifier == null ? undefined : createHash('sha256').update(verifier).digest('base64url');
}

function basicCredentials(header) {
  const [, encoded] = /^basic (\S+)$/i.exec(header ?? '') ?? [];
  return encoded === undefined ? [] : Buffer.from(encoded, 'base64').toString('utf8').split(':').map(decodeURIComponent);
}
