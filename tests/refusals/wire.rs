//! The protocol as its specification has it, written a second time: frames and the bodies that a refused peer needs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use prost::Message as _;
use rcgen::PublicKeyData as _;

use crate::lab::GROUP;
use crate::pki::Certified;

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const REFUSE: u8 = 0x03;
pub(crate) const PING: u8 = 0x04;
pub(crate) const PONG: u8 = 0x05;
pub(crate) const CHAIN: u8 = 0x06;
pub(crate) const OPEN: u8 = 0x07;
pub(crate) const OPENED: u8 = 0x08;
pub(crate) const DATA: u8 = 0x09;
pub(crate) const ACK: u8 = 0x0b;
pub(crate) const CREDIT: u8 = 0x0c;
pub(crate) const CHALLENGE: u8 = 0x10;
pub(crate) const REQUEST: u8 = 0x15;
pub(crate) const ISSUED: u8 = 0x16;
pub(crate) const SUCCEED: u8 = 0x19;
pub(crate) const ASK: u8 = 0x1a;
pub(crate) const ANSWER: u8 = 0x1b;

pub(crate) const AGENT: u32 = 1;
pub(crate) const GATEWAY: u32 = 2;
pub(crate) const MANAGEMENT_SERVER: u32 = 3;
pub(crate) const OPERATOR: u32 = 4;
pub(crate) const ACCEPTED: u32 = 1;

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) channel: u32,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn read<M: prost::Message + Default>(&self) -> M {
        M::decode(self.body.as_slice()).unwrap()
    }
}

/// A frame's bytes: `length u24 · type u8 · channel u32 · body`.
pub(crate) fn frame(kind: u8, channel: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(8 + body.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend(body);
    out
}

/// One run of messages with the same payload, from `first` on.
pub(crate) fn run(first: u64, count: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = first.to_be_bytes().to_vec();
    out.extend(0_i64.to_be_bytes());
    out.extend(count.to_be_bytes());
    for _ in 0..count {
        out.push(1);
        out.extend(0_i32.to_be_bytes());
        out.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        out.extend(payload);
    }
    out
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) role: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) purpose: u32,
    #[prost(string, tag = "4")]
    pub(crate) name: String,
    #[prost(string, tag = "5")]
    pub(crate) group: String,
    #[prost(uint32, tag = "7")]
    pub(crate) heartbeat_ms: u32,
}

impl Hello {
    /// A HELLO that is right if the certificate is this name's.
    pub(crate) fn of(role: u32, name: &str) -> Self {
        Self { version: 1, role, purpose: 1, name: name.into(), group: GROUP.into(), heartbeat_ms: 30_000 }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ask {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) operation: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answered {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) answer: Vec<u8>,
    #[prost(uint32, tag = "4")]
    pub(crate) code: u32,
    #[prost(string, tag = "6")]
    pub(crate) found: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Welcome {
    #[prost(uint32, tag = "2")]
    pub(crate) status: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Refuse {
    #[prost(uint32, tag = "1")]
    pub(crate) code: u32,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chain {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) certificates: Vec<Vec<u8>>,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Challenge {
    #[prost(uint64, tag = "1")]
    pub(crate) period: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) challenge: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Attestation {
    #[prost(uint64, tag = "1")]
    pub(crate) period: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) chain: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) gateway_key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Succeed {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) chain: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) next: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Open {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(fixed64, tag = "2")]
    pub(crate) epoch: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) boot: u64,
    #[prost(fixed64, tag = "4")]
    pub(crate) nonce: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) connection: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) boot_first: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) lowest_held: u64,
    #[prost(message, optional, tag = "9")]
    pub(crate) attestation: Option<Attestation>,
    #[prost(uint32, tag = "14")]
    pub(crate) role: u32,
    #[prost(uint32, tag = "15")]
    pub(crate) behind: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Opened {
    #[prost(uint32, tag = "1")]
    pub(crate) status: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) code: u32,
}

impl Open {
    /// The first session of an agent's new queue, attested by its key as connected to the node with `neighbour`'s key
    /// (section 8).
    pub(crate) fn attested(agent: &Certified, neighbour: &Certified, challenge: &Challenge) -> Self {
        Self::attested_as(agent, neighbour, challenge, 1)
    }

    /// The same of a later connection of that boot.
    pub(crate) fn attested_as(
        agent: &Certified,
        neighbour: &Certified,
        challenge: &Challenge,
        connection: u64,
    ) -> Self {
        Self::signed("farpost attestation 1", agent, neighbour, challenge, connection)
    }

    /// A gateway's own channel at the gateway `neighbour`.
    pub(crate) fn attested_gateway(gateway: &Certified, neighbour: &Certified, challenge: &Challenge) -> Self {
        Self { role: GATEWAY, ..Self::signed("farpost gateway attestation 1", gateway, neighbour, challenge, 1) }
    }

    fn signed(context: &str, agent: &Certified, neighbour: &Certified, challenge: &Challenge, connection: u64) -> Self {
        let mut open = Self { name: agent.name.clone(), epoch: 7, boot: 1, nonce: 9, connection, ..Self::default() };
        (open.boot_first, open.lowest_held) = (1, 1);
        let mut signed = format!("{context}\0").into_bytes();
        let neighbour = digest(&SHA256, &neighbour.key.subject_public_key_info());
        for field in [GROUP.as_bytes(), &challenge.challenge, neighbour.as_ref(), open.name.as_bytes()] {
            put_field(&mut signed, field);
        }
        for number in [open.epoch, open.boot, open.nonce, open.connection] {
            put_field(&mut signed, &number.to_be_bytes());
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &agent.key.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        let period = challenge.period;
        let (chain, gateway_key) = (chain_hash(agent), neighbour.as_ref().to_vec());
        open.attestation = Some(Attestation { period, scheme: 0x0403, signature, chain, gateway_key });
        open
    }

    pub(crate) fn frame(&self, channel: u32) -> Vec<u8> {
        frame(OPEN, channel, &self.encode_to_vec())
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) request: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) scheme: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) signature: Vec<u8>,
}

impl Request {
    /// A request of `signer`, for the name that it says (section 13).
    pub(crate) fn signed(signer: &Certified, group: &str, name: &str, request: &[u8]) -> Self {
        let mut signed = b"farpost renewal 1\0".to_vec();
        for field in [group.as_bytes(), name.as_bytes(), request] {
            put_field(&mut signed, field);
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &signer.key.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        Self { request: request.to_vec(), scheme: 0x0403, signature }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Issued {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) certificates: Vec<Vec<u8>>,
    #[prost(bool, tag = "2")]
    pub(crate) more: bool,
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
    #[prost(string, tag = "4")]
    pub(crate) text: String,
    #[prost(uint32, tag = "5")]
    pub(crate) retry_after_ms: u32,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) request: Vec<u8>,
}

pub(crate) fn put_field(out: &mut Vec<u8>, field: &[u8]) {
    out.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
    out.extend(field);
}

/// The name of a chain of one certificate.
pub(crate) fn chain_hash(agent: &Certified) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_field(&mut bytes, agent.certificate.der());
    digest(&SHA256, &bytes).as_ref().to_vec()
}
