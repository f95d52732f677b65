//! A node's answer as OpenMetrics text (the Prometheus exposition format, version 1.0.0).

use std::fmt::Write as _;

use super::document::{Document, First};

/// The figures that monitoring systems draw and warn of.
pub(super) fn text(document: &Document) -> String {
    let mut out = String::new();
    let node = [("role", &*document.role), ("name", &*document.name), ("group", &*document.management_group)];
    family(&mut out, "farpost_node", "info", "Which node answered", &[("_info", &node, 1)]);
    one(&mut out, "farpost_uptime_seconds", "How long the node has run", document.uptime_seconds);
    certificates(&mut out, document);
    if let Some(generation) = document.identity.as_ref().and_then(|identity| identity.generation) {
        one(&mut out, "farpost_identity_generation", "How often the identity was loaded", generation);
    }
    if document.role != "management-server" {
        let help = "Whether a link upstream is in use";
        // One that waits for the group's approval is shown, and not used.
        let is_used = document.upstream.as_ref().is_some_and(|upstream| !upstream.position.starts_with("waits"));
        one(&mut out, "farpost_upstream_connected", help, u64::from(is_used));
    }
    for (kind, downstreams) in [("agents", &document.agents), ("gateways", &document.gateways)] {
        let Some(downstreams) = downstreams else { continue };
        let name = format!("farpost_{kind}_connected");
        one(&mut out, &name, "Connected downstream nodes", downstreams.connected);
        let name = format!("farpost_{kind}_pending");
        one(&mut out, &name, "Downstream nodes that wait for approval", downstreams.pending);
    }
    if let Some(queue) = &document.queue {
        one(&mut out, "farpost_queue_messages", "Undelivered messages", queue.messages);
        one(&mut out, "farpost_queue_bytes", "Bytes of undelivered messages", queue.bytes);
    }
    out.push_str("# EOF\n");
    out
}

fn certificates(out: &mut String, document: &Document) {
    let own = document.identity.as_ref().and_then(|identity| identity.until_unix_seconds);
    let mut ends: Vec<(&str, &str, i64)> = own.map(|until| ("own", &*document.name, until)).into_iter().collect();
    let of = |kind, first: &Option<First>| {
        first.as_ref().map(|first| (kind, first.subject.clone(), first.until_unix_seconds))
    };
    let firsts = [of("peer", &document.expiry.peer), of("authority", &document.expiry.authority)];
    ends.extend(firsts.iter().flatten().map(|(kind, subject, until)| (*kind, &**subject, *until)));
    let labels: Vec<[(&str, &str); 2]> =
        ends.iter().map(|(kind, subject, _)| [("kind", *kind), ("subject", *subject)]).collect();
    let samples: Vec<Sample<'_>> =
        labels.iter().zip(&ends).map(|(labels, (_, _, until))| ("", &labels[..], *until)).collect();
    let help = "When the node's own certificate, the first peer's and the first CA's end, in seconds since 1970";
    family(out, "farpost_certificate_not_after_seconds", "gauge", help, &samples);
    if let Some(list) = &document.expiry.list {
        let labels = [("issuer", &*list.subject)];
        let help = "When the first revocation list must be followed by the next one, in seconds since 1970";
        let samples = [("", &labels[..], list.until_unix_seconds)];
        family(out, "farpost_crl_next_update_seconds", "gauge", help, &samples);
    }
}

/// Suffix of the name, labels, value.
type Sample<'a> = (&'static str, &'a [(&'a str, &'a str)], i64);

fn one(out: &mut String, name: &str, help: &str, value: u64) {
    family(out, name, "gauge", help, &[("", &[], i64::try_from(value).unwrap_or(i64::MAX))]);
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}");
    for (suffix, labels, value) in samples {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(out, "{name}{suffix}{labels} {value}");
    }
}

/// A subject is what a stranger's certificate says (SECURITY H17): it must not end its line or its label.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h17_figures_are_open_metrics_and_a_subject_cannot_leave_its_label() {
        let answer = r#"{"role":"agent","name":"pc7.branch.example","management_group":"CO\"RP","uptime_seconds":9,
            "identity":{"until":"2027-02-01T00:00:00.000Z","until_unix_seconds":1801440000,"days":71,"generation":2},
            "expiry":{"peer":{"subject":"a\"}\nx 1\u001b\\","until_unix_seconds":7,"count":1}},
            "queue":{"messages":3,"bytes":300}}"#;
        let document: Document = serde_json::from_str(answer).unwrap();
        let expected = "\
# TYPE farpost_node info
# HELP farpost_node Which node answered
farpost_node_info{role=\"agent\",name=\"pc7.branch.example\",group=\"CO\\\"RP\"} 1
# TYPE farpost_uptime_seconds gauge
# HELP farpost_uptime_seconds How long the node has run
farpost_uptime_seconds 9
# TYPE farpost_certificate_not_after_seconds gauge
# HELP farpost_certificate_not_after_seconds When the node's own certificate, the first peer's and the first CA's end, in seconds since 1970
farpost_certificate_not_after_seconds{kind=\"own\",subject=\"pc7.branch.example\"} 1801440000
farpost_certificate_not_after_seconds{kind=\"peer\",subject=\"a\\\"}\\nx 1\u{fffd}\\\\\"} 7
# TYPE farpost_identity_generation gauge
# HELP farpost_identity_generation How often the identity was loaded
farpost_identity_generation 2
# TYPE farpost_upstream_connected gauge
# HELP farpost_upstream_connected Whether a link upstream is in use
farpost_upstream_connected 0
# TYPE farpost_queue_messages gauge
# HELP farpost_queue_messages Undelivered messages
farpost_queue_messages 3
# TYPE farpost_queue_bytes gauge
# HELP farpost_queue_bytes Bytes of undelivered messages
farpost_queue_bytes 300
# EOF
";
        assert_eq!(text(&document), expected);
    }
}
