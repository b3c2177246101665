//! Counts of sign-ins against a recount of the events, on random histories in which the clock goes back as well.

use std::collections::{BTreeMap, BTreeSet};

use actix::System;
use gatehouse_actors::data::login_events::{NoteFailedSignIn, SeenFrom};
use gatehouse_actors::data::login_proof::{CompareLoginCounts, RebuildLoginCounts};
use gatehouse_actors::data::services::Service;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Tenant, World, code_for, person, public_id, redeem_code, tenant};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;
const PEOPLE: [&str; 4] = ["ann", "bob", "cyd", "dan"];
const PROVIDERS: [&str; 2] = ["google", "github"];

#[derive(Debug, Clone)]
struct Step {
    tenant: usize,
    is_terminal: bool,
    person: usize,
    provider: usize,
    succeeds: bool,
    hours: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let hours = prop_oneof![8 => 0..30i64, 2 => 24 * 20..24 * 70i64, 2 => -24 * 40..0i64];
    (0..2usize, any::<bool>(), 0..PEOPLE.len(), 0..PROVIDERS.len(), prop::bool::weighted(0.8), hours)
        .prop_map(|(tenant, is_terminal, person, provider, succeeds, hours)| Step {
            tenant,
            is_terminal,
            person,
            provider,
            succeeds,
            hours,
        })
}

#[test]
fn counts_equal_a_recount_of_the_events() {
    let mut runner = TestRunner::new(Config { cases: 16, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..40), |history| {
            System::new().block_on(async {
                let world = World::new();
                let tenants = [tenant(&world, "acme").await, tenant(&world, "other").await];
                for step in &history {
                    take(&world, &tenants, step).await;
                }
                compare(&world);
                prove(&world).await;
                world.stop().await;
            });
            Ok(())
        })
        .unwrap();
}

/// The product's own recount agrees, finds what somebody changed, and mends it; also when events were swept out.
async fn prove(world: &World) {
    assert_eq!(differences(world).await, 0);
    world.execute(
        "UPDATE login_days SET successes = successes + 1, users = 0; DELETE FROM login_service_days; \
         UPDATE login_provider_days SET failures = 9; UPDATE active_user_changes SET change = change + 1; \
         UPDATE platform_days SET successes = 0, new_users = 7; DELETE FROM organization_totals",
    );
    assert!(differences(world).await > 0);
    world.store.write(RebuildLoginCounts).await.unwrap();
    compare(world);
    assert_eq!(differences(world).await, 0);
    world.clock.advance(100 * DAY);
    world.store.keep_house().await;
    assert_eq!(differences(world).await, 0);
    world.store.write(RebuildLoginCounts).await.unwrap();
    assert_eq!(differences(world).await, 0);
}

async fn differences(world: &World) -> i64 {
    let compared = world.store.read(CompareLoginCounts).await.unwrap();
    compared.iter().map(|table| table.differences).sum()
}

async fn take(world: &World, tenants: &[Tenant; 2], step: &Step) {
    world.clock.advance(step.hours * HOUR);
    let tenant = &tenants[step.tenant];
    let service = if step.is_terminal { &tenant.terminal } else { &tenant.web };
    if step.succeeds { sign_in(world, service, step).await } else { fail(world, service, step).await }
}

async fn sign_in(world: &World, service: &Service, step: &Step) {
    let provider = PROVIDERS[step.provider];
    let mut arrival = person(world, service.org_id, &format!("{}-{provider}", PEOPLE[step.person]));
    arrival.profile.provider = provider.to_owned();
    let mut arrived = redeem_code(world, service, &code_for(world, service, arrival).await);
    // Terminals have no redirect URI registered; that it is checked is not what this is about.
    world.execute(&format!(
        "UPDATE services SET redirect_uris = '[\"{}\"]' WHERE id = {}",
        arrived.redirect_uri, service.id
    ));
    arrived.now = world.now();
    world.store.write(arrived).await.unwrap();
}

