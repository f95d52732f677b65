//! The figures: what was measured, beside the goal.

use serde_json::{Value, json};

/// One figure.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<Goal>,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), measured, unit, goal: None }
    }

    pub(crate) fn goal(self, goal: Option<Goal>) -> Self {
        Self { goal, ..self }
    }

    /// How many times better than the goal; below 1 it is missed.
    fn ratio(&self) -> Option<f64> {
        match self.goal? {
            Goal::AtLeast(goal) => Some(self.measured / goal),
            Goal::AtMost(goal) => Some(goal / self.measured),
        }
    }

    fn row(&self) -> String {
        let goal = match self.goal {
            Some(Goal::AtLeast(goal)) => format!("≥ {}", number(goal)),
            Some(Goal::AtMost(goal)) => format!("≤ {}", number(goal)),
            None => String::new(),
        };
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        format!("| {} | {} {} | {goal} | {ratio} |", self.what, number(self.measured), self.unit)
    }

    fn json(&self) -> Value {
        json!({ "what": self.what, "measured": self.measured, "unit": self.unit, "times_better_than_goal": self.ratio() })
    }
}

/// A scenario's figures.
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
            return println!("{}", json!({ "scenario": self.title, "figures": figures }));
        }
        println!("\n{}\n\n| figure | measured | goal | times better than the goal |\n|---|---:|---:|---:|", self.title);
        self.figures.iter().for_each(|figure| println!("{}", figure.row()));
    }
}

/// With as many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} million", value / 1e6),
        size if size >= 1e3 => format!("{:.0},{:03.0}", (value / 1e3).trunc(), value % 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
