//! What an interrupted run asks a person: consent to a tool call, or an answer of some shape. All is decided, then sent as
//! one answer, once; what is said twice by accident or after a failure is the same answer, with the same id.
//!
//! What an agent and its tools say is text from outside: it is shown as text alone.

use leptos::{html, prelude::*, task::spawn_local};
use serde_json::{Value, json};

use super::{
    approval::{Consent, Mode},
    clock::{Moment, use_clock},
    icons::{Glyph, icon},
    json::{Bounded, pretty},
    schema::{Answer as Wanted, SchemaForm},
    tree::Shared,
    verdict::{TOOL_CALL, VerdictView, is_declined},
};
use crate::{
    protocol::{Answer, AnswerStatus, ErrorCode, InterruptAnswer, MessageId, agui::Interrupt},
    text::visible,
    thread::{Answered, NodeBody, RunView},
    ui::{browser, components::conversation::Conversation, format},
};

/// The answer as it is being given.
#[derive(Clone, Copy)]
struct Giving {
    conversation: Conversation,
    run: Memo<Shared<RunView>>,
    decided: RwSignal<Vec<Option<InterruptAnswer>>>,
    /// What was sent, or is on its way.
    sent: RwSignal<Option<Answer>>,
    busy: RwSignal<bool>,
    error: RwSignal<Option<String>>,
}

impl Giving {
    fn new(conversation: Conversation, run: Memo<Shared<RunView>>, count: usize) -> Self {
        let (sent, busy, error) = (RwSignal::new(None), RwSignal::new(false), RwSignal::new(None));
        Self { conversation, run, decided: RwSignal::new(vec![None; count]), sent, busy, error }
    }

    /// Decides one; when all are decided, the answer goes.
    fn decide(self, index: usize, answer: InterruptAnswer) {
        self.error.set(None);
        self.decided.update(|decided| {
            if let Some(place) = decided.get_mut(index) {
                *place = Some(answer);
            }
        });
        if let Some(answers) = self.decided.with_untracked(|all| all.iter().cloned().collect::<Option<Vec<_>>>()) {
            let (thread_id, run_id) = (self.conversation.id, self.run.with_untracked(|run| run.run_id));
            self.send(Answer { answer_id: MessageId::new(), thread_id, run_id, answers });
        }
    }

    fn send(self, answer: Answer) {
        if self.busy.get_untracked() {
            return;
        }
        self.sent.set(Some(answer.clone()));
        self.busy.set(true);
        self.error.set(None);
        let answered = self.conversation.outgoing.send_answer(answer);
        // What comes of it stands at the end.
        self.conversation.follow.jump();
        spawn_local(async move {
            if let Err(refused) = answered.await {
                self.error.try_set(Some(format::error_message(&refused)));
                if matches!(refused.code, ErrorCode::InvalidPayload | ErrorCode::Conflict) {
                    // The same again would be refused again.
                    self.sent.try_set(None);
                }
                self.busy.try_set(false);
            }
        });
    }

    /// Begins anew.
    fn reconsider(self) {
        self.sent.set(None);
        self.error.set(None);
        self.decided.update(|decided| decided.iter_mut().for_each(|one| *one = None));
    }
}