async fn fail(world: &World, service: &Service, step: &Step) {
    let note = NoteFailedSignIn {
        public_id: public_id(),
        org_id: service.org_id,
        service_id: service.id,
        provider: PROVIDERS[step.provider].to_owned(),
        method: "device",
        seen_from: SeenFrom::default(),
        reason: "cancelled",
        now: world.now(),
    };
    world.store.write(note).await.unwrap();
}

/// Key columns and counts of a table, in order.
type Counts = BTreeMap<(i64, i64, String), (i64, i64)>;

fn stored(world: &World, sql: &str) -> Counts {
    let connection = world.sql();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), (row.get(3)?, row.get(4)?))));
    rows.unwrap().map(Result::unwrap).collect()
}

#[derive(Debug)]
struct Event {
    org_id: i64,
    day: i64,
    service: String,
    provider: String,
    user_id: Option<i64>,
    succeeded: bool,
}

fn events(world: &World) -> Vec<Event> {
    let connection = world.sql();
    let mut statement = connection
        .prepare(
            "SELECT org_id, created_at, service_id || '', provider, user_id, succeeded FROM login_events",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Event {
            org_id: row.get(0)?,
            day: row.get::<_, i64>(1)?.div_euclid(DAY),
            service: row.get(2)?,
            provider: row.get(3)?,
            user_id: row.get(4)?,
            succeeded: row.get(5)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn recount(events: &[Event], key: impl Fn(&Event) -> (i64, i64, String)) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        let (successes, failures) = counts.entry(key(event)).or_default();
        *successes += i64::from(event.succeeded);
        *failures += i64::from(!event.succeeded);
    }
    counts
}

fn compare(world: &World) {
    let events = events(world);
    let days = stored(world, "SELECT org_id, day, '', successes, failures + dropped FROM login_days");
    assert_eq!(days, recount(&events, |event| (event.org_id, event.day, String::new())));
    let services =
        stored(world, "SELECT org_id, day, service_id || '', successes, failures FROM login_service_days");
    assert_eq!(services, recount(&events, |event| (event.org_id, event.day, event.service.clone())));
    let providers =
        stored(world, "SELECT org_id, day, provider, successes, failures FROM login_provider_days");
    assert_eq!(providers, recount(&events, |event| (event.org_id, event.day, event.provider.clone())));
    let platform = stored(
        world,
        "SELECT 0, day, '', successes, failures FROM platform_days WHERE successes + failures > 0",
    );
    assert_eq!(platform, recount(&events, |event| (0, event.day, String::new())));
    compare_users(world, &events);
}

fn compare_users(world: &World, events: &[Event]) {
    let mut days: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.succeeded) {
        days.entry((event.org_id, event.day)).or_default().extend(event.user_id);
    }
    let users = stored(world, "SELECT org_id, day, '', users, 0 FROM login_days WHERE successes > 0");
    let expected = days.iter().map(|((org_id, day), users)| {
        ((*org_id, *day, String::new()), (i64::try_from(users.len()).unwrap(), 0))
    });
    assert_eq!(users, expected.collect());

    let Some((first, last)) =
        days.keys().map(|(_, day)| *day).min().zip(days.keys().map(|(_, day)| *day).max())
    else {
        return;
    };
    for org_id in days.keys().map(|(org_id, _)| *org_id).collect::<BTreeSet<_>>() {
        for day in first - 1..=last + 31 {
            let active: BTreeSet<_> =
                days.range((org_id, day - 29)..=(org_id, day)).flat_map(|(_, users)| users).collect();
            let sum = format!(
                "SELECT COALESCE(SUM(change), 0) FROM active_user_changes WHERE org_id = {org_id} AND day <= {day}"
            );
            assert_eq!(world.number(&sum), i64::try_from(active.len()).unwrap(), "day {day} of {org_id}");
        }
    }
}
