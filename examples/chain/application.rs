//! The application's side: one database, and every management server of the group connects to it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::Outcome;
use crate::client::{BATCH, CURSOR, GAP, MESSAGE};
use crate::ledger::{Content, Item, Ledger};

/// Serves the ledger on a socket for as long as the process lives.
pub(crate) fn serve(path: &Path, ledger: Arc<Mutex<Ledger>>) -> Outcome<()> {
    let listener = UnixListener::bind(path)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                // The end of the connection is the end of its server: the story knows of it.
                let _ = serve_server(stream, &ledger).await;
            });
        }
    });
    Ok(())
}

/// The ledger; a panic elsewhere does not hide it.
pub(crate) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve_server(mut stream: UnixStream, ledger: &Mutex<Ledger>) -> Outcome<()> {
    let server = take_text(&mut request(&mut stream).await?)?;
    loop {
        let mut request = request(&mut stream).await?;
        match request.try_get_u8()? {
            CURSOR => {
                let (agent, epoch) = (take_text(&mut request)?, request.try_get_u64()?);
                let cursor = lock(ledger).cursor(&server, &agent, epoch);
                let mut answer = [0; 9];
                answer[0] = cursor.is_some().into();
                answer[1..].copy_from_slice(&cursor.unwrap_or(0).to_be_bytes());
                stream.write_all(&answer).await?;
            }
            BATCH => {
                store(&server, request, ledger)?;
                stream.write_all(&[1]).await?;
            }
            other => return Err(format!("request {other}").into()),
        }
    }
}

/// All of a batch or nothing, as in a database.
fn store(server: &str, mut request: Bytes, ledger: &Mutex<Ledger>) -> Outcome<()> {
    let mut items = Vec::new();
    while request.has_remaining() {
        items.push(take_item(&mut request)?);
    }
    let mut ledger = lock(ledger);
    for item in &items {
        ledger.take(server, item);
    }
    Ok(())
}

fn take_item(request: &mut Bytes) -> Outcome<Item> {
    let kind = request.try_get_u8()?;
    let (agent, via) = (take_text(request)?, take_text(request)?);
    let (epoch, sequence) = (request.try_get_u64()?, request.try_get_u64()?);
    let content = match kind {
        MESSAGE => {
            let redelivered = request.try_get_u8()? == 1;
            let length = request.try_get_u32()?;
            Content::Message { payload: take_bytes(request, usize::try_from(length)?)?, redelivered }
        }
        GAP => Content::Gap { last: request.try_get_u64()? },
        other => return Err(format!("item {other}").into()),
    };
    Ok(Item { agent, via, epoch, sequence, content })
}

fn take_text(request: &mut Bytes) -> Outcome<String> {
    let length = request.try_get_u16()?;
    let bytes = take_bytes(request, length.into())?;
    Ok(String::from_utf8(bytes.to_vec())?)
}

fn take_bytes(request: &mut Bytes, length: usize) -> Outcome<Bytes> {
    if request.remaining() < length {
        return Err("a request that was cut short".into());
    }
    Ok(request.split_to(length))
}

async fn request(stream: &mut UnixStream) -> Outcome<Bytes> {
    let length = usize::try_from(stream.read_u32().await?)?;
    if length > REQUEST_BYTES_MAX {
        return Err(format!("a request of {length} bytes").into());
    }
    let mut request = BytesMut::zeroed(length);
    stream.read_exact(&mut request).await?;
    Ok(request.freeze())
}

/// Far above a batch of the library.
const REQUEST_BYTES_MAX: usize = 256 << 20;
