//! Checks the whole log of a run against AG-UI's rules.

use super::guard::{Guard, Violation};
use crate::protocol::agui::Event;

/// Checks the whole log of a run: it starts once, ends once, and has nothing open if it finished.
#[derive(Debug, Default)]
pub struct Verifier {
    guard: Guard,
    begun: bool,
    over: bool,
}

impl Verifier {
    /// Checks the log's next event.
    ///
    /// # Errors
    /// The rule that it violates. The verifier cannot be used after that.
    pub fn check(&mut self, event: &Event) -> Result<(), Violation> {
        let broken = |rule: &str| Err(Violation { event: event.kind(), rule: rule.to_owned() });
        match event {
            _ if self.over => return broken("nothing follows the end of a run"),
            Event::RunStarted(_) if self.begun => return broken("a run begins once"),
            Event::RunStarted(e) => {
                self.begun = true;
                self.guard.seed(e.input.as_ref());
            }
            Event::RunError(_) => self.over = true,
            _ if !self.begun => return broken("a run begins with RUN_STARTED"),
            Event::RunFinished(_) => match self.guard.finish() {
                Err(rule) => return broken(&rule),
                Ok(()) => self.over = true,
            },
            other => self.guard.check(other)?,
        }
        Ok(())
    }

    /// Checks that the log has ended.
    ///
    /// # Errors
    /// If the run has not ended.
    pub fn finish(&self) -> Result<(), Violation> {
        if self.over { Ok(()) } else { Err(Violation { event: "RUN_FINISHED", rule: "every run ends".into() }) }
    }
}

/// Holds the whole log of a run to the rules.
///
/// # Errors
/// The first rule that is broken.
pub fn verify<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<(), Violation> {
    let mut verifier = Verifier::default();
    events.into_iter().try_for_each(|event| verifier.check(event))?;
    verifier.finish()
}
