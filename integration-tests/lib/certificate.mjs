// Certificates for tests, made by openssl: each its own root, for the loopback address.

import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { library } from './clock.mjs';

/**
 * Writes `NAME.crt` and `NAME.key` and tells where they are, and what a client needs to know of them.
 * @param {string} dir
 * @param {string} name also the common name
 * @param {{ days?: number, expired?: boolean, algorithm?: string[] }} [options]
 */
export function makeCertificate(dir, name, { days = 30, expired = false, algorithm = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'] } = {}) {
  const [certificate, key] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
  // openssl makes no certificate that is over already, unless it believes that it is earlier.
  const env = { ...process.env, ...(expired ? { LD_PRELOAD: library(), FAKETIME: '-400d' } : {}) };
  execFileSync('openssl', ['req', '-x509', '-newkey', ...algorithm, '-nodes', '-days', String(days), '-subj', `/CN=${name}`,
    '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-out', certificate, '-keyout', key], { stdio: 'pipe', env });
  const pem = readFileSync(certificate, 'utf8');
  const x509 = new X509Certificate(pem);
  return { certificate, key, pem, fingerprint: x509.fingerprint256, expiresAt: Date.parse(x509.validTo) };
}
