//! The pages of the API document.

use askama::Template;

/// `GET /docs`: what there is.
#[derive(Debug, Clone, Template)]
#[template(path = "docs_overview.html")]
pub struct DocsOverview {
    /// The version of the service.
    pub version: String,
    /// What holds everywhere.
    pub introduction: Vec<String>,
    /// Its topics.
    pub topics: Vec<TopicLink>,
    /// The ways to authenticate: name and description.
    pub schemes: Vec<(String, String)>,
}

/// A topic, as the overview shows it.
#[derive(Debug, Clone)]
pub struct TopicLink {
    /// Its page.
    pub href: String,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Its operations.
    pub operations: Vec<Line>,
}

/// An operation, as the overview shows it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its name, also in the address of its section.
    pub id: String,
    /// The method.
    pub method: String,
    /// The address.
    pub path: String,
    /// What it does.
    pub summary: String,
}

/// `GET /docs/{topic}`
#[derive(Debug, Clone, Template)]
#[template(path = "docs_topic.html")]
pub struct DocsTopic {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// Its operations.
    pub operations: Vec<Operation>,
}

/// An operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name, also in the address of its section.
    pub id: String,
    /// The method.
    pub method: String,
    /// The address.
    pub path: String,
    /// What it does.
    pub summary: String,
    /// What else there is to know.
    pub about: Vec<String>,
    /// The ways to authenticate, each enough.
    pub security: Vec<String>,
    /// Parameters of path, query and header.
    pub parameters: Vec<Member>,
    /// Media types of the body; empty without one.
    pub media: String,
    /// The members of the body.
    pub body: Vec<Member>,
    /// An example of the body.
    pub example: String,
    /// What it answers.
    pub answers: Vec<Answer>,
}

/// A member of a body, or a parameter.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// How deep inside other members it stands.
    pub depth: usize,
    /// What it may be.
    pub kind: String,
    /// Whether it must be, or always is, there.
    pub required: bool,
    /// What there is to know.
    pub about: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: String,
    /// What it says.
    pub about: String,
    /// Its media types.
    pub media: String,
    /// The members of its body.
    pub members: Vec<Member>,
    /// An example of its body.
    pub example: String,
}
