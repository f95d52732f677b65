//! Writes the C header (feature `capi`) from src/ffi and src/code.rs.
//!
//! It goes to OUT_DIR; in this project's own checkout `include/farpost.h` is refreshed too, if it differs.
//! FARPOST_HEADER_CHECK=1 makes a difference an error instead: a release never ships another header than its code's.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    header::write();
}

#[cfg(feature = "capi")]
mod header {
    use std::collections::HashMap;
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// The Rust types of src/ffi and their names in C.
    const NAMES: [(&str, &str); 10] = [
        ("Status", "farpost_status_t"),
        ("ErrorObject", "farpost_error_t"),
        ("ConfigObject", "farpost_config_t"),
        ("EventObject", "farpost_event_t"),
        ("Session", "farpost_session_t"),
        ("SendOptions", "farpost_send_options_t"),
        ("Receipt", "farpost_receipt_t"),
        ("TrustObject", "farpost_trust_t"),
        ("ReportObject", "farpost_report_t"),
        ("VerifyOptions", "farpost_verify_options_t"),
    ];

    /// Results that programs look for by name: the negatives of codes.
    const RESULTS: [(&str, &str); 12] = [
        ("FULL", "QueueFull"),
        ("CLOSED", "Closed"),
        ("FORKED", "Forked"),
        ("THREAD", "WrongThread"),
        ("TIMED_OUT", "TimedOut"),
        ("NULL", "NullArgument"),
        ("UTF8", "NotUtf8"),
        ("ROLE", "RoleWrong"),
        ("WOULD_BLOCK", "WouldBlock"),
        ("ARGUMENT", "ArgumentInvalid"),
        ("INTERNAL", "Internal"),
        ("POISONED", "Poisoned"),
    ];

    /// The files with the interface, in the order of the header.
    const SOURCES: [&str; 8] = ["version", "status", "error", "config", "session", "calls", "event", "verify"];

    pub(super) fn write() {
        let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
        println!("cargo::rerun-if-changed=src/ffi");
        println!("cargo::rerun-if-changed=src/code.rs");
        println!("cargo::rerun-if-changed=include/farpost.h");
        println!("cargo::rerun-if-env-changed=FARPOST_HEADER_CHECK");

        let made = PathBuf::from(variable("OUT_DIR")).join("farpost.h");
        let text = text(&root);
        fs::write(&made, &text).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
        if !root.join(".git").exists() {
            return; // a dependency of somebody else: its sources are not ours to change
        }
        let kept = root.join("include/farpost.h");
        if fs::read_to_string(&kept).is_ok_and(|kept| kept == text) {
            return;
        }
        let check = env::var("FARPOST_HEADER_CHECK").is_ok_and(|value| value == "1");
        assert!(
            !check,
            "{} is not what {} is: build without FARPOST_HEADER_CHECK and commit it",
            kept.display(),
            made.display()
        );
        fs::create_dir_all(root.join("include")).unwrap_or_else(|error| panic!("include: {error}"));
        fs::write(&kept, &text).unwrap_or_else(|error| panic!("{}: {error}", kept.display()));
    }

    fn text(root: &Path) -> String {
        let mut builder = cbindgen::Builder::new().with_config(config(root));
        for source in SOURCES {
            builder = builder.with_src(root.join("src/ffi").join(source).with_extension("rs"));
        }
        let mut header = Vec::new();
        builder.generate().unwrap_or_else(|error| panic!("src/ffi: {error}")).write(&mut header);
        let header = String::from_utf8(header).unwrap_or_else(|error| panic!("farpost.h: {error}"));
        // rustdoc wants a heading where C readers want a sentence.
        header.replace(" * # Safety\n *\n", " * The caller sees to it that:\n")
    }

    fn config(root: &Path) -> cbindgen::Config {
        let mut config = cbindgen::Config {
            header: Some(HEADER.to_owned()),
            include_guard: Some("FARPOST_H".to_owned()),
            no_includes: true,
            sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
            after_includes: Some(constants(root)),
            language: cbindgen::Language::C,
            cpp_compat: true,
            style: cbindgen::Style::Type,
            usize_is_size_t: true,
            documentation_style: cbindgen::DocumentationStyle::Doxy,
            line_length: 110,
            tab_width: 4,
            ..cbindgen::Config::default()
        };
        config.export.rename = NAMES.iter().map(|(rust, c)| ((*rust).to_owned(), (*c).to_owned())).collect();
        config
    }

    /// The version, the codes of src/code.rs, and the results that are named after them.
    fn constants(root: &Path) -> String {
        let path = root.join("src/code.rs");
        let table = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let codes: Vec<(&str, u16)> = table.lines().filter_map(code).collect();
        let numbers: HashMap<&str, u16> = codes.iter().copied().collect();

        let part = |name: &str| variable(&format!("CARGO_PKG_VERSION_{name}")).parse::<u32>().unwrap_or(0);
        let number = part("MAJOR") * 65_536 + part("MINOR") * 256 + part("PATCH");
        let mut out = String::from("\n/** The release that this header belongs to. */\n");
        let version = variable("CARGO_PKG_VERSION");
        put(&mut out, format_args!("#define FARPOST_VERSION \"{version}\""));
        put(&mut out, format_args!("#define FARPOST_VERSION_NUMBER {number}"));
        out.push_str(
            "\n/* Results with a name of their own; any other is the negative of a FARPOST_CODE_ constant. */\n",
        );
        for (name, code) in RESULTS {
            let number = numbers.get(code).unwrap_or_else(|| panic!("src/code.rs has no {code}"));
            put(&mut out, format_args!("#define FARPOST_ERR_{name} (-{number})"));
        }
        out.push_str("\n/* The permanent codes of errors and events. */\n");
        for (name, number) in codes {
            put(&mut out, format_args!("#define FARPOST_CODE_{} {number}", upper_snake(name)));
        }
        out.pop();
        out
    }

    fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
        writeln!(out, "{line}").unwrap_or_else(|error| panic!("{error}"));
    }

    /// The name and number of a line `QueueFull = 4001, Warning, …`.
    fn code(line: &str) -> Option<(&str, u16)> {
        let (name, rest) = line.trim().split_once(" = ")?;
        let (number, rest) = rest.split_once(", ")?;
        let severity = rest.split(',').next()?;
        let known = ["Info", "Warning", "Error"].contains(&severity);
        let named = name.starts_with(|first: char| first.is_ascii_uppercase());
        if known && named { Some((name, number.parse().ok()?)) } else { None }
    }

    /// `QueueFull` as `QUEUE_FULL`.
    fn upper_snake(name: &str) -> String {
        let mut out = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !out.is_empty() {
                out.push('_');
            }
            out.push(letter.to_ascii_uppercase());
        }
        out
    }

    fn variable(name: &str) -> String {
        env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    const HEADER: &str = "\
/*
 * farpost: carries agents' data across a trust boundary.
 *
 * A call that can fail returns a farpost_status_t and, if its last argument is not NULL, stores a new
 * farpost_error_t there, which the caller frees. Results are written on success only. Every farpost_X_free accepts
 * NULL. Texts are UTF-8 and end with NUL; texts and bytes that a call gives live as long as the object they come
 * from. Numbers never change their meaning; new ones may come.
 *
 * Any thread may call any function, and none blocks, unless its comment says otherwise. An object must not be freed
 * while another call uses it. docs/c.md shows how it all fits together.
 *
 * Written by build.rs from src/ffi and src/code.rs: change those.
 */";
}
