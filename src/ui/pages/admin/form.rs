//! The form of an agent. An error from the server is shown at the field whose key it names.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::entry::{self, FIELDS, FieldError, Format, KINDS, field_error, updated_entry};
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

/// The state of the form.
#[derive(Clone, Copy)]
struct FormState {
    /// The entry before the change; empty for a new agent.
    before: StoredValue<Map<String, Value>>,
    is_new: bool,
    kind: RwSignal<String>,
    /// The text of each of [`FIELDS`].
    texts: StoredValue<Vec<RwSignal<String>>>,
    error: RwSignal<Option<FieldError>>,
    is_saving: RwSignal<bool>,
}

impl FormState {
    fn new(before: Map<String, Value>) -> Self {
        let kind = before.get("kind").and_then(Value::as_str).unwrap_or(KINDS[0].0).to_owned();
        Self {
            is_new: before.is_empty(),
            kind: RwSignal::new(kind),
            texts: StoredValue::new(FIELDS.iter().map(|field| RwSignal::new(field.text(&before))).collect()),
            before: StoredValue::new(before),
            error: RwSignal::new(None),
            is_saving: RwSignal::new(false),
        }
    }

    /// The id and the entry that the form describes.
    fn entry(self) -> Result<(String, Map<String, Value>), FieldError> {
        let texts: Vec<String> = self.texts.with_value(|texts| texts.iter().map(RwSignal::get_untracked).collect());
        let entry = self.before.with_value(|before| updated_entry(before, &self.kind.get_untracked(), &texts))?;
        let id_error = |message: &str| FieldError { key: "id", message: message.to_owned() };
        match entry.get("id").and_then(Value::as_str) {
            Some(id) if is_url_safe(id) => Ok((id.to_owned(), entry)),
            Some(_) => Err(id_error("Only a-z, 0-9, - and _ are allowed, at most 64 of them.")),
            None => Err(id_error("This is required.")),
        }
    }

    /// Sends the entry to the server, unless it is being sent.
    fn save(self, changed: Callback<String>) {
        if self.is_saving.get_untracked() {
            return;
        }
        self.error.set(None);
        let (id, entry) = match self.entry() {
            Ok(entry) => entry,
            Err(error) => return self.show(error),
        };
        self.is_saving.set(true);
        spawn_local(async move {
            let saved = browser::put::<_, AdminAgent>(&format!("/api/admin/agents/{id}"), &entry).await;
            self.is_saving.try_set(false);
            match saved {
                Ok(agent) => changed.run(format!("{} was saved.", agent.info.name)),
                Err(RequestError::Refused(problem)) if problem.code == "invalid_payload" => {
                    self.show(field_error(&problem.detail));
                }
                Err(RequestError::Refused(problem)) if problem.code == "conflict" => {
                    self.show(FieldError { key: "id", message: problem.detail });
                }
                Err(other) => self.show(FieldError { key: "", message: other.message() }),
            }
        });
    }

    /// Shows an error at its field, and focuses the field.
    fn show(self, error: FieldError) {
        let id = element_id(error.key);
        self.error.set(Some(error));
        request_animation_frame(move || focus_id(&id));
    }

    /// The error at a field; empty: one without a field.
    fn error_at(self, key: &str) -> Option<String> {
        self.error.with(|error| error.as_ref().filter(|error| error.key == key).map(|error| sentence(&error.message)))
    }

    /// The fields of agents of the chosen kind.
    fn fields(self) -> impl IntoView {
        let kind = self.kind.get();
        let of_kind = FIELDS.iter().enumerate().filter(move |(_, field)| field.applies_to(&kind));
        let view = of_kind.map(move |(index, field)| {
            view! {
                <Field
                    id=element_id(field.key)
                    label=field.label
                    help=field.hint
                    control=control(field)
                    text=self.texts.with_value(|texts| texts[index])
                    error=Signal::derive(move || self.error_at(field.key))
                    read_only=field.key == "id" && !self.is_new
                />
            }
        });
        view.collect_view()
    }
}

/// The form for a new agent (`before` is empty), or to change one.
#[component]
pub(super) fn AgentForm(before: Map<String, Value>, changed: Callback<String>, close: Callback<()>) -> impl IntoView {
    let is_new = before.is_empty();
    let title = if is_new { "New agent".to_owned() } else { format!("Edit {}", FIELDS[1].text(&before)) };
    let state = FormState::new(before);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        state.save(changed);
    };
    request_animation_frame(move || focus_id(&element_id(if is_new { "id" } else { "name" })));
    view! {
        <form class="card agent-form" aria-label=title.clone() novalidate on:submit=submit>
            <h2>{title.clone()}</h2>
            <Field id=element_id("kind") label="Kind" control=Control::Select(options(KINDS)) text=state.kind error=Signal::stored(None::<String>)/>
            {move || state.fields()}
            {move || state.error_at("").map(error_message)}
            <div class="form-actions">
                <button type="submit" class="button" disabled=move || state.is_saving.get()>"Save"</button>
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
