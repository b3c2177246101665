//! What RFC 9112 has a server refuse and the HTTP library lets through.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LENGTH, HOST, UPGRADE};

use crate::error::Error;

/// Refuses a message that others, on its way here, may have understood in another way.
pub fn check(request: &HttpRequest) -> Result<(), Error> {
    let headers = request.headers();
    // Section 3.2. Nothing here goes by the name of the host, but what stands in front may.
    if headers.get(HOST).is_some_and(|host| !host.as_bytes().iter().copied().all(may_be_in_host)) {
        return Err(Error::bad_request("The Host header field is not a host."));
    }
    // Section 6.3: the library takes whatever follows such a head for its body, without regard to its length, and so
    // would swallow the next request of a proxy that counts.
    let wants_websocket = headers
        .get_all(UPGRADE)
        .any(|value| value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("websocket")));
    if wants_websocket && headers.contains_key(CONTENT_LENGTH) {
        return Err(Error::bad_request("There is no WebSocket here, and its handshake has no body."));
    }
    Ok(())
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2.2): the letters that it is made of.
fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn hosts_are_hosts() {
        for good in
            ["", "a.test", "a.test:443", "192.0.2.1:80", "[2001:db8::1]:8443", "xn--bcher-kva.test", "a_b"]
        {
            assert!(
                check(&TestRequest::default().insert_header((HOST, good)).to_http_request()).is_ok(),
                "{good}"
            );
        }
        for bad in ["a b", "a/b", "u@a.test", "a.test?", "a.test#", "a\\b", "\"a\"", "http://a.test", "a\tb"]
        {
            assert!(
                check(&TestRequest::default().insert_header((HOST, bad)).to_http_request()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_websocket_handshake_with_a_length_is_refused() {
        let with = |upgrade: &str, length: Option<u32>| {
            let mut request = TestRequest::default().insert_header((UPGRADE, upgrade));
            if let Some(length) = length {
                request = request.insert_header((CONTENT_LENGTH, length));
            }
            check(&request.to_http_request()).is_ok()
        };
        assert!(!with("websocket", Some(5)) && !with("WebSocket ", Some(0)));
        assert!(with("websocket", None) && with("h2c", Some(5)));
    }
}
