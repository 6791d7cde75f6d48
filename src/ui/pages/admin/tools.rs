//! The sources of tools: their state, and the consent that each tool needs.

use leptos::prelude::*;

use super::fetched::Fetched;
use crate::{
    protocol::http::{AdminTools, Consent, ToolInfo, ToolSource, ToolSourceState},
    text::escape_invisible,
    ui::{
        components::{
            collapsible::Collapsible,
            icons::{Glyph, icon},
            json::LongText,
        },
        format,
    },
};

/// The list of sources.
#[component]
pub(super) fn ToolsView() -> impl IntoView {
    let tools = Fetched::<AdminTools>::new(|| "/api/admin/tools".into());
    let list = tools.view(|AdminTools { sources }| {
        let rows = sources.into_iter().map(|source| view! { <li><Source source/></li> }).collect_view();
        view! { <ul class="cards" aria-label="Sources of tools">{rows}</ul> }.into_any()
    });
    view! {
        <section class="admin-part" aria-labelledby="tools-title">
            <div class="admin-head">
                <h2 id="tools-title">"Tools"</h2>
                <button type="button" class="small-button" on:click=move |_| tools.reload()>{icon(Glyph::Redo)} "Refresh"</button>
            </div>
            <p class="quiet">
                "Tools for models, configured in the file under " <code>"[[tools]]"</code>
                ". Each node connects when a model first needs a tool; this is the state on the node that serves this page."
            </p>
            {list}
        </section>
    }
    .into_any()
}

/// The state of a source: its value for `data-state`, its label, and details.
fn describe_state(state: &ToolSourceState) -> (&'static str, &'static str, Option<String>) {
    match state {
        ToolSourceState::Idle => ("idle", "Not connected yet", None),
        ToolSourceState::Ready { left_out, .. } => {
            let more = (*left_out > 0).then(|| {
                let them = if *left_out == 1 { "1 more is".into() } else { format!("{left_out} more are") };
                format!("{them} left out: raise max_tools to use them.")
            });
            ("usable", "Ready", more)
        }
        ToolSourceState::Unavailable { reason, .. } => {
            let about = format!("{} The server tries again when a model needs it.", format::sentence(reason));
            ("failing", "Not available", Some(about))
        }
        ToolSourceState::Disabled { reason } => ("disabled", "Cannot be used", Some(format::sentence(reason))),
    }
}

fn consent_label(consent: Consent) -> (&'static str, &'static str) {
    match consent {
        Consent::Automatic => ("automatic", "Automatic"),
        Consent::Ask => ("ask", "Asks first"),
        Consent::Off => ("off", "Off"),
    }
}

/// How many tools there are, by the consent they need.
fn summarize(tools: &[ToolInfo]) -> String {
    let count = |consent| tools.iter().filter(|tool| tool.consent == consent).count();
    let parts = [(Consent::Automatic, "automatic"), (Consent::Ask, "asking first"), (Consent::Off, "off")];
    let parts: Vec<_> =
        parts.into_iter().map(|(consent, label)| (count(consent), label)).filter(|(count, _)| *count > 0).collect();
    match parts[..] {
        [] => "No tools".into(),
        [(1, label)] => format!("1 tool, {label}"),
        [(all, label)] => format!("{all} tools, all {label}"),
        _ => {
            let parts: Vec<String> = parts.iter().map(|(count, label)| format!("{count} {label}")).collect();
            format!("{} tools: {}", tools.len(), parts.join(", "))
        }
    }
}

/// A source of tools.
#[component]
fn Source(source: ToolSource) -> impl IntoView {
    let ToolSource { id, state } = source;
    let (name, label, about) = describe_state(&state);
    let (tools, last_output) = match state {
        ToolSourceState::Ready { tools, .. } => (Some(tools), None),
        ToolSourceState::Unavailable { last_output, .. } => (None, last_output),
        ToolSourceState::Idle | ToolSourceState::Disabled { .. } => (None, None),
    };
    let tools = tools.map(|tools| {
        let summary = summarize(&tools);
        let tool = |ToolInfo { name, consent }: ToolInfo| {
            let (consent, label) = consent_label(consent);
            view! { <li class="tool-row"><code>{escape_invisible(&name)}</code> <span class="consent" data-consent=consent>{label}</span></li> }
        };
        let summary = move || view! { {icon(Glyph::Chevron)} <span class="summary-name">{summary.clone()}</span> };
        view! {
            <Collapsible open=false class="aside" summary>
                <ul class="tool-rows">{tools.iter().cloned().map(tool).collect_view()}</ul>
            </Collapsible>
        }
    });
    let last_output = last_output.filter(|text| !text.trim().is_empty()).map(|text| {
        view! { <p class="label">"Last output"</p> <LongText text=Signal::stored(text) label="Last output"/> }
    });
    view! {
        <article class="card" aria-label=id.clone() data-tools=id.clone() data-state=name>
            <header class="byline">
                <code class="author">{id.clone()}</code>
                <span class="run-state">{label}</span>
            </header>
            {about.map(|about| view! { <p class="card-about">{about}</p> })}
            {last_output}
            {tools}
        </article>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_counted_by_consent() {
        let tool = |consent| ToolInfo { name: "t".into(), consent };
        assert_eq!(summarize(&[]), "No tools");
        assert_eq!(summarize(&[tool(Consent::Ask)]), "1 tool, asking first");
        assert_eq!(summarize(&[tool(Consent::Off), tool(Consent::Off)]), "2 tools, all off");
        let several = [tool(Consent::Ask), tool(Consent::Off), tool(Consent::Automatic), tool(Consent::Ask)];
        assert_eq!(summarize(&several), "4 tools: 1 automatic, 2 asking first, 1 off");
    }

    #[test]
    fn an_unavailable_source_is_explained() {
        let gone = ToolSourceState::Unavailable { reason: "the program ended".into(), last_output: None };
        let (name, _, about) = describe_state(&gone);
        assert_eq!(name, "failing");
        assert_eq!(about.as_deref(), Some("The program ended. The server tries again when a model needs it."));
        let (.., about) = describe_state(&ToolSourceState::Ready { tools: Vec::new(), left_out: 2 });
        assert_eq!(about.as_deref(), Some("2 more are left out: raise max_tools to use them."));
    }
}
