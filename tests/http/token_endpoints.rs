//! Userinfo, introspection and revocation; and that what voids a token voids it at all of them at once.

use serde_json::{Value, json};

use crate::support::{Answer, Tokens, World, claims_of, run};

/// A confidential client, such as a resource server.
struct Server {
    client_id: String,
    secret: String,
}

impl Server {
    /// The demo organization's terminal service, with a secret from now on.
    async fn new(world: &World) -> Self {
        let owner = world.platform_tokens("owner@example.com").await.access;
        let path = "/api/organizations/demo/services/cli/client-secret";
        let made = world.post(path).bearer(&owner).send().await.expect(201);
        Self { client_id: made.text("client_id"), secret: made.text("client_secret") }
    }

    async fn ask(&self, world: &World, path: &str, token: &str) -> Answer {
        let credentials =
            [("client_id", &*self.client_id), ("client_secret", &*self.secret), ("token", token)];
        world.post(path).form(&credentials).send().await
    }

    async fn introspect(&self, world: &World, token: &str) -> Value {
        self.ask(world, "/oauth/introspect", token).await.expect(200).json()
    }
}

async fn revoke(world: &World, client_id: &str, token: &str) -> Answer {
    world.post("/oauth/revoke").form(&[("client_id", client_id), ("token", token)]).send().await
}

async fn user_status(world: &World, access: &str) -> u16 {
    world.get("/api/user").bearer(access).send().await.status
}

/// The tokens of a refresh, or the refusal.
async fn refresh(world: &World, token: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("client_id", "demo-web"), ("refresh_token", token)];
    world.post("/oauth/token").form(&form).send().await
}

async fn narrowed(world: &World, tokens: &Tokens, scope: &str) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "demo-web"),
        ("refresh_token", &tokens.refresh),
        ("scope", scope),
    ];
    world.post("/oauth/token").form(&form).send().await.expect(200)
}

#[test]
fn userinfo_tells_by_scope_what_the_id_token_tells() {
    run(async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        let id = claims_of(&tokens.id);
        let get = world.get("/oauth/userinfo").bearer(&tokens.access).send().await.expect(200);
        assert_eq!(get.header("cache-control"), Some("no-store"));
        let info = get.json();
        for name in ["sub", "email", "email_verified", "name", "picture"] {
            assert_eq!(info.get(name), id.get(name), "{name}");
        }
        assert_eq!(info["email_verified"], true);
        let post = world.post("/oauth/userinfo").bearer(&tokens.access).send().await.expect(200);
        let form = world.post("/oauth/userinfo").form(&[("access_token", &tokens.access)]);
        assert_eq!(post.json(), info);
        assert_eq!(form.send().await.expect(200).json(), info);

        let less = narrowed(world, &tokens, "openid").await.text("access_token");
        let info = world.get("/oauth/userinfo").bearer(&less).send().await.expect(200).json();
        assert_eq!(info, json!({ "sub": id["sub"] }));
    });
}

#[test]
fn userinfo_takes_a_token_in_one_place_and_not_in_the_address() {
    run(async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        let access = tokens.access.as_str();
        let query = format!("/oauth/userinfo?access_token={access}");
        world.get(&query).send().await.expect_error(400, "BAD_REQUEST");
        world.get(&query).bearer(access).send().await.expect_error(400, "BAD_REQUEST");
        let both = world.post("/oauth/userinfo").bearer(access).form(&[("access_token", access)]);
        assert_eq!(both.send().await.expect(400).json()["error"], "invalid_request");
        let json = world
            .post("/oauth/userinfo")
            .body("application/json", json!({ "access_token": access }).to_string());
        json.send().await.expect(401);
        let twice = format!("access_token={access}&access_token={access}");
        let twice = world.post("/oauth/userinfo").body("application/x-www-form-urlencoded", twice);
        twice.send().await.expect(400);
    });
}

#[test]
fn userinfo_challenges_as_rfc_6750_says() {
    run(async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        let challenge = |answer: Answer| answer.header("www-authenticate").unwrap().to_owned();
        let bare = world.get("/oauth/userinfo").send().await.expect(401);
        assert_eq!(challenge(bare), "Bearer realm=\"gatehouse\"");
        let invalid = "Bearer realm=\"gatehouse\", error=\"invalid_token\"";
        for token in ["garbage", tokens.id.as_str(), tokens.refresh.as_str()] {
            let header = world.get("/oauth/userinfo").bearer(token).send().await.expect(401);
            assert_eq!(header.json()["error"], "invalid_token");
            assert_eq!(challenge(header), invalid);
            let form =
                world.post("/oauth/userinfo").form(&[("access_token", token)]).send().await.expect(401);
            assert_eq!(challenge(form), invalid);
        }
        let less = narrowed(world, &tokens, "email").await.text("access_token");
        let refused = world.get("/oauth/userinfo").bearer(&less).send().await.expect(403);
        assert_eq!(refused.json()["error"], "insufficient_scope");
        assert!(challenge(refused).contains("error=\"insufficient_scope\", scope=\"openid\""));
        world.post("/api/auth/logout").bearer(&tokens.access).send().await.expect(204);
        let ended = world.get("/oauth/userinfo").bearer(&tokens.access).send().await.expect(401);
        assert_eq!(challenge(ended), invalid);
    });
}

