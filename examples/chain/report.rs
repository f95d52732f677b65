//! The end of the story: what was sent, what arrived, how long the moves took.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::Counts;
use crate::screen::{Screen, grouped};

pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) counts: Counts,
    /// From the kill of the primary to the first delivery by the next server.
    pub(crate) failover: Duration,
    /// From the kill of the first gateway to the first delivery of one of its agents through the other.
    pub(crate) gateway_failover: Duration,
    /// From the primary's return to its first delivery; the hold-down is in it.
    pub(crate) failback: Duration,
    /// The whole story.
    pub(crate) elapsed: Duration,
    /// From the first message sent to the last one delivered.
    pub(crate) traffic: Duration,
    /// Each gateway and the server that it uses now.
    pub(crate) gateways: Vec<(String, String)>,
    /// Each server and how much came from it first.
    pub(crate) servers: Vec<(String, u64)>,
}

impl Report {
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.counts.delivered)
    }

    /// Everything exactly once, in order, as it was sent.
    pub(crate) fn is_good(&self) -> bool {
        let Counts { delivered, duplicates, out_of_order, wrong, .. } = self.counts;
        delivered == self.sent && duplicates == 0 && out_of_order == 0 && wrong == 0
    }

    fn messages_per_second(&self) -> u64 {
        let milliseconds = u64::try_from(self.traffic.as_millis()).unwrap_or(u64::MAX).max(1);
        self.counts.delivered.saturating_mul(1_000) / milliseconds
    }

    pub(crate) fn json(&self) -> Value {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let gateways: serde_json::Map<String, Value> =
            self.gateways.iter().map(|(gateway, server)| (gateway.clone(), json!(server))).collect();
        let servers: serde_json::Map<String, Value> =
            self.servers.iter().map(|(server, delivered)| (server.clone(), json!(delivered))).collect();
        json!({
            "sent": self.sent,
            "delivered": self.counts.delivered,
            "duplicates": self.counts.duplicates,
            "redelivered": self.counts.redelivered,
            "lost": self.lost(),
            "out_of_order": self.counts.out_of_order,
            "wrong": self.counts.wrong,
            "failover_ms": milliseconds(self.failover),
            "gateway_failover_ms": milliseconds(self.gateway_failover),
            "failback_ms": milliseconds(self.failback),
            "elapsed_s": f64::from(u32::try_from(milliseconds(self.elapsed)).unwrap_or(u32::MAX)) / 1_000.0,
            "messages_per_s": self.messages_per_second(),
            "gateways": gateways,
            "delivered_by": servers,
        })
    }

    pub(crate) fn print(&self, screen: &Screen) {
        let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
        let counts = self.counts;
        let mut rows = vec![
            ("sent".to_owned(), grouped(self.sent)),
            ("delivered".to_owned(), grouped(counts.delivered)),
            ("duplicates".to_owned(), grouped(counts.duplicates)),
            ("redelivered (marked, left out)".to_owned(), grouped(counts.redelivered)),
            ("lost".to_owned(), grouped(self.lost())),
            ("out of order".to_owned(), grouped(counts.out_of_order)),
            ("not what was sent".to_owned(), grouped(counts.wrong)),
            ("failover to the next server".to_owned(), seconds(self.failover)),
            ("failover to the other gateway".to_owned(), seconds(self.gateway_failover)),
            ("failback to the primary".to_owned(), seconds(self.failback)),
            (
                "messages per second".to_owned(),
                format!("{} (at the agents' pace)", grouped(self.messages_per_second())),
            ),
        ];
        rows.extend(self.servers.iter().map(|(server, count)| (format!("delivered by {server}"), grouped(*count))));
        rows.extend(self.gateways.iter().map(|(gateway, server)| (format!("{gateway} uses"), server.clone())));
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        screen.print("");
        for (label, value) in rows {
            screen.print(&format!("  {label:width$}  {value}"));
        }
        screen.print("");
    }
}
