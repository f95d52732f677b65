//! Ships the lines of a file, or of standard input: what `farpost agent run` does.

use std::path::Path;

use super::Agent;
use crate::error::Result;
use crate::message::Message;
use crate::session::input::{Follower, InputLimits, Position};

impl Agent {
    /// Sends the lines of a file as it grows, over rotation and truncation, one message a line; `-` is standard input.
    ///
    /// The position is kept in the queue's own records: a crash neither skips nor repeats a line. Returns at the end of
    /// standard input, when everything is delivered; a file has no end.
    ///
    /// # Errors
    ///
    /// As [`Agent::send_batch`].
    pub async fn ship_lines(&self, path: &Path) -> Result<()> {
        let limits = InputLimits {
            lines_max: LINES_PER_BATCH,
            batch_bytes_max: BATCH_BYTES_MAX,
            line_bytes_max: self.shared.message_bytes_max,
        };
        let position = self.shared.source.map(Position::from);
        let mut follower = Follower::open(path, position, limits)?;
        while let Some(batch) = follower.next_batch().await {
            for event in batch.events {
                self.shared.events.emit(event);
            }
            let messages: Vec<Message> = batch.lines.into_iter().map(Message::new).collect();
            if !messages.is_empty() || batch.position.is_some() {
                self.shared.append(messages, batch.position.map(Into::into)).await?;
            }
        }
        self.all_delivered().await
    }
}

/// Lines of one append: one lock, one record batch.
const LINES_PER_BATCH: usize = 1_000;
/// Bytes of one append.
const BATCH_BYTES_MAX: usize = 256 << 10;
