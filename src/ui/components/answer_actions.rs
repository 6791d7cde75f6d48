//! How a run ended, and what a person can do with its answer: copy it, ask again, rate it, and in a menu what is needed less often.

use leptos::prelude::*;

use super::{
    copy::{CopyButton, answer_text},
    edit_answer::EditAnswerForm,
    feedback::Feedback,
    fork::ForkButton,
    icons::{Glyph, icon},
    interrupts::{INTERRUPTS, InterruptedRun},
    menu::Menu,
    open_thread::OpenThread,
    run::has_content,
    run_tree::PtrEq,
};
use crate::{
    protocol::{SendMode, agui::Interrupt},
    thread::{Resolution, RunState, RunView},
    ui::{format, item_key::ItemKey, outgoing::NewMessage},
};

/// The class of the menu.
pub(super) const ANSWER_MENU: &str = "answer-menu";

/// How a run ended, and what the person can do next.
pub(super) fn run_end(state: &RunState, run: Memo<PtrEq<RunView>>) -> Option<AnyView> {
    match state {
        RunState::Failed { message, code } => Some(
            view! {
                <div class="failure" data-code=code.clone()>
                    {icon(Glyph::Warning)}
                    <p><strong>"The run failed. "</strong> {format::sentence(message)}</p>
                    <Continue run/>
                    <AskAgain run/>
                </div>
                <div class="run-end"><CopyAnswer run/> <AnswerMenu run/></div>
            }
            .into_any(),
        ),
        RunState::Cancelled => Some(
            view! {
                <div class="run-end">
                    {icon(Glyph::Stop)} <p>"Stopped before it finished."</p>
                    <Continue run/> <CopyAnswer run/> <AskAgain run/> <AnswerMenu run/> <Feedback run/>
                </div>
            }
            .into_any(),
        ),
        RunState::Interrupted { interrupts } => Some(questions(interrupts, run)),
        RunState::Finished => {
            let is_silent = run.with_untracked(|run| !has_content(run));
            let note = is_silent.then(|| view! { <p>"The agent ended without an answer."</p> });
            Some(
                view! {
                    <div class="run-end">
                        {note} <Continue run/> <CopyAnswer run/> <AskAgain run/> <AnswerMenu run/> <Feedback run/>
                    </div>
                }
                .into_any(),
            )
        }
        RunState::Waiting | RunState::Running => None,
    }
}

/// What a run asks, to be answered by those who may write in the thread.
fn questions(interrupts: &[Interrupt], run: Memo<PtrEq<RunView>>) -> AnyView {
    let open_thread = use_context::<OpenThread>();
    let asking = InterruptedRun {
        thread_id: open_thread.map(|open_thread| open_thread.id),
        run,
        interrupts: interrupts.to_vec(),
        on_send: Callback::new(move |()| {
            // The run that resumes appears at the end.
            if let Some(open_thread) = open_thread {
                open_thread.auto_scroll.jump_to_end();
            }
        }),
        on_accepted: Callback::new(|()| {}),
    };
    let is_answered = run.with_untracked(|run| run.answered.is_some());
    let questions = match open_thread {
        Some(open_thread) if !is_answered && !untrack(|| open_thread.can_write()) => {
            view! { <p class="quiet">"The agent asked a question. Those who may write in this thread can answer it."</p> }.into_any()
        }
        _ => INTERRUPTS.show(asking).into_any(),
    };
    view! {
        {questions}
        <AskAgainIfAbandoned run/>
        <div class="run-end"><CopyAnswer run/> <AnswerMenu run is_asking=true/></div>
    }
    .into_any()
}

/// Whether a run has a text.
fn has_text(run: Memo<PtrEq<RunView>>) -> Memo<bool> {
    Memo::new(move |_| run.with(|run| !answer_text(run).is_empty()))
}

/// A button that copies the texts of a run as Markdown; nothing if it has none.
#[component]
fn CopyAnswer(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let has_text = has_text(run);
    let text = Callback::new(move |()| run.with_untracked(|run| answer_text(run)));
    view! { <Show when=move || has_text.get()><CopyButton class="small-button" text/></Show> }
}

