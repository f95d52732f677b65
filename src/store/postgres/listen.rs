//! Hearing of changes: a connection of its own that listens (rule G2).
//!
//! NOTIFY does not replay: after every reconnect, whoever follows the group reads again. Whether notices come through
//! (a pooler in between may swallow them) is proven by one that the connection sends to itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use crate::store::changes::Heard;
use crate::store::postgres::connection::answers_within;
use crate::store::postgres::url::Target;

/// The first rest after a connection was lost; it doubles.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest rest: as long, changes are looked for.
const REST_MAX: Duration = Duration::from_secs(5);
/// Listens, and proves that it hears.
const LISTEN: &str = "LISTEN farpost_change; SELECT pg_notify('farpost_change', '')";

/// Listens until nobody is told any more.
pub(super) async fn listen(target: Arc<Target>, heard: watch::Sender<Heard>) {
    let mut rest = REST_MIN;
    while !heard.is_closed() {
        // Why it failed is told by the engine's own connection, which meets the same.
        if let Ok(target) = target.read_again() {
            listen_once(&target, &heard).await;
        }
        if heard.borrow().is_listening {
            rest = REST_MIN;
        }
        heard.send_modify(|heard| *heard = Heard { is_listening: false, notices: heard.notices.wrapping_add(1) });
        tokio::select! {
            () = tokio::time::sleep(rest) => rest = (rest * 2).min(REST_MAX),
            () = heard.closed() => return,
        }
    }
}

async fn listen_once(target: &Target, heard: &watch::Sender<Heard>) {
    for host in &target.hosts {
        match &target.tls {
            Some(tls) => {
                let connected = tokio::time::timeout(answers_within(host), host.connect(tls.clone())).await;
                if let Ok(Ok((client, connection))) = connected {
                    let _ = hear(client, connection, heard).await;
                    return;
                }
            }
            None => {
                let connected = tokio::time::timeout(answers_within(host), host.connect(NoTls)).await;
                if let Ok(Ok((client, connection))) = connected {
                    let _ = hear(client, connection, heard).await;
                    return;
                }
            }
        }
    }
}

async fn hear<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    heard: &watch::Sender<Heard>,
) -> Result<(), tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut asked = std::pin::pin!(client.batch_execute(LISTEN));
    let mut is_asked = false;
    loop {
        tokio::select! {
            answer = &mut asked, if !is_asked => {
                answer?;
                is_asked = true;
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message.transpose()? {
                Some(AsyncMessage::Notification(_)) => heard.send_modify(|heard| {
                    *heard = Heard { is_listening: true, notices: heard.notices.wrapping_add(1) };
                }),
                Some(_) => {}
                None => return Ok(()),
            },
            () = heard.closed() => return Ok(()),
        }
    }
}
