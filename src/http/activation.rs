//! What sign-in and device activation share: looking a user code up, and the browser's claim on it.

use actix_web::HttpRequest;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::{DeviceCode, DeviceCodeStatus};
use serde::{Deserialize, Serialize};

use super::throttle;
use crate::crypto::token::normalize_user_code;
use crate::error::{Code, Error};
use crate::state::App;

/// The cookie that says: this browser signed in for that code.
pub const COOKIE: &str = "gatehouse-activation";
/// How long the person may think about it, in seconds.
pub const COOKIE_SECONDS: i64 = 15 * 60;

/// A browser's claim on a device code, sealed into its cookie.
#[derive(Serialize, Deserialize)]
pub struct Activation {
    /// Row id of the code.
    pub device_code_id: i64,
    /// Row id of the user who signed in.
    pub user_id: i64,
    /// The code, to be shown again.
    pub user_code: String,
    /// Must come back in the form.
    pub csrf: String,
    /// When the claim is void.
    pub expires_at: Millis,
}

/// Finds the pending code that a person typed. A code that does not exist counts against the guessing budget; text that
/// cannot be one does not, since it guesses nothing.
pub async fn find(app: &App, request: &HttpRequest, typed: &str) -> Result<DeviceCode, Error> {
    let unknown = || Error::invalid_grant("This code is not known. Compare it with the one on your device.");
    let code = normalize_user_code(typed).ok_or_else(unknown)?;
    let now = app.clock.now();
    let paid = app.guesses.spend(throttle::payer(app, request), now).map_err(throttle::refusal(
        app,
        "user_codes",
        "Too many wrong codes were tried. Wait, then try again.",
    ))?;
    let question = app.keys.user_codes.question(&code, now);
    let answer = app.store.read(question).await;
    if !matches!(answer, Ok(None)) {
        app.guesses.give_back(paid);
    }
    let code = answer?.ok_or_else(unknown)?;
    if code.is_expired(now) {
        return Err(Error::new(
            Code::DeviceCodeExpired,
            "This code expired. Start again on your device to get a new one.",
        ));
    }
    if code.status != DeviceCodeStatus::Pending {
        return Err(Error::invalid_grant("This code was used already. Start again on your device."));
    }
    if !code.is_org_active() {
        return Err(Error::not_active(&code.org_status));
    }
    Ok(code)
}
