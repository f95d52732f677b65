//! The doors of the fuzz targets in `fuzz/`: bytes in, no panic out. Not part of the public interface.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::code::Code;
#[cfg(feature = "agent")]
use crate::disk::{Disk, Log, MemoryDisk};
use crate::group::{AssignmentKey, EnrolmentToken, KeySuccession};
use crate::identity::import::{Options, read};
use crate::identity::selection::{CertificateSelector, Pile, the_only};
use crate::identity::{
    CertificateForm, CertificateRequest, ChainLimits, CrlPolicy, IdentityPolicy, NameRule, PeerCheck, PeerRole, Report,
    Trust,
};
use crate::limits::FRAME_BYTES_MAX;
#[cfg(feature = "agent")]
use crate::message::{Epoch, Sequence};
use crate::name::Name;
#[cfg(feature = "agent")]
use crate::queue::Checkpoint;
use crate::time::{Instant, Timestamp};
use crate::wire::{Answer, Assembly, Hello, Link, Phase, next_enrol, next_enrolled, next_frame, read_body};

/// Hands bytes to everything that reads a peer's stream: the frame cutter with every body's reader, and the link
/// machine at both ends in every phase.
pub fn wire(data: &[u8]) {
    read_stream(data);
    read_enrolment(data);
    for phase in [Phase::Introduction, Phase::Pending, Phase::Open] {
        for is_dialler in [false, true] {
            drive_link(data, phase, is_dialler);
        }
    }
}

/// Hands bytes to the queue as the segments that it finds at its start: the first byte says in how many parts. What it
/// makes of them can be read in order, and appended to.
#[cfg(feature = "agent")]
pub fn queue(data: &[u8]) {
    let Some((&parts, bytes)) = data.split_first() else { return };
    let mut disk = MemoryDisk::default();
    let length = bytes.len().div_ceil(usize::from(parts % 3) + 1).max(1);
    for (id, segment) in (1..).zip(bytes.chunks(length)) {
        let written = disk.create(id).and_then(|mut file| file.write_at(segment, 0));
        assert!(written.is_ok(), "memory takes what it is given");
    }
    let Ok(owner) = Name::parse("pc7.branch.example") else { return };
    let mut log = match Log::open(Box::new(disk), 1 << 20, Checkpoint::new(owner, Epoch(1))) {
        Ok(log) => log,
        Err(error) => return assert!(!error.to_string().is_empty(), "every error says something"),
    };
    let delivered = log.state().delivered;
    let mut from = log.state().sequence_of(delivered.saturating_add(1));
    loop {
        let messages = log.read(from, 1 << 20);
        let Some(last) = messages.last() else { break };
        assert!(messages[0].sequence >= from, "{} before {from}", messages[0].sequence);
        assert!(messages.is_sorted_by_key(|message| message.sequence), "in order");
        from = Sequence(last.sequence.0 + 1);
    }
    assert!(log.close(delivered).is_ok(), "memory takes what it is given");
}

/// Hands bytes to what reads certificate requests, and as a text to what reads one-time tokens. What is accepted reads
/// back as itself.
pub fn identity_request(data: &[u8]) {
    for answer in [CertificateRequest::parse(data), CertificateRequest::from_pem(data)] {
        match answer {
            Ok(request) => {
                assert!(CertificateRequest::parse(request.der()).as_ref() == Ok(&request));
                assert!(CertificateRequest::from_pem(request.to_pem().as_bytes()).as_ref() == Ok(&request));
            }
            Err(error) => assert!(error.to_string().len() < 4096, "every error says something, and not too much"),
        }
    }
    if let Ok(token) = EnrolmentToken::parse(&String::from_utf8_lossy(data)) {
        assert!(EnrolmentToken::parse(&token.text()).as_ref() == Ok(&token));
    }
}

/// Hands bytes to everything that an import reads, in every format: the first byte chooses the password and whether an
/// unprotected file is taken. What was found is judged as an import judges it. Key derivations are kept short.
pub fn identity_import(data: &[u8]) {
    let Some((&options, bytes)) = data.split_first() else { return };
    let password = (options & 1 == 0).then_some("x");
    let mut chosen = Options { iterations_max: 100, ..Options::with_password(password) };
    chosen.allow_unprotected = options & 2 != 0;
    chosen.skip_keys = options & 4 != 0;
    let material = match read(bytes, &chosen) {
        Ok(material) => material,
        Err(error) => return assert!(!error.to_string().is_empty(), "every error says something"),
    };
    let Ok(name) = Name::parse("pc7.branch.example") else { return };
    let trust = Trust::new(&material.certificates, &material.lists).unwrap_or_default();
    let mut pile = Pile::default();
    let _ = pile.add_certificates(0, material.certificates);
    for key in material.keys {
        let _ = pile.add_key(0, key);
    }
    let at = Timestamp::from_unix_seconds(1_780_000_000);
    let candidates = pile.candidates(&name, &trust, &IdentityPolicy::default(), at, |_| true);
    if let Err(report) = the_only(candidates, &CertificateSelector::default(), &name) {
        assert!(!report.is_clean(), "a refusal says why");
    }
}

