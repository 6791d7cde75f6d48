//! A thread: what was said and done, what is on its way, and where to write on.

use leptos::{
    ev::{DragEvent, EventDescriptor as _, KeyboardEvent, keydown, visibilitychange},
    prelude::*,
    task::spawn_local,
};
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::not_found::answer_not_found;
use crate::{
    protocol::{ErrorBody, ErrorCode, MarkRead, Present, SetAgent, ThreadId},
    socket::context::{Loaded, use_socket},
    text::visible,
    thread::{Item, ThreadView},
    ui::{
        browser,
        components::{
            announcer::Announcer,
            composer::{Choice, Composer},
            conversation::{Conversation, ready_thread},
            draft::Draft,
            focus::{KeptFocus, focus_on, is_lost},
            icons::{Glyph, icon},
            parcel::ParcelCard,
            scroll::{JumpToEnd, Scroller},
            sidebar::title_of,
            timeline::Timeline,
        },
        context::AppContext,
        format,
        keys::is_escape,
        layout::is_touch_only,
        outgoing::{NewMessage, Outgoing, OutgoingMessage},
    },
};

/// The page of the thread that the address names.
#[component]
pub(crate) fn ThreadPage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id")).and_then(|id| id.parse::<ThreadId>().ok()));
    move || match id.get() {
        Some(id) => view! { <Thread id/> }.into_any(),
        None => {
            let error = ErrorBody::new(ErrorCode::NotFound, "This address names no thread.");
            view! { <Refused error/> }.into_any()
        }
    }
}

/// A signal that follows another at most once a frame: what comes faster than the screen is drawn is drawn together.
fn per_frame<T: Clone + Send + Sync + 'static>(source: Signal<T>) -> Signal<T> {
    let shown = RwSignal::new(source.get_untracked());
    let waits = StoredValue::new(false);
    Effect::new(move |_| {
        source.track();
        if !waits.get_value() {
            waits.set_value(true);
            request_animation_frame(move || {
                // The page may be gone by the next frame.
                if waits.try_set_value(false).is_none()
                    && let Some(now) = source.try_get_untracked()
                {
                    shown.try_set(now);
                }
            });
        }
    });
    shown.into()
}

