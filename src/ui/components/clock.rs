//! The page's clock and views of time. The server and the hydrating browser render without a clock, so that both produce the same
//! HTML; after hydration the clock ticks once a second.
//!
//! Durations of what happens on the server use the server's clock, which the page derives from its connection, because the
//! device's clock may be hours off. While disconnected that clock stands still.

use std::time::Duration;

use leptos::prelude::*;

use crate::{
    socket::context::Socket,
    ui::{browser, format},
};

/// A day in the reader's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalDay {
    /// Days since 1970.
    pub(crate) number: i64,
    /// The time zone's offset from UTC in minutes.
    pub(crate) utc_offset: i64,
}

/// The page's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The device's clock, in milliseconds since 1970; `None` before hydration.
    pub(crate) now: RwSignal<Option<i64>>,
    /// The server's clock, in milliseconds since 1970, when the page was last connected; `None` before the first connection.
    pub(crate) server_now: RwSignal<Option<i64>>,
    /// The time zone's offset from UTC in minutes; `None` before hydration.
    utc_offset: RwSignal<Option<i64>>,
    /// Today in the reader's time zone, in days since 1970.
    today: Memo<Option<i64>>,
}

impl Clock {
    pub(crate) fn provide(socket: Socket) {
        let (now, utc_offset, server_now) = (RwSignal::new(None), RwSignal::new(None), RwSignal::new(None));
        let today =
            Memo::new(move |_| Some(format::day_number(server_now.get().or_else(|| now.get())?, utc_offset.get()?)));
        let clock = Self { now, server_now, utc_offset, today };
        provide_context(clock);
        Effect::new(move |_| {
            let Some(ahead) = socket.clock_offset().get() else { return };
            if let Some(now) = clock.now.get().filter(|_| socket.is_connected()) {
                server_now.set(Some(now + ahead));
            }
        });
        Effect::new(move |_| {
            let tick = move || clock.now.set(Some(browser::now_ms()));
            clock.utc_offset.set(Some(browser::utc_offset_minutes()));
            tick();
            // Never cleared: the application runs as long as the tab.
            let _ = set_interval_with_handle(tick, Duration::from_secs(1));
        });
    }

    /// The same clock with another server's clock: for parts of the page that show what was at another time.
    pub(crate) fn with_server_now(self, server_now: RwSignal<Option<i64>>) -> Self {
        Self { server_now, ..self }
    }

    /// Today in the reader's time zone; `None` before hydration.
    pub(crate) fn today(self) -> Option<LocalDay> {
        Some(LocalDay { number: self.today.get()?, utc_offset: self.utc_offset.get()? })
    }

    /// Whether the page is hydrated, so that event handlers work.
    pub(crate) fn is_hydrated(self) -> bool {
        self.utc_offset.get().is_some()
    }
}

/// The page's clock, from context.
pub(crate) fn use_clock() -> Clock {
    expect_context()
}

/// A point in time (milliseconds since 1970), in the reader's time zone after hydration. Omits today's date.
#[component]
pub(crate) fn Timestamp(at: i64) -> impl IntoView {
    let clock = use_clock();
    let text = move || match clock.utc_offset.get() {
        Some(offset) if clock.today.get() == Some(format::day_number(at, offset)) => format::time_of_day(at, offset),
        Some(offset) => format::date_time(at, offset),
        None => format!("{} UTC", format::date_time(at, 0)),
    };
    view! { <time datetime=format::iso_8601(at)>{text}</time> }
}

/// How long something took, or has taken so far by the server's clock, in whole seconds. `None` if it is too short to show.
pub(crate) fn elapsed(started_at: i64, ended_at: Option<i64>) -> Option<String> {
    let so_far = |now: i64| (now - started_at).max(0) / 1000;
    match ended_at {
        Some(end) => (end > started_at).then(|| format::duration(end - started_at)),
        None => match so_far(use_context::<Clock>()?.server_now.get()?) {
            0 => None,
            seconds @ 1..10 => Some(format!("{seconds} s")),
            seconds => Some(format::duration(seconds * 1000)),
        },
    }
}
