//! The content of a replay: reading the run's entries, the run at a position, and the controls.

use std::sync::Arc;

use leptos::{context::Provider, ev::KeyboardEvent, html, prelude::*, task::spawn_local, web_sys};

use super::{
    drawer::Drawer,
    player::{Player, SPEEDS},
    recording::Recording,
    strip_view::Strip,
};
use crate::{
    protocol::{
        RunId, ThreadId,
        http::{RunEntries, RunEntry},
        limits::MAX_RUN_ENTRIES_PAGE,
    },
    socket::context::{Loaded, use_socket},
    text::escape_invisible,
    thread::ThreadView,
    ui::{
        browser::{self, RequestError},
        components::{
            clock::use_clock,
            error_message::error_message,
            event_target,
            focus::focus_on,
            icons::{Glyph, icon},
            rendered_items::ready_thread,
            run::RunCard,
        },
        context::AppContext,
        format,
    },
};

/// The most entries of a run that are replayed.
const MAX_ENTRIES: usize = 20_000;
/// The most requests for the entries of a run: each response has at most about 1 MiB.
const MAX_REQUESTS: usize = 64;
/// How near to its end the run is kept scrolled to its end, in pixels.
const NEAR_END: i32 = 48;

/// What the thread says about the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunStatus {
    Loading,
    Missing,
    Active,
    Ended,
}

/// The entries of a run, as far as they were read.
#[derive(Debug, Clone)]
struct ReadEntries {
    entries: Arc<Vec<RunEntry>>,
    /// Whether these are all.
    is_complete: bool,
}

/// Reads the entries of a run, page by page. Sets `count` to how many there are so far.
async fn read_entries(run: RunId, count: RwSignal<usize>) -> Result<ReadEntries, RequestError> {
    let (mut entries, mut after) = (Vec::new(), 0);
    for _ in 0..MAX_REQUESTS {
        let path = format!("/api/runs/{run}/entries?after={after}&limit={MAX_RUN_ENTRIES_PAGE}");
        let page = browser::get::<RunEntries>(&path).await?;
        entries.extend(page.entries);
        let is_open = count.try_set(entries.len()).is_none();
        match page.next {
            Some(next) if is_open && entries.len() < MAX_ENTRIES => after = next,
            next => {
                let is_complete = next.is_none() && entries.len() <= MAX_ENTRIES;
                entries.truncate(MAX_ENTRIES);
                return Ok(ReadEntries { entries: Arc::new(entries), is_complete });
            }
        }
    }
    Ok(ReadEntries { entries: Arc::new(entries), is_complete: false })
}

/// Reading of the entries.
#[derive(Clone, Copy)]
struct Reading {
    run: RunId,
    count: RwSignal<usize>,
    outcome: RwSignal<Option<Result<ReadEntries, String>>>,
}

impl Reading {
    fn start(self) {
        self.count.set(0);
        self.outcome.set(None);
        spawn_local(async move {
            let read = read_entries(self.run, self.count).await;
            self.outcome.try_set(Some(read.map_err(|error| error.message())));
        });
    }
}

/// The replay of a run.
#[component]
pub(super) fn Replay(thread: ThreadId, run: RunId, close: Callback<()>) -> impl IntoView {
    let view = use_socket().thread(thread);
    let status = Memo::new(move |_| {
        view.with(|view| match view {
            Loaded::Loading => RunStatus::Loading,
            Loaded::Ready(thread) => match thread.run(run) {
                Some(run) if run.state.is_over() => RunStatus::Ended,
                Some(_) => RunStatus::Active,
                None => RunStatus::Missing,
            },
            Loaded::Refused(_) | Loaded::Deleted => RunStatus::Missing,
        })
    });
    let reading = Reading { run, count: RwSignal::new(0), outcome: RwSignal::new(None) };
    Effect::new(move |_| {
        if status.get() == RunStatus::Ended && reading.outcome.with_untracked(Option::is_none) {
            reading.start();
        }
    });
    let shows_entries = RwSignal::new(false);
    let is_ready = Memo::new(move |_| reading.outcome.with(|outcome| matches!(outcome, Some(Ok(_)))));
    let content = move || match (status.get(), reading.outcome.get()) {
        (RunStatus::Missing, _) => note("This answer is no longer in the thread."),
        (RunStatus::Active, _) => note("This answer is not finished. You can replay it afterwards."),
        (RunStatus::Ended, Some(Ok(read))) if read.entries.is_empty() => note("The log has no entries of this answer."),
        (RunStatus::Ended, Some(Ok(read))) => ready(view, run, read, shows_entries),
        (RunStatus::Ended, Some(Err(error))) => view! {
            <div class="replay-note">
                {error_message(error)}
                <button type="button" class="small-button" on:click=move |_| reading.start()>"Try again"</button>
            </div>
        }
        .into_any(),
        (RunStatus::Loading | RunStatus::Ended, _) => loading(reading.count),
    };
    view! {
        <div class="replay">
            <header class="replay-header">
                <h2>"Replay"</h2>
                <Question view run/>
                <Show when=move || is_ready.get()>
                    <button
                        type="button"
                        class="small-button"
                        aria-expanded=move || shows_entries.get().to_string()
                        aria-controls="replay-entries"
                        on:click=move |_| shows_entries.update(|shows| *shows = !*shows)
                    >
                        "Log entries"
                    </button>
                </Show>
                <button type="button" class="icon-button" aria-label="Close" title="Close (Esc)" on:click=move |_| close.run(())>
                    {icon(Glyph::Close)}
                </button>
            </header>
            {content}
        </div>
    }
    .into_any()
}