/// A thread.
#[component]
fn Thread(id: ThreadId) -> impl IntoView {
    let socket = use_socket();
    let app: AppContext = expect_context();
    let outgoing: Outgoing = expect_context();
    // A thread that is still to be made cannot be followed yet.
    let exists = Memo::new(move |_| !outgoing.is_creating_thread(id));
    let source = Memo::new(move |_| exists.get().then(|| socket.thread(id)));
    let view = per_frame(Signal::derive(move || source.get().map_or(Loaded::Loading, |thread| thread.get())));

    let title = Memo::new(move |_| {
        let of_thread = view.with(|view| ready_thread(view)?.info.as_ref().map(|info| info.title.clone()));
        let known = || socket.feed().with(|feed| feed.thread(id).map(|thread| thread.info.title.clone()));
        title_of(&of_thread.or_else(known).unwrap_or_default())
    });
    let queue = Memo::new(move |_| source.get().map(|_| socket.queue(id)));
    let queue = Signal::derive(move || queue.get().map(|queue| queue.get()).unwrap_or_default());
    let conversation = Conversation::provide(id, view, queue, (socket, outgoing));
    let draft = conversation.draft;
    let active = conversation.running();
    // What the server refused while it rendered this page; it counts for the first thread only.
    let first_refusal = app.refused.get_value();
    app.refused.set_value(None);
    let refused = Memo::new(move |_| {
        view.with(|view| match view {
            Loaded::Refused(error) => Some(error.clone()),
            // A message that is on its way makes the thread.
            Loaded::Loading => first_refusal.clone().filter(|_| outgoing.for_thread(id).is_empty()),
            Loaded::Deleted => Some(ErrorBody::new(ErrorCode::NotFound, DELETED)),
            Loaded::Ready(_) => None,
        })
    });
    let parcels = Memo::new(move |_| {
        let parcels = outgoing.for_thread(id);
        let arrived =
            |parcel: &OutgoingMessage| view.with(|view| ready_thread(view).is_some_and(|thread| has(thread, parcel)));
        parcels.into_iter().filter(|parcel| !arrived(parcel)).map(Key).collect::<Vec<_>>()
    });
    Effect::new(move |_| {
        let arrived =
            |parcel: &OutgoingMessage| view.with(|view| ready_thread(view).is_some_and(|thread| has(thread, parcel)));
        for parcel in outgoing.for_thread(id).iter().filter(|parcel| arrived(parcel)) {
            conversation.on_arrival(parcel);
        }
    });
    let is_loading =
        Memo::new(move |_| view.with(|view| matches!(view, Loaded::Loading)) && parcels.with(Vec::is_empty));
    let is_empty = Memo::new(move |_| {
        view.with(|view| ready_thread(view).is_some_and(|thread| thread.items.is_empty()))
            && parcels.with(Vec::is_empty)
    });
    read_while_seen(id);

    let follow = conversation.follow;
    let send = move |written: NewMessage| conversation.send(written);
    let chosen = RwSignal::new(None::<String>);
    let of_thread = conversation.agent();
    let agent = Choice {
        current: Signal::derive(move || chosen.get().or_else(|| of_thread.get())),
        choose: Callback::new(move |agent: String| {
            chosen.set(Some(agent.clone()));
            spawn_local(async move {
                // What the thread says counts, also where it refused.
                if let Err(refused) = socket.send(SetAgent { thread_id: id, agent }).await {
                    draft.refuse(format::error_message(&refused));
                    chosen.try_set(None);
                }
            });
        }),
    };
    Effect::new(move |_| {
        of_thread.track();
        chosen.set(None);
    });
    let escape = move |event: KeyboardEvent| {
        if is_escape(&event)
            && let Some(run_id) = active.get_untracked()
        {
            event.prevent_default();
            draft.stop(socket, run_id);
        }
    };
    // Keys that reach nothing else are for the thread that is in view.
    Effect::new(move |_| {
        let keys = window_event_listener(keydown, move |event| {
            if is_lost() {
                escape(event);
            }
        });
        on_cleanup(move || keys.remove());
    });
    // An action that is over goes away, and so does a run that was taken back.
    let focus = KeptFocus::new(".conversation");
    let keep = move || {
        focus.keep(|| {
            if is_touch_only() || !focus_on("#message") {
                follow.focus();
            }
        });
    };
    Effect::new(move |_| {
        view.track();
        parcels.track();
        request_animation_frame(keep);
    });
    view! {
        <Title text=move || title.get()/>
        <Show when=move || refused.get().is_none() fallback=move || refused.get().map(|error| view! {
            <Refused error/>
            // What cannot be sent here can be read, and discarded.
            <div class="page"><For each=move || parcels.get() key=|key| key.0.message_id children=|key| view! { <ParcelCard parcel=key.0/> }/></div>
        })>
            <Drop draft>
                <div
                    class="conversation"
                    on:keydown=escape
                    on:focusin=move |event| focus.moved(&event)
                    on:focusout=move |_| request_animation_frame(keep)
                >
                    <Announcer/>
                    {move || source.get().map(|_| view! { <Presence id/> })}
                    <Scroller follow label="Conversation">
                        <h1 class="sr-only">{title}</h1>
                        <Show when=move || is_loading.get()>
                            <p class="quiet centred" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p>
                        </Show>
                        <Show when=move || is_empty.get()>
                            <p class="quiet centred">"Nothing was asked here yet."</p>
                        </Show>
                        <Timeline/>
                        <For each=move || parcels.get() key=|key| key.0.message_id children=|key| view! { <ParcelCard parcel=key.0/> }/>
                    </Scroller>
                    <div class="dock">
                        <JumpToEnd follow/>
                        <div class="page">
                            <Composer draft placeholder="Ask a follow-up" agent on_send=send active/>
                        </div>
                    </div>
                </div>
            </Drop>
        </Show>
    }
    .into_any()
}

