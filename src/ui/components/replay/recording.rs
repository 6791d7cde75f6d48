//! A run's entries, and its state after any number of them, by the same reducer as the thread's.
//!
//! States are kept at regular distances, at most [`MAX_KEPT_STATES`]; one in between is reduced from the last kept state before it. Kept
//! states share what did not change between them.

use std::sync::Arc;

use crate::{
    protocol::{ThreadEntry, agui::Event, http::RunEntry},
    thread::{Item, RunView, ThreadView},
    ui::components::run_tree::PtrEq,
};

/// The most states that are kept.
const MAX_KEPT_STATES: usize = 48;
/// The least distance of kept states, in entries.
const MIN_KEPT_DISTANCE: usize = 64;

/// The thread before a run: what the run's own entries are reduced on. It has the messages that the run's agent read, which the entries
/// only name.
fn before_run(thread: &ThreadView, run: &RunView) -> ThreadView {
    let is_of_run = |item: &Item| match item {
        Item::Message(item) => item.message.run_id == run.run_id,
        Item::Run(other) => other.run_id == run.run_id,
    };
    let earlier = thread.items.iter().take_while(|item| !is_of_run(item)).cloned();
    let read = run.read.iter().map(|read| Item::Message(read.item.clone()));
    ThreadView { items: earlier.chain(read).collect(), ..thread.clone() }
}

/// A run that has ended, with its entries.
#[derive(Debug)]
pub(super) struct Recording {
    /// The run as the thread shows it.
    pub(super) run: Arc<RunView>,
    pub(super) entries: Arc<Vec<RunEntry>>,
    /// For each of the run's nodes, the position at which it is first there.
    pub(super) node_starts: Vec<usize>,
    /// The position of the run's `RUN_STARTED`, if it has one.
    pub(super) start: Option<usize>,
    /// The states at multiples of `distance`.
    kept: Vec<ThreadView>,
    distance: usize,
    /// The state that was asked for last, and its position.
    current: (usize, ThreadView),
}

impl Recording {
    /// Reduces the entries once. `thread` is the thread with the run.
    pub(super) fn new(thread: &ThreadView, run: Arc<RunView>, entries: Arc<Vec<RunEntry>>) -> Self {
        let distance = entries.len().div_ceil(MAX_KEPT_STATES).max(MIN_KEPT_DISTANCE);
        let mut view = before_run(thread, &run);
        let (mut kept, mut node_starts, mut start) = (vec![view.clone()], Vec::new(), None);
        for (index, RunEntry { at, entry, .. }) in entries.iter().enumerate() {
            let position = index + 1;
            if matches!(entry, ThreadEntry::Agent { event, .. } if matches!(**event, Event::RunStarted(_))) {
                start = Some(position);
            }
            view.apply(*at, entry.clone());
            let nodes = view.run(run.run_id).map_or(0, |run| run.nodes.len());
            node_starts.resize(nodes.max(node_starts.len()), position);
            if position % distance == 0 {
                kept.push(view.clone());
            }
        }
        let current = (entries.len(), view);
        Self { run, entries, node_starts, start, kept, distance, current }
    }

