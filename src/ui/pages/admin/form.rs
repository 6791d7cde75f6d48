//! The form of an agent. What the server refuses stands at the field whose key it names.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local, wasm_bindgen::JsCast, web_sys};
use serde_json::{Map, Value};

use super::entry::{FIELDS, Field, KINDS, Problem, Takes, entry_of, problem_of};
use crate::{
    protocol::http::AdminAgent,
    ui::{
        browser::{self, RequestError},
        components::icons::{Glyph, icon},
        format::sentence,
    },
};

/// The id of a field in the document.
fn id_of(key: &str) -> String {
    format!("agent-{}", key.replace('.', "-"))
}

fn focus(id: &str) {
    let found = document().get_element_by_id(id).and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(found) = found {
        let _ = found.focus();
    }
}

/// An agent, new (`before` is empty) or being changed.
#[component]
pub(super) fn AgentForm(before: Map<String, Value>, changed: Callback<()>, close: Callback<()>) -> impl IntoView {
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
        request_animation_frame(move || focus(&at));
    };
    request_animation_frame(move || focus(&id_of(if is_new { "id" } else { "name" })));
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
            return refuse(Problem { key: "id", what: "This is no such id.".into() });
        };
        busy.set(true);
        spawn_local(async move {
            let answer = browser::put::<_, AdminAgent>(&format!("/api/admin/agents/{id}"), &entry).await;
            busy.try_set(false);
            match answer {
                Ok(_) => changed.run(()),
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
    let fields = move || {
        let kind = kind.get();
        let of_kind = FIELDS.iter().enumerate().filter(|(_, field)| field.is_of(&kind));
        let shown = of_kind.map(|(index, field)| {
            let text = texts.with_value(|texts| texts[index]);
            let wrong = Memo::new(move |_| {
                problem.with(|problem| {
                    problem.as_ref().filter(|problem| problem.key == field.key).map(|problem| sentence(&problem.what))
                })
            });
            view! { <FieldView field=*field text wrong fixed=field.key == "id" && !is_new/> }
        });
        shown.collect_view()
    };
    let general = move || problem.get().filter(|problem| problem.key.is_empty()).map(|problem| sentence(&problem.what));
    let option = |(value, label): &(&'static str, &'static str)| {
        let first = kind.get_untracked() == *value;
        view! { <option value=*value selected=first>{*label}</option> }
    };
    view! {
        <form class="agent-card agent-form" aria-label=title.clone() novalidate on:submit=submit>
            <h2>{title.clone()}</h2>
            <div class="field">
                <label for="agent-kind">"Kind"</label>
                <select id="agent-kind" on:change:target=move |event| kind.set(event.target().value())>
                    {KINDS.iter().map(option).collect_view()}
                </select>
            </div>
            {fields}
            {move || general().map(|wrong| view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{wrong}</span></p> })}
            <div class="ask-actions">
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

/// A field.
#[component]
fn FieldView(
    field: Field,
    text: RwSignal<String>,
    wrong: Memo<Option<String>>,
    /// It cannot be changed.
    fixed: bool,
) -> impl IntoView {
    let id = id_of(field.key);
    let hint_id = format!("{id}-hint");
    let described = Some(hint_id.clone());
    let invalid = move || wrong.with(Option::is_some).then_some("true");
    let first = text.get_untracked();
    let control = match field.takes {
        Takes::Words(options) => {
            let option = |(value, label): &(&'static str, &'static str)| {
                view! { <option value=*value selected=first == *value>{*label}</option> }
            };
            view! {
                <select id=id.clone() aria-describedby=described aria-invalid=invalid on:change:target=move |event| text.set(event.target().value())>
                    {options.iter().map(option).collect_view()}
                </select>
            }
            .into_any()
        }
        Takes::Text | Takes::Lines | Takes::Pairs => {
            let rows = first.lines().count().clamp(2, 10).to_string();
            view! {
                <textarea
                    id=id.clone()
                    class:code=field.takes == Takes::Pairs
                    rows=rows
                    spellcheck=if field.takes == Takes::Pairs { "false" } else { "true" }
                    autocomplete="off"
                    aria-describedby=described
                    aria-invalid=invalid
                    prop:value=first
                    on:input:target=move |event| text.set(event.target().value())
                ></textarea>
            }
            .into_any()
        }
        Takes::Line | Takes::Number => view! {
            <input
                id=id.clone()
                type="text"
                inputmode=(field.takes == Takes::Number).then_some("numeric")
                autocomplete="off"
                readonly=fixed
                value=first
                aria-describedby=described
                aria-invalid=invalid
                on:input:target=move |event| text.set(event.target().value())
            />
        }
        .into_any(),
    };
    view! {
        <div class="field">
            <label for=id>{field.label}</label>
            {control}
            <p class="hint" id=hint_id>
                {field.hint}
                {move || wrong.get().map(|wrong| view! { <span class="wrong" role="alert">{format!(" {wrong}")}</span> })}
            </p>
        </div>
    }
    .into_any()
}
