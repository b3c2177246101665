//! Requests that a browser makes ahead of its person. Nothing may be handed out or used up by one.

use actix_web::HttpRequest;

use crate::error::{Code, Error};

/// Refuses a prefetch or prerender: the browser asks again when the person really goes there.
pub fn refuse(request: &HttpRequest) -> Result<(), Error> {
    let ahead = ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(|name| {
        let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
        values.flat_map(|text| text.split([';', ','])).any(|word| {
            let word = word.trim();
            ["prefetch", "prerender", "preview"].iter().any(|purpose| word.eq_ignore_ascii_case(purpose))
        })
    });
    if ahead {
        return Err(Error::new(
            Code::Forbidden,
            "Signing in cannot be prepared ahead. Open the address yourself.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    #[test]
    fn only_what_happens_ahead_is_refused() {
        for (name, value, refused) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "Prefetch; anonymous-client-ip", true),
            ("purpose", "prefetch", true),
            ("x-moz", "prefetch", true),
            ("sec-purpose", "something", false),
            ("sec-fetch-mode", "navigate", false),
        ] {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            assert_eq!(super::refuse(&request).is_err(), refused, "{name}: {value}");
        }
    }
}
