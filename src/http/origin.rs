//! Whether a form of ours was sent from a page of ours.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, ORIGIN};

use crate::error::{Code, Error};
use crate::state::App;

/// A form of another site must not decide. The token in the form says so already; the browser's own word is cheap.
pub fn check_origin(app: &App, request: &HttpRequest) -> Result<(), Error> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let same_origin = header(ORIGIN).is_none_or(|origin| origin == app.base_url);
    let same_site = header(HeaderName::from_static("sec-fetch-site")).is_none_or(|site| site != "cross-site");
    if same_origin && same_site {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, "This form was sent from another site."))
}
