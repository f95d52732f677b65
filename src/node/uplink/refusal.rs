//! What an upstream's refusal means to a node, and how its log shows it.

use crate::code::Code;
use crate::error::Error;

/// Whether an upstream said no to this node itself: identity and approval (DESIGN section 5). That its store is out of
/// reach for a moment says nothing about the node; and a node whose approval was withdrawn comes again to wait on an
/// open link, so that a new approval works at once (rule G5).
pub(super) fn is_refusal(code: Code) -> bool {
    // The last two: the node's own token did not answer, and no upstream has said anything yet.
    let passes =
        matches!(code, Code::PendingFull | Code::ApprovalWithdrawn | Code::SignerFailed | Code::SignerTimedOut)
            || code.is_of_the_store();
    let is_about_the_path = matches!(code, Code::GatewayLoop | Code::PathTooLong);
    !passes && (matches!(code.number(), 1000..=1999 | 3000..=3999) || code == Code::PeerRefused || is_about_the_path)
}

/// A refusal as this node's log shows it: what an upstream says of a certificate, it says of this node's, not of its own.
pub(super) fn of_this_node(error: Error) -> Error {
    if !matches!(error.code().number(), 1000..=1999) || error.found_text().is_empty() {
        return error;
    }
    let found = format!("in this node's certificate, as the upstream says: {}", error.found_text());
    error.found(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_says_of_this_nodes_certificate_is_told_as_that() {
        let revoked = of_this_node(Error::new(Code::CertificateRevoked).found("serial number 1"));
        assert!(revoked.found_text().starts_with("in this node's certificate") && revoked.found_text().ends_with(" 1"));
        let pending = of_this_node(Error::new(Code::GatewayPending).found("nothing"));
        assert_eq!(pending.found_text(), "nothing");
    }

    #[test]
    fn f2_a_store_out_of_reach_or_a_withdrawn_approval_is_no_refusal_and_a_rejection_is_one() {
        for code in [
            Code::StoreUnavailable,
            Code::StoreLoginFailed,
            Code::StoreForbidden,
            Code::StoreUntrusted,
            Code::StoreBusy,
            Code::PendingFull,
            Code::ApprovalWithdrawn,
            Code::SignerFailed,
            Code::LinkDown,
        ] {
            assert!(!is_refusal(code), "{code}");
        }
        for code in [Code::GatewayPending, Code::NameRejected, Code::CertificateExpired, Code::PeerRefused] {
            assert!(is_refusal(code), "{code}");
        }
    }
}
