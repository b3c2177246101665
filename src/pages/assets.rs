//! The two static files of the pages. Both are compiled in and addressed by their content
//! (`?v=` a hash), so browsers keep them for a year and still never show an old one.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};

use crate::http::caller::{Anonymous, Call};

const CSS: Asset = Asset::new(include_str!("gatehouse.css"), "text/css; charset=utf-8");
const DEMO_JS: Asset = Asset::new(include_str!("dev_demo.js"), "text/javascript; charset=utf-8");

/// Address of the stylesheet as `base.html` links it.
#[must_use]
pub fn stylesheet_href() -> String {
    format!("/assets/gatehouse.css?v={}", CSS.version())
}

/// Address of the demo app's module as `dev_demo.html` loads it.
#[must_use]
pub fn demo_script_href() -> String {
    format!("/dev/app.js?v={}", DEMO_JS.version())
}

/// Handler of `GET /assets/gatehouse.css`.
#[allow(clippy::unused_async)] // actix-web takes async handlers only
pub async fn stylesheet(request: HttpRequest, _call: Call<Anonymous>) -> HttpResponse {
    CSS.respond(&request)
}

/// Handler of `GET /dev/app.js`, to be routed in dev mode only.
#[allow(clippy::unused_async)] // actix-web takes async handlers only
pub async fn demo_script(request: HttpRequest, _call: Call<Anonymous>) -> HttpResponse {
    DEMO_JS.respond(&request)
}

struct Asset {
    content: &'static str,
    content_type: &'static str,
    hash: u64,
}

impl Asset {
    const fn new(content: &'static str, content_type: &'static str) -> Self {
        Self { content, content_type, hash: fnv1a(content.as_bytes()) }
    }

    fn version(&self) -> String {
        format!("{:016x}", self.hash)
    }

    fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let version = self.version();
        let etag = format!("\"{version}\"");
        // Only the address that names this content may be kept for good; any other asks again (RFC 8246).
        let cache = if request.query_string() == format!("v={version}") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
        let unchanged = known.flat_map(|list| list.split(',')).any(|tag| {
            // RFC 9110 section 13.1.2: weak comparison.
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
        });
        let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((ETAG, etag))
            .insert_header((CACHE_CONTROL, cache))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if unchanged {
            response.finish()
        } else {
            response.content_type(self.content_type).body(self.content)
        }
    }
}

/// FNV-1a, 64 bits: tells two builds apart, protects nothing.
const fn fnv1a(mut bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    while let [byte, rest @ ..] = bytes {
        hash = (hash ^ *byte as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{http::StatusCode, test::TestRequest};

    #[test]
    fn only_the_address_with_the_hash_is_kept_for_good() {
        let exact = TestRequest::with_uri(&stylesheet_href()).to_http_request();
        let old = TestRequest::with_uri("/assets/gatehouse.css?v=0").to_http_request();
        let cache =
            |request| CSS.respond(request).headers().get(CACHE_CONTROL).unwrap().to_str().unwrap().to_owned();
        assert!(cache(&exact).contains("immutable"));
        assert_eq!(cache(&old), "no-cache");
    }

    #[test]
    fn a_known_etag_saves_the_body() {
        let first = CSS.respond(&TestRequest::get().to_http_request());
        let etag = first.headers().get(ETAG).unwrap().to_str().unwrap().to_owned();
        for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let request = TestRequest::get().insert_header((IF_NONE_MATCH, known)).to_http_request();
            assert_eq!(CSS.respond(&request).status(), StatusCode::NOT_MODIFIED);
        }
        let request = TestRequest::get().insert_header((IF_NONE_MATCH, "\"x\"")).to_http_request();
        assert_eq!(CSS.respond(&request).status(), StatusCode::OK);
    }
}
