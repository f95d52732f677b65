//! Who the audit log names (rule G4).

use nix::unistd::{Uid, User, gethostname};

use crate::code::Code;
use crate::error::{Error, Result, printable};
use crate::group::Author;

/// What an author's name may have, in bytes.
const AUTHOR_BYTES_MAX: usize = 255;

/// The user whose process this is, on this computer. Who became root by sudo is named too.
pub(super) fn this_user() -> Author {
    let uid = Uid::effective();
    let known = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let mut name = known.unwrap_or_else(|| format!("user {uid}"));
    if uid.is_root()
        && let Some(behind) = std::env::var("SUDO_USER").ok().filter(|behind| check(behind).is_ok())
    {
        name = format!("{name}, by sudo {behind}");
    }
    let computer = gethostname().ok().and_then(|name| name.into_string().ok());
    Author::local_user(name, computer.unwrap_or_else(|| "this computer".to_owned()))
}

/// Whom a management server knows by its certificate; it writes the name itself.
pub(super) fn operator(name: &str) -> Author {
    Author::operator(name, "")
}

/// Another name, from the same place.
pub(super) fn acting_as(author: &Author, name: &str) -> Result<Author> {
    check(name)?;
    Ok(Author { name: name.to_owned(), ..author.clone() })
}

fn check(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > AUTHOR_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Error::new(Code::ArgumentInvalid)
            .subject("author")
            .found(format!("\"{}\"", printable(name)))
            .expected(format!("1 to {AUTHOR_BYTES_MAX} bytes without control characters")));
    }
    Ok(())
}
