//! Whole sign-ins, step by step, so that a test can stop between any two steps.

use url::Url;

use super::{Answer, Browser, PLATFORM_REDIRECT_URI, World, parameter};

/// The PKCE pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a client was given.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

impl Tokens {
    #[track_caller]
    pub(crate) fn from(answer: &Answer) -> Self {
        Self {
            access: answer.text("access_token"),
            refresh: answer.text("refresh_token"),
            id: answer.text("id_token"),
        }
    }
}

/// The query of a good authorization request.
pub(crate) fn authorize_query(redirect_uri: &str) -> String {
    let pairs = [
        ("redirect_uri", redirect_uri),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The form that exchanges a code.
pub(crate) fn redeem_form<'a>(
    client_id: &'a str,
    redirect_uri: &'a str,
    code: &'a str,
) -> [(&'static str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("code", code),
        ("code_verifier", VERIFIER),
    ]
}

/// A sign-in under way in a browser.
pub(crate) struct SignIn<'w> {
    world: &'w World,
    pub(crate) browser: Browser,
    /// The provider's own address for this sign-in.
    provider_url: Url,
}

impl<'w> SignIn<'w> {
    /// Leaves for the provider from `target`.
    pub(crate) async fn begin(world: &'w World, target: &str) -> Self {
        Self::begin_in(world, Browser::default(), target).await
    }

    /// The same in a browser that has been here before.
    pub(crate) async fn begin_in(world: &'w World, mut browser: Browser, target: &str) -> Self {
        let provider_url = browser.get(world, target).await.expect(303).location();
        Self { world, browser, provider_url }
    }

    /// To the demo web app.
    pub(crate) async fn web(world: &'w World) -> Self {
        let query = authorize_query(&world.web_redirect_uri());
        Self::begin(world, &format!("/auth/dev?org=demo&service=web&{query}")).await
    }

    /// Fills in the provider's form; returns the callback that the browser is sent to.
    pub(crate) async fn at_provider(&mut self, email: &str) -> String {
        let mut form: Vec<(String, String)> = self.provider_url.query_pairs().into_owned().collect();
        for (name, value) in [("email", email), ("email_verified", "true"), ("decision", "sign_in")] {
            form.push((name.to_owned(), value.to_owned()));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = self.browser.post(self.world, "/dev/provider/authorize", &form).await;
        let callback = answer.expect(303).location();
        format!("{}?{}", callback.path(), callback.query().unwrap())
    }

    /// Comes back from the provider.
    pub(crate) async fn come_back(&mut self, callback: &str) -> Answer {
        self.browser.get(self.world, callback).await
    }

    /// All steps up to the code that the app receives.
    pub(crate) async fn code(mut self, email: &str) -> String {
        let callback = self.at_provider(email).await;
        let back = self.come_back(&callback).await.expect(303).location();
        parameter(&back, "code").unwrap()
    }
}

impl World {
    /// The tokens of an end user of the demo organization, by the browser.
    pub(crate) async fn web_tokens(&self, email: &str) -> Tokens {
        let code = SignIn::web(self).await.code(email).await;
        self.redeem("demo-web", &self.web_redirect_uri(), &code).await
    }

    /// The tokens of a user of the platform realm.
    pub(crate) async fn platform_tokens(&self, email: &str) -> Tokens {
        let target = format!("/auth/admin/dev?{}", authorize_query(PLATFORM_REDIRECT_URI));
        let code = SignIn::begin(self, &target).await.code(email).await;
        self.redeem("platform-admin-cli", PLATFORM_REDIRECT_URI, &code).await
    }

    pub(crate) async fn redeem(&self, client_id: &str, redirect_uri: &str, code: &str) -> Tokens {
        let form = redeem_form(client_id, redirect_uri, code);
        Tokens::from(&self.post("/auth/token").form(&form).send().await.expect(200))
    }

    /// The tokens of an end user of the demo organization, by a terminal.
    pub(crate) async fn device_tokens(&self, email: &str) -> Tokens {
        let device = Device::begin(self).await;
        device.decide(self, email, "approve").await.expect(200);
        Tokens::from(&device.poll(self).await.expect(200))
    }
}

/// A terminal that asked for a code.
pub(crate) struct Device {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

impl Device {
    pub(crate) async fn begin(world: &World) -> Self {
        let answer = world.post("/auth/device/code").form(&[("client_id", "demo-cli")]).send().await;
        let answer = answer.expect(200);
        Self { device_code: answer.text("device_code"), user_code: answer.text("user_code") }
    }

    pub(crate) async fn poll(&self, world: &World) -> Answer {
        let form =
            [("grant_type", DEVICE_GRANT), ("client_id", "demo-cli"), ("device_code", &self.device_code)];
        world.post("/auth/token").form(&form).send().await
    }

    /// Signs in with the code, up to the page that asks for the decision.
    pub(crate) async fn claim(&self, world: &World, email: &str) -> (Browser, String) {
        let target = format!("/auth/dev?org=demo&service=cli&user_code={}", self.user_code);
        let mut sign_in = SignIn::begin(world, &target).await;
        let callback = sign_in.at_provider(email).await;
        sign_in.come_back(&callback).await.expect(303);
        let page = sign_in.browser.get(world, "/activate/confirm").await.expect(200);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").unwrap();
        let csrf = rest.split_once('"').unwrap().0.to_owned();
        (sign_in.browser, csrf)
    }

    pub(crate) async fn decide(&self, world: &World, email: &str, decision: &str) -> Answer {
        let (mut browser, csrf) = self.claim(world, email).await;
        browser.post(world, "/activate/confirm", &[("csrf", &csrf), ("decision", decision)]).await
    }
}
