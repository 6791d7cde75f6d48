//! The state of a replay: which position it shows, and whether and how fast it plays.

use leptos::prelude::*;

use super::{pace::Pace, recording::Recording, strip::answered_at};
use crate::{
    protocol::http::RunEntry,
    thread::RunView,
    ui::{browser, components::run_tree::PtrEq, format},
};

/// The speeds that can be chosen.
pub(super) const SPEEDS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 10.0];
/// The longest time that one frame of the browser counts as, in milliseconds: a page in the background has no frames.
const MAX_FRAME_MS: i64 = 250;

/// A replay. A position is a number of entries: 1 shows the run after its first entry.
#[derive(Clone, Copy)]
pub(super) struct Player {
    pub(super) recording: StoredValue<Recording>,
    /// The number of entries, at least 1.
    pub(super) count: usize,
    pub(super) position: RwSignal<usize>,
    pub(super) is_playing: RwSignal<bool>,
    pub(super) speed: RwSignal<f64>,
    pub(super) skips_waits: RwSignal<bool>,
    pub(super) pace: Memo<Pace>,
    /// The time of the replay, in its own milliseconds.
    time: StoredValue<f64>,
    /// When the last frame was, by the device's clock; absent before the first.
    last_frame: StoredValue<Option<i64>>,
    is_frame_requested: StoredValue<bool>,
}

impl Player {
    /// A replay that shows its beginning and does not play.
    pub(super) fn new(recording: Recording) -> Self {
        let count = recording.entries.len();
        let recording = StoredValue::new(recording);
        let skips_waits = RwSignal::new(true);
        let pace = Memo::new(move |_| {
            recording.with_value(|recording| {
                let times = recording.entries.iter().map(|entry| entry.at);
                Pace::new(times.chain(answered_at(recording)), skips_waits.get())
            })
        });
        Self {
            recording,
            count,
            position: RwSignal::new(1),
            is_playing: RwSignal::new(false),
            speed: RwSignal::new(1.0),
            skips_waits,
            pace,
            time: StoredValue::new(0.0),
            last_frame: StoredValue::new(None),
            is_frame_requested: StoredValue::new(false),
        }
    }

    /// The run at the position.
    pub(super) fn run(self) -> Memo<PtrEq<RunView>> {
        Memo::new(move |before: Option<&PtrEq<RunView>>| {
            let position = self.position.get();
            let now = self.recording.try_update_value(|recording| recording.run_at(position)).flatten();
            // Every run is there from its first entry on.
            now.or_else(|| before.cloned()).unwrap_or_else(|| PtrEq(self.recording.with_value(|all| all.run.clone())))
        })
    }

    /// When the entry at the position was appended. Reactive.
    pub(super) fn now(self) -> Option<i64> {
        let index = self.position.get().saturating_sub(1);
        self.recording.with_value(|recording| recording.entries.get(index).map(|entry: &RunEntry| entry.at))
    }

    /// The position in words: `12 of 240, 3.2 s`. Reactive.
    pub(super) fn label(self) -> String {
        let first = self.recording.with_value(|recording| recording.entries.first().map(|entry| entry.at));
        let time = self.now().zip(first).map_or(0, |(now, first)| now - first);
        format!("{} of {}, {}", self.position.get(), self.count, format::duration(time))
    }

    /// Stops playing and shows a position.
    pub(super) fn stand(self, position: usize) {
        self.is_playing.set(false);
        let position = position.clamp(1, self.count);
        self.time.set_value(self.pace.with_untracked(|pace| pace.offset_of(position - 1)));
        self.position.set(position);
    }

    /// Stops playing and shows the position this many entries further on, or back.
    pub(super) fn step(self, by: isize) {
        self.stand(self.position.get_untracked().saturating_add_signed(by));
    }

    /// Plays, from the beginning if the end is shown; or stops playing.
    pub(super) fn toggle(self) {
        if self.is_playing.get_untracked() {
            return self.is_playing.set(false);
        }
        if self.position.get_untracked() >= self.count {
            self.stand(1);
        }
        self.last_frame.set_value(None);
        self.is_playing.set(true);
        self.request_frame();
    }

    /// Whether long waits are shortened from now on.
    pub(super) fn set_skips_waits(self, skips: bool) {
        self.skips_waits.set(skips);
        let index = self.position.get_untracked() - 1;
        self.time.set_value(self.pace.with_untracked(|pace| pace.offset_of(index)));
    }

    fn request_frame(self) {
        if self.is_frame_requested.try_update_value(|requested| std::mem::replace(requested, true)) == Some(false) {
            request_animation_frame(move || self.on_frame());
        }
    }

    /// Plays on by the time since the last frame. Ends with the replay's owner.
    fn on_frame(self) {
        if self.is_frame_requested.try_set_value(false).is_some() || self.is_playing.try_get_untracked() != Some(true) {
            return;
        }
        let now = browser::now_ms();
        let before = self.last_frame.try_update_value(|last| last.replace(now)).flatten();
        let elapsed = before.map_or(0, |before| now - before).clamp(0, MAX_FRAME_MS);
        let time = self.time.get_value() + elapsed as f64 * self.speed.get_untracked();
        self.time.set_value(time);
        let (position, total) = self.pace.with_untracked(|pace| (pace.count_until(time), pace.total()));
        let position = position.clamp(1, self.count);
        if position != self.position.get_untracked() {
            self.position.set(position);
        }
        if time >= total {
            self.is_playing.set(false);
        } else {
            self.request_frame();
        }
    }
}
