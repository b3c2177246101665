//! Every lifetime that the product promises, one millisecond before its end and at its end.

use gatehouse_actors::clock::Millis;

use crate::support::{Answer, DEVICE_GRANT, Device, SignIn, Tokens, World, parameter, redeem_form, run};

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const DAY: Millis = 24 * 60 * MINUTE;

async fn refresh(world: &World, token: &str) -> Answer {
    world.post("/api/auth/refresh").form(&[("refresh_token", token)]).send().await
}

#[track_caller]
fn refreshed(answer: Answer) -> Tokens {
    Tokens::from(&answer.expect(200))
}

async fn user(world: &World, token: &str) -> Answer {
    world.get("/api/user").bearer(token).send().await
}

#[test]
fn a_login_state_lives_10_minutes() {
    run(async |world| {
        for (age, alive) in [(10 * MINUTE - 1, true), (10 * MINUTE, false)] {
            let mut sign_in = SignIn::web(world).await;
            world.advance(age);
            let callback = sign_in.at_provider("ada@example.com").await;
            let answer = sign_in.come_back(&callback).await;
            if alive {
                assert!(parameter(&answer.expect(303).location(), "code").is_some());
            } else {
                let answer = answer.expect(400);
                assert!(answer.body.contains("This sign-in has expired"), "{}", answer.body);
            }
        }
    });
}

#[test]
fn an_authorization_code_lives_60_seconds() {
    run(async |world| {
        let redirect_uri = world.web_redirect_uri();
        for (age, status) in [(60 * SECOND - 1, 200), (60 * SECOND, 400)] {
            let code = SignIn::web(world).await.code("ada@example.com").await;
            world.advance(age);
            let form = redeem_form("demo-web", &redirect_uri, &code);
            let answer = world.post("/auth/token").form(&form).send().await.expect(status);
            if status == 400 {
                assert_eq!(answer.text("error"), "invalid_grant");
            }
        }
    });
}

#[test]
fn an_access_token_lives_15_minutes() {
    run(async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        world.advance(15 * MINUTE - 1);
        user(world, &tokens.access).await.expect(200);
        world.advance(1);
        user(world, &tokens.access).await.expect_error(401, "TOKEN_EXPIRED");
    });
}

#[test]
fn a_pending_device_code_lives_15_minutes() {
    run(async |world| {
        let device = Device::begin(world).await;
        let verify = async || {
            let form = [("user_code", device.user_code.as_str())];
            world.post("/auth/device/verify").form(&form).send().await
        };
        world.advance(15 * MINUTE - 1);
        device.poll(world).await.expect_error(400, "DEVICE_CODE_PENDING");
        assert_eq!(verify().await.expect(200).json()["expires_in"], 0);
        world.advance(1);
        verify().await.expect_error(400, "DEVICE_CODE_EXPIRED");
        world.advance(5 * SECOND);
        let answer = device.poll(world).await.expect_error(400, "DEVICE_CODE_EXPIRED");
        assert_eq!(answer.text("error"), "expired_token");
    });
}

#[test]
fn an_approved_device_code_is_redeemed_in_its_15_minutes_or_never() {
    run(async |world| {
        for (age, status) in [(15 * MINUTE - 1, 200), (15 * MINUTE, 400)] {
            let device = Device::begin(world).await;
            device.decide(world, "ada@example.com", "approve").await.expect(200);
            world.advance(age);
            device.poll(world).await.expect(status);
        }
    });
}

#[test]
fn a_device_code_is_decided_in_its_15_minutes_or_never() {
    run(async |world| {
        for (age, status) in [(15 * MINUTE - 1, 200), (15 * MINUTE, 400)] {
            let device = Device::begin(world).await;
            let (mut browser, csrf) = device.claim(world, "ada@example.com").await;
            world.advance(age);
            let form = [("csrf", csrf.as_str()), ("decision", "approve")];
            browser.post(world, "/activate/confirm", &form).await.expect(status);
        }
    });
}

