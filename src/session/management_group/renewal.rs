//! An operator's own certificate: renewed over its link, as a node renews its own (section 13 of the wire specification).

use std::time::Duration;

use crate::code::Code;
use crate::config::IdentityFiles;
use crate::error::{Error, Result};
use crate::group::{self, InventoryOperation};
use crate::identity::{Identity, KeyKind};
use crate::session::keeping::{Keeping, is_writable};
use crate::session::management_group::remote::{OperatorConnection, Remote};
use crate::session::management_group::unexpected;
use crate::session::renewal::{install, is_of_request, prepare};
use crate::wire::Answer;

/// What came of a renewal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RenewalOutcome {
    /// The new certificate is in place: this is the identity that its files make now.
    Installed(Identity),
    /// The certificate authority has the request and will answer later: ask again. The key waits beside the identity.
    Pending {
        /// How long to wait before.
        retry_after: Duration,
    },
}

impl OperatorConnection {
    /// Asks the group's certificate authority for this operator's next certificate, with a new key (of this kind, or of the
    /// present one's), and puts it in the place of the present one. That stays until the new one is there, checked and
    /// written. Where the group pinned the operator's key, the new one may be shown from then on, and takes the place of the
    /// pinned one when it first is. Read-only operators may do this too. What was asked for once is asked for again, with the
    /// same key, when this is called again.
    ///
    /// # Errors
    ///
    /// As [`OperatorConnection::connect`]; [`Code::RenewalByHand`] where the group has no certificate authority;
    /// [`Code::RenewalTooOften`]; what that authority said; what is wrong with the new certificate (rule I2);
    /// [`Code::ArgumentInvalid`] for an identity that does not lie in files, and [`Code::FileUnreadable`] where they cannot
    /// be written. Then the present one is what it was.
    pub async fn renew_certificate(self, key_kind: Option<KeyKind>) -> Result<RenewalOutcome> {
        let identity = self.identity.clone();
        let keeping = Keeping::new(Some(files_of(&identity)?));
        let remote = Remote::start(self);
        // The request is signed for the group; that it answers says that this operator may come in.
        let group = match remote.ask(InventoryOperation::Name.into()).await? {
            group::Answer::Text(name) => name,
            other => return Err(unexpected(&other)),
        };
        let (waiting, ask) = prepare(&keeping, &identity, &group, key_kind).await?;
        match remote.renew(ask).await? {
            Answer::Pending(retry_after) => Ok(RenewalOutcome::Pending { retry_after }),
            Answer::Refused(error, _) => {
                if is_of_request(error.code()) {
                    // It would be refused again: the next one has a new key.
                    keeping.forget();
                }
                Err(error)
            }
            Answer::Issued(chain) => {
                let chain = chain.iter().map(|der| der.to_vec());
                Ok(RenewalOutcome::Installed(install(&keeping, &identity, waiting, chain).await?))
            }
        }
    }
}

/// Where the identity lies, if a new certificate may be put there: nothing is asked for that could not be kept.
fn files_of(identity: &Identity) -> Result<IdentityFiles> {
    let unusable = |code: Code, found: &str| {
        let error = Error::new(code).subject(identity.name().as_str()).found(found.to_owned());
        error.expected("an identity in files that this user may write")
    };
    let files = identity.files().ok_or_else(|| unusable(Code::ArgumentInvalid, "an identity that lies in no files"))?;
    if !is_writable(files) {
        return Err(unusable(Code::FileUnreadable, "a directory that this user may not write"));
    }
    Ok(IdentityFiles::clone(files))
}
