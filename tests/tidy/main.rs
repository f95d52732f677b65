//! The rules of the house as tests: who may use what, and what no source may contain.

mod rules;
mod source;

use source::Source;

/// Reads `src/` and fails with everything that `rule` finds in it.
fn hold(rule: impl Fn(&Source) -> Vec<String>) {
    let sources = source::read("src");
    assert!(sources.len() > 50, "only {} sources were found", sources.len());
    let found: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// What `rule` finds in a made-up source, without the place.
#[track_caller]
fn breach(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
    let found = rule(&Source::new(path, text));
    let texts: Vec<&str> =
        found.iter().map(|line| line.split_once(": ").map_or(line.as_str(), |(_, text)| text)).collect();
    assert_eq!(texts, expected);
}

#[test]
fn words_and_cores_touch_neither_clock_nor_file_nor_socket_nor_lock_nor_chance() {
    hold(rules::pure);
}

#[test]
fn a_floor_uses_only_those_under_it() {
    hold(rules::floors);
}

#[test]
fn every_exception_to_the_floors_is_still_needed() {
    let sources = source::read("src");
    for (user, used, reason) in rules::EXCEPTIONS {
        assert!(!reason.is_empty());
        let is_used = sources
            .iter()
            .filter(|source| source.module() == *user)
            .any(|source| rules::modules_used(source).iter().any(|(_, module)| module == used));
        let is_built = sources.iter().any(|source| source.module() == *user);
        assert!(is_used || !is_built || rules::EXPECTED.contains(&(*user, *used)), "{user} does not use {used}");
    }
}

#[test]
fn unsafe_code_stands_at_the_c_boundary_only() {
    hold(rules::no_unsafe);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    hold(rules::no_allow);
}

#[test]
fn nothing_is_left_to_be_done() {
    hold(rules::nothing_left);
}

#[test]
fn files_and_functions_stay_readable() {
    hold(rules::short_files);
    hold(rules::short_functions);
}

#[test]
fn every_rule_that_a_comment_names_exists() {
    hold(rules::known_ids);
}

#[test]
fn every_rule_is_named_by_a_test() {
    let mut sources = source::read("src");
    sources.extend(source::read("tests").into_iter().filter(|source| !source.path.starts_with("tests/tidy/")));
    let missing: Vec<&str> = rules::TESTED
        .iter()
        .copied()
        .filter(|id| !rules::AWAITED.contains(id) && !sources.iter().any(|source| rules::names(source, id)))
        .collect();
    assert!(missing.is_empty(), "no test names {}", missing.join(", "));
}

#[test]
fn the_lexer_keeps_code_comments_and_texts_apart() {
    let text = "let a = \"// not a comment { \\\" unsafe\"; // D1 'x\nlet b = r#\"unsafe \" {\"#; /* I1 /* in */ I2\n*/ let c = '\"'; let d = '\\''; fn e<'a>() {}";
    let source = Source::new("src/x.rs", text);
    let code: Vec<&str> = source.lines.iter().map(|line| line.code.trim()).collect();
    assert_eq!(code, ["let a = ;", "let b = ;", "let c = ; let d = ; fn e<'a>() {}"]);
    assert!(source.lines[0].comment.contains("D1") && source.lines[1].comment.contains("I2"));
}

/// Every rule, broken once on purpose.
#[test]
fn each_rule_finds_its_breach() {
    let core = "src/wire/x.rs";
    breach(rules::pure, core, "use std::sync::Mutex;", &["Mutex in the core wire"]);
    breach(rules::pure, "src/name.rs", "use std::{fmt, fs};", &["std::fs in the word name"]);
    breach(rules::pure, "src/node/a/b.rs", "let t = Instant::now();", &["Instant::now in the core node"]);
    breach(
        rules::pure,
        core,
        "use std::sync::atomic::AtomicU64;",
        &["atomic in the core wire", "AtomicU64 in the core wire"],
    );
    breach(
        rules::pure,
        core,
        "tokio::spawn(x); std::thread::yield_now()",
        &["tokio in the core wire", "std::thread in the core wire"],
    );
    breach(rules::pure, core, "// tokio\nlet x = \"Mutex\";\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}", &[]);
    breach(rules::pure, "src/net/mod.rs", "use tokio::net::TcpStream; use std::sync::Mutex;", &[]);

    breach(rules::floors, core, "use crate::queue::Log;", &["wire uses queue"]);
    breach(rules::floors, core, "use crate::{code::Code, node::{self, x}, limits};", &["wire uses node"]);
    breach(rules::floors, "src/error.rs", "use crate::wire::Run;", &["error uses wire"]);
    breach(rules::floors, "src/net/mod.rs", "use super::session::Agent;", &["net uses session"]);
    breach(rules::floors, "src/disk/mod.rs", "use crate::bin::main;", &["disk uses bin, which is on no floor"]);
    breach(rules::floors, "src/store/mod.rs", "use crate::nowhere::X;", &["store uses nowhere, which is on no floor"]);
    breach(rules::floors, "src/stranger.rs", "", &["stranger is on no floor"]);
    breach(rules::floors, "src/ffi/mod.rs", "use crate::Agent; use crate::session::X; use crate::code::Code;", &[]);

    breach(rules::no_unsafe, core, "unsafe { *p }", &["unsafe"]);
    breach(rules::no_unsafe, "src/ffi/x.rs", "unsafe { *p }", &[]);
    breach(rules::no_allow, core, "#[allow(dead_code)]\n#![allow(x)]\n#[cfg_attr(test, allow(y))]", &["allow"; 3]);
    breach(rules::no_allow, core, "#[expect(dead_code, reason = \"later\")]\nfn f() { allow(1) }", &[]);
    breach(
        rules::nothing_left,
        core,
        "fn f() { todo!() }\nfn g() { unimplemented!() } // FIXME",
        &["todo!", "unimplemented!", "FIXME"],
    );
    breach(
        rules::known_ids,
        core,
        "// Rules D1, D10 and F7; P-384, AD1.\nlet g9 = G9;",
        &["D10 is no rule", "F7 is no rule"],
    );

    breach(rules::short_files, core, &"x\n".repeat(601), &["601 lines"]);
    breach(rules::short_files, core, &format!("#[cfg(test)]\nmod tests {{\n{}}}", "x\n".repeat(700)), &[]);
    let long = format!("fn short() {{ '{{' }}\npub fn long(\n) {{\n{}}}\nfn short_too() {{}}", "{ x }\n".repeat(68));
    breach(rules::short_functions, core, &long, &["long has 71 lines"]);
    breach(rules::short_functions, core, &format!("trait T {{ fn f();\n{}}}", "x\n".repeat(99)), &[]);
}

#[test]
fn a_rule_is_named_by_a_tests_name_or_comment_and_not_by_code() {
    let named = |text: &str| rules::names(&Source::new("src/x.rs", text), "D1");
    assert!(named("#[cfg(test)]\nmod tests {\nfn d1_a_sequence_is_used_once() {}\n}"));
    assert!(named("#[cfg(test)]\nmod tests {\n// Rule D1.\n}"));
    assert!(!named("// Rule D1.\n#[cfg(test)]\nmod tests {\nfn d10_x() {}\n}"));
}
