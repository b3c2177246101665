//! What a million login events cost: every question of analytics against a thousand events, sign-ins while reports run,
//! writes while a million rows are swept out. Prints tables; asserts nothing. `cargo bench -p gatehouse-actors`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::large_futures,
    reason = "a bench that cannot go on must stop, and prints what it finds"
)]

mod load;
mod world;

use std::time::{Duration, Instant};

use actix::System;
use gatehouse_actors::data::analytics::{
    Days, LoginTrend, LoginsAfter, LoginsByProvider, LoginsByService, Outcomes, RecentLogins,
};
use gatehouse_actors::data::platform_analytics::{
    CountOrganizations, PlatformOverview, PlatformTrend, RecentOrganizations, TopOrganizations,
};
use gatehouse_actors::message::ReadOp;

use crate::load::{Latencies, SignIns, reports};
use crate::world::{BUSY_ORGANIZATION, World};

const FEW: i64 = 1_000;
const MANY: i64 = 1_000_000;
const ROUNDS: usize = 200;
const MEASURED: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --benches` builds and runs benches as well; only `cargo bench` passes this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    System::new().block_on(async {
        let few = World::with_events(FEW).await;
        let many = World::with_events(MANY).await;
        questions(&few, &many).await;
        few.stop().await;
        sign_ins(&many).await;
        sweeping(&many).await;
        many.stop().await;
    });
}

async fn questions(few: &World, many: &World) {
    println!("\nA question's latency in microseconds (p50 / p99), {ROUNDS} times each");
    println!("{:<22} {:>20} {:>20} {:>7}", "", "1,000 events", "1,000,000 events", "ratio");
    let days = Days { first: few.today() - 89, last: few.today() };
    let (org_id, now) = (BUSY_ORGANIZATION, few.now());
    compare(few, many, "login-trends", || LoginTrend { org_id, days }).await;
    compare(few, many, "logins-by-service", || LoginsByService { org_id, days }).await;
    compare(few, many, "logins-by-provider", || LoginsByProvider { org_id, days }).await;
    let outcomes = Outcomes::Both;
    compare(few, many, "recent-logins", || RecentLogins { org_id, outcomes, limit: 10 }).await;
    let (after, until) = (0, i64::MAX);
    compare(few, many, "a piece of an export", || LoginsAfter { org_id, after, until, limit: 100 }).await;
    compare(few, many, "overview", || PlatformOverview { now }).await;
    compare(few, many, "organization-status", || CountOrganizations).await;
    compare(few, many, "growth, activity", || PlatformTrend { days }).await;
    compare(few, many, "top-organizations", || TopOrganizations { now, limit: 10 }).await;
    compare(few, many, "recent-organizations", || RecentOrganizations { limit: 10 }).await;
}

async fn compare<Q: ReadOp>(few: &World, many: &World, name: &str, question: impl Fn() -> Q) {
    let with_few = ask(few, &question).await;
    let with_many = ask(many, &question).await;
    let ratio = with_many.micros(0.5) / with_few.micros(0.5);
    println!("{name:<22} {:>20} {:>20} {ratio:>7.2}", with_few.pair(), with_many.pair());
}

async fn ask<Q: ReadOp>(world: &World, question: impl Fn() -> Q) -> Latencies {
    let latencies = Latencies::default();
    for round in 0..ROUNDS + 20 {
        let begun = Instant::now();
        world.store.read(question()).await.unwrap();
        if round >= 20 {
            latencies.add(begun.elapsed());
        }
    }
    latencies
}

async fn sign_ins(world: &World) {
    println!("\nSign-ins in the browser, from the arrival to the session, 64 at a time");
    let alone = SignIns::run(world, 64, MEASURED).await;
    println!("{:<32} {}", "alone", alone.line());
    let (asked, beside) = futures_util::join!(reports(world, MEASURED), SignIns::run(world, 64, MEASURED));
    println!("{:<32} {}", format!("while {asked} reports are answered"), beside.line());
}

async fn sweeping(world: &World) {
    println!("\nSign-ins while a million events are swept out, 16 at a time");
    let before = SignIns::run(world, 16, MEASURED).await;
    println!("{:<32} {}", "before", before.line());
    world.outlive_retention();
    let begun = Instant::now();
    let (sweeping, beside) = futures_util::join!(
        async {
            world.store.keep_house().await;
            let swept = begun.elapsed();
            world.swept.store(true, std::sync::atomic::Ordering::Relaxed);
            swept
        },
        SignIns::run_until(world, 16, || world.swept.load(std::sync::atomic::Ordering::Relaxed))
    );
    println!("{:<32} {}", "while sweeping", beside.line());
    let left = world.count("login_events");
    println!("swept in {:.1} s; {left} events left", sweeping.as_secs_f64());
    for snapshot in world.store.observe().await {
        if snapshot.actor == "housekeeper" {
            println!("{:?}", snapshot.figures);
        }
    }
    let after = SignIns::run(world, 16, MEASURED).await;
    println!("{:<32} {}", "after", after.line());
}
