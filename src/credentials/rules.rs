//! Rules of bring-your-own credentials.

use url::Url;

use crate::config::provider::ProviderKind;
use crate::config::secret::Secret;
use crate::error::{Code, Error};
use crate::http::fields::Fields;
use crate::http::input::Params;

const MAX_CLIENT_ID: usize = 512;
const MAX_CLIENT_SECRET: usize = 2048;
const MAX_ISSUER: usize = 512;

/// What an organization enters.
pub(super) struct NewCredential {
    pub(super) client_id: String,
    pub(super) client_secret: Secret<String>,
    /// Only and always for `oidc`.
    pub(super) issuer: Option<String>,
}

/// The provider that a path names, if organizations can have a client of their own there.
pub(super) fn provider(name: &str) -> Result<ProviderKind, Error> {
    name.parse::<ProviderKind>().ok().filter(|kind| *kind != ProviderKind::Dev).ok_or_else(|| {
        Error::new(Code::NotFound, "There is no such provider. Use github, google, microsoft or oidc.")
    })
}

/// Reads what was entered.
pub(super) fn new_credential(kind: ProviderKind, mut fields: Fields) -> Result<NewCredential, Error> {
    let client_id = fields.required_text("client_id", MAX_CLIENT_ID);
    let client_secret = Secret::new(fields.required_text("client_secret", MAX_CLIENT_SECRET));
    let issuer = if kind == ProviderKind::Oidc {
        let issuer = fields.required_text("issuer", MAX_ISSUER);
        if !issuer.is_empty() && !is_issuer(&issuer) {
            fields.reject("issuer", "must be an https address without a query, a fragment or a user name");
        }
        Some(issuer)
    } else {
        if fields.has("issuer") && !fields.is_null("issuer") {
            fields.reject("issuer", "belongs to the provider oidc only");
        }
        None
    };
    fields.finish()?;
    Ok(NewCredential { client_id, client_secret, issuer })
}

/// The form of an issuer (OpenID Connect Discovery 1.0, section 3). Whether it may be connected to is judged where
/// connections are made: http never passes there but to this very machine in dev mode.
fn is_issuer(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        // The parser drops tabs and line breaks silently, so that what is used differs from what was written.
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\')
}

/// Whether a deletion gives the provider back to the platform's own client.
pub(super) fn restore_default(params: &Params) -> Result<bool, Error> {
    match params.get("restore_default") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Error::invalid("restore_default", "restore_default must be true or false.")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(kind: ProviderKind, body: &Value) -> Result<NewCredential, Error> {
        new_credential(kind, Fields::from_json(body.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn only_providers_that_hand_out_clients_can_be_brought() {
        for name in ["github", "google", "microsoft", "oidc"] {
            assert!(provider(name).is_ok());
        }
        for name in ["dev", "GitHub", "saml", "", "oidc/"] {
            assert_eq!(provider(name).unwrap_err().code, Code::NotFound, "{name}");
        }
    }

    #[test]
    fn an_issuer_belongs_to_oidc_alone() {
        let body = json!({ "client_id": "c", "client_secret": "s", "issuer": "https://id.test" });
        assert_eq!(read(ProviderKind::Oidc, &body).unwrap().issuer.as_deref(), Some("https://id.test"));
        assert_eq!(read(ProviderKind::Google, &body).err().unwrap().fields, ["issuer"]);
        let body = json!({ "client_id": "c", "client_secret": "s", "issuer": null });
        assert!(read(ProviderKind::Google, &body).unwrap().issuer.is_none());
        assert_eq!(read(ProviderKind::Oidc, &body).err().unwrap().fields, ["issuer"]);
    }

    #[test]
    fn complaints_name_the_field_and_never_the_secret() {
        let secret = "a-secret\u{0}-with-nul";
        let error = read(ProviderKind::GitHub, &json!({ "client_secret": secret })).err().unwrap();
        assert_eq!(error.fields, ["client_id", "client_secret"]);
        assert!(!error.to_string().contains("a-secret"));
        let long = "x".repeat(MAX_CLIENT_SECRET + 1);
        let body = json!({ "client_id": "c", "client_secret": long });
        assert_eq!(read(ProviderKind::GitHub, &body).err().unwrap().fields, ["client_secret"]);
    }

    #[test]
    fn issuers_are_plain_web_addresses() {
        for good in
            ["https://id.test", "https://id.test/tenant/", "http://127.0.0.1:9", "https://id.test:8443"]
        {
            assert!(is_issuer(good), "{good}");
        }
        for bad in [
            "id.test",
            "https://",
            "file:///etc/passwd",
            "gopher://id.test",
            "https://u@id.test",
            "https://u:p@id.test",
            "https://id.test?x",
            "https://id.test#x",
            "https://id .test",
            "https://id.test\t",
            "https:\\\\id.test",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_used_as_it_is_written(text in "https?://[ -~]{0,40}") {
            if is_issuer(&text) {
                let url = Url::parse(&text).unwrap();
                prop_assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none());
                prop_assert!(!text.contains([' ', '@', '?', '#', '\\']) || !url.path().is_empty());
            }
        }
    }
}
