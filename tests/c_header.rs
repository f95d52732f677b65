//! `include/farpost.h` and the C examples under every compiler and standard at hand.

use std::path::Path;
use std::process::Command;

const C_STANDARDS: [&str; 4] = ["c99", "c11", "c17", "c2x"];
const CPP_STANDARDS: [&str; 4] = ["c++11", "c++14", "c++17", "c++20"];
const STRICT: [&str; 8] =
    ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wundef", "-Wconversion", "-Wshadow", "-fsyntax-only"];

/// Uses what a preprocessor could break: constants in `#if` and `switch`, the structs, every kind of handle.
const PROGRAM: &str = r#"
#include "farpost.h"
#include "farpost.h"

#if FARPOST_ERR_FULL != -FARPOST_CODE_QUEUE_FULL || FARPOST_ABI_VERSION < 0
#error "the constants do not fit together"
#endif

int use(farpost_session_t *session, farpost_event_t *event);
int use(farpost_session_t *session, farpost_event_t *event)
{
    farpost_send_options_t options = {sizeof(farpost_send_options_t), FARPOST_PRIORITY_CRITICAL};
    farpost_error_t *error = NULL;
    uint64_t sequence = 0;
    switch (farpost_event_kind(event)) {
    case FARPOST_EVENT_NOTICE:
    case FARPOST_EVENT_MESSAGE:
        break;
    default:
        return 1 - FARPOST_ERR_CLOSED;
    }
    return farpost_session_send(session, NULL, 0, &options, &sequence, &error) == FARPOST_OK;
}
"#;

#[test]
fn the_header_compiles_without_a_warning_under_every_standard() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut compiled = 0;
    for (compilers, standards, name) in
        [(["gcc", "clang"], C_STANDARDS, "use.c"), (["g++", "clang++"], CPP_STANDARDS, "use.cpp")]
    {
        let program = directory.path().join(name);
        std::fs::write(&program, PROGRAM).expect("the program is written");
        for compiler in compilers.into_iter().filter(|compiler| is_there(compiler)) {
            for standard in standards {
                compile(compiler, standard, &program);
                compiled += 1;
            }
        }
    }
    assert!(compiled > 0 || std::env::var_os("CI").is_none(), "no compiler at hand: gcc, clang, g++ or clang++");
}

#[test]
fn the_c_examples_compile_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/c");
    for entry in std::fs::read_dir(examples).expect("examples/c") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "c") {
            for compiler in ["gcc", "clang"].into_iter().filter(|compiler| is_there(compiler)) {
                C_STANDARDS.into_iter().for_each(|standard| compile(compiler, standard, &path));
            }
        }
    }
}

/// What docs/c.md shows is copied: each of its C blocks is a file that compiles.
#[test]
fn the_programs_of_the_guide_compile_without_a_warning() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/c.md")).expect("docs/c.md");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs: Vec<&str> = guide.split("```c\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(programs.len(), 4, "the guide's programs");
    for (number, text) in programs.iter().enumerate() {
        let program = directory.path().join(format!("guide-{number}.c"));
        std::fs::write(&program, text).expect("the program is written");
        for compiler in ["gcc", "clang"].into_iter().filter(|compiler| is_there(compiler)) {
            C_STANDARDS.into_iter().for_each(|standard| compile(compiler, standard, &program));
        }
    }
}

fn is_there(compiler: &str) -> bool {
    Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn compile(compiler: &str, standard: &str, program: &Path) {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut command = Command::new(compiler);
    command.arg(format!("-std={standard}")).args(STRICT).arg("-I").arg(include).arg(program);
    if standard.starts_with("c++") {
        command.arg("-Wold-style-cast");
    } else {
        command.args(["-Wstrict-prototypes", "-Wmissing-prototypes"]);
    }
    let output = command.output().expect("the compiler runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} -std={standard} {}:\n{complaints}", program.display());
}
