//! What an interrupted run asks a person: consent to a tool call, or an answer of some shape. All is decided, then sent as
//! one answer, once; what is said twice by accident or after a failure is the same answer, with the same id.
//!
//! What an agent and its tools say is text from outside: it is shown as text alone.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};
use serde_json::{Map, Value, json};

use super::{
    clock::{Moment, use_clock},
    icons::{Glyph, icon},
    json::{Bounded, pretty},
    schema::{Answer as Wanted, SchemaForm},
    tree::Shared,
    verdict::{TOOL_CALL, VerdictView},
};
use crate::{
    protocol::{Answer, AnswerStatus, ErrorCode, InterruptAnswer, MessageId, agui::Interrupt, limits},
    thread::{Answered, NodeBody, RunView},
    ui::{browser, conversation::Conversation, format},
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
        let answered = self.conversation.socket.send(answer);
        spawn_local(async move {
            if let Err(refused) = answered.await {
                self.error.try_set(Some(format::refusal(&refused)));
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
    let giving = Giving::new(expect_context(), run, interrupts.len());
    let answered = Memo::new(move |_| run.with(|run| run.answered.clone()));
    let several = interrupts.len() > 1;
    let cards = interrupts.into_iter().enumerate();
    let cards = cards.map(|(index, interrupt)| view! { <Ask giving index interrupt answered/> }).collect_view();
    let progress = move || {
        let (done, all) = giving.decided.with(|all| (all.iter().flatten().count(), all.len()));
        (several && answered.with(Option::is_none) && !giving.busy.get())
            .then(|| format!("{done} of {all} decided. The answer goes when all are."))
    };
    let again = move |_| {
        if let Some(answer) = giving.sent.get_untracked() {
            giving.send(answer);
        }
    };
    view! {
        <div class="asks">
            {cards}
            {move || progress().map(|text| view! { <p class="hint">{text}</p> })}
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
    let words = interrupt.message.clone().unwrap_or_else(|| match is_call {
        true => format!("May the agent call {tool}?"),
        false => "The agent asks for an answer.".into(),
    });
    let expires = interrupt.expires_at.as_deref().and_then(browser::time_of);
    let left = Memo::new(move |_| Some((expires? - clock.now.get()?).max(0) / 1000));
    let expired = Memo::new(move |_| left.get() == Some(0));
    let decided = Memo::new(move |_| giving.decided.with(|all| all.get(index).cloned().flatten()));
    let id = interrupt.id.clone();
    let decide = Callback::new(move |(status, payload)| {
        giving.decide(index, InterruptAnswer { interrupt_id: id.clone(), status, payload });
    });
    let give_up = move |_| decide.run((AnswerStatus::Cancelled, None));
    let label = if is_call { format!("Consent to {tool}") } else { "Question of the agent".to_owned() };
    let shown = pretty(&args.to_string());
    let has_args = !matches!(&args, Value::Null) && is_call;
    let (run_id, schema) =
        (giving.run.with_untracked(|run| run.run_id), Wanted::of(interrupt.response_schema.as_ref()));
    let (verdict, args) = (interrupt, StoredValue::new(args));
    let schema = StoredValue::new(schema);
    let choice = move || match is_call {
        true => view! { <Consent giving decide args/> }.into_any(),
        false => view! {
            <SchemaForm
                id=format!("answer-{run_id}-{index}")
                answer=schema.get_value()
                disabled=giving.busy
                on_answer=Callback::new(move |value| decide.run((AnswerStatus::Resolved, Some(value))))
            >
                <button type="button" class="button quiet-button" disabled=move || giving.busy.get() on:click=give_up>
                    "Do not answer"
                </button>
            </SchemaForm>
        }
        .into_any(),
    };
    let below = move || match (answered.get(), decided.get(), expired.get()) {
        (Some(answered), ..) => view! { <VerdictView interrupt=verdict.clone() answered/> }.into_any(),
        (None, Some(decision), _) => {
            let alone = giving.decided.with(Vec::len) == 1;
            let undo = move |_| giving.decided.update(|all| all[index] = None);
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
        <section class="ask" aria-label=label data-asks=move || if answered.with(Option::is_none) { "open" } else { "over" }>
            <p class="ask-words">{icon(Glyph::Question)} <strong>{words}</strong></p>
            {is_call.then(|| view! { <p class="ask-tool">{icon(Glyph::Tool)} <code>{tool}</code></p> })}
            {has_args.then(|| view! { <Bounded text=Signal::stored(shown) label="Arguments of the call"/> })}
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
        (AnswerStatus::Cancelled, ..) => "Not answered",
        (AnswerStatus::Resolved, true, Some(true)) => "Approved",
        (AnswerStatus::Resolved, true, _) => "Refused",
        (AnswerStatus::Resolved, false, _) => "Answered",
    }
}

/// What is being done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Choosing,
    Editing,
    Refusing,
}

/// Approve, approve with other arguments, refuse.
#[component]
fn Consent(giving: Giving, decide: Callback<(AnswerStatus, Option<Value>)>, args: StoredValue<Value>) -> impl IntoView {
    let mode = RwSignal::new(Mode::Choosing);
    let resolve = move |payload: Value| decide.run((AnswerStatus::Resolved, Some(payload)));
    let busy = move || giving.busy.get();
    move || {
        match mode.get() {
        Mode::Choosing => view! {
            <div class="ask-actions">
                <button type="button" class="button" disabled=busy on:click=move |_| resolve(json!({"approved": true}))>
                    {icon(Glyph::Check)} "Approve"
                </button>
                <button type="button" class="button quiet-button" disabled=busy on:click=move |_| mode.set(Mode::Editing)>
                    {icon(Glyph::Edit)} "Edit arguments"
                </button>
                <button type="button" class="button quiet-button" disabled=busy on:click=move |_| mode.set(Mode::Refusing)>
                    {icon(Glyph::Close)} "Refuse"
                </button>
            </div>
        }
        .into_any(),
        Mode::Editing => view! { <EditArguments args mode on_args=Callback::new(resolve_edited(resolve))/> }.into_any(),
        Mode::Refusing => view! { <Refuse mode on_refuse=Callback::new(resolve)/> }.into_any(),
    }
    }
}

fn resolve_edited(
    resolve: impl Fn(Value) + Send + Sync + 'static,
) -> impl Fn(Map<String, Value>) + Send + Sync + 'static {
    move |args| resolve(json!({"approved": true, "editedArgs": args}))
}

/// Arguments as they were written, where they are an object.
fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(args)) => Ok(args),
        Ok(_) => Err("Arguments are a JSON object: { … }.".into()),
        Err(error) => Err(format!("This is no JSON: {error}.")),
    }
}

