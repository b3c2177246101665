//! A running application.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use actix_web::rt::System;
use actix_web::web::Data;
use gatehouse::config::{Config, Mode, Source};
use gatehouse::server::Running;
use gatehouse::state::App;
use gatehouse_actors::clock::{Millis, TestClock};
use gatehouse_actors::engine::{Statement, WriteTx};
use gatehouse_actors::error::OpError;
use gatehouse_actors::message::WriteOp;
use gatehouse_actors::values;
use tempfile::TempDir;

use super::Request;

/// When every test begins: 2027-01-15T08:00:00Z.
const BEGINNING: Millis = 1_800_000_000_000;

/// Where platform sign-ins end.
pub(crate) const PLATFORM_REDIRECT_URI: &str = "http://127.0.0.1/platform";

const DEV: &[(&str, &str)] = &[
    ("SERVER_PORT", "0"),
    ("HTTP_WORKERS", "1"),
    ("PLATFORM_ADMIN_REDIRECT_URI", PLATFORM_REDIRECT_URI),
    ("PLATFORM_OWNER_EMAIL", "owner@example.com"),
    // A provider that does not answer: nobody listens on the discard port.
    ("OIDC_ISSUER", "http://127.0.0.1:9"),
    ("OIDC_CLIENT_ID", "gatehouse"),
    ("OIDC_CLIENT_SECRET", "secret of the stand-in"),
];

const PRODUCTION: &[(&str, &str)] = &[
    ("SERVER_PORT", "0"),
    ("SERVER_HOST", "127.0.0.1"),
    ("HTTP_WORKERS", "1"),
    ("BASE_URL", "https://id.example.com"),
    ("DATABASE_URL", "sqlite:gatehouse.db"),
    ("JWT_SECRET", "Vt7mQ2xKc9Rw4LzP0aYb8NdHs3JfGu6E"),
    ("PLATFORM_ADMIN_REDIRECT_URI", PLATFORM_REDIRECT_URI),
    ("PLATFORM_OIDC_CLIENT_ID", "gatehouse"),
    ("PLATFORM_OIDC_CLIENT_SECRET", "secret of the stand-in"),
];

struct Settings<'a> {
    folder: &'a Path,
    values: BTreeMap<&'static str, String>,
}

impl Source for Settings<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn folder(&self) -> &Path {
        self.folder
    }
}

/// A running application with a fresh database, and the strings to pull.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) app: Data<App>,
    http: awc::Client,
    running: Running,
    _folder: TempDir,
}

/// Runs a test against the application in dev mode.
pub(crate) fn run(test: impl AsyncFnOnce(&World)) {
    System::new().block_on(async {
        let world = World::dev().await;
        test(&world).await;
        world.stop().await;
    });
}

/// Runs a test against the application in dev mode, with the limits that production has but for those of `rates`.
pub(crate) fn run_limited(rates: &str, test: impl AsyncFnOnce(&World)) {
    System::new().block_on(async {
        let world = World::start(Mode::Dev, DEV, Some(("RATE_LIMITS", rates.to_owned()))).await;
        test(&world).await;
        world.stop().await;
    });
}

/// Runs a test against a deployment with these settings beside what it must have.
pub(crate) fn run_deployed(settings: &[(&'static str, &str)], test: impl AsyncFnOnce(&World)) {
    System::new().block_on(async {
        let issuer = ("OIDC_ISSUER", "https://provider.example.com".to_owned());
        let all: Vec<_> = PRODUCTION.iter().chain(settings).copied().collect();
        let world = World::start(Mode::Production, &all, Some(issuer)).await;
        test(&world).await;
        world.stop().await;
    });
}

/// Runs a test against the application as it is deployed behind TLS. Its provider is that of a dev mode beside it.
pub(crate) fn run_production(test: impl AsyncFnOnce(&World)) {
    System::new().block_on(async {
        let upstream = World::dev().await;
        let issuer = format!("{}/dev/provider", upstream.app.base_url);
        let world = World::start(Mode::Production, PRODUCTION, Some(("OIDC_ISSUER", issuer))).await;
        test(&world).await;
        world.stop().await;
        upstream.stop().await;
    });
}

impl World {
    /// The application in dev mode. Must be called inside an actix `System`.
    pub(crate) async fn dev() -> Self {
        Self::start(Mode::Dev, DEV, None).await
    }

    async fn start(
        mode: Mode,
        settings: &[(&'static str, &str)],
        setting: Option<(&'static str, String)>,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let settings = Settings { folder: folder.path(), values: settings.chain(setting).collect() };
        let config = Config::load(&settings, mode).unwrap();
        let clock = Arc::new(TestClock::at(BEGINNING));
        let running = gatehouse::start(config, clock.clone()).await.unwrap();
        let http = awc::Client::builder().disable_redirects().disable_timeout().finish();
        Self { clock, app: running.app(), http, running, _folder: folder }
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// The address that the server listens on, whatever its issuer is.
    pub(crate) fn address(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.running.port)
    }

    /// The redirect URI of the demo app.
    pub(crate) fn web_redirect_uri(&self) -> String {
        format!("{}/dev/callback", self.app.base_url)
    }

    pub(crate) fn advance(&self, millis: Millis) {
        self.clock.advance(millis);
    }

    pub(crate) fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    pub(crate) fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        let method = method.parse().unwrap();
        Request::new(self.http.request(method, self.address(target)))
    }

    /// Suspends the demo organization, or lets it in again. Stands in for the platform's own route, which is to come.
    pub(crate) async fn set_status(&self, org_slug: &'static str, status: &'static str) {
        self.app.store.write(SetStatus { org_slug, status }).await.unwrap();
    }
}

struct SetStatus {
    org_slug: &'static str,
    status: &'static str,
}

const SET_STATUS: Statement =
    Statement { name: "SET_STATUS", sql: "UPDATE organizations SET status = $1 WHERE slug = $2" };

impl WriteOp for SetStatus {
    type Output = ();
    type Refused = ();

    fn apply(&self, tx: &mut WriteTx<'_>) -> Result<(), OpError<()>> {
        assert_eq!(tx.execute(&SET_STATUS, values![self.status, self.org_slug])?, 1);
        Ok(())
    }
}