/// What an interrupted run waits for, and what became of it.
#[component]
pub(crate) fn Asks(run: Memo<Shared<RunView>>, interrupts: Vec<Interrupt>) -> impl IntoView {
    if run.with_untracked(|run| run.was_cut()) {
        let words = interrupts.iter().filter_map(|asked| asked.message.as_deref()).map(visible).collect::<String>();
        return view! { <p class="verdict">{icon(Glyph::Warning)} <span>{words}</span></p> }.into_any();
    }
    let giving = Giving::new(expect_context(), run, interrupts.len());
    let answered = Memo::new(move |_| run.with(|run| run.answered.clone()));
    let several = interrupts.len() > 1;
    let cards = interrupts.into_iter().enumerate();
    let cards = cards.map(|(index, interrupt)| view! { <Ask giving index interrupt answered/> }).collect_view();
    let progress = move || {
        let (done, all) = giving.decided.with(|all| (all.iter().flatten().count(), all.len()));
        (several && answered.with(Option::is_none) && !giving.busy.get())
            .then(|| format!("{done} of {all} decided. They are sent together."))
    };
    let again = move |_| {
        if let Some(answer) = giving.sent.get_untracked() {
            giving.send(answer);
        }
    };
    view! {
        <div class="asks">
            {cards}
            {move || progress().map(|text| view! { <p class="hint" role="status">{text}</p> })}
            <Show when=move || giving.busy.get() && answered.with(Option::is_none)>
                <p class="quiet" role="status"><span class="spinner" aria-hidden="true"></span> " Answering"</p>
            </Show>
            {move || giving.error.get().map(|error| view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p><strong>"Your answer was not taken. "</strong> {error}</p>
                    <Show when=move || giving.sent.with(Option::is_some) && answered.with(Option::is_none)>
                        <button type="button" class="small-button" on:click=again>"Try again"</button>
                    </Show>
                    <Show when=move || answered.with(Option::is_none)>
                        <button type="button" class="small-button" on:click=move |_| giving.reconsider()>"Decide anew"</button>
                    </Show>
                </div>
            })}
        </div>
    }
    .into_any()
}

/// The tool and the arguments of the call that waits: as the interrupt tells them, or as the run does.
fn call_of(interrupt: &Interrupt, run: &RunView) -> (String, Value) {
    let told = |key: &str| interrupt.metadata.as_ref().and_then(|more| more.get(key)).cloned();
    let seen = run.nodes.iter().find_map(|node| match &node.body {
        NodeBody::Tool { name, args, .. } if Some(&node.id) == interrupt.tool_call_id.as_ref() => {
            Some((name.clone(), serde_json::from_str(args).unwrap_or_else(|_| Value::String(args.clone()))))
        }
        _ => None,
    });
    let (seen_name, seen_args) = seen.unwrap_or_default();
    let name = told("toolName").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or(seen_name);
    (name, told("args").unwrap_or(seen_args))
}

