//! The approval of a tool call: approve, approve with edited arguments, or deny.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};
use serde_json::{Map, Value, json};

use super::{
    field::{Control, Field},
    focus::focus_id,
    icons::{Glyph, icon},
    json::{json_error, pretty},
};
use crate::{
    protocol::{AnswerStatus, limits},
    ui::keys::is_escape,
};

/// What the approval shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The three buttons.
    Choosing,
    /// A form to edit the arguments.
    Editing,
    /// A form for the reason of a denial.
    Denying,
}

/// The buttons and forms that approve or deny a tool call.
#[component]
pub(crate) fn Approval(
    decide: Callback<(AnswerStatus, Option<Value>)>,
    args: StoredValue<Value>,
    mode: RwSignal<Mode>,
    /// Whether an answer is being sent.
    busy: RwSignal<bool>,
    /// A prefix of element ids, unique in the page.
    id: String,
) -> impl IntoView {
    let resolve = Callback::new(move |payload: Value| decide.run((AnswerStatus::Resolved, Some(payload))));
    // Going back focuses the button that opened the form.
    let back = move |button: String| {
        Callback::new(move |()| {
            let button = button.clone();
            mode.set(Mode::Choosing);
            request_animation_frame(move || focus_id(&button));
        })
    };
    let (edit, deny) = (format!("{id}-edit"), format!("{id}-deny"));
    let mode_button = move |id: &String, glyph, label: &'static str, next| {
        view! {
            <button type="button" class="button quiet-button" id=id.clone() disabled=busy on:click=move |_| mode.set(next)>
                {icon(glyph)} {label}
            </button>
        }
    };
    move || {
        match mode.get() {
        Mode::Choosing => view! {
            <div class="form-actions">
                <button type="button" class="button" disabled=busy on:click=move |_| resolve.run(json!({"approved": true}))>
                    {icon(Glyph::Check)} "Approve"
                </button>
                {mode_button(&deny, Glyph::Close, "Deny", Mode::Denying)}
                {mode_button(&edit, Glyph::Edit, "Edit arguments", Mode::Editing)}
            </div>
        }
        .into_any(),
        Mode::Editing => view! { <EditArguments id=id.clone() args resolve back=back(edit.clone())/> }.into_any(),
        Mode::Denying => view! { <DenyForm id=id.clone() resolve back=back(deny.clone())/> }.into_any(),
    }
    }
}

/// Parses edited arguments; they must be a JSON object.
fn parse_arguments(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(args)) => Ok(args),
        Ok(_) => Err("Arguments must be a JSON object: { … }.".into()),
        Err(error) => Err(json_error(&error)),
    }
}

/// A form to edit the arguments.
#[component]
fn EditArguments(id: String, args: StoredValue<Value>, resolve: Callback<Value>, back: Callback<()>) -> impl IntoView {
    let text = RwSignal::new(args.with_value(|args| pretty(&args.to_string())));
    let error = RwSignal::new(None::<String>);
    let id = format!("{id}-args");
    let field = id.clone();
    let submit = move || match parse_arguments(&text.get_untracked()) {
        Ok(args) => resolve.run(json!({"approved": true, "editedArgs": args})),
        Err(message) => {
            error.set(Some(message));
            focus_id(&field);
        }
    };
    view! {
        <AnswerFieldForm id=id.clone() submit back label="Approve with these arguments" glyph=Glyph::Check>
            <Field id label="Arguments, as JSON" control=Control::TextArea { code: true } text error/>
        </AnswerFieldForm>
    }
    .into_any()
}

/// A form for the reason of a denial, which may be empty.
#[component]
fn DenyForm(id: String, resolve: Callback<Value>, back: Callback<()>) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let submit = move || {
        let reason = text.with_untracked(|text| text.trim().to_owned());
        resolve.run(match reason.is_empty() {
            true => json!({"approved": false}),
            false => json!({"approved": false, "reason": reason}),
        });
    };
    let id = format!("{id}-reason");
    let error = Signal::stored(None::<String>);
    view! {
        <AnswerFieldForm id=id.clone() submit back label="Deny" glyph=Glyph::Close>
            <Field
                id
                label="Reason (optional)"
                help="This is sent to the agent."
                control=Control::TextLine
                text
                error
                max_length=limits::MAX_TITLE_CHARS
            />
        </AnswerFieldForm>
    }
    .into_any()
}

/// A form around one field, which it scrolls to and focuses. Escape goes back, and does not stop the run.
#[component]
fn AnswerFieldForm(
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
            focus_id(&id);
            form.scroll_into_view_with_bool(false);
        }
    });
    let on_submit = move |event: SubmitEvent| {
        event.prevent_default();
        submit();
        // An error message makes the form longer.
        request_animation_frame(move || {
            if let Some(form) = form.try_get_untracked().flatten() {
                form.scroll_into_view_with_bool(false);
            }
        });
    };
    let on_keydown = move |event: KeyboardEvent| {
        if is_escape(&event) {
            event.prevent_default();
            back.run(());
        }
    };
    view! {
        <form class="schema-form" novalidate node_ref=form on:submit=on_submit on:keydown=on_keydown>
            {children()}
            <div class="form-actions">
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
    fn arguments_must_be_an_object() {
        assert_eq!(parse_arguments("{\"a\": 1}").map(|args| args.len()), Ok(1));
        assert!(parse_arguments("[1]").is_err_and(|error| error.contains("object")));
        assert!(parse_arguments("{").is_err_and(|error| error.contains("Invalid JSON")));
    }
}