#[test]
fn introspection_says_what_the_token_says() {
    run(async |world| {
        let server = Server::new(world).await;
        let tokens = world.web_tokens("ada@example.com").await;
        let claims = claims_of(&tokens.access);
        let said = server.introspect(world, &tokens.access).await;
        assert_eq!((&said["active"], &said["token_type"]), (&json!(true), &json!("Bearer")));
        for name in
            ["client_id", "sub", "scope", "exp", "iat", "aud", "iss", "jti", "sid", "org", "service", "plan"]
        {
            assert_eq!(said[name], claims[name], "{name}");
        }
        assert_eq!(said["features"], claims["features"]);
        // A refresh token is between its client and this server.
        assert_eq!(server.introspect(world, &tokens.refresh).await, json!({ "active": false }));
        // Users of the platform realm are none of the organization's.
        let platform = world.platform_tokens("owner@example.com").await.access;
        assert_eq!(server.introspect(world, &platform).await, json!({ "active": false }));
        for nothing in ["garbage", tokens.id.as_str(), "a.b.c", &server.secret] {
            assert_eq!(server.introspect(world, nothing).await, json!({ "active": false }), "{nothing}");
        }
        world.advance(15 * 60 * 1000);
        assert_eq!(server.introspect(world, &tokens.access).await, json!({ "active": false }));
    });
}

#[test]
fn introspection_is_for_confidential_clients() {
    run(async |world| {
        let server = Server::new(world).await;
        let access = world.web_tokens("ada@example.com").await.access;
        let ask = async |form: &[(&str, &str)]| world.post("/oauth/introspect").form(form).send().await;
        ask(&[("client_id", "demo-web"), ("token", &access)]).await.expect_error(401, "INVALID_CLIENT");
        ask(&[("token", &access)]).await.expect_error(401, "INVALID_CLIENT");
        let id = server.client_id.as_str();
        ask(&[("client_id", id), ("token", &access)]).await.expect_error(401, "INVALID_CLIENT");
        let wrong = [("client_id", id), ("client_secret", "wrong"), ("token", &access)];
        ask(&wrong).await.expect_error(401, "INVALID_CLIENT");
        server.ask(world, "/oauth/introspect", "").await.expect_error(400, "VALIDATION_FAILED");
        let query = format!("/oauth/introspect?token={access}");
        server.ask(world, &query, &access).await.expect_error(400, "BAD_REQUEST");
    });
}

#[test]
fn a_client_introspects_its_own_refresh_token() {
    run(async |world| {
        let tokens = world.web_tokens("ada@example.com").await;
        let owner = world.platform_tokens("owner@example.com").await.access;
        let path = "/api/organizations/demo/services/web/client-secret";
        let made = world.post(path).bearer(&owner).send().await.expect(201);
        let web = Server { client_id: "demo-web".to_owned(), secret: made.text("client_secret") };
        let said = web.introspect(world, &tokens.refresh).await;
        assert_eq!((&said["active"], &said["token_use"]), (&json!(true), &json!("refresh")));
        assert_eq!(said["sub"], claims_of(&tokens.access)["sub"]);
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "demo-web"),
            ("client_secret", &web.secret),
            ("refresh_token", &tokens.refresh),
        ];
        let next = world.post("/oauth/token").form(&form).send().await.expect(200).text("refresh_token");
        assert_eq!(web.introspect(world, &tokens.refresh).await, json!({ "active": false }), "used");
        assert_eq!(web.introspect(world, &next).await["active"], true);
        web.ask(world, "/oauth/revoke", &next).await.expect(200);
        assert_eq!(web.introspect(world, &next).await, json!({ "active": false }), "revoked");
        assert_eq!(web.introspect(world, &tokens.access).await, json!({ "active": false }), "its session");
    });
}

