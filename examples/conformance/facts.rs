//! What is in a case's certificates and lists, read here a second time and apart from the library.

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{
    DistributionPointName, GeneralName, GeneralSubtree, IssuingDistributionPoint, ParsedExtension,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use crate::case::Case;

/// A case, parsed.
pub(crate) struct Facts<'a> {
    at: i64,
    anchors: Vec<X509Certificate<'a>>,
    leaf: X509Certificate<'a>,
    /// What is presented beside the leaf.
    others: Vec<X509Certificate<'a>>,
    lists: Vec<CertificateRevocationList<'a>>,
    presented_bytes: usize,
}

impl<'a> Facts<'a> {
    /// Runs a question on a case's facts; `None` where its leaf or its PEM texts cannot be read.
    pub(crate) fn with<T>(case: &Case, ask: impl FnOnce(&Facts<'_>) -> T) -> Option<T> {
        let (anchors, lists, chain) = (case.anchors().ok()?, case.lists().ok()?, case.chain().ok()?);
        let read = |der| Some(X509Certificate::from_der(der).ok()?.1);
        let mut presented = chain.iter().filter_map(|der| read(der.as_ref()));
        let leaf = presented.next().filter(|leaf| leaf.as_ref().len() == chain[0].len())?;
        Some(ask(&Facts {
            at: case.at().ok()?.unix_seconds(),
            anchors: anchors.iter().filter_map(|der| read(der.as_ref())).collect(),
            leaf,
            others: presented.collect(),
            lists: lists.iter().filter_map(|der| Some(CertificateRevocationList::from_der(der).ok()?.1)).collect(),
            presented_bytes: chain.iter().map(|der| der.len()).sum(),
        }))
    }

    fn authorities(&self) -> impl Iterator<Item = &X509Certificate<'a>> {
        self.anchors.iter().chain(&self.others)
    }

