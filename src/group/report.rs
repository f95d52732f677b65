//! What nodes say of themselves, and who is connected: the plain records that the inventory is made of.
//!
//! A management server's node makes them (`node/management_server/reports.rs`), its session keeps the latest ones, the
//! store writes them down. Times are the management server's: ages of the wire are counted back from when a report came.
//! Codes are numbers, since a newer node may know more of them.

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::role::Role;
use crate::time::Timestamp;

/// A node's latest report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeReport {
    /// Which node, as its certificate proved it.
    #[serde(with = "text_of_name")]
    pub name: Name,
    /// As the group approved it.
    #[serde(with = "number_of_role")]
    pub role: Role,
    /// The gateways between it and the server, the node's own first; empty where it is connected directly.
    #[serde(with = "texts_of_names")]
    pub via: Vec<Name>,
    /// The [`NodePresence`] that it belongs to.
    pub session: u64,
    /// When it came.
    #[serde(with = "unix_millis")]
    pub at: Timestamp,
    /// Reports that came too soon after another, and were not looked at, since the last one that was.
    pub skipped: u32,
    /// The node's release.
    pub software: String,
    /// The upstream in use.
    #[serde(with = "text_of_name_if_any")]
    pub upstream: Option<Name>,
    /// Why that one: 0, it is the primary.
    pub upstream_code: u16,
    /// The same for people.
    pub upstream_text: String,
    /// Since when the node has been where it is.
    #[serde(with = "unix_millis")]
    pub since: Timestamp,
    /// Its other upstreams, in the order of its assignment.
    pub standbys: Vec<StandbyReport>,
    /// Messages that wait for delivery; of a gateway, for their turn on its link.
    pub queue_messages: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// When the oldest of them was sent.
    #[serde(with = "unix_millis_if_any")]
    pub oldest: Option<Timestamp>,
    /// Messages delivered: of the agent's epoch, or since the gateway's start.
    pub delivered: u64,
    /// When the node's own certificate ends; none if it did not say.
    #[serde(with = "unix_millis_if_any")]
    pub certificate_until: Option<Timestamp>,
    /// The version of the assignment that it has applied; 0: none.
    pub assignment_version: u64,
    /// The version of a newer one of which it has not reached an upstream yet; 0: none.
    pub assignment_pending: u64,
    /// Of a gateway: agents that are connected to it.
    pub agents_connected: u32,
    /// Of those, the ones that are overdue with a sign of life.
    pub agents_silent: u32,
    /// Of those, the ones whose channel is not open yet.
    pub agents_pending: u32,
}

/// How an upstream that is not in use stands (rule F3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StandbyReport {
    /// Its name.
    #[serde(with = "text_of_name")]
    pub name: Name,
    /// Whether it accepted the node the last time.
    pub ready: bool,
    /// Why it is not ready; 0: it was not tried yet.
    pub code: u16,
    /// The same for people.
    pub text: String,
    /// When that was found out; none if it was not tried yet.
    #[serde(with = "unix_millis_if_any")]
    pub proven: Option<Timestamp>,
}

/// Attempts to connect that a gateway or a server refused, of one name, address and code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusedAttempt {
    /// Who refused.
    #[serde(with = "text_of_name")]
    pub by: Name,
    /// Who was refused, as its certificate proved it; none if it proved nothing.
    #[serde(with = "text_of_name_if_any")]
    pub name: Option<Name>,
    /// What it said it was; none if it did not come to that.
    #[serde(with = "number_of_role_if_any")]
    pub role: Option<Role>,
    /// From where, without a port; empty for attempts that were too many to be kept apart.
    pub address: String,
    /// Why.
    pub code: u16,
    /// What was found and expected, the last time.
    pub text: String,
    /// The first attempt of these.
    #[serde(with = "unix_millis")]
    pub first: Timestamp,
    /// The last one.
    #[serde(with = "unix_millis")]
    pub last: Timestamp,
    /// How many, since they were told the last time: to be added up.
    pub count: u64,
}

