//! What each rule looks for. A finding is `path:line: text`.

use crate::source::{Source, Token, is_word};

/// The floors from below (section "The house" of the architecture); `lib.rs` names them all, `fuzzing` opens their
/// doors, `sim` is a test.
const FLOORS: [(&str, &[&str]); 5] = [
    ("word", &["code", "config", "error", "event", "limits", "message", "name", "role", "text_form", "time"]),
    ("core", &["group", "identity", "queue", "routing", "wire"]),
    ("core", &["node"]),
    ("shell", &["disk", "net", "session", "store"]),
    ("face", &["ffi"]),
];
/// `bin` is a crate of its own: it cannot reach anything but what lib.rs exports.
const OUTSIDE: [&str; 5] = ["bench", "bin", "fuzzing", "lib", "sim"];

/// Who uses a module of its own floor, and why that is right: (user, used, reason).
pub(crate) const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("group", "identity", "an approval is bound to a key, and KeyHash is identity's name for one"),
    ("session", "disk", "a session gives a node its shells: the queue"),
    ("session", "net", "a session gives a node its shells: the links"),
    ("session", "store", "a session gives a node its shells: the group store"),
];
/// Exceptions of modules that are being built: they need not be used yet.
pub(crate) const EXPECTED: &[(&str, &str)] = &[("session", "disk"), ("session", "net"), ("session", "store")];

/// Identifiers that no word and no core may use; the atomics come to these.
const IMPURE: [&str; 14] = [
    "tokio",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "atomic",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "rand",
    "getrandom",
    "SecureRandom",
    "SystemRandom",
];
/// Modules of `std` that no word and no core may use.
const IMPURE_STD: [&str; 4] = ["fs", "net", "thread", "process"];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
/// Functions that may be longer, up to how long, and why.
const LONG_FUNCTIONS: [(&str, &str, usize, &str); 1] =
    [("src/ffi/tests/null.rs", "null_calls", 130, "a table: one line per function of the C interface")];

/// The rules of the architecture, by kind and how many there are.
const IDS: [(char, u32); 6] = [('D', 9), ('I', 7), ('G', 6), ('F', 6), ('C', 2), ('E', 1)];

/// Those that a test must name.
pub(crate) const TESTED: &[&str] = &[
    "D1", "D2", "D4", "D5", "D6", "D7", "D8", "D9", "I1", "I2", "I3", "I4", "I5", "I6", "G1", "G2", "G3", "G4", "G5",
    "G6", "F1", "F2", "F4", "F5", "C1", "C2", "E1",
];

/// Of these, the ones whose pieces have no test yet. To be emptied: a rule goes as soon as a test names it.
pub(crate) const AWAITED: &[&str] = &[];

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn finding(source: &Source, line: usize, text: impl AsRef<str>) -> String {
    format!("{}:{}: {}", source.path, line + 1, text.as_ref())
}

/// Words and cores take time, bytes and events; they own nothing of the outside.
pub(crate) fn pure(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some((kind, _)) =
        floor_of(module).map(|floor| FLOORS[floor]).filter(|(kind, _)| matches!(*kind, "word" | "core"))
    else {
        return Vec::new();
    };
    let tokens = source.tokens();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let text = token.text.as_str();
        let is_atomic = text.strip_prefix("Atomic").is_some_and(|rest| rest.starts_with(char::is_uppercase));
        if IMPURE.contains(&text) || is_atomic {
            found.push((token.line, text.to_owned()));
        }
        if is_path(&tokens[at..], "Instant", "now") {
            found.push((token.line, "Instant::now".to_owned()));
        }
        if text == "std" {
            let used =
                after_path(&tokens[at + 1..]).into_iter().filter(|used| IMPURE_STD.contains(&used.text.as_str()));
            found.extend(used.map(|used| (used.line, format!("std::{}", used.text))));
        }
    }
    found.iter().map(|(line, text)| finding(source, *line, format!("{text} in the {kind} {module}"))).collect()
}

fn is_path(tokens: &[Token], first: &str, second: &str) -> bool {
    matches!(tokens, [a, b, c, ..] if a.text == first && b.text == "::" && c.text == second)
}

/// What comes right after `std` or `crate`: the one of `::a`, or each first one of `::{a, b::{c}, d}`.
fn after_path(tokens: &[Token]) -> Vec<&Token> {
    let [colons, next, rest @ ..] = tokens else { return Vec::new() };
    if colons.text != "::" {
        return Vec::new();
    }
    if next.text != "{" {
        return vec![next];
    }
    let (mut depth, mut is_first, mut found) = (1, true, Vec::new());
    for token in rest {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," if depth == 1 => is_first = true,
            _ if is_first => {
                found.push(token);
                is_first = false;
            }
            _ => {}
        }
    }
    found
}

/// The top-level modules that the code of a file names, each with its line. `super` in a module's own file is the
/// crate.
pub(crate) fn modules_used(source: &Source) -> Vec<(usize, String)> {
    let inner = source.path.strip_prefix("src/").unwrap_or(&source.path);
    let is_root = !inner.contains('/') || inner.strip_suffix("/mod.rs").is_some_and(|module| !module.contains('/'));
    let tokens = source.tokens();
    let mut used = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text == "crate" || (is_root && token.text == "super") {
            used.extend(after_path(&tokens[at + 1..]).into_iter().map(|used| (used.line, used.text.clone())));
        }
    }
    // What begins with a capital is the public interface; `$` is a macro's.
    used.retain(|(_, module)| module.starts_with(char::is_lowercase));
    used
}

