//! A TOML document as a sequence of `set`: every scalar takes the same way as a value from C or Python.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::code::Code;
use crate::config::{Config, keys};
use crate::error::{Error, Result};

impl Config {
    /// Reads a TOML document; `file` is its name in errors. What is read is not yet complete: see
    /// [`Config::validate`].
    ///
    /// # Errors
    ///
    /// Those of [`Config::set`], with file and line; [`Code::ConfigBadValue`] where the text is no TOML,
    /// [`Code::ConfigMissingKey`] where it names no role.
    pub fn from_toml(text: &str, file: &str) -> Result<Self> {
        let settings = settings(text, file)?;
        let role = settings.iter().find(|setting| setting.key == "role").ok_or_else(|| {
            Error::new(Code::ConfigMissingKey)
                .subject(format!("{file}: role"))
                .expected("role = \"agent\", \"gateway\" or \"management-server\"")
        })?;
        let role = match &role.value {
            Value::Scalar(text) => keys::role(text).map_err(|unfit| (unfit.found, unfit.expected)),
            Value::List(_) => Err(("a list".to_owned(), "one role".to_owned())),
        }
        .map_err(|(found, expected)| {
            Error::new(Code::ConfigBadValue).subject(role.place(file)).found(found).expected(expected)
        })?;
        let mut config = Self::new(role);
        let mut seen = BTreeSet::new();
        for setting in &settings {
            let again = !seen.insert(setting.key.to_ascii_lowercase());
            config.take(setting, again).map_err(|error| error.subject(setting.place(file)))?;
        }
        Ok(config)
    }

    fn take(&mut self, setting: &Setting, again: bool) -> Result<()> {
        if again {
            return Err(Error::new(Code::ConfigBadValue).found("the key a second time").expected("every key once"));
        }
        match &setting.value {
            Value::Scalar(text) => keys::put(self, &setting.key, keys::Given::Text(text)),
            Value::List(list) => {
                let entries: Vec<&str> = list.iter().map(String::as_str).collect();
                keys::put(self, &setting.key, keys::Given::List(&entries))
            }
        }
    }
}

/// One key of the document with its dotted name.
struct Setting {
    key: String,
    line: usize,
    value: Value,
}

enum Value {
    Scalar(String),
    List(Vec<String>),
}

impl Setting {
    fn place(&self, file: &str) -> String {
        format!("{file}:{}: {}", self.line, self.key)
    }
}

/// All keys of the document, in the order in which they are written.
fn settings(text: &str, file: &str) -> Result<Vec<Setting>> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        // The message alone: a snippet of the text could hold a secret.
        Error::new(Code::ConfigBadValue)
            .subject(format!("{file}:{line}"))
            .found(error.message().replace('\n', ", "))
            .expected("TOML")
    })?;
    let mut settings = Vec::new();
    walk(text, file, "", document.get_ref(), &mut settings)?;
    settings.sort_by_key(|setting| setting.line);
    Ok(settings)
}

fn walk(text: &str, file: &str, prefix: &str, table: &DeTable<'_>, settings: &mut Vec<Setting>) -> Result<()> {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        let line = line_of(text, name.span().start);
        let unfit = |found: &str| {
            Error::new(Code::ConfigBadValue)
                .subject(format!("{file}:{line}: {key}"))
                .found(found)
                .expected("a text, number or boolean, or a list of them")
        };
        let value = match value.get_ref() {
            DeValue::Table(inner) => {
                // Nesting is bounded by the parser.
                walk(text, file, &format!("{key}."), inner, settings)?;
                continue;
            }
            DeValue::Array(entries) => {
                let texts = entries.iter().map(|entry| scalar(entry.get_ref()));
                Value::List(texts.collect::<Option<_>>().ok_or_else(|| unfit("a list of lists or tables"))?)
            }
            other => Value::Scalar(scalar(other).ok_or_else(|| unfit(other.type_str()))?),
        };
        settings.push(Setting { key, line, value });
    }
    Ok(())
}

/// A scalar as the text that `set` takes.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