#[test]
fn a_device_is_polled_every_5_seconds() {
    run(async |world| {
        let device = Device::begin(world).await;
        device.poll(world).await.expect_error(400, "DEVICE_CODE_PENDING");
        world.advance(4 * SECOND);
        device.poll(world).await.expect_error(400, "SLOW_DOWN");
        // RFC 8628, section 3.5: five seconds more from now on, counted from the last poll in time.
        world.advance(5 * SECOND);
        device.poll(world).await.expect_error(400, "SLOW_DOWN");
        world.advance(6 * SECOND);
        device.poll(world).await.expect_error(400, "DEVICE_CODE_PENDING");
    });
}

#[test]
fn a_used_refresh_token_has_a_grace_of_10_seconds() {
    run(async |world| {
        let first = world.web_tokens("ada@example.com").await;
        let second = refreshed(refresh(world, &first.refresh).await);
        world.advance(10 * SECOND);
        let again = refreshed(refresh(world, &first.refresh).await);
        assert_eq!(second.refresh, again.refresh);
        world.advance(1);
        refresh(world, &first.refresh).await.expect_error(400, "INVALID_GRANT");
        // Somebody else has the token: the whole session is over.
        refresh(world, &second.refresh).await.expect_error(400, "INVALID_GRANT");
        user(world, &second.access).await.expect_error(401, "UNAUTHORIZED");
    });
}

#[test]
fn the_grace_ends_when_the_successor_is_used() {
    run(async |world| {
        let first = world.web_tokens("ada@example.com").await;
        let second = refreshed(refresh(world, &first.refresh).await);
        let third = refreshed(refresh(world, &second.refresh).await);
        refresh(world, &first.refresh).await.expect_error(400, "INVALID_GRANT");
        refresh(world, &third.refresh).await.expect_error(400, "INVALID_GRANT");
    });
}

#[test]
fn a_refresh_token_lives_30_days_from_its_issue() {
    run(async |world| {
        let first = world.web_tokens("ada@example.com").await;
        world.advance(30 * DAY - 1);
        let second = refreshed(refresh(world, &first.refresh).await);
        world.advance(30 * DAY - 1);
        let third = refreshed(refresh(world, &second.refresh).await);
        world.advance(30 * DAY);
        refresh(world, &third.refresh).await.expect_error(400, "INVALID_GRANT");
    });
}

#[test]
fn a_session_lives_180_days_however_often_it_is_refreshed() {
    run(async |world| {
        let mut tokens = world.web_tokens("ada@example.com").await;
        for _ in 0..9 {
            world.advance(20 * DAY - 1);
            tokens = refreshed(refresh(world, &tokens.refresh).await);
        }
        world.advance(8); // 180 days but for a millisecond
        tokens = refreshed(refresh(world, &tokens.refresh).await);
        user(world, &tokens.access).await.expect(200);
        world.advance(1);
        // The session is over, and the access token that it gave a moment ago with it.
        user(world, &tokens.access).await.expect_error(401, "UNAUTHORIZED");
        refresh(world, &tokens.refresh).await.expect_error(400, "INVALID_GRANT");
    });
}

#[test]
fn what_was_used_once_is_used_up() {
    run(async |world| {
        let redirect_uri = world.web_redirect_uri();
        let mut sign_in = SignIn::web(world).await;
        let callback = sign_in.at_provider("ada@example.com").await;
        let cookies = sign_in.browser.cookies.clone();
        let back = sign_in.come_back(&callback).await.expect(303).location();
        sign_in.browser.cookies = cookies;
        sign_in.come_back(&callback).await.expect(400);

        let code = parameter(&back, "code").unwrap();
        let form = redeem_form("demo-web", &redirect_uri, &code);
        let tokens = Tokens::from(&world.post("/auth/token").form(&form).send().await.expect(200));
        world.post("/auth/token").form(&form).send().await.expect_error(400, "INVALID_GRANT");
        // RFC 6749, section 4.1.2: what the first use produced is revoked.
        user(world, &tokens.access).await.expect_error(401, "UNAUTHORIZED");

        let device = Device::begin(world).await;
        device.decide(world, "ada@example.com", "approve").await.expect(200);
        let tokens = Tokens::from(&device.poll(world).await.expect(200));
        world.advance(5 * SECOND);
        let form =
            [("grant_type", DEVICE_GRANT), ("client_id", "demo-cli"), ("device_code", &device.device_code)];
        world.post("/auth/token").form(&form).send().await.expect_error(400, "INVALID_GRANT");
        user(world, &tokens.access).await.expect_error(401, "UNAUTHORIZED");
    });
}
