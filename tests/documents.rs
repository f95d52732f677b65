//! The documents say what the code says: the generated ones are compared, the written ones are tried.
//!
//! `FARPOST_WRITE_DOCUMENTS=1 cargo test --test documents` writes the generated ones anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use farpost::{Code, Config};

#[test]
fn e1_the_list_of_codes_is_that_of_the_table() {
    let mut text = String::from(CODES_HEAD);
    let mut range = 0;
    for code in Code::ALL {
        if range != code.number() / 1_000 {
            range = code.number() / 1_000;
            let title = RANGES.iter().find(|(number, _)| *number == range).expect("a range of the table").1;
            put(&mut text, format_args!("\n## FP{range}xxx {title}\n\n{CODES_COLUMNS}"));
        }
        let event = code.operations_manager_event().map_or("—".to_owned(), |event| event.to_string());
        let (name, severity) = (code.name(), code.severity().as_str());
        let remedy = if code.remedy().is_empty() { "—" } else { code.remedy() };
        put(&mut text, format_args!("| {code} | `{name}` | {severity} | {event} | {} | {remedy} |", code.summary()));
    }
    compare("docs/codes.md", &text);
}

#[test]
fn the_list_of_keys_is_that_of_the_schema() {
    compare("docs/configuration.md", &format!("{KEYS_HEAD}\n```text\n{}```\n", Config::reference()));
}

#[test]
fn every_configuration_in_the_readme_can_be_used() {
    let readme = read("README.md");
    let configurations: Vec<&str> = blocks(&readme).filter(|text| text.starts_with("role = ")).collect();
    assert!(configurations.len() >= 3, "the three roles");
    for text in configurations {
        let config = Config::from_toml(text, "README.md").unwrap_or_else(|error| panic!("{error}\n{text}"));
        config.validate().unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

/// The texts between fences, and the here-documents in them.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced.flat_map(|block| {
        let body = block.split_once('\n').map_or("", |(_, body)| body);
        let documents = body.split("<<'END'\n").skip(1).filter_map(|rest| rest.split_once("\nEND"));
        std::iter::once(body).chain(documents.map(|(document, _)| document))
    })
}

#[test]
fn what_the_architecture_names_is_there() {
    let missing: Vec<String> = read("ARCHITECTURE.md")
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| ["src/", "tests/", "docs/", "fuzz/", "include/"].iter().any(|root| name.starts_with(root)))
        .filter(|name| !root().join(name).exists())
        .map(str::to_owned)
        .collect();
    assert!(missing.is_empty(), "not there: {}", missing.join(", "));
}

#[test]
fn every_test_that_the_architecture_names_is_there() {
    let sources = [sources_of("src"), sources_of("tests")].concat().join("\n");
    let text = read("ARCHITECTURE.md");
    let names = text.split('`').skip(1).step_by(2).filter(|name| {
        name.matches('_').count() >= 3 && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    });
    let missing: Vec<&str> = names.filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such test: {}", missing.join(", "));
}

fn sources_of(directory: &str) -> Vec<String> {
    let mut directories = vec![root().join(directory)];
    let mut texts = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    texts
}

/// Fails if a generated document is not what it should be; writes it where that is asked for.
fn compare(document: &str, text: &str) {
    if std::env::var_os("FARPOST_WRITE_DOCUMENTS").is_some() {
        std::fs::write(root().join(document), text).expect("the document is written");
    }
    assert!(
        read(document) == text,
        "{document} is not what the code says: FARPOST_WRITE_DOCUMENTS=1 cargo test --test documents, then commit it"
    );
}

fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes it");
}

const RANGES: [(u16, &str); 6] = [
    (1, "identity"),
    (2, "links and routing"),
    (3, "group"),
    (4, "queue and delivery"),
    (5, "configuration and use"),
    (9, "farpost's own faults"),
];

const CODES_HEAD: &str = "\
# Codes

Every error and every event of farpost has one of these codes. A number never changes its meaning. *Event* is the number
by which administrators of Operations Manager know the matter. In C the code `QueueFull` is `FARPOST_CODE_QUEUE_FULL`;
a failed call returns its negative.

Written by `tests/documents.rs` from `src/code.rs`: change that.
";

const CODES_COLUMNS: &str = "\
| code | name | severity | event | what happened | what to do |
|---|---|---|---|---|---|";

const KEYS_HEAD: &str = "\
# Configuration

Every key of a configuration file, as `farpost config reference` prints it. The same keys are taken by `set(key, value)`
of the Rust builders and of the C interface. Durations are `500ms`, `30s`, `5m`, `1h`; sizes `64KiB`, `256MiB`. In a
file keys before a dot are tables:

```toml
role = \"agent\"
[queue]
bytes_max = \"256MiB\"
[hosts]
\"gw1.branch.example\" = [\"10.1.0.4\"]
```

An unknown key is an error that names the nearest one. `farpost config check --config FILE` reads a file as a node would.

Written by `tests/documents.rs` from `src/config/keys.rs`: change that.
";