/// In how many places the thread is open, where that is more than this one.
#[component]
fn Presence(id: ThreadId) -> impl IntoView {
    let present = use_socket().present(id);
    let text = Memo::new(move |_| present.with(|present| open_in(present)));
    view! {
        <p class="presence quiet" role="status" hidden=move || text.with(String::is_empty)>{text}</p>
    }
    .into_any()
}

/// Where a thread is open, in words; nothing where that is one place.
fn open_in(present: &[Present]) -> String {
    let places: u32 = present.iter().map(|who| who.connections).sum();
    let names: Vec<String> = present.iter().map(|who| visible(&who.user.name)).collect();
    match (places, &names[..]) {
        (0 | 1, _) => String::new(),
        (_, [_]) => format!("Open in {places} places"),
        _ => format!("Open in {places} places: {}", names.join(", ")),
    }
}

/// A message on its way, the same as long as its id is.
#[derive(Clone)]
struct Key(OutgoingMessage);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.message_id == other.0.message_id
    }
}

/// Whether a thread shows a message.
fn has(thread: &ThreadView, parcel: &OutgoingMessage) -> bool {
    let is_it = |item: &Item| matches!(item, Item::Message(said) if said.message.id == parcel.message_id);
    thread.items.iter().rev().any(is_it)
}

/// Tells the server that what is new was seen, whenever it is and the page is visible.
fn read_while_seen(id: ThreadId) {
    let socket = use_socket();
    let unread = Memo::new(move |_| socket.feed().with(|feed| feed.thread(id).is_some_and(|thread| thread.unread)));
    let tell = move || {
        if unread.get_untracked() && browser::is_visible() {
            // A refusal changes nothing for the reader: the mark stays until the next time.
            spawn_local(async move { drop(socket.send(MarkRead { thread_id: id }).await) });
        }
    };
    Effect::new(move |_| {
        unread.track();
        tell();
    });
    Effect::new(move |_| {
        let visible = window_event_listener_untyped(&visibilitychange.name(), move |_| tell());
        on_cleanup(move || visible.remove());
    });
}

/// What is said of a thread that was deleted while it was open.
const DELETED: &str = "This thread was deleted, here or on another device.";

/// Why a thread cannot be shown.
#[component]
fn Refused(error: ErrorBody) -> impl IntoView {
    let (title, about) = match error.code {
        ErrorCode::NotFound if error.message == DELETED => ("Thread deleted", error.message),
        ErrorCode::NotFound => {
            answer_not_found();
            ("No such thread", "It may have been deleted, or belong to somebody else.".to_owned())
        }
        _ => ("This thread cannot be shown", error.message),
    };
    view! {
        <div class="page empty">
            <h1>{title}</h1>
            <p class="quiet">{about}</p>
            <a class="button" href="/">"Ask something new"</a>
        </div>
    }
    .into_any()
}

/// An area where files can be dropped.
#[component]
pub(crate) fn Drop(draft: Draft, children: Children) -> impl IntoView {
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
                <div class="drop-veil" on:dragleave=move |_| over.set(false)><p>{icon(Glyph::Attach)} "Drop to attach"</p></div>
            </Show>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Person, UserId};

    #[test]
    fn other_places_are_counted_and_other_people_named() {
        let who =
            |name: &str, connections| Present { user: Person { id: UserId::new(), name: name.into() }, connections };
        assert_eq!(open_in(&[]), "");
        assert_eq!(open_in(&[who("Ada", 1)]), "");
        assert_eq!(open_in(&[who("Ada", 3)]), "Open in 3 places");
        assert_eq!(open_in(&[who("Ada", 1), who("Bob", 1)]), "Open in 2 places: Ada, Bob");
    }
}
