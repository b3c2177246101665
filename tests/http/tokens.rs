//! Access tokens that the server's own key signed, each with one flaw: a valid signature is not enough.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Forge, World, claims_of, run};

/// A genuine token, what it says, and the key to say something else.
struct Scene<'w> {
    world: &'w World,
    genuine: String,
    claims: Value,
    forge: Forge,
}

impl<'w> Scene<'w> {
    async fn new(world: &'w World) -> Self {
        let genuine = world.web_tokens("ada@example.com").await.access;
        let claims = claims_of(&genuine);
        Self { world, genuine, claims, forge: Forge::of(world).await }
    }

    async fn status(&self, method: &str, path: &str, token: &str) -> u16 {
        self.world.request(method, path).bearer(token).send().await.status
    }

    /// Every token is refused by the signed-in user's route; those refused for their own sake, by sign-out too.
    async fn assert_refused(&self, tokens: Vec<(String, String)>) {
        let mut wrong = Vec::new();
        for (flaw, token) in &tokens {
            for (method, path) in [("GET", "/api/user"), ("POST", "/api/auth/logout")] {
                let status = self.status(method, path, token).await;
                if status != 401 {
                    wrong.push(format!("{flaw}: {method} {path} answers {status}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(
            self.status("GET", "/api/user", &self.genuine).await,
            200,
            "the genuine token still works"
        );
    }

    /// The claims with one of them changed, signed; `None` leaves it out.
    fn with(&self, name: &str, value: Option<Value>) -> String {
        let mut claims = self.claims.clone();
        let members = claims.as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        self.forge.access(&claims)
    }
}

#[test]
fn the_forge_makes_tokens_that_work() {
    run(async |world| {
        let scene = Scene::new(world).await;
        assert_eq!(scene.status("GET", "/api/user", &scene.forge.access(&scene.claims)).await, 200);
    });
}

#[test]
fn times_are_whole_seconds_and_in_their_place() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let exp = scene.claims["exp"].as_i64().unwrap();
        let mut tokens = Vec::new();
        for name in ["exp", "iat"] {
            for value in [
                json!(exp.to_string()),
                json!(f64::from(u32::try_from(exp).unwrap())),
                json!(1e308),
                json!([exp]),
                json!({ "seconds": exp }),
                json!(true),
                json!(null),
                json!(u64::MAX),
            ] {
                tokens.push((format!("{name} {value}"), scene.with(name, Some(value))));
            }
            tokens.push((format!("{name} missing"), scene.with(name, None)));
        }
        for value in [json!(-1), json!(0), json!(i64::MIN)] {
            tokens.push((format!("exp {value}"), scene.with("exp", Some(value))));
        }
        for value in [json!(exp), json!(i64::MAX)] {
            tokens.push((format!("iat {value}, in the future"), scene.with("iat", Some(value))));
        }
        for value in [json!(exp), json!(i64::MAX), json!(exp.to_string()), json!(0.5), json!([0])] {
            tokens.push((format!("nbf {value}"), scene.with("nbf", Some(value))));
        }
        scene.assert_refused(tokens).await;
        assert_eq!(scene.status("GET", "/api/user", &scene.with("nbf", Some(json!(0)))).await, 200);
    });
}

#[test]
fn the_issuer_and_the_use_are_exact() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let issuer = &world.app.base_url;
        let mut tokens = Vec::new();
        for value in [
            json!("https://evil.example"),
            json!(format!("{issuer}/")),
            json!(issuer.to_uppercase()),
            json!([issuer]),
            json!(null),
            json!(""),
        ] {
            tokens.push((format!("iss {value}"), scene.with("iss", Some(value))));
        }
        for value in [json!("id"), json!("refresh"), json!("ACCESS"), json!(["access"])] {
            tokens.push((format!("token_use {value}"), scene.with("token_use", Some(value))));
        }
        for value in [json!(["demo-web"]), json!(["demo-web", "demo-cli"]), json!(1), json!(null)] {
            tokens.push((format!("aud {value}"), scene.with("aud", Some(value))));
        }
        for name in ["iss", "aud", "sub", "sid", "client_id", "jti", "scope", "token_use"] {
            tokens.push((format!("{name} missing"), scene.with(name, None)));
        }
        scene.assert_refused(tokens).await;
    });
}

#[test]
fn what_a_token_says_must_be_what_its_session_says() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let other = claims_of(&world.web_tokens("eve@example.com").await.access);
        let api = format!("{}/api", world.app.base_url);
        for (name, value) in [
            ("aud", json!("demo-cli")),
            ("aud", json!("demo")),
            ("aud", json!("demo-web ")),
            ("aud", json!(api)),
            ("client_id", json!("demo-cli")),
            ("sub", other["sub"].clone()),
            ("sid", other["sid"].clone()),
            ("sid", json!("01900000-0000-7000-8000-000000000001")),
            ("sid", json!("' OR 1=1--")),
        ] {
            let flaw = format!("{name} {value}");
            let token = scene.with(name, Some(value));
            assert_eq!(scene.status("GET", "/api/user", &token).await, 401, "{flaw}");
        }
    });
}

