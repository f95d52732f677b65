//! A password or a token from a descriptor or from the terminal; never from the command line, which every user can read.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use farpost::Code;
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, printable};

/// The first line that can be read from a descriptor.
pub(crate) fn of_descriptor(descriptor: u32) -> Result<Zeroizing<String>, Failure> {
    let path = format!("/dev/fd/{descriptor}");
    let failed = |error: std::io::Error| {
        Failure::new(Code::FileUnreadable, format!("descriptor {descriptor}"))
            .found(error)
            .expected("an open descriptor with the secret on its first line")
    };
    first_line(&File::open(path).map_err(failed)?).map_err(failed)
}

/// Asks at the terminal, without showing what is typed; `None` without a terminal, and where it was interrupted.
pub(crate) fn prompt(question: &str) -> Option<Zeroizing<String>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open(Path::new("/dev/tty")).ok()?;
    write!(terminal, "{}: ", printable(question)).ok()?;
    let quiet = Quiet::begin(&terminal)?;
    let line = first_line(&terminal);
    drop(quiet);
    writeln!(terminal).ok()?;
    // Ctrl-C ends the line, so that the terminal is left as it was.
    line.ok().filter(|line| !line.contains(INTERRUPT))
}

/// Ends at the line's end: what follows on a pipe may be somebody else's.
fn first_line(mut from: &File) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = [0];
    while line.len() < LINE_BYTES_MAX && from.read(&mut byte)? == 1 && byte != [b'\n'] {
        line.extend(byte);
        if byte == [INTERRUPT as u8] {
            break;
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| std::io::Error::other("what is there is not UTF-8"))?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

/// A terminal that shows nothing, until it is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        quiet.control_chars[SpecialCharacterIndices::VEOL as usize] = INTERRUPT as u8;
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // If the terminal is gone, so is what it would show.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

const INTERRUPT: char = '\u{3}';
/// The library takes none that is longer.
const LINE_BYTES_MAX: usize = 1_024;
