//! Checks every run of every thread in a store against AG-UI's rules.

use std::collections::HashMap;

use super::{guard::Violation, verifier::Verifier};
use crate::{
    protocol::{RunId, ThreadEntry, ThreadId, agui::Event},
    server::{channel::Channels, error::Result},
};

/// The most invalid runs that are listed.
const MAX_LISTED: usize = 50;

/// The result.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of threads.
    pub threads: usize,
    /// The number of their runs.
    pub runs: usize,
    /// The first violation of each invalid run; at most 50 runs.
    pub broken: Vec<(ThreadId, RunId, Violation)>,
}

/// Checks every thread. Active runs need no end; servers may use the store meanwhile.
///
/// # Errors
/// If the store fails.
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
    // Read before the log, so that the log contains the end of each of these.
    let ended = sqlx::query_scalar::<_, RunId>("SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NOT NULL")
        .bind(thread_id)
        .fetch_all(channels.store().reader())
        .await?;
    let mut runs: HashMap<RunId, RunCheck> = HashMap::new();
    let mut asked = HashMap::new();
    let mut after = 0;
    loop {
        let entries = channels.entries(thread_id, after).await?;
        let Some((last, _)) = entries.last() else { break };
        after = *last;
        for (_, entry) in entries {
            match entry {
                ThreadEntry::Message { message } => drop(asked.insert(message.id, message.run_id)),
                // Its run never started and has no events.
                ThreadEntry::TakenBack { message_id } | ThreadEntry::Read { message_id, .. } => {
                    asked.remove(&message_id);
                }
                ThreadEntry::Answer { answer } => drop(asked.insert(answer.id, answer.resumed_by)),
                ThreadEntry::Agent { run_id, event } => runs.entry(run_id).or_default().check(&event),
                ThreadEntry::Edited { .. }
                | ThreadEntry::Moved { .. }
                | ThreadEntry::Feedback { .. }
                | ThreadEntry::Thread { .. }
                | ThreadEntry::Members { .. } => {}
            }
        }
    }
    for run in asked.into_values() {
        runs.entry(run).or_default();
    }
    report.runs += runs.len();
    for (run, mut check) in runs {
        if ended.contains(&run) {
            check.finish();
        }
        if let Some(violation) = check.broken.filter(|_| report.broken.len() < MAX_LISTED) {
            report.broken.push((thread_id, run, violation));
        }
    }
    Ok(())
}

/// A run's verifier and its first violation.
#[derive(Default)]
struct RunCheck {
    verifier: Verifier,
    broken: Option<Violation>,
}

impl RunCheck {
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
