//! The list of all agents, with the reason for each that cannot be used.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::{check::Check, form::AgentForm, loaded::Loaded};
use crate::{
    protocol::http::{AdminAgent, AdminAgents, AgentInfo, AgentKind, AgentSource, LastFailure},
    text::escape_invisible,
    ui::{
        browser,
        components::{
            clock::Timestamp,
            error_message::error_message,
            focus::focus_id,
            icons::{Glyph, icon},
        },
        context::AppContext,
        format,
    },
};

/// The form that is open.
#[derive(Debug, Clone, PartialEq)]
enum Open {
    Nothing,
    New,
    Edit(String),
}

/// Id of the button that adds an agent.
const ADD_BUTTON: &str = "add-agent";

/// Id of the button that edits an agent.
fn edit_button(id: &str) -> String {
    format!("edit-{id}")
}

/// The list, and the form.
#[component]
pub(super) fn AgentsView() -> impl IntoView {
    let app: AppContext = expect_context();
    let agents = Loaded::<AdminAgents>::new(|| "/api/admin/agents".into());
    let open = RwSignal::new(Open::Nothing);
    let status = RwSignal::new(String::new());
    let changed = Callback::new(move |what: String| {
        open.set(Open::Nothing);
        status.set(what);
        agents.reload();
        // The button that had the focus is gone.
        request_animation_frame(|| focus_id(ADD_BUTTON));
        // The agents that this user may ask may have changed.
        spawn_local(async move {
            if let Ok(mine) = browser::get::<Vec<AgentInfo>>("/api/agents").await {
                app.agents.set_value(mine);
            }
        });
    });
    let close = Callback::new(move |()| {
        let opener = match open.get_untracked() {
            Open::Edit(id) => edit_button(&id),
            Open::New | Open::Nothing => ADD_BUTTON.into(),
        };
        open.set(Open::Nothing);
        request_animation_frame(move || focus_id(&opener));
    });
    let row = move |agent: AdminAgent| {
        let id = agent.info.id.clone();
        let entry = agent.entry.clone();
        let is_open = Memo::new(move |_| open.with(|open| *open == Open::Edit(id.clone())));
        view! {
            <li>
                <Show when=move || is_open.get() fallback=move || view! { <Row agent=agent.clone() open changed/> }>
                    <AgentForm before=entry.clone() changed close/>
                </Show>
            </li>
        }
    };
    let list = agents.view(move |AdminAgents { agents }| {
        view! { <ul class="cards" aria-label="Agents">{agents.into_iter().map(row).collect_view()}</ul> }.into_any()
    });
    view! {
        <section class="admin-part" aria-labelledby="agents-title">
            <div class="admin-head">
                <h1 id="agents-title">"Agents"</h1>
                <button type="button" class="button" id=ADD_BUTTON on:click=move |_| open.set(Open::New)>{icon(Glyph::Plus)} "Add agent"</button>
            </div>
            <p class="quiet">"Agents of the configuration file are changed there. Those added here take effect at once, on every node."</p>
            <p class="sr-only" role="status">{status}</p>
            <Show when=move || open.with(|open| *open == Open::New)>
                <AgentForm before=Map::new() changed close/>
            </Show>
            {list}
        </section>
    }
    .into_any()
}

fn kind_label(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Builtin => "Built in",
        AgentKind::Model => "Model",
        AgentKind::AgUi => "AG-UI",
        AgentKind::Replay => "Recording",
    }
}

