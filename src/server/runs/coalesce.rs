//! Merges many small deltas into few appends.
//!
//! No I/O: events and the time go in, events to append come out. The first delta of a message is passed on at once. The deltas that follow
//! within a window are merged into one, which is passed on at the end of the window, or earlier if an event of another kind arrives, so
//! that it stays before that event. The concatenated text of each message stays the same, and all other events keep their order.

use std::time::{Duration, Instant};

use crate::protocol::agui::{DeltaKey, Event};

/// How many bytes may wait before they are passed on early.
const MAX_PENDING_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Pending {
    key: DeltaKey,
    event: Event,
    due: Instant,
}

/// Merges the deltas of one run.
#[derive(Debug)]
pub(super) struct Coalescer {
    window: Duration,
    pending: Vec<Pending>,
    bytes: usize,
    /// When a delta of each message was last passed on, within the window.
    recent: Vec<(DeltaKey, Instant)>,
}

impl Coalescer {
    /// A coalescer with a window; zero merges nothing.
    #[must_use]
    pub(super) fn new(window: Duration) -> Self {
        Self { window, pending: Vec::new(), bytes: 0, recent: Vec::new() }
    }

    /// Adds an event; events to append now are pushed to `out`, in order.
    pub(super) fn push(&mut self, now: Instant, mut event: Event, out: &mut Vec<Event>) {
        // Raw events only repeat others, so their order does not matter.
        if matches!(event, Event::Raw(_)) {
            out.push(event);
            return;
        }
        let Some(key) = event.delta_key() else {
            self.flush(now, out);
            out.push(event);
            return;
        };
        let bytes = event.delta_mut().map_or(0, |text| text.len());
        if self.bytes + bytes > MAX_PENDING_BYTES {
            self.flush(now, out);
        }
        if let Some(waiting) = self.pending.iter_mut().find(|waiting| waiting.key == key) {
            if let (Some(text), Some(more)) = (waiting.event.delta_mut(), event.delta_mut()) {
                text.push_str(more);
            }
            self.bytes += bytes;
            return;
        }
        self.recent.retain(|(_, at)| *at + self.window > now);
        match self.recent.iter().find(|(recent, _)| *recent == key) {
            Some((_, at)) => {
                self.bytes += bytes;
                self.pending.push(Pending { due: *at + self.window, key, event });
            }
            None => {
                self.recent.push((key, now));
                out.push(event);
            }
        }
    }