#[test]
fn an_access_token_is_revoked_alone_and_a_refresh_token_with_its_session() {
    run(async |world| {
        let server = Server::new(world).await;
        let tokens = world.web_tokens("ada@example.com").await;
        let next = Tokens::from(&refresh(world, &tokens.refresh).await.expect(200));
        let revoked = revoke(world, "demo-web", &tokens.access).await.expect(200);
        assert_eq!(revoked.body, "");
        assert_eq!(user_status(world, &tokens.access).await, 401);
        assert_eq!(server.introspect(world, &tokens.access).await, json!({ "active": false }));
        assert_eq!(user_status(world, &next.access).await, 200);
        revoke(world, "demo-web", &next.refresh).await.expect(200);
        assert_eq!(user_status(world, &next.access).await, 401);
        refresh(world, &next.refresh).await.expect_error(400, "INVALID_GRANT");
        // RFC 7009, section 2.2: what opens nothing needs no revocation.
        for nothing in ["garbage", tokens.access.as_str(), next.refresh.as_str(), tokens.id.as_str()] {
            revoke(world, "demo-web", nothing).await.expect(200);
        }
    });
}

#[test]
fn nobody_revokes_the_token_of_another_client() {
    run(async |world| {
        let server = Server::new(world).await;
        let tokens = world.web_tokens("ada@example.com").await;
        for token in [&tokens.access, &tokens.refresh] {
            let refused = revoke(world, "platform-admin-cli", token).await.expect_error(400, "INVALID_GRANT");
            assert_eq!(refused.json()["error"], "invalid_grant");
            server.ask(world, "/oauth/revoke", token).await.expect_error(400, "INVALID_GRANT");
        }
        assert_eq!(user_status(world, &tokens.access).await, 200);
        refresh(world, &tokens.refresh).await.expect(200);
        let bare = world.post("/oauth/revoke").form(&[("token", &tokens.access)]).send().await;
        bare.expect_error(401, "INVALID_CLIENT");
        // A confidential client has to prove itself here as well.
        let unproved = revoke(world, &server.client_id, &tokens.access).await;
        unproved.expect_error(401, "INVALID_CLIENT");
        let untold = world.post("/oauth/revoke").form(&[("client_id", "demo-web")]).send().await;
        untold.expect_error(400, "VALIDATION_FAILED");
    });
}

/// What ends the tokens of an end user of the demo organization's web service.
#[derive(Debug, Clone, Copy)]
enum End {
    Logout,
    SignedOutByAdmin,
    Erased,
    SecretRemoved,
    ServiceDeleted,
    Suspended,
}

#[test]
fn what_voids_a_token_voids_it_everywhere_at_once() {
    use End::{Erased, Logout, SecretRemoved, ServiceDeleted, SignedOutByAdmin, Suspended};
    for end in [Logout, SignedOutByAdmin, Erased, SecretRemoved, ServiceDeleted, Suspended] {
        run(async |world| {
            let server = Server::new(world).await;
            let owner = world.platform_tokens("owner@example.com").await.access;
            let tokens = world.web_tokens("ada@example.com").await;
            let base = "/api/organizations/demo";
            if matches!(end, SecretRemoved) {
                let path = format!("{base}/services/web/client-secret");
                world.post(&path).bearer(&owner).send().await.expect(201);
            }
            assert_eq!(user_status(world, &tokens.access).await, 200);
            assert_eq!(server.introspect(world, &tokens.access).await["active"], true);
            let user = format!("{base}/users/{}", claims_of(&tokens.access)["sub"].as_str().unwrap());
            let delete = async |path: String| {
                let status = world.request("DELETE", &path).bearer(&owner).send().await.status;
                assert!(matches!(status, 200 | 204), "{path}: {status}");
            };
            match end {
                Logout => {
                    world.post("/api/auth/logout").bearer(&tokens.access).send().await.expect(204);
                }
                SignedOutByAdmin => delete(format!("{user}/sessions")).await,
                Erased => delete(user).await,
                SecretRemoved => delete(format!("{base}/services/web/client-secret")).await,
                ServiceDeleted => delete(format!("{base}/services/web")).await,
                Suspended => world.set_status("demo", "suspended").await,
            }
            let refused = if matches!(end, Suspended) { 403 } else { 401 };
            for (method, path) in
                [("GET", "/api/user"), ("GET", "/oauth/userinfo"), ("POST", "/oauth/userinfo")]
            {
                let status = world.request(method, path).bearer(&tokens.access).send().await.status;
                assert_eq!(status, refused, "{end:?} at {method} {path}");
            }
            let said = server.introspect(world, &tokens.access).await;
            assert_eq!(said, json!({ "active": false }), "{end:?}");
            let refreshed = refresh(world, &tokens.refresh).await.status;
            assert!(matches!(refreshed, 400 | 401 | 403), "{end:?}: {refreshed}");
        });
    }
}
