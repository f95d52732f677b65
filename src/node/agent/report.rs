//! An agent's reports: what it says of itself to its management server, on its open channel.

use super::{Agent, Effect};
use crate::node::reporting::Figures;
use crate::time::Instant;
use crate::wire::{Report, report_text};

impl Agent {
    /// At the end of a turn: asks for the figures of a report that may be due.
    pub(super) fn look_at_reports(&mut self, now: Instant) {
        let open = self.channel.as_ref().filter(|channel| channel.is_open());
        let place = open.map(|channel| (self.connection, channel.id));
        if self.reporter.look(place, self.uplink.standing(), now) {
            self.effects.push_back(Effect::AskFigures);
        }
    }

    /// The shell's figures: reports, if there is anything new.
    pub(super) fn report(&mut self, figures: &Figures, now: Instant) {
        let Some((_, id)) = self.reporter.answered(now).copied() else { return };
        if self.channel.as_ref().is_none_or(|channel| channel.id != id || !channel.is_open()) {
            // It ended in this turn: the next one hears it.
            return;
        }
        let mut report = Report { software: report_text(&self.software), ..Report::default() };
        figures.describe(&mut report);
        let proofs = self.uplink.describe(&mut report, now);
        report.delivered = self.window.delivered().0;
        report.fill(std::iter::empty());
        let since = self.uplink.situation().since;
        if self.reporter.is_news(&report, since, proofs, now)
            && let Some((_, link)) = self.uplink.link()
        {
            link.send(id, &report);
        }
    }
}
