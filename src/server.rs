//! From a configuration to a running server, and back down in good order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::App as ActixApp;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatehouse_actors::clock::Clock;
use gatehouse_actors::data::device_codes::CountLiveDeviceCodes;
use gatehouse_actors::data::installation::{ClaimMode, OtherMode};
use gatehouse_actors::engine::EngineSettings;
use gatehouse_actors::error::{OpError, StoreError};
use gatehouse_actors::faults::NoFaults;
use gatehouse_actors::guard::DeathBell;
use gatehouse_actors::housekeeper::Housekeeping;
use gatehouse_actors::store::Store;
use gatehouse_actors::stripe_event_actor::StripeSettings;
use gatehouse_actors::system::{ActorSystem, Ports, StartError as ActorsError};
use rustls::ServerConfig;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::configure;
use crate::config::provider::{ProviderEndpoints, ProviderKind, ProviderSettings};
use crate::config::secret::Secret;
use crate::config::{Config, Mode};
use crate::crypto::jwt::KeyError;
use crate::crypto::random::Random;
use crate::crypto::reseal;
use crate::crypto::root::RootKeys;
use crate::crypto::token::Mint;
use crate::delivery;
use crate::dev;
use crate::dev::provider::{CLIENT_ID, DevProvider, DevProviderError, MOUNT_PATH};
use crate::drain::{self, Door, StopSignals, Traffic};
use crate::edge::{self, certificate, renewal};
use crate::http::connection::OwnClients;
use crate::http::cookie::CookieJar;
use crate::http::dpop::UsedProofs;
use crate::http::last_used::LastUsed;
use crate::http::overload::{self, Overload};
use crate::http::{body, cors, dialect, headers, observe, throttle};
use crate::key_keeper;
use crate::mail::{MailRoom, Mailer};
use crate::metrics::{Meters, endpoint};
use crate::state::{App, Providers};
use crate::stripe::{StripeKeys, port_factory};
use crate::throttle::connections::Connections;
use crate::throttle::guesses::{Guesses, LIVE_CODES};
use crate::throttle::limits::Limits;
use crate::throttle::pacing::Pacing;
use crate::throttle::streams::Streams;
use crate::upstream::{AddressPolicy, GuardedClient, HttpClient, Provider, install_crypto_provider};
use crate::vault::{self, Vault};

