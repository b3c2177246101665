//! `gatehouse login`: the device's side of the device authorization grant (RFC 8628).
//!
//! ```text
//! discovery::find -> device::ask -> view::invitation (person signs in elsewhere) -> device::wait -> token::verify -> view
//! ```
//! What a person needs to see goes to stderr, the outcome to stdout; tokens are printed with `--json` only.

mod device;
mod discovery;

mod token;
mod view;

use std::io::{self, Write};
use std::time::Duration;

use actix_web::rt::System;
use clap::Args;

use super::http::Http;
use super::{Failure, print};
use crate::upstream::install_crypto_provider;
use device::{Device, DeviceError};
use discovery::DiscoveryError;
use token::TokenError;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(
    after_help = "The address and the code go to stderr, the outcome to stdout. Example for scripts:\n  \
    gatehouse login --issuer URL --client-id ID --json | jq -r .token.access_token"
)]
pub(super) struct Arguments {
    /// The address of the service to sign in to
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The client id of the application that signs in
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// What to ask for, separated by spaces
    #[arg(long, default_value = "openid profile email")]
    scope: String,
    /// Print one JSON object: `{"issuer", "token": {access_token, refresh_token, ...}, "claims": {...}}`
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("the token that was issued is not valid: {0}")]
    Token(#[from] TokenError),
    #[error("cannot write to the terminal: {0}")]
    Terminal(#[from] io::Error),
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    install_crypto_provider();
    System::new().block_on(async {
        tokio::select! {
            outcome = sign_in(arguments) => print(&outcome.map_err(Failure::failed)?),
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        }
    })
}

async fn sign_in(arguments: &Arguments) -> Result<String, LoginError> {
    let http = Http::new(PATIENCE);
    let server = discovery::find(&http, &arguments.issuer).await?;
    let device = Device { http: &http, server: &server, client_id: &arguments.client_id };
    let pending = device.ask(&arguments.scope).await?;
    write!(io::stderr(), "{}", view::invitation(&pending))?;
    let tokens = device.wait(&pending).await?;
    let claims = token::verify(&http, &server, &arguments.client_id, &tokens).await?;
    Ok(if arguments.json { view::json(&server, &tokens, &claims) } else { view::text(&tokens, &claims) })
}
