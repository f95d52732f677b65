//! Every bound of the library, each with where its number comes from.

use std::time::Duration;

/// The port of every listener, unless configured (DESIGN section 5: the product it replaces).
pub(crate) const PORT: u16 = 5723;

/// A frame with its header (wire section 1): one TLS record carries 16,384 bytes of plaintext (RFC 8446 section 5.1).
pub(crate) const FRAME_BYTES_MAX: usize = 16_384;
/// The one frame a connection may send before its HELLO is accepted: NATS GHSA-r72h buffered announced lengths.
pub(crate) const HELLO_BYTES_MAX: usize = 4_096;
/// A message, by default; the replaced product dropped above 4,193,280 bytes silently.
pub(crate) const MESSAGE_BYTES_DEFAULT: usize = 4 << 20;
/// A message, at most: one slot of the receiver's join budget.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// What a channel may send before the receiver granted more: 20,000 idle agents must cost little.
pub(crate) const CHANNEL_CREDIT_MIN: u64 = 4 << 10;
/// What a channel's credit grows to.
pub(crate) const CHANNEL_CREDIT_MAX: u64 = 1 << 20;
/// The credit of all channels of a link together.
pub(crate) const LINK_CREDIT_MAX: u64 = 8 << 20;
/// What one link may have waiting in the TLS writer, so that a heartbeat waits behind little.
pub(crate) const WRITER_BYTES_MAX: usize = 64 << 10;
/// How much input one turn of a node takes before it looks at its timers and output.
pub(crate) const TURN_BYTES_MAX: usize = 256 << 10;

/// A presented chain: a hostile one of 101 certificates cost 59 to 73 ms before authentication.
pub(crate) const CHAIN_CERTIFICATES_MAX: usize = 8;
/// The whole presented chain.
pub(crate) const CHAIN_BYTES_MAX: usize = 16 << 10;
/// One certificate of it.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 8 << 10;
/// Keys that one subject may have among the presented issuers: two while a CA rolls over. More make path building try
/// every order of them: eight certificates then cost 100 signature checks, with P-521 keys tens of milliseconds.
pub(crate) const KEYS_PER_SUBJECT_MAX: usize = 2;
/// A chain that is checked from files: the path-building tests of BetterTLS have 35 certificates.
pub(crate) const OFFLINE_CHAIN_CERTIFICATES_MAX: usize = 64;
/// The whole of it.
pub(crate) const OFFLINE_CHAIN_BYTES_MAX: usize = 256 << 10;
/// One certificate of it: what TLS itself could carry (RFC 8446 section 4.4.2 allows more, rustls 64 KiB a message).
pub(crate) const OFFLINE_CERTIFICATE_BYTES_MAX: usize = 64 << 10;
/// Names looked at in one certificate: error text and matching cost.
pub(crate) const SAN_ENTRIES_MAX: usize = 256;
/// What a local authority's certificates get: renewed before half of it is over, so that a node may be off for weeks.
pub(crate) const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(90 * 86_400);
/// The longest that may be configured: ten years, as the laboratory CA's own.
pub(crate) const CERTIFICATE_VALIDITY_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// How long a one-time token may be used, unless told otherwise: a person carries it from one window to another.
pub(crate) const TOKEN_VALIDITY: Duration = Duration::from_secs(3_600);
/// The longest: what was made for a roll-out that takes a week is forgotten when it is over.
pub(crate) const TOKEN_VALIDITY_MAX: Duration = Duration::from_secs(7 * 86_400);
/// One-time tokens that the group store holds: half of the agents of the largest gateway (DESIGN section 10), rolled out at once.
pub(crate) const TOKENS_MAX: u64 = 10_000;
/// How long a token that expired is remembered: its user is told so, and the request that used it in time can still pick
/// up an answer that people give within a week.
pub(crate) const TOKEN_REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// A one-time token as text: 61 characters, and what people put between them.
pub(crate) const TOKEN_TEXT_BYTES_MAX: usize = 256;
/// A certificate request: an RSA-4096 key and signature are 1.1 KiB, names and what Windows adds 1 KiB.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 << 10;
/// Attributes of a certificate request: certreq writes five.
pub(crate) const REQUEST_ATTRIBUTES_MAX: usize = 8;
/// A common name (RFC 5280 appendix A, ub-common-name).
pub(crate) const COMMON_NAME_BYTES_MAX: usize = 64;
/// Requests that wait in a hand-off directory: agents of several of the largest gateways that renew in one week.
pub(crate) const OPEN_REQUESTS_MAX: usize = 50_000;
/// Of these, requests of one node: it keeps the key that waits, so that a second one is rare already.
pub(crate) const OPEN_REQUESTS_PER_NAME_MAX: usize = 4;
/// Waiting requests that a management server remembers to have told of; beyond, the oldest may be told of again.
pub(crate) const TOLD_REQUESTS_MAX: usize = 1024;
/// What a person writes into a file that refuses a request.
pub(crate) const REFUSAL_BYTES_MAX: usize = 512;
/// How long a node waits before it asks again for an answer that people give.
pub(crate) const HAND_OFF_RETRY: Duration = Duration::from_secs(60);

