//! Arguments: `--key value`, and flags without a value. No parser of a library: the processes hand them on as they are.

use std::path::PathBuf;

/// The arguments of a process of this benchmark.
#[derive(Clone, Default)]
pub(crate) struct Options(Vec<(String, Option<String>)>);

impl Options {
    /// Those of this process; cargo's own `--bench` is one that nobody asks for.
    pub(crate) fn of_process() -> Self {
        let mut options = Self::default();
        for argument in std::env::args().skip(1) {
            match (argument.strip_prefix("--"), options.0.last_mut()) {
                (Some(key), _) => options.0.push((key.to_owned(), None)),
                (None, Some((_, value @ None))) => *value = Some(argument),
                (None, _) => panic!("what is {argument}?"),
            }
        }
        options
    }

    /// The same with one more, which wins.
    pub(crate) fn with(&self, key: &str, value: impl ToString) -> Self {
        let mut options = self.clone();
        options.0.push((key.to_owned(), Some(value.to_string())));
        options
    }

    /// The same with one more flag.
    pub(crate) fn with_flag(&self, key: &str) -> Self {
        let mut options = self.clone();
        options.0.push((key.to_owned(), None));
        options
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| known == key)
    }

    pub(crate) fn text(&self, key: &str, otherwise: &str) -> String {
        let value = self.0.iter().rev().find(|(known, _)| known == key).and_then(|(_, value)| value.clone());
        value.unwrap_or_else(|| otherwise.to_owned())
    }

    pub(crate) fn number(&self, key: &str, otherwise: u64) -> u64 {
        let text = self.text(key, &otherwise.to_string());
        text.parse().unwrap_or_else(|_| panic!("--{key} {text}: a number is wanted"))
    }

    /// The lab's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from(self.text("directory", "."))
    }

    /// For a process that gets the same.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flat_map(|(key, value)| std::iter::once(format!("--{key}")).chain(value.clone()))
    }
}
