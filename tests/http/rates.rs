//! Rates: everybody is let in who comes as people and their devices do, and nobody who does not.

use serde_json::json;

use crate::support::{
    Answer, DEVICE_GRANT, Device, SignIn, World, authorize_query, run_deployed, run_limited,
};

const MINUTE: i64 = 60_000;

#[track_caller]
fn limited(answer: Answer) -> Answer {
    let answer = answer.expect(429);
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    answer
}

/// The dialect of OAuth, with this `error`.
#[track_caller]
fn limited_oauth(answer: Answer, error: &str) {
    let body = limited(answer).json();
    assert_eq!((&body["error"], &body["error_code"]), (&json!(error), &json!("RATE_LIMITED")));
    assert!(body["error_description"].as_str().unwrap().ends_with("try again."), "{body}");
}

#[test]
fn a_hundred_people_behind_one_address_sign_in_at_once() {
    run_limited("on", async |world| {
        // The clock stands still: all of this happens in the same millisecond.
        for person in 0..100 {
            let query = authorize_query(&world.web_redirect_uri());
            world
                .get(&format!("/oauth/authorize?client_id=demo-web&response_type=code&{query}"))
                .send()
                .await;
            let tokens = world.web_tokens(&format!("person{person}@example.com")).await;
            world.get("/api/user").bearer(&tokens.access).send().await.expect(200);
            let refresh = [("refresh_token", tokens.refresh.as_str())];
            world.post("/api/auth/refresh").form(&refresh).send().await.expect(200);
        }
        // And a hundred terminals wait for their people, each at the pace it was given, for ten minutes.
        let mut devices = Vec::new();
        for _ in 0..100 {
            devices.push(Device::begin(world).await);
        }
        for _ in 0..12 {
            for device in &devices {
                device.poll(world).await.expect_error(400, "DEVICE_CODE_PENDING");
            }
            world.advance(MINUTE * 5 / 6);
        }
        devices[0].decide(world, "person0@example.com", "approve").await.expect(200);
        devices[0].poll(world).await.expect(200);
    });
}

#[test]
fn an_address_that_floods_hears_429_in_the_words_of_each_address_and_health_goes_on() {
    run_limited("requests=5/m", async |world| {
        for _ in 0..5 {
            world.get("/nowhere").send().await.expect(404);
        }
        let body = limited(world.get("/api/user").send().await).json();
        assert_eq!(body["error_code"], "RATE_LIMITED");
        assert_eq!(body["status"], 429);
        limited_oauth(world.post("/oauth/token").send().await, "invalid_request");
        let page = limited(world.get("/activate").header("accept", "text/html").send().await);
        assert!(page.header("content-security-policy").is_some());
        for free in ["/health", "/health/live", "/assets/gatehouse.css"] {
            world.get(free).send().await.expect(200);
        }
        world.post("/webhooks/stripe").body("application/json", "{}").send().await.expect(400);
        world.advance(MINUTE / 5);
        world.get("/nowhere").send().await.expect(404);
        limited(world.get("/nowhere").send().await);
    });
}

#[test]
fn beginnings_of_sign_ins_are_counted_together() {
    run_limited("sign_ins=3/m", async |world| {
        let query = authorize_query(&world.web_redirect_uri());
        let authorize = format!("/oauth/authorize?client_id=demo-web&response_type=code&{query}");
        let sign_in = SignIn::web(world).await;
        assert!(world.get(&authorize).send().await.status < 400);
        assert_eq!(world.get("/auth/admin/dev").send().await.status, 400);
        limited(world.get(&authorize).send().await);
        limited(world.get("/auth/dev?org=demo&service=web").send().await);
        let pushed = [("client_id", "demo-web"), ("response_type", "code")];
        limited(world.post("/oauth/par").form(&pushed).send().await);
        // Who is on the way already arrives.
        let code = sign_in.code("ada@example.com").await;
        world.redeem("demo-web", &world.web_redirect_uri(), &code).await;
    });
}