/// A PKCS#12 file (SECURITY H16): a key and a chain take 10 KiB.
pub(crate) const PFX_BYTES_MAX: usize = 1 << 20;
/// A file of certificates and keys that is imported, or stands in an identity directory.
pub(crate) const SOURCE_BYTES_MAX: usize = 1 << 20;
/// A file of revocation lists; one of 500,000 entries takes about 20 MiB.
pub(crate) const LIST_FILE_BYTES_MAX: usize = 64 << 20;
/// Files of an identity directory that are read.
pub(crate) const STORE_FILES_MAX: usize = 256;
/// Certificates of one file, or of all that an import looks at: a CA's bundle of every intermediate has some hundred.
pub(crate) const MATERIAL_CERTIFICATES_MAX: usize = 1_024;
/// Certificates for one name that are judged: each costs a search for a path.
pub(crate) const CANDIDATES_MAX: usize = 64;
/// Private keys of one file, or of all that an import looks at.
pub(crate) const MATERIAL_KEYS_MAX: usize = 64;
/// Iterations of one key derivation (SECURITY H16): programs write 2,000 to 600,000.
pub(crate) const PASSWORD_ITERATIONS_MAX: u64 = 1_000_000;
/// Iterations of a file's key derivations together: integrity code, certificates and two keys at the most each, three
/// hashes a time in the old schemes.
pub(crate) const PASSWORD_WORK_MAX: u64 = 10_000_000;
/// Memory of one scrypt: OpenSSL's and this library's keys take 16 MiB.
pub(crate) const SCRYPT_BYTES_MAX: u64 = 64 << 20;
/// N × r × p of one scrypt; OpenSSL writes 131,072, which takes 46 ms.
pub(crate) const SCRYPT_WORK_MAX: u64 = 1 << 20;
/// A password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1_024;

/// A signature by a key that its owner keeps: a TPM takes 100 to 500 ms, and HELLO must still come within its 10 s.
pub(crate) const SIGN_WITHIN: Duration = Duration::from_secs(5);
/// Signatures that wait for such an owner, per identity: what a TPM makes in twice that time; later ones fail at once.
pub(crate) const SIGNATURES_WAITING_MAX: usize = 64;
/// Calls of such an owner at once: a thread each.
pub(crate) const SIGNATURES_AT_ONCE_MAX: usize = 16;

