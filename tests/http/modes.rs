//! What differs between dev mode and a deployment behind TLS.

use gatehouse::app::dev_routes;

use crate::support::{PLATFORM_REDIRECT_URI, authorize_query, run, run_production};

#[test]
fn outside_dev_mode_its_routes_do_not_exist() {
    run_production(async |world| {
        for entry in dev_routes().iter().flat_map(|resource| resource.entries().collect::<Vec<_>>()) {
            let request = world.request(entry.method, entry.path);
            let request = if entry.method == "POST" { request.form(&[]) } else { request };
            request.header("accept", "application/json").send().await.expect_error(404, "NOT_FOUND");
        }
        world.post("/auth/device/code").form(&[("client_id", "demo-cli")]).send().await.expect(401);
        world.get("/auth/dev?org=demo&service=web").send().await.expect(404);
    });
}

#[test]
fn behind_tls_cookies_belong_to_this_host_and_browsers_stay_with_https() {
    run_production(async |world| {
        let target = format!("/auth/admin/oidc?{}", authorize_query(PLATFORM_REDIRECT_URI));
        let answer = world.get(&target).send().await.expect(303);
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-gatehouse-login-"), "{cookie}");
        for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "no {attribute} in {cookie}");
        }
    });
}

#[test]
fn without_tls_the_cookie_is_plain_but_closed_to_scripts() {
    run(async |world| {
        let target = format!("/auth/dev?org=demo&service=web&{}", authorize_query(&world.web_redirect_uri()));
        let answer = world.get(&target).send().await.expect(303);
        assert_eq!(answer.header("strict-transport-security"), None);
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("gatehouse-login-") && cookie.contains("HttpOnly"), "{cookie}");
        assert!(!cookie.contains("Secure"), "{cookie}");
    });
}

#[test]
fn the_issuer_is_the_configured_address_whatever_the_request_says() {
    run_production(async |world| {
        let request = world.get("/.well-known/openid-configuration");
        let answer = request
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "http")
            .header("forwarded", "host=evil.example")
            .send()
            .await
            .expect(200);
        assert_eq!(answer.text("issuer"), "https://id.example.com");
        assert!(!answer.body.contains("evil.example"), "{}", answer.body);
    });
}