fn note(text: &'static str) -> AnyView {
    view! { <p class="replay-note quiet" role="status">{text}</p> }.into_any()
}

fn loading(count: RwSignal<usize>) -> AnyView {
    let progress = move || match count.get() {
        0 => " Loading".to_owned(),
        count => format!(" Loading, {} entries so far", format::number(count as f64)),
    };
    view! { <p class="replay-note quiet" role="status"><span class="spinner" aria-hidden="true"></span> {progress}</p> }
        .into_any()
}

/// The beginning of the message that the run answers.
#[component]
fn Question(view: Signal<Loaded<ThreadView>>, run: RunId) -> impl IntoView {
    let text = Memo::new(move |_| {
        view.with(|view| {
            let thread = ready_thread(view)?;
            let message = thread.message(thread.run(run)?.message_id?)?;
            Some(escape_invisible(message.message.content.lines().next().unwrap_or_default()))
        })
    });
    view! { <p class="replay-question" dir="auto">{move || text.get()}</p> }
}

/// The replay, when everything is read.
fn ready(view: Signal<Loaded<ThreadView>>, run: RunId, read: ReadEntries, shows_entries: RwSignal<bool>) -> AnyView {
    let recording = view.with_untracked(|view| {
        let thread = ready_thread(view)?;
        let run = thread.items.iter().find_map(|item| match item {
            crate::thread::Item::Run(item) if item.run_id == run => Some(item.clone()),
            _ => None,
        })?;
        Some(Recording::new(thread, run, read.entries))
    });
    match recording {
        Some(recording) => {
            let player = Player::new(recording);
            view! { <Playback player run_id=run is_complete=read.is_complete shows_entries/> }.into_any()
        }
        None => note("This answer is no longer in the thread."),
    }
}

/// Elements in which the keys of a replay have other meanings.
const OWN_KEYS: &str = "input:not([type=range]), select, textarea, summary, a, button, [role=button]";

/// Handles the keys of a replay that no element within it has handled.
fn on_keydown(event: &KeyboardEvent, player: Player) {
    if event.default_prevented() || event.ctrl_key() || event.alt_key() || event.meta_key() {
        return;
    }
    let target = event_target::target(event);
    let has_own = |selector: &str| target.as_ref().is_some_and(|target| target.matches(selector).unwrap_or(false));
    match event.key().as_str() {
        " " if !has_own(OWN_KEYS) => player.toggle(),
        "ArrowRight" if !has_own("input, select, textarea") => player.step(1),
        "ArrowLeft" if !has_own("input, select, textarea") => player.step(-1),
        "Home" if !has_own("input, select, textarea") => player.stand(1),
        "End" if !has_own("input, select, textarea") => player.stand(player.count),
        _ => return,
    }
    event.prevent_default();
}