/// TCP connect.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From an accepted TCP connection to an accepted HELLO, in all.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Heartbeat on a gateway's link (Ziti).
pub(crate) const HEARTBEAT_GATEWAY: Duration = Duration::from_secs(10);
/// Heartbeat on an agent's link (Ziti).
pub(crate) const HEARTBEAT_AGENT: Duration = Duration::from_secs(30);
/// Silent heartbeats until a link is dead (rule F2).
pub(crate) const HEARTBEATS_MISSED_MAX: u32 = 3;
/// TCP_USER_TIMEOUT: gRPC A18, and not less than the keepalive sum 15 + 5 × 3.
pub(crate) const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Unsent bytes the kernel may hold (TCP_NOTSENT_LOWAT).
pub(crate) const TCP_NOTSENT_LOWAT: u32 = 128 << 10;

/// Connections that have not yet proven who they are, in all: 67 kB each at worst.
pub(crate) const UNAUTHENTICATED_MAX: usize = 256;
/// Connections that the kernel holds for a listener: 2,000 agents that were cut at once come back at once; Linux allows
/// 4,096 unless told otherwise.
pub(crate) const LISTEN_BACKLOG: u32 = 4_096;
/// Accepted connections that wait for their address's turn to prove themselves: a descriptor each. A gateway's agents
/// (DESIGN section 10: 2,000 cut at once) may all come from behind one address.
pub(crate) const PARKED_MAX: usize = 2_048;
/// Handshakes that are at work at once, per processor (Ziti): they compute, or wait for a signature by a key's owner.
pub(crate) const HANDSHAKES_PER_CORE: usize = 2;
/// Failed handshakes of one source in the long run: one costs a key exchange, a signature and the check of a chain.
pub(crate) const FAILURES_PER_SECOND: u64 = 10;
/// The same at once: the agents of a site behind one address whose certificates have all expired.
pub(crate) const FAILURES_BURST: u64 = 50;
/// Sources whose failures are counted; beyond that only the places of the unauthenticated bound them.
pub(crate) const FAILING_SOURCES_MAX: usize = 4_096;
/// Control frames that a peer may leave unread before it is cut off: an answer per channel of the largest gateway.
pub(crate) const CONTROL_BYTES_MAX: usize = 8 << 20;
/// Peers that wait for approval with an open link (rule G5), per node.
pub(crate) const PENDING_LINKS_MAX: usize = 1_024;
/// How long a name that waits for approval is remembered without being seen: a week's holiday of its operator.
pub(crate) const PENDING_UNSEEN_MAX: Duration = Duration::from_secs(7 * 86_400);
/// How often a management server forgets who waited for too long: seven days are kept to the hour.
pub(crate) const PENDING_EXPIRY_INTERVAL: Duration = Duration::from_secs(600);
/// Rules of approval: people read them from top to bottom, and each knock of an unknown agent asks all of them.
pub(crate) const APPROVAL_RULES_MAX: usize = 256;
/// Patterns of the agents that one gateway may speak for: asked with each of its agents' knocks.
pub(crate) const GATEWAY_PATTERNS_MAX: usize = 64;
/// Names of one decision of an operator: all or nothing in one transaction, twice the agents of the largest gateway.
pub(crate) const DECIDED_AT_ONCE_MAX: usize = 40_000;
/// How long a pinned key that was renewed still stands: links that it opened are renewed within seconds, an agent's
/// attestation lapses after two periods (rule I6), and a standby's probe comes within six minutes.
pub(crate) const FORMER_PIN_STANDS: Duration = Duration::from_secs(3_600);
/// Links of one name at one node: the one in use, one that takes over, a probe, and those that died unseen.
pub(crate) const LINKS_PER_NAME_MAX: usize = 16;
/// Channels of one link: the agents of the largest gateway (DESIGN section 10), twice.
pub(crate) const CHANNELS_PER_LINK_MAX: usize = 40_000;
/// Gateways between an agent and its management server: each is a hop of latency and sees what goes through it; sites with
/// a branch, a region and a border gateway have three.
pub(crate) const GATEWAYS_IN_PATH_MAX: usize = 4;
/// Chains that the inner gateways of one gateway may have taught its upstream on one link: half of what that bears, so that
/// the gateway's own agents always have the other half.
pub(crate) const CHAINS_OF_INNER_GATEWAYS_MAX: usize = CHAINS_PER_LINK_MAX / 2;
/// Channels that one inner gateway may have open at its outer one: the agents of the largest gateway (DESIGN section 10).
pub(crate) const CHANNELS_OF_INNER_GATEWAY_MAX: usize = CHANNELS_PER_LINK_MAX / 2;
/// Certificate chains that one link may have taught its peer (rule I6); one per channel and renewal.
pub(crate) const CHAINS_PER_LINK_MAX: usize = 40_000;
/// Large messages that are being joined, together (DESIGN section 4); one of the maximum always fits.
pub(crate) const JOIN_BYTES_MAX: usize = 64 << 20;
/// Downstream messages that one agent has not acknowledged.
pub(crate) const DOWN_IN_FLIGHT_MAX: u64 = 16;
/// How long a gateway may stay at a server that its new assignment does not name: time to reach the new one and to move there
/// when all that is out is acknowledged, which F4 gives ten seconds.
pub(crate) const LEAVES_WITHIN: Duration = Duration::from_secs(30);
/// Statements by which keys of the group named the next ones that are kept and sent with an assignment, at most 10 KiB, so that one
/// frame has all of them beside the longest assignment: a
/// node that was away for more rotations than that needs a new pin.
pub(crate) const KEY_SUCCESSIONS_MAX: usize = 24;
/// A backup of the group's key: 24 statements of at most 430 bytes twice over, the key, and room for a longer line.
pub(crate) const KEY_BACKUP_BYTES_MAX: u64 = 256 << 10;
/// Upstreams of one assignment.
pub(crate) const UPSTREAMS_MAX: usize = 16;
/// Gateways one behind the other: each adds a hop to every message, and a name to every agent's path.
pub(crate) const GATEWAYS_IN_CHAIN_MAX: usize = 4;
/// Sites of a group: more than any group has places, and still one page of JSON.
#[cfg(feature = "management-server")]
pub(crate) const SITES_MAX: usize = 1_000;
/// Nodes of one site: they are signed anew in one transaction (10,000 take below a second).
#[cfg(feature = "management-server")]
pub(crate) const SITE_NODES_MAX: usize = 20_000;