/// A node that is connected to a management server, directly or through gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodePresence {
    /// Which node.
    #[serde(with = "text_of_name")]
    pub name: Name,
    /// As the group approved it.
    #[serde(with = "number_of_role")]
    pub role: Role,
    /// As in [`NodeReport::via`].
    #[serde(with = "texts_of_names")]
    pub via: Vec<Name>,
    /// As the node sees it that it is connected to, for people.
    pub address: String,
    /// When it was let in.
    #[serde(with = "unix_millis")]
    pub since: Timestamp,
    /// When something came of its link, or of its gateway's.
    #[serde(with = "unix_millis")]
    pub last_heard: Timestamp,
    /// Which of the connections of this server's life; never given twice in one.
    pub session: u64,
}

/// Names, roles and times as texts and numbers.
macro_rules! as_plain {
    ($module:ident, $type:ty, $plain:ty, |$value:ident| $to:expr, |$read:ident| $from:expr) => {
        mod $module {
            use serde::de::Error as _;
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            use super::*;

            pub(super) fn serialize<S: Serializer>($value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                $to.serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let $read = <$plain>::deserialize(deserializer)?;
                $from.map_err(D::Error::custom)
            }
        }
    };
}

as_plain!(text_of_name, Name, String, |name| name.as_str(), |text| Name::parse(&text));
as_plain!(text_of_name_if_any, Option<Name>, Option<String>, |name| name.as_ref().map(Name::as_str), |text| {
    text.map(|text| Name::parse(&text)).transpose()
});
as_plain!(
    texts_of_names,
    Vec<Name>,
    Vec<String>,
    |names| names.iter().map(Name::as_str).collect::<Vec<_>>(),
    |texts| texts.iter().map(|text| Name::parse(text)).collect::<Result<Vec<_>, _>>()
);
as_plain!(number_of_role, Role, u32, |role| (*role as u32), |number| role_of(number));
as_plain!(number_of_role_if_any, Option<Role>, Option<u32>, |role| role.map(|role| role as u32), |number| {
    number.map(role_of).transpose()
});
as_plain!(unix_millis, Timestamp, i64, |at| at.unix_millis(), |millis| {
    Ok::<_, &str>(Timestamp::from_unix_millis(millis))
});
as_plain!(unix_millis_if_any, Option<Timestamp>, Option<i64>, |at| at.map(Timestamp::unix_millis), |millis| {
    Ok::<_, &str>(millis.map(Timestamp::from_unix_millis))
});

fn role_of(number: u32) -> Result<Role, &'static str> {
    Role::from_number(number).ok_or("no role has this number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn report() -> NodeReport {
        let at = Timestamp::from_unix_millis(1_795_349_051_020);
        NodeReport {
            name: name("pc7.branch.example"),
            role: Role::Agent,
            via: vec![name("gw1.branch.example")],
            session: 8,
            at,
            skipped: 1,
            software: "farpost 0.1.0".into(),
            upstream: Some(name("gw1.branch.example")),
            upstream_code: 0,
            upstream_text: String::new(),
            since: at,
            standbys: vec![StandbyReport {
                name: name("gw2.branch.example"),
                ready: false,
                code: 2104,
                text: "refused".into(),
                proven: Some(at),
            }],
            queue_messages: 2,
            queue_bytes: 300,
            oldest: None,
            delivered: 8_411,
            certificate_until: Some(at),
            assignment_version: 7,
            assignment_pending: 8,
            agents_connected: 0,
            agents_silent: 0,
            agents_pending: 0,
        }
    }

    #[test]
    fn what_a_node_said_comes_back_from_its_text_as_it_was() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<NodeReport>(&text).unwrap(), report(), "{text}");
        let refused = RefusedAttempt {
            by: name("gw1.branch.example"),
            name: None,
            role: Some(Role::Gateway),
            address: "10.1.0.8".into(),
            code: 1202,
            text: String::new(),
            first: report().at,
            last: report().at,
            count: 3,
        };
        let text = serde_json::to_string(&refused).unwrap();
        assert_eq!(serde_json::from_str::<RefusedAttempt>(&text).unwrap(), refused, "{text}");
    }

    #[test]
    fn a_name_or_role_that_is_none_is_not_read_back() {
        let text = serde_json::to_string(&report()).unwrap();
        for (found, other) in [("pc7.branch.example", "../etc"), ("\"role\":1", "\"role\":9")] {
            let changed = text.replacen(found, other, 1);
            assert_ne!(changed, text);
            assert!(serde_json::from_str::<NodeReport>(&changed).is_err(), "{changed}");
        }
    }
}
