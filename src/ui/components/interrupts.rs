//! The interrupts of a run: an approval of a tool call, or a question that a schema describes. All must be answered; then one
//! command sends all answers. Sending it again after a failure uses the same id, so the server counts it once.
//!
//! Text from agents and tools is untrusted: it is shown as plain text.

use leptos::{html, prelude::*, task::spawn_local};
use serde_json::{Value, json};

use super::{
    approval::{Approval, Mode},
    clock::{Timestamp, use_clock},
    icons::{Glyph, icon},
    interrupt_outcome::{InterruptOutcome, TOOL_CALL, is_declined},
    json::{LongText, pretty},
    run_tree::PtrEq,
    schema_form::{AnswerSchema, SchemaForm},
};
use crate::{
    protocol::{Answer, AnswerStatus, ErrorCode, InterruptAnswer, MessageId, ThreadId, agui::Interrupt},
    text::escape_invisible,
    thread::{NodeBody, Resolution, RunView},
    ui::{browser, format, outgoing::Outgoing, part::part},
};

/// A run with interrupts, as the place that shows them knows it.
#[derive(Clone)]
pub(crate) struct InterruptedRun {
    /// The thread of the run; `None` in a replay, where nothing can be answered.
    pub(crate) thread_id: Option<ThreadId>,
    pub(crate) run: Memo<PtrEq<RunView>>,
    pub(crate) interrupts: Vec<Interrupt>,
    /// Called when answers are sent.
    pub(crate) on_send: Callback<()>,
    /// Called when the server has accepted them.
    pub(crate) on_accepted: Callback<()>,
}

/// A run's answers while the person gives them.
#[derive(Clone, Copy)]
struct AnswerForm {
    thread_id: Option<ThreadId>,
    run: Memo<PtrEq<RunView>>,
    outgoing: Outgoing,
    on_send: Callback<()>,
    on_accepted: Callback<()>,
    /// The answer to each interrupt, once given.
    answers: RwSignal<Vec<Option<InterruptAnswer>>>,
    /// The command that was sent last.
    sent: RwSignal<Option<Answer>>,
    busy: RwSignal<bool>,
    error: RwSignal<Option<String>>,
}

impl AnswerForm {
    fn new(run: &InterruptedRun) -> Self {
        let InterruptedRun { thread_id, run, ref interrupts, on_send, on_accepted } = *run;
        Self {
            thread_id,
            run,
            outgoing: expect_context(),
            on_send,
            on_accepted,
            answers: RwSignal::new(vec![None; interrupts.len()]),
            sent: RwSignal::new(None),
            busy: RwSignal::new(false),
            error: RwSignal::new(None),
        }
    }

    /// Sets the answer to one interrupt. Sends all answers once none is missing.
    fn set_answer(self, index: usize, answer: InterruptAnswer) {
        self.error.set(None);
        self.answers.update(|answers| {
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(answer);
            }
        });
        let answers = self.answers.with_untracked(|all| all.iter().cloned().collect::<Option<Vec<_>>>());
        if let Some((answers, thread_id)) = answers.zip(self.thread_id) {
            let run_id = self.run.with_untracked(|run| run.run_id);
            self.send(Answer { answer_id: MessageId::new(), thread_id, run_id, answers });
        }
    }

    fn clear_answer(self, index: usize) {
        self.answers.update(|answers| answers[index] = None);
    }

    fn send(self, answer: Answer) {
        if self.busy.get_untracked() {
            return;
        }
        self.sent.set(Some(answer.clone()));
        self.busy.set(true);
        self.error.set(None);
        let reply = self.outgoing.send_answer(answer);
        self.on_send.run(());
        spawn_local(async move {
            match reply.await {
                Ok(()) => drop(self.on_accepted.try_run(())),
                Err(error) => {
                    self.error.try_set(Some(format::error_message(&error)));
                    if matches!(error.code, ErrorCode::InvalidPayload | ErrorCode::Conflict) {
                        // The same command would be refused again.
                        self.sent.try_set(None);
                    }
                    self.busy.try_set(false);
                }
            }
        });
    }

    fn resend(self) {
        if let Some(answer) = self.sent.get_untracked() {
            self.send(answer);
        }
    }

    /// Clears all answers.
    fn reset(self) {
        self.sent.set(None);
        self.error.set(None);
        self.answers.update(|answers| answers.iter_mut().for_each(|answer| *answer = None));
    }
}