/// Refused attestations of one link that become events, in a minute: as many as of strangers.
pub(crate) const REFUSALS_TOLD_MAX: u32 = 60;
/// Attestations of one link that wait to be checked: one per channel. Those of channels that ended meanwhile count too.
pub(crate) const CHECKS_PER_LINK_MAX: usize = CHANNELS_PER_LINK_MAX;
/// Chains of which a management server knows, for a minute at most, that they are good: the agents of the largest gateway,
/// so that one that moves to another gateway or comes again costs its own signature only.
pub(crate) const VERIFIED_CHAINS_MAX: usize = 20_000;

/// The period of the group's challenge (rule I6).
pub(crate) const CHALLENGE_PERIOD: Duration = Duration::from_secs(600);
/// Periods after which an attestation lapses (rule I6).
pub(crate) const CHALLENGE_PERIODS_VALID: u64 = 2;

/// Returns of replaced instances from which two computers have one identity (rule F5): an opening that was on its way when its
/// instance ended looks like one when it comes late, and makes the instance that runs come back once more.
pub(crate) const CLONE_RETURNS_MIN: u32 = 4;
/// How far apart these may be, and for how long they are told of: some of the longest waits between two connections.
pub(crate) const CLONE_RETURNS_WITHIN: Duration = Duration::from_secs(600);
/// First and longest wait of a gateway between rounds of failed dials (Mosquitto, Ziti).
pub(crate) const BACKOFF_GATEWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The same of an agent.
pub(crate) const BACKOFF_AGENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same after a refusal for identity or approval (NATS).
pub(crate) const BACKOFF_REFUSED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// When a standby is proven for the first time, at the latest: soon enough for an operator who asks where everybody would
/// go, and 2,000 agents that came to a gateway together make 200 handshakes of 0.5 ms per second at the next one.
pub(crate) const FIRST_PROBE_WITHIN: Duration = Duration::from_secs(10);
/// A link that lasted this long resets the backoff.
pub(crate) const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(30);
/// How long a primary must have been healthy before a node moves back to it (Zabbix hysteresis).
pub(crate) const FAILBACK_HOLD_DOWN: Duration = Duration::from_secs(60);
/// Added to the hold-down at random, so that nodes do not all move at once.
pub(crate) const FAILBACK_JITTER: Duration = Duration::from_secs(30);

