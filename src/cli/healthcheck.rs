//! `gatehouse healthcheck`: one request to the readiness route, for container and service managers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actix_web::rt::System;
use clap::Args;
use url::Url;

use super::http::{Http, HttpError};
use super::{Failure, print};
use crate::config::{Environment, ListeningAddress, listening_address};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to ask [default: this machine, at `SERVER_PORT`]
    #[arg(long)]
    url: Option<Url>,
}

#[derive(Debug, thiserror::Error)]
enum NotReady {
    #[error("not ready: {0} answered with status {1}")]
    Status(Url, u16),
    #[error("not ready: {0}: {1}")]
    Unreachable(Url, HttpError),
    #[error("SERVER_PORT is 0, so the port is not known: say --url")]
    UnknownPort,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (mut url, is_own) = match &arguments.url {
        Some(url) => (url.clone(), false),
        None => (own_address()?, true),
    };
    if url.path() == "/" {
        url.set_path("/health/ready");
    }
    let answer = System::new().block_on(async {
        let http = if is_own { Http::of_this_machine(PATIENCE) } else { Http::new(PATIENCE) };
        http.get(&url).await
    });
    match answer {
        Ok(answer) if answer.status == 200 => print(&"ready\n"),
        Ok(answer) => Err(Failure::failed(NotReady::Status(url, answer.status))),
        Err(error) => Err(Failure::failed(NotReady::Unreachable(url, error))),
    }
}

/// Where the service on this machine listens.
pub(super) fn own_address() -> Result<Url, Failure> {
    let ListeningAddress { host, port, is_tls } = listening_address(&Environment::read())?;
    if port == 0 {
        return Err(Failure::failed(NotReady::UnknownPort));
    }
    let host = match host {
        // "Every address" can be listened on, but not asked.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let scheme = if is_tls { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{}", SocketAddr::new(host, port))).map_err(Failure::failed)
}
