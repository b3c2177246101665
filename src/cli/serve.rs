//! `gatehouse serve`: settings, log, server, and in dev mode a few lines on what to try.

use std::sync::Arc;

use actix_web::rt::System;
use gatehouse_actors::clock::SystemClock;

use super::{Failure, print};
use crate::config::{Config, Environment, Mode};
use crate::server::RunError;
use crate::telemetry;

pub(super) fn run(mode: Mode) -> Result<(), Failure> {
    let config = Config::load(&Environment::read(), mode)?;
    telemetry::init(&config.log).map_err(Failure::failed)?;
    System::new().block_on(async {
        let running = crate::start(config, Arc::new(SystemClock)).await.map_err(Failure::failed)?;
        if mode == Mode::Dev {
            print(&what_to_try(&running.base_url, &own_name()))?;
        }
        running.finished().await.map_err(|error| match error {
            RunError::ActorDied(_) => Failure::Internal(error.into()),
            RunError::Io(_) | RunError::NotFlushed => Failure::failed(error),
        })
    })
}

/// The command that started this process, as it can be typed again in the same folder.
fn own_name() -> String {
    let typed = std::env::args().next().unwrap_or_default();
    // A relative path stays right only in this folder, which is where the person is.
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if !typed.is_empty() && typed.chars().all(plain) { typed } else { "gatehouse".to_owned() }
}

fn what_to_try(base_url: &str, command: &str) -> String {
    format!(
        "
  Gatehouse is ready, in dev mode: anybody on this machine may sign in as anybody.

    demo app in the browser   {base_url}/dev
    activate a device         {base_url}/activate
    sign in from a terminal   {command} login --issuer {base_url} --client-id demo-cli

  Stop with Ctrl-C. Data and secrets are kept in ./data.

"
    )
}
