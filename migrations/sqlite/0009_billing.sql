-- Billing: what Stripe tells, what it means here, and the accounts it comes from. The conventions are those of 0001.

-- Every event that Stripe delivered with a good signature, before it was answered. `org_id` is whose Stripe account it
-- came from (the platform's is organization 1): two accounts never share an id. `queue_key` puts the events of one
-- customer into one line. `payload` is the body as it was signed.
--
--   waiting --effect--> applied
--   waiting --cannot be used (reason)--> ignored
--   waiting --failed too often (reason)--> dead
--   applied, ignored, dead --replay--> waiting
CREATE TABLE stripe_events (
    id              INTEGER PRIMARY KEY,
    org_id          INTEGER NOT NULL REFERENCES organizations (id),
    event_id        TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    queue_key       TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    payload         BLOB    NOT NULL,
    status          TEXT    NOT NULL CHECK (status IN ('waiting', 'applied', 'ignored', 'dead')),
    reason          TEXT,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    finished_at     INTEGER,
    UNIQUE (org_id, event_id)
) STRICT;

CREATE INDEX stripe_events_waiting ON stripe_events (id) WHERE status = 'waiting';
CREATE INDEX stripe_events_line ON stripe_events (queue_key, id) WHERE status = 'waiting';
CREATE INDEX stripe_events_dead ON stripe_events (id) WHERE status = 'dead';
CREATE INDEX stripe_events_by_name ON stripe_events (event_id);

-- What is known of each subscription at Stripe, and what it means here. Each group of columns keeps its newest value,
-- so that the order of arrival does not matter. `status` is NULL until the subscription itself was seen.
CREATE TABLE stripe_subscriptions (
    id                 INTEGER PRIMARY KEY,
    org_id             INTEGER NOT NULL REFERENCES organizations (id),
    stripe_id          TEXT    NOT NULL,
    customer           TEXT,
    -- The subscription object, as of an event or a look at Stripe.
    status             TEXT,
    items              TEXT    NOT NULL DEFAULT '[]',
    metadata           TEXT    NOT NULL DEFAULT '{}',
    current_period_end INTEGER,
    cancels_at         INTEGER,
    started_at         INTEGER NOT NULL DEFAULT 0,
    past_due_since     INTEGER,
    as_of              INTEGER NOT NULL DEFAULT 0,
    as_of_rank         INTEGER NOT NULL DEFAULT 0,
    as_of_event        TEXT    NOT NULL DEFAULT '',
    -- Its last invoice.
    invoice_paid       INTEGER CHECK (invoice_paid IN (0, 1)),
    invoice_at         INTEGER NOT NULL DEFAULT 0,
    invoice_event      TEXT    NOT NULL DEFAULT '',
    invoice_period_end INTEGER,
    -- The checkout that made it.
    session_metadata   TEXT    NOT NULL DEFAULT '{}',
    session_at         INTEGER NOT NULL DEFAULT 0,
    session_event      TEXT    NOT NULL DEFAULT '',
    -- What follows. `billed_org_id` is an organization that pays the platform.
    user_id            INTEGER REFERENCES users (id) ON DELETE CASCADE,
    service_id         INTEGER REFERENCES services (id) ON DELETE CASCADE,
    plan_id            INTEGER REFERENCES plans (id) ON DELETE SET NULL,
    billed_org_id      INTEGER REFERENCES organizations (id),
    tier_id            TEXT    REFERENCES tiers (id),
    effective_status   TEXT,
    period_end         INTEGER,
    quantity           INTEGER NOT NULL DEFAULT 1,
    grants_until       INTEGER,
    reason             TEXT,
    updated_at         INTEGER NOT NULL,
    UNIQUE (org_id, stripe_id)
) STRICT;

CREATE INDEX stripe_subscriptions_user ON stripe_subscriptions (user_id, service_id);
CREATE INDEX stripe_subscriptions_plan ON stripe_subscriptions (plan_id);
CREATE INDEX stripe_subscriptions_billed ON stripe_subscriptions (billed_org_id) WHERE billed_org_id IS NOT NULL;

-- What a user has: the best of their subscriptions at Stripe. It grants its plan until `grants_until`; NULL: not at
-- all. `version` grows whenever the entitlement changes, so that the holder of an older token can see it.
ALTER TABLE subscriptions ADD COLUMN quantity INTEGER NOT NULL DEFAULT 1;
ALTER TABLE subscriptions ADD COLUMN grants_until INTEGER;
ALTER TABLE subscriptions ADD COLUMN cancels_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN stripe_subscription_id TEXT;
ALTER TABLE subscriptions ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

-- A price at Stripe names a plan, or a tier.
CREATE INDEX plans_price ON plans (stripe_price_id) WHERE stripe_price_id IS NOT NULL;
ALTER TABLE tiers ADD COLUMN stripe_price_id TEXT;

-- An organization's own Stripe account. The secrets are sealed with their place as associated data; several webhook
-- secrets (separated by commas) while one is being replaced.
CREATE TABLE stripe_accounts (
    org_id                 INTEGER PRIMARY KEY REFERENCES organizations (id),
    secret_key_sealed      BLOB    NOT NULL,
    webhook_secrets_sealed BLOB    NOT NULL,
    livemode               INTEGER NOT NULL CHECK (livemode IN (0, 1)),
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL
) STRICT;

-- The one purchase that a buyer (a user of a service, or an organization) has under way. Asking again gives the same
-- page at Stripe, by the same idempotency key.
--
--   begun (session_id NULL) --Stripe made the page--> open --bought, or another plan was chosen--> gone
CREATE TABLE stripe_checkouts (
    buyer           TEXT    PRIMARY KEY,
    org_id          INTEGER NOT NULL REFERENCES organizations (id),
    wanted          TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    session_id      TEXT,
    url             TEXT,
    expires_at      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
