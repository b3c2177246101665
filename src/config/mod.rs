//! Configuration: everything from the environment and `.env`, parsed into types.
//!
//! ```text
//! Environment::read -> Reader (raw text, NAME_FILE) -> network | strength | clients (typed) -> Config
//!                              every complaint on the way -> Problems, shown all at once
//! ```

pub mod backup;
pub mod billing;
mod clients;
mod dev_secrets;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub mod keys;
pub mod limits;
pub mod mail;
mod network;
mod number;
mod problems;
pub mod provider;
mod reader;
pub mod secret;
mod source;
mod strength;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use url::Url;

use crate::edge::certificate::Shown;
use backup::BackupSettings;
use billing::BillingSettings;
use limits::LimitSettings;
use mail::MailSettings;
use number::number;
use problems::Wrong;
use provider::{ProviderEndpoints, ProviderKind, ProviderSettings};
use reader::Reader;
use secret::Secret;

pub use network::{is_confidential, is_loopback, without_trailing_slash};
pub use problems::{Problem, Problems};
pub use source::{Environment, Source};

/// The folder that dev mode keeps its secrets and its database in.
const DEV_FOLDER: &str = "data";
/// The platform owner of dev mode, unless `PLATFORM_OWNER_EMAIL` names another.
const DEV_PLATFORM_OWNER: &str = "admin@example.com";

/// What the service is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `serve`: nothing is assumed, every secret is given.
    Production,
    /// `serve --dev`: loopback only, secrets are created, demo data and the dev provider exist.
    Dev,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// logfmt, for people.
    #[default]
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Directives in the syntax of `RUST_LOG`.
    pub filter: String,
    /// How log lines look.
    pub format: LogFormat,
}

/// Where figures are shown, and to whom.
#[derive(Debug, Clone, Default)]
pub struct MetricsSettings {
    /// The address that is for scrapers alone.
    pub address: Option<SocketAddr>,
    /// What a scraper must present.
    pub token: Option<Secret<String>>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info,actix_server=warn".to_owned(), format: LogFormat::Text }
    }
}

/// Everything that the service needs to know before it starts, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the service is started for.
    pub mode: Mode,
    /// The `SQLite` file. It need not exist yet.
    pub database_path: PathBuf,
    /// The secret from which all keys are derived that are not given.
    pub root_secret: Secret<Vec<u8>>,
    /// The root secret before it, under which data may still be sealed.
    pub previous_root_secret: Option<Secret<Vec<u8>>>,
    /// How old a signing key becomes before another takes over, in days; 0: as old as the operator lets it.
    pub key_rotation_days: u16,
    /// Keys of 32 bytes that seal stored secrets: the first one seals, all open. Empty: derive one.
    pub encryption_keys: Vec<Secret<Vec<u8>>>,
    /// The public address. None in dev mode only: `http://127.0.0.1:PORT` with the port that was bound.
    pub base_url: Option<Url>,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 lets the system choose.
    pub port: u16,
    /// The certificate that connections to it are shown. None: it is plain HTTP.
    pub tls: Option<Arc<Shown>>,
    /// How many threads answer requests.
    pub workers: usize,
    /// Provider applications that end users of organizations sign in through.
    pub providers: BTreeMap<ProviderKind, ProviderSettings>,
    /// Provider applications of the platform realm.
    pub platform_providers: BTreeMap<ProviderKind, ProviderSettings>,
    /// Where each provider lives, whether or not an application is configured for it.
    pub provider_endpoints: BTreeMap<ProviderKind, ProviderEndpoints>,
    /// Who becomes the platform owner by a first, verified sign-in. Lower case.
    pub platform_owner_email: Option<String>,
    /// Where a platform sign-in ends that names no redirect URI.
    pub platform_admin_redirect_uri: Option<String>,
    /// The platform administrators' own activation page.
    pub platform_device_activation_uri: Option<String>,
    /// Web origins whose scripts may call the API, as browsers write them.
    pub cors_allowed_origins: Vec<String>,
    /// Peers whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// How much is let in.
    pub limits: LimitSettings,
    /// The mail server; none means that no mail is sent.
    pub mail: Option<MailSettings>,
    /// How many whole days login events are kept, beside today.
    pub login_event_retention_days: i64,
    /// How many days Stripe's events are kept after they were worked off.
    pub stripe_event_retention_days: i64,
    /// The platform's Stripe account.
    pub billing: BillingSettings,
    /// Backups.
    pub backup: BackupSettings,
    /// Where figures are shown, and to whom.
    pub metrics: MetricsSettings,
    /// What is logged, and how.
    pub log: LogSettings,
}