    /// The run after this number of entries; `None` if it is not there yet.
    pub(super) fn run_at(&mut self, position: usize) -> Option<PtrEq<RunView>> {
        let position = position.min(self.entries.len());
        let index = position / self.distance;
        let (at, view) = &mut self.current;
        if position < *at || index * self.distance > *at {
            (*at, *view) = (index * self.distance, self.kept.get(index)?.clone());
        }
        for RunEntry { at, entry, .. } in &self.entries[*at..position] {
            view.apply(*at, entry.clone());
        }
        *at = position;
        view.items.iter().rev().find_map(|item| match item {
            Item::Run(run) if run.run_id == self.run.run_id => Some(PtrEq(run.clone())),
            _ => None,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        protocol::{
            Author, RunId, ThreadId, UserId, UserMessage,
            agui::{
                RunFinished, RunStarted, StepFinished, StepStarted, SubagentFinished, SubagentStarted,
                TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallEnd, ToolCallStart,
            },
        },
        thread::RunState,
    };

    /// A thread with one run, and the run's entries: 100 ms apart, the first at 1,000.
    pub(in super::super) fn recorded(events: impl FnOnce(RunId) -> Vec<Event>) -> (ThreadView, Recording) {
        let run_id = RunId::new();
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage::new(author, "Go on", run_id, "analyst");
        let mut entries = vec![ThreadEntry::Message { message }];
        let events = events(run_id).into_iter();
        entries.extend(events.map(|event| ThreadEntry::Agent { run_id, event: Box::new(event) }));
        let entry = |(index, entry)| RunEntry { seq: 3 + index as u64, at: 1_000 + 100 * index as i64, entry };
        let entries: Vec<RunEntry> = entries.into_iter().enumerate().map(entry).collect();
        let mut thread = ThreadView::default();
        for entry in &entries {
            thread.apply(entry.at, entry.entry.clone());
        }
        let recording = Recording::new(&thread, first_run(&thread), Arc::new(entries));
        (thread, recording)
    }

    fn first_run(thread: &ThreadView) -> Arc<RunView> {
        let run = |item: &Item| if let Item::Run(run) = item { Some(run.clone()) } else { None };
        thread.items.iter().find_map(run).expect("a run")
    }

    /// A run with a step, a tool call in a sub-agent, and a text of this many pieces.
    pub(in super::super) fn events(run_id: RunId, pieces: usize) -> Vec<Event> {
        let call = ToolCallStart { subagent_run_id: Some("a".into()), ..ToolCallStart::new("c", "look_up") };
        let mut events: Vec<Event> = vec![
            RunStarted::new(ThreadId::new(), run_id).into(),
            StepStarted::new("read").into(),
            SubagentStarted::new("a", "Search").into(),
            call.into(),
            ToolCallEnd::new("c").into(),
            SubagentFinished::new("a").into(),
            StepFinished::new("read").into(),
            TextMessageStart::new("m").into(),
        ];
        events.extend((0..pieces).map(|piece| Event::from(TextMessageContent::new("m", format!("{piece} ")))));
        events.extend([Event::from(TextMessageEnd::new("m")), RunFinished::new(ThreadId::new(), run_id).into()]);
        events
    }

    #[test]
    fn every_position_has_the_state_that_the_thread_had() {
        let (thread, mut recording) = recorded(|run| events(run, 5_000));
        let count = recording.entries.len();
        assert!(recording.kept.len() <= MAX_KEPT_STATES + 1, "{} states", recording.kept.len());
        let entries = recording.entries.clone();
        let expected = |position: usize| {
            let mut view = ThreadView::default();
            entries[..position].iter().for_each(|entry| view.apply(entry.at, entry.entry.clone()));
            view.run(recording.run.run_id).cloned()
        };
        let expected: Vec<_> = [0, 1, 2, 9, 63, 64, 65, 500, 4_999, count].map(|at| (at, expected(at))).into();
        // Forwards, backwards, and in between.
        for (at, expected) in expected.iter().chain(expected.iter().rev()).chain(&expected[3..6]) {
            assert_eq!(recording.run_at(*at).map(|run| (*run).clone()), *expected, "at {at}");
        }
        assert_eq!(recording.run_at(count + 5).map(|run| (*run).clone()), thread.run(recording.run.run_id).cloned());
    }

    #[test]
    fn nodes_are_there_from_their_first_entry_on() {
        let (_, mut recording) = recorded(|run| events(run, 3));
        assert_eq!((recording.start, &recording.node_starts[..]), (Some(2), &[3, 4, 5, 9][..]));
        for (index, start) in recording.node_starts.clone().into_iter().enumerate() {
            assert_eq!(recording.run_at(start).expect("the run").nodes.len(), index + 1);
            assert_eq!(recording.run_at(start - 1).expect("the run").nodes.len(), index);
        }
        assert_eq!(recording.run_at(1).expect("the run").state, RunState::Waiting);
        assert!(recording.run_at(0).is_none());
    }

    #[test]
    fn entries_of_other_runs_of_the_thread_do_not_matter() {
        let (thread, recording) = recorded(|run| events(run, 3));
        let mut longer = thread.clone();
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage::new(author, "And then?", RunId::new(), "analyst");
        longer.apply(9_000, ThreadEntry::Message { message });
        let mut other = Recording::new(&longer, recording.run.clone(), recording.entries.clone());
        assert_eq!(other.kept[0], ThreadView::default());
        let end = other.run_at(other.entries.len());
        assert_eq!(end.map(|run| (*run).clone()), thread.run(recording.run.run_id).cloned());
    }

    #[test]
    fn a_message_that_the_agent_read_is_there_from_that_entry_on() {
        let (mut thread, recording) = recorded(|run| events(run, 3)[..3].to_vec());
        let run_id = recording.run.run_id;
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage::new(author, "Shorter, please", RunId::new(), "analyst");
        let read = ThreadEntry::Read { message_id: message.id, run_id };
        thread.apply(2_000, ThreadEntry::Message { message });
        thread.apply(2_100, read.clone());
        let mut entries = recording.entries.to_vec();
        entries.push(RunEntry { seq: 90, at: 2_100, entry: read });
        let count = entries.len();
        let mut replayed = Recording::new(&thread, first_run(&thread), Arc::new(entries));
        assert!(replayed.run_at(count - 1).expect("the run").read.is_empty());
        let end = replayed.run_at(count).expect("the run");
        assert_eq!((end.read.len(), Some(&*end)), (1, thread.run(run_id)));
    }
}
