//! Who is let in when the queue fills: bulk below 80 %, normal below 92 %, critical below 97 % (rule D6).

use crate::message::Priority;

/// The bound of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) bytes_max: u64,
}

/// What the quota says to messages that want in together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// Not now: wait until something was delivered.
    Full,
    /// Never: they alone are more than a queue that is empty takes.
    Never,
}

impl Quota {
    /// Decides for messages of `bytes` in the log whose lowest priority is `priority`, when `held` bytes are held.
    pub(crate) fn admit(&self, held: u64, bytes: u64, priority: Priority) -> Admission {
        let limit = self.limit(priority);
        if bytes > limit {
            Admission::Never
        } else if held.saturating_add(bytes) > limit {
            Admission::Full
        } else {
            Admission::Admitted
        }
    }

    /// The last 3 % belong to the writer's own records.
    pub(crate) fn limit(&self, priority: Priority) -> u64 {
        let percent = match priority {
            Priority::Bulk => 80,
            Priority::Normal => 92,
            Priority::Critical => 97,
        };
        (u128::from(self.bytes_max) * percent / 100) as u64
    }
}
