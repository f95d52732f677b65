//! The body by which a node tells its management server how it stands. Section 14 of the specification.

use prost::Message as _;

use crate::code::Code;
use crate::error::Error;
use crate::limits::{REFUSALS_PER_REPORT_MAX, REPORT_FRAME_BYTES_MAX, REPORT_TEXT_BYTES_MAX, STANDBYS_PER_REPORT_MAX};
use crate::name::Name;
use crate::role::Role;
use crate::wire::frame::{Frame, HEADER_BYTES, Kind};
use crate::wire::messages::{Body, read_message};

/// REPORT: how a node stands. Times are ages when it was made, since clocks differ; what is not known is 0 or empty.
#[derive(Clone, PartialEq, ::prost::Message)]
pub(crate) struct Report {
    #[prost(string, tag = "1")]
    pub(crate) software: String,
    /// The name of the upstream in use.
    #[prost(string, tag = "2")]
    pub(crate) upstream: String,
    /// Why that one: 0, it is the primary.
    #[prost(uint32, tag = "3")]
    pub(crate) upstream_code: u32,
    #[prost(string, tag = "4")]
    pub(crate) upstream_text: String,
    /// How long the node has been where it is.
    #[prost(uint64, tag = "5")]
    pub(crate) since_ms: u64,
    /// The other upstreams, in the order of the assignment.
    #[prost(message, repeated, tag = "6")]
    pub(crate) standbys: Vec<ReportedStandby>,
    #[prost(uint64, tag = "7")]
    pub(crate) queue_messages: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) queue_bytes: u64,
    /// The age of the oldest undelivered message, where there are any.
    #[prost(uint64, tag = "9")]
    pub(crate) oldest_ms: u64,
    /// Messages delivered in all: of an agent's epoch, of a gateway since its start.
    #[prost(uint64, tag = "10")]
    pub(crate) delivered: u64,
    /// When the node's own certificate ends: unix milliseconds, no age.
    #[prost(int64, tag = "11")]
    pub(crate) certificate_until_ms: i64,
    /// The version of the assignment that is applied.
    #[prost(uint64, tag = "12")]
    pub(crate) assignment_version: u64,
    /// The version of a newer one of which no upstream was reached yet.
    #[prost(uint64, tag = "13")]
    pub(crate) assignment_pending: u64,
    #[prost(uint32, tag = "14")]
    pub(crate) agents_connected: u32,
    #[prost(uint32, tag = "15")]
    pub(crate) agents_silent: u32,
    #[prost(uint32, tag = "16")]
    pub(crate) agents_pending: u32,
    #[prost(message, repeated, tag = "17")]
    pub(crate) refusals: Vec<ReportedRefusal>,
}

/// How an upstream that is not in use stands (rule F3).
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct ReportedStandby {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bool, tag = "2")]
    pub(crate) ready: bool,
    /// Why it is not ready; 0: it was not tried yet.
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
    #[prost(string, tag = "4")]
    pub(crate) text: String,
    /// How long ago that was proven.
    #[prost(uint64, tag = "5")]
    pub(crate) proven_ms: u64,
}

/// Attempts that a gateway refused by itself, of one name, address and code.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub(crate) struct ReportedRefusal {
    /// As the peer proved it; empty where it proved none.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// [`Role`] as a number, as the peer said it; 0 where it said none.
    #[prost(uint32, tag = "2")]
    pub(crate) role: u32,
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    #[prost(uint32, tag = "4")]
    pub(crate) code: u32,
    #[prost(string, tag = "5")]
    pub(crate) text: String,
    #[prost(uint64, tag = "6")]
    pub(crate) first_ms: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) last_ms: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) count: u64,
}

impl Body for Report {
    const KIND: Kind = Kind::Report;
    const BYTES_MAX: usize = REPORT_FRAME_BYTES_MAX - HEADER_BYTES;
}

/// Reads a REPORT and holds it to its bounds.
///
/// # Errors
///
/// As [`read_message`]; [`Code::FrameMalformed`] for more standbys, refusals or text than a report has, and for what is
/// no name, no role.
pub(crate) fn read_report(frame: &Frame) -> Result<Report, Error> {
    let report: Report = read_message(frame)?;
    report.check()?;
    Ok(report)
}

impl Report {
    fn check(&self) -> Result<(), Error> {
        at_most("standbys", self.standbys.len(), STANDBYS_PER_REPORT_MAX)?;
        at_most("refusals", self.refusals.len(), REFUSALS_PER_REPORT_MAX)?;
        let standbys = self.standbys.iter().flat_map(|standby| [&standby.name, &standby.text]);
        let refusals = self.refusals.iter().flat_map(|refusal| [&refusal.name, &refusal.address, &refusal.text]);
        let own = [&self.software, &self.upstream, &self.upstream_text];
        for text in own.into_iter().chain(standbys).chain(refusals) {
            at_most("bytes of a text", text.len(), REPORT_TEXT_BYTES_MAX)?;
        }
        let may_be_empty = self.refusals.iter().map(|refusal| &refusal.name).chain([&self.upstream]);
        let names = may_be_empty.filter(|name| !name.is_empty());
        for name in names.chain(self.standbys.iter().map(|standby| &standby.name)) {
            check_name(name)?;
        }
        for role in self.refusals.iter().map(|refusal| refusal.role).filter(|role| *role != 0) {
            Role::from_number(role).ok_or_else(|| malformed(format!("the role {role}")))?;
        }
        Ok(())
    }

