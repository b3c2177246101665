"""Fills the database of a stopped Gatehouse, fast: python3 seed.py DATABASE FOLDER COUNT HOT

COUNT rows each of users, identities, sessions, refresh tokens, device codes, login events and events, of which the
newest HOT refresh tokens and device codes are written to FOLDER as clients hold them, one a line. The secrets follow
from the row ids, so no other program needs to know anything. For measurements only: a database that was filled like
this has secrets that anybody can compute.
"""

import base64
import hashlib
import os
import sqlite3
import sys
import time

DATABASE, FOLDER, COUNT, HOT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
NOW = int(time.time() * 1000)
DAY = 86_400_000
REFRESH, DEVICE, CLIENT_SECRET = 3, 2, 5  # src/crypto/token.rs: the kind in front of an opaque token
ORG, WEB, CLI = 2, 2, 3  # what dev mode seeds
CHUNK = 50_000
FIRST = 1_000  # above what the service made itself
HOT_FROM = max(FIRST, FIRST + COUNT - HOT)


def secret(kind, row):
    return hashlib.sha256(f"gatehouse bench {kind} {row}".encode()).digest()


def stored(kind, row):
    # Only those that are handed out have to be computed.
    return hashlib.sha256(secret(kind, row)).digest() if row >= HOT_FROM or kind == CLIENT_SECRET else os.urandom(32)


def token(kind, row):
    return base64.urlsafe_b64encode(bytes([kind]) + row.to_bytes(8, "big") + secret(kind, row)).rstrip(b"=").decode()


def uuid7(moment, row):
    text = f"{moment:012x}7{row & 0xFFF:03x}8{(row * 2654435761) & 0x7FFFFFF:07x}{row:08x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def main():
    db = sqlite3.connect(DATABASE, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -400000")
    first, last = FIRST, FIRST + COUNT
    begin = NOW - 7 * DAY
    step = max(1, 6 * DAY // COUNT)
    for low in range(first, last, CHUNK):
        rows = range(low, min(low + CHUNK, last))
        at = {row: begin + (row - first) * step for row in rows}
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO users (id, public_id, org_id, email, name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            ((r, uuid7(at[r], r), ORG, f"person{r}@bench.test", f"Person {r}", at[r], at[r]) for r in rows),
        )
        db.executemany(
            "INSERT INTO identities (org_id, user_id, provider, issuer, subject, email, email_verified, created_at, "
            "last_login_at) VALUES (?, ?, 'google', 'https://accounts.google.com', ?, ?, 1, ?, ?)",
            ((ORG, r, f"{r * 7919:021d}", f"person{r}@bench.test", at[r], at[r]) for r in rows),
        )
        db.executemany(
            "INSERT INTO sessions (id, public_id, org_id, service_id, user_id, provider, method, scope, authenticated_at, "
            "created_at, expires_at, user_agent, ip_address) VALUES (?, ?, ?, ?, ?, 'google', 'web', "
            "'openid email profile', ?, ?, ?, 'Mozilla/5.0 (X11; Linux x86_64)', '192.0.2.7')",
            ((r, uuid7(at[r] + 1, r), ORG, WEB, r, at[r], at[r], at[r] + 180 * DAY) for r in rows),
        )
        db.executemany(
            "INSERT INTO refresh_tokens (id, session_id, secret_hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            ((r, r, stored(REFRESH, r), at[r], NOW + 30 * DAY) for r in rows),
        )
        db.executemany(
            "INSERT INTO device_codes (id, secret_hash, org_id, service_id, scope, status, requested_from, user_agent, "
            "created_at, expires_at) VALUES (?, ?, ?, ?, 'openid', 'pending', '192.0.2.7', 'terminal', ?, ?)",
            ((r, stored(DEVICE, r), ORG, CLI, NOW, NOW + DAY) for r in rows),
        )
        db.executemany(
            "INSERT INTO login_events (id, public_id, org_id, service_id, user_id, provider, method, succeeded, ip_address, "
            "user_agent, created_at) VALUES (?, ?, ?, ?, ?, 'google', 'web', 1, '192.0.2.7', 'Mozilla/5.0', ?)",
            ((r, uuid7(at[r] + 1, r), ORG, WEB, r, at[r]) for r in rows),
        )
        db.executemany(
            "INSERT INTO events (org_id, sequence, type, data, created_at) VALUES (?, ?, 'session.created', ?, ?)",
            ((ORG, r, f'{{"id":"{uuid7(at[r], r)}","user_id":"{uuid7(at[r], r)}"}}', at[r]) for r in rows),
        )
        db.execute("COMMIT")
    # A confidential client, for introspection.
    if db.execute("SELECT 1 FROM services WHERE client_id = 'bench-api'").fetchone() is None:
        row = db.execute(
            "INSERT INTO services (public_id, org_id, slug, name, service_type, client_id, created_at, updated_at) "
            "VALUES (?, ?, 'bench-api', 'Bench API', 'api', 'bench-api', ?, ?) RETURNING id",
            (uuid7(NOW, 1), ORG, NOW, NOW),
        ).fetchone()[0]
        db.execute(
            "INSERT INTO client_secrets (id, service_id, secret_hash, created_at) VALUES (900, ?, ?, ?)",
            (row, stored(CLIENT_SECRET, 900), NOW),
        )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    hot = range(HOT_FROM, last)
    for name, kind in (("refresh.txt", REFRESH), ("device.txt", DEVICE)):
        with open(os.path.join(FOLDER, name), "w", encoding="ascii") as file:
            file.writelines(token(kind, row) + "\n" for row in hot)
    with open(os.path.join(FOLDER, "secret.txt"), "w", encoding="ascii") as file:
        file.write(token(CLIENT_SECRET, 900))


main()