/// Who may use an agent, as text.
fn describe_access(entry: &Map<String, Value>) -> String {
    let list = |key: &str| -> Vec<&str> {
        let list = entry.get("access").and_then(|access| access.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let roles = list("roles").into_iter().map(|role| if role == "admin" { "administrators" } else { "members" });
    let all: Vec<&str> = roles.chain(list("people")).collect();
    if all.is_empty() { "everyone".into() } else { all.join(", ") }
}

/// The limits of an agent's runs, as text.
fn describe_limits(entry: &Map<String, Value>) -> Option<String> {
    let limit = |key: &str| entry.get("limits").and_then(|limits| limits.get(key)).and_then(Value::as_u64);
    let parts = [
        limit("max_runs").map(|count| format!("{count} at once")),
        limit("max_runs_per_user").map(|count| format!("{count} at once per user")),
        limit("time_limit_ms").map(|ms| format!("{} each", format::duration(i64::try_from(ms).unwrap_or(i64::MAX)))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The sources of tools that an agent may use, as text.
fn describe_tools(entry: &Map<String, Value>) -> Option<String> {
    let ids: Vec<&str> = entry.get("tools")?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!ids.is_empty()).then(|| format!("tools of {}", ids.join(", ")))
}

/// An agent.
#[component]
fn Row(agent: AdminAgent, open: RwSignal<Open>, changed: Callback<String>) -> impl IntoView {
    let AdminAgent { info, source, entry, health, last_failure } = agent;
    let confirming = RwSignal::new(false);
    let error = RwSignal::new(None::<String>);
    let is_editable = source == AgentSource::Page;
    let source = match source {
        AgentSource::BuiltIn => "part of this server",
        AgentSource::File => "configuration file",
        AgentSource::Page => "added here",
    };
    let state = match (&info.disabled, &health) {
        (Some(why), _) => ("disabled", "Cannot be used", Some(why.clone())),
        (None, Some(health)) if !health.ok => ("failing", "Failing", Some(health.about.clone())),
        (None, _) if last_failure.is_some() => ("failing", "Last run failed", None),
        (None, health) => ("usable", "Usable", health.as_ref().map(|health| health.about.clone())),
    };
    let (state, label, about) = state;
    let (id, name) = (StoredValue::new(info.id.clone()), StoredValue::new(escape_invisible(&info.name)));
    let remove = move |_| {
        if !confirming.get_untracked() {
            confirming.set(true);
            return;
        }
        spawn_local(async move {
            match browser::delete(&format!("/api/admin/agents/{}", id.get_value())).await {
                Ok(()) => changed.run(format!("{} was removed.", name.get_value())),
                Err(refused) => {
                    error.try_set(Some(refused.message()));
                    confirming.try_set(false);
                }
            }
        });
    };
    let removed = name.get_value();
    let removal = move || format!("Remove {removed}{}", if confirming.get() { " for good?" } else { "" });
    let edit_id = edit_button(&info.id);
    let changes = move || {
        view! {
            <button
                type="button"
                class="small-button"
                id=edit_id.clone()
                aria-label=format!("Edit {}", name.get_value())
                on:click=move |_| open.set(Open::Edit(id.get_value()))
            >
                "Edit"
            </button>
            <button type="button" class="small-button" aria-label=removal.clone() on:click=remove on:blur=move |_| confirming.set(false)>
                {move || if confirming.get() { "Remove for good?" } else { "Remove" }}
            </button>
        }
    };
    let checks = RwSignal::new(false);
    let check_id = format!("open-check-{}", info.id);
    let opener = StoredValue::new(check_id.clone());
    let close = Callback::new(move |()| {
        checks.set(false);
        request_animation_frame(move || focus_id(&opener.get_value()));
    });
    let usable = info.disabled.is_none();
    let actions = (usable || is_editable).then(|| {
        view! {
            <div class="form-actions">
                {usable.then(|| view! {
                    <button
                        type="button"
                        class="small-button"
                        id=check_id
                        aria-label=format!("Check {}", name.get_value())
                        aria-expanded=move || checks.get().to_string()
                        on:click=move |_| checks.update(|open| *open = !*open)
                    >
                        "Check"
                    </button>
                })}
                {is_editable.then(changes)}
            </div>
        }
    });
    view! {
        <article class="card" aria-label=name.get_value() data-agent=info.id.clone() data-state=state>
            <header class="byline">
                <bdi class="author">{name.get_value()}</bdi>
                <code>{format!("@{}", info.id)}</code>
                <span class="run-state">{label}</span>
            </header>
            {(!info.description.is_empty()).then(|| view! { <p>{info.description.clone()}</p> })}
            {about.map(|about| view! { <p class="card-about">{format::sentence(&about)}</p> })}
            {last_failure.map(|LastFailure { at, message }| view! {
                <p class="card-about">"Last run, " <Timestamp at/> ": " {format::sentence(&message)}</p>
            })}
            <p class="quiet card-facts">
                {format!("{} · {source} · for {}", kind_label(info.kind), describe_access(&entry))}
                {describe_limits(&entry).map(|limits| format!(" · {limits}"))}
                {describe_tools(&entry).map(|tools| format!(" · {tools}"))}
            </p>
            {actions}
            <Show when=move || checks.get()>
                <Check id=id.get_value() name=name.get_value() close/>
            </Show>
            {move || error.get().map(error_message)}
        </article>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn access_and_limits_are_described() {
        let entry = |value: Value| value.as_object().cloned().unwrap_or_default();
        assert_eq!(describe_access(&Map::new()), "everyone");
        assert_eq!(
            describe_access(&entry(json!({"access": {"roles": ["admin"], "people": ["ada@example.org"]}}))),
            "administrators, ada@example.org"
        );
        assert_eq!(describe_limits(&Map::new()), None);
        let limits = describe_limits(&entry(json!({"limits": {"max_runs": 2, "time_limit_ms": 60_000}})));
        assert_eq!(limits.as_deref(), Some("2 at once, 1 min 00 s each"));
    }
}
