#!/usr/bin/env node
// Behaves like the service where lib/gatehouse.mjs touches it, so that the helpers can be tried without it.
// GET /leak?value= writes the value to the log, GET /store?value= to the database file, GET /panic pretends to panic.

import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import http from 'node:http';

mkdirSync('data', { recursive: true });
const restarted = existsSync('data/started');
appendFileSync('data/started', '.');
const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://fake');
  const value = url.searchParams.get('value');
  if (url.pathname === '/leak') console.error(`leaking ${value}`);
  if (url.pathname === '/store') appendFileSync('data/gatehouse.db-wal', value);
  if (url.pathname === '/store-bytes') appendFileSync('data/gatehouse.db-wal', Buffer.from(value, 'base64url'));
  if (url.pathname === '/panic') console.error("thread 'main' panicked at src/main.rs");
  res.setHeader('x-request-id', 'fake-request');
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify({ restarted, now: Date.now(), refresh_token: 'r'.repeat(23) + 'this-is-the-refresh-token', args: process.argv.slice(2) }));
});
server.listen(Number(process.env.SERVER_PORT), '127.0.0.1', () => {
  console.error(`2026-01-01T00:00:00Z INFO gatehouse::server listening url=http://127.0.0.1:${server.address().port} workers=1`);
});
process.on('SIGTERM', () => {
  console.error('stopping');
  server.close(() => process.exit(0));
});
