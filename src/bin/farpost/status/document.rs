//! A node's answer, and how a person reads it.

use serde::Deserialize;

/// What a node says of itself.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Document {
    pub(super) role: String,
    pub(super) name: String,
    pub(super) management_group: String,
    pub(super) uptime_seconds: u64,
    pub(super) upstream: Option<Upstream>,
    standbys: Vec<Standby>,
    pub(super) agents: Option<Downstreams>,
    pub(super) gateways: Option<Downstreams>,
    pub(super) queue: Option<Queue>,
    store: Option<Store>,
    pub(super) identity: Option<Identity>,
    pub(super) expiry: Expiry,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Upstream {
    name: String,
    address: String,
    pub(super) position: String,
    since: String,
    why: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Standby {
    name: String,
    address: String,
    ready: bool,
    proven: Option<String>,
    why: Option<String>,
    failback_in_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Downstreams {
    pub(super) connected: u64,
    silent: u64,
    pub(super) pending: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    oldest_milliseconds: Option<u64>,
    delivered_sequence: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Store {
    works: bool,
    since: String,
    why: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Identity {
    until: String,
    pub(super) until_unix_seconds: Option<i64>,
    days: i64,
    pub(super) generation: Option<u64>,
    renewal_from: Option<String>,
    shown_until: Option<String>,
}

/// The first end of each kind.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Expiry {
    pub(super) peer: Option<First>,
    pub(super) authority: Option<First>,
    pub(super) list: Option<First>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct First {
    pub(super) subject: String,
    until: String,
    pub(super) until_unix_seconds: i64,
    days: i64,
    pub(super) count: u64,
}

impl Document {
    /// The lines of `farpost status`.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let head = format!("{} {} ({})", self.role, self.name, self.management_group);
        let mut lines = vec![format!("{head:<42} up {}", span(self.uptime_seconds))];
        let mut push = |label: &str, text: String| lines.push(format!("  {label:<10} {text}"));
        match &self.upstream {
            Some(upstream) => push("upstream", upstream.text()),
            None if self.role != "management-server" => push("upstream", "none".to_owned()),
            None => {}
        }
        for standby in &self.standbys {
            push("standby", standby.text());
        }
        for (label, downstreams) in [("gateways", &self.gateways), ("agents", &self.agents)] {
            if let Some(downstreams) = downstreams {
                push(label, downstreams.text());
            }
        }
        if let Some(queue) = &self.queue {
            push("queue", queue.text());
        }
        if let Some(store) = self.store.as_ref().filter(|store| !store.works) {
            push("store", format!("fails, since {}: {}", clock(&store.since), store.why));
        }
        if let Some(identity) = &self.identity {
            push("identity", identity.text());
        }
        let firsts = [("peer", &self.expiry.peer), ("authority", &self.expiry.authority), ("list", &self.expiry.list)];
        for (kind, first) in firsts {
            if let Some(first) = first {
                push("nearest", first.text(kind));
            }
        }
        lines.into_iter()
    }
}

impl Upstream {
    fn text(&self) -> String {
        let why = self.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        format!("{} {}   {}, since {}{why}", self.name, self.address, self.position, clock(&self.since))
    }
}

impl Standby {
    fn text(&self) -> String {
        let mut text = format!("{} {}   ", self.name, self.address);
        text.push_str(if self.ready { "ready" } else { "not ready" });
        if let Some(why) = &self.why {
            text.push_str(&format!(": {why}"));
        }
        if let Some(proven) = &self.proven {
            text.push_str(&format!(", proven {}", clock(proven)));
        }
        if let Some(seconds) = self.failback_in_seconds {
            text.push_str(&format!("; failback in {}", span(seconds)));
        }
        text
    }
}

impl Downstreams {
    fn text(&self) -> String {
        let [connected, silent, pending] = [self.connected, self.silent, self.pending].map(count);
        format!("{connected} connected, {silent} silent, {pending} pending")
    }
}

impl Queue {
    fn text(&self) -> String {
        let oldest = self
            .oldest_milliseconds
            .map_or(String::new(), |millis| format!(", oldest {}.{} s", count(millis / 1_000), millis % 1_000 / 100));
        format!(
            "{} messages, {}{oldest}; delivered up to sequence {}",
            count(self.messages),
            size(self.bytes),
            count(self.delivered_sequence)
        )
    }
}

impl Identity {
    fn text(&self) -> String {
        let renewal = self.renewal_from.as_ref().map_or(String::new(), |from| format!(", renewal from {}", day(from)));
        let shown = self.shown_until.as_ref().map_or(String::new(), |until| {
            format!("; the one before, until {}, is shown until the upstream takes this one", day(until))
        });
        format!("until {} ({} days){renewal}{shown}", end(&self.until, self.days), self.days)
    }
}

impl First {
    fn text(&self, kind: &str) -> String {
        format!(
            "{kind} {}, until {} ({} days), of {}",
            self.subject,
            end(&self.until, self.days),
            self.days,
            count(self.count)
        )
    }
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

/// An end as it matters: its day, and in the last two days the time too.
fn end(time: &str, days: i64) -> String {
    if days < 2 { clock(time) } else { day(time).to_owned() }
}

/// Day and time to the second of an RFC 3339 time.
fn clock(time: &str) -> String {
    let to_the_second = time.split('.').next().unwrap_or(time);
    to_the_second.trim_end_matches('Z').replace('T', " ")
}

/// `3 d 4 h`, `2 h 5 min`, `41 s`: the two largest units.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, label) in units.iter().skip(first).take(2) {
        if rest >= *unit || parts.is_empty() {
            parts.push(format!("{} {label}", rest / unit));
        }
        rest %= unit;
    }
    parts.join(" ")
}

/// `1,204`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `310 KiB`.
fn size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >> shift >= 10) {
        Some((shift, unit)) => format!("{} {unit}", count(bytes >> shift)),
        None => format!("{} bytes", count(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_answer_reads_as_the_documentation_shows() {
        let answer = r#"{"role":"gateway","name":"gw1.branch.example","management_group":"CORP","uptime_seconds":273600,
            "upstream":{"name":"ms2.corp.example","address":"10.0.0.6:5723","position":"failover",
                        "since":"2026-11-22T12:04:11.020Z","why":"ms1.corp.example sent nothing for 30 s (FP2103)"},
            "standbys":[{"name":"ms1.corp.example","address":"10.0.0.5:5723","ready":true,
                         "proven":"2026-11-22T12:09:40.000Z","why":null,"failback_in_seconds":41}],
            "agents":{"connected":412,"silent":3,"pending":1},
            "queue":{"messages":1204,"bytes":317440,"oldest_milliseconds":800,"delivered_sequence":8411},
            "identity":{"until":"2027-02-01T00:00:00.000Z","days":71,"renewal_from":"2026-12-15T00:00:00.000Z"},
            "expiry":{"peer":{"subject":"pc7.branch.example","until":"2026-12-01T00:00:00.000Z",
                              "until_unix_seconds":1796083200,"days":8,"count":412}},
            "later":{}}"#;
        let document: Document = serde_json::from_str(answer).unwrap();
        let lines: Vec<String> = document.lines().collect();
        assert_eq!(
            lines,
            [
                "gateway gw1.branch.example (CORP)          up 3 d 4 h",
                "  upstream   ms2.corp.example 10.0.0.6:5723   failover, since 2026-11-22 12:04:11: ms1.corp.example sent nothing for 30 s (FP2103)",
                "  standby    ms1.corp.example 10.0.0.5:5723   ready, proven 2026-11-22 12:09:40; failback in 41 s",
                "  agents     412 connected, 3 silent, 1 pending",
                "  queue      1,204 messages, 310 KiB, oldest 0.8 s; delivered up to sequence 8,411",
                "  identity   until 2027-02-01 (71 days), renewal from 2026-12-15",
                "  nearest    peer pc7.branch.example, until 2026-12-01 (8 days), of 412",
            ]
        );
    }

    #[test]
    fn an_end_within_two_days_is_told_to_the_second() {
        assert_eq!(end("2026-11-22T20:12:36.000Z", 1), "2026-11-22 20:12:36");
        assert_eq!(end("2026-11-24T20:12:36.000Z", 2), "2026-11-24");
    }

    #[test]
    fn a_node_that_says_nothing_is_still_shown() {
        let document: Document = serde_json::from_str("{}").unwrap();
        assert_eq!(document.lines().count(), 2);
    }
}
