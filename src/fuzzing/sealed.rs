//! What was sealed here and comes back from outside: cookies and backups.

use actix_web::http::header::{COOKIE, HeaderValue};
use actix_web::test::TestRequest;
use gatehouse_actors::backup::fuzzing::{made_at, open, seal};
use gatehouse_actors::backup::{BackupKey, file_name, is_sealed};
use serde_json::Value;

use super::{changed, text};
use crate::crypto::random::Random;
use crate::crypto::sealed::Sealer;
use crate::http::cookie::CookieJar;

const NAME: &str = "gatehouse-login-x";

/// Bytes of a Cookie header; and the bytes as a sealed value, or as changes to one.
pub(super) fn cookie(data: &[u8]) {
    let sealer = Sealer::new(&[[7; 32]]);
    // The fuzzer sees what is compared, and could present a genuine cookie: so another key than theirs.
    assert_eq!(Sealer::new(&[[8; 32]]).open(NAME, data), None, "a stranger sealed it");
    let genuine = sealer.seal(&Random::default(), NAME, b"{\"a\":1}").unwrap();
    let forged = changed(&genuine, data);
    assert_eq!(sealer.open(NAME, &forged).is_some(), forged == genuine);
    assert_eq!(sealer.open("another", &genuine), None);

    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let request = TestRequest::default().insert_header((COOKIE, value)).to_http_request();
    for secure in [false, true] {
        let jar = CookieJar { secure };
        assert_eq!(jar.open::<Value>(&Sealer::new(&[[8; 32]]), &request, NAME), None);
        let given = jar.text(&request, NAME);
        let names = jar.names_with(&request, "gatehouse-");
        assert!(names.iter().all(|name| name.starts_with("gatehouse-")));
        let times = names.iter().filter(|name| *name == NAME).count();
        assert_eq!(given.is_some(), times == 1, "a cookie that is given twice is none");
    }
}

/// A file that is said to be a backup; and the bytes as the content of one, sealed and opened again.
pub(super) fn backup(data: &[u8]) {
    let [key, other] = [3, 4].map(|byte| BackupKey::try_from([byte; 32].as_slice()).unwrap());
    let opened_with = |key: &BackupKey, sealed: &[u8]| {
        let mut plain = Vec::new();
        open(key, &mut &*sealed, &mut plain).ok().map(|()| plain)
    };
    let opened = |sealed: &[u8]| opened_with(&key, sealed);
    assert_eq!(opened_with(&other, data), None, "a stranger sealed it");
    let mut sealed = Vec::new();
    seal(&key, &mut &*data, &mut sealed).unwrap();
    assert!(is_sealed(&sealed));
    assert_eq!(opened(&sealed).as_deref(), Some(data));
    assert_eq!(opened(&sealed[..sealed.len() - 1]), None, "it was cut off");
    let forged = changed(&sealed, data);
    assert_eq!(opened(&forged).is_some(), forged == sealed);
    // A name beside ours in the folder of backups is left alone.
    if let Some(name) = text(data)
        && let Some(at) = made_at(name)
    {
        assert!([true, false].into_iter().any(|sealed| file_name(at, sealed) == name));
    }
}
