//! What the browser carries for us: sealed, short-lived, invisible to scripts.

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::crypto::random::Random;
use crate::crypto::sealed::Sealer;
use crate::error::Error;

/// Where cookies live: with `https` they get the `__Host-` prefix, which pins them to this very host.
#[derive(Debug, Clone, Copy)]
pub struct CookieJar {
    /// Whether `BASE_URL` is https.
    pub secure: bool,
}

impl CookieJar {
    /// The full name of the cookie called `name`.
    #[must_use]
    pub fn name(self, name: &str) -> String {
        if self.secure { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// A sealed cookie that lives for `seconds`. Its name is the context: a value moved to another cookie is void.
    pub fn seal<T: Serialize>(
        self,
        sealer: &Sealer,
        random: &Random,
        (name, value): (&str, &T),
        seconds: i64,
    ) -> Result<Cookie<'static>, Error> {
        let plain = Zeroizing::new(serde_json::to_vec(value).map_err(Error::internal)?);
        let sealed =
            sealer.seal(random, name, &plain).ok_or_else(|| Error::internal("a cookie cannot be sealed"))?;
        Ok(self.build(name, URL_SAFE_NO_PAD.encode(sealed), seconds))
    }

    /// Opens the cookie called `name`. A cookie that is missing, given twice, damaged or foreign is no cookie.
    #[must_use]
    pub fn open<T: DeserializeOwned>(self, sealer: &Sealer, request: &HttpRequest, name: &str) -> Option<T> {
        let sealed = URL_SAFE_NO_PAD.decode(self.text(request, name)?).ok()?;
        serde_json::from_slice(&sealer.open(name, &sealed)?).ok()
    }

    /// The value of the cookie called `name`. A cookie that is missing or given twice is no cookie.
    #[must_use]
    pub fn text<'r>(self, request: &'r HttpRequest, name: &str) -> Option<&'r str> {
        let full_name = self.name(name);
        let mut found = cookies(request).filter(|(key, _)| *key == full_name);
        let (_, text) = found.next()?;
        if found.next().is_some() { None } else { Some(text) }
    }

    /// A cookie whose value is opaque by itself, such as a token. It lives for `seconds`.
    #[must_use]
    pub fn plain(self, name: &str, value: String, seconds: i64) -> Cookie<'static> {
        self.build(name, value, seconds)
    }

    /// The names, without prefix, of the request's cookies that begin with `prefix`.
    #[must_use]
    pub fn names_with(self, request: &HttpRequest, prefix: &str) -> Vec<String> {
        let full_prefix = self.name(prefix);
        cookies(request)
            .filter_map(|(name, _)| name.strip_prefix(&full_prefix).map(|rest| format!("{prefix}{rest}")))
            .collect()
    }

    /// Tells the browser to forget the cookie called `name`.
    #[must_use]
    pub fn remove(self, name: &str) -> Cookie<'static> {
        self.build(name, String::new(), 0)
    }

    fn build(self, name: &str, value: String, seconds: i64) -> Cookie<'static> {
        Cookie::build(self.name(name), value)
            .path("/")
            .secure(self.secure)
            .http_only(true)
            // Lax: the provider's redirect back is a top-level navigation from another site.
            .same_site(SameSite::Lax)
            .max_age(Duration::seconds(seconds))
            .finish()
    }
}

/// Every pair that is text, in every Cookie header. Other programs of the same host may set cookies of any bytes; those
/// must not cost us ours.
fn cookies(request: &HttpRequest) -> impl Iterator<Item = (&str, &str)> {
    let pairs =
        request.headers().get_all(COOKIE).flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;

    const JAR: CookieJar = CookieJar { secure: true };

    fn opened(sealer: &Sealer, cookie: &[u8]) -> Option<u32> {
        let value = HeaderValue::from_bytes(cookie).unwrap();
        JAR.open(sealer, &TestRequest::default().insert_header((COOKIE, value)).to_http_request(), "a")
    }

    #[test]
    fn a_cookie_opens_beside_those_of_other_programs_and_under_its_own_name_only() {
        let sealer = Sealer::new(&[[3; 32]]);
        let ours = JAR.seal(&sealer, &Random::default(), ("a", &7_u32), 60).unwrap();
        let token = JAR.plain("a", "token".to_owned(), 60).to_string();
        for cookie in [ours.to_string(), token] {
            assert!(cookie.starts_with("__Host-a="), "{cookie}");
            for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=60"] {
                assert!(cookie.split("; ").any(|part| part == attribute), "no {attribute} in {cookie}");
            }
        }
        let value = ours.value().as_bytes();
        let header = |parts: &[&[u8]]| parts.concat();
        assert_eq!(opened(&sealer, &header(&[b"__Host-a=", value])), Some(7));
        assert_eq!(
            opened(&sealer, &header(&[b"theme=d\xfcster; =; x; __Host-a=", value, b"; y=\xff"])),
            Some(7)
        );
        for parts in [
            &[b"a=".as_slice(), value] as &[&[u8]],
            &[b"__Host-b=", value],
            &[b"__Host-a=", value, b"; __Host-a=", value],
            &[b"__Host-a=x; __Host-a=", value],
            &[b"__Host-a=", value, b"A"],
        ] {
            assert_eq!(opened(&sealer, &header(parts)), None);
        }
    }
}
