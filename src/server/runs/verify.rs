//! Holds all that a store keeps to AG-UI's rules: every run of every thread, as it lies in the log.

use std::collections::HashMap;

use super::{guard::Violation, verifier::Verifier};
use crate::{
    protocol::{RunId, ThreadEntry, ThreadId, agui::Event},
    server::{channel::Channels, error::Result},
};

/// The most broken runs that are named.
const MOST_BROKEN: usize = 50;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many threads were read.
    pub threads: usize,
    /// How many runs they have.
    pub runs: usize,
    /// The runs that break a rule, each with the first one; at most 50.
    pub broken: Vec<(ThreadId, RunId, Violation)>,
}

/// Reads every thread. A run that goes on need not have ended; servers may use the store meanwhile.
///
/// # Errors
/// Where the store fails.
pub async fn every_thread(channels: &Channels) -> Result<Report> {
    let mut report = Report::default();
    let threads = sqlx::query_scalar("SELECT id FROM threads WHERE deleted_at IS NULL ORDER BY id");
    for id in threads.fetch_all(channels.store().reader()).await? {
        report.threads += 1;
        thread(channels, id, &mut report).await?;
    }
    Ok(report)
}

async fn thread(channels: &Channels, thread_id: ThreadId, report: &mut Report) -> Result<()> {
    // Before the log is read: what has ended by now has its end there.
    let ended = sqlx::query_scalar::<_, RunId>("SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NOT NULL")
        .bind(thread_id)
        .fetch_all(channels.store().reader())
        .await?;
    let mut runs: HashMap<RunId, Verdict> = HashMap::new();
    let mut asked = HashMap::new();
    let mut after = 0;
    loop {
        let entries = channels.entries(thread_id, after).await?;
        let Some((last, _)) = entries.last() else { break };
        after = *last;
        for (_, entry) in entries {
            match entry {
                ThreadEntry::Message { message } => drop(asked.insert(message.id, message.run_id)),
                // Its run never began, and has nothing in the log.
                ThreadEntry::TakenBack { message_id } => drop(asked.remove(&message_id)),
                ThreadEntry::Answer { answer } => drop(asked.insert(answer.id, answer.resumed_by)),
                ThreadEntry::Agent { run_id, event } => runs.entry(run_id).or_default().check(&event),
                ThreadEntry::Thread { .. } => {}
            }
        }
    }
    for run in asked.into_values() {
        runs.entry(run).or_default();
    }
    report.runs += runs.len();
    for (run, mut verdict) in runs {
        if ended.contains(&run) {
            verdict.finish();
        }
        if let Some(violation) = verdict.broken.filter(|_| report.broken.len() < MOST_BROKEN) {
            report.broken.push((thread_id, run, violation));
        }
    }
    Ok(())
}

/// A run's verifier, and the first rule that it saw broken.
#[derive(Default)]
struct Verdict {
    verifier: Verifier,
    broken: Option<Violation>,
}

impl Verdict {
    fn check(&mut self, event: &Event) {
        if self.broken.is_none() {
            self.broken = self.verifier.check(event).err();
        }
    }

    fn finish(&mut self) {
        if self.broken.is_none() {
            self.broken = self.verifier.finish().err();
        }
    }
}
