//! Renewal of a certificate: when to ask, and what is signed when asking.

use std::time::Duration;

use crate::code::Code;
use crate::error::Error;
use crate::identity::attestation::{put_field, verify};
use crate::identity::{KeyHash, VerifiedPeer};
use crate::limits::{RENEWAL_BACKOFF, RENEWAL_BY_HAND_EVERY, RENEWAL_RETRY_AFTER};
use crate::name::Name;
use crate::time::Timestamp;

/// From when to when a certificate is good: of the leaf, and no longer than its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Why a node asks again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// The authority has the request, and said when to ask; zero: it did not say.
    Pending(Duration),
    /// It did not work; zero: nobody said when to try again.
    Failed(Duration),
    /// The group has no authority.
    ByHand,
}

/// When a node asks for its next certificate.
///
/// The first time is somewhere between 40 % and 50 % of the present one's life, at a point that is the node's own, so
/// that nodes that were installed together do not all ask together, and a restart changes nothing. What is past that
/// is asked for within minutes. After a failure it waits longer each time, but never more than a twentieth of what is
/// left: however short the life, there are many tries.
#[derive(Debug)]
pub(crate) struct Plan {
    life: Life,
    seed: u64,
    failures: u32,
    due: Timestamp,
}

impl Plan {
    /// A plan for a certificate. `seed` is any number that differs from node to node.
    pub(crate) fn new(life: Life, seed: u64, now: Timestamp) -> Self {
        let length = millis_between(life.not_before, life.not_after);
        // 40 % and up to 10 % more.
        let offset = length / 5 * 2 + share(length / 10, seed);
        let first = after(life.not_before, Duration::from_millis(offset));
        let due = if first > now {
            first
        } else {
            let rest = millis_between(now, life.not_after);
            let soon = u64::try_from(SOON.as_millis()).unwrap_or(u64::MAX).min(rest / 20);
            after(now, Duration::from_millis(share(soon, seed)))
        };
        Self { life, seed, failures: 0, due }
    }

    /// When to ask.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }

    /// It did not bring a certificate.
    pub(crate) fn later(&mut self, why: Later, now: Timestamp) {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = match why {
            Later::Pending(told) => {
                self.failures = 0;
                if told.is_zero() {
                    RENEWAL_RETRY_AFTER.0
                } else {
                    told.clamp(RENEWAL_RETRY_AFTER.0, RENEWAL_RETRY_AFTER.1)
                }
            }
            Later::Failed(told) if !told.is_zero() => told.clamp(RENEWAL_RETRY_AFTER.0, RENEWAL_RETRY_AFTER.1),
            Later::Failed(_) => {
                let doubled = RENEWAL_BACKOFF.0 * 2_u32.saturating_pow(self.failures.min(16));
                self.failures += 1;
                doubled.min(RENEWAL_BACKOFF.1)
            }
            Later::ByHand => RENEWAL_BY_HAND_EVERY,
        };
        let rest = millis_between(now, self.life.not_after);
        let least = u64::try_from(RENEWAL_RETRY_AFTER.0.as_millis()).unwrap_or(u64::MAX);
        // What has ended already is no reason for haste: nobody lets this node in.
        let most = if rest == 0 { u64::MAX } else { (rest / 20).max(least) };
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(most);
        // 80 % to 100 %: whom one outage failed together do not come back together.
        let wait = wait / 5 * 4 + share(wait / 5, self.seed);
        self.due = after(now, Duration::from_millis(wait));
    }
}

/// A part of `whole` that the seed chooses, evenly.
fn share(whole: u64, seed: u64) -> u64 {
    // The upper half of the product of 64-bit numbers is below `whole`.
    u64::try_from((u128::from(whole) * u128::from(seed)) >> 64).unwrap_or(whole)
}

fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.unix_millis().saturating_sub(from.unix_millis())).unwrap_or(0)
}

fn after(at: Timestamp, rest: Duration) -> Timestamp {
    let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(at.unix_millis().saturating_add(rest))
}

/// The bytes that a node signs with the key of its present certificate when it asks for a new one (wire section 13).
pub(crate) fn to_be_signed(group: &str, name: &Name, request: &[u8]) -> Vec<u8> {
    let mut out = CONTEXT.to_vec();
    put_field(&mut out, group.as_bytes());
    put_field(&mut out, name.as_str().as_bytes());
    put_field(&mut out, request);
    out
}

