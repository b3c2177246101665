// Server-sent events as a program reads them (HTML standard, section 9.2): blocks, fields, the last id.

import http from 'node:http';
import { until } from './until.mjs';

export class EventStream {
  /** Blocks with data: `{ id, event, data }`, oldest first. */
  events = [];
  /** Blocks without data: comments and bare ids. */
  signs = [];
  ended = false;
  #outgoing;

  /** Opens one; resolves once the answer's head is there. */
  static open(server, path, { bearer, lastEventId } = {}) {
    const stream = new EventStream();
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${bearer}` };
    if (lastEventId !== undefined) headers['last-event-id'] = lastEventId;
    return new Promise((resolve, reject) => {
      stream.#outgoing = http.request(server.url + path, { headers, agent: false });
      stream.#outgoing.on('error', (error) => { stream.ended = true; reject(error); });
      stream.#outgoing.on('response', (incoming) => {
        Object.assign(stream, { status: incoming.statusCode, headers: incoming.headers, text: '' });
        incoming.setEncoding('utf8');
        let rest = '';
        incoming.on('data', (chunk) => {
          stream.text += chunk;
          rest += chunk;
          const blocks = rest.split('\n\n');
          rest = blocks.pop();
          for (const block of blocks) stream.#take(block);
        });
        const end = () => { stream.ended = true; };
        incoming.on('end', end).on('error', end).on('close', end);
        resolve(stream);
      });
      stream.#outgoing.end();
    });
  }

  #take(block) {
    const fields = Object.fromEntries(block.split('\n').filter((line) => !line.startsWith(':')).map((line) => line.split(/: (.*)/s, 2)));
    if (fields.id !== undefined) this.lastEventId = fields.id;
    if (fields.data === undefined) this.signs.push(fields);
    else this.events.push({ ...fields, data: JSON.parse(fields.data) });
  }

  /** Waits until `count` events arrived, and returns them all. */
  until(count, options) {
    return until(`${count} events arrived on the stream`, () => this.events.length >= count && this.events, options);
  }

  /** Hangs up. */
  close() {
    this.#outgoing.destroy();
  }
}