    /// When the next append is due.
    #[must_use]
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.iter().map(|waiting| waiting.due).min()
    }

    /// Pushes the events that are due to `out`.
    pub(super) fn take_due(&mut self, now: Instant, out: &mut Vec<Event>) {
        self.take(now, |waiting| waiting.due <= now, out);
    }

    /// Pushes all waiting events to `out`.
    pub(super) fn flush(&mut self, now: Instant, out: &mut Vec<Event>) {
        self.take(now, |_| true, out);
    }

    fn take(&mut self, now: Instant, is_taken: impl Fn(&Pending) -> bool, out: &mut Vec<Event>) {
        self.recent.retain(|(_, at)| *at + self.window > now);
        for mut waiting in self.pending.extract_if(.., |waiting| is_taken(waiting)) {
            self.bytes -= waiting.event.delta_mut().map_or(0, |text| text.len());
            self.recent.retain(|(key, _)| *key != waiting.key);
            self.recent.push((waiting.key, now));
            out.push(waiting.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::protocol::agui::{ReasoningMessageContent, StepFinished, StepStarted, TextMessageContent, ToolCallArgs};

    const WINDOW: Duration = Duration::from_millis(40);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn text(id: &str, delta: &str) -> Event {
        TextMessageContent::new(id, delta).into()
    }

    #[test]
    fn the_first_delta_is_passed_on_at_once_and_the_next_ones_together_when_the_window_ends() {
        let (mut coalescer, start, mut out) = (Coalescer::new(WINDOW), Instant::now(), Vec::new());
        coalescer.push(start, text("a", "1"), &mut out);
        assert_eq!(out, [text("a", "1")]);
        coalescer.push(start + ms(10), text("a", "2"), &mut out);
        coalescer.push(start + ms(20), text("a", "3"), &mut out);
        assert_eq!((out.len(), coalescer.due()), (1, Some(start + WINDOW)));
        coalescer.take_due(start + WINDOW, &mut out);
        assert_eq!(out[1..], [text("a", "23")]);
        coalescer.push(start + ms(50), text("a", "4"), &mut out);
        assert_eq!((out.len(), coalescer.due()), (2, Some(start + WINDOW + WINDOW)));
    }

    #[test]
    fn another_event_is_preceded_by_all_waiting_deltas() {
        let (mut coalescer, now, mut out) = (Coalescer::new(WINDOW), Instant::now(), Vec::new());
        for delta in ["1", "2", "3"] {
            coalescer.push(now, text("a", delta), &mut out);
        }
        coalescer.push(now, StepStarted::new("s").into(), &mut out);
        assert_eq!(out, [text("a", "1"), text("a", "23"), StepStarted::new("s").into()]);
        assert_eq!(coalescer.due(), None);
    }

    #[test]
    fn a_delta_that_carries_metadata_is_never_merged() {
        let (mut coalescer, now, mut out) = (Coalescer::new(WINDOW), Instant::now(), Vec::new());
        let mut marked = text("a", "2");
        marked.base_mut().metadata = Some(serde_json::Map::new());
        for event in [text("a", "1"), marked.clone(), text("a", "3")] {
            coalescer.push(now, event, &mut out);
        }
        assert_eq!(out, [text("a", "1"), marked]);
    }

    #[test]
    fn a_long_text_is_passed_on_before_its_window_ends() {
        let (mut coalescer, now, mut out) = (Coalescer::new(WINDOW), Instant::now(), Vec::new());
        let long = "x".repeat(MAX_PENDING_BYTES / 2 + 1);
        for _ in 0..4 {
            coalescer.push(now, text("a", &long), &mut out);
        }
        assert_eq!(out.len(), 3, "the first at once, then two that together exceed the limit");
    }

    fn event() -> impl Strategy<Value = Event> {
        let id = prop::sample::select(vec!["a", "b"]);
        let sub = prop::option::of(Just("s"));
        (0..8u8, id, sub, "[a-z]{0,3}").prop_map(|(kind, id, sub, text)| {
            let event: Event = match kind {
                0..=2 => TextMessageContent::new(id, text).into(),
                3 | 4 => ToolCallArgs::new(id, text).into(),
                5 => ReasoningMessageContent::new(id, text).into(),
                6 => StepStarted::new(text).into(),
                _ => StepFinished::new(text).into(),
            };
            event.with_subagent(sub)
        })
    }

    /// The texts by key between events that are not deltas.
    fn texts_between_events(events: &[Event]) -> Vec<(BTreeMap<String, String>, Option<Event>)> {
        let mut parts = vec![(BTreeMap::new(), None)];
        for event in events {
            match (event.delta_key(), event.clone().delta_mut()) {
                (Some(key), Some(more)) => {
                    let part = parts.last_mut().expect("at least one part");
                    part.0.entry(format!("{key:?}")).or_insert_with(String::new).push_str(more);
                }
                _ => {
                    parts.last_mut().expect("at least one part").1 = Some(event.clone());
                    parts.push((BTreeMap::new(), None));
                }
            }
        }
        parts
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_reordered_and_appends_are_a_window_apart(
            events in prop::collection::vec((0..30u64, event()), 0..80),
            window in prop::sample::select(vec![0, 10, 40, 500]),
        ) {
            let window = ms(window);
            let (mut coalescer, mut now, mut out) = (Coalescer::new(window), Instant::now(), Vec::new());
            // When each message was last appended since the last event that is not a delta.
            let mut last: Vec<(DeltaKey, Instant)> = Vec::new();
            let mut check = |now: Instant, appended: &[Event]| {
                for event in appended {
                    let Some(key) = event.delta_key() else { last.clear(); continue };
                    let before = last.iter().rposition(|(known, _)| *known == key).map(|index| last.remove(index).1);
                    prop_assert!(before.is_none_or(|before| before + window <= now), "two appends within a window");
                    last.push((key, now));
                }
                Ok(())
            };
            let given: Vec<Event> = events.iter().map(|(_, event)| event.clone()).collect();
            for (wait, event) in events {
                let next = now + ms(wait);
                while let Some(due) = coalescer.due().filter(|due| *due <= next) {
                    let from = out.len();
                    coalescer.take_due(due, &mut out);
                    check(due, &out[from..])?;
                }
                now = next;
                let (from, plain) = (out.len(), event.delta_key().is_some());
                coalescer.push(now, event, &mut out);
                if plain {
                    check(now, &out[from..])?;
                } else {
                    check(now, &out[out.len() - 1..])?;
                }
            }
            coalescer.flush(now, &mut out);
            prop_assert_eq!(texts_between_events(&out), texts_between_events(&given));
            prop_assert!(!window.is_zero() || out == given, "a window of zero changes nothing");
        }
    }
}