/// The run at the position, the log entries, and the controls.
#[component]
fn Playback(player: Player, run_id: RunId, is_complete: bool, shows_entries: RwSignal<bool>) -> impl IntoView {
    let app: AppContext = expect_context();
    let agent = player.recording.with_value(|recording| app.agent_name(&recording.run.agent));
    // Open parts of the run last until the moment that is shown, not until today.
    let now = RwSignal::new(player.now());
    Effect::new(move |_| now.set(player.now()));
    let clock = use_clock().with_server_now(now);
    let run = player.run();
    request_animation_frame(|| {
        focus_on(".replay-play");
    });
    let notice = (!is_complete).then(|| {
        let text = format!("Only the first {} entries of this answer are shown.", format::number(player.count as f64));
        view! { <p class="replay-notice quiet">{text}</p> }
    });
    view! {
        // Takes the focus on clicks between its elements, so that its keys keep working.
        <div class="replay-playback" tabindex="-1" on:keydown=move |event| on_keydown(&event, player)>
            {notice}
            <div class="replay-body" class:with-entries=move || shows_entries.get()>
                <RunArea player>
                    <Provider value=clock><RunCard run/></Provider>
                </RunArea>
                <Show when=move || shows_entries.get()><Drawer player run_id/></Show>
            </div>
            <footer class="replay-controls">
                <Strip player agent/>
                <Controls player/>
            </footer>
        </div>
    }
    .into_any()
}

/// The scroll box of the run. It stays at its end while the run grows, unless the reader scrolled up.
#[component]
fn RunArea(player: Player, children: Children) -> impl IntoView {
    let area = NodeRef::<html::Div>::new();
    let follows = StoredValue::new(true);
    let on_scroll = move |_| {
        if let Some(area) = area.get_untracked() {
            follows.set_value(area.scroll_height() - area.client_height() - area.scroll_top() < NEAR_END);
        }
    };
    Effect::new(move |_| {
        player.position.track();
        request_animation_frame(move || {
            if let Some(area) = area.try_get_untracked().flatten()
                && follows.try_get_value() == Some(true)
            {
                area.set_scroll_top(area.scroll_height());
            }
        });
    });
    view! {
        <div class="replay-run" role="region" aria-label="The run at this position" tabindex="0" node_ref=area on:scroll=on_scroll>
            <div class="page">{children()}</div>
        </div>
    }
    .into_any()
}

/// The slider and the buttons.
#[component]
fn Controls(player: Player) -> impl IntoView {
    let Player { count, position, is_playing, speed, skips_waits, .. } = player;
    let slide = move |event: leptos::ev::Targeted<leptos::ev::Event, web_sys::HtmlInputElement>| {
        player.stand(event.target().value().parse().unwrap_or(1));
    };
    let is_at_end = move || position.get() >= count;
    let choose_speed = move |event: leptos::ev::Targeted<leptos::ev::Event, web_sys::HtmlSelectElement>| {
        speed.set(event.target().value().parse().unwrap_or(1.0));
    };
    let speeds = SPEEDS.map(|value| {
        view! { <option value=value.to_string() selected=move || speed.get() == value>{format!("{value}×")}</option> }
    });
    view! {
        <input
            type="range"
            class="replay-slider"
            aria-label="Position"
            min="1"
            max=count.to_string()
            step="1"
            aria-valuetext=move || player.label()
            prop:value=move || position.get().to_string()
            on:input:target=slide
        />
        <div class="replay-buttons">
            <StepButton player by=-1/>
            <button
                type="button"
                class="button replay-play"
                title=move || if is_playing.get() { "Pause (Space)" } else { "Play (Space)" }
                on:click=move |_| player.toggle()
            >
                {move || icon(if is_playing.get() { Glyph::Pause } else { Glyph::Play })}
                {move || if is_playing.get() { "Pause" } else { "Play" }}
            </button>
            <StepButton player by=1/>
            <p class="replay-position" class:at-end=is_at_end aria-hidden="true">{move || player.label()}</p>
            <label class="replay-speed">
                <span>"Speed"</span>
                <select on:change:target=choose_speed>{speeds}</select>
            </label>
            <label class="replay-skip" title="Waits longer than 1.5 s are shortened">
                <input
                    type="checkbox"
                    prop:checked=move || skips_waits.get()
                    on:change:target=move |event| player.set_skips_waits(event.target().checked())
                />
                "Shorten waits"
            </label>
        </div>
    }
    .into_any()
}

/// A button that goes one entry further on, or back.
#[component]
fn StepButton(player: Player, by: isize) -> impl IntoView {
    let (label, title, class) = match by {
        1.. => ("Step forward", "Step forward (→)", "icon-button"),
        _ => ("Step back", "Step back (←)", "icon-button replay-back"),
    };
    view! {
        <button type="button" class=class aria-label=label title=title on:click=move |_| player.step(by)>
            {icon(Glyph::Chevron)}
        </button>
    }
    .into_any()
}
