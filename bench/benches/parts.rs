//! The parts of hot paths by themselves: signatures, sealed cookies, group commit, what is kept in memory, device codes.
//!
//! What needs a store uses the world of the storage tests, over a database file in the folder for temporary files.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

#[allow(dead_code, unreachable_pub, unused_imports, reason = "the storage tests use more of their world")]
#[path = "../../actors/tests/store/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;

use actix::{System, SystemRunner};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use gatehouse::crypto::jwt::{AccessClaims, Audience, SigningKeys, TokenType};
use gatehouse::crypto::random::Random;
use gatehouse::crypto::sealed::Sealer;
use gatehouse::crypto::signing_key::{SigningKey, generate};
use gatehouse_actors::clock::SystemClock;
use gatehouse_actors::data::access_tokens::{AccessTokenStanding, RevokeAccessToken};
use gatehouse_actors::data::client_registration::SigningAlgorithm;
use support::{Tenant, World, code_for, issue_device_code, person, public_id, redeem_code, tenant};

/// So many callers at the same time.
const CALLERS: [u64; 4] = [1, 16, 64, 256];

const ISSUER: &str = "https://sign-on.example";

/// About what a state cookie of a sign-in holds, in bytes.
const COOKIE: usize = 600;

fn signatures(criterion: &mut Criterion) {
    let (random, sealer) = (Random::default(), Sealer::new(&[[7; 32]]));
    let mut group = criterion.benchmark_group("signature");
    let message = [b'x'; 700];
    for algorithm in SigningAlgorithm::ALL {
        let stored = generate(&random, &sealer, algorithm, (0, 0)).unwrap();
        let key = SigningKey::open(&sealer, &stored).unwrap();
        let signature = key.sign(&message).unwrap();
        assert!(key.verifies(&message, &signature));
        let name = algorithm.as_str();
        group.bench_function(BenchmarkId::new("sign", name), |bencher| {
            bencher.iter(|| key.sign(&message).unwrap())
        });
        group.bench_function(BenchmarkId::new("verify", name), |bencher| {
            bencher.iter(|| key.verifies(black_box(&message), &signature));
        });
    }
    group.finish();
}

/// A whole access token: claims to text, and back with and without having seen it before.
fn access_tokens(criterion: &mut Criterion) {
    let (random, sealer) = (Random::default(), Sealer::new(&[[7; 32]]));
    let stored = [generate(&random, &sealer, SigningAlgorithm::Es256, (0, 0)).unwrap()];
    let keys = SigningKeys::open(Arc::new(SystemClock), &sealer, &stored).unwrap();
    let token = keys.sign(TokenType::Access, &claims()).unwrap();
    keys.verify_access_token(ISSUER, &token).unwrap();
    let mut group = criterion.benchmark_group("access token");
    group.bench_function("sign", |bencher| bencher.iter(|| keys.sign(TokenType::Access, &claims()).unwrap()));
    group.bench_function("verify, seen before", |bencher| {
        bencher.iter(|| keys.verify_access_token(ISSUER, black_box(&token)).unwrap());
    });
    group.bench_function("verify, new", |bencher| {
        let sign = || keys.sign(TokenType::Access, &claims()).unwrap();
        let verify = |token: String| keys.verify_access_token(ISSUER, &token).unwrap();
        bencher.iter_batched(sign, verify, BatchSize::SmallInput);
    });
    group.finish();
}

fn sealed_cookies(criterion: &mut Criterion) {
    let (random, sealer) = (Random::default(), Sealer::new(&[[7; 32]]));
    let sealed = sealer.seal(&random, "state", &[b'x'; COOKIE]).unwrap();
    let mut group = criterion.benchmark_group("sealed cookie");
    group.bench_function("seal", |bencher| {
        bencher.iter(|| sealer.seal(&random, "state", &[b'x'; COOKIE]).unwrap())
    });
    group
        .bench_function("open", |bencher| bencher.iter(|| sealer.open("state", black_box(&sealed)).unwrap()));
    group.finish();
}

/// What a person's token says; each call another token.
fn claims() -> AccessClaims {
    AccessClaims {
        iss: ISSUER.to_owned(),
        sub: public_id(),
        aud: Audience::One("acme-web".to_owned()),
        exp: 4_102_444_800,
        iat: 1_767_225_600,
        nbf: None,
        jti: public_id(),
        sid: public_id(),
        client_id: "acme-web".to_owned(),
        scope: "openid profile email".to_owned(),
        token_use: "access".to_owned(),
        auth_time: 1_767_225_600,
        email: Some("ada@example.com".to_owned()),
        is_platform_owner: false,
        org: Some("acme".to_owned()),
        service: Some("web".to_owned()),
        plan: Some("free".to_owned()),
        features: Some(vec!["export".to_owned()]),
        cnf: None,
        seats: None,
        current_period_end: None,
        entitlements_exp: None,
        entitlements_version: None,
    }
}

/// A store to ask, and the loop in which its callers live.
fn world() -> (SystemRunner, World, Tenant) {
    let system = System::new();
    let (world, tenant) = system.block_on(async {
        let world = World::new();
        let tenant = tenant(&world, "acme").await;
        (world, tenant)
    });
    (system, world, tenant)
}

/// One small row for each caller: what it costs to become durable alone and in company.
fn group_commit(criterion: &mut Criterion) {
    let (system, world, _) = world();
    let mut group = criterion.benchmark_group("group commit");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.iter(|| {
                let rows = (0..callers).map(|_| RevokeAccessToken {
                    jti: public_id(),
                    expires_at: i64::MAX,
                    now: 0,
                });
                system.block_on(try_join_all(rows.map(|row| world.store.write(row)))).unwrap()
            });
        });
    }
    group.finish();
    system.block_on(world.stop());
}

fn device_codes(criterion: &mut Criterion) {
    let (system, world, tenant) = world();
    let mut group = criterion.benchmark_group("device code");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::new("issue", callers), |bencher| {
            bencher.iter(|| {
                let codes = (0..callers).map(|_| issue_device_code(&world, &tenant.terminal));
                system.block_on(try_join_all(codes)).unwrap()
            });
        });
    }
    group.finish();
    system.block_on(world.stop());
}

/// How a token stands: from memory, and from the database.
fn sessions(criterion: &mut Criterion) {
    let (system, world, tenant) = world();
    let session_public_id = system.block_on(async {
        let arrived = code_for(&world, &tenant.web, person(&world, tenant.org_id, "ada")).await;
        let redeem = redeem_code(&world, &tenant.web, &arrived);
        let id = redeem.session.public_id.clone();
        world.store.write(redeem).await.unwrap();
        id
    });
    let question = AccessTokenStanding { session_public_id, jti: public_id() };
    let mut group = criterion.benchmark_group("session");
    group.bench_function("kept in memory", |bencher| {
        bencher.iter(|| system.block_on(world.store.recall(question.clone())).unwrap().unwrap());
    });
    group.bench_function("read from the database", |bencher| {
        bencher.iter(|| system.block_on(world.store.read(question.clone())).unwrap().unwrap());
    });
    group.finish();
    system.block_on(world.stop());
}

criterion_group!(parts, signatures, access_tokens, sealed_cookies, group_commit, device_codes, sessions);
criterion_main!(parts);
