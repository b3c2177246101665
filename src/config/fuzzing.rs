//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a property that does not hold must fail")]

use url::Url;

use super::mail::{MailSecurity, server};
use super::secret::Secret;
use super::{billing, limits, network, strength};
use crate::fuzzing::text;
use crate::throttle::limits::Quotas;

/// One text as every setting that is more than a name.
pub(crate) fn settings(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(mut quotas) = limits::rates(text, Quotas::default()) {
        for (name, _, _) in Quotas::ABOUT {
            let quota = *quotas.named(name).unwrap();
            assert!(quota.is_none_or(|quota| quota.count > 0 && quota.per > 0));
        }
    }
    if let Ok((host, _, security, credentials)) = server(text) {
        let scheme = Url::parse(text).unwrap().scheme().to_owned();
        assert!(!host.is_empty() && (security == MailSecurity::Tls) == (scheme == "smtps"));
        let shown = format!("{credentials:?}");
        assert!(shown == "None" || shown == "Some(([secret], [secret]))");
    }
    for url in
        [network::safe_url(text), network::base_of_urls(text), network::site(text)].into_iter().flatten()
    {
        assert!(network::is_confidential(&url) && url.username().is_empty() && url.password().is_none());
        assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url));
    }
    if let Ok(origin) = network::origin(text) {
        assert_eq!(network::origin(&origin), Ok(origin));
    }
    if let Ok(network) = network::proxy(text) {
        assert_eq!(network::proxy(&network.to_string()), Ok(network));
        assert!(network.prefix_len() > 0);
    }
    if let Ok(address) = network::email(text) {
        assert_eq!(network::email(&address), Ok(address));
    }
    let _ = (network::host(text), network::socket(text), network::port(text), network::issuer(text));
    if let Ok(base) = billing::api_base(text) {
        assert!(network::safe_url(&base).is_ok());
    }
    let secret = Secret::new(text.to_owned());
    if let Ok(secrets) = billing::secrets(&secret) {
        assert!(secrets.iter().all(|secret| secret.expose().bytes().all(|byte| byte.is_ascii_graphic())));
    }
    if let Ok(keys) = strength::encryption_keys(&secret) {
        assert!(!keys.is_empty() && keys.iter().all(|key| key.expose().len() == 32));
    }
    if let Ok(root) = strength::root_secret(&secret) {
        assert_eq!(root.expose().as_slice(), data);
    }
}
