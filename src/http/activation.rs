//! What sign-in and device activation share: looking a user code up, and the browser's claim on it.

use actix_web::HttpRequest;
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::device_codes::{DeviceCode, DeviceCodeByUserCode, DeviceCodeStatus};
use serde::{Deserialize, Serialize};

use super::address::{client_address, limit_key};
use crate::crypto::token::{normalize_user_code, user_code_hash};
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

/// Finds the pending code that a person typed. Every miss counts against the guessing budget.
pub async fn find(app: &App, request: &HttpRequest, typed: &str) -> Result<DeviceCode, Error> {
    let now = app.clock.now();
    let address = client_address(request, &app.config.trusted_proxies).map(limit_key);
    if let Some(address) = address {
        app.guesses.allow(address, now).map_err(|spent| {
            Error::new(Code::RateLimited, "Too many wrong codes were tried. Wait a little, then try again.")
                .retry_after(spent.retry_after)
        })?;
    }
    let miss = || {
        if let Some(address) = address {
            app.guesses.missed(address, now);
        }
        Error::invalid_grant("This code is not known. Compare it with the one on your device.")
    };
    let code = normalize_user_code(typed).ok_or_else(miss)?;
    let question = DeviceCodeByUserCode { user_code_hash: user_code_hash(&app.keys.user_codes, &code) };
    let code = app.store.read(question).await?.ok_or_else(miss)?;
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
