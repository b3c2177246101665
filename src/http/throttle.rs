//! Limits as requests meet them: who is counted, and how a refusal reads. What the limits are is in `crate::throttle`.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;

use super::address::{client_address, limit_key};
use super::framing;
use crate::error::{Code, Error};
use crate::state::App;
use crate::throttle::rate::BudgetSpent;

/// Stands for a peer whose address is not known, which cannot happen over TCP: all such would share one budget.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// The longest request target, in bytes. A `state` of 2 kB and whatever else a sign-in takes along fits many times.
const LONGEST_TARGET: usize = 16 * 1024;
/// All header fields together, in bytes.
const LARGEST_HEAD: usize = 32 * 1024;

const LIMITED: &str = "Too many requests came from your address. Wait, then try again.";

/// Counts a refusal by `limit` and says so.
pub fn refusal<'a>(
    app: &'a App,
    limit: &'static str,
    message: &'static str,
) -> impl FnOnce(BudgetSpent) -> Error + use<'a> {
    move |spent| {
        app.meters.throttled.by(limit);
        Error::new(Code::RateLimited, message).retry_after(spent.retry_after)
    }
}

/// Whose budget a request is paid from: the client's address, a whole /64 for IPv6.
#[must_use]
pub fn payer(app: &App, request: &HttpRequest) -> IpAddr {
    client_address(request, &app.config.trusted_proxies).map_or(NOBODY, limit_key)
}

/// Refuses what is malformed or too large to be meant well, and addresses that ask too often.
pub async fn at_the_door(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let checked = framing::check(request.request()).and_then(|()| check_size(request.request()));
    if let Err(error) = checked.and_then(|()| pay_for_any(&request)) {
        return Ok(request.error_response(error));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn pay_for_any(request: &ServiceRequest) -> Result<(), Error> {
    let Some(app) = request.app_data::<Data<App>>().filter(|_| is_counted(request.path())) else {
        return Ok(());
    };
    let spent = app.limits.requests.spend(payer(app, request.request()), app.clock.now());
    spent.map_err(refusal(app, "requests", LIMITED))
}

/// Who watches the service is always answered; Stripe proves by its signature who it is, and comes in bursts.
fn is_counted(path: &str) -> bool {
    let free = ["/health", "/metrics", "/assets/", "/webhooks/stripe"];
    !free.iter().any(|free| path.starts_with(free))
}

fn check_size(request: &HttpRequest) -> Result<(), Error> {
    // RFC 9110, section 15.5.15.
    if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_TARGET) {
        let message = format!("The address is longer than {LONGEST_TARGET} bytes.");
        return Err(Error::new(Code::UriTooLong, message));
    }
    // RFC 6585, section 5.
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if fields.sum::<usize>() > LARGEST_HEAD {
        let message = format!("The header fields are larger than {LARGEST_HEAD} bytes together.");
        return Err(Error::new(Code::HeadersTooLarge, message));
    }
    Ok(())
}

/// Pays for the beginning of a sign-in.
pub fn sign_in(app: &App, request: &HttpRequest) -> Result<(), Error> {
    let spent = app.limits.sign_ins.spend(payer(app, request), app.clock.now());
    spent.map_err(refusal(app, "sign_ins", "Too many sign-ins began at your address. Wait, then try again."))
}

/// Refuses an address at which too many codes, tokens and clients were refused already.
pub fn failures_left(app: &App, request: &HttpRequest) -> Result<(), Error> {
    let left = app.limits.token_failures.allow(payer(app, request), app.clock.now());
    left.map_err(refusal(
        app,
        "token_failures",
        "Too many requests from your address failed. Wait, then try again.",
    ))
}

/// Has a client identified at an address where not too much failed already. A failure counts.
pub async fn counted<T>(
    app: &App,
    request: &HttpRequest,
    identified: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    failures_left(app, request)?;
    identified.await.inspect_err(|error| failed(app, request, error))
}

/// Counts an answer that says: this code, token or client is not known. Polling and malformed requests count nothing.
pub fn failed(app: &App, request: &HttpRequest, error: &Error) {
    if matches!(error.code, Code::InvalidGrant | Code::InvalidClient) {
        app.limits.token_failures.missed(payer(app, request), app.clock.now());
    }
}

/// Pays for a request that makes us call somebody else.
pub fn call_outside(app: &App, user_id: i64) -> Result<(), Error> {
    let spent = app.limits.calls_outside.spend(user_id, app.clock.now());
    spent.map_err(refusal(app, "calls_outside", "You did this too often of late. Wait, then try again."))
}
