//! The page of a thread: its messages and runs, the messages being sent, and the composer.

use leptos::{
    ev::{DragEvent, EventDescriptor as _, KeyboardEvent, keydown, visibilitychange},
    prelude::*,
    task::spawn_local,
};
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::not_found::respond_not_found;
use crate::{
    protocol::{ErrorBody, ErrorCode, MarkRead, MessageId, RunId, SetAgent, ThreadId},
    socket::context::{Loaded, use_socket},
    thread::{Item, ThreadView},
    ui::{
        browser,
        components::{
            agent_select::AgentChoice,
            announcer::Announcer,
            composer::Composer,
            draft::Draft,
            examples::EmptyThread,
            focus::{FocusKeeper, focus_on, is_focus_lost},
            fork::ForkedFrom,
            icons::{Glyph, icon},
            open_thread::OpenThread,
            outgoing_message::OutgoingMessageCard,
            pinned_question::PinnedQuestion,
            presence::Presence,
            rendered_items::ready_thread,
            replay::ReplayDialog,
            scroll::{JumpToEnd, Scroller},
            sidebar::display_title,
            temporary::TemporaryNotice,
            thread_access::ForWriters,
            timeline::Timeline,
        },
        context::AppContext,
        format,
        layout::is_touch_only,
        outgoing::{NewMessage, Outgoing, OutgoingMessage},
        shortcuts::{Shortcut, pressed},
    },
};

/// The page of the thread in the address.
#[component]
pub(crate) fn ThreadPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).and_then(|id| id.parse::<ThreadId>().ok()));
    let thread = move || match id.get() {
        Some(id) => view! { <Thread id/> }.into_any(),
        None => {
            let error = ErrorBody::new(ErrorCode::NotFound, "This is not the address of a thread.");
            view! { <Refused error/> }.into_any()
        }
    };
    // After the thread: a replay repeats elements of it, and those of the thread are to be found first.
    view! { {thread} <ReplayDialog/> }
}

/// A signal that follows another one, but changes at most once per frame.
fn per_frame<T: Clone + Send + Sync + 'static>(source: Signal<T>) -> Signal<T> {
    let shown = RwSignal::new(source.get_untracked());
    let scheduled = StoredValue::new(false);
    Effect::new(move |_| {
        source.track();
        if !scheduled.get_value() {
            scheduled.set_value(true);
            request_animation_frame(move || {
                // The user may have left the page by the next frame.
                if scheduled.try_set_value(false).is_none()
                    && let Some(now) = source.try_get_untracked()
                {
                    shown.try_set(now);
                }
            });
        }
    });
    shown.into()
}

/// The thread's title: from the view once it is loaded, until then from the feed.
fn use_title(id: ThreadId, view: Signal<Loaded<ThreadView>>) -> Memo<String> {
    let socket = use_socket();
    Memo::new(move |_| {
        let of_view = view.with(|view| ready_thread(view)?.info.as_ref().map(|info| info.title.clone()));
        let of_feed = || socket.feed().with(|feed| feed.thread(id).map(|thread| thread.info.title.clone()));
        display_title(&of_view.or_else(of_feed).unwrap_or_default())
    })
}

/// Why the thread cannot be shown, if it cannot.
fn use_refusal(id: ThreadId, view: Signal<Loaded<ThreadView>>) -> Memo<Option<ErrorBody>> {
    let (app, outgoing): (AppContext, Outgoing) = (expect_context(), expect_context());
    // The server's refusal while rendering. It applies only to the first thread that is shown.
    let first_refusal = app.thread_refusal.get_value();
    app.thread_refusal.set_value(None);
    Memo::new(move |_| {
        view.with(|view| match view {
            Loaded::Refused(error) => Some(error.clone()),
            // A message that is being sent creates the thread.
            Loaded::Loading => first_refusal.clone().filter(|_| outgoing.for_thread(id).is_empty()),
            Loaded::Deleted => Some(ErrorBody::new(ErrorCode::NotFound, DELETED)),
            Loaded::Ready(_) => None,
        })
    })
}

/// The outgoing messages that the thread does not show yet. Removes those that have arrived.
fn use_sending(open_thread: OpenThread) -> Memo<Vec<ById>> {
    let OpenThread { id, view, outgoing, .. } = open_thread;
    let has_arrived = move |message: &OutgoingMessage| {
        view.with(|view| ready_thread(view).is_some_and(|thread| contains(thread, message)))
    };
    let sending = Memo::new(move |_| {
        let messages = outgoing.for_thread(id);
        messages.into_iter().filter(|message| !has_arrived(message)).map(ById).collect::<Vec<_>>()
    });
    Effect::new(move |_| {
        for message in outgoing.for_thread(id).iter().filter(|message| has_arrived(message)) {
            open_thread.on_arrival(message);
        }
    });
    sending
}

