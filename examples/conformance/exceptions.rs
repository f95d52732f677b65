//! Where the library may differ from a suite, and why: rules about what is in the certificates and lists of a case,
//! never its name. docs/conformance.md explains each; a test compares the two.

use farpost::Code;

use crate::case::Case;
use crate::facts::Facts;
use crate::runner::Outcome;

/// A documented difference.
pub(crate) struct Exception {
    pub(crate) name: &'static str,
    /// Why the library is right, or what limits it.
    pub(crate) why: &'static str,
    direction: Direction,
    holds: fn(&Facts<'_>) -> bool,
}

enum Direction {
    /// A good chain is refused, with one of these codes.
    Refuses(&'static [Code]),
    /// A bad chain is accepted: only for rules that do not concern links, and only where everything that the example
    /// itself can see is sound (validity, CA bits, revocation).
    Accepts,
}

/// The exception that covers a disagreement.
pub(crate) fn covering(case: &Case, outcome: &Outcome) -> Option<&'static Exception> {
    if outcome.reason == "PANIC" {
        return None;
    }
    Facts::with(case, |facts| {
        EXCEPTIONS.iter().find(|exception| {
            let direction = match exception.direction {
                Direction::Refuses(codes) => !outcome.accepted && outcome.codes.iter().any(|code| codes.contains(code)),
                Direction::Accepts => outcome.accepted && facts.look_sound(),
            };
            direction && (exception.holds)(facts)
        })
    })
    .flatten()
}

/// All documented differences.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "name constraints on other names",
        why: "rustls-webpki reads constraints on DNS names and addresses; one on directory names, mail addresses or URIs \
              is refused rather than passed over",
        direction: Direction::Refuses(&[Code::NameConstraintViolated]),
        holds: |facts| facts.constrain_other_names(),
    },
    Exception {
        name: "critical policy extension",
        why: "certificate policies decide nothing on a link and nobody reads them, so that a certificate which insists on \
              them is refused",
        direction: Direction::Refuses(&[Code::PathInvalid]),
        holds: |facts| facts.have_critical_policies(),
    },
    Exception {
        name: "self-issued CA certificate",
        why: "a certificate that a CA issued to itself for another key counts in path lengths and is held to name \
              constraints as any other (rustls-webpki), and a list must be signed with the key that signed the certificate: \
              trust the old and the new root during a roll-over",
        direction: Direction::Refuses(&[
            Code::SignatureInvalid,
            Code::IssuerUnknown,
            Code::PathInvalid,
            Code::NameConstraintViolated,
            Code::CrlMissing,
            Code::CrlUnusable,
        ]),
        holds: |facts| facts.have_self_issued(),
    },
    Exception {
        name: "revocation list of a special kind",
        why: "delta and indirect lists, lists for some reasons or for some kinds of certificates without a distribution \
              point, version 1 and unnumbered lists are refused, each with its own words: give the issuer's full list",
        direction: Direction::Refuses(&[Code::CrlUnusable, Code::CrlMissing]),
        holds: |facts| facts.have_special_list(),
    },
    Exception {
        name: "distribution points without a full name",
        why: "distribution points are compared by URIs and directory names; a name relative to the list's issuer, or a list \
              of another issuer, is not followed",
        direction: Direction::Refuses(&[Code::CrlUnusable, Code::CrlMissing]),
        holds: |facts| facts.have_point_without_full_name(),
    },
    Exception {
        name: "list signed with another key",
        why: "a list must be signed with the key that signed the certificate; a CA's separate key for lists is refused",
        direction: Direction::Refuses(&[Code::CrlUnusable, Code::CrlMissing]),
        holds: |facts| facts.have_list_of_other_key(),
    },
    Exception {
        name: "names that are equal but not to the byte",
        why: "rustls-webpki compares issuer and subject byte by byte: case, spaces and string types count",
        direction: Direction::Refuses(&[Code::IssuerUnknown, Code::CrlMissing, Code::CrlUnusable]),
        holds: |facts| facts.have_names_equal_by_text_only(),
    },
    Exception {
        name: "key or signature outside rule I2",
        why: "RSA 2048 to 4096, ECDSA P-256, P-384, P-521 and Ed25519 with SHA-256 or better are accepted, nothing else",
        direction: Direction::Refuses(&[
            Code::KeyUnsupported,
            Code::SignatureAlgorithmWeak,
            Code::SignatureInvalid,
            Code::IssuerUnknown,
            Code::TrustUnusable,
        ]),
        holds: |facts| facts.have_foreign_algorithm(),
    },
    Exception {
        name: "a CA certificate as the peer's own",
        why: "rule I2: a node that could issue certificates would be every other node",
        direction: Direction::Refuses(&[Code::CertificateIsCa]),
        holds: |facts| facts.leaf_is_ca(),
    },
    Exception {
        name: "key usage without digitalSignature",
        why: "rule I2: TLS 1.3 has the peer sign, which this key may not",
        direction: Direction::Refuses(&[Code::KeyUsageWrong]),
        holds: |facts| facts.leaf_may_not_sign(),
    },
    Exception {
        name: "unique identifiers",
        why: "rustls-webpki does not read certificates with the unique identifiers that RFC 5280 forbids CAs to issue",
        direction: Direction::Refuses(&[Code::CertificateUnreadable, Code::IntermediateUnusable, Code::TrustUnusable]),
        holds: |facts| facts.have_unique_identifiers(),
    },
    Exception {
        name: "valid since before 1970",
        why: "rustls-webpki counts time from 1970",
        direction: Direction::Refuses(&[Code::CertificateUnreadable, Code::PathInvalid]),
        holds: |facts| facts.begin_before_1970(),
    },
    Exception {
        name: "chain beyond the limits of a link",
        why: "at most 8 certificates, 16 KiB, 6 intermediates on the path, two keys of one CA: hostile chains of a hundred \
              cost 60 ms",
        direction: Direction::Refuses(&[Code::ChainTooLarge, Code::PathInvalid, Code::IssuerUnknown]),
        holds: |facts| facts.are_beyond_limits(),
    },
    Exception {
        name: "a form that RFC 5280 forbids",
        why: "limbo asserts that a chain without key identifiers, or with an extension critical that must not be, fails; the \
              strict form that it is run with refuses such a chain in its other cases too, which a link does not",
        direction: Direction::Refuses(&[Code::PathInvalid, Code::TrustUnusable]),
        holds: |facts| facts.are_informal(),
    },
    Exception {
        name: "trust anchor that is no CA certificate",
        why: "an anchor must be a CA certificate that is valid now and may sign: with another, any end entity that got \
              into the trust file would issue identities",
        direction: Direction::Refuses(&[Code::TrustUnusable]),
        holds: |facts| facts.have_unusable_anchor(),
    },
    Exception {
        name: "peer known by a mail address",
        why: "a node has a DNS name",
        direction: Direction::Refuses(&[Code::SanMissing]),
        holds: |facts| facts.leaf_has_mail_address_only(),
    },
    Exception {
        name: "certificate policies",
        why: "the case asks for a set of policies or for an explicit one; policies decide nothing on a link, and the \
              case's file does not say which it asks for",
        direction: Direction::Accepts,
        holds: |facts| facts.have_policies(),
    },
    Exception {
        name: "no enhanced key usage, by chain rules",
        why: "RFC 5280 lets a leaf without one serve every purpose, so that suites differ in it; a link refuses it as FP1203 \
              (and so the PKITS case that demands an explicit policy of certificates without any)",
        direction: Direction::Accepts,
        holds: |facts| facts.leaf_has_no_purposes(),
    },
    Exception {
        name: "wildcard name, by chain rules",
        why: "which wildcards a public CA may issue is not asked; a link refuses every one as FP1303",
        direction: Direction::Accepts,
        holds: |facts| facts.leaf_has_wildcard(),
    },
    Exception {
        name: "common name that is no alternative name, by chain rules",
        why: "the chain does not depend on the common name; a link refuses it as FP1304",
        direction: Direction::Accepts,
        holds: |facts| facts.leaf_has_common_name_of_its_own(),
    },
];