#[test]
fn failures_at_the_endpoints_of_tokens_are_counted_and_polling_is_none() {
    run_limited("token_failures=3/m", async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        let device = Device::begin(world).await;
        for _ in 0..3 {
            device.poll(world).await.expect_error(400, "DEVICE_CODE_PENDING");
            device.poll(world).await.expect_error(400, "SLOW_DOWN");
            world.advance(MINUTE / 4);
        }
        world.post("/oauth/token").form(&[("grant_type", "new")]).send().await.expect(401);
        let unknown = [("grant_type", "refresh_token"), ("client_id", "demo-web"), ("refresh_token", "x")];
        world.post("/oauth/token").form(&unknown).send().await.expect_error(400, "INVALID_GRANT");
        world.post("/api/auth/refresh").form(&[("refresh_token", "x")]).send().await.expect(400);
        limited_oauth(world.post("/oauth/token").form(&unknown).send().await, "invalid_request");
        limited(world.post("/api/auth/refresh").form(&[("refresh_token", &tokens.refresh)]).send().await);
        limited_oauth(world.post("/oauth/revoke").form(&[("token", "x")]).send().await, "invalid_request");
        let poll = [("grant_type", DEVICE_GRANT), ("client_id", "demo-cli"), ("device_code", "x")];
        limited_oauth(world.post("/oauth/token").form(&poll).send().await, "slow_down");
        world.get("/api/user").bearer(&tokens.access).send().await.expect(200);
        world.advance(MINUTE);
        world.post("/api/auth/refresh").form(&[("refresh_token", &tokens.refresh)]).send().await.expect(200);
    });
}

#[test]
fn device_codes_are_counted_by_address_and_by_client() {
    run_limited("device_codes=4/m,device_codes_of_client=2/m", async |world| {
        let ask = async |client: &str| {
            world.post("/oauth/device_authorization").form(&[("client_id", client)]).send().await
        };
        ask("demo-cli").await.expect(200);
        ask("demo-cli").await.expect(200);
        limited_oauth(ask("demo-cli").await, "invalid_request");
        assert_ne!(ask("demo-web").await.status, 429, "another client has its own");
        limited_oauth(ask("demo-web").await, "invalid_request");
        world.advance(MINUTE);
        ask("demo-cli").await.expect(200);
    });
}

#[test]
fn invitations_are_counted_by_organization_and_by_whom_they_reach() {
    run_limited("invitations=4/h,invitation_mails=2/h", async |world| {
        let signed_in = async || world.platform_tokens("owner@example.com").await.access;
        let owner = signed_in().await;
        let invitations = "/api/organizations/demo/invitations";
        let invite = async |owner: &str, email: &str| {
            let body = json!({"email": email, "role": "member"}).to_string();
            world.post(invitations).bearer(owner).body("application/json", body).send().await
        };
        for _ in 0..2 {
            let made = invite(&owner, "ada@example.test").await.expect(201).json();
            let id = made["invitation"]["id"].as_str().unwrap();
            world.request("DELETE", &format!("{invitations}/{id}")).bearer(&owner).send().await.expect(204);
        }
        limited(invite(&owner, "ADA@example.test").await);
        invite(&owner, "bob@example.test").await.expect(201);
        limited(invite(&owner, "eve@example.test").await);
        world.advance(60 * MINUTE);
        invite(&signed_in().await, "eve@example.test").await.expect(201);
    });
}

