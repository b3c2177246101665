//! The steps of one web sign-in, through the provider that dev mode has inside the binary:
//!
//! ```text
//! GET  /auth/dev                 state and PKCE of the app ──> redirect to the provider
//! GET  /dev/provider/authorize   ──> a page with a form
//! POST /dev/provider/authorize   e-mail address and name ──> redirect back with the provider's code
//! GET  /auth/dev/callback        (the service asks the provider for its tokens) ──> redirect to the app with a code
//! POST /auth/token               code and verifier ──> the tokens
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form_urlencoded::Serializer;
use hyper::StatusCode;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::Failure;
use super::browser::Browser;

/// Where the app would listen. Nobody does: the redirect to it is read, never followed.
const APP: &str = "http://127.0.0.1:54321/callback";
const CLIENT: &str = "demo-web";
const PROVIDER_PAGE: &str = "/dev/provider/authorize";

/// Somebody who signs in over and over, each time as in a fresh browser.
pub struct Person {
    email: String,
    browser: Browser,
    random: SystemRandom,
}

impl Person {
    pub fn new(number: usize, browser: Browser) -> Self {
        Self { email: format!("bench-{number}@bench.test"), browser, random: SystemRandom::new() }
    }

    /// A whole sign-in, from the app's link to the app's tokens.
    pub async fn sign_in(&mut self) -> Result<(), Failure> {
        self.browser.forget();
        let attempt = Attempt { state: self.random_text()?, verifier: self.random_text()? };
        let at_provider = self.leave(&attempt).await?;
        let back = self.sign_in_at_provider(&at_provider).await?;
        let code = self.come_back(&back, &attempt).await?;
        self.exchange(&code, &attempt).await
    }

    /// Starts as the app's link does; the address at the provider.
    async fn leave(&mut self, attempt: &Attempt) -> Result<String, Failure> {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, attempt.verifier.as_bytes()));
        let query = form(&[
            ("org", "demo"),
            ("service", "web"),
            ("redirect_uri", APP),
            ("state", &attempt.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let answer = self.browser.get("start", &format!("/auth/dev?{query}"), StatusCode::SEE_OTHER).await?;
        Ok(answer.location)
    }

    /// Fills the provider's form and sends it; the address that leads back.
    async fn sign_in_at_provider(&mut self, address: &str) -> Result<String, Failure> {
        let page = self.browser.get("the provider's page", address, StatusCode::OK).await?;
        let html =
            std::str::from_utf8(&page.body).map_err(|error| Failure::new("the provider's page", error))?;
        let mut fields = hidden_fields(html)?;
        fields.extend([
            ("email", self.email.as_str()),
            ("name", "Bench"),
            ("email_verified", "true"),
            ("decision", "sign_in"),
        ]);
        let step = "the provider's form";
        let answer = self.browser.submit(step, PROVIDER_PAGE, form(&fields), StatusCode::SEE_OTHER).await?;
        Ok(answer.location)
    }

    /// Follows the provider's redirect; the code that the service sends to the app.
    async fn come_back(&mut self, address: &str, attempt: &Attempt) -> Result<String, Failure> {
        let answer = self.browser.get("callback", address, StatusCode::SEE_OTHER).await?;
        let wrong = |problem: &str| Failure::new("callback", format_args!("{problem}: {}", answer.location));
        let query = answer.location.strip_prefix(APP).and_then(|rest| rest.strip_prefix('?'));
        let query = query.ok_or_else(|| wrong("no redirect to the app"))?;
        let (mut code, mut state, mut issuer) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => code = Some(value.into_owned()),
                "state" => state = Some(value),
                "iss" => issuer = Some(value),
                _ => return Err(wrong("the app gets more than code, state and iss")),
            }
        }
        if state.as_deref() != Some(&attempt.state) {
            return Err(wrong("another state than the app's"));
        }
        if issuer.as_deref() != Some(self.browser.origin()) {
            return Err(wrong("another issuer"));
        }
        code.ok_or_else(|| wrong("no code"))
    }

    /// The app exchanges its code for tokens.
    async fn exchange(&mut self, code: &str, attempt: &Attempt) -> Result<(), Failure> {
        let body = form(&[
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("code", code),
            ("redirect_uri", APP),
            ("code_verifier", &attempt.verifier),
        ]);
        let step = "code exchange";
        let answer = self.browser.post_as_app(step, "/auth/token", body, StatusCode::OK).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let has = |member: &str| text.contains(&format!("\"{member}\":\""));
        if has("access_token") && has("refresh_token") {
            Ok(())
        } else {
            Err(Failure::new(step, "an answer without an access token or a refresh token"))
        }
    }

    fn random_text(&self) -> Result<String, Failure> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| Failure::new("start", "no randomness"))?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// What the app keeps between its link and its tokens.
struct Attempt {
    state: String,
    verifier: String,
}

fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Names and values of the hidden fields of the provider's page, in their order.
fn hidden_fields(html: &str) -> Result<Vec<(&str, &str)>, Failure> {
    let mut fields = Vec::new();
    for rest in html.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, value) = rest
            .split_once("\" value=\"")
            .and_then(|(name, rest)| Some((name, rest.split_once('"')?.0)))
            .ok_or_else(|| Failure::new("the provider's page", "a hidden field that cannot be read"))?;
        // Nothing that a sign-in carries has to be escaped in HTML, so nothing here unescapes it.
        if value.contains('&') {
            return Err(Failure::new("the provider's page", format_args!("{name} is escaped")));
        }
        fields.push((name, value));
    }
    if fields.is_empty() {
        return Err(Failure::new("the provider's page", "no form"));
    }
    Ok(fields)
}
