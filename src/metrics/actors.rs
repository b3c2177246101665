//! What actors tell about themselves, as metrics: a table with a row per figure. A figure without a row is not shown, and
//! a test finds it.

use gatehouse_actors::message::Snapshot;
use prometheus::proto::MetricFamily;

use super::moment::{Head, Kind, Label, family};

/// A metric out of figures of one actor.
#[derive(Clone, Copy)]
struct Shown {
    actor: &'static str,
    head: Head,
    /// What a figure is multiplied with: figures are whole numbers, metrics are in seconds and bytes.
    unit: f64,
    figures: &'static [(&'static str, Label)],
}

const fn shown(
    actor: &'static str,
    (kind, name): (Kind, &'static str),
    help: &'static str,
    figures: &'static [(&'static str, Label)],
) -> Shown {
    let unit = 1.0;
    Shown { actor, head: Head { name, kind, help }, unit, figures }
}

/// For figures in milliseconds.
const fn seconds(row: Shown) -> Shown {
    Shown { unit: 0.001, ..row }
}

use Kind::{Counter, Gauge};

#[rustfmt::skip]
const ROWS: &[Shown] = &[
    shown("commit_queue", (Gauge, "gatehouse_commit_queue_waiting"),
        "Writes that wait for the next transaction.", &[("waiting", None)]),
    shown("commit_queue", (Gauge, "gatehouse_commit_queue_background"),
        "Writes that nobody waits for, behind all others.", &[("background", None)]),
    shown("commit_queue", (Gauge, "gatehouse_commit_queue_in_flight"),
        "1 while the writer works.", &[("in_flight", None)]),
    shown("commit_queue", (Counter, "gatehouse_commits_total"),
        "Transactions, those that failed among them.", &[("commits", None)]),
    shown("commit_queue", (Counter, "gatehouse_operations_total"),
        "Operations in these transactions.", &[("operations", None)]),
    shown("commit_queue", (Gauge, "gatehouse_commit_largest_batch"),
        "The most operations that one transaction had.", &[("largest_batch", None)]),
    shown("device_code_batcher", (Gauge, "gatehouse_device_codes_waiting"),
        "Requests for device codes that wait for their batch.", &[("waiting", None)]),
    shown("device_code_batcher", (Counter, "gatehouse_device_code_batches_total"),
        "Batches of device codes.", &[("batches", None)]),
    shown("device_code_batcher", (Counter, "gatehouse_device_codes_issued_total"),
        "Device codes that were issued.", &[("issued", None)]),
    shown("wal_checkpointer", (Counter, "gatehouse_checkpoints_total"),
        "Times that the write-ahead log was emptied.", &[("checkpoints", None)]),
    shown("wal_checkpointer", (Counter, "gatehouse_checkpoint_failures_total"),
        "Times that it could not be.", &[("failures", None)]),
    shown("wal_checkpointer", (Gauge, "gatehouse_wal_bytes"),
        "Length of the write-ahead log.", &[("log_bytes", None)]),
    shown("wal_checkpointer", (Gauge, "gatehouse_database_bytes"),
        "Length of the database file.", &[("database_bytes", None)]),
    shown("housekeeper", (Counter, "gatehouse_housekeeper_rounds_total"),
        "Rounds of sweeping out.", &[("rounds", None)]),
    shown("housekeeper", (Counter, "gatehouse_housekeeper_failures_total"),
        "Rounds that were broken off.", &[("failures", None)]),
    shown("housekeeper", (Counter, "gatehouse_housekeeper_pieces_total"),
        "Pieces of work in these rounds.", &[("pieces", None)]),
    shown("housekeeper", (Gauge, "gatehouse_housekeeper_busy"),
        "1 during a round.", &[("busy", None)]),
    shown("housekeeper", (Counter, "gatehouse_housekeeper_rows_total"),
        "Rows that were swept out.", &[
            ("sessions", Some(("what", "sessions"))),
            ("authorization_codes", Some(("what", "authorization_codes"))),
            ("device_codes", Some(("what", "device_codes"))),
            ("login_states", Some(("what", "login_states"))),
            ("revoked_tokens", Some(("what", "revoked_tokens"))),
            ("pushed_requests", Some(("what", "pushed_requests"))),
            ("used_assertions", Some(("what", "used_assertions"))),
            ("browser_sessions", Some(("what", "browser_sessions"))),
            ("refresh_tokens", Some(("what", "refresh_tokens"))),
            ("login_events", Some(("what", "login_events"))),
            ("login_minutes", Some(("what", "login_minutes"))),
            ("stripe_events", Some(("what", "stripe_events"))),
            ("waiting_grants", Some(("what", "waiting_grants"))),
        ]),
    shown("outbox", (Gauge, "gatehouse_outbox_waiting"),
        "Deliveries that are neither made nor given up; counted up to 10000.", &[("waiting", None)]),
    seconds(shown("outbox", (Gauge, "gatehouse_outbox_lag_seconds"),
        "For how long the target has been due that has been due longest.", &[("lag_millis", None)])),
    shown("outbox", (Gauge, "gatehouse_outbox_busy"),
        "Targets that are being worked on.", &[("busy", None)]),
    shown("outbox", (Counter, "gatehouse_outbox_attempts_total"),
        "Attempts to deliver.", &[("attempts", None)]),
    shown("outbox", (Counter, "gatehouse_outbox_deliveries_total"),
        "What became of attempts: delivered, failed (to be tried again), dead (given up).", &[
            ("delivered", Some(("outcome", "delivered"))),
            ("failed", Some(("outcome", "failed"))),
            ("dead", Some(("outcome", "dead"))),
        ]),
    shown("outbox", (Counter, "gatehouse_outbox_purges_total"),
        "Times that finished deliveries and old events were removed.", &[("purges", None)]),
    shown("stripe_event_actor", (Gauge, "gatehouse_stripe_events_waiting"),
        "Events of Stripe's that are stored and not applied.", &[("waiting", None)]),
    seconds(shown("stripe_event_actor", (Gauge, "gatehouse_stripe_lag_seconds"),
        "Age of the oldest of them.", &[("lag_millis", None)])),
    shown("stripe_event_actor", (Gauge, "gatehouse_stripe_events_dead"),
        "Events that were given up and wait for gatehouse billing replay --dead.", &[("dead", None)]),
    shown("stripe_event_actor", (Counter, "gatehouse_stripe_events_total"),
        "What became of events: applied, ignored, failed (to be tried again), given_up.", &[
            ("applied", Some(("outcome", "applied"))),
            ("ignored", Some(("outcome", "ignored"))),
            ("failed_attempts", Some(("outcome", "failed"))),
            ("given_up", Some(("outcome", "given_up"))),
        ]),
    shown("stripe_event_actor", (Counter, "gatehouse_stripe_reads_total"),
        "Subscriptions that were read from Stripe.", &[("read_from_stripe", None)]),
    shown("stripe_event_actor", (Counter, "gatehouse_stripe_repairs_total"),
        "Subscriptions that a comparison with Stripe mended.", &[("repaired", None)]),
    shown("token_refresher", (Counter, "gatehouse_provider_token_refreshes_total"),
        "Provider tokens refreshed ahead of time, by outcome: refreshed, over (the grant is), failed, postponed \
        (their provider was left alone).", &[
            ("refreshed", Some(("outcome", "refreshed"))),
            ("over", Some(("outcome", "over"))),
            ("failed", Some(("outcome", "failed"))),
            ("left_alone", Some(("outcome", "postponed"))),
        ]),
    shown("token_refresher", (Gauge, "gatehouse_provider_token_providers_left_alone"),
        "Providers that fail and are left alone for a while.", &[("providers_left_alone", None)]),
    shown("token_refresher", (Gauge, "gatehouse_provider_tokens_due"),
        "Provider tokens that are due for a refresh and not in work; counted up to 100000.", &[("due", None)]),
    seconds(shown("token_refresher", (Gauge, "gatehouse_provider_tokens_lag_seconds"),
        "For how long the one has been due that has been due longest.", &[("lag_millis", None)])),
    shown("token_refresher", (Counter, "gatehouse_provider_token_failures_total"),
        "Refreshes that failed, by provider.", &[
            ("failed_github", Some(("provider", "github"))),
            ("failed_google", Some(("provider", "google"))),
            ("failed_microsoft", Some(("provider", "microsoft"))),
            ("failed_oidc", Some(("provider", "oidc"))),
            ("failed_dev", Some(("provider", "dev"))),
        ]),
    shown("token_refresher", (Gauge, "gatehouse_provider_left_alone"),
        "1 while a provider fails and is left alone.", &[
            ("left_alone_now_github", Some(("provider", "github"))),
            ("left_alone_now_google", Some(("provider", "google"))),
            ("left_alone_now_microsoft", Some(("provider", "microsoft"))),
            ("left_alone_now_oidc", Some(("provider", "oidc"))),
            ("left_alone_now_dev", Some(("provider", "dev"))),
        ]),
    shown("resealer", (Gauge, "gatehouse_reseal_columns_left"),
        "Columns of ciphertext that have not been looked through since the start.", &[("columns_left", None)]),
    shown("resealer", (Counter, "gatehouse_reseal_rows_total"),
        "Ciphertexts by what was found: current, resealed (an older key had sealed them), unreadable (no known key opens \
        them).", &[
            ("current", Some(("found", "current"))),
            ("resealed", Some(("found", "resealed"))),
            ("unreadable", Some(("found", "unreadable"))),
        ]),
    shown("resealer", (Counter, "gatehouse_reseal_failures_total"),
        "Times that this was interrupted by a failure.", &[("failures", None)]),
    shown("store", (Gauge, "gatehouse_places"),
        "Writes and reads that may be under way at once.", &[
            ("write_places", Some(("lane", "write"))),
            ("fast_read_places", Some(("lane", "fast"))),
            ("report_read_places", Some(("lane", "report"))),
        ]),
    shown("store", (Gauge, "gatehouse_places_taken"),
        "Writes and reads that are under way.", &[
            ("write_places_taken", Some(("lane", "write"))),
            ("fast_read_places_taken", Some(("lane", "fast"))),
            ("report_read_places_taken", Some(("lane", "report"))),
        ]),
    shown("store", (Gauge, "gatehouse_writes_failing"),
        "1 while the disk or the database refuses writes, or has kept one for ten seconds.", &[("writes_failing", None)]),
];

