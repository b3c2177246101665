//! What a reader of the feed asks for.

use actix_web::http::header::{ACCEPT, HeaderMap};
use gatehouse_actors::data::events::{EventType, Position, place_of};

use crate::error::Error;
use crate::http::input::Params;

/// In place of a cursor: only what comes.
const LATEST: &str = "latest";

/// Where to go on, and which events are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) position: Position,
    pub(super) types: Option<Vec<EventType>>,
}

/// Reads `after` and `types`. `last_event_id` is what a browser sends that was cut off; it knows better than the
/// address that it began with.
pub(super) fn asked(
    params: &Params,
    org_public_id: &str,
    last_event_id: Option<&str>,
) -> Result<Asked, Error> {
    let position = match last_event_id.or_else(|| params.get("after")) {
        None => Position::Oldest,
        Some(LATEST) => Position::Newest,
        Some(cursor) => {
            let (sequence, at) = place_of(org_public_id, cursor).ok_or_else(|| {
                Error::invalid("after", "after must be a cursor of this organization's feed, or latest.")
            })?;
            Position::After(sequence, at)
        }
    };
    Ok(Asked { position, types: types(params)? })
}

fn types(params: &Params) -> Result<Option<Vec<EventType>>, Error> {
    let Some(words) = params.get("types") else { return Ok(None) };
    let parse = |word: &str| {
        EventType::parse(word.trim()).ok_or_else(|| {
            let known: Vec<&str> = EventType::ALL.iter().map(|one| one.as_str()).collect();
            Error::invalid("types", format!("types may hold, separated by commas: {}.", known.join(", ")))
        })
    };
    words.split(',').map(parse).collect::<Result<Vec<_>, _>>().map(Some)
}

/// Whether the client asks for server-sent events.
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |one| {
            let media_type = one.split(';').next().unwrap_or_default();
            media_type.trim().eq_ignore_ascii_case("text/event-stream")
        },
    )
}

/// For a cursor that leads nowhere any more.
pub(super) fn out_of_reach() -> Error {
    Error::invalid(
        "after",
        "The feed does not go back that far any more, or not yet on to there. Begin again without after.",
    )
}

#[cfg(test)]
mod tests {
    use gatehouse_actors::data::events::event_id;

    use super::*;

    const ORG: &str = "0198c0de-0000-7000-8000-000000000001";

    fn of(query: &str, last_event_id: Option<&str>) -> Result<Asked, Error> {
        asked(&Params::from_query(query).unwrap(), ORG, last_event_id)
    }

    #[test]
    fn a_cursor_is_the_id_of_an_event() {
        let (third, fifth) = (event_id(ORG, 3, 1), event_id(ORG, 5, 1));
        assert_eq!(of("", None).unwrap().position, Position::Oldest);
        assert_eq!(of("after=latest", None).unwrap().position, Position::Newest);
        assert_eq!(of(&format!("after={third}"), None).unwrap().position, Position::After(3, 1));
        assert_eq!(of(&format!("after={third}"), Some(&fifth)).unwrap().position, Position::After(5, 1));
        for wrong in ["1", "x", "0198c0de-0000-7000-8000-000000000001"] {
            assert_eq!(of(&format!("after={wrong}"), None).unwrap_err().fields, ["after"]);
            assert!(of("", Some(wrong)).is_err());
        }
    }

    #[test]
    fn types_are_words_that_exist() {
        let types = of("types=user.created,session.ended", None).unwrap().types.unwrap();
        assert_eq!(types, [EventType::UserCreated, EventType::SessionEnded]);
        assert_eq!(of("", None).unwrap().types, None);
        for wrong in ["user", "user.created,", "user.created,user.created;x", "*"] {
            assert_eq!(of(&format!("types={wrong}"), None).unwrap_err().fields, ["types"], "{wrong}");
        }
    }
}
