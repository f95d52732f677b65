//! The store over any engine: each call one transaction.

use std::time::Duration;

use crate::error::Result;
use crate::group::{
    Answer, By, CursorOutcome, CursorWrite, Decision, GroupKeyRecord, GroupKeys, Knock, Operation, PresenceBatch,
    RefusedAttempt, SessionAnswer, SessionRequest, SignedAssignment, TokenAnswer, TokenUse, pending_expired_before,
};
use crate::identity::KeyHash;
use crate::limits::REFUSALS_STORED_PER_STRANGER;
use crate::name::Name;
use crate::role::Role;
use crate::store::changes::Changes;
use crate::store::operations::{
    self, Context, approvals, assignments, deliveries, down, keys, presence, sessions, tokens,
};
use crate::store::records::Engine;
use crate::store::{DownMessage, KeyBackup, OutputPosition, Store, StoredRun};
use crate::time::Timestamp;

/// A group store in a database.
pub(crate) struct GroupStore<E> {
    pub(super) engine: E,
}

impl<E: Engine> Store for GroupStore<E> {
    fn change(&mut self) -> Result<u64> {
        self.engine.read(|records| records.change())
    }

    fn changes(&mut self) -> Changes {
        self.engine.changes()
    }

    fn commit_pace(&self) -> Duration {
        self.engine.commit_pace()
    }

    fn perform(&mut self, operation: &Operation, by: &By) -> Result<Answer> {
        let identity = self.engine.identity();
        let group = identity.group.clone();
        let context = Context { group: &group, by };
        if operation.is_change() {
            let answer = self.engine.write(|records| operations::perform(records, &context, operation))?;
            if matches!(answer, Answer::KeyRotation(_)) {
                self.engine.forget_overwritten();
            }
            Ok(answer)
        } else {
            self.engine.read(|records| operations::perform(records, &context, operation))
        }
    }

    fn note_refusals(&mut self, refused: &[RefusedAttempt], before: Timestamp, most: u64) -> Result<()> {
        self.engine.write(|records| {
            records.add_refusals(refused)?;
            records.forget_refusals(before, most.div_ceil(REFUSALS_STORED_PER_STRANGER), most)
        })
    }

    fn group(&mut self) -> Result<String> {
        Ok(self.engine.identity().group.clone())
    }

    fn group_keys(&mut self) -> Result<GroupKeys> {
        self.engine.read(|records| keys::in_force(records))
    }

    fn back_up_key(&mut self, by: &By) -> Result<KeyBackup> {
        let group = self.engine.identity().group.clone();
        self.engine.write(|records| keys::back_up(records, &group, by))
    }

    fn restore_key(&mut self, backup: &KeyBackup, by: &By) -> Result<GroupKeyRecord> {
        let group = self.engine.identity().group.clone();
        let restored = self.engine.write(|records| keys::restore(records, &group, backup, by))?;
        self.engine.forget_overwritten();
        Ok(restored)
    }

    fn challenge_secret(&mut self) -> Result<[u8; 32]> {
        // As it is now: whoever opened the store may have done so before a key was brought into it.
        self.engine.read(|records| Ok(*records.signing_key()?.challenge_secret))
    }

    fn register_server(&mut self, server: &Name, address: &str, at: Timestamp) -> Result<()> {
        self.engine.write(|records| assignments::register_server(records, server, address, at))?;
        self.engine.write(|records| deliveries::prepare(records))
    }

    fn authorise(&mut self, knocks: &[Knock]) -> Result<Vec<Decision>> {
        self.engine.write(|records| approvals::authorise(records, knocks))
    }

    fn key_renewed(&mut self, role: Role, name: &Name, key: KeyHash) -> Result<()> {
        self.engine.write(|records| approvals::key_renewed(records, role, name, key))
    }

    fn expire_pending(&mut self, at: Timestamp) -> Result<()> {
        self.engine.write(|records| records.expire_pending(pending_expired_before(at)))
    }

    fn signed_assignments(&mut self, nodes: &[Name]) -> Result<Vec<Option<SignedAssignment>>> {
        self.engine.read(|records| assignments::signed(records, nodes))
    }

    fn open_sessions(&mut self, requests: &[SessionRequest]) -> Result<Vec<SessionAnswer>> {
        self.engine.write(|records| sessions::open_sessions(records, requests))
    }

    fn commit(&mut self, writes: &[CursorWrite], deliveries: &[StoredRun]) -> Result<Vec<CursorOutcome>> {
        let received = received_now();
        self.engine.write(|records| {
            let moves = sessions::move_cursors(records, writes)?;
            deliveries::store(records, &moves, writes, deliveries, received)?;
            Ok(sessions::outcomes(&moves))
        })
    }

    fn commit_with_output(&mut self, writes: &[CursorWrite], output: &OutputPosition) -> Result<Vec<CursorOutcome>> {
        self.engine.write(|records| {
            let moves = sessions::move_cursors(records, writes)?;
            records.put_output_position(output)?;
            Ok(sessions::outcomes(&moves))
        })
    }

    fn output_position(&mut self, server: &Name, path: &str) -> Result<Option<u64>> {
        self.engine.read(|records| records.output_position(server, path))
    }

    fn down_messages(
        &mut self,
        agent: &Name,
        fence: u64,
        page: (u64, usize),
        at: Timestamp,
    ) -> Result<Vec<DownMessage>> {
        match self.engine.read(|records| down::messages(records, agent, fence, page, at))? {
            Some(messages) => Ok(messages),
            None => self.engine.write(|records| down::messages_unexpired(records, agent, fence, page, at)),
        }
    }

    fn down_waiting(&mut self) -> Result<Vec<Name>> {
        self.engine.read(|records| records.down_waiting())
    }

    fn down_delivered(&mut self, agent: &Name, fence: u64, through: u64, at: Timestamp) -> Result<()> {
        self.engine.write(|records| down::delivered(records, agent, fence, through, at))
    }

    fn is_time_to_forget(&mut self, at: Timestamp) -> Result<bool> {
        self.engine.write(|records| down::is_time_to_forget(records, at))
    }

    fn forget_some(&mut self, at: Timestamp) -> Result<bool> {
        let messages = self.engine.write(|records| down::forget_some(records, at))?;
        self.engine.write(|records| deliveries::prepare(records))?;
        Ok(self.engine.write(|records| deliveries::prune_some(records))? || messages)
    }

    fn keep_presence(&mut self, batch: &PresenceBatch) -> Result<()> {
        self.engine.write(|records| presence::keep(records, batch))
    }

    fn use_token(&mut self, ask: &TokenUse) -> Result<TokenAnswer> {
        self.engine.write(|records| tokens::use_once(records, ask))
    }
}

/// When a delivery is received; a test may set the clock of its thread.
fn received_now() -> Timestamp {
    #[cfg(test)]
    if let Some(received) = TEST_CLOCK.get() {
        return received;
    }
    now()
}

#[cfg(test)]
thread_local! {
    pub(super) static TEST_CLOCK: std::cell::Cell<Option<Timestamp>> = const { std::cell::Cell::new(None) };
}

/// This computer's clock, for people: when a delivery was written.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