    fn presented(&self) -> impl Iterator<Item = &X509Certificate<'a>> {
        std::iter::once(&self.leaf).chain(&self.others)
    }

    fn all(&self) -> impl Iterator<Item = &X509Certificate<'a>> {
        self.anchors.iter().chain(self.presented())
    }

    /// Whether nothing is wrong that concerns a link: all valid now, all issuers CAs that may sign certificates, none in
    /// a list.
    pub(crate) fn look_sound(&self) -> bool {
        let valid = |one: &X509Certificate<'_>| {
            one.validity().not_before.timestamp() <= self.at && self.at <= one.validity().not_after.timestamp()
        };
        let issues = |one: &X509Certificate<'_>| {
            one.is_ca() && one.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
        };
        let revoked = |one: &X509Certificate<'_>| {
            let of_issuer = self.lists.iter().filter(|list| list.issuer() == one.issuer());
            of_issuer
                .flat_map(|list| list.iter_revoked_certificates())
                .any(|entry| entry.raw_serial() == one.raw_serial())
        };
        self.all().all(valid) && self.authorities().all(issues) && !self.presented().any(revoked)
    }

    pub(crate) fn constrain_other_names(&self) -> bool {
        let other =
            |tree: &GeneralSubtree<'_>| !matches!(tree.base, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
        self.authorities().filter_map(|one| one.name_constraints().ok().flatten()).any(|constraints| {
            let trees = [&constraints.value.permitted_subtrees, &constraints.value.excluded_subtrees];
            trees.into_iter().flatten().flatten().any(other)
        })
    }

    pub(crate) fn have_self_issued(&self) -> bool {
        let is_anchor = |one: &X509Certificate<'_>| {
            self.anchors
                .iter()
                .any(|anchor| anchor.subject() == one.subject() && anchor.public_key() == one.public_key())
        };
        self.others.iter().any(|one| one.subject().as_raw() == one.issuer().as_raw() && !is_anchor(one))
    }

    pub(crate) fn have_critical_policies(&self) -> bool {
        let policies = |one: &X509Certificate<'_>| {
            one.extensions().iter().any(|extension| extension.critical && is_policy(extension.parsed_extension()))
        };
        self.presented().any(policies)
    }

    pub(crate) fn have_policies(&self) -> bool {
        self.all().any(|one| one.extensions().iter().any(|extension| is_policy(extension.parsed_extension())))
    }

    pub(crate) fn have_special_list(&self) -> bool {
        let special = |list: &CertificateRevocationList<'_>| {
            let delta = |oid: &str| oid == DELTA_LIST;
            let scoped = self::scope(list).is_some_and(|scope| {
                scope.indirect_crl
                    || scope.only_some_reasons.is_some()
                    || scope.only_contains_attribute_certs
                    || !matches!(scope.distribution_point, Some(DistributionPointName::FullName(_)))
            });
            let has_delta = list.extensions().iter().any(|extension| delta(&extension.oid.to_id_string()));
            has_delta || scoped || list.version().is_none() || list.crl_number().is_none()
        };
        self.lists.iter().any(special)
    }

    pub(crate) fn have_point_without_full_name(&self) -> bool {
        let unnamed = |point: Option<&DistributionPointName<'_>>| {
            !matches!(point, Some(DistributionPointName::FullName(names)) if names.iter().any(|name| {
                matches!(name, GeneralName::URI(_) | GeneralName::DirectoryName(_))
            }))
        };
        let of_list = self.lists.iter().filter_map(scope).any(|scope| unnamed(scope.distribution_point.as_ref()));
        let of_certificate = self.presented().any(|one| {
            one.extensions().iter().any(|extension| match extension.parsed_extension() {
                ParsedExtension::CRLDistributionPoints(points) => points.iter().any(|point| {
                    point.crl_issuer.is_some() || point.reasons.is_some() || unnamed(point.distribution_point.as_ref())
                }),
                _ => false,
            })
        });
        of_list || of_certificate
    }

    pub(crate) fn have_list_of_other_key(&self) -> bool {
        self.presented().any(|one| {
            let mut of_issuer = self.lists.iter().filter(|list| list.issuer() == one.issuer()).peekable();
            let key = authority_key(one.extensions().iter().map(|extension| extension.parsed_extension()));
            of_issuer.peek().is_some()
                && of_issuer.all(|list| {
                    let signer = authority_key(list.extensions().iter().map(|extension| extension.parsed_extension()));
                    signer.zip(key).is_some_and(|(signer, key)| signer != key)
                })
        })
    }

    pub(crate) fn have_names_equal_by_text_only(&self) -> bool {
        let subjects: Vec<&X509Name<'_>> = self.authorities().map(|one| one.subject()).collect();
        let listers: Vec<&X509Name<'_>> = self.lists.iter().map(|list| list.issuer()).collect();
        let by_text = |issuer: &X509Name<'_>, names: &[&X509Name<'_>]| {
            let exact = names.iter().any(|name| name.as_raw() == issuer.as_raw());
            !exact && names.iter().any(|name| folded(name) == folded(issuer))
        };
        self.presented().any(|one| by_text(one.issuer(), &subjects) || by_text(one.issuer(), &listers))
    }

    pub(crate) fn have_foreign_algorithm(&self) -> bool {
        self.all().any(|one| {
            let signature = one.signature_algorithm.oid().to_id_string();
            !SIGNATURES.contains(&signature.as_str()) || !has_usual_key(one)
        })
    }

    pub(crate) fn leaf_is_ca(&self) -> bool {
        self.leaf.is_ca()
    }

    pub(crate) fn leaf_may_not_sign(&self) -> bool {
        matches!(self.leaf.key_usage(), Ok(Some(usage)) if !usage.value.digital_signature())
    }

    pub(crate) fn have_unique_identifiers(&self) -> bool {
        self.all().any(|one| one.issuer_uid.is_some() || one.subject_uid.is_some())
    }

    pub(crate) fn begin_before_1970(&self) -> bool {
        self.all().any(|one| one.validity().not_before.timestamp() < 0)
    }

    pub(crate) fn are_beyond_limits(&self) -> bool {
        let keys = |one: &X509Certificate<'_>| {
            let same = self.others.iter().filter(|other| other.subject() == one.subject());
            same.map(|other| other.public_key().raw).collect::<BTreeSet<_>>().len()
        };
        self.others.len() > 6 || self.presented_bytes > 16 << 10 || self.others.iter().any(|one| keys(one) > 2)
    }

    pub(crate) fn are_informal(&self) -> bool {
        let informal = |one: &X509Certificate<'_>| {
            let is_root = one.subject() == one.issuer();
            let mut keys = (false, is_root);
            let mut wrong = false;
            for extension in one.extensions() {
                wrong |= match extension.parsed_extension() {
                    ParsedExtension::SubjectKeyIdentifier(_) => {
                        keys.0 = true;
                        extension.critical
                    }
                    ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                        keys.1 = identifier.key_identifier.is_some();
                        let by_certificate =
                            identifier.authority_cert_issuer.is_some() || identifier.authority_cert_serial.is_some();
                        extension.critical || (is_root && by_certificate)
                    }
                    ParsedExtension::BasicConstraints(constraints) => constraints.ca && !extension.critical,
                    ParsedExtension::PolicyConstraints(_) => !extension.critical,
                    ParsedExtension::ExtendedKeyUsage(_) => extension.critical || is_root,
                    ParsedExtension::SubjectAlternativeName(_) => {
                        extension.critical != (one.subject().iter().next().is_none())
                    }
                    other => other.error().is_some(),
                };
            }
            wrong || !keys.1 || (one.is_ca() && !keys.0)
        };
        let common_name = self.leaf.subject().iter_common_name().any(|common| {
            common.as_str().map_or(true, |common| !common.is_ascii() || common.contains("xn--") || common.contains(':'))
        });
        common_name || self.all().any(informal)
    }

    pub(crate) fn have_unusable_anchor(&self) -> bool {
        self.anchors.iter().any(|anchor| {
            let validity = anchor.validity();
            let usage = anchor.key_usage().ok().flatten();
            !anchor.is_ca()
                || usage.is_some_and(|usage| !usage.value.key_cert_sign())
                || self.at < validity.not_before.timestamp()
                || self.at > validity.not_after.timestamp()
        })
    }

    pub(crate) fn leaf_has_mail_address_only(&self) -> bool {
        let mut names = self.alternative_names().into_iter().peekable();
        names.peek().is_some() && names.all(|name| matches!(name, GeneralName::RFC822Name(_)))
    }

    pub(crate) fn leaf_has_no_purposes(&self) -> bool {
        matches!(self.leaf.extended_key_usage(), Ok(None))
    }

    pub(crate) fn leaf_has_wildcard(&self) -> bool {
        self.alternative_names()
            .into_iter()
            .any(|name| matches!(name, GeneralName::DNSName(text) if text.contains('*')))
    }

    pub(crate) fn leaf_has_common_name_of_its_own(&self) -> bool {
        let names = self.alternative_names();
        let is = |common: &str| names.iter().any(|name| matches!(name, GeneralName::DNSName(text) if *text == common));
        self.leaf.subject().iter_common_name().any(|common| common.as_str().map_or(true, |common| !is(common)))
    }

    fn alternative_names(&self) -> Vec<&GeneralName<'a>> {
        let extension = self.leaf.subject_alternative_name().ok().flatten();
        extension.map(|extension| extension.value.general_names.iter().collect()).unwrap_or_default()
    }
}

