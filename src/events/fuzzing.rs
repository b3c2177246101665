//! Fuzz targets of what only this folder sees: see `crate::fuzzing`.

use actix_web::http::header::{ACCEPT, HeaderMap, HeaderValue};
use gatehouse_actors::data::events::{Position, event_id};

use super::rules::{asked, wants_stream};
use crate::fuzzing::{lines, text};
use crate::http::input::Params;

const ORG: &str = "01a20ba8-c57d-70b9-93e1-4ad8d9a1ddcf";

/// The query of a reader of the feed, and the id of the last event that it saw.
pub(crate) fn cursor(data: &[u8]) {
    let Some([query, last]) = lines::<2>(data) else { return };
    let Ok(params) = Params::from_query(query) else { return };
    for last in [None, Some(last)] {
        let cursor = last.or_else(|| params.get("after"));
        let Ok(asked) = asked(&params, ORG, last) else { continue };
        match asked.position {
            Position::After(sequence, at) => {
                assert_eq!(cursor, Some(event_id(ORG, sequence, at).as_str()), "one way to write a cursor");
            }
            Position::Oldest => assert_eq!(cursor, None),
            Position::Newest => assert_eq!(cursor, Some("latest")),
        }
    }
    let mut headers = HeaderMap::new();
    if let Some(value) = text(data).and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(ACCEPT, value);
        let _ = wants_stream(&headers);
    }
}
