//! Folds entries into a [`ThreadView`].

mod calls;
mod queued;
mod restate;
mod run;

use std::sync::Arc;

use crate::protocol::{
    Item, MessageId, MessageItem, Resolution, RunAnswer, RunFeedback, RunId, RunView, ThreadEntry, ThreadView,
    UserMessage,
    agui::{Base, Event},
    extensions::{AFTER_CANCELLATION, LATER_PIECE},
};

impl ThreadView {
    /// Folds the next entry, which was appended at `at` (milliseconds since 1970).
    pub fn apply(&mut self, at: i64, entry: ThreadEntry) {
        match entry {
            // Logs of earlier versions have the owner's marks.
            ThreadEntry::Thread { thread } => self.info = Some(thread.for_log()),
            ThreadEntry::Members { members } => self.members = Some(members),
            ThreadEntry::Message { message } => self.push_message(at, message),
            ThreadEntry::Answer { answer } => self.apply_answer(at, answer),
            ThreadEntry::TakenBack { message_id } => self.remove_message(message_id),
            ThreadEntry::Edited { message_id, content, attachments, .. } => {
                self.edit_message(message_id, content, attachments);
            }
            ThreadEntry::Moved { message_id, before } => self.move_message(message_id, before),
            ThreadEntry::Read { message_id, run_id } => self.read_message(message_id, run_id),
            ThreadEntry::Feedback { run_id, feedback } => self.apply_feedback(run_id, feedback),
            ThreadEntry::Agent { run_id, event } => self.apply_event(run_id, at, *event),
        }
    }

    fn push_message(&mut self, at: i64, message: UserMessage) {
        if self.message(message.id).is_some() {
            return;
        }
        let follows = match (message.replaces, message.after) {
            (Some(replaced), _) if self.message(replaced).is_some() => {
                self.message(replaced).and_then(|replaced| replaced.follows)
            }
            (None, Some(after)) if self.message(after).is_some() => Some(after),
            // The message that it names was taken back or trimmed.
            _ => self.newest_message(),
        };
        self.abandon_interrupts();
        self.trim_encrypted();
        let (message_id, run_id, agent) = (Some(message.id), message.run_id, message.agent.clone());
        let edited_by = message.edited_answer.then(|| message.author.name.clone());
        self.items.push(Item::Message(Arc::new(MessageItem { at, message, follows })));
        self.add_run(RunView { message_id, edited_by, ..RunView::new(run_id, agent, at) });
    }

    /// Adds a run that has not begun, unless the thread has it already.
    fn add_run(&mut self, run: RunView) {
        if self.run(run.run_id).is_none() {
            self.items.push(Item::Run(Arc::new(run)));
        }
    }

    /// A new message was sent: the thread's open interrupts can no longer be answered.
    fn abandon_interrupts(&mut self) {
        for item in &mut self.items {
            if let Item::Run(run) = item
                && !run.open_interrupts().is_empty()
            {
                Arc::make_mut(run).answered = Some(Resolution::Abandoned);
            }
        }
    }

    fn apply_answer(&mut self, at: i64, answer: RunAnswer) {
        let RunAnswer { run_id, resumed_by, agent, author, answers, .. } = answer;
        let interrupted = self.run_mut(run_id, at);
        interrupted.answered = Some(Resolution::Answered { author, at, answers, resumed_by });
        let message_id = interrupted.message_id;
        self.add_run(RunView { message_id, resumes: Some(run_id), ..RunView::new(resumed_by, agent, at) });
    }

    /// Feedback on a run that was trimmed has no effect.
    fn apply_feedback(&mut self, run_id: RunId, feedback: RunFeedback) {
        if let Some(run) = self.known_run_mut(run_id) {
            run.feedback = Some(feedback).filter(|feedback| feedback.rating.is_some());
        }
    }

    /// Removes a message that was taken back, and its run. Messages that followed it follow its predecessor.
    fn remove_message(&mut self, message_id: MessageId) {
        let follows = self.message(message_id).and_then(|removed| removed.follows);
        self.items.retain(|item| match item {
            Item::Message(known) => known.message.id != message_id,
            Item::Run(run) => run.message_id != Some(message_id),
        });
        self.replace_predecessor(message_id, follows);
    }

    fn apply_event(&mut self, run_id: RunId, at: i64, event: Event) {
        if event.base().metadata.as_ref().is_some_and(|metadata| metadata.contains_key(AFTER_CANCELLATION)) {
            let run = self.run_mut(run_id, at);
            run.nodes_before_message = Some(run.nodes.len());
        }
        let event = match event {
            Event::MessagesSnapshot(e) => return self.restate(run_id, at, e.messages),
            event => event,
        };
        match &event {
            Event::ToolCallResult(e) => self.add_call_of_interrupt(run_id, at, &e.tool_call_id),
            Event::StateDelta(_) => self.begin_state(run_id, at),
            _ => {}
        }
        // A resuming run may repeat the start of a call of the previous run, to send its result.
        let holder = self.holder_of_call(run_id, &event).unwrap_or(run_id);
        let is_end = matches!(event, Event::RunFinished(_) | Event::RunError(_));
        self.run_mut(run_id, at);
        self.run_mut(holder, at).apply_event(at, event);
        if is_end {
            self.close_calls_of_turn(run_id, at);
        }
    }

    /// The run, if the thread has it.
    fn known_run_mut(&mut self, run_id: RunId) -> Option<&mut RunView> {
        self.items.iter_mut().rev().find_map(|item| match item {
            Item::Run(run) if run.run_id == run_id => Some(Arc::make_mut(run)),
            _ => None,
        })
    }

    /// The run; added here if no message or answer announced it.
    pub(super) fn run_mut(&mut self, run_id: RunId, at: i64) -> &mut RunView {
        let known = self.items.iter().rposition(|item| matches!(item, Item::Run(run) if run.run_id == run_id));
        let index = known.unwrap_or_else(|| {
            self.items.push(Item::Run(Arc::new(RunView::new(run_id, String::new(), at))));
            self.items.len() - 1
        });
        match &mut self.items[index] {
            Item::Run(run) => Arc::make_mut(run),
            Item::Message(_) => unreachable!("the index is a run's"),
        }
    }
}

/// Whether an event has a later piece of a split text.
fn is_later_piece(base: &Base) -> bool {
    base.metadata.as_ref().is_some_and(|metadata| metadata.contains_key(LATER_PIECE))
}