/// The arguments, being changed.
#[component]
fn EditArguments(
    args: StoredValue<Value>,
    mode: RwSignal<Mode>,
    on_args: Callback<Map<String, Value>>,
) -> impl IntoView {
    let begun = args.with_value(|args| serde_json::to_string_pretty(args).unwrap_or_default());
    let (form, area) = (NodeRef::<html::Form>::new(), NodeRef::<html::Textarea>::new());
    let error = RwSignal::new(None::<String>);
    Effect::new(move |_| {
        if let (Some(form), Some(area)) = (form.get(), area.get()) {
            let _ = area.focus();
            form.scroll_into_view_with_bool(false);
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(area) = area.get_untracked() else { return };
        match arguments(&area.value()) {
            Ok(args) => on_args.run(args),
            Err(wrong) => {
                error.set(Some(wrong));
                let _ = area.focus();
            }
        }
    };
    let rows = begun.lines().count().clamp(3, 14).to_string();
    view! {
        <form class="schema-form" novalidate node_ref=form on:submit=submit on:keydown=back_on_escape(mode)>
            <label class="label" for="edited-arguments">"Arguments, as JSON"</label>
            <textarea
                id="edited-arguments"
                class="code"
                spellcheck="false"
                rows=rows
                node_ref=area
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby="edited-arguments-wrong"
                prop:value=begun.clone()
                on:input=move |_| error.set(None)
            ></textarea>
            <p class="wrong" role="alert" id="edited-arguments-wrong">{move || error.get()}</p>
            <div class="ask-actions">
                <button type="submit" class="button">{icon(Glyph::Check)} "Approve with these arguments"</button>
                <button type="button" class="button quiet-button" on:click=move |_| mode.set(Mode::Choosing)>"Back"</button>
            </div>
        </form>
    }
    .into_any()
}

/// Why not, if somebody wants to say.
#[component]
fn Refuse(mode: RwSignal<Mode>, on_refuse: Callback<Value>) -> impl IntoView {
    let input = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get() {
            let _ = input.focus();
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let reason = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        on_refuse.run(match reason.is_empty() {
            true => json!({"approved": false}),
            false => json!({"approved": false, "reason": reason}),
        });
    };
    view! {
        <form class="schema-form" on:submit=submit on:keydown=back_on_escape(mode)>
            <div class="field">
                <label for="refusal-reason">"Reason (optional): the agent reads it"</label>
                <input id="refusal-reason" type="text" autocomplete="off" maxlength=limits::MAX_TITLE_CHARS.to_string() node_ref=input/>
            </div>
            <div class="ask-actions">
                <button type="submit" class="button">{icon(Glyph::Close)} "Refuse"</button>
                <button type="button" class="button quiet-button" on:click=move |_| mode.set(Mode::Choosing)>"Back"</button>
            </div>
        </form>
    }
    .into_any()
}

/// Escape leads back, and does not stop anything.
fn back_on_escape(mode: RwSignal<Mode>) -> impl Fn(leptos::ev::KeyboardEvent) {
    move |event| {
        if event.key() == "Escape" && !event.is_composing() {
            event.prevent_default();
            mode.set(Mode::Choosing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object() {
        assert_eq!(arguments("{\"a\": 1}").map(|args| args.len()), Ok(1));
        assert!(arguments("[1]").is_err_and(|wrong| wrong.contains("object")));
        assert!(arguments("{").is_err_and(|wrong| wrong.contains("no JSON")));
    }
}