part!(
    /// The interrupts of a run, and how they ended.
    pub(crate) INTERRUPTS, interrupts, |run: InterruptedRun| view! { <Interrupts run/> }.into_any()
);

#[component]
fn Interrupts(run: InterruptedRun) -> impl IntoView {
    let form = AnswerForm::new(&run);
    let InterruptedRun { run, interrupts, .. } = run;
    if run.with_untracked(|run| run.was_cut_by_restart()) {
        let text = interrupts
            .iter()
            .filter_map(|interrupt| interrupt.message.as_deref())
            .map(escape_invisible)
            .collect::<String>();
        return view! { <p class="outcome">{icon(Glyph::Warning)} <span>{text}</span></p> }.into_any();
    }
    let answered = Memo::new(move |_| run.with(|run| run.answered.clone()));
    let is_open = move || answered.with(Option::is_none);
    let is_several = interrupts.len() > 1;
    let card = |(index, interrupt)| view! { <InterruptCard form index interrupt answered/> };
    let cards = interrupts.into_iter().enumerate().map(card).collect_view();
    let progress = move || {
        let (done, all) = form.answers.with(|all| (all.iter().flatten().count(), all.len()));
        (is_several && is_open() && !form.busy.get())
            .then(|| format!("{done} of {all} answered. All answers are sent together."))
    };
    view! {
        <div class="interrupts">
            {cards}
            {move || progress().map(|text| view! { <p class="hint" role="status">{text}</p> })}
            <Show when=move || form.busy.get() && is_open()>
                <p class="quiet" role="status"><span class="spinner" aria-hidden="true"></span> " Sending"</p>
            </Show>
            {move || form.error.get().map(|error| view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p><strong>"Your answer was not accepted. "</strong> {error}</p>
                    <Show when=move || form.sent.with(Option::is_some) && is_open()>
                        <button type="button" class="small-button" on:click=move |_| form.resend()>"Try again"</button>
                    </Show>
                    <Show when=is_open>
                        <button type="button" class="small-button" on:click=move |_| form.reset()>"Start over"</button>
                    </Show>
                </div>
            })}
        </div>
    }
    .into_any()
}

/// The name and arguments of the tool call to approve: from the interrupt's metadata, else from the run.
fn tool_call(interrupt: &Interrupt, run: &RunView) -> (String, Value) {
    let metadata = |key: &str| interrupt.metadata.as_ref().and_then(|metadata| metadata.get(key)).cloned();
    let in_run = run.nodes.iter().find_map(|node| match &node.body {
        NodeBody::Tool { name, args, .. } if Some(&node.id) == interrupt.tool_call_id.as_ref() => {
            Some((name.clone(), serde_json::from_str(args).unwrap_or_else(|_| Value::String(args.clone()))))
        }
        _ => None,
    });
    let (name, args) = in_run.unwrap_or_default();
    let name = metadata("toolName").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or(name);
    (name, metadata("args").unwrap_or(args))
}

/// What the parts of an interrupt's card share.
#[derive(Clone, Copy)]
struct CardState {
    form: AnswerForm,
    index: usize,
    interrupt: StoredValue<Interrupt>,
    /// The arguments of the tool call to approve.
    args: StoredValue<Value>,
    answered: Memo<Option<Resolution>>,
    /// The person's answer, while it waits for the other answers.
    answer: Memo<Option<InterruptAnswer>>,
    mode: RwSignal<Mode>,
    card: NodeRef<html::Section>,
}