/// Hands bytes to the reader of revocation lists, as PEM and as DER, and asks what was read about a certificate.
pub fn revocation_list(data: &[u8]) {
    for trust in [Trust::from_pem(&[], &[data]), Trust::new(&[], &[data.into()])] {
        let report = trust.expect_err("there is no anchor");
        assert!(report.has(Code::TrustMissing), "{report}");
        told(&report);
    }
}

/// Hands bytes to the reader of statements about the group's next key: a sequence of items, each two lengths (u16,
/// big-endian), a body and a signature. Nobody who does not have a key can name the one after it.
pub fn group_key(data: &[u8]) {
    let (mut successions, mut rest) = (Vec::new(), data);
    while let [high, low, signature_high, signature_low, after @ ..] = rest {
        let cut = |bytes: &[u8], high: u8, low: u8| usize::from(u16::from_be_bytes([high, low])).min(bytes.len());
        let (body, after) = after.split_at(cut(after, *high, *low));
        let (signature, after) = after.split_at(cut(after, *signature_high, *signature_low));
        let (body, signature) = (Bytes::copy_from_slice(body), Bytes::copy_from_slice(signature));
        successions.push(KeySuccession { body, signature });
        rest = after;
    }
    for pinned in KEYS_OF_NOBODY {
        let followed = AssignmentKey::from_bytes(&pinned).and_then(|key| key.followed("CORP", &successions));
        assert!(followed.is_err(), "a key was named by somebody who does not have the one before it");
    }
}

/// The public keys of the tests 1 and 2 of RFC 8032, section 7.1. (A key that is all zeros would believe signatures that are.)
const KEYS_OF_NOBODY: [[u8; 32]; 2] = [
    [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ],
    [
        0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc, 0x9c, 0x98,
        0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c,
    ],
];

/// Hands bytes to the reader of backups of the group's key.
#[cfg(feature = "management-server")]
pub fn key_backup(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(crate::session::key_backup::decode(text, "password").is_err(), "a backup that its key has not signed");
    }
}

/// Hands bytes to the verification of a peer's chain: a sequence of items, each a kind (0 anchor, 1 certificate of the
/// chain, 2 revocation list), a length (u16, big-endian) and as many bytes.
pub fn chain(data: &[u8]) {
    let (mut anchors, mut certificates, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = data;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (item, next) = after.split_at(length);
        match kind % 3 {
            0 => anchors.push(CertificateDer::from(item)),
            1 => certificates.push(CertificateDer::from(item)),
            _ => lists.push(CertificateRevocationListDer::from(item)),
        }
        rest = next;
    }
    let trust = Trust::new(&anchors, &lists).unwrap_or_else(|report| {
        told(&report);
        Trust::default()
    });
    let usual = PeerCheck::new(&trust, Timestamp::from_unix_seconds(1_780_272_000));
    let strict = usual.form(CertificateForm::Strict).role(PeerRole::Client).intermediates_max(1);
    let warn = IdentityPolicy { name_rule: NameRule::Cn, crl_policy: CrlPolicy::Warn, accept_server_auth_alone: true };
    for check in [usual, strict, usual.policy(warn).limits(ChainLimits::Offline).role(PeerRole::Server)] {
        let examined = check.examine(&certificates);
        told(&examined.report);
        let verdict = check.verify(&certificates);
        assert_eq!(verdict.is_ok(), examined.report.is_clean(), "one answer");
        assert!(verdict.is_err() || !anchors.is_empty(), "nobody is trusted without an anchor");
    }
}

/// Every finding says something, and not too much.
fn told(report: &Report) {
    for finding in report.findings() {
        let texts = [finding.found_text(), finding.expected_text(), finding.remedy_text()];
        assert!(texts.iter().all(|text| !text.is_empty()), "{finding}");
        assert!(finding.to_string().len() <= 4096, "{finding}");
    }
}

/// Cuts the bytes into frames and reads each body.
fn read_stream(data: &[u8]) {
    let mut stream = BytesMut::from(data);
    while let Ok(Some(frame)) = next_frame(&mut stream, FRAME_BYTES_MAX) {
        let before = frame.body.len();
        if let Err(error) = read_body(&frame) {
            assert!(!error.to_string().is_empty(), "every error says something");
        }
        assert_eq!(frame.body.len(), before, "reading leaves the frame as it was");
    }
}