/// One interrupt.
#[component]
fn Ask(giving: Giving, index: usize, interrupt: Interrupt, answered: Memo<Option<Answered>>) -> impl IntoView {
    let clock = use_clock();
    let is_call = interrupt.reason == TOOL_CALL;
    let (tool, args) = giving.run.with_untracked(|run| call_of(&interrupt, run));
    let tool = visible(&tool);
    let asked = || match is_call {
        true => format!("May the agent call {tool}?"),
        false => "The agent asks for an answer.".into(),
    };
    let words = interrupt.message.as_deref().map_or_else(asked, visible);
    let expires = interrupt.expires_at.as_deref().and_then(browser::parse_time_ms);
    let left = Memo::new(move |_| Some((expires? - clock.server_now.get()?).max(0) / 1000));
    let expired = Memo::new(move |_| left.get() == Some(0));
    let decided = Memo::new(move |_| giving.decided.with(|all| all.get(index).cloned().flatten()));
    let id = interrupt.id.clone();
    let mode = RwSignal::new(Mode::Choosing);
    // What was pressed goes away: the card takes the focus, so that keys go on from here.
    let card = NodeRef::<html::Section>::new();
    let hold = move || {
        request_animation_frame(move || {
            if let Some(card) = card.try_get_untracked().flatten() {
                let _ = card.focus();
            }
        });
    };
    let decide = Callback::new(move |(status, payload)| {
        mode.set(Mode::Choosing);
        giving.decide(index, InterruptAnswer { interrupt_id: id.clone(), status, payload, metadata: None });
        hold();
    });
    let give_up = move |_| decide.run((AnswerStatus::Cancelled, None));
    let decline = move |_| decide.run((AnswerStatus::Cancelled, Some(json!({"declined": true}))));
    // The server of a tool is told whether a person said no, or nothing.
    let of_tool = interrupt.metadata.as_ref().is_some_and(|more| more.contains_key("continuation"));
    let label = if is_call { format!("Consent to {tool}") } else { "Question of the agent".to_owned() };
    let shown = pretty(&args.to_string());
    let has_args = !matches!(&args, Value::Null) && is_call;
    let id = StoredValue::new(format!("answer-{}-{index}", giving.run.with_untracked(|run| run.run_id)));
    let is_open_question = interrupt.response_schema.is_none();
    let schema = StoredValue::new(Wanted::of(interrupt.response_schema.as_ref()));
    let (verdict, args) = (interrupt, StoredValue::new(args));
    let choice = move || {
        match is_call {
        true => view! { <Consent decide args mode busy=giving.busy id=id.get_value()/> }.into_any(),
        false => view! {
            <SchemaForm
                id=id.get_value()
                answer=schema.get_value()
                disabled=giving.busy
                on_answer=Callback::new(move |value| decide.run((AnswerStatus::Resolved, Some(value))))
            >
                {is_open_question.then(|| [("Yes", true), ("No", false)].map(|(word, yes)| view! {
                    <button
                        type="button"
                        class="button"
                        disabled=move || giving.busy.get()
                        on:click=move |_| decide.run((AnswerStatus::Resolved, Some(Value::Bool(yes))))
                    >
                        {word}
                    </button>
                }))}
                {of_tool.then(|| view! {
                    <button type="button" class="button quiet-button" disabled=move || giving.busy.get() on:click=decline>
                        "Decline"
                    </button>
                })}
                <button type="button" class="button quiet-button" disabled=move || giving.busy.get() on:click=give_up>
                    "Do not answer"
                </button>
            </SchemaForm>
        }
        .into_any(),
    }
    };
    let below = move || match (answered.get(), decided.get(), expired.get()) {
        (Some(answered), ..) => view! { <VerdictView interrupt=verdict.clone() answered/> }.into_any(),
        (None, Some(decision), _) => {
            let alone = giving.decided.with(Vec::len) == 1;
            let undo = move |_| {
                giving.decided.update(|all| all[index] = None);
                hold();
            };
            view! {
                <p class="verdict">
                    {icon(Glyph::Check)} <span>{told(&decision, is_call)}</span>
                    {(!alone).then(|| view! {
                        <button type="button" class="small-button" disabled=move || giving.sent.with(Option::is_some) on:click=undo>
                            "Change"
                        </button>
                    })}
                </p>
            }
            .into_any()
        }
        (None, None, true) => view! {
            <p class="verdict">
                {icon(Glyph::Warning)} <span>"Expired: this can no longer be answered."</span>
                <button type="button" class="small-button" disabled=move || giving.busy.get() on:click=give_up>
                    "Let the agent go on without it"
                </button>
            </p>
        }
        .into_any(),
        (None, None, false) => choice().into_any(),
    };
    let expiry = move || {
        let left = left.get().filter(|left| *left > 0 && answered.with(Option::is_none))?;
        let about = if left < 60 { format!("{left} s") } else { format::duration(left * 1000) };
        Some(
            view! { <p class="hint">"Expires in " {about} {expires.map(|at| view! { " (" <Moment at/> ")" })} "."</p> },
        )
    };
    view! {
        <section
            class="ask"
            aria-label=label
            tabindex="-1"
            node_ref=card
            data-asks=move || if answered.with(Option::is_none) { "open" } else { "over" }
        >
            <p class="ask-words">{icon(Glyph::Question)} <strong>{words}</strong></p>
            {is_call.then(|| view! { <p class="ask-tool">{icon(Glyph::Tool)} <code>{tool}</code></p> })}
            <Show when=move || has_args && mode.get() != Mode::Editing>
                <Bounded text=Signal::stored(shown.clone()) label="Arguments of the call"/>
            </Show>
            {below}
            {expiry}
        </section>
    }
    .into_any()
}

/// A decision that waits for the others.
fn told(decision: &InterruptAnswer, is_call: bool) -> &'static str {
    let approved = decision.payload.as_ref().and_then(|payload| payload.get("approved")).and_then(Value::as_bool);
    match (decision.status, is_call, approved) {
        (AnswerStatus::Cancelled, ..) if is_declined(decision.payload.as_ref()) => "Declined",
        (AnswerStatus::Cancelled, ..) => "Not answered",
        (AnswerStatus::Resolved, true, Some(true)) => "Approved",
        (AnswerStatus::Resolved, true, _) => "Refused",
        (AnswerStatus::Resolved, false, _) => "Answered",
    }
}
