//! The one table of permanent codes: errors and events share it (rule E1).
//!
//! A number never changes its meaning once it was in a release. Ranges: FP1xxx identity, FP2xxx links and
//! routing, FP3xxx group, FP4xxx queue and delivery, FP5xxx configuration and use, FP9xxx our own faults.
//! build.rs reads the `Name = number` lines of this file to write the C constants.

use std::fmt;
use std::str::FromStr;

use crate::text_form::text_form;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// It goes on by itself, but somebody should look.
    Warning,
    /// Somebody has to act.
    Error,
}

impl Severity {
    /// `info`, `warning` or `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($(#[$range:meta])* $name:ident = $number:literal, $severity:ident, $operations_manager:literal, $summary:literal, $remedy:literal;)*) => {
        /// A permanent code of an error or an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("FP", stringify!($number), ": ", $summary, ".")] $name = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code of a number, if this release knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What happened, in a few words.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary,)* }
            }

            /// What to do.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }

            /// The event number of the replaced product that administrators know it by, where there is one.
            pub fn operations_manager_event(self) -> Option<u16> {
                match match self { $(Self::$name => $operations_manager,)* } { 0 => None, number => Some(number) }
            }

            /// The name in this table.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

codes! {
    // ── FP1xxx identity ──
    CertificateMissing = 1001, Error, 20071, "no certificate was presented", "give the node an identity: [identity] in its configuration";
    ChainTooLarge = 1002, Error, 0, "the presented chain is too large", "present the leaf and its intermediates only: at most 8 certificates, 16 KiB";
    CertificateUnreadable = 1003, Error, 20077, "the certificate cannot be read", "export it again as PEM or DER X.509 version 3";
    TrustMissing = 1004, Error, 0, "there is no trust anchor", "add the certificate of the issuing CA to [identity] trust";
    TrustUnusable = 1005, Error, 21003, "a trust anchor cannot be used", "give a CA certificate that is valid now and may sign certificates";
    KeyUnreadable = 1006, Error, 20068, "the private key cannot be read", "give an unencrypted PEM key: PKCS#8, SEC1 or PKCS#1";
    KeyMismatch = 1007, Error, 20068, "the private key belongs to another certificate", "give the key that the certificate was requested with";
    KeyExposed = 1008, Error, 0, "the private key can be read by others", "chmod 600 the key file and make it the service account's own";
    IdentityMissing = 1009, Error, 20066, "no certificate for this name was found", "put the certificate, its key and the CA into the identity directory";
    IdentityAmbiguous = 1010, Error, 0, "two certificates fit equally well", "remove one of them, or name the certificate file";
    PasswordMissing = 1011, Error, 0, "a password is needed to read this file", "give it: --password-file, --password-fd, or identity.password_file in the configuration";
    PasswordWrong = 1012, Error, 0, "the password is wrong, or the file is damaged", "give the password that the file was exported with, or export it again";
    PfxUnreadable = 1013, Error, 0, "the PKCS#12 file cannot be read", "export it again";
    PfxUnprotected = 1014, Error, 0, "the PKCS#12 file does not protect what it holds", "export it again with a password, or accept it as it is: --allow-unprotected-pfx";
    PfxUnsupported = 1015, Error, 0, "the PKCS#12 file is protected in a way that is not supported", "convert it with OpenSSL, and import NEW.pem: (umask 077; openssl pkcs12 -legacy -in FILE -noenc -out NEW.pem)";
    PfxWithoutKey = 1016, Error, 0, "the PKCS#12 file has no private key", "export the certificate again together with its private key";
    PfxWithoutCertificate = 1017, Error, 0, "the PKCS#12 file has a private key and no certificate", "export the certificate again together with its private key and chain";
    WorkTooLarge = 1018, Error, 0, "reading this file would take too much work", "export it again with at most 1,000,000 iterations";
    KeyEncryptionUnsupported = 1019, Error, 0, "the private key is encrypted in a way that is not supported", "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW.key";
    SourceUnreadable = 1020, Error, 0, "the file holds nothing that an identity is made of", "give certificates and keys as PEM or DER, PKCS#7 or PKCS#12";
    DirectoryExposed = 1021, Error, 0, "others can change the directory of the private key", "chmod go-w the directory and make it the service account's own";
    PasswordExposed = 1022, Error, 0, "the password file can be read by others", "chmod 600 the password file and make it the service account's own";
    KeyMissing = 1023, Error, 20068, "the private key of the certificate was not found", "give the file with the key that the certificate was requested with";
    CandidateUnusable = 1024, Error, 20066, "no certificate for this name can be used", "see what is wrong with each";
    StoreTooLarge = 1025, Error, 0, "the identity directory holds too much", "keep only this node's certificates, keys and lists in it";
    HandshakeFailed = 1026, Error, 0, "a TLS handshake of the identity with itself failed", "see what was found; nothing was installed";
    IssuerUnknown = 1101, Error, 20072, "the certificate was not issued by a trusted CA", "trust the issuing CA on this side, or present the missing intermediate";
    PathInvalid = 1102, Error, 20072, "the certificate path is not valid", "see what was found; reissue the certificate it names";
    SignatureInvalid = 1103, Error, 20072, "a signature in the chain is wrong", "the certificate was damaged or forged: export it again from the CA";
    NameConstraintViolated = 1104, Error, 20072, "a CA of the path may not issue this name", "use a CA whose name constraints permit the name";
    IntermediateUnusable = 1105, Error, 20072, "a CA of the path may not issue certificates", "use an issuing CA with basicConstraints CA and keyCertSign";
    CertificateNotYetValid = 1201, Error, 20051, "the certificate is not valid yet", "check this computer's clock, then the certificate's start";
    CertificateExpired = 1202, Error, 20051, "the certificate has expired", "renew the certificate";
    EkuMissing = 1203, Error, 20050, "the certificate has no enhanced key usage", "request one with serverAuth and clientAuth";
    EkuIncomplete = 1204, Error, 20050, "the enhanced key usage lacks a purpose", "request one with serverAuth and clientAuth: farpost cert request";
    KeyUsageWrong = 1205, Error, 20049, "the key usage lacks digitalSignature", "request a certificate whose key may sign";
    KeyUnsupported = 1206, Error, 20069, "the key's kind or size is not accepted", "use RSA 2048 to 4096, ECDSA P-256, P-384 or P-521, or Ed25519";
    SignatureAlgorithmWeak = 1207, Error, 0, "a signature algorithm of the chain is not accepted", "reissue with SHA-256 or better";
    CertificateIsCa = 1208, Error, 0, "a CA certificate was used as a node's own", "issue an end-entity certificate for the node";
    SanMissing = 1301, Error, 20052, "the certificate has no subject alternative name", "request one with the node's DNS name as dNSName";
    NameMismatch = 1302, Error, 20052, "the certificate is for another name", "use the name that the certificate proves, or request one for this name";
    WildcardName = 1303, Error, 20052, "the certificate has a wildcard name", "request one that names the computer exactly";
    CommonNameNotInSan = 1304, Error, 20052, "the common name is not among the alternative names", "request one whose CN is also a dNSName";
    NameUnreadable = 1305, Error, 0, "this is not a name a node can have", "use a DNS name: letters, digits, hyphens, dots";
    CertificateRevoked = 1401, Error, 20072, "the certificate is revoked", "renew with a new key, or find out why the CA revoked it";
    CrlMissing = 1402, Error, 0, "there is no revocation list of an issuer", "add the issuer's CRL, or set crl_policy";
    CrlStale = 1403, Error, 0, "the revocation list is out of date", "fetch the CA's current CRL";
    CrlUnusable = 1404, Error, 0, "the revocation list cannot be used", "fetch the CA's CRL again";
    AttestationInvalid = 1501, Error, 20072, "an agent's attestation has a wrong signature", "look at the gateway that passed it on: it may be compromised";
    AttestationStale = 1502, Warning, 0, "an agent's attestation has lapsed", "nothing: the agent signs a new one";
    AttestationElsewhere = 1503, Error, 20072, "an agent's attestation was made for another gateway", "look at the gateway that showed it: it may be compromised";
    SignerFailed = 1504, Error, 20068, "the private key's owner did not sign", "look at the token or key service that holds the key";
    ChainUnknown = 1505, Error, 0, "a channel names a certificate chain that was never sent", "update the peer's software";
    SignerTimedOut = 1506, Error, 20068, "the private key's owner did not sign in time", "look at the token or key service that holds the key: it hangs, or is too slow for the load";
    SignerUnusable = 1507, Error, 20068, "the private key's owner cannot sign for this certificate", "give the token's own public key and only the schemes that it has";
    IdentityReloaded = 1601, Info, 20053, "a new identity is in use", "";
    IdentityReloadFailed = 1602, Error, 21036, "a new identity could not be used; the last good one stays", "see what was found and replace the file";
    IdentityNotTaken = 1603, Warning, 0, "the link could not be renewed with the new certificate; the old one stays", "see what was found; the node tries again, and shows the old certificate until then";
    LinkRenewed = 1604, Info, 0, "the link was renewed", "";
    SuccessionInvalid = 1605, Error, 20072, "a gateway's former key does not vouch for its new one", "look at the gateway: it may be compromised";
    RevocationUnknown = 1606, Warning, 0, "connected peers cannot be checked for revocation; they stay for a day", "fetch the CA's current CRL";
    CertificateExpiring = 1701, Warning, 0, "a certificate expires soon", "renew it";
    CrlExpiring = 1702, Warning, 0, "a revocation list runs out soon", "fetch the CA's current CRL";
    ClockStepped = 1703, Warning, 0, "this computer's clock was set", "look at its time source: certificates are judged by the new time from now on";
    OwnCertificateRefused = 1801, Error, 20070, "the peer refused this node's certificate", "compare with this node's own check: farpost cert check";
    RequestUnusable = 1802, Error, 0, "the certificate request cannot be used", "request again: farpost cert request";
    RequestRefused = 1803, Error, 0, "the certificate authority refused the request", "see the reason it gave, or ask who runs the authority";
    RequestsFull = 1804, Warning, 0, "too many certificate requests wait for an answer", "answer or remove some in the hand-off directory";
    AuthorityAnswerUnusable = 1805, Error, 0, "the authority's answer to a request cannot be used", "see what was found; let the authority issue again from the request beside it";
    TokenUnreadable = 1806, Error, 0, "the enrolment token cannot be read", "copy it again as it was shown, or make another: farpost token create";
    TokenUnknown = 1807, Error, 0, "the group knows no such enrolment token", "make one: farpost token create";
    TokenExpired = 1808, Error, 0, "the enrolment token has expired", "make another: farpost token create";
    TokenUsed = 1809, Error, 0, "the enrolment token was used already", "find out who used it if it was not you; make another: farpost token create";
    TokenElsewhere = 1810, Error, 0, "the enrolment token is for another name, role or gateway", "enrol as the token says, or make another: farpost token create";
    TokenProofInvalid = 1811, Error, 0, "the proof of an enrolment token is wrong", "look at what sent it: it does not hold the token";
    TokensFull = 1812, Error, 0, "too many enrolment tokens are open", "wait until some expire, or delete some: farpost token delete";
    CertificateRenewed = 1813, Info, 0, "a renewed certificate was installed", "";
    RenewalPending = 1814, Info, 0, "the certificate authority has the request and will answer later", "";
    RenewalRefused = 1815, Error, 0, "no new certificate was issued", "see the reason; the node asks again, its present certificate stays";
    RenewalNameMismatch = 1816, Error, 0, "a request is for another name than the node's", "look at the node and at the gateways on its way: one may be compromised";
    RenewalByHand = 1817, Info, 0, "the group has no certificate authority: certificates are renewed by hand", "";
    RenewalSignatureInvalid = 1818, Error, 0, "a request for renewal is not signed with the node's present key", "look at the node and at the gateways on its way: one may be compromised";
    RenewalTooOften = 1819, Warning, 0, "certificates are asked for too often", "nothing: the node asks again later; unless it lasts";
    RenewalFailed = 1820, Error, 0, "a new certificate came and could not be installed", "see what was found; farpost cert check; the present certificate stays in use";
    CertificateIssuedTo = 1821, Info, 0, "a certificate was issued to a node of the group", "";
    EnrolmentRefused = 1822, Warning, 0, "an enrolment was refused", "see the reason; farpost token create, if the node is meant to enrol";
    EnrolmentUnavailable = 1823, Error, 0, "no certificate can be had here", "enrol where enrolment.listen is set and the management server has an [authority]";

    // ── FP2xxx links and routing ──
    PeerOverranCredit = 2001, Error, 0, "the peer sent more than its credit allowed", "update the peer's software";
    FrameTooLong = 2002, Error, 0, "a frame is longer than allowed", "update the peer's software; something else may speak to this port";
    FrameUnknown = 2003, Error, 0, "a frame has an unknown type", "update the older of the two nodes";
    FrameUnexpected = 2004, Error, 0, "a frame is not allowed in this state", "update the peer's software";
    FrameMalformed = 2005, Error, 0, "a frame cannot be read", "update the peer's software";
    HelloTimeout = 2006, Warning, 20071, "the peer did not introduce itself in time", "look at what connects to this port, or listens on it";
    AlpnMissing = 2007, Error, 0, "the peer does not speak farpost/1", "look at what connects to this port";
    VersionUnsupported = 2008, Error, 0, "no protocol version in common", "update the older of the two nodes";
    TlsFailed = 2009, Error, 20057, "the TLS handshake failed", "see what was found; farpost cert check on both sides";
    ChannelUnknown = 2012, Error, 0, "a frame names a channel that was never opened", "update the peer's software";
    SequenceBroken = 2013, Error, 0, "a channel's sequence went back or left a gap", "update the agent's software; the agent opens a new channel and sends again";
    HelloNameMismatch = 2014, Error, 20052, "the peer introduced itself with a name that its certificate does not prove", "correct name in the peer's configuration";
    GroupMismatch = 2015, Error, 0, "the peer belongs to another management group", "correct management_group in its configuration (case matters)";
    TooManyConnections = 2016, Warning, 0, "too many connections wait to introduce themselves", "nothing, unless it lasts: then look who connects";
    RoleUnexpected = 2017, Error, 0, "the peer has a role that cannot be on that end", "correct the upstream in its configuration";
    ChannelReused = 2018, Error, 0, "a channel number was used again", "update the peer's software";
    PeerDoesNotRead = 2019, Error, 0, "the peer does not take what it is sent", "look at the peer and the network between the two";
    LinkUp = 2101, Info, 0, "connected", "";
    LinkDown = 2102, Warning, 0, "the connection was lost", "nothing: the node tries its upstreams in order";
    LinkSilent = 2103, Warning, 20022, "the peer sent nothing for three heartbeats", "look at the network between the two";
    ConnectFailed = 2104, Warning, 21006, "cannot connect", "look at the address, the firewall and whether the peer runs";
    NameNotResolved = 2105, Warning, 21005, "the name has no address", "add it to DNS or to [hosts]";
    NoUpstream = 2106, Error, 21016, "no upstream can be reached", "see why each failed; the node goes on trying";
    FailedOver = 2107, Warning, 21015, "moved to a failover upstream", "look at the primary";
    FailedBack = 2108, Info, 21019, "moved back to the primary upstream", "";
    UpstreamNotAssigned = 2109, Error, 0, "this upstream is not in the node's assignment", "farpost failover set";
    UpstreamUnavailable = 2110, Warning, 20023, "the gateway has no upstream at the moment", "look at the gateway's upstreams";
    PeerRefused = 2111, Error, 20070, "the peer refused this node", "see the reason it gave";
    SessionFenced = 2112, Info, 0, "a newer connection of the same agent took over", "";
    SessionStale = 2113, Warning, 0, "an older connection of an agent came after a newer one", "nothing, unless two computers share one identity";
    LinkClosed = 2114, Info, 0, "the connection was closed as agreed", "";
    ChannelClosed = 2115, Info, 0, "the channel was closed as agreed", "";
    AgentConnected = 2116, Info, 20021, "an agent is available through this node", "";
    AgentGone = 2117, Info, 20022, "an agent is no longer connected", "";
    GatewayConnected = 2118, Info, 20020, "a gateway is connected", "";
    GatewayGone = 2119, Warning, 20022, "a gateway is no longer connected", "look at the gateway and the network";
    ShuttingDown = 2120, Info, 0, "the node is shutting down", "";
    GatewayLoop = 2121, Error, 0, "a path of gateways leads back to itself", "correct the upstreams of one of the gateways named: farpost failover set --gateway G …";
    PathTooLong = 2122, Error, 0, "there are too many gateways in a row", "connect the innermost gateway to one that is nearer to a management server";
    IdentityShared = 2123, Warning, 0, "two computers take turns with one identity", "find the second one by the two addresses, and give it a name, a certificate and a state directory of its own";
    AssignmentPending = 2130, Info, 0, "a new assignment is not in use yet: none of its upstreams was reached", "nothing, unless it lasts: then look at the upstreams that it names";
    ChangeUnconfirmed = 2135, Error, 0, "the connection was lost before a change was confirmed: whether it was made is not known", "look whether it was: farpost audit; it is not made again by itself";
    AskedTooMuch = 2136, Error, 0, "an operator asks more at once than is taken", "wait for answers before asking more; update the operator's software";
    AskUnreadable = 2137, Error, 0, "what an operator asks, or is answered, cannot be read", "update the older of the two: the management server, or the operator's software";


    // ── FP3xxx group ──
    GatewayPending = 3001, Warning, 20000, "the gateway is not approved", "farpost approve --management-server-name M --gateway-name G --action create";
    AgentPending = 3002, Warning, 20000, "the agent waits for approval", "farpost agent approve N";
    NameRejected = 3003, Error, 20001, "the group rejected this name", "farpost agent approve N, or farpost operator approve N, if that was a mistake";
    RoleNotApproved = 3005, Error, 20001, "the name is approved for another role", "remove the other approval first, or use another name";
    ServerExcluded = 3006, Error, 0, "this management server is excluded from failover", "use another one, or farpost server set M --excluded false";
    ApprovalWithdrawn = 3007, Error, 20070, "the approval was withdrawn", "approve it again, or uninstall it";
    ParentNotApproved = 3008, Error, 20001, "the gateway is approved for another management server", "farpost failover set --gateway G …, or approve it for this one";
    PendingFull = 3009, Warning, 0, "too many peers wait for approval", "approve or reject some: farpost agent list --pending";
    AssignmentForged = 3010, Error, 0, "an assignment is not signed by the group", "look at the upstream that sent it";
    AssignmentOld = 3011, Info, 0, "an assignment is older than the one held", "";
    PrimaryIsFailover = 3012, Error, 0, "an upstream cannot be primary and failover at once", "leave it out of one of the two";
    NameUnknown = 3013, Error, 0, "the group knows no such name", "look at farpost inventory";
    AgentElsewhere = 3015, Error, 0, "the agent may not connect through this gateway", "assign the agent to this gateway: farpost failover set --agent N …";
    StoreUnavailable = 3016, Error, 29181, "the group store cannot be used", "see what was found; nothing is acknowledged meanwhile";
    StoreNewer = 3017, Error, 0, "the group store was written by a newer release", "update this node";
    StoreCorrupt = 3018, Error, 0, "the group store is damaged", "restore it from a backup";
    StoreBusy = 3019, Warning, 0, "the group store is locked by another process", "nothing, unless it lasts";
    AssignmentChanged = 3020, Info, 1210, "a new assignment is in use", "";
    Approved = 3021, Info, 0, "approved", "";
    GroupKeyMismatch = 3022, Error, 0, "the group's key is not the one this node trusts", "look at the upstream; a rebuilt group needs a new pin";
    ServerUnknown = 3023, Error, 0, "this management server is not in the group", "start it once on the group's store, then try again";
    StoreBack = 3030, Info, 0, "the group store can be used again", "";
    StoreLoginFailed = 3031, Error, 0, "the database of the group store refused the login", "look at the user, the password file and the database's pg_hba.conf";
    StoreForbidden = 3032, Error, 0, "the database's user may not do what the group store needs", "grant it what docs/postgresql.md lists";
    StoreUntrusted = 3033, Error, 0, "the database's certificate is not one that sslrootcert vouches for", "correct the host's name or sslrootcert in store.url; see docs/postgresql.md";
    OperatorUnknown = 3040, Error, 0, "the group has no operator of this name", "farpost operator approve N, on a management server or as an operator with full access";
    OperatorReadOnly = 3041, Error, 0, "this operator may look at the group and not change it", "ask an operator with full access, or for it: farpost operator approve N";
    OperationLocal = 3042, Error, 0, "this is done beside the group's store, not from afar", "run it on a management server, with --store or --config";
    OperatorKeyMismatch = 3043, Error, 0, "the operator's key is not the one that it was approved with", "if its key was changed on purpose: farpost operator approve N --key HASH; else look who uses the name";
    OperatorConnected = 3044, Info, 0, "an operator is connected", "";
    OperatorsFull = 3045, Error, 0, "the group has as many operators as it takes", "delete some: farpost operator list, farpost operator delete";
    FailoverNowhere = 3046, Error, 0, "a node would have nowhere to go", "assign it another upstream, or make a standby ready: see farpost inventory --problems";
    KeyNotPinned = 3050, Error, 20001, "the name came with another key than the one that it is pinned to", "if the new key is meant: farpost agent approve N --key SHA256, of a gateway farpost approve … --key SHA256; else look at who shows it";
    GatewayMayNotSpeak = 3051, Error, 20001, "the gateway may not speak for this agent", "look at the gateway and at the agent's upstreams; farpost approve … --agents PATTERN, if it may";
    PatternUnreadable = 3052, Error, 0, "this is no pattern of names", "use a DNS name whose labels may hold *, or ** for whole labels in front: *.branch.example";
    RuleExists = 3053, Error, 0, "there is a rule of this name already", "use another name, or remove that rule first: farpost agent rule remove";
    RuleUnknown = 3054, Error, 0, "there is no rule of this name", "look at farpost agent rule list";
    RulesFull = 3055, Error, 0, "there are too many rules", "remove some, or join them: farpost agent rule list";
    ChainLoop = 3057, Error, 0, "gateways would be behind each other in a loop", "give one of them upstreams that are not behind it";
    ChainTooLong = 3058, Error, 0, "too many gateways would be one behind the other", "let one of them connect to a management server";
    SiteUnknown = 3059, Error, 0, "there is no site of this name", "look at farpost site list; farpost site create makes one";
    SiteTaken = 3060, Error, 0, "a node can be in one site only, and a site's name used once", "take it out first: farpost site remove; or use another name";
    NotFailover = 3061, Error, 0, "only a failover can change places with the primary", "look at farpost failover show";
    GroupKeyRotated = 3062, Error, 0, "the group has another key by now", "look at farpost group key show: somebody rotated it meanwhile";
    GroupKeyInUse = 3063, Error, 0, "the group's key cannot be brought into this store", "restore it into a new store, before anything is assigned and while no server runs on it";
    KeyBackupUnusable = 3064, Error, 0, "the backup of the group's key cannot be used", "check the password and the file, or use another copy of it";
    ServerRuns = 3065, Error, 0, "a management server that runs cannot be deleted", "stop it, or wait half a minute if it was killed";
    ServerAssigned = 3066, Error, 0, "a management server that nodes are assigned to cannot be deleted", "assign them others: farpost failover set, farpost failover clear; of a gateway that is approved for it, farpost approve --management-server-name OTHER";
    MessageUnknown = 3070, Error, 0, "the agent has no message of this number", "look at farpost messages --agent N";
    MessageEnded = 3071, Error, 0, "a message that does not wait any more cannot be cancelled", "look at farpost messages --agent N: what became of it stays as it is";

    // ── FP4xxx queue and delivery ──
    QueueFull = 4001, Warning, 2115, "the queue is full", "wait, or raise queue.bytes_max; look at the upstream";
    MessageTooLarge = 4002, Error, 0, "the message is larger than allowed", "send less, or raise message_bytes_max on every node";
    QueueCorrupt = 4003, Error, 0, "the queue has damaged records", "look at the disk; the records named were set aside, the rest is delivered";
    QueueTorn = 4004, Info, 0, "the last write before a crash was incomplete and was cut off", "";
    QueueSyncFailed = 4005, Error, 0, "the disk did not take a write", "look at the disk and its space";
    QueueFormat = 4006, Error, 0, "the queue was written in a format this release does not read", "update this node";
    QueueDropped = 4007, Error, 4506, "queue full", "raise queue.bytes_max; look at the upstream";
    RolledBack = 4008, Error, 0, "the queue is older than what the group has seen: a restored disk or snapshot", "nothing: the agent makes a new epoch and sends what is undelivered";
    NotHeld = 4009, Error, 0, "messages are missing and no node holds them", "look at the agent's disk and its queue events";
    CursorFenced = 4010, Info, 0, "another management server took this agent over", "";
    OutputFailed = 4013, Error, 2115, "the output does not take deliveries", "look at the output's disk or store; nothing is acknowledged meanwhile";
    InputReplaced = 4014, Warning, 0, "the input file was replaced or cut before all of it was read", "rotate by renaming and keep the old file until it is read";
    InputUnreadable = 4015, Error, 0, "the input cannot be read", "look at the path and its permissions";
    DownQueueFull = 4018, Error, 0, "too many messages wait for this agent", "wait until the agent takes them";
    QueueInMemory = 4019, Warning, 0, "the queue is in memory: messages do not survive the process", "set state_directory";
    QueueRecovered = 4020, Info, 0, "the queue was opened", "";

    // ── FP5xxx configuration and use ──
    ConfigUnknownKey = 5001, Error, 0, "the configuration has an unknown key", "correct or remove the key";
    ConfigBadValue = 5002, Error, 0, "a configuration value cannot be used", "correct the value";
    ConfigMissingKey = 5003, Error, 0, "the configuration lacks a key", "add the key";
    FileMissing = 5004, Error, 0, "a file is missing", "create it, or correct the path";
    FileUnreadable = 5005, Error, 0, "a file cannot be read or written", "look at its permissions";
    StateDirectoryInUse = 5006, Error, 0, "another process uses this state directory", "stop it, or give each node its own directory";
    ListenFailed = 5007, Error, 0, "cannot listen on this address", "stop what listens there, or choose another address";
    NotRunning = 5008, Error, 0, "no process runs on this state directory", "start it: farpost … run --config FILE";
    Usage = 5009, Error, 0, "the command line cannot be understood", "see farpost --help";
    Closed = 5010, Error, 0, "the session is closed", "open a new one";
    Forked = 5011, Error, 0, "the session belongs to the parent process", "open a session after the fork";
    WrongThread = 5012, Error, 0, "a blocking call was made on a thread of the library", "call it from a thread of your own";
    OpenFilesLow = 5013, Warning, 0, "the limit of open files is low", "raise LimitNOFILE or ulimit -n";
    TimedOut = 5014, Warning, 0, "it was not done within the time given", "wait longer, or look at status";
    NullArgument = 5015, Error, 0, "a required argument is NULL", "pass a value";
    NotUtf8 = 5016, Error, 0, "a text is not UTF-8", "pass UTF-8";
    RoleWrong = 5017, Error, 0, "the session has another role", "use the calls of its role";
    StateDirectoryForeign = 5018, Error, 0, "the state directory belongs to another node", "give each node its own directory";
    WouldBlock = 5019, Warning, 0, "nothing is ready", "wait for the descriptor, then call again";
    ArgumentInvalid = 5020, Error, 0, "an argument cannot be used", "see what was found and what was expected";

    // ── FP9xxx our own faults ──
    Internal = 9001, Error, 0, "farpost has a fault", "report it with the text";
    Poisoned = 9002, Error, 0, "an earlier fault stopped this session", "close it and open a new one; report the fault";
}

impl Code {
    /// The number: stable for ever.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether the group store is in trouble: it says nothing about whoever asked.
    pub(crate) fn is_of_the_store(self) -> bool {
        matches!(
            self,
            Self::StoreUnavailable
                | Self::StoreNewer
                | Self::StoreCorrupt
                | Self::StoreBusy
                | Self::StoreLoginFailed
                | Self::StoreForbidden
                | Self::StoreUntrusted
        )
    }
}

impl FromStr for Code {
    type Err = String;

    /// Of `FP1202`, of the codes that this release knows.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("FP").and_then(|digits| digits.parse().ok());
        number
            .and_then(Self::from_number)
            .ok_or_else(|| format!("a code of this release, such as FP3003, not \"{}\"", text.escape_debug()))
    }
}

text_form!(Code);

impl fmt::Display for Code {
    /// `FP1202`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FP{}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_numbers_rise_and_every_error_says_what_to_do() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{} and {}", pair[0], pair[1]);
        }
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert!(!code.summary().is_empty(), "{code}");
            assert!(code.severity() == Severity::Info || !code.remedy().is_empty(), "{code} has no remedy");
        }
    }
}
