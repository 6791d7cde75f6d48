//! What an interrupted run asks a person: consent to a tool call, or an answer of some shape. All is decided, then sent as
//! one answer, once; what is said twice by accident or after a failure is the same answer, with the same id.
//!
//! What an agent and its tools say is text from outside: it is shown as text alone.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};
use serde_json::{Map, Value, json};

use super::{
    clock::{Moment, use_clock},
    field::{Control, Field, focus},
    icons::{Glyph, icon},
    json::{self, Bounded, pretty, visible},
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
    let expires = interrupt.expires_at.as_deref().and_then(browser::time_of);
    let left = Memo::new(move |_| Some((expires? - clock.now.get()?).max(0) / 1000));
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
        giving.decide(index, InterruptAnswer { interrupt_id: id.clone(), status, payload });
        hold();
    });
    let give_up = move |_| decide.run((AnswerStatus::Cancelled, None));
    let label = if is_call { format!("Consent to {tool}") } else { "Question of the agent".to_owned() };
    let shown = pretty(&args.to_string());
    let has_args = !matches!(&args, Value::Null) && is_call;
    let id = StoredValue::new(format!("answer-{}-{index}", giving.run.with_untracked(|run| run.run_id)));
    let schema = StoredValue::new(Wanted::of(interrupt.response_schema.as_ref()));
    let (verdict, args) = (interrupt, StoredValue::new(args));
    let choice = move || match is_call {
        true => view! { <Consent giving decide args mode id=id.get_value()/> }.into_any(),
        false => view! {
            <SchemaForm
                id=id.get_value()
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
fn Consent(
    giving: Giving,
    decide: Callback<(AnswerStatus, Option<Value>)>,
    args: StoredValue<Value>,
    mode: RwSignal<Mode>,
    /// Tells its fields from those of other requests of the page.
    id: String,
) -> impl IntoView {
    let resolve = Callback::new(move |payload: Value| decide.run((AnswerStatus::Resolved, Some(payload))));
    let busy = move || giving.busy.get();
    // The way back ends where it began.
    let back = move |to: String| {
        Callback::new(move |()| {
            let to = to.clone();
            mode.set(Mode::Choosing);
            request_animation_frame(move || focus(&to));
        })
    };
    let (edit, refuse) = (format!("{id}-edit"), format!("{id}-refuse"));
    move || {
        match mode.get() {
        Mode::Choosing => view! {
            <div class="ask-actions">
                <button type="button" class="button" disabled=busy on:click=move |_| resolve.run(json!({"approved": true}))>
                    {icon(Glyph::Check)} "Approve"
                </button>
                <button
                    type="button"
                    class="button quiet-button"
                    id=refuse.clone()
                    disabled=busy
                    on:click=move |_| mode.set(Mode::Refusing)
                >
                    {icon(Glyph::Close)} "Refuse"
                </button>
                <button
                    type="button"
                    class="button quiet-button"
                    id=edit.clone()
                    disabled=busy
                    on:click=move |_| mode.set(Mode::Editing)
                >
                    {icon(Glyph::Edit)} "Edit arguments"
                </button>
            </div>
        }
        .into_any(),
        Mode::Editing => view! { <EditArguments id=id.clone() args resolve back=back(edit.clone())/> }.into_any(),
        Mode::Refusing => view! { <Refuse id=id.clone() resolve back=back(refuse.clone())/> }.into_any(),
    }
    }
}

/// Arguments as they were written, where they are an object.
fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(args)) => Ok(args),
        Ok(_) => Err("Arguments are a JSON object: { … }.".into()),
        Err(error) => Err(json::wrong(&error)),
    }
}

/// The arguments, being changed.
#[component]
fn EditArguments(id: String, args: StoredValue<Value>, resolve: Callback<Value>, back: Callback<()>) -> impl IntoView {
    let text = RwSignal::new(args.with_value(|args| pretty(&args.to_string())));
    let wrong = RwSignal::new(None::<String>);
    let id = format!("{id}-args");
    let at = id.clone();
    let submit = move || match arguments(&text.get_untracked()) {
        Ok(args) => resolve.run(json!({"approved": true, "editedArgs": args})),
        Err(why) => {
            wrong.set(Some(why));
            focus(&at);
        }
    };
    view! {
        <Writing id=id.clone() submit back label="Approve with these arguments" glyph=Glyph::Check>
            <Field id label="Arguments, as JSON" control=Control::Text { code: true } text wrong/>
        </Writing>
    }
    .into_any()
}

/// Why not, if somebody wants to say.
#[component]
fn Refuse(id: String, resolve: Callback<Value>, back: Callback<()>) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let submit = move || {
        let reason = text.with_untracked(|text| text.trim().to_owned());
        resolve.run(match reason.is_empty() {
            true => json!({"approved": false}),
            false => json!({"approved": false, "reason": reason}),
        });
    };
    let id = format!("{id}-reason");
    let wrong = Signal::stored(None::<String>);
    view! {
        <Writing id=id.clone() submit back label="Refuse" glyph=Glyph::Close>
            <Field
                id
                label="Reason (optional)"
                about="The agent reads it."
                control=Control::Line
                text
                wrong
                most=limits::MAX_TITLE_CHARS
            />
        </Writing>
    }
    .into_any()
}

/// The form around one field, in sight and with the focus in it. Escape leads back, and does not stop anything.
#[component]
fn Writing(
    /// The id of the field.
    id: String,
    submit: impl Fn() + 'static,
    back: Callback<()>,
    label: &'static str,
    glyph: Glyph,
    children: Children,
) -> impl IntoView {
    let form = NodeRef::<html::Form>::new();
    Effect::new(move |_| {
        if let Some(form) = form.get() {
            focus(&id);
            form.scroll_into_view_with_bool(false);
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        submit();
        // What was wrong made it longer.
        request_animation_frame(move || {
            if let Some(form) = form.try_get_untracked().flatten() {
                form.scroll_into_view_with_bool(false);
            }
        });
    };
    let escape = move |event: KeyboardEvent| {
        if event.key() == "Escape" && !event.is_composing() {
            event.prevent_default();
            back.run(());
        }
    };
    view! {
        <form class="schema-form" novalidate node_ref=form on:submit=submit on:keydown=escape>
            {children()}
            <div class="ask-actions">
                <button type="submit" class="button">{icon(glyph)} {label}</button>
                <button type="button" class="button quiet-button" on:click=move |_| back.run(())>"Back"</button>
            </div>
        </form>
    }
    .into_any()
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