#[test]
fn rights_come_from_the_database() {
    run(async |world| {
        let scene = Scene::new(world).await;
        for (name, value) in [
            ("is_platform_owner", json!(true)),
            ("org", json!("platform")),
            ("email", json!("owner@example.com")),
            ("role", json!("owner")),
        ] {
            let token = scene.with(name, Some(value));
            let user = world.get("/api/user").bearer(&token).send().await.expect(200).json();
            assert_eq!(user["is_platform_owner"], false, "{name}");
            assert_eq!((&user["org"], &user["email"]), (&json!("demo"), &json!("ada@example.com")), "{name}");
        }
    });
}

#[test]
fn the_header_is_ours_to_the_letter() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let (claims, kid) = (scene.claims.to_string(), &scene.forge.key_id);
        let with = |member: &str| format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}",{member}}}"#);
        let of = |alg: &str, typ: &str, kid: &str| format!(r#"{{"alg":{alg},"typ":{typ},"kid":{kid}}}"#);
        let own = format!("\"{kid}\"");
        let mut headers = vec![
            with(r#""crit":["exp"]"#),
            with(r#""crit":["urn:unknown"],"urn:unknown":1"#),
            with(r#""b64":false,"crit":["b64"]"#),
            with(r#""zip":"DEF""#),
            with(r#""jku":"https://evil.example/jwks.json""#),
            with(r#""x5u":"https://evil.example/key.pem""#),
            with(r#""jwk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#),
            with(r#""x5c":[]"#),
            with(r#""cty":"JWT""#),
            with(r#""kid":"other""#),
            with(&format!(r#""kid":"{kid}""#)),
            with(r#""alg":"none""#),
            with(r#""typ":"at+jwt""#),
            r#"{"alg":"ES256","typ":"at+jwt"}"#.to_owned(),
            format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#),
            format!(r#"{{"typ":"at+jwt","kid":"{kid}"}}"#),
            "[]".to_owned(),
            "null".to_owned(),
            String::new(),
            "\u{0}".to_owned(),
        ];
        for alg in [r#""none""#, r#""HS256""#, r#""ES384""#, r#""RS256""#, r#""es256""#, "null", "256"] {
            headers.push(of(alg, r#""at+jwt""#, &own));
        }
        for typ in [r#""JWT""#, r#""jwt""#, r#""AT+JWT""#, r#""logout+jwt""#, "null", r#"["at+jwt"]"#] {
            headers.push(of(r#""ES256""#, typ, &own));
        }
        let long = format!("\"{}\"", "k".repeat(5000));
        for kid in [
            "null",
            "1",
            r#""""#,
            r#""unknown""#,
            r#""../../../../dev/null""#,
            r#""' OR 1=1--""#,
            r#""https://evil.example/key""#,
            r#""\u0000""#,
            "[]",
            long.as_str(),
        ] {
            headers.push(of(r#""ES256""#, r#""at+jwt""#, kid));
        }
        let tokens = headers.into_iter().map(|header| (header.clone(), scene.forge.sign(&header, &claims)));
        scene.assert_refused(tokens.collect()).await;
    });
}

#[test]
fn no_claim_stands_twice() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let claims = scene.claims.to_string();
        let again = |member: String| format!("{},{member}}}", claims.trim_end_matches('}'));
        let tokens = ["sub", "aud", "iss", "exp", "sid", "client_id", "email", "is_platform_owner", "org"]
            .map(|name| {
                // A member that is left out when false is put in twice.
                let value = scene.claims.get(name).cloned().unwrap_or(json!(true));
                let member = format!("\"{name}\":{value}");
                let claims = if scene.claims.get(name).is_some() {
                    again(member)
                } else {
                    again(format!("{member},{member}"))
                };
                (format!("{name} twice"), scene.forge.sign(&scene.forge.header(), &claims))
            });
        let mut tokens = tokens.to_vec();
        for claims in ["[]", "null", "1", "\"\"", "{}", "", "{", "\u{0}"] {
            tokens.push((claims.to_owned(), scene.forge.sign(&scene.forge.header(), claims)));
        }
        scene.assert_refused(tokens).await;
    });
}

#[test]
fn only_our_key_signs() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let kid = &scene.forge.key_id;
        let foreign = Forge::foreign(kid);
        let mut tokens = vec![("foreign key".to_owned(), foreign.access(&scene.claims))];

        // The public key, in every form in which it could be taken for a shared secret.
        let jwks = world.get("/.well-known/jwks.json").send().await.expect(200).json();
        let jwk = jwks["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == kid.as_str()).unwrap();
        let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
        let y = URL_SAFE_NO_PAD.decode(jwk["y"].as_str().unwrap()).unwrap();
        let point = [&[4], x.as_slice(), &y].concat();
        let secrets =
            [point, jwk.to_string().into_bytes(), jwk["x"].as_str().unwrap().as_bytes().to_vec(), Vec::new()];
        for secret in secrets {
            for alg in ["HS256", "ES256"] {
                let header = format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#);
                let input = format!(
                    "{}.{}",
                    URL_SAFE_NO_PAD.encode(header),
                    URL_SAFE_NO_PAD.encode(scene.claims.to_string())
                );
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
                let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
                tokens.push((format!("{alg} with a MAC under {} public bytes", secret.len()), token));
            }
        }

        let (input, _) = scene.genuine.rsplit_once('.').unwrap();
        for (flaw, signature) in [
            ("no signature", Vec::new()),
            ("r = s = 0", vec![0; 64]),
            ("r = s = 1", [[0; 31].as_slice(), &[1]].concat().repeat(2)),
            ("r and s of all ones", vec![0xff; 64]),
        ] {
            tokens.push((flaw.to_owned(), format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))));
        }
        scene.assert_refused(tokens).await;
    });
}

#[test]
fn a_token_has_one_spelling() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let token = &scene.genuine;
        let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts")
        };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let padded = |part: &str| URL_SAFE.encode(bytes(part));
        let spellings = [
            ("padded header", format!("{}.{body}.{signature}", padded(header) + "=")),
            ("padded signature", format!("{header}.{body}.{}", padded(signature))),
            ("spare bits", format!("{header}.{body}.{}", with_spare_bits(signature))),
            ("standard alphabet", format!("{header}.{body}.{}", STANDARD_NO_PAD.encode([0xfb; 64]))),
            ("trailing dot", format!("{token}.")),
            ("leading dot", format!(".{token}")),
            ("two parts", format!("{header}.{body}")),
            ("four parts", format!("{token}.{signature}")),
            ("five parts", format!("{token}.{signature}.{signature}")),
            ("no parts", "..".to_owned()),
            ("comma-joined", format!("{token},{token}")),
            ("second credentials", format!("{token}, Bearer {token}")),
            ("a blank inside", format!("{header}. {body}.{signature}")),
            ("a tab inside", format!("{header}.\t{body}.{signature}")),
            ("upper case", token.to_uppercase()),
            ("cut short", token[..token.len() - 1].to_owned()),
            ("too long", format!("{token}{}", "A".repeat(20_000))),
        ];
        let spellings = spellings.map(|(flaw, token)| (flaw.to_owned(), token));
        scene.assert_refused(spellings.to_vec()).await;
    });
}

/// The last character of base64 without padding carries bits that no byte owns; sets one of them.
fn with_spare_bits(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (last, rest) = part.as_bytes().split_last().unwrap();
    let index = ALPHABET.iter().position(|letter| letter == last).unwrap();
    let mut changed = rest.to_vec();
    changed.push(ALPHABET[index | 1]);
    let changed = String::from_utf8(changed).unwrap();
    assert_ne!(changed, part);
    changed
}

#[test]
fn no_other_kind_of_token_is_an_access_token() {
    run(async |world| {
        let scene = Scene::new(world).await;
        let tokens = world.web_tokens("ada@example.com").await;
        let as_id = scene.forge.header().replace("at+jwt", "JWT");
        let kinds = [
            ("id_token", tokens.id.clone()),
            ("refresh token", tokens.refresh.clone()),
            ("access claims typed as id_token", scene.forge.sign(&as_id, &scene.claims.to_string())),
            ("id claims typed as access token", scene.forge.access(&claims_of(&tokens.id))),
        ];
        let kinds = kinds.map(|(flaw, token)| (flaw.to_owned(), token));
        scene.assert_refused(kinds.to_vec()).await;

        for token in [&tokens.access, &tokens.id] {
            let form = [("refresh_token", token.as_str())];
            world.post("/api/auth/refresh").form(&form).send().await.expect_error(400, "INVALID_GRANT");
        }
        world.get("/api/user").bearer(&tokens.access).send().await.expect(200);
    });
}

#[test]
fn the_token_travels_in_one_header_and_nowhere_else() {
    run(async |world| {
        let token = world.web_tokens("ada@example.com").await.access;
        let with = async |value: String| world.get("/api/user").header("authorization", &value).send().await;
        // RFC 9110, section 11.1: the scheme's case does not matter. RFC 6750, section 2.1: one blank or more.
        for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer  "] {
            with(format!("{scheme}{token}")).await.expect(200);
        }
        for scheme in ["", "Bearer", "Bearer\t", "Basic ", "Token ", "DPoP "] {
            with(format!("{scheme}{token}")).await.expect(401);
        }
        for value in ["Bearer", "Bearer ", "Bearer  "] {
            with(value.to_owned()).await.expect_error(401, "UNAUTHORIZED");
        }

        // RFC 6750, section 3.1: more than one is a malformed request, also when both are the same.
        for second in [token.as_str(), "garbage"] {
            let request = world.get("/api/user").bearer(&token).bearer(second);
            request.send().await.expect_error(400, "BAD_REQUEST");
        }

        world.get(&format!("/api/user?access_token={token}")).send().await.expect(401);
        world.get("/api/user").header("cookie", &format!("access_token={token}")).send().await.expect(401);
        let form = [("access_token", token.as_str())];
        world.post("/api/auth/logout").form(&form).send().await.expect(401);
        world.get("/api/user").bearer(&token).send().await.expect(200);
    });
}