/// Everything that the table has a row for. An actor that did not answer is missing, and so are its metrics.
pub(super) fn families(snapshots: &[Snapshot]) -> Vec<MetricFamily> {
    let rows = ROWS.iter().filter_map(|row| {
        let snapshot = snapshots.iter().find(|snapshot| snapshot.actor == row.actor)?;
        let values: Vec<(Label, f64)> = row
            .figures
            .iter()
            .filter_map(|(name, label)| Some((*label, value_of(snapshot, name)? * row.unit)))
            .collect();
        (!values.is_empty()).then(|| family(row.head, values))
    });
    rows.collect()
}

#[allow(clippy::cast_precision_loss)] // counts and bytes that are far below 2^53
fn value_of(snapshot: &Snapshot, name: &str) -> Option<f64> {
    snapshot.figures.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value as f64)
}

/// The figures that no row shows, as `actor.figure`. For the test that keeps the table whole.
#[must_use]
pub fn without_row(snapshots: &[Snapshot]) -> Vec<String> {
    let has_row = |actor: &str, figure: &str| {
        ROWS.iter().any(|row| row.actor == actor && row.figures.iter().any(|(name, _)| *name == figure))
    };
    let each = snapshots
        .iter()
        .flat_map(|snapshot| snapshot.figures.iter().map(|(figure, _)| (snapshot.actor, *figure)));
    each.filter(|(actor, figure)| !has_row(actor, figure))
        .map(|(actor, figure)| format!("{actor}.{figure}"))
        .collect()
}

/// The figures of the table that nobody tells, as `actor.figure`.
#[must_use]
pub fn without_figure(snapshots: &[Snapshot]) -> Vec<String> {
    let rows = ROWS.iter().flat_map(|row| row.figures.iter().map(|(figure, _)| (row.actor, *figure)));
    rows.filter(|(actor, figure)| {
        !snapshots.iter().any(|snapshot| snapshot.actor == *actor && value_of(snapshot, figure).is_some())
    })
    .map(|(actor, figure)| format!("{actor}.{figure}"))
    .collect()
}
