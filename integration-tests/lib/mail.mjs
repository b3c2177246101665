// A real SMTP server on the loopback interface, and a reader for the letters that it gets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { SMTPServer } from 'smtp-server';
import { rememberSecret } from './journal.mjs';
import { until } from './until.mjs';

const USER = 'mailer@example.test/relay'; // SMTP_URL must hold it percent-encoded
const PASSWORD = 'Zk3vQ8rT1xWn6Yb0LpHs5Uc9';

/**
 * Starts it. `url` is what SMTP_URL takes, with credentials that the server insists on.
 * @param {{ refuse?: boolean }} [options] `refuse`: every recipient is turned away for good
 */
export async function startMailServer({ refuse = false } = {}) {
  const letters = [];
  let refusals = 0;
  rememberSecret('SMTP password', PASSWORD);
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    onAuth({ username, password }, session, done) {
      const right = username === USER && password === PASSWORD;
      done(right ? null : new Error('wrong user or password'), right ? { user: username } : undefined);
    },
    onRcptTo(address, session, done) {
      if (refuse) refusals += 1;
      done(refuse ? Object.assign(new Error('no such mailbox'), { responseCode: 550 }) : undefined);
    },
    onData(stream, session, done) {
      const chunks = [];
      stream.on('data', (chunk) => chunks.push(chunk));
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope;
        const envelope = { from: mailFrom.address, to: rcptTo.map(({ address }) => address) };
        letters.push({ envelope, user: session.user, ...readLetter(Buffer.concat(chunks).toString('utf8')) });
        done();
      });
    },
  });
  server.on('error', () => {}); // connections that end early are the client's business
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address();
  let read = 0;
  let stopped = false;
  return {
    url: `smtp://${encodeURIComponent(USER)}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}`,
    /** The next letter, in the order of arrival. */
    async next() {
      await until('a letter arrives', () => letters.length > read);
      read += 1;
      return letters[read - 1];
    },
    /** Waits until a recipient was turned away. */
    refused: () => until('a recipient is turned away', () => refusals > 0),
    get count() { return letters.length; },
    async stop() {
      if (!stopped) await new Promise((resolve) => { server.close(resolve); });
      stopped = true;
    },
  };
}

/** Headers (RFC 5322) and the two parts (RFC 2046) of a letter, decoded. */
export function readLetter(source) {
  const { headers, body } = split(source);
  const boundary = /boundary="?([^";]+)"?/.exec(headers.get('content-type'))?.[1];
  assert(boundary, `the letter has parts: ${headers.get('content-type')}`);
  const parts = {};
  for (const text of body.split(`--${boundary}`).slice(1, -1)) {
    const part = split(text.replace(/^\r\n/, ''));
    const type = part.headers.get('content-type').split(';')[0];
    parts[type] = decode(part.body, part.headers.get('content-transfer-encoding')).replaceAll('\r\n', '\n');
  }
  return { headers, parts };
}

function split(source) {
  const end = source.indexOf('\r\n\r\n');
  const lines = source.slice(0, end).replace(/\r\n[ \t]+/g, ' ').split('\r\n');
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  assert.equal(headers.size, lines.length, 'no header is there twice');
  return { headers, body: source.slice(end + 4) };
}

function decode(text, encoding = '7bit') {
  if (encoding === 'base64') return Buffer.from(text, 'base64').toString('utf8');
  if (encoding !== 'quoted-printable') return text;
  const bytes = text.replace(/=\r\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