/// A menu with what is needed less often, and the form that edits the answer. In a replay, only the text can be copied.
#[component]
fn AnswerMenu(
    run: Memo<PtrEq<RunView>>,
    /// Whether the run waits for an answer, so that nothing can follow it yet.
    #[prop(optional)]
    is_asking: bool,
) -> impl IntoView {
    let (open, is_editing) = (RwSignal::new(false), RwSignal::new(false));
    let (run_id, message_id) = run.with_untracked(|run| (run.run_id, run.message_id));
    let has_text = has_text(run);
    let open_thread = use_context::<OpenThread>();
    let turn = open_thread.zip(message_id).filter(|_| !is_asking);
    let edit = move |_| {
        is_editing.set(true);
        open.set(false);
    };
    let items = move || {
        let editable = turn.filter(|(open_thread, _)| has_text.get() && open_thread.can_write());
        view! {
            // `src/ui/scripts/answers.js` copies the text from the page.
            {has_text.get().then(|| view! { <button type="button" data-press="text">{icon(Glyph::Copy)} <span>"Copy as text"</span></button> })}
            {editable.map(|_| view! { <button type="button" on:click=edit>{icon(Glyph::Edit)} "Edit answer"</button> })}
            {turn.map(|(open_thread, message_id)| view! { <ForkButton open_thread message_id/> })}
            {open_thread.map(|open_thread| {
                let address = format!("/threads/{}?replay={run_id}", open_thread.id);
                view! { <a href=address on:click=move |_| open.set(false)>{icon(Glyph::Play)} "Replay"</a> }
            })}
        }
        .into_any()
    };
    let close = Callback::new(move |()| is_editing.set(false));
    let form = move || {
        turn.map(|(open_thread, _)| {
            let text = run.with_untracked(|run| answer_text(run));
            view! { <EditAnswerForm open_thread run_id text close/> }
        })
    };
    (open_thread.is_some() || has_text.get_untracked()).then(|| {
        view! {
            <Menu label="More actions for this answer" button=|| icon(Glyph::More) class=ANSWER_MENU open>{items()}</Menu>
            <Show when=move || is_editing.get()>{form}</Show>
        }
        .into_any()
    })
}

/// A button that asks the agent to go on, after an answer that was cut off; only at the end of an open thread's branch.
#[component]
fn Continue(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    use_context::<OpenThread>().map(|open_thread| {
        let (run_id, agent) = run.with_untracked(|run| (run.run_id, run.agent.clone()));
        let can_continue =
            Memo::new(move |_| {
                run.with(|run| is_cut_off(run)) && open_thread.is_last(ItemKey::Run(run_id)) && open_thread.can_write()
            });
        let go_on = move |_| {
            let text = "Continue where you stopped.".to_owned();
            let (agent, mode) = (Some(agent.clone()), SendMode::Queue);
            open_thread.send(NewMessage { text, files: Vec::new(), uploaded: Vec::new(), agent, mode });
        };
        view! {
            <Show when=move || can_continue.get()>
                <button type="button" class="small-button" on:click=go_on.clone()>{icon(Glyph::Down)} "Continue"</button>
            </Show>
        }
    })
}

/// Whether a run that has ended left an incomplete answer: it was stopped, it failed, or it reached a limit.
fn is_cut_off(run: &RunView) -> bool {
    match run.state {
        RunState::Cancelled | RunState::Failed { .. } => has_content(run),
        RunState::Finished => run.result.as_ref().is_some_and(|result| result.get("stopped").is_some()),
        RunState::Waiting | RunState::Running | RunState::Interrupted { .. } => false,
    }
}

/// A button to ask again, if the run's interrupts were abandoned.
#[component]
fn AskAgainIfAbandoned(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let abandoned = Memo::new(move |_| run.with(|run| run.answered == Some(Resolution::Abandoned)));
    view! { <Show when=move || abandoned.get()><div class="run-end"><AskAgain run/></div></Show> }
}

/// A button that sends the run's message again as a new version: same text, agent and files. The old version stays reachable.
#[component]
fn AskAgain(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let message_id = run.with_untracked(|run| run.message_id);
    use_context::<OpenThread>().zip(message_id).map(|(open_thread, message_id)| {
        let ask = move |_| {
            if let Some(message) = open_thread.message(message_id) {
                open_thread.replace_message(&message, message.content.clone(), None);
            }
        };
        view! {
            <Show when=move || open_thread.can_write()>
                <button type="button" class="small-button" on:click=ask>{icon(Glyph::Redo)} "Ask again"</button>
            </Show>
        }
    })
}
