//! Limits that a client meets: 429, when to come back, and nobody else locked out.

use serde_json::json;

use crate::support::{Answer, World, run};

const WINDOW: i64 = 15 * 60 * 1000;
const PER_ADDRESS: usize = 30;

#[track_caller]
fn expect_limited(answer: Answer) {
    let answer = answer.expect_error(429, "RATE_LIMITED");
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&(seconds - 1)), "{seconds}");
}

#[test]
fn organizations_are_not_registered_without_end_by_nobody_in_particular() {
    run(async |world| {
        let register = async |slug: &str, token: Option<&str>| {
            let body = json!({"slug": slug, "name": "Acme", "owner_email": "ada@example.com"}).to_string();
            let request = world.post("/api/organizations").body("application/json", body);
            let request = match token {
                Some(token) => request.bearer(token),
                None => request,
            };
            request.send().await
        };
        // A request that is refused for what it says takes nothing.
        register("A slug", None).await.expect_error(400, "VALIDATION_FAILED");
        for number in 0..PER_ADDRESS {
            register(&format!("acme-{number}"), None).await.expect(201);
        }
        expect_limited(register("one-more", None).await);
        let token = world.platform_tokens("ada@example.com").await.access;
        register("of-ada", Some(&token)).await.expect(201);
        world.advance(WINDOW);
        register("one-more", None).await.expect(201);
    });
}

#[test]
fn the_secret_of_a_client_is_not_guessed_without_end() {
    run(async |world| {
        let owner = world.platform_tokens("owner@example.com").await.access;
        let secrets = "/api/organizations/demo/services/web/client-secret";
        let made = world.post(secrets).bearer(&owner).body("application/json", "{}").send().await.expect(201);
        let secret = made.text("client_secret");
        let grant = async |secret: &str| {
            let form =
                [("grant_type", "refresh_token"), ("client_id", "demo-web"), ("client_secret", secret)];
            let form = form.into_iter().chain([("refresh_token", "unknown")]).collect::<Vec<_>>();
            world.post("/auth/token").form(&form).send().await
        };
        for _ in 0..2 * PER_ADDRESS {
            grant(&secret).await.expect_error(400, "INVALID_GRANT");
        }
        for number in 0..PER_ADDRESS {
            let wrong = if number % 2 == 0 { "wrong".to_owned() } else { flipped(&secret) };
            grant(&wrong).await.expect_error(401, "INVALID_CLIENT");
        }
        expect_limited(grant("wrong").await);
        expect_limited(grant(&secret).await);
        device_of_another_client(world).await;
        world.advance(WINDOW);
        grant(&secret).await.expect_error(400, "INVALID_GRANT");
    });
}

/// The secret with its last character but one changed.
fn flipped(secret: &str) -> String {
    let (head, tail) = secret.split_at(secret.len() - 2);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{other}{}", &tail[1..])
}

async fn device_of_another_client(world: &World) {
    world.post("/auth/device/code").form(&[("client_id", "demo-cli")]).send().await.expect(200);
}
