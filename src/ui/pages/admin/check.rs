//! The check of an agent: a short conversation with it, and its findings.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    protocol::http::{AgentCheck, CheckAgent, Finding, FindingLevel},
    text::escape_invisible,
    ui::{
        browser,
        components::{
            error_message::error_message,
            field::{Control, Field},
            focus::focus_id,
            icons::{Glyph, icon},
        },
    },
};

/// The level of a finding: its value for `data-level`, an icon and a label.
fn describe_level(level: FindingLevel) -> (&'static str, Glyph, &'static str) {
    match level {
        FindingLevel::Good => ("good", Glyph::Check, "Works"),
        FindingLevel::Advice => ("advice", Glyph::Spark, "Advice"),
        FindingLevel::Problem => ("problem", Glyph::Warning, "Problem"),
    }
}

fn row(finding: Finding) -> impl IntoView {
    let (kind, glyph, word) = describe_level(finding.level);
    view! {
        <li data-level=kind>
            {icon(glyph)} <span><span class="sr-only">{format!("{word}: ")}</span> {escape_invisible(&finding.about)}</span>
        </li>
    }
}

/// The form of a check, and its findings.
#[component]
pub(super) fn Check(id: String, name: String, close: Callback<()>) -> impl IntoView {
    let field = format!("check-{id}");
    let text = RwSignal::new(CheckAgent::GREETING.to_owned());
    let busy = RwSignal::new(false);
    let result = RwSignal::new(None::<AgentCheck>);
    let error = RwSignal::new(None::<String>);
    let id = StoredValue::new(id);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        result.set(None);
        error.set(None);
        let request = CheckAgent { text: Some(text.get_untracked()) };
        spawn_local(async move {
            let path = format!("/api/admin/agents/{}/check", id.get_value());
            match browser::post::<_, AgentCheck>(&path, &request).await {
                Ok(check) => drop(result.try_set(Some(check))),
                Err(refusal) => drop(error.try_set(Some(refusal.message()))),
            }
            busy.try_set(false);
        });
    };
    let findings = move || {
        let list = |check: AgentCheck| {
            view! { <ul class="findings">{check.findings.into_iter().map(row).collect_view()}</ul> }
        };
        result.get().map(list)
    };
    let field_id = field.clone();
    request_animation_frame(move || focus_id(&field_id));
    view! {
        <form class="agent-check" aria-label=format!("Check {name}") on:submit=submit>
            <Field
                id=field
                label="First message of the check"
                help="The agent answers it, and then “Thank you.” Its tools are really called. A message that makes the agent ask a question also tests how it asks."
                control=Control::TextLine
                text
                error=Signal::stored(None::<String>)
            />
            <div class="form-actions">
                <button type="submit" class="button" disabled=move || busy.get()>
                    {move || if busy.get() { "Checking" } else { "Run check" }}
                </button>
                <button type="button" class="button quiet-button" on:click=move |_| close.run(())>"Close"</button>
            </div>
            <div role="status">{findings}</div>
            {move || error.get().map(error_message)}
        </form>
    }
    .into_any()
}