impl Config {
    /// Reads and checks all settings. In dev mode, missing secrets are created below `data/`.
    pub fn load(source: &dyn Source, mode: Mode) -> Result<Self, Problems> {
        Self::read(source, mode, MissingSecrets::Create)
    }

    /// The same as [`Config::load`], but creates nothing: secrets that dev mode would create stay empty.
    pub fn check(source: &dyn Source, mode: Mode) -> Result<Self, Problems> {
        Self::read(source, mode, MissingSecrets::Leave)
    }

    fn read(source: &dyn Source, mode: Mode, missing: MissingSecrets) -> Result<Self, Problems> {
        let mut reader = Reader::new(source);
        let reader = &mut reader;

        let database = read_database(reader, mode);
        let root_secret = read_root_secret(reader, mode);
        let previous_root_secret = reader
            .secret(keys::JWT_SECRET_PREVIOUS)
            .and_then(|text| reader.accept(keys::JWT_SECRET_PREVIOUS, strength::root_secret(&text)));
        let key_rotation_days = reader.parsed(keys::KEY_ROTATION_DAYS, rotation_days).unwrap_or(90);
        let encryption_keys = read_encryption_keys(reader);
        let base_url = read_base_url(reader, mode);
        let host = read_host(reader, mode);
        let port = read_port(reader);
        let tls = tls::read(reader, source, (mode, base_url.as_ref()));
        let workers = reader.parsed(keys::HTTP_WORKERS, |text| number(text, 1..=256, "threads")).unwrap_or(4);
        let (providers, platform_providers, provider_endpoints) = clients::read(reader);
        let platform_owner_email = reader
            .parsed(keys::PLATFORM_OWNER_EMAIL, network::email)
            .or_else(|| (mode == Mode::Dev).then(|| DEV_PLATFORM_OWNER.to_owned()));
        let platform_admin_redirect_uri =
            reader.parsed(keys::PLATFORM_ADMIN_REDIRECT_URI, network::safe_text);
        let platform_device_activation_uri =
            reader.parsed(keys::PLATFORM_DEVICE_ACTIVATION_URI, network::safe_text);
        let cors_allowed_origins = reader.list(keys::CORS_ALLOWED_ORIGINS, network::origin);
        let trusted_proxies = reader.list(keys::TRUSTED_PROXIES, network::proxy);
        let limits = limits::read(reader, mode);
        let mail = mail::read(reader);
        // Not fewer than Stripe itself goes on delivering, so that a late repeat is still known.
        let days_from = |least| move |text: &str| number(text, least..=3650, "days");
        let stripe_event_retention_days =
            reader.parsed(keys::STRIPE_EVENT_RETENTION_DAYS, days_from(7)).unwrap_or(30);
        let login_event_retention_days =
            reader.parsed(keys::LOGIN_EVENT_RETENTION_DAYS, days_from(1)).unwrap_or(90);
        let billing = billing::read(reader);
        let backup = backup::read(reader, source.folder(), encryption_keys.as_deref());
        let metrics = read_metrics(reader, mode);
        let log = read_log(reader);

        let mut config = Self {
            mode,
            database_path: source.folder().join(database.unwrap_or_default()),
            root_secret: root_secret.unwrap_or_else(|| Secret::new(Vec::new())),
            previous_root_secret,
            key_rotation_days,
            encryption_keys: encryption_keys.unwrap_or_default(),
            base_url,
            host,
            port,
            tls,
            workers,
            providers,
            platform_providers,
            provider_endpoints,
            platform_owner_email,
            platform_admin_redirect_uri,
            platform_device_activation_uri,
            cors_allowed_origins,
            trusted_proxies,
            limits,
            mail,
            login_event_retention_days,
            stripe_event_retention_days,
            billing,
            backup,
            metrics,
            log,
        };
        // Last, and only when all else is fine: a start that is refused leaves nothing behind.
        if mode == Mode::Dev && reader.problems.is_empty() {
            let folder = source.folder().join(DEV_FOLDER);
            config.add_dev_secrets(reader, &folder, missing);
        }
        if reader.problems.is_empty() { Ok(config) } else { Err(std::mem::take(&mut reader.problems)) }
    }

