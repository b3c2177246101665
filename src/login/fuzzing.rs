//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use gatehouse_actors::data::token_binding::TokenBinding;

use super::request::{Asker, asked, destination, response_type};
use super::state::{LoginState, ResponseMode};
use crate::crypto::token::is_code_challenge;
use crate::fuzzing::text;
use crate::http::input::Params;
use crate::http::scope;

/// The query of an authorization request.
pub(crate) fn authorization_request(data: &[u8]) {
    let Some(params) = text(data).and_then(|query| Params::from_query(query).ok()) else { return };
    if response_type(&params).is_ok() {
        assert_eq!(params.get("response_type"), Some("code"));
    }
    let name = LoginState::cookie_name(params.get("state").unwrap_or_default());
    assert!(name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    let registered = ["https://a.test/cb", "http://127.0.0.1/cb", "test.a.app:/cb"].map(ToOwned::to_owned);
    let Ok(destination) = destination(&registered, &params) else { return };
    assert!(registered.contains(&destination.registered_uri));
    let form = destination.mode == ResponseMode::FormPost;
    assert!(!form || destination.redirect_uri.starts_with("http"));
    let Ok(scope) = scope::parse(params.get("scope")) else { return };
    for is_public in [true, false] {
        let asker =
            Asker { is_public, hinted_user: None, scope: scope.clone(), binding: TokenBinding::default() };
        let Ok(asked) = asked(&params, &destination, asker) else { continue };
        let web = asked.web;
        assert!(!is_public || web.code_challenge.is_some(), "a public client goes without PKCE");
        assert!(web.code_challenge.as_deref().is_none_or(is_code_challenge));
        assert!(web.max_age.is_none_or(|age| (0..=i64::from(u32::MAX)).contains(&age)));
        assert!(web.nonce.is_none_or(|nonce| nonce.len() <= 512));
        assert!(!asked.silent || !(asked.select_account || web.ask_consent), "none stands alone");
    }
}
