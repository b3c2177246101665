-- Sign-ins and what is counted of them. A `day` is the number of whole days of UTC since 1970-01-01, a `minute` that of
-- minutes. The conventions are those of 0001.

-- Where the browser was that came back from the provider: for the event that the redemption of the code writes.
ALTER TABLE authorization_codes ADD COLUMN ip_address TEXT NOT NULL DEFAULT '';
ALTER TABLE authorization_codes ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';

-- One row per sign-in that succeeded, and a bounded number of those that failed (see login_failure_minutes).
-- `public_id` of a success is that of the session it made. `previous_id` is the event before of the same user, so that
-- the events of a user are found without an index. Users and services are never removed, so they need no foreign key.
CREATE TABLE login_events (
    id          INTEGER PRIMARY KEY,
    public_id   TEXT    NOT NULL,
    org_id      INTEGER NOT NULL REFERENCES organizations (id),
    service_id  INTEGER NOT NULL,
    user_id     INTEGER,
    provider    TEXT    NOT NULL,
    method      TEXT    NOT NULL CHECK (method IN ('web', 'device')),
    succeeded   INTEGER NOT NULL CHECK (succeeded IN (0, 1)),
    reason      TEXT,
    ip_address  TEXT    NOT NULL,
    user_agent  TEXT    NOT NULL,
    previous_id INTEGER,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX login_events_org ON login_events (org_id, succeeded, id);

-- What is known of a user's sign-ins: the last day with a success, and the end of the chain of events.
CREATE TABLE login_users (
    user_id       INTEGER PRIMARY KEY,
    org_id        INTEGER NOT NULL,
    last_day      INTEGER,
    last_event_id INTEGER NOT NULL
) STRICT;

-- Counts per organization and day, in the transaction of the event. `failures` are those that have an event,
-- `dropped` those beyond the bound. `users` are the distinct ones with a success that day.
CREATE TABLE login_days (
    org_id         INTEGER NOT NULL,
    day            INTEGER NOT NULL,
    successes      INTEGER NOT NULL,
    failures       INTEGER NOT NULL,
    dropped        INTEGER NOT NULL,
    users          INTEGER NOT NULL,
    first_event_id INTEGER,
    last_event_id  INTEGER,
    PRIMARY KEY (org_id, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE login_service_days (
    org_id     INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    service_id INTEGER NOT NULL,
    successes  INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    dropped    INTEGER NOT NULL,
    PRIMARY KEY (org_id, day, service_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE login_provider_days (
    org_id    INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    provider  TEXT    NOT NULL,
    successes INTEGER NOT NULL,
    failures  INTEGER NOT NULL,
    dropped   INTEGER NOT NULL,
    PRIMARY KEY (org_id, day, provider)
) STRICT, WITHOUT ROWID;

-- By how much the number of users active within 30 days changes on a day. Their number on a day is the sum up to it.
CREATE TABLE active_user_changes (
    org_id INTEGER NOT NULL,
    day    INTEGER NOT NULL,
    change INTEGER NOT NULL,
    PRIMARY KEY (org_id, day)
) STRICT, WITHOUT ROWID;

-- How many failed sign-ins of the minute got an event.
CREATE TABLE login_failure_minutes (
    org_id INTEGER PRIMARY KEY,
    minute INTEGER NOT NULL,
    kept   INTEGER NOT NULL
) STRICT;

-- The same for the platform as a whole. `failures` includes what was dropped.
CREATE TABLE platform_days (
    day               INTEGER PRIMARY KEY,
    successes         INTEGER NOT NULL DEFAULT 0,
    failures          INTEGER NOT NULL DEFAULT 0,
    new_organizations INTEGER NOT NULL DEFAULT 0,
    new_users         INTEGER NOT NULL DEFAULT 0,
    new_end_users     INTEGER NOT NULL DEFAULT 0,
    erased_end_users  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- For the last 24 hours; rows of yesterday and before are swept out.
CREATE TABLE platform_login_minutes (
    minute    INTEGER PRIMARY KEY,
    successes INTEGER NOT NULL
) STRICT;

-- Users of an organization who are not erased.
CREATE TABLE organization_totals (
    org_id INTEGER PRIMARY KEY,
    users  INTEGER NOT NULL
) STRICT;

-- What there is already.
INSERT INTO platform_days (day, new_organizations)
SELECT created_at / 86400000, COUNT(*) FROM organizations WHERE NOT is_platform GROUP BY 1;

INSERT INTO platform_days (day, new_users, new_end_users)
SELECT created_at / 86400000, COUNT(*), SUM(org_id <> 1) FROM users WHERE TRUE GROUP BY 1
ON CONFLICT (day) DO UPDATE SET new_users = excluded.new_users, new_end_users = excluded.new_end_users;

INSERT INTO platform_days (day, erased_end_users)
SELECT erased_at / 86400000, COUNT(*) FROM users WHERE erased_at IS NOT NULL GROUP BY 1
ON CONFLICT (day) DO UPDATE SET erased_end_users = excluded.erased_end_users;

INSERT INTO organization_totals (org_id, users)
SELECT org_id, COUNT(*) FROM users WHERE erased_at IS NULL GROUP BY org_id;

-- Removing an ended session looks for codes that name it.
CREATE INDEX authorization_codes_session ON authorization_codes (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX device_codes_session ON device_codes (session_id) WHERE session_id IS NOT NULL;
