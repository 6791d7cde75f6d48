//! The list of all agents, with the reason for each that cannot be used.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::{check::Check, fetched::Fetched, form::AgentForm};
use crate::{
    protocol::http::{AdminAgent, AdminAgents, AgentInfo, AgentKind, AgentSource, FeedbackCounts, LastFailure},
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
    let agents = Fetched::<AdminAgents>::new(|| "/api/admin/agents".into());
    let open = RwSignal::new(Open::Nothing);
    let status = RwSignal::new(String::new());
    let changed = Callback::new(move |announcement: String| {
        open.set(Open::Nothing);
        status.set(announcement);
        agents.reload();
        // The button that had the focus is gone.
        request_animation_frame(|| focus_id(ADD_BUTTON));
        // The change may concern which agents this user can use.
        spawn_local(async move {
            if let Ok(agents) = browser::get::<Vec<AgentInfo>>("/api/agents").await {
                app.agents.set_value(agents);
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

fn source_label(source: AgentSource) -> &'static str {
    match source {
        AgentSource::BuiltIn => "part of this server",
        AgentSource::File => "configuration file",
        AgentSource::Page => "added here",
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

/// The state of an agent: its value for `data-state`, its label, and details.
fn describe_state(agent: &AdminAgent) -> (&'static str, &'static str, Option<String>) {
    match (&agent.info.disabled, &agent.health) {
        (Some(reason), _) => ("disabled", "Cannot be used", Some(reason.clone())),
        (None, Some(health)) if !health.ok => ("failing", "Failing", Some(health.about.clone())),
        (None, _) if agent.last_failure.is_some() => ("failing", "Last run failed", None),
        (None, health) => ("usable", "Usable", health.as_ref().map(|health| health.about.clone())),
    }
}

/// The buttons that edit and remove an agent; removing takes a second press.
#[component]
fn EditButtons(
    id: String,
    name: String,
    open: RwSignal<Open>,
    error: RwSignal<Option<String>>,
    changed: Callback<String>,
) -> impl IntoView {
    let confirming = RwSignal::new(false);
    let edit_id = edit_button(&id);
    let edit_label = format!("Edit {name}");
    let (id, name) = (StoredValue::new(id), StoredValue::new(name));
    let remove = move |_| {
        if !confirming.get_untracked() {
            confirming.set(true);
            return;
        }
        spawn_local(async move {
            match browser::delete(&format!("/api/admin/agents/{}", id.get_value())).await {
                Ok(()) => changed.run(format!("{} was removed.", name.get_value())),
                Err(refusal) => {
                    error.try_set(Some(refusal.message()));
                    confirming.try_set(false);
                }
            }
        });
    };
    let remove_label =
        move || format!("Remove {}{}", name.get_value(), if confirming.get() { " permanently?" } else { "" });
    view! {
        <button
            type="button"
            class="small-button"
            id=edit_id
            aria-label=edit_label
            on:click=move |_| open.set(Open::Edit(id.get_value()))
        >
            "Edit"
        </button>
        <button type="button" class="small-button" aria-label=remove_label on:click=remove on:blur=move |_| confirming.set(false)>
            {move || if confirming.get() { "Remove permanently?" } else { "Remove" }}
        </button>
    }
}

/// How its answers were rated; `None` if none was.
fn describe_feedback(FeedbackCounts { good, bad }: FeedbackCounts) -> Option<String> {
    (good + bad > 0).then(|| format!("answers rated good {good}, bad {bad}"))
}

/// An agent.
#[component]
fn Row(agent: AdminAgent, open: RwSignal<Open>, changed: Callback<String>) -> impl IntoView {
    let (state, label, about) = describe_state(&agent);
    let AdminAgent { info, source, entry, last_failure, feedback, .. } = agent;
    let error = RwSignal::new(None::<String>);
    let is_editable = source == AgentSource::Page;
    let source = source_label(source);
    let (id, name) = (StoredValue::new(info.id.clone()), StoredValue::new(escape_invisible(&info.name)));
    let is_checking = RwSignal::new(false);
    let check_button = StoredValue::new(format!("open-check-{}", info.id));
    let close = Callback::new(move |()| {
        is_checking.set(false);
        request_animation_frame(move || focus_id(&check_button.get_value()));
    });
    let is_usable = info.disabled.is_none();
    let actions = (is_usable || is_editable).then(|| {
        view! {
            <div class="form-actions">
                {is_usable.then(|| view! {
                    <button
                        type="button"
                        class="small-button"
                        id=check_button.get_value()
                        aria-label=format!("Check {}", name.get_value())
                        aria-expanded=move || is_checking.get().to_string()
                        on:click=move |_| is_checking.update(|open| *open = !*open)
                    >
                        "Check"
                    </button>
                })}
                {is_editable.then(|| view! { <EditButtons id=id.get_value() name=name.get_value() open error changed/> })}
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
                {describe_feedback(feedback).map(|feedback| format!(" · {feedback}"))}
            </p>
            {actions}
            <Show when=move || is_checking.get()>
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