/// An agent's queue on disk.
pub(crate) const QUEUE_BYTES_DEFAULT: u64 = 256 << 20;
/// A segment of it (disk format section 1).
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// What an agent's node keeps in memory of messages that are durable but not yet delivered; the rest is read from disk.
pub(crate) const WINDOW_BYTES_MAX: usize = 8 << 20;
/// Messages to one agent that the group store holds (rule D8).
pub(crate) const DOWN_MESSAGES_MAX: u64 = 10_000;
/// Their bytes: 2,000 of the largest size.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_BYTES_MAX: u64 = 32 << 20;
/// All copies of one message to a set of agents, which one transaction writes: 4 kB to each of 16,000 agents.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_SEND_BYTES_MAX: u64 = 64 << 20;
/// How long a message to an agent counts, unless told otherwise: an agent that was off over a week's holidays gets it.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_EXPIRY: Duration = Duration::from_secs(7 * 86_400);
/// The longest: what it asks for was decided a month ago.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_EXPIRY_MAX: Duration = Duration::from_secs(30 * 86_400);
/// An agent may still be working on a message that expired: so long is waited for its word before the bytes go.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_EXPIRY_GRACE: Duration = Duration::from_secs(3_600);
/// Messages that are cancelled in one transaction: ten to each agent of the largest gateway several times over, and no
/// lock that the servers wait for beyond seconds.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_CANCELLED_MAX: u64 = 100_000;
/// How long it is shown what became of a message.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_SHOWN_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Messages of one agent of which that is shown, beside those that wait.
#[cfg(feature = "management-server")]
pub(crate) const DOWN_SHOWN_MAX: u64 = 1_000;
/// Rows that one transaction forgets: a millisecond or two, so that commits go on in between.
#[cfg(feature = "management-server")]
pub(crate) const FORGET_BATCH: u64 = 500;
/// Deliveries that one transaction prunes where they are not pruned by whole days, which bounds how long a commit waits
/// for it.
#[cfg(feature = "management-server")]
pub(crate) const PRUNE_BATCH: u64 = 500;
/// Days after today for which deliveries have a place made ahead: a night in which no server runs costs nothing.
#[cfg(feature = "management-server")]
pub(crate) const DELIVERY_DAYS_AHEAD: i64 = 2;
/// The most days for which deliveries can be kept, but for ever: a hundred years.
#[cfg(feature = "management-server")]
pub(crate) const DELIVERY_KEEP_DAYS_MAX: u32 = 36_500;
/// How often one of the management servers looks for what is to be forgotten.
#[cfg(feature = "management-server")]
pub(crate) const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Standings or sessions in one transaction: 128 take about as long as its sync, a few milliseconds, and the cursors of
/// agents that are connected wait no longer for their turn.
pub(crate) const STORE_BATCH_MAX: usize = 128;
/// How often a management server looks at the group's change counter; half of what rule G2 leaves.
pub(crate) const CHANGE_POLL: Duration = Duration::from_millis(500);

