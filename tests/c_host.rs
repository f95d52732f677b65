//! The C library as C programs meet it: shared and static, and under valgrind where it is at hand.

mod c_library;

use std::collections::BTreeSet;
use std::process::Command;

use c_library::{Authority, Linked, checked, compile, lacks, library, root, run};

#[test]
fn the_shared_library_exports_exactly_what_the_header_declares() {
    if lacks("nm") {
        return;
    }
    let listing = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("libfarpost.so")));
    let exported: BTreeSet<String> =
        listing.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect();
    let header = std::fs::read_to_string(root().join("include/farpost.h")).expect("the header");
    let declared: BTreeSet<String> = header
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/', '#']))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("farpost_"))
        .map(str::to_owned)
        .collect();
    assert!(declared.len() > 30, "{declared:?}");
    assert_eq!(exported, declared);
}

/// Rules C1 and C2, without a node at the other end: see tests/c/host.c.
#[test]
fn c1_a_c_host_may_fork_handle_signals_and_exit_when_it_likes() {
    if lacks("gcc") {
        return;
    }
    let (libraries, authority) = (library(), Authority::new());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configure = |name: &str| {
        authority.configure_agent(&directory.path().join(name), "pc7.branch.example", "gw1.branch.example", 5723, "")
    };
    for linked in [Linked::Shared, Linked::Static] {
        let host = directory.path().join(format!("host-{linked:?}"));
        compile("tests/c/host.c", &libraries, linked, &host);
        run(Command::new(&host).arg(configure(&format!("closed-{linked:?}"))));
        run(Command::new(&host).arg(configure(&format!("abandoned-{linked:?}"))).arg("abandon"));
    }
    if !lacks("valgrind") {
        run(checked(&directory.path().join("host-Shared")).arg(configure("checked")));
    }
}

/// A chain of a real CA and of another one with the same name, in every way that tests/c/verify.c tries.
#[test]
fn i2_a_c_program_verifies_chains_as_sessions_do() {
    if lacks("gcc") {
        return;
    }
    let libraries = library();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (name, good, other) = ("pc7.branch.example", directory.path().join("good"), directory.path().join("other"));
    for place in [&good, &other] {
        std::fs::create_dir(place).expect("a directory");
        Authority::new().issue(place, name);
    }
    let program = directory.path().join("verify");
    compile("tests/c/verify.c", &libraries, Linked::Shared, &program);
    let file = format!("{name}.pem");
    let arguments = [good.join("ca.pem"), good.join(&file), name.into(), other.join(&file)];
    run(Command::new(&program).args(&arguments));
    if !lacks("valgrind") {
        run(checked(&program).args(&arguments));
    }
}
