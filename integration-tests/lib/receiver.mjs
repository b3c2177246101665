// A receiver of what the service sends by itself (webhooks, logout tokens): keeps what came, answers as it is told.

import { once } from 'node:events';
import http from 'node:http';
import { until } from './until.mjs';

export class Receiver {
  #server;
  #sockets = new Set();
  #answers = [];
  #asIs = { status: 200 };

  /** Every request that arrived whole: `{ method, path, headers, body, answered }`, oldest first. */
  seen = [];

  /** Starts one on a port of its own, or again on one that it had. */
  static async start({ port = 0 } = {}) {
    const receiver = new Receiver();
    await receiver.open(port);
    return receiver;
  }

  async open(port = this.port ?? 0) {
    this.#server = http.createServer((request, response) => this.#take(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket.unref());
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#server.unref(); // a test that failed must not wait for what it left open
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}/hook`;
  }

  /** The next answers, in order: `{ status, location, retryAfter }`, or 'hang'. */
  plan(...answers) {
    this.#answers.push(...answers);
  }

  /** Every answer that is not planned. */
  always(answer) {
    this.#asIs = answer;
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = this.#answers.shift() ?? this.#asIs;
    const { method, url: path, headers } = request;
    this.seen.push({ method, path, headers, body: Buffer.concat(chunks).toString(), answered: answer.status ?? answer });
    if (answer === 'hang') return;
    const { status, location, retryAfter } = answer;
    response.writeHead(status, { ...(location && { location }), ...(retryAfter && { 'retry-after': retryAfter }) });
    response.end(answer.status === 204 ? undefined : 'what a receiver says is nobody else\'s business');
  }

  /** Waits until `count` requests arrived, and returns them all. */
  async until(count, options = { deadlineMs: 30_000 }) {
    return until(`${count} requests arrived (${this.seen.length} did)`, () => this.seen.length >= count && this.seen, options);
  }

  /** Hangs up on everybody and listens no more. */
  async close() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}
