//! Waiting for the group to change (rule G2).

#[cfg(feature = "postgres")]
use tokio::sync::watch;

use crate::limits::CHANGE_POLL;

/// How those who follow the group learn that its change counter may have moved.
#[derive(Clone, Debug)]
pub(crate) enum Changes {
    /// The engine tells nobody: whoever wants to know looks.
    Polled,
    /// The engine tells.
    #[cfg(feature = "postgres")]
    Told(watch::Receiver<Heard>),
}

/// What an engine's notices tell.
#[cfg(feature = "postgres")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whether a notice would be heard now; if not, whoever wants to know looks.
    pub(crate) is_listening: bool,
    /// Moves with every notice, and when notices may have been lost.
    pub(crate) notices: u64,
}

impl Changes {
    /// Returns when it is time to look at the change counter again: at once after a notice, and in any case after a
    /// while.
    pub(crate) async fn wait(&mut self) {
        match self {
            Self::Polled => tokio::time::sleep(CHANGE_POLL).await,
            #[cfg(feature = "postgres")]
            Self::Told(heard) => {
                let listens = heard.borrow().is_listening;
                let within = if listens { crate::limits::CHANGE_READ_AGAIN } else { CHANGE_POLL };
                // The engine is gone: then there is nothing to be told.
                if let Ok(Err(_)) = tokio::time::timeout(within, heard.changed()).await {
                    tokio::time::sleep(CHANGE_POLL).await;
                }
            }
        }
    }
}