fn is_policy(extension: &ParsedExtension<'_>) -> bool {
    matches!(
        extension,
        ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::InhibitAnyPolicy(_)
    )
}

fn scope<'a>(list: &'a CertificateRevocationList<'a>) -> Option<&'a IssuingDistributionPoint<'a>> {
    list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::IssuingDistributionPoint(point) => Some(point),
        _ => None,
    })
}

fn authority_key<'a>(extensions: impl Iterator<Item = &'a ParsedExtension<'a>>) -> Option<&'a [u8]> {
    let mut extensions = extensions;
    extensions.find_map(|extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => Some(identifier.key_identifier.as_ref()?.0),
        _ => None,
    })
}

/// A name with lower case and single spaces, string types left out (RFC 5280 section 7.1).
fn folded(name: &X509Name<'_>) -> Vec<(String, String)> {
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let text = attribute.as_str().unwrap_or_default().to_lowercase();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    name.iter_attributes().map(|attribute| (attribute.attr_type().to_id_string(), text(attribute))).collect()
}

fn has_usual_key(one: &X509Certificate<'_>) -> bool {
    let key = one.public_key();
    match key.algorithm.oid().to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if {
            let significant = rsa.modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            (2048..=4096).contains(&significant)
        }),
        "1.2.840.10045.2.1" => {
            let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            curve.is_some_and(|curve| CURVES.contains(&curve.to_id_string().as_str()))
        }
        ED25519 => true,
        _ => false,
    }
}

const DELTA_LIST: &str = "2.5.29.27";
const ED25519: &str = "1.3.101.112";
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
/// RSA PKCS#1 with SHA-256, -384, -512, RSA-PSS, ECDSA with SHA-256, -384, -512, Ed25519.
const SIGNATURES: [&str; 8] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.113549.1.1.10",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.2.840.10045.4.3.4",
    ED25519,
];