#[test]
fn introspections_refreshes_and_calls_outside_are_counted_by_whose_they_are() {
    run_limited("introspections=2/m,refreshes=1/m,calls_outside=1/m", async |world| {
        let owner = world.platform_tokens("owner@example.com").await.access;
        let secrets = "/api/organizations/demo/services/web/client-secret";
        let made = world.post(secrets).bearer(&owner).body("application/json", "{}").send().await.expect(201);
        let secret = made.text("client_secret");
        let form = [("client_id", "demo-web"), ("client_secret", secret.as_str()), ("token", "x")];
        for path in ["/oauth/introspect", "/oauth/revoke"] {
            world.post(path).form(&form).send().await.expect(200);
        }
        limited_oauth(world.post("/oauth/introspect").form(&form).send().await, "invalid_request");

        let tokens = world.device_tokens("ada@example.com").await;
        let refresh = async |token: &str| {
            world.post("/api/auth/refresh").form(&[("refresh_token", token)]).send().await
        };
        let next = refresh(&tokens.refresh).await.expect(200).text("refresh_token");
        limited(refresh(&next).await);
        // A client that proves who it is refreshes for all its users from one address.
        let form = [("grant_type", "refresh_token"), ("client_id", "demo-web"), ("refresh_token", "x")];
        let form = form.into_iter().chain([("client_secret", secret.as_str())]).collect::<Vec<_>>();
        for _ in 0..3 {
            world.post("/oauth/token").form(&form).send().await.expect_error(400, "INVALID_GRANT");
        }

        let ping =
            async || world.post("/api/organizations/demo/webhooks/none/ping").bearer(&owner).send().await;
        ping().await.expect(404);
        limited(ping().await);
    });
}

#[test]
fn what_is_too_large_is_refused_in_words() {
    run_limited("on", async |world| {
        let long = format!("/api/user?x={}", "y".repeat(16 * 1024));
        world.get(&long).send().await.expect_error(414, "URI_TOO_LONG");
        let page = world.get(&format!("/activate?user_code={}", "y".repeat(16 * 1024)));
        page.header("accept", "text/html").send().await.expect(414);
        let large = world.get("/api/user").header("x-large", &"y".repeat(33 * 1024)).send().await;
        large.expect_error(431, "HEADERS_TOO_LARGE");
        let state = "s".repeat(2000);
        let query = authorize_query(&world.web_redirect_uri()).replace("state=s", &format!("state={state}"));
        let target = format!("/oauth/authorize?client_id=demo-web&response_type=code&{query}");
        assert!(world.get(&target).send().await.status < 400);
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000 / 8), "}".repeat(100_000 / 8));
        let owner = world.platform_tokens("owner@example.com").await.access;
        for body in [deep, "[".repeat(60_000), "{\"a\":".repeat(128)] {
            let request = world.post("/api/organizations").bearer(&owner);
            let status = request.body("application/json", body).send().await.status;
            assert!([400, 413].contains(&status), "{status}");
        }
    });
}

/// The address that pays is the client's, when a proxy that is trusted says so.
#[test]
fn forwarded_addresses_pay_for_themselves_only_behind_a_trusted_proxy() {
    let from = async |world: &World, address: &str| {
        world.get("/nowhere").header("x-forwarded-for", address).send().await.status
    };
    run_limited("requests=1/h", async |world| {
        assert_eq!(from(world, "203.0.113.1").await, 404);
        assert_eq!(from(world, "203.0.113.2").await, 429, "nobody is trusted");
    });
    let settings = [("RATE_LIMITS", "requests=1/h"), ("TRUSTED_PROXIES", "127.0.0.0/8")];
    run_deployed(&settings, async |world| {
        assert_eq!(from(world, "203.0.113.1").await, 404);
        assert_eq!(from(world, "203.0.113.2").await, 404);
        assert_eq!(
            from(world, "203.0.113.2, 203.0.113.1").await,
            429,
            "what the client says itself counts for nothing"
        );
        // A client has a whole /64 of IPv6.
        assert_eq!(from(world, "2001:db8:0:1::1").await, 404);
        assert_eq!(from(world, "2001:db8:0:1:ffff::2").await, 429);
        assert_eq!(from(world, "2001:db8:0:2::1").await, 404);
        let refused = world.app.meters.throttled.count("requests");
        assert_eq!(refused, 2, "refusals are counted");
    });
}
