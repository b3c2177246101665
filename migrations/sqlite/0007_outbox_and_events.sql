-- What must reach others after a commit, what happened in an organization, and who is told of it. The conventions are
-- those of 0001.

-- What is to be delivered. A row is written in the transaction of the change that causes it, so that no crash comes
-- between the two. `target_id` names whom it goes to, `subject_id` what it tells of: a service and a session
-- (backchannel_logout), a webhook and the number of an event (webhook). `payload` is JSON and holds ids, never a secret.
--
--   pending --2xx--> delivered
--   pending --the receiver says no, or attempts or time run out--> dead --replay--> pending
CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY,
    kind            TEXT    NOT NULL CHECK (kind IN ('backchannel_logout', 'webhook', 'provider_revocation')),
    target_id       INTEGER NOT NULL,
    subject_id      INTEGER NOT NULL,
    org_id          INTEGER NOT NULL REFERENCES organizations (id),
    payload         TEXT    NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('pending', 'delivered', 'dead')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    next_attempt_at INTEGER NOT NULL,
    last_attempt_at INTEGER,
    last_status     INTEGER,
    last_error      TEXT,
    finished_at     INTEGER
) STRICT;

CREATE INDEX outbox_pending ON outbox (kind, target_id, next_attempt_at) WHERE status = 'pending';
CREATE INDEX outbox_subject ON outbox (kind, target_id, subject_id);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;

-- Whom something waits for. One target is worked on by one hand at a time, and a failing one costs one attempt per
-- pause, however much waits for it. `due_at` is when to look again; NULL while nothing waits. While a hand has it,
-- leased_until is set and equal to due_at, so that a lease that nobody gives back falls due by itself.
CREATE TABLE outbox_targets (
    kind          TEXT    NOT NULL CHECK (kind IN ('backchannel_logout', 'webhook', 'provider_revocation')),
    target_id     INTEGER NOT NULL,
    due_at        INTEGER,
    leased_until  INTEGER,
    failures      INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    PRIMARY KEY (kind, target_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_targets_due ON outbox_targets (due_at) WHERE due_at IS NOT NULL;

-- What happened in an organization: ids and states, never personal data. `sequence` counts from 1 in each organization
-- without gaps, so that a reader who remembers one number neither misses nor repeats anything, and so that nobody can
-- see from the numbers how busy others are. An organization's newest row is never purged: the next number follows it.
CREATE TABLE events (
    org_id     INTEGER NOT NULL REFERENCES organizations (id),
    sequence   INTEGER NOT NULL,
    type       TEXT    NOT NULL,
    data       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, sequence)
) STRICT, WITHOUT ROWID;

-- An organization's own receiver of its events. `event_types` is a JSON array; NULL means all of them. A secret signs,
-- so it is sealed and not hashed; the previous one signs as well until previous_secret_expires_at. A deleted one stays
-- as a row without address and secrets, so that its id is never given to another.
--
--   enabled --an administrator--> disabled --an administrator--> enabled
--   enabled --fails for days, or answers 410--> disabled (disabled_reason set)
--   any --delete--> deleted (deleted_at set)
CREATE TABLE webhooks (
    id                         INTEGER PRIMARY KEY,
    public_id                  TEXT    NOT NULL UNIQUE,
    org_id                     INTEGER NOT NULL REFERENCES organizations (id),
    url                        TEXT    NOT NULL,
    description                TEXT    NOT NULL DEFAULT '',
    event_types                TEXT,
    enabled                    INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    disabled_reason            TEXT,
    secret_sealed              BLOB,
    previous_secret_sealed     BLOB,
    previous_secret_expires_at INTEGER,
    created_at                 INTEGER NOT NULL,
    updated_at                 INTEGER NOT NULL,
    deleted_at                 INTEGER
) STRICT;

CREATE INDEX webhooks_org ON webhooks (org_id, id) WHERE deleted_at IS NULL;

-- Sessions that ended and of which nobody was told yet. Noted by a trigger, so that no way to end a session can forget
-- it, and so that ending ten thousand of them costs ten thousand short rows here and nothing more: events and logout
-- tokens follow in steps.
CREATE TABLE ended_sessions (
    session_id INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER sessions_note_their_end AFTER UPDATE OF ended_at ON sessions
WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL
BEGIN
    INSERT INTO ended_sessions (session_id) VALUES (NEW.id) ON CONFLICT (session_id) DO NOTHING;
END;
