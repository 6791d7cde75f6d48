//! The form of an agent. An error from the server is shown at the field whose key it names.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::entry::{self, FIELDS, Format, KINDS, Problem, problem_from, updated_entry};
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

/// The id of a field's element.
fn element_id(key: &str) -> String {
    format!("agent-{}", key.replace('.', "-"))
}

/// Options of a select element.
fn options(options: &[(&str, &str)]) -> Vec<(String, String)> {
    options.iter().map(|(value, name)| ((*value).to_owned(), (*name).to_owned())).collect()
}

/// The control for a field.
fn control(field: &entry::Field) -> Control {
    match field.format {
        Format::Line => Control::TextLine,
        Format::Number => Control::Number,
        Format::Text | Format::Lines => Control::TextArea { code: false },
        Format::Pairs => Control::TextArea { code: true },
        Format::Choice(lists) => Control::Select(options(lists)),
    }
}

/// The form for a new agent (`before` is empty), or to change one.
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
    let show_problem = move |wrong: Problem| {
        let at = element_id(wrong.key);
        problem.set(Some(wrong));
        request_animation_frame(move || focus_id(&at));
    };
    request_animation_frame(move || focus_id(&element_id(if is_new { "id" } else { "name" })));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        problem.set(None);
        let written: Vec<String> = texts.with_value(|texts| texts.iter().map(RwSignal::get_untracked).collect());
        let made = before.with_value(|before| updated_entry(before, &kind.get_untracked(), &written));
        let entry = match made {
            Ok(entry) => entry,
            Err(wrong) => return show_problem(wrong),
        };
        let Some(id) = entry.get("id").and_then(Value::as_str).map(str::to_owned).filter(|id| is_url_safe(id)) else {
            let what = if entry.contains_key("id") {
                "Only a-z, 0-9, - and _ are allowed, at most 64 of them."
            } else {
                "This is required."
            };
            return show_problem(Problem { key: "id", what: what.into() });
        };
        busy.set(true);
        spawn_local(async move {
            let answer = browser::put::<_, AdminAgent>(&format!("/api/admin/agents/{id}"), &entry).await;
            busy.try_set(false);
            match answer {
                Ok(agent) => changed.run(format!("{} was saved.", agent.info.name)),
                Err(RequestError::Refused(refused)) if refused.code == "invalid_payload" => {
                    show_problem(problem_from(&refused.detail))
                }
                Err(RequestError::Refused(refused)) if refused.code == "conflict" => {
                    show_problem(Problem { key: "id", what: refused.detail });
                }
                Err(other) => show_problem(Problem { key: "", what: other.message() }),
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
                    id=element_id(field.key)
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
            <Field id=element_id("kind") label="Kind" control=Control::Select(options(KINDS)) text=kind error=Signal::stored(None::<String>)/>
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

/// Whether an id can be part of the request's URL.
fn is_url_safe(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
