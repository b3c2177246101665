// A resource server: an API that other software calls with access tokens of Gatehouse. It verifies them with nothing but
// the published keys, so it asks Gatehouse for nothing while it serves.
//
//   ISSUER=http://127.0.0.1:3000 AUDIENCE=demo-web PORT=4000 node resource-server.mjs
//
// AUDIENCE is the client_id of the service, or one of its registered `resources`.

import { createServer } from 'node:http';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

const { ISSUER, AUDIENCE, PORT = '4000', JWKS_CACHE_MS = '300000' } = process.env;

// A key is published ten minutes before it signs, and keys may be cached for five: whoever fetches them again in time
// never meets a key that it does not know.
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER), { cacheMaxAge: Number(JWKS_CACHE_MS) });

/** The claims of a token that is good, or an error. */
async function claimsOf(authorization = '') {
  const [scheme, token] = authorization.split(' ');
  if (scheme.toLowerCase() !== 'bearer' || token === undefined) throw new errors.JWTInvalid('no bearer token');
  const { payload } = await jwtVerify(token, keys, {
    issuer: ISSUER,
    audience: AUDIENCE, // a token for another API is no token here
    typ: 'at+jwt', // an id_token is no access token
    algorithms: ['ES256'], // never what the token itself asks for
    requiredClaims: ['exp', 'sub', 'client_id', 'scope'],
  });
  // A token that is bound to a key (RFC 9449) is no bearer token.
  if (payload.cnf !== undefined) throw new errors.JWTInvalid('the token is bound to a key');
  return payload;
}

const server = createServer(async (request, response) => {
  const answer = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
  try {
    const { sub, org, plan, scope, client_id: clientId } = await claimsOf(request.headers.authorization);
    answer(200, { hello: sub, org, plan, scope: scope.split(' '), clientId });
  } catch (error) {
    // RFC 6750, section 3.
    answer(401, { error: 'invalid_token', reason: error.code ?? error.message }, { 'www-authenticate': 'Bearer error="invalid_token"' });
  }
});

server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