/// A floor uses those under it, and nothing else but the exceptions; words may use each other.
pub(crate) fn floors(source: &Source) -> Vec<String> {
    let module = source.module();
    if OUTSIDE.contains(&module) {
        return Vec::new();
    }
    let Some(floor) = floor_of(module) else {
        return vec![finding(source, 0, format!("{module} is on no floor"))];
    };
    let mut found = Vec::new();
    for (line, used) in modules_used(source) {
        let is_exception = EXCEPTIONS.iter().any(|(user, of, _)| (*user, *of) == (module, used.as_str()));
        if used == module || is_exception {
            continue;
        }
        match floor_of(&used) {
            Some(other) if other < floor || (floor == 0 && other == 0) => {}
            Some(_) => found.push(finding(source, line, format!("{module} uses {used}"))),
            // A function or macro of lib.rs would be one as well: there is none.
            None => found.push(finding(source, line, format!("{module} uses {used}, which is on no floor"))),
        }
    }
    found
}

/// `unsafe` is for the C boundary.
pub(crate) fn no_unsafe(source: &Source) -> Vec<String> {
    if source.module() == "ffi" {
        return Vec::new();
    }
    let tokens = source.all_tokens();
    tokens.iter().filter(|token| token.text == "unsafe").map(|token| finding(source, token.line, "unsafe")).collect()
}

/// `#[expect(…, reason = "…")]` instead.
pub(crate) fn no_allow(source: &Source) -> Vec<String> {
    let is_attribute = |code: &str| code.contains("#[") || code.contains("#![");
    let allows = |code: &str| code.contains("[allow(") || code.contains(" allow(");
    let lines = source.lines.iter().enumerate();
    let lines = lines.filter(|(_, line)| is_attribute(&line.code) && allows(&line.code));
    lines.map(|(at, _)| finding(source, at, "allow")).collect()
}

/// What is begun is finished.
pub(crate) fn nothing_left(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        for left in ["todo!", "unimplemented!"].into_iter().filter(|left| line.code.contains(left)) {
            found.push(finding(source, at, left));
        }
        if line.comment.contains("FIXME") {
            found.push(finding(source, at, "FIXME"));
        }
    }
    found
}

/// Files outside of tests.
pub(crate) fn short_files(source: &Source) -> Vec<String> {
    let lines = source.tests_from;
    if lines > FILE_LINES_MAX { vec![finding(source, 0, format!("{lines} lines"))] } else { Vec::new() }
}

/// Functions, those of tests too, from `fn` to the brace that ends them.
pub(crate) fn short_functions(source: &Source) -> Vec<String> {
    let tokens = source.all_tokens();
    let mut found = Vec::new();
    for at in (0..tokens.len()).filter(|at| tokens[*at].text == "fn") {
        let (Some(name), Some(end)) = (tokens.get(at + 1), function_end(&tokens[at..])) else { continue };
        let lines = end - tokens[at].line + 1;
        let exception =
            LONG_FUNCTIONS.iter().find(|(path, function, ..)| source.path == *path && name.text == *function);
        if lines > exception.map_or(FUNCTION_LINES_MAX, |(_, _, most, _)| *most) {
            found.push(finding(source, tokens[at].line, format!("{} has {lines} lines", name.text)));
        }
    }
    found
}

/// The line of the brace that ends the function which begins here; `None` for a declaration or a type.
fn function_end(tokens: &[Token]) -> Option<usize> {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for token in tokens {
        match token.text.as_str() {
            "{" => braces += 1,
            "}" if braces <= 1 => return (braces == 1).then_some(token.line),
            "}" => braces -= 1,
            "(" | "[" if braces == 0 => others += 1,
            ")" | "]" if braces == 0 && others == 0 => return None,
            ")" | "]" if braces == 0 => others -= 1,
            ";" | "," if braces == 0 && others == 0 => return None,
            _ => {}
        }
    }
    None
}

/// What looks like a rule's number in a comment is one.
pub(crate) fn known_ids(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        for (kind, number) in ids(&line.comment) {
            let last = IDS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, last)| *last);
            if number == 0 || number > last {
                found.push(finding(source, at, format!("{kind}{number} is no rule")));
            }
        }
    }
    found
}

/// The words of a text that are a rule's letter and a number.
fn ids(text: &str) -> impl Iterator<Item = (char, u32)> {
    text.split(|c| !is_word(c) && c != '-').filter_map(|word| {
        let mut rest = word.chars();
        let kind = rest.next().filter(|kind| IDS.iter().any(|(known, _)| known == kind))?;
        let is_number = rest.clone().count() <= 2 && rest.clone().all(|c| c.is_ascii_digit());
        Some((kind, rest.as_str().parse().ok().filter(|_| is_number)?))
    })
}

/// Whether the tests of a file name a rule: by a function `d1_…`, or in a comment.
pub(crate) fn names(source: &Source, id: &str) -> bool {
    let prefix = format!("{}_", id.to_lowercase());
    let tokens = source.test_tokens();
    let by_function = tokens.windows(2).any(|pair| pair[0].text == "fn" && pair[1].text.starts_with(&prefix));
    let comments = source.lines[source.tests_from..].iter();
    by_function || comments.flat_map(|line| ids(&line.comment)).any(|(kind, number)| format!("{kind}{number}") == id)
}