/// Reads the bytes as either end of an enrolment connection does.
fn read_enrolment(data: &[u8]) {
    let mut stream = BytesMut::from(data);
    while let Ok(Some(_)) = next_enrol(&mut stream) {}
    let (mut stream, mut assembly) = (BytesMut::from(data), Assembly::default());
    while let Ok(Some(enrolled)) = next_enrolled(&mut stream) {
        if let Ok(Some(Answer::Refused(error, _))) = assembly.take_enrolled(enrolled) {
            assert!(!error.to_string().is_empty(), "every error says something");
        }
    }
}

/// Lets a link take the bytes in two parts, as a socket may hand them over. What is given to the owner is what the
/// phase allows; where they are cut makes no difference.
fn drive_link(data: &[u8], phase: Phase, is_dialler: bool) {
    let cut = data.first().map_or(0, |byte| usize::from(*byte) % (data.len() + 1));
    let whole = frames_of(&[data], phase, is_dialler);
    let parts = frames_of(&[&data[..cut], &data[cut..]], phase, is_dialler);
    assert_eq!(whole, parts, "cut at {cut}");
}

/// How many frames reach the owner, and whether an error ended it. Which one may depend on the cut: three bytes tell a
/// wrong length, the fourth a wrong type.
fn frames_of(parts: &[&[u8]], phase: Phase, is_dialler: bool) -> (usize, bool) {
    let (beat, now) = (Duration::from_secs(10), Instant::from_micros(0));
    let mut link = if is_dialler { Link::dialled(&Hello::default(), beat, now) } else { Link::accepted(beat, now) };
    if phase != Phase::Introduction {
        link.enter(phase, beat);
    }
    let mut frames = 0;
    for part in parts {
        link.handle_bytes(BytesMut::from(*part), now);
        loop {
            match link.next_frame() {
                Ok(Some(_)) => frames += 1,
                Ok(None) => break,
                Err(error) => return (frames, !error.to_string().is_empty()),
            }
        }
    }
    (frames, false)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::identity::testing::Issued;
    use crate::wire::Kind;

    /// xorshift64*: the same bytes in every run.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn byte(&mut self) -> u8 {
            self.next().to_be_bytes()[0]
        }

        /// A frame with a header that can be right and a body that hardly can; one in eight is noise altogether.
        fn frame(&mut self, out: &mut Vec<u8>) {
            let body = usize::from(self.byte() % 40);
            let kind = Kind::ALL[self.next() as usize % Kind::ALL.len()] as u8;
            let start = out.len();
            out.extend([0, 0, (8 + body) as u8, kind, 0, 0, 0, self.byte() % 2]);
            // Small numbers are what lengths, tags and counts are made of.
            out.extend((0..body).map(|_| if self.next().is_multiple_of(2) { self.byte() } else { self.byte() % 20 }));
            if self.next().is_multiple_of(8) {
                out[start..].iter_mut().for_each(|byte| *byte = self.byte());
            }
        }
    }

    #[test]
    fn d7_four_hundred_thousand_frames_of_noise_are_read_without_a_panic() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        for round in 0..100_000 {
            let mut data = Vec::new();
            for _ in 0..4 {
                noise.frame(&mut data);
            }
            // The links read the same bytes twelve times over: one round in sixteen, so that this stays a unit test.
            if round % 16 == 0 { wire(&data) } else { read_stream(&data) }
        }
    }

    #[test]
    fn twenty_thousand_changed_requests_are_read_without_a_panic() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let name = crate::name::Name::parse("pc7.branch.example").unwrap();
        let (request, _) = CertificateRequest::make(&name, crate::identity::KeyKind::P256, true).unwrap();
        for _ in 0..20_000 {
            let mut data = request.der().to_vec();
            for _ in 0..=noise.byte() % 8 {
                let at = noise.next() as usize % data.len();
                match noise.byte() % 4 {
                    0 => data[at] = noise.byte(),
                    1 => data[at] = noise.byte() % 8,
                    2 => data.insert(at, noise.byte()),
                    _ => drop(data.remove(at)),
                }
            }
            identity_request(&data);
        }
        identity_request(b"fpt1-B9D5MPJ-TB9D5MP-JTB9D5M-PJTB9D5-MPJTB9D-5MPJTB9-D5MPJTB-9D359YZ");
    }

    #[test]
    fn noise_with_the_shapes_of_certificates_and_keys_is_read_without_a_panic() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        // Tags and lengths of the formats, so that more than the first byte is looked at.
        const SHAPES: [u8; 16] = [0x30, 0x31, 2, 3, 4, 6, 0xa0, 0xa1, 0x80, 0x24, 0x17, 0, 1, 5, 9, 0x30];
        for _ in 0..50_000 {
            let length = usize::from(noise.byte() % 64);
            let mut data = vec![noise.byte(), 0x30, noise.byte() % 70];
            data.extend((0..length).map(|_| match noise.byte() {
                0..200 => SHAPES[usize::from(noise.byte() % 16)],
                _ => noise.byte(),
            }));
            identity_import(&data);
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_of_the_golden_segment_is_recovered_without_a_panic() {
        let golden = include_str!("../tests/golden/queue-segment-1.hex");
        let digits: Vec<u8> = golden.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let segment: Vec<u8> = digits.chunks(2).map(byte).collect();
        for parts in 0..3 {
            for at in 0..segment.len() {
                queue(&[&[parts], &segment[..at]].concat());
                let mut changed = [&[parts], &segment[..]].concat();
                changed[1 + at] ^= 1 << (at % 8);
                queue(&changed);
            }
        }
    }

    /// The items of `chain`.
    fn items(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, bytes) in parts {
            out.push(*kind);
            out.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            out.extend(*bytes);
        }
        out
    }

    #[test]
    fn g6_a_hundred_thousand_mangled_statements_about_the_next_key_name_none() {
        let mut noise = Noise(5);
        let mut statement = vec![0, 19 + 2 + 2 + 4 + 80, 0, 64];
        statement.extend(
            [&[0, 19], &b"farpost group key 1"[..], &[0, 4], b"CORP", &super::KEYS_OF_NOBODY[0], &[7; 32], &[0; 80]]
                .concat(),
        );
        for _ in 0..100_000 {
            let mut mangled = statement.clone();
            for _ in 0..noise.next() % 4 {
                let at = noise.next() as usize % mangled.len();
                mangled[at] = noise.byte();
            }
            super::group_key(&mangled);
        }
    }

    #[test]
    fn i2_every_cut_and_every_changed_byte_of_a_chain_and_of_a_list_is_judged_without_a_panic() {
        let root = Issued::root(|_| {});
        let issuing = root.intermediate("issuing", |_| {});
        let leaf = issuing.leaf(|params| params.use_authority_key_identifier_extension = true);
        let der = |list: String| CertificateRevocationListDer::from_pem_slice(list.as_bytes()).unwrap();
        let (of_root, of_issuing) = (der(root.list(1, &[], |_| {})), der(issuing.list(1, &[&root], |_| {})));
        let (anchor, leaf, issuing) = (root.der(), leaf.der(), issuing.der());
        let lists: [(u8, &[u8]); 2] = [(2, &of_root), (2, &of_issuing)];
        let good = [&[(0, &anchor[..]), (1, &leaf), (1, &issuing)][..], &lists].concat();
        chain(&items(&good));
        for (place, (kind, bytes)) in good.iter().enumerate() {
            // The leaf at every byte; of the others, whose checks are the same, every third.
            let step = if place == 1 { 1 } else { 3 };
            for at in (0..bytes.len()).step_by(step) {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << (at % 8);
                for spoilt in [&bytes[..at], &changed] {
                    let mut parts = good.clone();
                    parts[place] = (*kind, spoilt);
                    chain(&items(&parts));
                }
            }
        }
        for at in 0..of_issuing.len() {
            let mut changed = of_issuing.to_vec();
            changed[at] ^= 1 << (at % 8);
            revocation_list(&of_issuing[..at]);
            revocation_list(&changed);
        }
    }

    #[test]
    fn i2_ten_thousand_mangled_chains_are_judged_without_a_panic() {
        let root = Issued::root(|_| {});
        let leaf = root.leaf(|_| {});
        let list = CertificateRevocationListDer::from_pem_slice(root.list(1, &[&leaf], |_| {}).as_bytes()).unwrap();
        let good = items(&[(0, &root.der()), (1, &leaf.der()), (2, &list)]);
        let mut noise = Noise(0x0123_4567_89ab_cdef);
        for _ in 0..10_000 {
            let mut bytes = good.clone();
            for _ in 0..=noise.byte() % 6 {
                let at = noise.next() as usize % bytes.len();
                match noise.byte() % 4 {
                    0 => bytes[at] = noise.byte(),
                    // Tags and small lengths are what DER is made of.
                    1 => bytes[at] = [0x30, 0x31, 0x06, 0x02, 0x04, 0x80, 0x82, 0xa0, 0, 1, 2][at % 11],
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, noise.byte() % 32),
                }
            }
            chain(&bytes);
        }
    }
}
