//! A node asks its upstream for a new certificate: one request at a time, again on every new channel until it is
//! answered. Section 13 of the wire specification.

use crate::error::Error;
use crate::wire::{Answer, Assembly, Issued, Request};

/// A request as the shell made and signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The SHA-256 of the request, which its answer names.
    pub(crate) hash: [u8; 32],
    pub(crate) request: Request,
}

/// The answer to the request with this hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    pub(crate) hash: [u8; 32],
    pub(crate) answer: Answer,
}

/// See the module's text. A `Place` names the channel, or the link, that a request goes on.
#[derive(Debug)]
pub(crate) struct Renewal<Place> {
    waiting: Option<Ask>,
    asked: Option<(Place, Ask)>,
    assembly: Assembly,
}

impl<Place> Default for Renewal<Place> {
    fn default() -> Self {
        Self { waiting: None, asked: None, assembly: Assembly::default() }
    }
}

impl<Place: PartialEq> Renewal<Place> {
    /// Asks as soon as there is a place for it. A request that was not sent yet gives way to this one.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.waiting = Some(ask);
    }

    /// What is to be sent on the place that is open now, if anything. What was asked on another place is asked again
    /// here: its answer went with that.
    pub(crate) fn next(&mut self, place: Place) -> Option<Request> {
        if self.asked.as_ref().is_some_and(|(asked_on, _)| *asked_on == place) {
            // One at a time on a channel: the next one waits for the answer.
            return None;
        }
        let lost = self.asked.take().map(|(_, ask)| ask);
        let ask = self.waiting.take().or(lost)?;
        self.assembly = Assembly::default();
        let request = ask.request.clone();
        self.asked = Some((place, ask));
        Some(request)
    }

    /// A part of an answer; the whole with the last part. One to another request is not looked at.
    ///
    /// # Errors
    ///
    /// [`Code::ChainTooLarge`](crate::code::Code::ChainTooLarge): the upstream breaks the protocol.
    pub(crate) fn handle_issued(&mut self, issued: Issued) -> Result<Option<Renewed>, Error> {
        let Some(hash) = self.asked.as_ref().map(|(_, ask)| ask.hash) else { return Ok(None) };
        if issued.request.as_ref() != hash {
            return Ok(None);
        }
        let answer = self.assembly.take_issued(issued)?;
        if answer.is_some() {
            self.asked = None;
        }
        Ok(answer.map(|answer| Renewed { hash, answer }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ask(number: u8) -> Ask {
        Ask { hash: [number; 32], request: Request { request: vec![number].into(), ..Request::default() } }
    }

    fn issued(number: u8, more: bool) -> Issued {
        let certificates = vec![Bytes::from_static(&[0x30])];
        Issued { certificates, more, request: vec![number; 32].into(), ..Issued::default() }
    }

    #[test]
    fn a_request_is_asked_once_per_place_until_it_is_answered() {
        let mut renewal = Renewal::default();
        assert_eq!(renewal.next(1), None);
        renewal.ask(ask(1));
        assert_eq!(renewal.next(1), Some(ask(1).request));
        assert_eq!(renewal.next(1), None, "it is out");
        renewal.ask(ask(2));
        assert_eq!(renewal.next(1), None, "a second one waits for the answer");
        assert_eq!(renewal.handle_issued(issued(2, false)), Ok(None), "nobody asked that");
        assert_eq!(renewal.handle_issued(issued(1, true)), Ok(None), "more comes");
        let whole = renewal.handle_issued(issued(1, false)).unwrap().unwrap();
        assert_eq!(whole, Renewed { hash: [1; 32], answer: Answer::Issued(vec![Bytes::from_static(&[0x30]); 2]) });
        assert_eq!(renewal.handle_issued(issued(1, false)), Ok(None), "it was answered");
        assert_eq!(renewal.next(1), Some(ask(2).request));
    }

    #[test]
    fn what_was_asked_on_a_channel_that_ended_is_asked_again_on_the_next_from_its_first_part_on() {
        let mut renewal = Renewal::default();
        renewal.ask(ask(1));
        assert!(renewal.next(1).is_some());
        assert_eq!(renewal.handle_issued(issued(1, true)), Ok(None));
        assert_eq!(renewal.next(2), Some(ask(1).request));
        let whole = renewal.handle_issued(issued(1, false)).unwrap().unwrap();
        assert_eq!(whole.answer, Answer::Issued(vec![Bytes::from_static(&[0x30])]), "the half answer is forgotten");
        assert_eq!(renewal.next(3), None, "nothing is left to ask");
    }

    #[test]
    fn a_newer_request_takes_the_place_of_one_whose_answer_was_lost() {
        let mut renewal = Renewal::default();
        renewal.ask(ask(1));
        assert!(renewal.next(1).is_some());
        renewal.ask(ask(2));
        assert_eq!(renewal.next(2), Some(ask(2).request));
        assert_eq!(renewal.handle_issued(issued(1, false)), Ok(None));
    }
}
