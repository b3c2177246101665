//! Sending: some letters at a time, again and again with growing pauses, never forever.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use tokio::sync::{Semaphore, mpsc, watch};

use super::Letter;
use crate::config::mail::{MailSecurity, MailSettings};

/// Pauses between the attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(10)];
/// A server that takes longer for one command is as good as down.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Letters that are being sent or wait for their next attempt.
const UNDER_WAY: usize = 64;
/// Connections to the server.
const CONNECTIONS: usize = 4;

pub(super) type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// The transport, or why there can be none.
pub(super) fn transport(settings: &MailSettings, base_url: &str) -> Result<Transport, SmtpError> {
    let tls = || TlsParameters::new_rustls(settings.host.clone());
    let tls = match settings.security {
        MailSecurity::Tls => Tls::Wrapper(tls()?),
        MailSecurity::StartTls => Tls::Required(tls()?),
        MailSecurity::Loopback => Tls::None,
    };
    let mut builder = Transport::builder_dangerous(settings.host.trim_matches(['[', ']']))
        .port(settings.port)
        .tls(tls)
        .timeout(Some(TIMEOUT));
    let host = url::Url::parse(base_url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
    if let Some(host) = host {
        builder = builder.hello_name(ClientId::Domain(host));
    }
    if let Some((user, password)) = &settings.credentials {
        builder = builder.credentials(Credentials::new(user.expose().clone(), password.expose().clone()));
    }
    Ok(builder.build())
}

/// Until the room closes and the last letter was tried.
pub(super) async fn run(
    transport: Result<Transport, SmtpError>,
    mut letters: mpsc::Receiver<Letter>,
    closing: watch::Receiver<bool>,
) {
    let transport = match transport {
        Ok(transport) => transport,
        Err(error) => {
            log::error!(error = kind(&error); "no mail can be sent");
            return;
        }
    };
    let connections = Semaphore::new(CONNECTIONS);
    let mut under_way = FuturesUnordered::new();
    let mut close = closing.clone();
    loop {
        tokio::select! {
            letter = letters.recv(), if under_way.len() < UNDER_WAY => match letter {
                Some(letter) => under_way.push(deliver(&transport, &connections, letter, closing.clone())),
                None => break,
            },
            Some(()) = under_way.next() => {}
            // Nothing more is taken in; what is queued is still handed out, and then `recv` says none.
            _ = close.wait_for(|closing| *closing), if !letters.is_closed() => letters.close(),
        }
    }
    while under_way.next().await.is_some() {}
}

async fn deliver(
    transport: &Transport,
    connections: &Semaphore,
    letter: Letter,
    mut closing: watch::Receiver<bool>,
) {
    let about = letter.about.as_str();
    let mut pauses = PAUSES.into_iter();
    loop {
        let sent = {
            let _connection = connections.acquire().await;
            transport.send(letter.message.clone()).await
        };
        let Err(error) = sent else {
            log::info!(about = about; "mail sent");
            return;
        };
        // Never the server's own words: it may quote the message, and the message holds the token.
        let (reason, status) = (kind(&error), error.status().map(u16::from).unwrap_or_default());
        let pause = pauses.next().filter(|_| !error.is_permanent() && !*closing.borrow());
        let Some(pause) = pause else {
            return log::error!(about = about, error = reason, status = status; "mail given up");
        };
        log::warn!(about = about, error = reason, status = status, retry_after_s = pause.as_secs(); "mail not sent yet");
        // A closing room does not wait: one more attempt, then the end.
        let _ = tokio::time::timeout(pause, closing.wait_for(|closing| *closing)).await;
    }
}

fn kind(error: &SmtpError) -> &'static str {
    match error {
        _ if error.is_permanent() => "refused",
        _ if error.is_transient() => "refused for now",
        _ if error.is_timeout() => "timeout",
        _ if error.is_tls() => "tls",
        _ if error.is_response() => "unreadable answer",
        _ if error.is_client() => "client",
        _ => "connection",
    }
}
