//! The form of an agent. What the server refuses stands at the field whose key it names.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::entry::{self, FIELDS, KINDS, Problem, Takes, entry_of, problem_of};
use crate::{
    protocol::http::AdminAgent,
    ui::{
        browser::{self, RequestError},
        components::{
            error_message::error_message,
            field::{Control, Field},
            focus::focus_id,
        },
        format::sentence,
    },
};

/// The id of a field in the document.
fn id_of(key: &str) -> String {
    format!("agent-{}", key.replace('.', "-"))
}

/// Options as controls have them.
fn options(options: &[(&str, &str)]) -> Vec<(String, String)> {
    options.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned())).collect()
}

/// How a field is filled in.
fn control(field: &entry::Field) -> Control {
    match field.takes {
        Takes::Line => Control::TextLine,
        Takes::Number => Control::Number,
        Takes::Text | Takes::Lines => Control::TextArea { code: false },
        Takes::Pairs => Control::TextArea { code: true },
        Takes::Words(words) => Control::Select(options(words)),
    }
}

/// An agent, new (`before` is empty) or being changed.
#[component]
pub(super) fn AgentForm(before: Map<String, Value>, changed: Callback<String>, close: Callback<()>) -> impl IntoView {
    let is_new = before.is_empty();
    let title = if is_new { "A new agent".to_owned() } else { format!("Change {}", FIELDS[1].text(&before)) };
    let kind = RwSignal::new(before.get("kind").and_then(Value::as_str).unwrap_or(KINDS[0].0).to_owned());
    let texts: StoredValue<Vec<RwSignal<String>>> =
        StoredValue::new(FIELDS.iter().map(|field| RwSignal::new(field.text(&before))).collect());
    let before = StoredValue::new(before);
    let problem = RwSignal::new(None::<Problem>);
    let busy = RwSignal::new(false);
    let refuse = move |wrong: Problem| {
        let at = id_of(wrong.key);
        problem.set(Some(wrong));
        request_animation_frame(move || focus_id(&at));
    };
    request_animation_frame(move || focus_id(&id_of(if is_new { "id" } else { "name" })));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        problem.set(None);
        let written: Vec<String> = texts.with_value(|texts| texts.iter().map(RwSignal::get_untracked).collect());
        let made = before.with_value(|before| entry_of(before, &kind.get_untracked(), &written));
        let entry = match made {
            Ok(entry) => entry,
            Err(wrong) => return refuse(wrong),
        };
        let Some(id) = entry.get("id").and_then(Value::as_str).map(str::to_owned).filter(|id| is_in_address(id)) else {
            let what =
                if entry.contains_key("id") { "It has other characters, or too many." } else { "This is needed." };
            return refuse(Problem { key: "id", what: what.into() });
        };
        busy.set(true);
        spawn_local(async move {
            let answer = browser::put::<_, AdminAgent>(&format!("/api/admin/agents/{id}"), &entry).await;
            busy.try_set(false);
            match answer {
                Ok(agent) => changed.run(format!("{} was saved.", agent.info.name)),
                Err(RequestError::Refused(refused)) if refused.code == "invalid_payload" => {
                    refuse(problem_of(&refused.detail))
                }
                Err(RequestError::Refused(refused)) if refused.code == "conflict" => {
                    refuse(Problem { key: "id", what: refused.detail });
                }
                Err(other) => refuse(Problem { key: "", what: other.message() }),
            }
        });
    };
    let problem_at = move |key: &str| {
        problem.with(|problem| {
            problem.as_ref().filter(|problem| problem.key == key).map(|problem| sentence(&problem.what))
        })
    };
    let fields = move || {
        let kind = kind.get();
        let of_kind = FIELDS.iter().enumerate().filter(|(_, field)| field.is_of(&kind));
        let shown = of_kind.map(|(index, field)| {
            let text = texts.with_value(|texts| texts[index]);
            let wrong = Signal::derive(move || problem_at(field.key));
            view! {
                <Field
                    id=id_of(field.key)
                    label=field.label
                    help=field.hint
                    control=control(field)
                    text
                    error=wrong
                    read_only=field.key == "id" && !is_new
                />
            }
        });
        shown.collect_view()
    };
    view! {
        <form class="card agent-form" aria-label=title.clone() novalidate on:submit=submit>
            <h2>{title.clone()}</h2>
            <Field id=id_of("kind") label="Kind" control=Control::Select(options(KINDS)) text=kind error=Signal::stored(None::<String>)/>
            {fields}
            {move || problem_at("").map(error_message)}
            <div class="form-actions">
                <button type="submit" class="button" disabled=move || busy.get()>"Save"</button>
                <button type="button" class="button quiet-button" on:click=move |_| close.run(())>"Cancel"</button>
            </div>
        </form>
    }
    .into_any()
}

/// Whether an id can stand in an address: nothing else is sent there.
fn is_in_address(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
