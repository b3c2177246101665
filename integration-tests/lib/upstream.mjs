// A real OpenID provider (npm oidc-provider, a certified implementation) that plays Google, Microsoft or a company's
// own. Its sign-in page is driven like any other. In front of it stands a layer that can make it fail or lie.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader } from 'jose';
import { Provider } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';
import { rememberSecret } from './journal.mjs';

const KEY_ID = 'upstream-key';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const { privateKey: foreignKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

// What the layer in front calls the endpoints.
const ENDPOINTS = {
  '/token': 'token',
  '/jwks': 'jwks',
  '/me': 'userinfo',
  '/token/revocation': 'revocation',
  '/.well-known/openid-configuration': 'discovery',
};

export class Upstream {
  #http;
  #faults = new Map();
  #forge;
  #authMethod;

  constructor(name) {
    this.name = name;
    this.clientId = `gatehouse-at-${name}`;
    this.clientSecret = randomBytes(24).toString('base64url');
    /** Addresses that the client may return to. Grows when the port of the service is known. */
    this.redirectUris = [];
    /** Clients beside that one, of organizations that brought their own: id to secret and redirect URIs. */
    this.tenants = new Map();
    /** What a token answer grants: the life of the access token, and whether a refresh token comes with it. */
    this.tokenSeconds = 600;
    this.givesRefreshTokens = false;
    /** Whether tokens can be given back (RFC 7009). Microsoft has no such endpoint. */
    this.revokes = name !== 'microsoft';
    /** Accounts by subject: the claims of each. */
    this.accounts = new Map();
    /** How often each endpoint was called. */
    this.calls = { token: 0, jwks: 0, userinfo: 0, discovery: 0, authorization: 0, revocation: 0 };
  }

  /** @param {'google' | 'microsoft' | 'oidc'} name */
  static async start(name) {
    const upstream = new Upstream(name);
    await upstream.#listen();
    return upstream;
  }

  async stop() {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  /** Adds an account. Claims that are not given are not claimed, `sub` apart. */
  account({ sub = randomUUID(), ...claims } = {}) {
    const account = { sub, ...claims };
    this.accounts.set(sub, account);
    return account;
  }

  /**
   * Makes an endpoint fail until `heal`.
   * @param {'token' | 'jwks' | 'userinfo' | 'discovery' | 'revocation'} endpoint
   * @param {'hang' | 'error' | 'garbage' | 'huge' | 'redirect' | 'drop' | 'invalid_grant'} kind
   */
  fail(endpoint, kind) {
    assert(Object.values(ENDPOINTS).includes(endpoint), endpoint);
    this.#faults.set(endpoint, kind);
  }

  /**
   * Rewrites every id_token: `change(claims)` returns the claims to sign.
   * @param {(claims: object) => object} change
   * @param {'own' | 'foreign' | 'none'} [signature] signed by the published key, by another under its key id, or not
   */
  forge(change, signature = 'own') {
    this.#forge = { change, signature };
  }

  /** Behaves again. */
  heal() {
    this.#faults.clear();
    this.#forge = undefined;
  }

  async #listen() {
    this.#http = http.createServer((req, res) => this.#receive(req, res)).listen(0, '127.0.0.1');
    this.#http.unref(); // a failed test that forgot to stop it must not hang
    await once(this.#http, 'listening');
    this.url = `http://127.0.0.1:${this.#http.address().port}`;
    this.provider = this.#provider();
    this.callback = this.provider.callback();
  }

  #provider() {
    const memory = createMemoryAdapter();
    const clients = { find: async (id) => this.#client(id) };
    return new Provider(this.url, {
      adapter: (model) => (model === 'Client' ? clients : memory(model)),
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: KEY_ID, alg: 'RS256', use: 'sig' }] },
      // Browsers share cookies between the ports of one host: two stand-ins need two names.
      cookies: { keys: [randomUUID()], names: { session: `${this.name}_session`, interaction: `${this.name}_interaction`, resume: `${this.name}_resume` } },
      claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'picture'] },
      conformIdTokenClaims: false, // as the big providers do: profile claims are in the id_token
      pkce: { required: () => true },
      features: { devInteractions: { enabled: false }, revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId } },
      interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
      issueRefreshToken: async (_ctx, client) => this.givesRefreshTokens && client.grantTypeAllowed('refresh_token'),
      rotateRefreshToken: true, // and a rotated one that comes again ends the whole grant
      findAccount: async (_ctx, sub) => this.accounts.has(sub) ? { accountId: sub, claims: async () => this.accounts.get(sub) } : undefined,
      loadExistingGrant: async (ctx) => {
        const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
        grant.addOIDCScope('openid email profile offline_access');
        await grant.save();
        return grant;
      },
      ttl: { AccessToken: () => this.tokenSeconds, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 3600, Grant: 3600, RefreshToken: 3600 },
    });
  }

  /** Registers a client of its own for an organization: what its administrator enters at the service. */
  tenant(name, redirectUri) {
    const client = { client_id: `${name}-at-${this.name}`, client_secret: randomBytes(24).toString('base64url') };
    rememberSecret('client secret of an organization', client.client_secret);
    this.tenants.set(client.client_id, { secret: client.client_secret, redirectUris: [redirectUri] });
    return client;
  }

  #client(id) {
    const known = id === this.clientId ? { secret: this.clientSecret, redirectUris: this.redirectUris } : this.tenants.get(id);
    return known && {
      client_id: id,
      client_secret: known.secret,
      redirect_uris: [...known.redirectUris],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: this.#authMethod,
    };
  }

  async #receive(req, res) {
    const { pathname } = new URL(req.url, this.url);
    if (pathname === '/auth') this.calls.authorization += 1;
    if (pathname.startsWith('/interaction/')) return this.#interact(req, res);
    const endpoint = ENDPOINTS[pathname];
    if (endpoint !== undefined) {
      this.calls[endpoint] += 1;
      if (misbehave(this.#faults.get(endpoint), res)) return undefined;
      // The big providers take the client secret in the header or in the body; this implementation wants one method
      // per client, so the client is whatever the request makes it.
      if (endpoint === 'revocation' && this.name === 'google') return this.#revokeAsGoogle(req, res);
      if (endpoint === 'token' || endpoint === 'revocation') {
        this.#authMethod = req.headers.authorization === undefined ? 'client_secret_post' : 'client_secret_basic';
      }
      if (endpoint === 'token') this.#watchTokens(res);
      if (endpoint === 'discovery' && !this.revokes) this.#hideRevocation(res);
    }
    return this.callback(req, res);
  }

  #hideRevocation(res) {
    const end = res.end.bind(res);
    res.end = (body, ...rest) => {
      const { revocation_endpoint: _hidden, ...document } = JSON.parse(body);
      const text = JSON.stringify(document);
      res.setHeader('content-length', Buffer.byteLength(text));
      return end(text, ...rest);
    };
  }

  // Google wants the token and nothing else, takes the whole grant back, and says 400 when it does not know the token.
  async #revokeAsGoogle(req, res) {
    const token = new URLSearchParams(await readBody(req)).get('token');
    const { AccessToken, RefreshToken } = this.provider;
    const found = await RefreshToken.find(token) ?? await AccessToken.find(token);
    if (found === undefined || req.headers.authorization !== undefined) {
      res.writeHead(400, { 'content-type': 'application/json' }).end('{"error": "invalid_token", "error_description": "Token expired or revoked"}');
      return;
    }
    await AccessToken.revokeByGrantId(found.grantId);
    await RefreshToken.revokeByGrantId(found.grantId);
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  }

  // The sign-in page: a form that asks for the account, with a way to say no.
  async #interact(req, res) {
    try {
      if (req.method !== 'POST') {
        await this.provider.interactionDetails(req, res);
        res.setHeader('content-type', 'text/html; charset=utf-8');
        res.end(`<!doctype html><title>${this.name}</title><form method="post"><input name="account">`
          + '<button name="decision" value="continue">Continue</button><button name="decision" value="cancel">Cancel</button></form>');
        return;
      }
      const fields = new URLSearchParams(await readBody(req));
      const result = fields.get('decision') === 'cancel'
        ? { error: 'access_denied', error_description: 'the user said no' }
        : { login: { accountId: fields.get('account') }, consent: {} };
      await this.provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
    } catch (error) {
      res.statusCode = 400;
      res.end(`this sign-in is gone: ${error.message}`);
    }
  }

  // Koa ends an answer with one call of `end`: remember the tokens in it, and forge the id_token when told to.
  #watchTokens(res) {
    const end = res.end.bind(res);
    res.end = (body, ...rest) => {
      if (body === undefined || res.statusCode !== 200) return end(body, ...rest);
      const answer = JSON.parse(body);
      rememberSecret('upstream access token', answer.access_token);
      rememberSecret('upstream refresh token', answer.refresh_token);
      rememberSecret('upstream id_token', answer.id_token);
      if (this.#forge === undefined) return end(body, ...rest);
      this.#forgeIdToken(answer.id_token).then((forged) => {
        const text = JSON.stringify({ ...answer, id_token: forged });
        res.setHeader('content-length', Buffer.byteLength(text));
        end(text);
      });
      return res;
    };
  }

  async #forgeIdToken(idToken) {
    const { change, signature } = this.#forge;
    const claims = change(decodeJwt(idToken));
    if (signature === 'none') return new UnsecuredJWT(claims).encode();
    const key = signature === 'foreign' ? foreignKey : privateKey;
    return new SignJWT(claims).setProtectedHeader(decodeProtectedHeader(idToken)).sign(key);
  }
}