/// A certificate request (PKCS#10): one with an RSA 4096 key is about 1.3 KiB.
pub(crate) const WIRE_REQUEST_BYTES_MAX: usize = 4 << 10;
/// REQUEST and ENROL with their header: the request, a signature, names.
pub(crate) const REQUEST_FRAME_BYTES_MAX: usize = 8 << 10;
/// A name gets one certificate in this time: whoever asks more often has a fault, and each is a signature of the CA.
pub(crate) const ISSUE_INTERVAL: Duration = Duration::from_secs(60);
/// Requests of all nodes that a management server works on at once; each may wait for an enterprise CA.
pub(crate) const ISSUES_AT_ONCE_MAX: usize = 64;
/// How long a certificate authority may take to answer a request, or to say that it will answer later.
pub(crate) const ISSUE_TIMEOUT: Duration = Duration::from_secs(30);
/// Enrolments that one gateway has passed on and that are not answered yet.
pub(crate) const ENROLMENTS_PER_LINK_MAX: usize = 64;
/// REPORT with its header: the standbys of the longest assignment, and as many refusals as fit beside them.
pub(crate) const REPORT_FRAME_BYTES_MAX: usize = 8 << 10;
/// A text of a report: a line for people, cut to what a table shows.
pub(crate) const REPORT_TEXT_BYTES_MAX: usize = 256;
/// Standbys of a report: an assignment has as many upstreams at most.
pub(crate) const STANDBYS_PER_REPORT_MAX: usize = 16;
/// Refusals of one report; more go with the next.
pub(crate) const REFUSALS_PER_REPORT_MAX: usize = 32;
/// The least time between two reports on one channel: 20,000 agents that all change at once are 4,000 reports a second.
pub(crate) const REPORT_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Reports of one channel that are taken at once: what was sent apart may arrive together.
pub(crate) const REPORTS_AT_ONCE_MAX: u32 = 3;
/// How long a change waits for others to go with it; less than the 2 s in which an operator is to see it.
pub(crate) const REPORT_WITHIN: Duration = Duration::from_secs(1);
/// How often a node's figures are looked at, and told if they are not what was told last.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How old the news of a standby that goes on being ready may get: only what it proves is new, not that.
pub(crate) const REPORT_PROOF_AGE_MAX: Duration = Duration::from_secs(900);
/// Refusals that a node keeps apart until they are told: further ones are joined under their code.
pub(crate) const REFUSALS_HELD_MAX: usize = 1_024;
/// Of these, those of strangers, who proved no name: a quarter, as in the group store.
pub(crate) const REFUSALS_HELD_STRANGERS_MAX: usize = REFUSALS_HELD_MAX / 4;
/// Refused attempts of all gateways that a management server keeps apart until they are written down: 2 MB.
pub(crate) const REFUSALS_BOOK_MAX: usize = 8_192;
/// Of these, those of strangers, as in the group store: a quarter.
pub(crate) const REFUSALS_BOOK_STRANGERS_MAX: usize = REFUSALS_BOOK_MAX / 4;
/// Refused attempts that the group store keeps, each of one name, address and reason: what an administrator can read,
/// and a few megabytes.
#[cfg(feature = "management-server")]
pub(crate) const REFUSALS_STORED_MAX: u64 = 10_000;
/// One in so many of them may be of strangers, who proved no name: a flood from many addresses needs no certificate, and
/// must not push out what was refused to those who have one.
#[cfg(feature = "management-server")]
pub(crate) const REFUSALS_STORED_PER_STRANGER: u64 = 4;
/// How long it keeps them after the last one.
#[cfg(feature = "management-server")]
pub(crate) const REFUSALS_STORED_FOR: Duration = Duration::from_secs(30 * 86_400);
/// How often a server writes those that came meanwhile: whoever just failed looks at once.
#[cfg(feature = "management-server")]
pub(crate) const REFUSALS_WRITTEN_EVERY: Duration = Duration::from_secs(1);
/// Ends of connections that a management server keeps until they are written down: all agents of a large gateway.
pub(crate) const GONE_HELD_MAX: usize = 20_000;
/// The first and the longest wait of a node whose renewal failed.
pub(crate) const RENEWAL_BACKOFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(6 * 3600));
/// What is taken of a peer's word on when to ask again: neither a storm nor a certificate that is never asked for.
pub(crate) const RENEWAL_RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));
/// How often a node asks a group that has no certificate authority: one may be set up.
pub(crate) const RENEWAL_BY_HAND_EVERY: Duration = Duration::from_secs(86_400);
/// From an accepted TCP connection to a whole ENROL, in all.
pub(crate) const ENROLMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node waits for the answer to ENROL: what the authority may take, and the way.
pub(crate) const ENROLMENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Enrolment connections at once, whose nodes have proven nothing: 67 kB each at worst.
pub(crate) const ENROLMENTS_MAX: usize = 64;
/// The same from one address (of IPv6: one network).
pub(crate) const ENROLMENTS_PER_SOURCE_MAX: usize = 4;
/// Enrolments that one address may fail in a minute; a token has 256 bits, this is for the log and the processor.
pub(crate) const ENROLMENT_FAILURES_PER_MINUTE_MAX: u32 = 20;
/// Addresses whose failures are counted at once.
pub(crate) const ENROLMENT_SOURCES_MAX: usize = 4_096;
/// How often the files of an identity are looked at: with the two looks that a change must stand still for, a new file
/// is in use within two seconds.
pub(crate) const IDENTITY_POLL: Duration = Duration::from_millis(500);
/// Files that go on changing are read after this many looks all the same, so that a busy directory does not put a
/// revocation off for ever.
pub(crate) const IDENTITY_LOOKS_MAX: u32 = 3;
/// Files of one identity that are watched: certificates, keys and lists of a directory that is nothing else.
pub(crate) const IDENTITY_FILES_MAX: usize = 4_096;
/// An identity that could not be loaded is tried again after this, though no file changed: a certificate becomes valid.
pub(crate) const IDENTITY_AGAIN: Duration = Duration::from_secs(60);
/// Former keys that a gateway speaks of and a server believes, per link: two rotations within one link's life.
pub(crate) const FORMER_KEYS_MAX: usize = 2;
/// Next keys that a gateway announces on one link, or on its channel behind another one: each change is followed by a new
/// link within a second, unless the server takes none; each costs that a signature's check and a write to the store.
pub(crate) const NEXT_KEYS_MAX: usize = 8;
/// How long a connected peer stays though no current revocation list tells of it (SECURITY H9): a CA that publishes
/// late must not cut everybody, a day is what an administrator needs to see the event.
pub(crate) const REVOCATION_GRACE: Duration = Duration::from_secs(86_400);
/// How often everybody is verified again though nothing changed: lists run out without anybody doing anything.
pub(crate) const VERIFY_AGAIN: Duration = Duration::from_secs(3_600);
/// Peers that are verified again before the node hears the first results and other work gets its turn.
pub(crate) const VERIFY_AGAIN_BATCH: usize = 128;
/// A node renews its upstream link at random within this after it got a new certificate, so that many nodes that a
/// deployment tool serves at once do not dial in one instant.
pub(crate) const RENEW_WITHIN: Duration = Duration::from_millis(500);
/// First and longest wait after an upstream that did not take a new certificate.
pub(crate) const RENEW_BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// A link to an upstream whose certificate ends is renewed in the last tenth of the time that it was good for when the
/// link was made, at most this long before, at random.
pub(crate) const RENEW_BEFORE_MAX: Duration = Duration::from_secs(3_600);
/// Days before an end at which it is warned of (DESIGN section 5).
pub(crate) const EXPIRY_WARNINGS_DAYS: [i64; 4] = [1, 7, 14, 30];
/// How far the wall clock may differ from the monotonic one before it counts as set: NTP slews by less in a second.
pub(crate) const CLOCK_STEP_MIN: Duration = Duration::from_secs(5);
/// How long a clock that was set must go on evenly before certificates are judged by it.
pub(crate) const CLOCK_SETTLES: Duration = Duration::from_secs(60);
/// The same where the store tells of changes: a notice may be lost with its connection.
#[cfg(feature = "postgres")]
pub(crate) const CHANGE_READ_AGAIN: Duration = Duration::from_secs(15);
/// The least time between two commits of cursors by one server to a database that others use too: two busy servers
/// make 40 transactions a second, whatever the number of agents and messages.
#[cfg(feature = "postgres")]
pub(crate) const DATABASE_COMMIT_PACE: Duration = Duration::from_millis(50);
/// Operators of a group: a large operations team ten times over.
pub(crate) const OPERATORS_MAX: usize = 1_000;
/// Links of operators at one management server, in all: programs that watch, and people at their terminals.
pub(crate) const OPERATOR_LINKS_MAX: usize = 64;
/// What an operator asks, in JSON: the longest change is a message to an agent, twice its bytes as hexadecimal digits.
pub(crate) const ASK_BYTES_MAX: usize = 256 << 10;
/// What it is answered, in JSON: the inventory of the largest group (DESIGN section 10) takes a fifth of it.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Answers of one management server to all operators that were not taken yet: four of the largest.
pub(crate) const ANSWERS_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;
/// Asks of one operator's link that are not answered: they are done one after the other.
pub(crate) const ASKS_IN_FLIGHT_MAX: usize = 4;
/// Asks of one link that begin at once, and in a second: a program that approves a site's agents one by one is done in
/// a minute, and the store has time for agents' cursors in between.
pub(crate) const ASKS_BURST: u32 = 100;
/// See [`ASKS_BURST`].
pub(crate) const ASKS_PER_SECOND: u32 = 50;
/// An operator that takes nothing of its answer for this long holds the memory of it for nothing.
pub(crate) const ANSWER_TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// Rows of one answer that a limit bounds; who wants more asks again above the last one.
pub(crate) const ANSWER_ROWS_MAX: u64 = 10_000;
/// How long an operator waits for the answer to a question: a store that is busy takes 5 s, one that comes back longer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a management server's claims of who is connected count without being renewed: a server that dies takes them
/// with it within this time (issue's 30 s).
#[cfg(feature = "management-server")]
pub(crate) const PRESENCE_LEASE: Duration = Duration::from_secs(30);
/// How often the lease is renewed: two renewals may be late.
#[cfg(feature = "management-server")]
pub(crate) const PRESENCE_RENEWED_EVERY: Duration = Duration::from_secs(10);
/// How often a server writes who came, went and reported: one transaction, and none if nothing changed. Two servers come
/// to one transaction a second at most; the lease is renewed in one of them.
#[cfg(feature = "management-server")]
pub(crate) const PRESENCE_WRITTEN_EVERY: Duration = Duration::from_secs(2);
/// How long it is remembered where a node was connected that never came back.
#[cfg(feature = "management-server")]
pub(crate) const PRESENCE_REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// Reports and connections that are written in one transaction: a few megabytes, and a tenth of a second.
#[cfg(feature = "management-server")]
pub(crate) const PRESENCE_BATCH_MAX: usize = 4_096;
/// A message that waits so long at a node that is connected is a problem: heartbeats, failovers and short outages are over.
#[cfg(feature = "management-server")]
pub(crate) const QUEUE_OLD: Duration = Duration::from_secs(600);
/// Names that a problem lists; the count says how many there are.
#[cfg(feature = "management-server")]
pub(crate) const PROBLEM_NAMES_MAX: usize = 8;
/// Gateways between an agent and its server that a failover is thought through: more than may be approved.
#[cfg(feature = "management-server")]
pub(crate) const OUTLOOK_DEPTH_MAX: usize = 8;