    fn add_dev_secrets(&mut self, reader: &mut Reader<'_>, folder: &Path, missing: MissingSecrets) {
        if self.root_secret.expose().is_empty()
            && let Some(text) = dev_secret(reader, folder, dev_secrets::ROOT_SECRET, missing)
            && let Some(secret) = reader.accept(keys::JWT_SECRET, strength::root_secret(&text))
        {
            self.root_secret = secret;
        }
        if self.encryption_keys.is_empty()
            && let Some(text) = dev_secret(reader, folder, dev_secrets::ENCRYPTION_KEY, missing)
            && let Some(ring) = reader.accept(keys::ENCRYPTION_KEY, strength::encryption_keys(&text))
        {
            self.encryption_keys = ring;
        }
        if self.billing.webhook_secrets.is_empty()
            && let Some(secret) = dev_secret(reader, folder, dev_secrets::STRIPE_WEBHOOK_SECRET, missing)
        {
            self.billing.webhook_secrets = vec![secret];
        }
    }
}

/// What to do about secrets that dev mode does not find.
#[derive(Clone, Copy)]
enum MissingSecrets {
    Create,
    Leave,
}

/// Where the service of these settings listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListeningAddress {
    /// The address.
    pub host: IpAddr,
    /// The port; 0: not known before it listens.
    pub port: u16,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

/// Where `healthcheck` finds the service on this machine: reads the listening settings and nothing else.
pub fn listening_address(source: &dyn Source) -> Result<ListeningAddress, Problems> {
    let mut reader = Reader::new(source);
    let host = reader.parsed(keys::SERVER_HOST, network::host).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = read_port(&mut reader);
    let is_tls = reader.is_set(keys::TLS_CERT_FILE);
    if reader.problems.is_empty() {
        Ok(ListeningAddress { host, port, is_tls })
    } else {
        Err(reader.problems)
    }
}

fn dev_secret(
    reader: &mut Reader<'_>,
    folder: &Path,
    name: &str,
    missing: MissingSecrets,
) -> Option<Secret<String>> {
    let found = match missing {
        MissingSecrets::Create => dev_secrets::read_or_create(folder, name).map(Some),
        MissingSecrets::Leave => dev_secrets::read_existing(folder, name),
    };
    found.unwrap_or_else(|error| {
        let what = format!("cannot be created or read: {error}");
        let key = folder.join(name).display().to_string();
        reader
            .problems
            .add(key, Wrong::new(what, "start from a folder that you may write to, on a disk with room"));
        None
    })
}

fn read_database(reader: &mut Reader<'_>, mode: Mode) -> Option<PathBuf> {
    match reader.secret(keys::DATABASE_URL) {
        Some(text) => reader.accept(keys::DATABASE_URL, database(text.expose())),
        None if mode == Mode::Dev => Some(Path::new(DEV_FOLDER).join("gatehouse.db")),
        None => missing(
            reader,
            keys::DATABASE_URL,
            "set the database file, such as sqlite:/var/lib/gatehouse/gatehouse.db",
        ),
    }
}

fn database(text: &str) -> Result<PathBuf, Wrong> {
    let example = "set sqlite:PATH, such as sqlite:/var/lib/gatehouse/gatehouse.db";
    let path = match text.split_once(':') {
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some(("postgres" | "postgresql", _)) => {
            return Err(Wrong::new("names a PostgreSQL server, which this version cannot use yet", example));
        }
        Some((scheme, _)) if !scheme.contains('/') => {
            return Err(Wrong::new("names a database that this service does not know", example));
        }
        _ => text,
    };
    if path.is_empty() || path.contains(['?', '#']) || path == ":memory:" {
        return Err(Wrong::new("is not the plain path of a database file", example));
    }
    if path.ends_with('/') || Path::new(path).is_dir() {
        return Err(Wrong::new(
            "names a folder",
            "name the file inside it, such as sqlite:FOLDER/gatehouse.db",
        ));
    }
    Ok(PathBuf::from(path))
}

