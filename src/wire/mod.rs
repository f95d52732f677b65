//! The protocol of a farpost link, version 1: enough to write a second implementation of either end.
//!
//! The code names these sections. What is fixed here has golden bytes in `tests/golden/wire-1/`; the rules in brackets
//! (D1, I6, …) stand in `ARCHITECTURE.md`, the codes (FP2001, …) in [`Code`](crate::code::Code), the bounds in
//! `limits.rs`.
//!
//! # 1. Frames
//!
//! A link is one TLS 1.3 connection with ALPN `farpost/1` on which both ends proved a certificate (I1); without
//! resumption and without 0-RTT. Inside, each direction is a sequence of frames and nothing else:
//!
//! ```text
//!  0         3     4           8
//!  ├─────────┼─────┼───────────┼──────────────┤
//!  │ length  │type │ channel   │ body         │
//!  │ u24     │ u8  │ u32       │ length − 8   │
//! ```
//!
//! `length` counts the whole frame with its header: 8 to 16,384. Numbers are big-endian and unsigned unless said
//! otherwise (inside protobuf they are protobuf's). Channel 0 is the link itself. A length below 8 (FP2005) or above
//! the maximum (FP2002) ends the link as soon as the three bytes are there; a receiver reserves nothing for it. How
//! frames are spread over TLS records means nothing.
//!
//! The end towards the agents is the **downstream** end, the other one the **upstream** end. In version 1 the
//! downstream end is the one that dialled.
//!
//! # 2. Kinds
//!
//! | type | frame | sent by | channel | body |
//! |---|---|---|---|---|
//! | 0x01 | HELLO | downstream | 0 | protobuf |
//! | 0x02 | WELCOME | upstream | 0 | protobuf |
//! | 0x03 | REFUSE | upstream | 0 or a channel | protobuf |
//! | 0x04 | PING | both | 0 | 8 bytes of the sender's choice |
//! | 0x05 | PONG | both | 0 | the 8 bytes of the PING |
//! | 0x06 | CHAIN | downstream | 0 | protobuf |
//! | 0x07 | OPEN | downstream | a new channel | protobuf |
//! | 0x08 | OPENED | upstream | a channel | protobuf |
//! | 0x09 | DATA | downstream | a channel | section 5, counts in credit |
//! | 0x0a | FRAGMENT | downstream | a channel | section 5, counts in credit |
//! | 0x0b | ACK | upstream | a channel | `sequence u64` |
//! | 0x0c | CREDIT | upstream | a channel | `limit u64` |
//! | 0x0d | CLOSE | both | a channel | protobuf |
//! | 0x0e | GAP | downstream | a channel | protobuf, counts in credit |
//! | 0x0f | ASSIGN | upstream | 0 or a channel | protobuf |
//! | 0x10 | CHALLENGE | upstream | 0 | protobuf |
//! | 0x11 | ATTEST | downstream | a channel | protobuf |
//! | 0x12 | STATE | upstream | 0 | protobuf |
//! | 0x13 | DOWN | upstream | a channel | protobuf |
//! | 0x14 | DOWN_ACK | downstream | a channel | `number u64` |
//! | 0x15 | REQUEST | downstream | 0 or a channel | protobuf |
//! | 0x16 | ISSUED | upstream | 0 or a channel | protobuf |
//! | 0x17 | ENROL | downstream | 0 | protobuf |
//! | 0x18 | ENROLLED | upstream | 0 | protobuf |
//! | 0x19 | SUCCEED | downstream | 0 or a gateway's channel | protobuf |
//! | 0x1a | ASK | downstream | 0 | protobuf |
//! | 0x1b | ANSWER | upstream | 0 | protobuf |
//! | 0x1c | REPORT | downstream | 0 or a channel | protobuf |
//!
//! An unknown type below 0x80 ends the link (FP2003). One from 0x80 up is skipped whole: it counts as a sign of life
//! and in nothing else. So what an older node may miss gets a number from 0x80 up, and what it may not gets a new
//! version.
//!
//! # 3. Protobuf bodies
//!
//! proto3: a field with its default value is not written, a field that is not known is passed over, of a single field
//! that came twice the last one counts. `forwarded` alone has presence (`optional`). A body that cannot be decoded is
//! FP2005. HELLO and OPEN are at most 4,096 bytes with their header, REQUEST, ENROL and REPORT 8,192 (FP2002); the
//! others what a frame bears.
//!
//! ```text
//! HELLO      1 version u32              the highest that the dialler speaks; at least 1
//!            2 role u32                 1 agent, 2 gateway, 3 management server, 4 operator
//!            3 purpose u32              1 use, 2 probe (F3)
//!            4 name string              lower case, no trailing dot; its certificate proves it
//!            5 group string             the management group; compared byte by byte; an operator may
//!                                       leave it empty: it takes the one of WELCOME
//!            6 software string          for people
//!            7 heartbeat_ms u32         section 7
//!            8 features u64             no bit is defined: written 0, not looked at
//!            9 assignment_version u64   section 11; 0 is none
//! WELCOME    1 version u32              the one that is spoken: 1
//!            2 status u32               1 accepted, 2 pending
//!            3 code u32                 why pending: FP3001, FP3002
//!            4 role u32                 2 or 3
//!            5 name string              the acceptor's; the one that was dialled
//!            6 group string
//!            7 software string
//!            8 heartbeat_ms u32
//!            9 features u64
//!           10 group_key bytes          the group's Ed25519 key, where the acceptor knows it; for people
//! REFUSE     1 code u32                 section 12
//!            2 text string              what was found and expected, for people
//!            3 retry_after_ms u32       0: the receiver's own backoff
//! CHAIN      1 certificates bytes *     DER, leaf first
//!            2 more bool                the next CHAIN continues this chain
//! ATTEST     1 period u64               section 8; also field 9 of OPEN
//!            2 scheme u32               TLS SignatureScheme (RFC 8446, section 4.2.3)
//!            3 signature bytes
//!            4 chain bytes              32: the SHA-256 of a CHAIN
//!            5 gateway_key bytes        32: the key hash that was signed (section 8); may be left out
//! OPEN       1 name string              the agent's; of a gateway's own channel the gateway's
//!            2 epoch fixed64            D1
//!            3 boot u64                 the durable boot counter, from 1
//!            4 nonce fixed64            random, of this boot
//!            5 connection u64           the connection counter of this boot, from 1
//!            6 boot_first u64           the first sequence given since the last boot that was seen (section 9)
//!            7 lowest_held u64          the lowest sequence still held; the next one, if none is
//!            8 sent_through u64         the highest that may have been handed over before (D5)
//!            9 attestation ATTEST
//!           10 address string           the agent's, as the gateway sees it; the gateway writes it
//!           11 software string
//!           12 assignment_version u64
//!           13 down_cursor u64          section 10
//!           14 role u32                 0 or 1: an agent's channel; 2: a gateway's own (section 9)
//!           15 behind u32               the gateway channel on this link that it is behind; 0: none
//! OPENED     1 status u32               1 accepted, 2 pending
//!            2 code u32                 why pending
//!            3 delivered u64            the channel begins with the sequence after it
//! CLOSE      1 code u32
//!            2 text string
//!            3 forwarded optional u64   section 9
//! GAP        1 first u64
//!            2 last u64
//!            3 reason u32               FP4007, FP4009, …
//! ASSIGN     1 body bytes               section 11
//!            2 signature bytes          64: Ed25519 over the body
//!            3 key bytes                32: the group's public key
//!            4 successions *            how to get to it from a former one, the oldest first, at most 24:
//!              1 body bytes             section 11
//!              2 signature bytes        64: Ed25519 over the body, by the former key
//! CHALLENGE  1 period u64
//!            2 challenge bytes          32
//! STATE      1 available bool           whether the sender reaches a management server
//!            2 code u32                 why not
//!            3 path string *            to a gateway: the gateways on the sender's way, the sender first
//! DOWN       1 number u64               section 10
//!            2 sent_unix_ms int64
//!            3 payload bytes            at most 15 KiB
//! REQUEST    1 request bytes            section 13: PKCS#10, DER, at most 4 KiB
//!            2 scheme u32               TLS SignatureScheme
//!            3 signature bytes          by the key of the node's present certificate
//! ISSUED     1 certificates bytes *     DER, leaf first
//!            2 more bool                the next ISSUED continues this answer
//!            3 code u32                 0 issued; FP1814: not yet; else refused
//!            4 text string              what was found and expected, for people
//!            5 retry_after_ms u32       when to ask again; 0: the receiver's own schedule
//!            6 request bytes            32: the SHA-256 of the request that is answered
//! ENROL      1 request bytes            section 13: PKCS#10, DER, at most 4 KiB
//!            2 name string
//!            3 role u32                 1 agent, 2 gateway
//!            4 group string
//!            5 token_key bytes          32: the token's Ed25519 public key
//!            6 signature bytes          64: by the token's key
//!            7 id u64                   the gateway's number for it; on an enrolment connection 0
//!            8 address string           the node's, as the gateway sees it; the gateway writes it
//! ENROLLED   1 id u64                   the ENROL that is answered; on an enrolment connection 0
//!            2 certificates bytes *     as in ISSUED
//!            3 more bool
//!            4 code u32
//!            5 text string
//!            6 retry_after_ms u32
//! SUCCEED    1 chain bytes              32: the SHA-256 of a CHAIN, the sender's former one; section 8
//!            2 scheme u32               TLS SignatureScheme
//!            3 signature bytes
//!            4 next bytes               32: the SHA-256 of the sender's next key, instead of `chain`; section 8
//! ASK        1 id u64                   section 15; the operator's number for it
//!            2 more bool                the next ASK continues this one
//!            3 operation bytes          JSON
//! ANSWER     1 id u64                   the ASK that is answered
//!            2 more bool
//!            3 answer bytes             JSON
//!            4 code u32                 0 answered; else why not, and the rest of the error
//!            5 subject string
//!            6 found string
//!            7 expected string
//!            8 remedy string
//! REPORT     1 software string          section 14; ages are in milliseconds
//!            2 upstream string          the name of the one in use; empty: none
//!            3 upstream_code u32        why that one; 0: it is the primary
//!            4 upstream_text string
//!            5 since_ms u64             age: how long the node has been there
//!            6 standbys STANDBY *       at most 16
//!            7 queue_messages u64
//!            8 queue_bytes u64
//!            9 oldest_ms u64            age of the oldest undelivered message; means nothing without messages
//!           10 delivered u64            messages in all: of the agent's epoch, or since the gateway's start
//!           11 certificate_until_ms int64    unix milliseconds
//!           12 assignment_version u64   the one that is applied
//!           13 assignment_pending u64   a newer one (section 11); 0: none
//!           14 agents_connected u32
//!           15 agents_silent u32
//!           16 agents_pending u32
//!           17 refusals REFUSAL *       at most 32
//! STANDBY    1 name string
//!            2 ready bool
//!            3 code u32                 why not ready; 0: not tried yet
//!            4 text string
//!            5 proven_ms u64            age of that knowledge; means nothing where it was not tried yet
//! REFUSAL    1 name string              as the peer proved it; empty: it proved none
//!            2 role u32                 as it said; 0: it said none
//!            3 address string
//!            4 code u32
//!            5 text string              what was found and expected, for people
//!            6 first_ms u64             age
//!            7 last_ms u64              age
//!            8 count u64
//! ```
//!
//! # 4. Phases
//!
//! What is not listed is denied (FP2004), and the link ends. Each end has its own phase.
//!
//! | phase | the upstream end takes | the downstream end takes |
//! |---|---|---|
//! | introduction | HELLO, once | WELCOME, REFUSE on 0 |
//! | pending | PING, PONG | WELCOME, REFUSE on 0, PING, PONG |
//! | open | PING, PONG, CHAIN, SUCCEED, REQUEST, ENROL, REPORT; on channels OPEN, DATA, FRAGMENT, GAP, ATTEST, SUCCEED, DOWN_ACK, REQUEST, ENROL, REPORT, CLOSE | PING, PONG, REFUSE, ASSIGN, CHALLENGE, STATE, ISSUED, ENROLLED; on channels OPENED, ACK, CREDIT, DOWN, ASSIGN, ISSUED, ENROLLED, REFUSE, CLOSE |
//! | asking | PING, PONG, ASK, REQUEST on 0 | PING, PONG, REFUSE on 0, ANSWER, ISSUED on 0 |
//!
//! A link is *asking* where an operator's is accepted, and *open* where any other one's is.
//!
//! 1. The downstream end sends HELLO and then nothing until it is answered. Before the answer the upstream end takes
//!    this one frame of at most 4,096 bytes; anything else is refused by its type, before its body is awaited, types
//!    from 0x80 up included.
//! 2. The upstream end checks, in this order: the version (FP2008), the group (FP2015), that the certificate proves the
//!    name (FP1305, FP2014), the role (FP2017: a gateway takes agents and gateways, a management server operators as well),
//!    the purpose (FP2005). A management server then asks whether the group lets that name in in that role (G1); a gateway
//!    leaves that to the agent's channel.
//! 3. It answers REFUSE and closes, or WELCOME. *Accepted* opens the link at both ends. *Pending* keeps it: both ends
//!    send heartbeats, and a second WELCOME opens it when the group approved (G5). A probe is never pending: it is
//!    refused with the code that it would wait for.
//! 4. The downstream end checks WELCOME: the version, the group, that the name is the one it dialled (FP2014), the
//!    role. If it finds fault it closes.
//! 5. Right after an accepting WELCOME come CHALLENGE (if the upstream end knows one) and STATE. A link may be used
//!    once STATE says `available`; a management server always does. STATE comes again when it changes. A probe is over
//!    with the first STATE: the dialler closes, and opens no channel.
//!
//! # 5. Data
//!
//! A **run** of messages with consecutive sequences, DATA:
//!
//! ```text
//! first u64 · sent i64 · count u16 · count × ( priority u8 · delta i32 · length u16 · payload )
//! ```
//!
//! `sent` is milliseconds since 1970, UTC, of the agent's clock; a message's time is `sent + delta`, wrapping.
//! `priority` is 0 bulk, 1 normal, 2 critical. `count` is at least 1, `first` at least 1, and no sequence is 2⁶⁴ − 1.
//! The lengths add up to the body exactly. Whatever differs is FP2005.
//!
//! A message that no run can carry (above 16,351 bytes) travels in **parts**, FRAGMENT:
//!
//! ```text
//! sequence u64 · sent i64 · priority u8 · total u32 · offset u32 · bytes (at least one)
//! ```
//!
//! The first part has offset 0, each next one begins where the one before ended, the last one ends at `total`, which is
//! the same in all (FP2005). A receiver joins messages up to a size of its own (4 MiB unless configured, never above 64
//! MiB): a larger `total` is FP4002. After a broken link the message is sent again from its first part.
//!
//! A **gap** is sequences that will never come, GAP: `first` to `last`, both included.
//!
//! **Order.** A channel's data begins with the sequence after OPENED's `delivered`. Every run, gap and whole message
//! begins with the sequence after the last one; nothing comes between the parts of a message but frames that are no
//! data. What breaks this is FP2013 (D5). A gateway checks it as well as the management server, and forwards data
//! frames body by body as they came; it joins nothing.
//!
//! # 6. Credit
//!
//! Both ends count, per channel and from its opening, the bytes of DATA, FRAGMENT and GAP frames with their headers.
//! CREDIT carries a limit on that total. It is absolute: the larger one counts, a repeat is harmless. **A frame may be
//! sent while the total before it is below the limit**; so the last one may end up to 16,383 bytes above it. A frame
//! that begins at or above the limit ends its channel (FP2001). Before the first CREDIT the limit is 0.
//!
//! The receiver's limit is what it has *consumed* (handed on or stored, not: acknowledged) and a window: 4 KiB at
//! first, told with OPENED, doubling while it is used up to 1 MiB, the growth of a link's channels together at most 8
//! MiB (D7). A new limit is told when it is at least half a window above the last one.
//!
//! # 7. Heartbeats and deadlines
//!
//! Each end states in HELLO or WELCOME how often it will send something (taken as 50 ms to 300 s). An end that sent
//! nothing for that long sends PING; the peer answers PONG with its bytes. PING of another length than 8 is FP2005. A
//! link on which no byte came for three of the peer's heartbeats is dead (F2, FP2103). From connection to WELCOME an
//! upstream end allows 10 s, and a downstream end from HELLO (FP2006). Control frames go before data; about 64 KiB of
//! output are on their way at once. A peer that leaves more than 8 MiB of control frames unread is cut off (FP2019).
//!
//! # 8. Chains, challenge, attestation
//!
//! An agent proves to the management server that it is connected to this gateway now (I6).
//!
//! **CHALLENGE.** The group's challenge of a period of 600 s: `period` = unix seconds / 600, rounded down. It is new
//! every period and the same on every server of the group: HMAC-SHA-256 under the group's secret over
//!
//! ```text
//! "farpost challenge 1\0" · field(group) · field(period u64)          field(x): the length of x as u32, and x
//! ```
//!
//! Gateways pass it on. Only servers need to compute it.
//!
//! **ATTEST** carries a signature by the agent's certificate key, by an algorithm of TLS 1.3 (Ed25519; ECDSA P-256,
//! P-384, P-521; RSA-PSS with SHA-256, SHA-384, SHA-512), over
//!
//! ```text
//! "farpost attestation 1\0"
//! field(group) · field(challenge) · field(key hash of the node that the agent is connected to) · field(name)
//! field(epoch u64) · field(boot u64) · field(nonce u64) · field(connection u64)
//! ```
//!
//! The key hash is SHA-256 of the SubjectPublicKeyInfo (DER) of that node's leaf: the gateway's, or the management
//! server's where the agent is connected to it directly. `gateway_key` says which one was signed. It is not believed: a
//! signature that holds for a key that is not the link's is refused as one made for another gateway (FP1503) instead of a
//! wrong one (FP1501); without it, or with a length other than 32, every such signature is FP1501. The `connection` counts up with every link that the agent
//! takes into use; it is the one that its last OPEN named.
//!
//! **CHAIN** teaches the upstream end a certificate chain, in as many frames as it needs: at most 8 certificates, 8 KiB
//! each, 16 KiB in all (FP1002), 40,000 chains on a link. Its name is the SHA-256 over each certificate's length (u32)
//! and bytes. A gateway teaches the chain that the agent proved by TLS before the first OPEN that names it, once per
//! link; what an agent sends to a gateway is ignored. Where agent and management server share the link, the chain is
//! that of its TLS.
//!
//! The management server takes an attestation of the present period, the one before, and the one after (another
//! server's clock); others are FP1502, a chain that was not taught FP1505, a wrong signature FP1501. An agent sends a
//! new ATTEST on its channel with every new CHALLENGE. One of an older period than the channel has shown, or the same
//! again, is passed over; of those that come while one is being checked only the last is looked at. Two periods after the last one the channel is refused (FP1502).
//! The same gateway may show the same attestation to another server of the group.
//!
//! **A gateway behind another one** attests itself likewise, on its own channel (section 9): the same fields with its own
//! name, under the context `"farpost gateway attestation 1\0"`, so that neither is ever taken for the other; `epoch` is
//! random for each of its starts and `nonce` the same number, `boot` is 1. An agent behind it signs its key hash, as that
//! of any gateway. The management server believes that key for the channels behind it, and for no others, while the
//! gateway's own attestation stands; a second key on the same channel ends it (FP1501). So whoever stands further out can
//! speak for nobody who is not behind it: it would need a signature for its own key. CHAINs of those behind it a gateway
//! passes on as they came, while one behind it has an open channel (at most 20,000 on a link); whoever opens its own
//! channel anew teaches them anew.
//!
//! **SUCCEED.** A gateway that got a new key keeps the links of its agents, who proved themselves to its former one
//! (I5). On every link that it dials with the new key it shows, before the first OPEN, at most two SUCCEED, each after
//! the CHAIN of a former certificate. The former key signs
//!
//! ```text
//! "farpost succession 1\0" · field(group) · field(name) · field(former key hash) · field(new key hash)
//! ```
//!
//! by the algorithms of ATTEST. The name is the gateway's, the new key the one of its TLS on this link. The management
//! server verifies the former chain as one that was presented to it now (valid, not revoked, for this name) and the
//! signature. Until it has, attestations that come on this link wait; from then on they may name either key. Where it
//! finds fault nobody is believed for the former key (FP1605 where the signature is wrong), and the link stays. A third
//! SUCCEED, one from an agent, or one whose chain was not taught ends the link (FP1605, FP1505). When the former
//! certificate ends or is revoked, the channels whose attestation names its key end (FP1502). A gateway behind another one
//! says it on its own channel, when that is open and before the first OPEN behind it; gateways pass it on. An agent renews its link to
//! a gateway whose certificate comes near its end, and so meets the new key before that.
//!
//! Where SUCCEED has `next`, the key that the gateway proved on this link or channel (the former one in what is signed) says
//! that this one takes its place: before the gateway shows it, so that a name whose key the group pinned is let in with it.
//! It needs no CHAIN, waits for nothing, and changes nothing of what attestations may name. A wrong signature is told
//! (FP1605) and believed by nobody; a ninth on a link or channel ends it (FP1605).
//!
//! # 9. Channels
//!
//! **Opening.** OPEN takes a number that is above all that were opened on this link (FP2018). On an agent's link it
//! carries the agent's own name (FP2014), and at a gateway it ends the channel that was there. A gateway opens a
//! channel on its upstream link for each that an agent opens, with a number of its own, writes `address`, and changes
//! nothing else; a field that it does not know does not go on. A link has at most 40,000 channels (FP2016). The
//! management server checks the attestation, the group's approval and the session:
//!
//! - OPENED *pending*: the channel waits for approval; a second OPENED follows.
//! - OPENED *accepted*: data begins with `delivered + 1`. `delivered` is the group's cursor, or `lowest_held − 1` where
//!   that is more: the hole becomes a gap (D9).
//! - REFUSE ends the channel. `rolled-back` (FP4008): a lower boot counter than the epoch had, the same with another
//!   nonce, or a higher one whose `boot_first` is not above the epoch's cursor (D1, F5); the agent makes a new epoch,
//!   numbers anew what is undelivered, and opens. FP2113: a higher `connection` of this boot, or a newer epoch, was
//!   there.
//!
//! `boot_first` is the first sequence that the agent gave since the last boot of which a channel was accepted under this
//! epoch; where none was, 1. So a restored disk is found however often it was booted without a link before (D1). An
//! agent makes durable that a channel was accepted before it sends the first DATA, FRAGMENT or GAP of a boot: else, after
//! a crash, the next one could state a sequence that the cursor has passed. It takes the first OPENED of a boot as
//! `rolled-back` too, and closes the channel, if `delivered` is not below `boot_first`: an application that keeps the
//! cursor may be ahead of the group.
//!
//! A session that opens fences the agent's older one: the old channel is refused with FP2112 or FP4010.
//!
//! Before the accepting OPENED only ATTEST and CLOSE are taken on a channel (FP2004). A frame for a channel that has
//! ended is skipped, one for a number that was never opened ends the link (FP2012).
//!
//! **Gateways behind gateways.** A gateway whose upstream is another gateway (WELCOME's role 2) first opens a channel of
//! its own: `role` 2, its own name, `behind` 0, and the attestation of section 8. The group is asked about it as about a
//! gateway's link; its newest connection fences older ones as an agent's does. It is pending, accepted (`delivered` 0) or
//! refused like any channel and carries ATTEST, SUCCEED, REQUEST, ISSUED, ENROL, ENROLLED, ASSIGN, CLOSE and REFUSE, no data, no ACK and no
//! CREDIT. Only when it was accepted are channels opened behind it: an OPEN with its number in `behind`. The gateway at the
//! other end passes those on with a number of its own, and in `behind` the number that the gateway's channel has there; on
//! an OPEN with `behind` 0 it writes `address`, and its own channel's number into `behind` (0 at a management server). So
//! every hop has one link, and the server knows of each channel the whole path: the agent's own gateway first.
//!
//! The end of a gateway's channel ends those behind it, without a frame for each; a gateway that still can tell them
//! (CLOSE with `forwarded`) does so before. An OPEN behind a channel that has just ended is answered with CLOSE or FP2110,
//! one behind a channel that is no gateway's or was not accepted is FP2004, behind one that was never opened FP2012. A path
//! that would hold a name twice is refused (FP2121), and one of more than 4 gateways (FP2122). A gateway leaves an upstream
//! whose STATE has the gateway itself in its `path` (FP2121) or four gateways already (FP2122), and refuses the HELLO of a
//! node that is in its own path (FP2121): two gateways that have only each other find out by this.
//!
//! **Acknowledgement.** ACK says that the application has everything up to `sequence`, durably (D4). It is absolute;
//! the larger one counts. One above what was sent is FP2013.
//!
//! **Redelivery.** Messages up to OPEN's `sent_through` are marked `redelivered` when they are handed over. An agent
//! states the highest sequence of which it may have sent anything on an earlier channel, of an earlier boot too.
//!
//! **End.** CLOSE ends a channel from either side, in order with its data; it is not answered. From a gateway
//! `forwarded` says that nothing above it was sent on *on this channel*. So the agent's next `sent_through` is the
//! greatest of `forwarded`, `delivered`, and the `sent_through` that this channel's OPEN stated. A link that ends, ends
//! its channels.
//!
//! **Moving** (D5, F4). A node that changes its upstream by plan stops sending data, waits until all that was sent is
//! acknowledged, closes its channels, and opens them on the new link, which has been accepted before.
//!
//! An agent whose channel lasted less than 250 ms waits that long before it opens the next.
//!
//! # 10. Downstream messages
//!
//! The group store numbers an agent's messages from 1 (D8). The server that holds the agent's session sends DOWN in
//! order, at most 16 that are not acknowledged, beginning after OPEN's `down_cursor`. The agent hands each on once,
//! makes its cursor durable when the application took it, and then sends DOWN_ACK with the highest number; absolute. A
//! number at or below the cursor is answered with DOWN_ACK and not handed on. Neither counts in credit.
//!
//! # 11. Assignments
//!
//! ASSIGN comes on channel 0 for the peer, on a channel for its agent, when the group has a higher version than HELLO
//! or OPEN stated (G6); also just before the REFUSE of a node that is approved but came to the wrong place (FP3008 on an
//! open link, FP3015). A gateway to which that ASSIGN is news is refused 30 s later: it moves before, as in any planned
//! move. The signed body:
//!
//! ```text
//! text("farpost assignment 1") · text(group) · text(node) · version u64
//! count u16 · count × ( text(name) · port u16 )
//! ```
//!
//! text(x) is the length of x as u16 and x. `count` is 0 to 16, the primary first, no name twice; 0 withdraws what was
//! assigned: the node follows its own configuration, at once. The node takes it if
//! its pinned key signed it, for its group and its name, with a higher version; a lower or equal one is ignored. A
//! wrong signature ends the link (FP3010). It is *pending* until the node reached one of its upstreams (which accepted it,
//! and is available), at once if that is the one in use; only then the node applies it: it keeps it, and states its version
//! in HELLO and OPEN. Until then the last one applies. A node without a pinned key takes `key` with the first assignment from an
//! upstream that it was configured with. What is configured stays the last resort after the assignment.
//!
//! **Another key.** Where `key` is not the pinned one, `successions` lead to it. The body of each:
//!
//! ```text
//! text("farpost group key 1") · text(group) · former key (32) · new key (32) · version u64 · made i64 (Unix ms)
//! ```
//!
//! The node passes over those that come before the one whose former key it has pinned. From there on each is signed by its
//! former key, is of the node's group, has the new key of the one before it as its former key, and a version that is higher
//! by one; the last one names `key`, which has signed the assignment and is pinned together with it. Anything else is
//! told (FP3022); the link stays, and so does what the node holds. The group's first key has version 1. `key` of a WELCOME is for people.
//!
//! # 12. Errors
//!
//! REFUSE on channel 0 ends the link, on a channel the channel. The sender tells the code, then closes or forgets; it
//! awaits no answer. An unknown code is a refusal like any other. The downstream end has no REFUSE: it closes.
//!
//! | found by | in | what ends |
//! |---|---|---|
//! | both | framing, types, phases, channel numbers (FP2001 to FP2005, FP2012, FP2018) | the link |
//! | gateway | an agent's channel: credit, order, bodies | the agent's link; behind another gateway: the channel |
//! | management server | a channel: credit, order, bodies, attestation, session | the channel; the gateway's other agents lose nothing (D7) |
//!
//! What an agent does about a refused channel: FP4008, a new epoch; FP1502 and FP2113, a new `connection` and a new
//! signature; FP2110 and FP3016, open again; anything else, another upstream. A gateway passes REFUSE and CLOSE of a
//! channel on as they came.
//!
//! # 13. Certificates
//!
//! **Renewal.** A node asks for a new certificate with REQUEST: a gateway for its own on channel 0, and so does an operator, an agent, and a gateway
//! behind another one, on its open channel (not before, and not on channel 0: FP2004). The request is PKCS#10 for the node's own name, with a key of its own making. `signature`
//! is by the key of the certificate that the node proved (by TLS, or by attestation), by an algorithm of section 8, over
//!
//! ```text
//! "farpost renewal 1\0" · field(group) · field(name) · field(request)
//! ```
//!
//! So nobody on the way can make a request for the node or change one. A gateway passes REQUEST and ISSUED of a channel on
//! as they came, answers neither, and takes one REQUEST at a time on a channel: a second one before the answer is FP2004.
//! The management server checks the signature (FP1818) and the name (FP1816), asks the group once more whether this name
//! is approved, and then its certificate authority. It answers every REQUEST with ISSUED: `code` 0 and the chain in as
//! many frames as it needs (at most 8 certificates, 8 KiB each, 16 KiB in all: FP1002); FP1814, the authority has the
//! request and will answer later: the node asks again with the same request after `retry_after_ms`; or another code, and
//! no certificate. A name gets one certificate a minute (FP1819). A channel or link that ends takes the answer with it:
//! the node asks again on the next one.
//!
//! What ISSUED brings is worth what it proves: the node verifies the chain as it verifies any, with its own trust.
//!
//! **Enrolment.** A node without a certificate cannot come to a link. It has a one-time token, and connects to another
//! port: TLS 1.3 with ALPN `farpost-enrol/1`, on which the acceptor alone shows a certificate. The node verifies that one
//! with trust that it was given beforehand, and the name that it meant to reach; trust never comes over the wire. It sends
//! one ENROL of at most 8,192 bytes (FP2002; any other type FP2004), and gets ENROLLED in as many frames as it needs. Then
//! both close. An acceptor allows 10 s for TLS and ENROL, and 30 s for the answer. Nothing else comes on this connection;
//! it never becomes a link.
//!
//! From a token's 32 random bytes an Ed25519 key pair is derived; the group keeps the SHA-256 of the public key only.
//! `signature` is by that key, over
//!
//! ```text
//! "farpost enrolment 1\0" · field(group) · field(name) · field(role u8) · field(gateway) · field(request)
//! ```
//!
//! `gateway` is the name of the gateway that the node connected to; empty, where that was a management server. So a token
//! is good for one group, name, role and gateway, and nobody on the way can use it for another request. A gateway passes
//! ENROL on upstream, writing `id`, unique on this link, and `address`: on channel 0, and where it is behind another gateway on
//! its own open channel, which the gateways above pass on as it came, as they do with ENROLLED. At most 64 of a gateway may be
//! unanswered (FP2004). The management server takes the gateway's name from its link or channel, checks the token, and answers
//! with ENROLLED of that `id`, in the same place. A link or channel that ends takes the answers with it: the nodes ask again.
//!
//! # 14. Reports
//!
//! A node tells its management server how it stands: a gateway with REPORT on channel 0, an agent, and a gateway behind another one, on its open channel (not
//! before, and not on channel 0: FP2004). Nobody answers it. A gateway checks it and passes it on as it came. It is what
//! the node says of itself: for the inventory, and no permission ever hangs on it.
//!
//! A node sends one right after its link or channel was accepted, another within 2 s of a change of its upstream, of a
//! standby's readiness, of its assignment or of its refusals, and one every 60 s while its figures change; never within 5 s
//! of the last one on that channel. A receiver takes three at once and one every 5 s on; what comes sooner is counted and
//! not looked at, which ends nothing. A probe sends none.
//!
//! No text is longer than 256 bytes; names are in the form of HELLO's. What is beyond its bounds is FP2005.
//!
//! **Refusals** are attempts to connect that a gateway refused by itself, which its management server would not hear of
//! otherwise: in TLS, before or at HELLO, at an agent's channel before it was opened. Those of one name, address and code
//! are one entry, with what was found the last time. The address is without a port. Entries that are too many for the
//! gateway to keep apart are joined under their code, with neither name nor address. A gateway tells an entry again
//! if the link ended before the report that had it was written to it; what is told is not counted again.
//!
//! # 15. Operators
//!
//! An operator is no part of a chain: it dials a management server, to ask and change what the group knows. Its HELLO has
//! the role 4; a name that the group did not approve as operator is refused at once (FP3040) and waits for nothing. Its
//! link carries ASK and ANSWER beside heartbeats, REQUEST and ISSUED for its own certificate (section 13), and no CHALLENGE and
//! STATE.
//!
//! ASK brings an operation of the group's as JSON, at most 256 KiB in as many parts as it needs. The parts of one come
//! together, none is empty, and the next ASK begins after the last one (FP2005, FP2002). At most four are without their
//! answer, and no `id` is used again while it is (FP2136). They are done one after the other and, beyond a hundred, fifty
//! in a second; later ones wait. ANSWER brings the answer, at most 64 MiB in parts alike, or the code and the texts of
//! why there is none: the operation cannot be read (FP2137: an older release does not know it), the operator may only
//! look (FP3041), it is done beside the store only (FP3042), or what the operation itself found. The management server
//! looks at what the operator may in the transaction of what it asks.
//!
//! A server holds what the link takes and the answers that are not taken, together at most 256 MiB: then other asks wait.
//! An operator that takes nothing of its answer for 30 s is cut off (FP2019). If a link ends before a change was answered,
//! the operator cannot know whether it was made: it asks for the audit log, and never makes it again by itself (FP2135).

mod asking;
#[cfg(any(fuzzing, test))]
mod bodies;
mod certificates;
mod credit;
mod frame;
#[cfg(test)]
mod golden;
mod link;
mod messages;
mod order;
mod reports;
mod run;

pub(crate) use asking::{AnswerAssembly, Ask, AskAssembly, OutgoingAnswer};
#[cfg(any(fuzzing, test))]
pub(crate) use bodies::read_body;
pub(crate) use certificates::*;
pub(crate) use credit::{CreditPool, ReceiveCredit, SendCredit};
#[cfg(any(fuzzing, test, feature = "bench"))]
pub(crate) use frame::next_frame;
pub(crate) use frame::{Frame, HEADER_BYTES, Kind, put_header};
pub(crate) use link::{CHUNK_BYTES, Link, Phase};
pub(crate) use messages::*;
pub(crate) use order::Order;
pub(crate) use reports::{Report, ReportedRefusal, ReportedStandby, read_report, report_text};
pub(crate) use run::{Content, FRAGMENT_PAYLOAD_MAX, Fragment, PAYLOAD_IN_RUN_MAX, Run, put_data};