/// Checks that the node whose chain was verified signed this request, for this group and its own name (SECURITY section
/// 3, incident 46).
///
/// # Errors
///
/// [`Code::RenewalSignatureInvalid`].
pub(crate) fn verify_request(
    peer: &VerifiedPeer,
    group: &str,
    name: &Name,
    request: &[u8],
    (scheme, signature): (u32, &[u8]),
) -> Result<(), Error> {
    let invalid = |found: String| Error::new(Code::RenewalSignatureInvalid).found(found);
    let scheme = u16::try_from(scheme).map_err(|_| invalid(format!("the signature scheme {scheme}")))?;
    verify(peer, scheme, &to_be_signed(group, name, request), signature)
        .map_err(|error| invalid(error.found_text().to_owned()))
}

/// The SHA-256 of a request: what its answer names.
pub(crate) fn request_hash(request: &[u8]) -> [u8; 32] {
    KeyHash::of(request).0
}

/// What is signed can never be taken for an attestation or a TLS handshake: each begins in its own way.
const CONTEXT: &[u8] = b"farpost renewal 1\0";
/// A node that starts with a certificate past its time asks within this: after a power failure all start at once.
const SOON: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn life(seconds: i64) -> Life {
        Life { not_before: at(0), not_after: at(seconds) }
    }

    /// Seeds spread over the whole range.
    fn seeds() -> impl Iterator<Item = u64> {
        (0..1000_u64).map(|count| count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[test]
    fn every_node_asks_before_half_of_the_life_is_over_each_at_its_own_time() {
        for length in [20, 3600, 86_400 * 90, 86_400 * 3650] {
            let dues: Vec<i64> = seeds().map(|seed| Plan::new(life(length), seed, at(0)).due().unix_millis()).collect();
            let (first, last) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
            assert!(*first >= length * 400 && *last <= length * 500, "{first} to {last} of {length} s");
            assert!(last - first > length * 90, "they spread: {first} to {last}");
        }
    }

    #[test]
    fn a_certificate_past_its_time_is_asked_for_within_minutes_and_within_what_is_left() {
        for (now, most) in [(60 * 86_400, 300), (90 * 86_400 - 600, 30), (90 * 86_400, 0), (91 * 86_400, 0)] {
            for seed in seeds() {
                let due = Plan::new(life(90 * 86_400), seed, at(now)).due();
                assert!(due >= at(now) && due <= at(now + most), "{due} for {now}");
            }
        }
    }

    #[test]
    fn after_failures_it_waits_longer_and_never_more_than_a_twentieth_of_what_is_left() {
        let mut plan = Plan::new(life(90 * 86_400), 7, at(0));
        let (mut now, mut tries, mut waits) = (plan.due(), 0, Vec::new());
        while now < at(90 * 86_400) {
            plan.later(Later::Failed(Duration::ZERO), now);
            let wait = plan.due().unix_millis() - now.unix_millis();
            let left = at(90 * 86_400).unix_millis() - now.unix_millis();
            assert!(wait <= (left / 20).max(1000) && wait >= 800, "{wait} ms with {left} ms left");
            waits.push(wait);
            now = plan.due();
            tries += 1;
        }
        assert!(waits[0] < 61_000 && waits[4] > 5 * waits[0], "{waits:?}");
        assert!((150..10_000).contains(&tries), "{tries}");
    }

    #[test]
    fn who_is_told_when_to_ask_again_asks_then_within_bounds() {
        let mut plan = Plan::new(life(90 * 86_400), 7, at(0));
        for (told, least, most) in [(60, 48, 60), (0, 0, 1), (1 << 40, 69_120, 86_400)] {
            plan.later(Later::Pending(Duration::from_secs(told)), at(0));
            let wait = plan.due().unix_millis() / 1000;
            assert!((least..=most).contains(&wait), "{wait} s where {told} s were told");
        }
        plan.later(Later::ByHand, at(0));
        assert!(plan.due() >= at(69_120) && plan.due() <= at(86_400), "daily");
    }

    #[test]
    fn what_is_signed_differs_in_every_field() {
        let name = |name| Name::parse(name).unwrap();
        let signed = to_be_signed("CORP", &name("pc7.branch.example"), b"request");
        for other in [
            to_be_signed("CORPp", &name("c7.branch.example"), b"request"),
            to_be_signed("CORP", &name("pc8.branch.example"), b"request"),
            to_be_signed("CORP", &name("pc7.branch.example"), b"requesu"),
        ] {
            assert_ne!(signed, other);
        }
        assert!(signed.starts_with(b"farpost renewal 1\0\0\0\0\x04CORP"));
    }
}
