//! Where settings come from: the process environment, then `.env` in the working directory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::env::VarError;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::keys::{self, Key};
use super::problems::{Problem, Problems, Wrong};
use super::secret::Secret;

/// Raw settings by name.
pub trait Source {
    /// The text of a setting. An empty text counts as unset.
    fn get(&self, name: &str) -> Option<&str>;

    /// The folder from which relative paths start. Empty: the working directory.
    fn folder(&self) -> &Path {
        Path::new("")
    }

    /// What is wrong with the source itself, such as an unreadable `.env`.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// The process environment over `.env`, read once.
#[derive(Debug)]
pub struct Environment {
    folder: PathBuf,
    values: BTreeMap<String, Secret<String>>,
    problems: Problems,
}

impl Environment {
    /// Reads the process environment and `.env` in the working directory.
    ///
    /// The process environment wins. `.env` is parsed into this value alone: nothing is written to the process
    /// environment, where child processes and crash dumps would see it.
    #[must_use]
    pub fn read() -> Self {
        Self::layered(Path::new(""), process_variable)
    }

    fn layered(folder: &Path, process: impl Fn(&str) -> Result<String, VarError>) -> Self {
        let mut environment =
            Self { folder: folder.to_path_buf(), values: BTreeMap::new(), problems: Problems::default() };
        environment.read_file();
        for name in known_names() {
            match process(&name) {
                Ok(value) => {
                    environment.values.insert(name, Secret::new(value));
                }
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(_)) => {
                    environment.problems.add(name, Wrong::new("is not valid UTF-8", "set plain text"));
                }
            }
        }
        environment
    }

    fn read_file(&mut self) {
        let mut text = String::new();
        let opened = std::fs::File::open(self.folder.join(".env"));
        match opened.and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                let wrong =
                    Wrong::new(format!("cannot be read: {error}"), "make it readable text, or remove it");
                return self.problems.add(".env", wrong);
            }
        }
        let text = Secret::new(text);
        let unmarked = text.expose().trim_start_matches('\u{feff}');
        let mut place = "at its beginning".to_owned();
        for line in dotenvy::from_read_iter(unmarked.as_bytes()) {
            match line {
                Ok((name, value)) => {
                    place = format!("after {name}");
                    self.add_line(name, value);
                }
                // The error quotes the line, which may hold a secret: only the place is told.
                Err(_) => {
                    let wrong = Wrong::new(
                        format!("has a line that cannot be read, {place}"),
                        "write NAME=value, and quote values that hold spaces, # or $ with single quotes",
                    );
                    self.problems.add(".env", wrong);
                }
            }
        }
    }

    fn add_line(&mut self, name: String, value: String) {
        let known: Vec<String> = known_names().collect();
        if !known.contains(&name) {
            if let Some(meant) = nearest(&name, &known) {
                let wrong = Wrong::new("is not a setting of this service", format!("did you mean {meant}?"));
                self.problems.add(format!("{name} (in .env)"), wrong);
            }
            return;
        }
        match self.values.entry(name) {
            Entry::Vacant(free) => {
                free.insert(Secret::new(value));
            }
            Entry::Occupied(taken) => {
                let wrong = Wrong::new("is set more than once", "keep one line");
                self.problems.add(format!("{} (in .env)", taken.key()), wrong);
            }
        }
    }
}

impl Source for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.expose().as_str())
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.as_slice().to_vec()
    }
}

#[allow(clippy::disallowed_methods)] // the one place that may look at the process environment
fn process_variable(name: &str) -> Result<String, VarError> {
    std::env::var(name)
}

fn known_names() -> impl Iterator<Item = String> {
    keys::ALL.iter().flat_map(|key| {
        let file = key.secret.then(|| file_name_of(*key));
        std::iter::once(key.name.to_owned()).chain(file)
    })
}

pub(super) fn file_name_of(key: Key) -> String {
    format!("{}_FILE", key.name)
}

/// The known name that somebody who typed `name` most likely meant.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let typed = name.to_ascii_uppercase();
    // Two slips in a long name; one in a short name, where two would reach settings of other programs.
    let slips = if typed.len() < 8 { 1 } else { 2 };
    known
        .iter()
        .map(|candidate| (edit_distance(&typed, candidate), candidate.as_str()))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many single letters must be inserted, removed or replaced to turn one word into the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (above, other) in row.windows(2).zip(&b) {
            let &[diagonal, up] = above else { break };
            left = (left + 1).min(up + 1).min(diagonal + usize::from(letter != *other));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(dotenv: &str, process: &[(&str, &str)]) -> Environment {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), dotenv).unwrap();
        Environment::layered(folder.path(), |name| {
            let found = process.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn the_process_environment_wins_over_the_file() {
        let source = environment("SERVER_PORT=1\nBASE_URL=https://a.test\n", &[("SERVER_PORT", "2")]);
        assert_eq!(source.get("SERVER_PORT"), Some("2"));
        assert_eq!(source.get("BASE_URL"), Some("https://a.test"));
        assert!(source.problems().is_empty());
    }

    #[test]
    fn a_typo_in_the_file_is_named_with_the_setting_that_was_meant() {
        let source = environment("SEVRER_PORT=1\njwt_secret=x\nMY_OTHER_TOOL=1\nSTRIPE_API_BASE=x\n", &[]);
        let fixes: Vec<_> = source.problems().into_iter().map(|problem| problem.fix).collect();
        assert_eq!(fixes, ["did you mean SERVER_PORT?", "did you mean JWT_SECRET?"]);
    }

    #[test]
    fn a_broken_line_is_reported_without_its_value() {
        let source = environment("JWT_SECRET=hunter2 hunter3\nSERVER_PORT=1\nhunter4 hunter5\n", &[]);
        let problems = format!("{:?}", source.problems());
        assert!(
            problems.contains("at its beginning") && problems.contains("after SERVER_PORT"),
            "{problems}"
        );
        assert!(!problems.contains("hunter"), "{problems}");
    }

    #[test]
    fn a_setting_given_twice_is_a_problem() {
        let source = environment("SERVER_PORT=1\nSERVER_PORT=2\n", &[]);
        assert_eq!(source.problems()[0].key, "SERVER_PORT (in .env)");
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