    /// What of the refusals fits beside the rest. The body is never longer than [`Body::BYTES_MAX`]: the texts of the
    /// standbys give way first, since their codes say the same in short.
    ///
    /// Answers how many of the refusals are in it.
    pub(crate) fn fill(&mut self, refusals: impl Iterator<Item = ReportedRefusal>) -> usize {
        self.standbys.truncate(STANDBYS_PER_REPORT_MAX);
        if self.encoded_len() > Self::BYTES_MAX / 2 {
            self.standbys.iter_mut().for_each(|standby| standby.text.clear());
        }
        for refusal in refusals.take(REFUSALS_PER_REPORT_MAX) {
            self.refusals.push(refusal);
            if self.encoded_len() > Self::BYTES_MAX {
                self.refusals.pop();
                break;
            }
        }
        self.refusals.len()
    }
}

/// A text as a report carries it: without control characters, cut to what it may have.
pub(crate) fn report_text(text: &str) -> String {
    let mut text = crate::error::printable(text);
    if text.len() > REPORT_TEXT_BYTES_MAX {
        let cut = (0..=REPORT_TEXT_BYTES_MAX - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        text.push('…');
    }
    text
}

fn at_most(what: &str, found: usize, most: usize) -> Result<(), Error> {
    if found > most { Err(malformed(format!("{found} {what}")).expected(format!("at most {most}"))) } else { Ok(()) }
}

fn check_name(text: &str) -> Result<(), Error> {
    match Name::parse(text) {
        Ok(name) if name.as_str() == text => Ok(()),
        Ok(_) => Err(malformed(format!("the name \"{}\"", crate::error::printable(text))).expected("lower case")),
        Err(error) => Err(malformed(error.found_text().to_owned()).expected(error.expected_text().to_owned())),
    }
}

fn malformed(found: String) -> Error {
    Error::new(Code::FrameMalformed).subject("REPORT").found(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(report: &Report) -> Result<Report, Error> {
        read_report(&Frame { kind: Kind::Report, channel: 0, body: report.encode_to_vec().into() })
    }

    fn refusal(number: usize) -> ReportedRefusal {
        let name = format!("pc{number}.branch.example");
        let address = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]".into();
        ReportedRefusal { name, role: 1, address, code: 1202, text: "x".repeat(256), count: 1, ..Default::default() }
    }

    fn standby(number: usize) -> ReportedStandby {
        let label = "x".repeat(60);
        let name = format!("gw{number:02}.{label}.{label}.{label}.{label}");
        ReportedStandby { name, code: 2104, text: "y".repeat(256), ..Default::default() }
    }

    #[test]
    fn d7_whatever_a_node_has_to_say_its_report_stays_within_the_bounds_that_its_reader_holds_it_to() {
        for standbys in [0, 1, 4, 16, 40] {
            for refusals in [0, 1, 31, 32, 33, 500] {
                let mut report = Report {
                    software: "s".repeat(256),
                    upstream_text: "t".repeat(256),
                    standbys: (0..standbys).map(standby).collect(),
                    ..Report::default()
                };
                let told = report.fill((0..refusals).map(refusal));
                assert_eq!(told, report.refusals.len());
                assert!(told > 0 || refusals == 0, "there is always room for some: {standbys} standbys");
                assert_eq!(read(&report).as_ref(), Ok(&report), "{standbys} standbys, {refusals} refusals");
            }
        }
    }

    #[test]
    fn d7_one_more_than_a_report_may_have_of_anything_is_refused() {
        let (name, text) = ("gw1.branch.example".to_owned(), "é".repeat(REPORT_TEXT_BYTES_MAX / 2));
        let good = Report { software: text.clone(), upstream: name.clone(), ..Report::default() };
        assert_eq!(read(&good).as_ref(), Ok(&good));
        let standby = |name: &str| ReportedStandby { name: name.into(), ..Default::default() };
        let refusal = |name: &str, role| ReportedRefusal { name: name.into(), role, ..Default::default() };
        let bad = [
            Report { software: format!("{text}x"), ..good.clone() },
            Report { upstream: "GW1".into(), ..good.clone() },
            Report { upstream: "../x".into(), ..good.clone() },
            Report { standbys: vec![standby("")], ..good.clone() },
            Report { standbys: vec![standby(&name); 17], ..good.clone() },
            Report { refusals: vec![refusal("", 0); 33], ..good.clone() },
            Report { refusals: vec![refusal("*", 0)], ..good.clone() },
            Report { refusals: vec![refusal(&name, 5)], ..good.clone() },
        ];
        for report in bad {
            assert_eq!(read(&report).unwrap_err().code(), Code::FrameMalformed, "{report:?}");
        }
        let body = vec![0; Report::BYTES_MAX + 1].into();
        let error = read_report(&Frame { kind: Kind::Report, channel: 0, body }).unwrap_err();
        assert_eq!(error.code(), Code::FrameTooLong);
    }

    #[test]
    fn h17_a_text_of_a_report_is_cut_between_characters_and_has_nothing_that_acts() {
        for length in 0..300 {
            let text = report_text(&format!("{}\u{1b}[2J", "é".repeat(length)));
            assert!(text.len() <= REPORT_TEXT_BYTES_MAX && !text.contains('\u{1b}'), "{length}: {text}");
        }
        assert_eq!(report_text("found serverAuth"), "found serverAuth");
    }
}
