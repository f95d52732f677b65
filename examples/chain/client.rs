//! The management server's side of the application: asks for cursors, hands batches over.

use std::path::Path;

use bytes::{BufMut as _, BytesMut};
use farpost::{DeliveryBatch, Epoch, Item, Name, Sequence};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::Outcome;

/// What a request begins with.
pub(crate) const CURSOR: u8 = 1;
pub(crate) const BATCH: u8 = 2;
/// What an item of a batch begins with.
pub(crate) const MESSAGE: u8 = 0;
pub(crate) const GAP: u8 = 1;

/// Two connections: a cursor is not to wait behind a batch.
pub(crate) struct Client {
    cursors: Mutex<UnixStream>,
    batches: Mutex<UnixStream>,
}

impl Client {
    pub(crate) async fn connect(path: &Path, server: &str) -> Outcome<Self> {
        let connect = async || -> Outcome<Mutex<UnixStream>> {
            let mut stream = UnixStream::connect(path).await?;
            let mut name = BytesMut::new();
            put_text(&mut name, server);
            send(&mut stream, &name).await?;
            Ok(Mutex::new(stream))
        };
        Ok(Self { cursors: connect().await?, batches: connect().await? })
    }

    /// The application's cursor for an agent's epoch.
    pub(crate) async fn cursor(&self, agent: &Name, epoch: Epoch) -> Outcome<Option<Sequence>> {
        let mut request = BytesMut::new();
        request.put_u8(CURSOR);
        put_text(&mut request, agent.as_str());
        request.put_u64(epoch.0);
        let mut stream = self.cursors.lock().await;
        send(&mut stream, &request).await?;
        let known = stream.read_u8().await? == 1;
        let cursor = Sequence(stream.read_u64().await?);
        Ok(known.then_some(cursor))
    }

    /// Hands a batch over; returns when the application has stored it.
    pub(crate) async fn store(&self, batch: &DeliveryBatch) -> Outcome<()> {
        let mut request = BytesMut::new();
        request.put_u8(BATCH);
        for item in batch.iter() {
            put_item(&mut request, &item);
        }
        let mut stream = self.batches.lock().await;
        send(&mut stream, &request).await?;
        stream.read_u8().await?;
        Ok(())
    }
}

fn put_item(request: &mut BytesMut, item: &Item<'_>) {
    let mut head = |kind, agent: &Name, via: &[Name], epoch: Epoch, sequence: Sequence| {
        request.put_u8(kind);
        put_text(request, agent.as_str());
        put_text(request, via.first().map(Name::as_str).unwrap_or_default());
        request.put_u64(epoch.0);
        request.put_u64(sequence.0);
    };
    match item {
        Item::Message(message) => {
            head(MESSAGE, message.agent, message.via, message.epoch, message.sequence);
            request.put_u8(message.redelivered.into());
            request.put_u32(u32::try_from(message.payload.len()).unwrap_or(u32::MAX));
            request.put_slice(&message.payload);
        }
        Item::Gap(gap) => {
            head(GAP, gap.agent, gap.via, gap.epoch, gap.gap.first);
            request.put_u64(gap.gap.last.0);
        }
    }
}

fn put_text(request: &mut BytesMut, text: &str) {
    request.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    request.put_slice(text.as_bytes());
}

async fn send(stream: &mut UnixStream, request: &[u8]) -> Outcome<()> {
    stream.write_u32(u32::try_from(request.len())?).await?;
    stream.write_all(request).await?;
    Ok(())
}