impl CardState {
    fn is_tool_call(self) -> bool {
        self.interrupt.with_value(|interrupt| interrupt.reason == TOOL_CALL)
    }

    fn set_answer(self, status: AnswerStatus, payload: Option<Value>) {
        self.mode.set(Mode::Choosing);
        let interrupt_id = self.interrupt.with_value(|interrupt| interrupt.id.clone());
        self.form.set_answer(self.index, InterruptAnswer { interrupt_id, status, payload, metadata: None });
        self.focus();
    }

    fn clear_answer(self) {
        self.form.clear_answer(self.index);
        self.focus();
    }

    /// Focuses the card, since the button that was pressed is removed.
    fn focus(self) {
        request_animation_frame(move || {
            if let Some(card) = self.card.try_get_untracked().flatten() {
                let _ = card.focus();
            }
        });
    }
}

/// One interrupt.
#[component]
fn InterruptCard(
    form: AnswerForm,
    index: usize,
    interrupt: Interrupt,
    answered: Memo<Option<Resolution>>,
) -> impl IntoView {
    let is_tool_call = interrupt.reason == TOOL_CALL;
    let (tool, args) = form.run.with_untracked(|run| tool_call(&interrupt, run));
    let tool = escape_invisible(&tool);
    let default_question = || match is_tool_call {
        true => format!("Allow the agent to call {tool}?"),
        false => "The agent has a question.".into(),
    };
    let question = interrupt.message.as_deref().map_or_else(default_question, escape_invisible);
    let label = if is_tool_call { format!("Approve {tool}") } else { "Question from the agent".to_owned() };
    let args_text = pretty(&args.to_string());
    let has_args = !matches!(&args, Value::Null) && is_tool_call;
    let expires_at = interrupt.expires_at.as_deref().and_then(browser::parse_time_ms);
    let server_now = use_clock().server_now;
    let seconds_left = Memo::new(move |_| Some((expires_at? - server_now.get()?).max(0) / 1000));
    let state = CardState {
        form,
        index,
        interrupt: StoredValue::new(interrupt),
        args: StoredValue::new(args),
        answered,
        answer: Memo::new(move |_| form.answers.with(|all| all.get(index).cloned().flatten())),
        mode: RwSignal::new(Mode::Choosing),
        card: NodeRef::new(),
    };
    view! {
        <section
            class="interrupt"
            aria-label=label
            tabindex="-1"
            node_ref=state.card
            data-interrupt=move || if answered.with(Option::is_none) { "open" } else { "over" }
        >
            <p class="interrupt-question">{icon(Glyph::Question)} <strong>{question}</strong></p>
            {is_tool_call.then(|| view! { <p class="interrupt-tool">{icon(Glyph::Tool)} <code>{tool}</code></p> })}
            <Show when=move || has_args && state.mode.get() != Mode::Editing>
                <LongText text=Signal::stored(args_text.clone()) label="Arguments of the call"/>
            </Show>
            {card_body(state, seconds_left)}
            {expiry(state, expires_at, seconds_left)}
        </section>
    }
    .into_any()
}

/// What the card shows below the question: the outcome, the answer that waits to be sent, or the controls.
fn card_body(state: CardState, seconds_left: Memo<Option<i64>>) -> impl Fn() -> AnyView {
    let expired = Memo::new(move |_| seconds_left.get() == Some(0));
    move || match (state.answered.get(), state.answer.get(), expired.get()) {
        (Some(answered), ..) => view! { <InterruptOutcome interrupt=state.interrupt.get_value() answered/> }.into_any(),
        (None, Some(answer), _) => {
            let is_only = state.form.answers.with(Vec::len) == 1;
            view! {
                <p class="outcome">
                    {icon(Glyph::Check)} <span>{answer_label(&answer, state.is_tool_call())}</span>
                    {(!is_only).then(|| view! {
                        <button
                            type="button"
                            class="small-button"
                            disabled=move || state.form.sent.with(Option::is_some)
                            on:click=move |_| state.clear_answer()
                        >
                            "Change"
                        </button>
                    })}
                </p>
            }
            .into_any()
        }
        (None, None, _) if state.form.thread_id.is_none() => {
            view! { <p class="outcome">{icon(Glyph::Question)} <span>"Waiting for an answer."</span></p> }.into_any()
        }
        (None, None, true) => view! {
            <p class="outcome">
                {icon(Glyph::Warning)} <span>"This question has expired."</span>
                <button
                    type="button"
                    class="small-button"
                    disabled=move || state.form.busy.get()
                    on:click=move |_| state.set_answer(AnswerStatus::Cancelled, None)
                >
                    "Continue without an answer"
                </button>
            </p>
        }
        .into_any(),
        (None, None, false) => controls(state),
    }
}