/// How long the end of a stop may take, after requests are finished. A disk that hangs would hold it up for ever.
const LONGEST_FLUSH: Duration = Duration::from_secs(20);
/// Reader connections of the fast lane.
const READERS: u32 = 2;

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; set SERVER_HOST and SERVER_PORT to a free address")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The address for scrapers is taken or not ours.
    #[error("cannot listen on {address}: {source}; set METRICS_ADDR to a free address, or unset it")]
    BindMetrics {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Something could not be counted.
    #[error("cannot count: {0}")]
    Meters(#[from] prometheus::Error),
    /// The actors did not start.
    #[error(transparent)]
    Actors(#[from] ActorsError),
    /// The first reads or writes failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database belongs to the other mode.
    #[error(
        "this database is for {found} mode and cannot be opened in {mode} mode: set DATABASE_URL to another file"
    )]
    OtherMode {
        /// What it is for.
        found: String,
        /// How it was to be opened.
        mode: &'static str,
    },
    /// The signing keys could not be made ready.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The dev provider could not be made.
    #[error("cannot make the dev provider: {0}")]
    DevProvider(#[from] DevProviderError),
}

/// Why the server stopped other than by being asked.
#[derive(Debug, Error)]
pub enum RunError {
    /// A vital actor died; the process drained and should be started again.
    #[error("the {0} died")]
    ActorDied(&'static str),
    /// The disk hangs: what was not answered yet is not written.
    #[error("the disk did not take the last writes in time; everything that was answered is on it")]
    NotFlushed,
    /// The listening side failed.
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A running server.
pub struct Running {
    /// The issuer.
    pub base_url: String,
    /// The bound port.
    pub port: u16,
    app: Data<App>,
    server: JoinHandle<std::io::Result<()>>,
    keeper: JoinHandle<()>,
    handle: ServerHandle,
    scrapers: Option<ServerHandle>,
    door: Door,
    actors: ActorSystem,
    mail_room: Option<MailRoom>,
    bell: DeathBell,
}

/// Starts everything. Must be called inside an actix `System`.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    install_crypto_provider();
    let address = SocketAddr::new(config.host, config.port);
    let bind = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(bind)?;
    let port = listener.local_addr().map_err(bind)?.port();
    let scrapers = scrapers_door(&config)?;
    let base_url = config.base_url.as_ref().map_or_else(
        || format!("http://{}", SocketAddr::new(config.host, port)),
        |url| url.as_str().trim_end_matches('/').to_owned(),
    );

    let random = Random::default();
    let keys = RootKeys::of(&config);
    let mut actors = start_actors(&config, &random, &keys, &clock)?;
    let store = actors.store();
    claim_mode(&store, config.mode).await?;
    let signing_keys = key_keeper::open(&store, &keys.signing_keys, &random, &clock).await?;
    let dev_secret = Secret::new(URL_SAFE_NO_PAD.encode(random.bytes::<32>()));
    let dev_provider = match config.mode {
        Mode::Dev => {
            let owner = config.platform_owner_email.as_deref();
            store
                .write(dev::seed::organization(&random, &base_url, owner, clock.now()))
                .await
                .map_err(unrefused)?;
            Some(dev_provider(&base_url, &dev_secret, &clock)?)
        }
        Mode::Production => None,
    };
    // The ring is derived once more: the actor seals on a thread of its own.
    let resealing = reseal::columns(&Arc::new(RootKeys::of(&config)), &random);
    let question = CountLiveDeviceCodes { most: LIVE_CODES.cast_signed(), now: clock.now() };
    let live_codes = store.read(question).await?;
    let mail_room = config.mail.as_ref().map(|settings| MailRoom::open(settings, &base_url));
    let app = Data::new(App {
        cookies: CookieJar { secure: base_url.starts_with("https:") },
        providers: providers(&config, &config.providers, &base_url, &dev_secret),
        platform_providers: providers(&config, &config.platform_providers, &base_url, &dev_secret),
        own_clients: OwnClients::default(),
        vault: Vault::default(),
        pacing: Pacing::default(),
        guesses: Guesses::with_live_codes(u64::try_from(live_codes).unwrap_or_default(), clock.now()),
        limits: Limits::new(&config.limits.quotas),
        connections: Connections::new(
            edge::capacity(config.limits.connections),
            config.limits.connections_of_address,
        ),
        used_proofs: UsedProofs::default(),
        stripe_keys: stripe_keys(&config),
        last_used: LastUsed::default(),
        event_streams: Streams::default(),
        mailer: mail_room.as_ref().map_or_else(Mailer::off, MailRoom::mailer),
        meters: Meters::new(&store)?,
        overload: Overload::default(),
        draining: AtomicBool::new(false),
        traffic: Traffic::default(),
        base_url: base_url.clone(),
        config,
        clock,
        random,
        keys,
        signing_keys,
        store,
    });
    let port_factory = delivery::port(app.clone(), address_policy(app.config.mode));
    actors.deliver_through(port_factory, Arc::clone(&app.clock)).await;
    actors
        .refresh_through(vault::ahead::port(app.clone(), address_policy(app.config.mode)), app.clock.clone());
    if let Some(plan) = app.config.backup.plan(Arc::clone(&app.clock)) {
        actors.back_up(app.config.database_path.clone(), plan);
    }
    actors.reseal(resealing);
    let door = Door::of(&listener).map_err(bind)?;
    let tls = app.config.tls.clone().map(certificate::server_config).transpose()?;
    if let Some(shown) = &app.config.tls {
        renewal::announce(shown, app.clock.now());
    }
    let server = serve(app.clone(), dev_provider, listener, tls).map_err(bind)?;
    let handle = server.handle();
    log::info!(url = base_url.as_str(), port = port, mode:? = app.config.mode; "listening");
    let scrapers = scrapers.map(|listener| serve_scrapers(&app, listener)).transpose()?;
    let bell = actors.death_bell();
    let (of_keys, of_certificate) = (key_keeper::keep(app.clone()), renewal::keep(app.clone()));
    let of_overload = overload::keep(app.clone());
    let keeper = tokio::task::spawn_local(async { tokio::join!(of_keys, of_certificate, of_overload).1 });
    Ok(Running {
        base_url,
        port,
        app,
        server: tokio::task::spawn_local(server),
        keeper,
        handle,
        scrapers,
        door,
        actors,
        mail_room,
        bell,
    })
}

/// Starts the actors alone: for `start`, and for commands that work on a database that nobody serves.
pub(crate) fn start_actors(
    config: &Config,
    random: &Random,
    keys: &RootKeys,
    clock: &Arc<dyn Clock>,
) -> Result<ActorSystem, ActorsError> {
    let settings = EngineSettings { path: config.database_path.clone(), readers_per_lane: READERS };
    let mint = Mint { random: random.clone(), user_codes: keys.user_codes.clone() };
    let housekeeping = Housekeeping {
        clock: Arc::clone(clock),
        login_event_days: config.login_event_retention_days,
        stripe_event_days: config.stripe_event_retention_days,
    };
    let ports = Ports {
        device_code_mint: Arc::new(mint),
        stripe: stripe_settings(config, clock),
        faults: Arc::new(NoFaults),
        housekeeping,
    };
    ActorSystem::start(&settings, ports)
}

/// The ring is derived once more: the actor opens keys on a thread of its own.
fn stripe_keys(config: &Config) -> StripeKeys {
    StripeKeys::new(&config.billing, Arc::new(RootKeys::of(config).stored_secrets))
}

fn stripe_settings(config: &Config, clock: &Arc<dyn Clock>) -> StripeSettings {
    StripeSettings {
        port: port_factory(stripe_keys(config), config.billing.api_base.clone()),
        clock: Arc::clone(clock),
        rules: config.billing.rules(),
    }
}

/// Binds the address for scrapers before anything is started: a start that cannot keep its promises leaves nothing.
fn scrapers_door(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config.metrics.address else { return Ok(None) };
    let listener = TcpListener::bind(address);
    listener.map(Some).map_err(|source| StartError::BindMetrics { address, source })
}

fn serve_scrapers(app: &Data<App>, listener: TcpListener) -> Result<ServerHandle, StartError> {
    let failed = |source, address| StartError::BindMetrics { address, source };
    let unknown = SocketAddr::new(app.config.host, 0);
    let address = listener.local_addr().map_err(|source| failed(source, unknown))?;
    let server = endpoint::serve(app.clone(), listener).map_err(|source| failed(source, address))?;
    let handle = server.handle();
    tokio::task::spawn_local(server);
    log::info!(url:% = format!("http://{address}/metrics"); "figures are shown");
    Ok(handle)
}

/// A database is for dev mode or for real, never for both.
async fn claim_mode(store: &Store, mode: Mode) -> Result<(), StartError> {
    let mode = match mode {
        Mode::Dev => "dev",
        Mode::Production => "production",
    };
    store.write(ClaimMode { mode }).await.map_err(|error| match error {
        OpError::Refused(OtherMode(found)) => StartError::OtherMode { found, mode },
        OpError::Store(error) => error.into(),
    })
}

fn dev_provider(
    base_url: &str,
    secret: &Secret<String>,
    clock: &Arc<dyn Clock>,
) -> Result<Data<DevProvider>, StartError> {
    let callbacks =
        vec![format!("{base_url}/auth/dev/callback"), format!("{base_url}/auth/admin/dev/callback")];
    let issuer = format!("{base_url}{MOUNT_PATH}");
    Ok(Data::new(DevProvider::new(issuer, secret.clone(), callbacks, Arc::clone(clock))?))
}

/// For operations that refuse nothing.
pub(crate) fn unrefused(error: OpError<()>) -> StoreError {
    match error {
        OpError::Store(error) => error,
        OpError::Refused(()) => StoreError::Failed("refused at start".to_owned()),
    }
}

/// The configured providers of a realm, and in dev mode the one inside the binary.
fn providers(
    config: &Config,
    configured: &BTreeMap<ProviderKind, ProviderSettings>,
    base_url: &str,
    dev_secret: &Secret<String>,
) -> Providers {
    let inside = (config.mode == Mode::Dev).then(|| ProviderSettings {
        kind: ProviderKind::Dev,
        endpoints: ProviderEndpoints::OpenId { issuer: format!("{base_url}{MOUNT_PATH}") },
        client_id: CLIENT_ID.to_owned(),
        client_secret: dev_secret.clone(),
    });
    let all = configured.values().cloned().chain(inside);
    all.map(|settings| (settings.kind, Arc::new(Provider::new(settings)))).collect()
}

/// Where tenants may send us: never to this machine, unless everybody who can reach us is on it.
fn address_policy(mode: Mode) -> AddressPolicy {
    match mode {
        Mode::Dev => AddressPolicy::PublicOrLoopback,
        Mode::Production => AddressPolicy::Public,
    }
}

fn serve(
    app: Data<App>,
    dev_provider: Option<Data<DevProvider>>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
) -> std::io::Result<actix_web::dev::Server> {
    let reach = address_policy(app.config.mode);
    let of_edge = app.clone();
    let factory = move || {
        ActixApp::new()
            .app_data(app.clone())
            .app_data(HttpClient::new())
            .app_data(GuardedClient::new(reach))
            .wrap(from_fn(throttle::at_the_door))
            .wrap(from_fn(cors::answers))
            .wrap(from_fn(headers::defaults))
            .wrap(from_fn(observe::request_line))
            .wrap(from_fn(dialect::render_errors))
            .wrap(from_fn(body::bounded))
            .wrap(from_fn(drain::farewell))
            .configure(|cfg| configure(cfg, &app.meters.requests, dev_provider.clone()))
    };
    edge::serve(of_edge, listener, tls, factory)
}

impl Running {
    /// What the handlers share, for who has to look inside a running server.
    #[must_use]
    pub fn app(&self) -> Data<App> {
        self.app.clone()
    }

    /// Stops at once: requests in flight are cut off, what was written is flushed.
    pub async fn stop(self) {
        self.app.draining.store(true, Ordering::Relaxed);
        self.keeper.abort();
        self.app.event_streams.close();
        self.handle.stop(false).await;
        if let Some(scrapers) = &self.scrapers {
            scrapers.stop(false).await;
        }
        self.app.last_used.flush(&self.app.store).await;
        self.actors.stop().await;
    }

    /// Runs until a signal asks to stop or a vital actor dies, then drains (see [`crate::drain`]) and flushes the
    /// actors. A second signal cuts it short.
    pub async fn finished(self, mut signals: StopSignals) -> Result<(), RunError> {
        let Self { app, server, keeper, handle, scrapers, door, actors, mail_room, bell, .. } = self;
        let mut server = server;
        let dead = tokio::select! {
            outcome = &mut server => {
                flatten(outcome)?;
                None
            }
            signal = signals.next() => {
                log::info!(step = "signal", signal = signal; "stopping");
                None
            }
            actor = bell.rung() => Some(actor),
        };
        app.draining.store(true, Ordering::Relaxed);
        keeper.abort();
        app.event_streams.close();
        if !server.is_finished() {
            drain::in_good_order(&app.traffic, &door, (&handle, server), &mut signals).await;
        }
        if let Some(mail_room) = mail_room {
            mail_room.close().await;
        }
        if let Some(scrapers) = scrapers {
            scrapers.stop(false).await;
        }
        let flush = async {
            app.last_used.flush(&app.store).await;
            actors.stop().await;
        };
        app.overload.conclude();
        timeout(LONGEST_FLUSH, flush).await.map_err(|_| RunError::NotFlushed)?;
        log::info!(step = "done"; "stopping");
        dead.map_or(Ok(()), |actor| Err(RunError::ActorDied(actor)))
    }
}

fn flatten(outcome: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<(), std::io::Error> {
    outcome.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}
