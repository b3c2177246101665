// What the running scenario has seen: every secret that crossed the wire, and the last requests.
// A test file runs its scenarios one after another in a process of its own, so one journal is enough.

const TAIL = 20; // characters; enough to be unique, and free of a row id that a token may carry in front

let secrets = new Map();
let requests = [];

/** Forgets everything: a new scenario begins. */
export function openJournal() {
  secrets = new Map();
  requests = [];
}

/**
 * Remembers a secret that must never be found in a log line, nor (with `atRest`) in a file.
 * Values that tests make up on purpose ("wrong", a letter many times, hostile text) are not remembered: a secret of
 * ours is long, of many different characters, and of the alphabet of tokens.
 */
export function rememberSecret(kind, value, { atRest = true } = {}) {
  if (typeof value !== 'string' || value.length < (kind === 'user_code' ? 8 : TAIL)) return;
  if (kind !== 'user_code' && (!/^[\w.~-]+$/.test(value) || new Set(value.slice(-TAIL)).size < 8)) return;
  secrets.set(value, { kind, atRest });
}

/** Remembers one answered request, for the report of a failure. */
export function rememberRequest({ method, url, status, requestId }) {
  const { origin, pathname } = new URL(url);
  requests.push(`${method} ${origin}${pathname} -> ${status} x-request-id=${requestId ?? 'none'}`);
  if (requests.length > 8) requests.shift();
}

/** The last requests of the scenario, oldest first. Without queries: those carry codes. */
export function lastRequests() {
  return [...requests];
}

/** How many distinct secrets the scenario has seen. A leak check that looked for none proves nothing. */
export function secretCount() {
  return secrets.size;
}

/** Every secret found in the text of the log, as "kind in: line" with the secret itself cut out. */
export function leaksInLog(lines) {
  const found = [];
  for (const [value, { kind }] of secrets) {
    for (const needle of writtenForms(kind, value)) {
      const line = lines.find((candidate) => candidate.includes(needle));
      if (line !== undefined) found.push(`${kind} in the log: ${line.replaceAll(needle, '<SECRET>')}`);
    }
  }
  return found;
}

/**
 * Every secret found in the bytes of a file, as text or decoded from base64url.
 * @param {string} name for the message
 * @param {Buffer} bytes
 */
export function leaksInBytes(name, bytes) {
  const found = [];
  for (const [value, { kind, atRest }] of secrets) {
    if (!atRest) continue;
    const raw = Buffer.from(value.split('.').at(-1), 'base64url').subarray(-16);
    const decodedToo = raw.length === 16 && /^[\w-]+$/.test(value.split('.').at(-1));
    if (bytes.includes(value.slice(-TAIL))) found.push(`${kind} as text in ${name}`);
    if (decodedToo && bytes.includes(raw)) found.push(`${kind} as bytes in ${name}`);
  }
  return found;
}

function writtenForms(kind, value) {
  if (kind === 'user_code') return [value, value.replace('-', ''), value.toLowerCase()];
  return [value.slice(-TAIL)];
}

const TOKEN_MEMBERS = ['access_token', 'refresh_token', 'id_token', 'device_code', 'client_secret', 'code_verifier'];

/** Picks the secrets out of a JSON body or a form that crossed the wire. */
export function harvest(members) {
  if (members === null || typeof members !== 'object') return;
  // A verifier may be the challenge of somebody who tries that out, and challenges are kept at rest.
  for (const name of TOKEN_MEMBERS) rememberSecret(name, members[name], { atRest: name !== 'code_verifier' });
  rememberSecret('code', members.code);
  rememberSecret('user_code', members.user_code, { atRest: false });
}

/** Picks a one-time code out of an address. */
export function harvestUrl(url) {
  const query = new URL(url, 'http://relative.invalid').searchParams;
  rememberSecret('code', query.get('code'));
  rememberSecret('user_code', query.get('user_code'), { atRest: false });
}
