//! What the command prints. A reader that goes away (`farpost inventory | head -1`) is no failure and no panic; a file that
//! has no room for it is told at the end.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use farpost::Code;

use crate::failure::Failure;

/// `print!` to [`result`].
macro_rules! print {
    ($($text:tt)*) => { $crate::output::result(format_args!($($text)*)) };
}

/// `println!` to [`result`].
macro_rules! println {
    () => { $crate::output::result(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::result(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprint!` to [`notice`].
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::notice(format_args!($($text)*)) };
}

/// `eprintln!` to [`notice`].
macro_rules! eprintln {
    () => { $crate::output::notice(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::notice(format_args!("{}\n", format_args!($($text)*))) };
}

/// Whether a part of the result could not be written.
static IS_CUT_SHORT: AtomicBool = AtomicBool::new(false);

/// Writes to standard output; what is wrong with that, [`outcome`] says. A command that changes something is not ended in
/// the middle of it because nobody reads on.
pub(crate) fn result(text: fmt::Arguments<'_>) {
    note(io::stdout().write_fmt(text));
}

fn note(written: io::Result<()>) {
    if written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        IS_CUT_SHORT.store(true, Ordering::Relaxed);
    }
}

/// Writes to standard error; there is nobody who could be told that it did not work.
pub(crate) fn notice(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// What a command returns that did what it had to: whether its result was written as well.
pub(crate) fn outcome() -> ExitCode {
    note(io::stdout().flush());
    if !IS_CUT_SHORT.load(Ordering::Relaxed) {
        return ExitCode::SUCCESS;
    }
    Failure::new(Code::FileUnreadable, "standard output")
        .found("a write that failed; what the command had to do is done")
        .expected("room for the whole result")
        .remedy("make room on the disk")
        .report()
}