/// The choice of the thread's agent. Shows the chosen agent at once and takes it back if the server refuses.
fn use_agent_choice(open_thread: OpenThread) -> AgentChoice {
    let OpenThread { id, socket, draft, .. } = open_thread;
    let chosen = RwSignal::new(None::<String>);
    let current = open_thread.agent();
    Effect::new(move |_| {
        current.track();
        chosen.set(None);
    });
    AgentChoice {
        current: Signal::derive(move || chosen.get().or_else(|| current.get())),
        choose: Callback::new(move |agent: String| {
            chosen.set(Some(agent.clone()));
            spawn_local(async move {
                // On success, the thread's own entry changes the agent.
                if let Err(error) = socket.send(SetAgent { thread_id: id, agent }).await {
                    draft.show_error(format::error_message(&error));
                    chosen.try_set(None);
                }
            });
        }),
    }
}

/// Stops the run in progress on Escape.
fn stop_on_escape(event: &KeyboardEvent, open_thread: OpenThread, active: Memo<Option<RunId>>) {
    if pressed(event) == Some(Shortcut::StopRun)
        && let Some(run_id) = active.get_untracked()
    {
        event.prevent_default();
        open_thread.draft.stop_run(open_thread.socket, run_id);
    }
}

/// Calls `handler` for keys that are pressed while no element has the focus: they apply to the open thread.
fn on_key_without_focus(handler: impl Fn(KeyboardEvent) + Copy + 'static) {
    Effect::new(move |_| {
        let keys = window_event_listener(keydown, move |event| {
            if is_focus_lost() {
                handler(event);
            }
        });
        on_cleanup(move || keys.remove());
    });
}

/// Keeps the focus in the thread: buttons of finished actions and of runs that were taken back disappear, and the focus
/// with them. Returns the state and a function that restores a lost focus.
fn use_kept_focus(open_thread: OpenThread, sending: Memo<Vec<ById>>) -> (FocusKeeper, impl Fn() + Copy + 'static) {
    let focus = FocusKeeper::new(".conversation");
    let keep_focus = move || {
        focus.restore_if_lost(|| {
            if is_touch_only() || !focus_on("#message") {
                open_thread.auto_scroll.focus();
            }
        });
    };
    Effect::new(move |_| {
        open_thread.view.track();
        sending.track();
        request_animation_frame(keep_focus);
    });
    (focus, keep_focus)
}

/// A thread: why it cannot be shown, or its messages and the composer.
#[component]
fn Thread(id: ThreadId) -> impl IntoView {
    let socket = use_socket();
    let outgoing: Outgoing = expect_context();
    // Subscribing to a thread fails before it is created.
    let exists = Memo::new(move |_| !outgoing.is_creating_thread(id));
    let source = Memo::new(move |_| exists.get().then(|| socket.thread(id)));
    let view = per_frame(Signal::derive(move || source.get().map_or(Loaded::Loading, |thread| thread.get())));
    let title = use_title(id, view);
    let queue = Memo::new(move |_| source.get().map(|_| socket.queue(id)));
    let queue = Signal::derive(move || queue.get().map(|queue| queue.get()).unwrap_or_default());
    let open_thread = OpenThread::provide(id, view, queue, (socket, outgoing));
    let refusal = use_refusal(id, view);
    let sending = use_sending(open_thread);
    mark_read_while_visible(id);
    reveal_message_of_address(open_thread);
    let is_followed = Memo::new(move |_| source.with(Option::is_some));
    view! {
        <Title text=move || title.get()/>
        <Show when=move || refusal.get().is_none() fallback=move || refusal.get().map(|error| view! {
            <Refused error/>
            // Unsent messages can still be read and discarded.
            <div class="page"><SendingList sending/></div>
        })>
            <ConversationArea open_thread sending title is_followed/>
        </Show>
    }
    .into_any()
}

/// Shows the message that the address names (`?m=<message_id>`), once the thread is loaded.
fn reveal_message_of_address(open_thread: OpenThread) {
    let query = use_query_map();
    let named = Memo::new(move |_| query.with(|query| query.get("m")).and_then(|id| id.parse::<MessageId>().ok()));
    let is_ready = Memo::new(move |_| open_thread.view.with(|view| ready_thread(view).is_some()));
    Effect::new(move |_| {
        if let Some(message) = named.get().filter(|_| is_ready.get()) {
            open_thread.reveal(message);
        }
    });
}

/// The messages that are being sent.
#[component]
fn SendingList(sending: Memo<Vec<ById>>) -> impl IntoView {
    view! { <For each=move || sending.get() key=|message| message.0.message_id children=|message| view! { <OutgoingMessageCard message=message.0/> }/> }
}

