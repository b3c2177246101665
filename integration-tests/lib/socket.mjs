// Connections as bytes: what no HTTP client would send.

import { once } from 'node:events';
import net from 'node:net';

/** A connection: its socket, what came in so far, and a promise of its end. */
export async function connection(server) {
  const socket = net.connect(Number(server.port), '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => { received += chunk.toString('latin1'); });
  socket.on('error', () => {}); // writing to a connection that the service closed
  // Not by `once`, which would fail with the error above where nobody waits for the end.
  const closed = new Promise((resolve) => { socket.once('close', resolve); });
  await once(socket, 'connect');
  return { socket, closed, text: () => received };
}

/** The head of a request. */
export function head(method, path, ...fields) {
  return [`${method} ${path} HTTP/1.1`, 'host: gatehouse.test', ...fields, '', ''].join('\r\n');
}

/** The statuses of all answers in a text. */
export const statuses = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
