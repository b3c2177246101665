//! `gatehouse check-config`: the settings, checked as `serve` checks them, and what they come to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use gatehouse_actors::clock::{Clock, SystemClock};

use super::{Failure, print};
use crate::config::provider::{ProviderKind, ProviderSettings};
use crate::config::{Config, Environment, Mode, without_trailing_slash};
use crate::state::rfc3339;

pub(super) fn run(mode: Mode) -> Result<(), Failure> {
    let config = Config::check(&Environment::read(), mode)?;
    print(&summary(&config))
}

fn summary(config: &Config) -> String {
    let mode = match config.mode {
        Mode::Production => "production",
        Mode::Dev => "dev",
    };
    let base_url =
        config.base_url.as_ref().map_or_else(|| "where it listens".to_owned(), without_trailing_slash);
    let sealing = match (config.encryption_keys.len(), config.mode) {
        (0, Mode::Production) => "derived from JWT_SECRET".to_owned(),
        (0, Mode::Dev) => "created at the first start".to_owned(),
        (1, _) => "1 key".to_owned(),
        (count, _) => format!("{count} keys, the first one seals"),
    };
    let rows = [
        ("mode", mode.to_owned()),
        ("base url", base_url),
        ("listens on", SocketAddr::new(config.host, config.port).to_string()),
        ("tls", tls(config)),
        ("database", config.database_path.display().to_string()),
        ("sealing", sealing),
        ("providers", names(&config.providers)),
        ("platform providers", names(&config.platform_providers)),
        ("platform owner", config.platform_owner_email.clone().unwrap_or_else(|| "nobody".to_owned())),
    ];
    let mut text = String::from("the configuration is fine\n\n");
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<18}  {value}"); // writing to a String cannot fail
    }
    text
}

/// Until when the certificate is good, which no problem tells: it is served all the same.
fn tls(config: &Config) -> String {
    let Some(shown) = &config.tls else { return "off".to_owned() };
    let expired = if shown.not_after() <= SystemClock.now() { ", HAS EXPIRED" } else { "" };
    format!("on, certificate good until {}{expired}", rfc3339(shown.not_after()))
}

fn names(providers: &BTreeMap<ProviderKind, ProviderSettings>) -> String {
    let names: Vec<&str> = providers.keys().map(|kind| kind.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
