//! Yes, yes with other arguments, or no: what a person can say to a tool call that waits.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};
use serde_json::{Map, Value, json};

use super::{
    field::{Control, Field, focus},
    icons::{Glyph, icon},
    json::{self, pretty},
};
use crate::{
    protocol::{AnswerStatus, limits},
    ui::keys::is_escape,
};

/// What is being done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Choosing,
    Editing,
    Refusing,
}

/// Approve, approve with other arguments, refuse.
#[component]
pub(crate) fn Consent(
    decide: Callback<(AnswerStatus, Option<Value>)>,
    args: StoredValue<Value>,
    mode: RwSignal<Mode>,
    /// An answer is on its way.
    busy: RwSignal<bool>,
    /// Tells its fields from those of other requests of the page.
    id: String,
) -> impl IntoView {
    let resolve = Callback::new(move |payload: Value| decide.run((AnswerStatus::Resolved, Some(payload))));
    // The way back ends where it began.
    let back = move |to: String| {
        Callback::new(move |()| {
            let to = to.clone();
            mode.set(Mode::Choosing);
            request_animation_frame(move || focus(&to));
        })
    };
    let (edit, refuse) = (format!("{id}-edit"), format!("{id}-refuse"));
    let way = move |id: &String, glyph, label: &'static str, to| {
        view! {
            <button type="button" class="button quiet-button" id=id.clone() disabled=busy on:click=move |_| mode.set(to)>
                {icon(glyph)} {label}
            </button>
        }
    };
    move || {
        match mode.get() {
        Mode::Choosing => view! {
            <div class="ask-actions">
                <button type="button" class="button" disabled=busy on:click=move |_| resolve.run(json!({"approved": true}))>
                    {icon(Glyph::Check)} "Approve"
                </button>
                {way(&refuse, Glyph::Close, "Refuse", Mode::Refusing)}
                {way(&edit, Glyph::Edit, "Edit arguments", Mode::Editing)}
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
        if is_escape(&event) {
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
