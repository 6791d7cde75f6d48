//! Time as the page shows it. The server's render and the first one in the browser know no clock, so that they agree;
//! after that there is one, and it ticks once a second.
//!
//! How long something on the server takes is told by the server's clock, which the page knows from its connection: a device's
//! own may be wrong by hours. While there is no connection that time stands still, since nothing later is known.

use std::time::Duration;

use leptos::prelude::*;

use crate::{
    socket::context::Socket,
    ui::{browser, format},
};

/// The page's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// This device's clock, in milliseconds since 1970; absent until the page is alive.
    pub(crate) now: RwSignal<Option<i64>>,
    /// The server's clock, in milliseconds since 1970, up to when the page was last connected; absent until it was.
    pub(crate) server_now: RwSignal<Option<i64>>,
    offset: RwSignal<Option<i64>>,
    /// The reader's day, as the calendar counts.
    today: Memo<Option<i64>>,
}

impl Clock {
    pub(crate) fn provide(socket: Socket) {
        let (now, offset, server_now) = (RwSignal::new(None), RwSignal::new(None), RwSignal::new(None));
        let today =
            Memo::new(move |_| Some(format::day_number(server_now.get().or_else(|| now.get())?, offset.get()?)));
        let clock = Self { now, server_now, offset, today };
        provide_context(clock);
        Effect::new(move |_| {
            let Some(ahead) = socket.clock_offset().get() else { return };
            if let Some(now) = clock.now.get().filter(|_| socket.is_connected()) {
                server_now.set(Some(now + ahead));
            }
        });
        Effect::new(move |_| {
            let tick = move || clock.now.set(Some(browser::now_ms()));
            clock.offset.set(Some(browser::utc_offset_minutes()));
            tick();
            // The application owns it and lives as long as the tab.
            let _ = set_interval_with_handle(tick, Duration::from_secs(1));
        });
    }

    /// Whether the page is alive: what needs code may be used.
    pub(crate) fn is_alive(self) -> bool {
        self.offset.get().is_some()
    }
}

/// The page's clock, from context.
pub(crate) fn use_clock() -> Clock {
    expect_context()
}

/// A moment (milliseconds since 1970), in the reader's own time as soon as that is known; today's without the day.
#[component]
pub(crate) fn Moment(at: i64) -> impl IntoView {
    let clock = use_clock();
    let text = move || match clock.offset.get() {
        Some(offset) if clock.today.get() == Some(format::day_number(at, offset)) => format::time_of_day(at, offset),
        Some(offset) => format::date_time(at, offset),
        None => format!("{} UTC", format::date_time(at, 0)),
    };
    view! { <time datetime=format::iso_8601(at)>{text}</time> }
}

/// How long something took, or takes so far: that in whole seconds, as the server's clock ticks.
pub(crate) fn elapsed(started_at: i64, ended_at: Option<i64>) -> Option<String> {
    let so_far = |now: i64| (now - started_at).max(0) / 1000;
    match ended_at {
        // Less than can be told is nothing to tell.
        Some(end) => (end > started_at).then(|| format::duration(end - started_at)),
        None => match so_far(use_context::<Clock>()?.server_now.get()?) {
            0 => None,
            seconds @ 1..10 => Some(format!("{seconds} s")),
            seconds => Some(format::duration(seconds * 1000)),
        },
    }
}
