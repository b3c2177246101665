//! An operation, as a slice describes it. Who may call it, and how its errors look, follows from the code.

use super::shape::{Shape, text};
use crate::error::Code;

/// Which media types a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// JSON.
    Json,
    /// An HTML form.
    Form,
    /// Either (RFC 6749 asks for a form; JSON clients exist).
    FormOrJson,
}

impl Media {
    /// Their names.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json"],
            Self::Form => &["application/x-www-form-urlencoded"],
            Self::FormOrJson => &["application/x-www-form-urlencoded", "application/json"],
        }
    }
}

/// A parameter of the query or a header.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// `query` or `header`.
    pub place: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it may be, with its description.
    pub shape: Shape,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Body {
    /// In which form.
    pub media: Media,
    /// What.
    pub shape: Shape,
    /// Whether it may be left out.
    pub optional: bool,
}

/// A good answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it says.
    pub about: &'static str,
    /// Its bodies, by media type.
    pub bodies: Vec<(&'static str, Shape)>,
    /// Its headers.
    pub headers: Vec<(&'static str, &'static str)>,
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// GET, POST, PATCH or DELETE.
    pub method: &'static str,
    /// As it stands in the route table.
    pub path: &'static str,
    /// Its name for generated clients. Never changes.
    pub id: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What there is to know beyond that.
    pub description: &'static str,
    /// Parameters beside those of the path.
    pub parameters: Vec<Parameter>,
    /// What is sent.
    pub body: Option<Body>,
    /// The good answers.
    pub answers: Vec<Answer>,
    /// Errors that neither its caller nor the form of its input explains.
    pub errors: Vec<Code>,
    /// How clients authenticate, where that is not what the caller in the route table says.
    pub clients: Clients,
}

/// Whether OAuth clients authenticate here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// No client does.
    None,
    /// A public client names itself, a confidential one authenticates.
    Any,
    /// Confidential ones only.
    Confidential,
    /// Those that want to.
    Optional,
}

fn operation(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        id,
        summary,
        description: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        errors: Vec::new(),
        clients: Clients::None,
    }
}

/// A GET.
#[must_use]
pub fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation("GET", path, id, summary)
}

/// A POST.
#[must_use]
pub fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation("POST", path, id, summary)
}

/// A PATCH.
#[must_use]
pub fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation("PATCH", path, id, summary)
}

/// A DELETE.
#[must_use]
pub fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation("DELETE", path, id, summary)
}

impl Operation {
    /// What there is to know beyond the summary.
    #[must_use]
    pub fn about(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// A parameter of the query.
    #[must_use]
    pub fn query(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("query", name, shape.optional())
    }

    /// A parameter of the query that must be there.
    #[must_use]
    pub fn needs(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("query", name, shape)
    }

    /// A parameter in a header.
    #[must_use]
    pub fn header(self, name: &'static str, shape: Shape) -> Self {
        self.parameter("header", name, shape.optional())
    }

    fn parameter(mut self, place: &'static str, name: &'static str, shape: Shape) -> Self {
        self.parameters.push(Parameter { place, name, shape });
        self
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, shape: Shape) -> Self {
        self.sends(Media::Json, shape, false)
    }

    /// A JSON body that may be left out.
    #[must_use]
    pub fn optional_json(self, shape: Shape) -> Self {
        self.sends(Media::Json, shape, true)
    }

    /// A form.
    #[must_use]
    pub fn form(self, shape: Shape) -> Self {
        self.sends(Media::Form, shape, false)
    }

    /// A form, or the same as JSON.
    #[must_use]
    pub fn form_or_json(self, shape: Shape) -> Self {
        self.sends(Media::FormOrJson, shape, false)
    }

    /// A body.
    #[must_use]
    pub fn sends(self, media: Media, shape: Shape, optional: bool) -> Self {
        Self { body: Some(Body { media, shape, optional }), ..self }
    }

    /// An answer with a JSON body.
    #[must_use]
    pub fn answers(self, status: u16, about: &'static str, shape: Shape) -> Self {
        self.answer(Answer { status, about, bodies: vec![("application/json", shape)], headers: Vec::new() })
    }

    /// 200 with a JSON body.
    #[must_use]
    pub fn ok(self, about: &'static str, shape: Shape) -> Self {
        self.answers(200, about, shape)
    }

    /// 201 with a JSON body.
    #[must_use]
    pub fn created(self, about: &'static str, shape: Shape) -> Self {
        self.answers(201, about, shape)
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(self, status: u16, about: &'static str) -> Self {
        self.answer(Answer { status, about, bodies: Vec::new(), headers: Vec::new() })
    }

    /// A page for a person.
    #[must_use]
    pub fn page(self, about: &'static str) -> Self {
        let html = ("text/html", text("<!doctype html><html lang=\"en\">…</html>"));
        self.answer(Answer { status: 200, about, bodies: vec![html], headers: Vec::new() })
    }

    /// 303, for a browser.
    #[must_use]
    pub fn redirects(self, about: &'static str) -> Self {
        let headers = vec![("Location", "Where the browser goes on.")];
        self.answer(Answer { status: 303, about, bodies: Vec::new(), headers })
    }

    /// Any other answer.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Refuses with these codes as well.
    #[must_use]
    pub fn refuses(mut self, codes: &[Code]) -> Self {
        self.errors.extend(codes);
        self
    }

    /// OAuth clients authenticate here.
    #[must_use]
    pub fn clients(self, clients: Clients) -> Self {
        Self { clients, ..self }
    }

    /// A list, by page.
    #[must_use]
    pub fn paged(self) -> Self {
        self.limited(50)
            .query(
                "page",
                super::shape::integer(1)
                    .from(1)
                    .to(1_000_000)
                    .default(1)
                    .about("The page, from 1. Not together with `offset`."),
            )
            .query(
                "offset",
                super::shape::integer(0).from(0).to(1_000_000).about("Rows to skip, instead of `page`."),
            )
    }

    /// A list with a `limit`.
    #[must_use]
    pub fn limited(self, default: i64) -> Self {
        let limit = super::shape::integer(20).from(1).to(100).default(default);
        self.query("limit", limit.about("The most rows to return."))
    }

    /// A range of days.
    #[must_use]
    pub fn days(self) -> Self {
        use super::shape::day;
        self.query("start_date", day().about("The first day, UTC. Default: 30 days up to the last one."))
            .query(
                "end_date",
                day()
                    .such_as("2026-03-31")
                    .about("The last day, included. Default: today. At most 366 days."),
            )
    }
}
