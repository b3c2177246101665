//! What is wrong with the configuration, all of it at once.

use std::fmt;

/// One thing to fix. Its text never holds the value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting or file that is wrong.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What to set instead.
    pub fix: String,
}

/// Everything that keeps the service from starting. Displayed as a block for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order of the settings.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.0.extend(problems);
    }

    pub(super) fn add(&mut self, key: impl Into<String>, wrong: Wrong) {
        self.0.push(Problem { key: key.into(), what: wrong.what, fix: wrong.fix });
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        writeln!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
        for Problem { key, what, fix } in &self.0 {
            write!(f, "\n  {key}\n    {what}\n    -> {fix}\n")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why a value is not accepted, before it is known which setting it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    what: String,
    fix: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}
