//! Standard output and standard error as the command writes to them.
//!
//! The macros of the standard library panic where nobody reads any more (`farpost config reference | head -1`). Those
//! here take their names, so that none of theirs is used by mistake, and end the process instead, quietly, as a command
//! that the system stops for writing into a closed pipe.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use farpost::Code;

use crate::failure::Failure;

macro_rules! print {
    ($($text:tt)*) => { $crate::output::result(format_args!($($text)*), "") };
}

macro_rules! println {
    () => { $crate::output::result(format_args!(""), "\n") };
    ($($text:tt)*) => { $crate::output::result(format_args!($($text)*), "\n") };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::diagnostic(format_args!($($text)*), "") };
}

macro_rules! eprintln {
    () => { $crate::output::diagnostic(format_args!(""), "\n") };
    ($($text:tt)*) => { $crate::output::diagnostic(format_args!($($text)*), "\n") };
}

/// Writes a part of the result. Ends the process if that cannot be: a result that is not all there is none.
pub(crate) fn result(text: Arguments<'_>, end: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush());
    let Err(error) = written else { return };
    if error.kind() != ErrorKind::BrokenPipe {
        let failure = Failure::new(Code::FileUnreadable, "standard output").found(error);
        diagnostic(format_args!("{}", failure.remedy("give it a place with room for the result")), "");
        std::process::exit(1);
    }
    std::process::exit(NOBODY_READS);
}

/// Tells a person. Where nobody reads it, the exit status still says how it went.
pub(crate) fn diagnostic(text: Arguments<'_>, end: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_fmt(text).and_then(|()| out.write_all(end.as_bytes()));
}

/// What a shell reports of a process that SIGPIPE ended: 128 and 13.
const NOBODY_READS: i32 = 141;
