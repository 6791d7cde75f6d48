//! The form in which the fields of a prompt are filled in.

use leptos::{ev::SubmitEvent, prelude::*};

use super::{
    PromptView,
    fields::{fields, filled},
    insert_handler,
};
use crate::{protocol::Prompt, text::escape_invisible, ui::components::focus::focus_on};

/// The form.
#[component]
pub(super) fn FillPrompt(view: RwSignal<PromptView>, prompt: Prompt, replaces: Option<String>) -> impl IntoView {
    let insert = insert_handler();
    let Prompt { info, text } = prompt;
    let values: Vec<(String, RwSignal<String>)> =
        fields(&text).into_iter().map(|field| (field, RwSignal::new(String::new()))).collect();
    let text = StoredValue::new(text);
    let all = StoredValue::new(values.clone());
    // A field that is not filled in stays as it is.
    let result = move || {
        let value = |name: &str| {
            let value = all.with_value(|all| all.iter().find(|(known, _)| known == name).map(|(_, value)| *value));
            value.map(|value| value.get()).filter(|value| !value.is_empty())
        };
        text.with_value(|text| filled(text, value))
    };
    let (can_go_back, preview) = (replaces.is_none(), move || escape_invisible(&result()));
    Effect::new(move |_| {
        request_animation_frame(|| {
            focus_on(".prompt-field textarea");
        });
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        insert(replaces.as_deref(), untrack(result));
    };
    let field = |(name, value): (String, RwSignal<String>)| {
        view! {
            <label class="prompt-field">
                <bdi>{escape_invisible(&name)}</bdi>
                <textarea
                    rows=move || value.with(|value| value.lines().count().clamp(1, 6).to_string())
                    on:input:target=move |event| value.set(event.target().value())
                ></textarea>
            </label>
        }
    };
    view! {
        <p><strong><bdi>{escape_invisible(&info.name)}</bdi></strong></p>
        <form class="prompt-form" on:submit=submit>
            {values.into_iter().map(field).collect_view()}
            <div class="prompt-preview" role="group" aria-label="Preview" dir="auto">{preview}</div>
            <div class="prompt-buttons">
                {can_go_back.then(|| view! {
                    <button type="button" class="small-button" on:click=move |_| view.set(PromptView::List)>"All prompts"</button>
                })}
                <button type="submit" class="button">"Insert"</button>
            </div>
        </form>
    }
    .into_any()
}
