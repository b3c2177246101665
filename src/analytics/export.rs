//! An organization's login events as a file, read and sent piece by piece.

use std::io;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream};
use gatehouse_actors::clock::Millis;
use gatehouse_actors::data::analytics::{BeginExport, Days, LoginRecord, LoginsAfter};
use gatehouse_actors::data::login_events::day_of;
use gatehouse_actors::store::Store;

use super::csv;
use super::view::LoginBody;
use crate::error::Error;
use crate::http::caller::Call;
use crate::http::days;
use crate::http::input::{Params, Query};
use crate::http::management::{AtLeastAdmin, OrganizationCaller, audit_context};
use crate::state::App;

/// Events that are read, and held in memory, at a time. The first piece is small, so that the file begins at once however
/// long it is; each is twice the one before.
const FIRST_PIECE: i64 = 50;
const LARGEST_PIECE: i64 = 500;

const COLUMNS: [&str; 12] = [
    "id",
    "created_at",
    "outcome",
    "reason",
    "method",
    "user_id",
    "email",
    "service_id",
    "service_name",
    "provider",
    "ip_address",
    "user_agent",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
}

impl Format {
    fn parse(params: &Params) -> Result<Self, Error> {
        match params.get("format") {
            None | Some("csv") => Ok(Self::Csv),
            Some("ndjson") => Ok(Self::Ndjson),
            Some(_) => Err(Error::invalid("format", "format must be csv or ndjson.")),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            // RFC 4180, section 3.
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// `GET /api/organizations/{org}/analytics/export`
pub async fn export(
    app: Data<App>,
    request: HttpRequest,
    call: Call<OrganizationCaller<AtLeastAdmin>, Query>,
) -> Result<HttpResponse, Error> {
    let Call { caller, input: Query(params) } = call;
    let format = Format::parse(&params)?;
    let days = days::range(&params, app.clock.now())?;
    let (start_date, end_date) = (days::written(days.first), days::written(days.last));
    let name = format!("logins-{}-{start_date}-{end_date}", caller.organization.slug);
    let begin = BeginExport {
        org_id: caller.organization.id,
        org_public_id: caller.organization.public_id,
        days,
        written_days: (start_date, end_date),
        format: format.extension(),
        audit: audit_context(&app, &request, Some(&caller.subject)),
    };
    let org_id = begin.org_id;
    let events = app.store.write(begin).await;
    let events = events.map_err(|error| Error::from_op(error, |()| Error::internal("refused")))?;
    // Up to the last event there is now: an export of today ends although people go on signing in.
    let (first, until) = events.unwrap_or((1, 0));
    let export = Export {
        store: app.store.clone(),
        org_id,
        days,
        format,
        after: first - 1,
        until,
        piece: FIRST_PIECE,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.content_type()))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.{}\"", format.extension()),
        ))
        .streaming(pieces(export)))
}

/// An export under way.
struct Export {
    store: Store,
    org_id: i64,
    days: Days,
    format: Format,
    after: i64,
    until: i64,
    piece: i64,
}

/// The file in pieces. Each is read when the one before has been sent, so that a slow client holds one in memory and
/// nothing in the database. A read that fails breaks the answer off, which the client sees from its missing end.
fn pieces(export: Export) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let header = match export.format {
        Format::Csv => {
            let mut line = Vec::new();
            csv::record(&mut line, COLUMNS);
            line
        }
        Format::Ndjson => Vec::new(),
    };
    stream::try_unfold((export, header), |(mut export, mut piece)| async move {
        while export.after < export.until {
            let after = export.after;
            export.read_into(&mut piece).await.map_err(|error| {
                log::error!(reason:% = error, after = after; "export broken off");
                io::Error::other("export broken off")
            })?;
            if !piece.is_empty() {
                break;
            }
        }
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (export, Vec::new()))))
    })
}

impl Export {
    async fn read_into(&mut self, piece: &mut Vec<u8>) -> Result<(), Error> {
        let Self { org_id, after, until, piece: limit, .. } = *self;
        let events = self.store.read(LoginsAfter { org_id, after, until, limit }).await?;
        self.piece = (limit * 2).min(LARGEST_PIECE);
        self.after = events.last().map_or(until, |event| event.id);
        for event in events.into_iter().filter(|event| self.covers(event.created_at)) {
            self.write(piece, event)?;
        }
        Ok(())
    }

    /// The row ids are those of the days, but for events of other days when the clock once went back.
    fn covers(&self, moment: Millis) -> bool {
        (self.days.first..=self.days.last).contains(&day_of(moment))
    }

    fn write(&self, piece: &mut Vec<u8>, event: LoginRecord) -> Result<(), Error> {
        let login = LoginBody::from(event);
        match self.format {
            Format::Csv => csv::record(piece, fields(&login)),
            Format::Ndjson => {
                serde_json::to_writer(&mut *piece, &login).map_err(Error::internal)?;
                piece.push(b'\n');
            }
        }
        Ok(())
    }
}

/// In the order of [`COLUMNS`].
fn fields(login: &LoginBody) -> [&str; 12] {
    [
        &login.id,
        &login.created_at,
        login.outcome,
        login.reason.as_deref().unwrap_or_default(),
        &login.method,
        login.user_id.as_deref().unwrap_or_default(),
        login.email.as_deref().unwrap_or_default(),
        login.service_id.as_deref().unwrap_or_default(),
        login.service_name.as_deref().unwrap_or_default(),
        &login.provider,
        &login.ip_address,
        &login.user_agent,
    ]
}
