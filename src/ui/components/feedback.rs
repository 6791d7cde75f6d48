//! Buttons that rate an answer good or bad, and a field for a note about it.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};

use super::{
    error_message::error_message,
    icons::{Glyph, icon},
    open_thread::OpenThread,
    run_tree::PtrEq,
};
use crate::{
    protocol::{GiveFeedback, Rating, RunFeedback, limits},
    thread::RunView,
    ui::format,
};

/// The feedback on a run that has ended; nothing in a replay, and for who may only read the thread.
#[component]
pub(crate) fn Feedback(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    use_context::<OpenThread>().map(|open_thread| {
        view! { <Show when=move || open_thread.can_write()><FeedbackOf open_thread run/></Show> }
    })
}

#[component]
fn FeedbackOf(open_thread: OpenThread, run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let run_id = run.with_untracked(|run| run.run_id);
    let given = Memo::new(move |_| run.with(|run| run.feedback.clone()).unwrap_or_default());
    let (is_writing, error) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let give = move |feedback: RunFeedback, is_note: bool| {
        let command = GiveFeedback { thread_id: open_thread.id, run_id, feedback };
        spawn_local(async move {
            // On success, the entry in the thread's log changes what is shown.
            let refusal = open_thread.socket.send(command).await.err();
            if is_note && refusal.is_none() {
                is_writing.try_set(false);
            }
            error.try_set(refusal.map(|refusal| format::error_message(&refusal)));
        });
    };
    let button = move |rating: Rating, glyph: Glyph, label: &'static str| {
        let is_given = move || given.with(|given| given.rating == Some(rating));
        let press = move |_| {
            let rating = Some(rating).filter(|_| !untrack(is_given));
            let note = given.with_untracked(|given| given.note.clone());
            let note = if rating.is_some() { note } else { String::new() };
            is_writing.set(rating.is_some());
            give(RunFeedback { rating, note }, false);
        };
        view! {
            <button
                type="button"
                class="icon-button"
                aria-pressed=move || is_given().to_string()
                aria-label=label
                title=label
                on:click=press
            >
                {icon(glyph)}
            </button>
        }
    };
    let has_rating = move || given.with(|given| given.rating.is_some());
    let note = move || Some(given.with(|given| given.note.clone())).filter(|note| !note.is_empty());
    view! {
        <div class="feedback">
            {button(Rating::Good, Glyph::ThumbUp, "Good answer")}
            {button(Rating::Bad, Glyph::ThumbDown, "Bad answer")}
            <Show when=move || has_rating() && !is_writing.get()>
                {move || note().map(|note| view! { <span class="quiet" dir="auto">{note}</span> })}
                <button type="button" class="small-button" on:click=move |_| is_writing.set(true)>
                    {move || if note().is_some() { "Edit note" } else { "Add a note" }}
                </button>
            </Show>
            <Show when=move || is_writing.get()>
                <Note given is_writing save=Callback::new(move |feedback| give(feedback, true))/>
            </Show>
            {move || error.get().map(error_message)}
        </div>
    }
    .into_any()
}

/// The field for the note.
#[component]
fn Note(given: Memo<RunFeedback>, is_writing: RwSignal<bool>, save: Callback<RunFeedback>) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let note = input.get_untracked().map(|input| input.value()).unwrap_or_default();
        save.run(RunFeedback { note, ..given.get_untracked() });
    };
    view! {
        <form class="feedback-note" on:submit=submit>
            <input
                type="text"
                aria-label="What was good or bad about the answer?"
                placeholder="What was good or bad about it?"
                node_ref=input
                maxlength=(limits::MAX_FEEDBACK_NOTE_BYTES / 4).to_string()
                value=given.with_untracked(|given| given.note.clone())
            />
            <button type="submit" class="small-button">"Save note"</button>
            <button type="button" class="small-button" on:click=move |_| is_writing.set(false)>"Close"</button>
        </form>
    }
    .into_any()
}