fn read_root_secret(reader: &mut Reader<'_>, mode: Mode) -> Option<Secret<Vec<u8>>> {
    if !reader.is_set(keys::JWT_SECRET) && mode == Mode::Production {
        let fix = "set at least 32 random characters, such as the output of: openssl rand -base64 48";
        return missing(reader, keys::JWT_SECRET, fix);
    }
    let text = reader.secret(keys::JWT_SECRET)?;
    reader.accept(keys::JWT_SECRET, strength::root_secret(&text))
}

fn read_encryption_keys(reader: &mut Reader<'_>) -> Option<Vec<Secret<Vec<u8>>>> {
    let text = reader.secret(keys::ENCRYPTION_KEY)?;
    reader.accept(keys::ENCRYPTION_KEY, strength::encryption_keys(&text))
}

fn read_base_url(reader: &mut Reader<'_>, mode: Mode) -> Option<Url> {
    if reader.text(keys::BASE_URL).is_none() && mode == Mode::Production {
        return missing(reader, keys::BASE_URL, "set the public address, such as https://login.example.com");
    }
    let url = reader.parsed(keys::BASE_URL, network::site)?;
    if mode == Mode::Dev && !is_loopback(&url) {
        // Whoever reaches the dev provider signs in as anybody: it must not stand behind a public address.
        let wrong =
            Wrong::new("is a public address, and dev mode lets anybody in", "unset it, or leave out --dev");
        reader.wrong(keys::BASE_URL, wrong);
    }
    Some(url)
}

fn read_host(reader: &mut Reader<'_>, mode: Mode) -> IpAddr {
    let default = match mode {
        Mode::Dev => Ipv4Addr::LOCALHOST,
        Mode::Production => Ipv4Addr::UNSPECIFIED,
    };
    let host = reader.parsed(keys::SERVER_HOST, network::host).unwrap_or(IpAddr::V4(default));
    if mode == Mode::Dev && !host.is_loopback() {
        let wrong = Wrong::new(
            "can be reached from outside, and dev mode lets anybody in",
            "set 127.0.0.1, or leave out --dev",
        );
        reader.wrong(keys::SERVER_HOST, wrong);
    }
    host
}

fn read_port(reader: &mut Reader<'_>) -> u16 {
    reader.parsed(keys::SERVER_PORT, network::port).unwrap_or(3000)
}

fn rotation_days(text: &str) -> Result<u16, Wrong> {
    let days = text.parse().ok().filter(|days| *days <= 3650);
    days.ok_or_else(|| Wrong::new("is not a number of days", "set a number from 1 to 3650, or 0 for never"))
}

fn read_metrics(reader: &mut Reader<'_>, mode: Mode) -> MetricsSettings {
    let address = reader.parsed(keys::METRICS_ADDR, network::socket);
    let token = reader.secret(keys::METRICS_TOKEN).and_then(|text| {
        let strong = strength::root_secret(&text).map(|_| text);
        reader.accept(keys::METRICS_TOKEN, strong)
    });
    let outside = address.is_some_and(|address| !address.ip().is_loopback());
    if outside && mode == Mode::Dev {
        let wrong =
            Wrong::new("can be reached from outside, which dev mode is not for", "set 127.0.0.1:9464");
        reader.wrong(keys::METRICS_ADDR, wrong);
    } else if outside && !reader.is_set(keys::METRICS_TOKEN) {
        let wrong = Wrong::new(
            "can be reached from outside without a token",
            "set METRICS_TOKEN as well, or a loopback address such as 127.0.0.1:9464",
        );
        reader.wrong(keys::METRICS_ADDR, wrong);
    }
    MetricsSettings { address, token }
}

fn read_log(reader: &mut Reader<'_>) -> LogSettings {
    let default = LogSettings::default();
    let filter = reader.parsed(keys::RUST_LOG, |text| match env_filter::Builder::new().try_parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::new("is not a log filter", "set levels such as info,gatehouse=debug")),
    });
    let format = reader.parsed(keys::LOG_FORMAT, |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::new("is not a log format", "set text or json")),
    });
    LogSettings { filter: filter.unwrap_or(default.filter), format: format.unwrap_or(default.format) }
}

fn missing<T>(reader: &mut Reader<'_>, key: keys::Key, fix: &str) -> Option<T> {
    reader.wrong(key, Wrong::new("is missing", fix));
    None
}
