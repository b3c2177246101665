"""Fills the database of a stopped Gatehouse (dev mode) for measurements: python3 fill.py DATABASE WHAT COUNT

WHAT is one of
  logins   sign-ins of the last 90 days, half of them of the demo organization, the rest of 50 others
  stripe   events of Stripe's that wait: copies of the one that is there, each about another subscription
  grants   provider tokens due within the hour: copies of the one that is there, each of another user
"""

import sqlite3
import sys
import time

DATABASE, WHAT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
NOW = int(time.time() * 1000)
DAY = 86_400_000
DEMO = 2  # what dev mode seeds
OTHERS = 50


def numbers(count):
    return f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})"


def logins(db):
    db.executescript(f"""
        {numbers(OTHERS)} INSERT INTO organizations (id, public_id, slug, name, status, created_at, updated_at)
        SELECT 100 + i, printf('01900000-0000-7000-a100-%012d', i), 'bench-' || i, 'Bench ' || i, 'active', {NOW - 90 * DAY},
        {NOW} FROM n;
        {numbers(OTHERS)} INSERT INTO services (id, public_id, org_id, slug, name, service_type, client_id, created_at, updated_at)
        SELECT 1000 + i, printf('01900000-0000-7000-a200-%012d', i), 100 + i, 'app', 'App', 'web', 'bench-app-' || i,
        {NOW - 90 * DAY}, {NOW} FROM n;""")
    services = [row[0] for row in db.execute("SELECT id FROM services WHERE org_id = ? ORDER BY id", (DEMO,))]
    first = NOW - 89 * DAY
    step = (NOW - first) // COUNT
    db.executescript(f"""
        {numbers(COUNT)} INSERT INTO login_events (public_id, org_id, service_id, user_id, provider, method, succeeded,
        reason, ip_address, user_agent, created_at)
        SELECT printf('01900000-0000-7000-a300-%012d', i), org_id,
        CASE org_id WHEN {DEMO} THEN {services[0]} + i / 2 % {len(services)} ELSE 900 + org_id END,
        1000000 + org_id * 100000 + (i * 7919) % 20000,
        CASE i % 3 WHEN 0 THEN 'github' WHEN 1 THEN 'google' ELSE 'microsoft' END, 'web', i % 20 <> 0,
        CASE WHEN i % 20 = 0 THEN 'cancelled' END, '203.0.113.7',
        'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', {first} + i * {step}
        FROM (SELECT i, CASE WHEN i % 2 = 0 THEN {DEMO} ELSE 100 + (i / 2) % {OTHERS} END AS org_id FROM n);""")


def stripe(db):
    payload, key, name = db.execute("SELECT payload, queue_key, event_id FROM stripe_events ORDER BY id LIMIT 1").fetchone()
    text = payload.decode() if isinstance(payload, bytes) else payload
    columns = [row[1] for row in db.execute("PRAGMA table_info(stripe_events)") if row[1] != "id"]
    fixed = dict(zip(columns, db.execute(f"SELECT {', '.join(columns)} FROM stripe_events ORDER BY id LIMIT 1").fetchone()))
    fixed.update(status="waiting", reason=None, attempts=0, finished_at=None, next_attempt_at=NOW, received_at=NOW)

    def rows():
        for i in range(COUNT):
            own = text.replace(name, f"evt_fill{i}").replace("sub_first", f"sub_fill{i}").replace("cus_first", f"cus_fill{i}")
            line = dict(fixed, event_id=f"evt_fill{i}", queue_key=key.replace("first", f"fill{i}"), payload=own.encode())
            yield [line[column] for column in columns]

    db.executemany(f"INSERT INTO stripe_events ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows())


def grants(db):
    db.executescript(f"""
        {numbers(COUNT)} INSERT INTO users (id, public_id, org_id, created_at, updated_at)
        SELECT 2000000 + i, printf('01900000-0000-7000-a400-%012d', i), g.org_id, {NOW}, {NOW} FROM n, provider_grants g WHERE g.id = 1;
        {numbers(COUNT)} INSERT INTO provider_grants (org_id, user_id, service_id, provider, issuer, subject, credential_version,
        scopes, access_token_sealed, refresh_token_sealed, access_expires_at, refresh_due_at, created_at, updated_at)
        SELECT g.org_id, 2000000 + i, g.service_id, g.provider, g.issuer, g.subject, g.credential_version, g.scopes,
        g.access_token_sealed, g.refresh_token_sealed, {NOW} + 3600000, {NOW} + 3000, {NOW}, {NOW}
        FROM n, provider_grants g WHERE g.id = 1;""")


db = sqlite3.connect(DATABASE)
db.execute("PRAGMA synchronous = OFF")
begun = time.time()
{"logins": logins, "stripe": stripe, "grants": grants}[WHAT](db)
db.commit()
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
print(f"filled in {COUNT} {WHAT} in {time.time() - begun:.1f} s")
