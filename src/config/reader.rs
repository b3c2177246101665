//! Reads one setting after the other and keeps every complaint, so that all of them are shown at once.

use super::keys::Key;
use super::problems::{Problems, Wrong};
use super::secret::Secret;
use super::source::{Source, file_name_of};

pub(super) struct Reader<'a> {
    source: &'a dyn Source,
    pub(super) problems: Problems,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn Source) -> Self {
        let mut problems = Problems::default();
        problems.extend(source.problems());
        Self { source, problems }
    }

    /// Notes that a setting is wrong.
    pub(super) fn wrong(&mut self, key: Key, wrong: Wrong) {
        self.problems.add(key.name, wrong);
    }

    /// The text of a setting that is no secret.
    pub(super) fn text(&self, key: Key) -> Option<String> {
        debug_assert!(!key.secret);
        self.raw(key.name).map(ToOwned::to_owned)
    }

    /// The text of a secret, from the setting itself or from the file that `NAME_FILE` names.
    pub(super) fn secret(&mut self, key: Key) -> Option<Secret<String>> {
        debug_assert!(key.secret);
        let file_key = file_name_of(key);
        match (self.raw(key.name), self.raw(&file_key)) {
            (None, None) => None,
            (Some(text), None) => Some(Secret::new(text.to_owned())),
            (Some(_), Some(_)) => {
                let what = format!("is set together with {file_key}");
                self.wrong(key, Wrong::new(what, "keep one of the two"));
                None
            }
            (None, Some(path)) => match std::fs::read_to_string(self.source.folder().join(path)) {
                Ok(text) if text.trim().is_empty() => {
                    let wrong =
                        Wrong::new(format!("names an empty file: {path}"), "write the secret into it");
                    self.problems.add(file_key, wrong);
                    None
                }
                Ok(text) => {
                    let text = Secret::new(text);
                    Some(Secret::new(text.expose().trim().to_owned()))
                }
                Err(error) => {
                    let what = format!("names a file that cannot be read: {path}: {error}");
                    self.problems.add(file_key, Wrong::new(what, "name a readable text file"));
                    None
                }
            },
        }
    }

    /// True when the setting, or its file, is there at all, whether or not its value is any good.
    pub(super) fn is_set(&self, key: Key) -> bool {
        self.raw(key.name).is_some() || (key.secret && self.raw(&file_name_of(key)).is_some())
    }

    /// A setting that is no secret, parsed. None when it is unset or wrong.
    pub(super) fn parsed<T>(&mut self, key: Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(key)?;
        self.accept(key, parse(&text))
    }

    /// A list separated by commas, each item parsed. Empty items are skipped.
    pub(super) fn list<T>(&mut self, key: Key, parse: impl Fn(&str) -> Result<T, Wrong>) -> Vec<T> {
        let text = self.text(key).unwrap_or_default();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.filter_map(|item| self.accept(key, parse(item))).collect()
    }

    /// The value, or None with the complaint noted.
    pub(super) fn accept<T>(&mut self, key: Key, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.wrong(key, wrong)).ok()
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.source.get(name).map(str::trim).filter(|text| !text.is_empty())
    }
}