/// The timeline, the messages that are being sent, and the composer.
#[component]
fn ConversationArea(
    open_thread: OpenThread,
    sending: Memo<Vec<ById>>,
    title: Memo<String>,
    /// Whether the thread's channel is followed.
    is_followed: Memo<bool>,
) -> impl IntoView {
    let OpenThread { id, view, draft, auto_scroll, .. } = open_thread;
    let active = open_thread.running();
    let escape = move |event: KeyboardEvent| stop_on_escape(&event, open_thread, active);
    on_key_without_focus(escape);
    let (focus, keep_focus) = use_kept_focus(open_thread, sending);
    let is_loading =
        Memo::new(move |_| view.with(|view| matches!(view, Loaded::Loading)) && sending.with(Vec::is_empty));
    let is_empty = Memo::new(move |_| {
        view.with(|view| ready_thread(view).is_some_and(|thread| thread.items.is_empty()))
            && sending.with(Vec::is_empty)
    });
    let agent = use_agent_choice(open_thread);
    let send = move |message: NewMessage| open_thread.send(message);
    view! {
        <DropArea draft>
            <div
                class="conversation"
                on:keydown=escape
                on:focusin=move |event| focus.on_focus_in(&event)
                on:focusout=move |_| request_animation_frame(keep_focus)
            >
                <Announcer/>
                {move || is_followed.get().then(|| view! { <Presence id/> })}
                <PinnedQuestion open_thread/>
                <Scroller auto_scroll label="Conversation">
                    <h1 class="sr-only">{title}</h1>
                    <TemporaryNotice/>
                    <Show when=move || is_loading.get()>
                        <p class="quiet centred" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p>
                    </Show>
                    <Show when=move || is_empty.get()>
                        <EmptyThread draft agent=agent.current/>
                    </Show>
                    <Show when=move || !open_thread.rendered.has_earlier()><ForkedFrom/></Show>
                    <Timeline/>
                    // After the last turn, which is not in the document while the reader is far from it.
                    <Show when=move || !open_thread.rendered.has_later()><SendingList sending/></Show>
                </Scroller>
                <div class="dock">
                    <JumpToEnd auto_scroll/>
                    <div class="page">
                        <ForWriters open_thread><Composer draft placeholder="Ask a follow-up" agent on_send=send active/></ForWriters>
                    </div>
                </div>
            </div>
        </DropArea>
    }
    .into_any()
}

/// An outgoing message that compares by id.
#[derive(Clone)]
struct ById(OutgoingMessage);

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.message_id == other.0.message_id
    }
}

/// Whether the thread contains a message.
fn contains(thread: &ThreadView, message: &OutgoingMessage) -> bool {
    let is_message = |item: &Item| matches!(item, Item::Message(item) if item.message.id == message.message_id);
    thread.items.iter().rev().any(is_message) || thread.run_that_read(message.message_id).is_some()
}

/// Marks the thread as read whenever it has something unread and the page is visible.
fn mark_read_while_visible(id: ThreadId) {
    let socket = use_socket();
    let unread = Memo::new(move |_| socket.feed().with(|feed| feed.thread(id).is_some_and(|thread| thread.unread)));
    let mark_read = move || {
        if unread.get_untracked() && browser::is_visible() {
            // If the command is refused, the thread stays unread until the next attempt.
            spawn_local(async move { drop(socket.send(MarkRead { thread_id: id }).await) });
        }
    };
    Effect::new(move |_| {
        unread.track();
        mark_read();
    });
    Effect::new(move |_| {
        let visible = window_event_listener_untyped(&visibilitychange.name(), move |_| mark_read());
        on_cleanup(move || visible.remove());
    });
}

/// The error of a thread that was deleted, or that its owner stopped sharing, while it was open.
const DELETED: &str = "This thread was deleted, or is no longer shared with you.";

/// Why a thread cannot be shown.
#[component]
fn Refused(error: ErrorBody) -> impl IntoView {
    let (title, text) = match error.code {
        ErrorCode::NotFound if error.message == DELETED => ("Thread not available any more", error.message),
        ErrorCode::NotFound => {
            respond_not_found();
            ("Thread not found", "It may have been deleted, or belong to someone else.".to_owned())
        }
        _ => ("This thread cannot be shown", error.message),
    };
    view! {
        <div class="page empty">
            <h1>{title}</h1>
            <p class="quiet">{text}</p>
            <a class="button" href="/">"New thread"</a>
        </div>
    }
    .into_any()
}

/// An area where the user can drop files.
#[component]
pub(crate) fn DropArea(draft: Draft, children: Children) -> impl IntoView {
    let over = RwSignal::new(false);
    let enter = move |event: DragEvent| {
        if browser::drags_files(&event) {
            event.prevent_default();
            over.set(true);
        }
    };
    let drop = move |event: DragEvent| {
        if browser::drags_files(&event) {
            event.prevent_default();
            over.set(false);
            draft.attach(browser::dropped_files(&event));
        }
    };
    view! {
        <div class="drop" on:dragenter=enter on:dragover=enter on:drop=drop>
            {children()}
            <Show when=move || over.get()>
                <div class="drop-overlay" on:dragleave=move |_| over.set(false)><p>{icon(Glyph::Attach)} "Drop to attach"</p></div>
            </Show>
        </div>
    }
    .into_any()
}
