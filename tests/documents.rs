//! The documents say what the code says: the generated ones are compared, the written ones are tried.
//!
//! `FARPOST_WRITE_DOCUMENTS=1 cargo test --test documents` writes the generated ones anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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

#[test]
fn the_c_in_the_readme_compiles() {
    let readme = read("README.md");
    let bodies: Vec<&str> = fenced(&readme).filter(|(language, _)| *language == "c").map(|(_, body)| body).collect();
    assert!(!bodies.is_empty());
    let directory = tempfile::tempdir().expect("a temporary directory");
    for body in bodies {
        let program = directory.path().join("readme.c");
        let text = format!("{C_HEAD}int try(const uint8_t *bytes, size_t length)\n{{\n{body}\nreturn 0;\n}}\n");
        std::fs::write(&program, text).expect("the program is written");
        let mut compiler = Command::new("gcc");
        compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-empty-body", "-fsyntax-only", "-I"]);
        let Ok(output) = compiler.arg(root().join("include")).arg(&program).output() else {
            assert!(std::env::var_os("CI").is_none(), "gcc is missing");
            eprintln!("skipped: gcc is missing");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The fenced texts of a document, each with its language.
fn fenced(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// The fenced texts, and the here-documents in them.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    fenced(text).flat_map(|(_, body)| {
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

const C_HEAD: &str = "\
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include \"farpost.h\"
int try(const uint8_t *bytes, size_t length);
";

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
