//! The API document: `GET /openapi.json` for tools, `GET /docs` and `GET /docs/{topic}` for people.
//!
//! ```text
//! app::document (from the code) -> document       as it is, with an ETag
//!                               -> read.rs -> overview, topic   rendered here: no script, no other host
//! ```

mod read;

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentType, ETAG, IF_NONE_MATCH};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::app;
use crate::crypto::token::sha256;
use crate::error::{Code, Error};
use crate::http::caller::{Anonymous, Call};
use crate::pages::respond;

/// The same for as long as the process runs: it depends on nothing but the code.
static DOCUMENT: LazyLock<Value> = LazyLock::new(app::document);
static WRITTEN: LazyLock<(String, String)> = LazyLock::new(|| {
    let written = DOCUMENT.to_string();
    let tag = URL_SAFE_NO_PAD.encode(sha256(written.as_bytes()).get(..16).unwrap_or_default());
    (written, format!("\"{tag}\""))
});

/// `GET /openapi.json`
#[allow(clippy::unused_async)] // actix-web takes async handlers only
pub async fn document(request: HttpRequest, _call: Call<Anonymous>) -> HttpResponse {
    let (written, tag) = &*WRITTEN;
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    // RFC 9110, section 13.1.2: weak comparison.
    let mut known = known.flat_map(|list| list.split(',')).map(str::trim);
    let unchanged = known.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((CACHE_CONTROL, "public, max-age=300")).insert_header((ETAG, tag.as_str()));
    if unchanged {
        response.finish()
    } else {
        response.content_type(ContentType::json()).body(written.as_str())
    }
}

/// `GET /docs`
#[allow(clippy::unused_async)] // actix-web takes async handlers only
pub async fn overview(_call: Call<Anonymous>) -> HttpResponse {
    respond(&read::overview(&DOCUMENT), StatusCode::OK)
}

/// `GET /docs/{topic}`
#[allow(clippy::unused_async)] // actix-web takes async handlers only
pub async fn topic(topic: Path<String>, _call: Call<Anonymous>) -> Result<HttpResponse, Error> {
    let page = read::topic(&DOCUMENT, &topic);
    let page =
        page.ok_or_else(|| Error::new(Code::NotFound, "There is no such topic in the documentation."))?;
    Ok(respond(&page, StatusCode::OK))
}
