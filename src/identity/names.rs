//! Which names a leaf proves (rules I1 and I2).
//!
//! No IDNA processing and no rendering of distinguished names: entries are compared as they stand in the
//! certificate, after the case of ASCII letters was folded.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::AttributeTypeAndValue;

use crate::code::Code;
use crate::error::Error;
use crate::identity::policy::NameRule;
use crate::identity::report::Report;
use crate::limits::SAN_ENTRIES_MAX;
use crate::name::Name;

/// Checks a leaf's names and returns those that it proves. `expected` is the name that it must prove, where one is
/// known; what is wrong is added to the report.
pub(super) fn check(
    leaf: &X509Certificate<'_>,
    rule: NameRule,
    expected: Option<&Name>,
    report: &mut Report,
) -> Vec<Name> {
    let alternative = match alternative_names(leaf, report) {
        Ok(names) => names,
        Err(finding) => {
            report.add(finding);
            return Vec::new();
        }
    };
    let common: Vec<Option<String>> = leaf.subject().iter_common_name().map(text_of).collect();
    let proven = match (rule, alternative) {
        (NameRule::Cn, None) => only_common_name(&common, report).into_iter().collect(),
        (_, None) => {
            report.add(Error::new(Code::SanMissing).found(listed(&common)).expected("the node's name as dNSName"));
            Vec::new()
        }
        (NameRule::San, Some(names)) => {
            check_common_names(&common, &names, report);
            names
        }
        (NameRule::CnAndSan | NameRule::Cn, Some(names)) => {
            check_common_names(&common, &names, report);
            only_common_name(&common, report).into_iter().filter(|name| names.contains(name)).collect()
        }
    };
    if let Some(expected) = expected
        && !proven.contains(expected)
    {
        let found: Vec<_> = proven.iter().map(|name| Some(name.to_string())).collect();
        report.add(Error::new(Code::NameMismatch).found(listed(&found)).expected(expected.as_str()));
    }
    proven
}

/// The dNSNames of the certificate; `None` if it has no such name at all.
fn alternative_names(leaf: &X509Certificate<'_>, report: &mut Report) -> Result<Option<Vec<Name>>, Error> {
    let unreadable = || Error::new(Code::CertificateUnreadable).subject("subject alternative name");
    let extension = leaf.subject_alternative_name().map_err(|error| unreadable().found(error.to_string()))?;
    let Some(extension) = extension else { return Ok(None) };
    let entries = &extension.value.general_names;
    if entries.len() > SAN_ENTRIES_MAX {
        let expected = format!("at most {SAN_ENTRIES_MAX}");
        return Err(unreadable().found(format!("{} names", entries.len())).expected(expected));
    }
    let mut names = Vec::new();
    let mut seen = false;
    for entry in entries {
        match entry {
            GeneralName::DNSName(text) => {
                seen = true;
                match dns_name(text) {
                    Ok(name) => names.push(name),
                    Err(finding) => report.add(finding),
                }
            }
            GeneralName::Invalid(..) => report.add(unreadable().found("an entry that cannot be read")),
            _ => {}
        }
    }
    Ok(seen.then_some(names))
}

fn dns_name(text: &str) -> Result<Name, Error> {
    if text.contains('*') {
        return Err(Error::new(Code::WildcardName).found(text).expected("the exact name of one computer"));
    }
    exact(text).ok_or_else(|| {
        Error::new(Code::NameUnreadable)
            .subject("subject alternative name")
            .found(format!("{text:?}"))
            .expected("a DNS name of letters, digits, hyphens and dots, without a dot at its end")
    })
}

/// A name as a certificate may hold it. The absolute form (with a dot at its end) is another text and not folded.
pub(super) fn exact(text: &str) -> Option<Name> {
    if text.ends_with('.') { None } else { Name::parse(text).ok() }
}

fn check_common_names(common: &[Option<String>], names: &[Name], report: &mut Report) {
    for entry in common {
        let name = entry.as_deref().and_then(exact);
        if !name.is_some_and(|name| names.contains(&name)) {
            let proven: Vec<_> = names.iter().map(|name| Some(name.to_string())).collect();
            let found = format!("CN {}; as dNSName: {}", listed(std::slice::from_ref(entry)), listed(&proven));
            let expected = "a common name that is also a dNSName, or none";
            report.add(Error::new(Code::CommonNameNotInSan).found(found).expected(expected));
        }
    }
}

fn only_common_name(common: &[Option<String>], report: &mut Report) -> Option<Name> {
    let name = match common {
        [Some(text)] => exact(text),
        _ => None,
    };
    if name.is_none() {
        let found = format!("{} common names: {}", common.len(), listed(common));
        report
            .add(Error::new(Code::NameMismatch).found(found).expected("exactly one common name: the node's DNS name"));
    }
    name
}

/// The text of an attribute; `None` where it has none that is certain.
pub(super) fn text_of(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    const T61_STRING: u32 = 20;
    const BMP_STRING: u32 = 30;
    let data = attribute.attr_value().data;
    match attribute.attr_value().tag().0 {
        BMP_STRING if data.len() % 2 == 0 => {
            let units: Vec<u16> = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        T61_STRING if data.is_ascii() => String::from_utf8(data.to_vec()).ok(),
        _ => attribute.as_str().ok().map(str::to_owned),
    }
}

/// Names as text, at most eight of them and about 300 characters: a certificate with thousands must not make long errors.
pub(super) fn listed(names: &[Option<String>]) -> String {
    if names.is_empty() {
        return "no name".to_owned();
    }
    let mut shown = String::new();
    let mut count = 0;
    for name in names.iter().take(8) {
        let text = match name.as_deref() {
            None => "(not a text)",
            Some("") => "(empty)",
            Some(text) => text,
        };
        if count > 0 && shown.len() + text.len() > 300 {
            break;
        }
        shown.push_str(if count > 0 { ", " } else { "" });
        // A common name may be of any length; a DNS name has 253 characters at most.
        shown.extend(text.chars().take(300));
        count += 1;
    }
    let rest = names.len() - count;
    if rest > 0 { format!("{shown} and {rest} more") } else { shown }
}