/** Plays a planned failure of an HTTP endpoint. Returns whether it did. */
export function misbehave(kind, res) {
  switch (kind) {
    case undefined:
      return false;
    case 'hang': // the connection stays open, nothing comes
      return true;
    case 'drop':
      res.socket.destroy();
      return true;
    case 'error':
      res.writeHead(500, { 'content-type': 'text/html' }).end('<h1>UPSTREAM-INTERNALS: stack trace</h1>');
      return true;
    case 'invalid_grant':
      res.writeHead(400, { 'content-type': 'application/json' }).end('{"error": "invalid_grant"}');
      return true;
    case 'garbage':
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token": UPSTREAM-INTERNALS');
      return true;
    case 'huge': { // without a length and without an end, until the reader has had enough
      res.writeHead(200, { 'content-type': 'application/json' });
      const chunk = Buffer.alloc(1 << 16, ' ');
      const pump = () => {
        while (!res.destroyed && res.write(chunk));
      };
      res.on('drain', pump);
      pump();
      return true;
    }
    case 'redirect': // a token request carries the client secret: it must not travel on
      res.writeHead(307, { location: 'http://127.0.0.1:9/elsewhere' }).end();
      return true;
    default:
      throw new Error(`unknown failure ${kind}`);
  }
}

/** The whole body of a request as text. */
export async function readBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