/// The controls that answer an interrupt.
fn controls(state: CardState) -> AnyView {
    let form = state.form;
    let id = format!("answer-{}-{}", form.run.with_untracked(|run| run.run_id), state.index);
    if state.is_tool_call() {
        let decide = Callback::new(move |(status, payload)| state.set_answer(status, payload));
        return view! { <Approval decide args=state.args mode=state.mode busy=form.busy id/> }.into_any();
    }
    let (schema, has_schema, can_decline) = state.interrupt.with_value(|interrupt| {
        // The server of an MCP tool distinguishes "declined" from "no answer".
        let can_decline = interrupt.metadata.as_ref().is_some_and(|metadata| metadata.contains_key("continuation"));
        let schema = interrupt.response_schema.as_ref();
        (AnswerSchema::new(schema), schema.is_some(), can_decline)
    });
    let button = move |class: &'static str, label: &'static str, status: AnswerStatus, payload: Option<Value>| {
        view! {
            <button
                type="button"
                class=class
                disabled=move || form.busy.get()
                on:click=move |_| state.set_answer(status, payload.clone())
            >
                {label}
            </button>
        }
    };
    let yes_no = [("Yes", true), ("No", false)];
    view! {
        <SchemaForm
            id
            schema
            disabled=form.busy
            on_answer=Callback::new(move |value| state.set_answer(AnswerStatus::Resolved, Some(value)))
        >
            {(!has_schema).then(|| {
                yes_no.map(|(label, yes)| button("button", label, AnswerStatus::Resolved, Some(Value::Bool(yes))))
            })}
            {can_decline.then(|| {
                button("button quiet-button", "Decline", AnswerStatus::Cancelled, Some(json!({"declined": true})))
            })}
            {button("button quiet-button", "Skip", AnswerStatus::Cancelled, None)}
        </SchemaForm>
    }
    .into_any()
}

/// When an open interrupt expires.
fn expiry(state: CardState, expires_at: Option<i64>, seconds_left: Memo<Option<i64>>) -> impl Fn() -> Option<AnyView> {
    move || {
        let left = seconds_left.get().filter(|left| *left > 0 && state.answered.with(Option::is_none))?;
        let duration = if left < 60 { format!("{left} s") } else { format::duration(left * 1000) };
        let time = expires_at.map(|at| view! { " (" <Timestamp at/> ")" });
        Some(view! { <p class="hint">"Expires in " {duration} {time} "."</p> }.into_any())
    }
}

/// An answer that waits for the other answers, in one word.
fn answer_label(answer: &InterruptAnswer, is_tool_call: bool) -> &'static str {
    let approved = answer.payload.as_ref().and_then(|payload| payload.get("approved")).and_then(Value::as_bool);
    match (answer.status, is_tool_call, approved) {
        (AnswerStatus::Cancelled, ..) if is_declined(answer.payload.as_ref()) => "Declined",
        (AnswerStatus::Cancelled, ..) => "Skipped",
        (AnswerStatus::Resolved, true, Some(true)) => "Approved",
        (AnswerStatus::Resolved, true, _) => "Denied",
        (AnswerStatus::Resolved, false, _) => "Answered",
    }
}
