//! The agents as administrators see them: all, those that cannot be used among them, with the reason.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::{check::Check, form::AgentForm, loaded::Loaded};
use crate::{
    protocol::http::{AdminAgent, AdminAgents, AgentInfo, AgentKind, AgentSource, LastFailure},
    text::visible,
    ui::{
        browser,
        components::{
            clock::Moment,
            failure::failure,
            field::focus,
            icons::{Glyph, icon},
        },
        context::AppContext,
        format,
    },
};

/// What is open for writing.
#[derive(Debug, Clone, PartialEq)]
enum Open {
    Nothing,
    New,
    Changed(String),
}

/// The button that begins a new agent.
const ADD: &str = "add-agent";

/// The button that begins a change.
fn edit_of(id: &str) -> String {
    format!("edit-{id}")
}

/// The list, and the form.
#[component]
pub(super) fn AgentsView() -> impl IntoView {
    let app: AppContext = expect_context();
    let agents = Loaded::<AdminAgents>::new(|| "/api/admin/agents".into());
    let open = RwSignal::new(Open::Nothing);
    let told = RwSignal::new(String::new());
    let changed = Callback::new(move |what: String| {
        open.set(Open::Nothing);
        told.set(what);
        agents.again();
        // What was pressed is gone.
        request_animation_frame(|| focus(ADD));
        // What the person may ask changed, too.
        spawn_local(async move {
            if let Ok(mine) = browser::get::<Vec<AgentInfo>>("/api/agents").await {
                app.agents.set_value(mine);
            }
        });
    });
    let close = Callback::new(move |()| {
        let opener = match open.get_untracked() {
            Open::Changed(id) => edit_of(&id),
            Open::New | Open::Nothing => ADD.into(),
        };
        open.set(Open::Nothing);
        request_animation_frame(move || focus(&opener));
    });
    let row = move |agent: AdminAgent| {
        let id = agent.info.id.clone();
        let entry = agent.entry.clone();
        let is_open = Memo::new(move |_| open.with(|open| *open == Open::Changed(id.clone())));
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
                <button type="button" class="button" id=ADD on:click=move |_| open.set(Open::New)>{icon(Glyph::Plus)} "Add agent"</button>
            </div>
            <p class="quiet">"Those of the configuration file are changed there; those added here take effect at once, on every node."</p>
            <p class="sr-only" role="status">{told}</p>
            <Show when=move || open.with(|open| *open == Open::New)>
                <AgentForm before=Map::new() changed close/>
            </Show>
            {list}
        </section>
    }
    .into_any()
}

fn kind_of(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Builtin => "Built in",
        AgentKind::Model => "Model",
        AgentKind::AgUi => "AG-UI",
        AgentKind::Replay => "Recording",
    }
}

/// Who may use an agent, in words.
fn who(entry: &Map<String, Value>) -> String {
    let list = |key: &str| -> Vec<&str> {
        let list = entry.get("access").and_then(|access| access.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let roles = list("roles").into_iter().map(|role| if role == "admin" { "administrators" } else { "members" });
    let all: Vec<&str> = roles.chain(list("people")).collect();
    if all.is_empty() { "everyone".into() } else { all.join(", ") }
}

/// What an agent's runs may take, in words.
fn limits(entry: &Map<String, Value>) -> Option<String> {
    let of = |key: &str| entry.get("limits").and_then(|limits| limits.get(key)).and_then(Value::as_u64);
    let parts = [
        of("max_runs").map(|count| format!("{count} at once")),
        of("max_runs_per_user").map(|count| format!("{count} at once for each person")),
        of("time_limit_ms").map(|ms| format!("{} each", format::duration(i64::try_from(ms).unwrap_or(i64::MAX)))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The sources of tools that an agent may use, in words.
fn tools(entry: &Map<String, Value>) -> Option<String> {
    let ids: Vec<&str> = entry.get("tools")?.as_array()?.iter().filter_map(Value::as_str).collect();
    (!ids.is_empty()).then(|| format!("tools of {}", ids.join(", ")))
}

/// An agent.
#[component]
fn Row(agent: AdminAgent, open: RwSignal<Open>, changed: Callback<String>) -> impl IntoView {
    let AdminAgent { info, source, entry, health, last_failure } = agent;
    let sure = RwSignal::new(false);
    let error = RwSignal::new(None::<String>);
    let of_page = source == AgentSource::Page;
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
    let (id, name) = (StoredValue::new(info.id.clone()), StoredValue::new(visible(&info.name)));
    let remove = move |_| {
        if !sure.get_untracked() {
            sure.set(true);
            return;
        }
        spawn_local(async move {
            match browser::delete(&format!("/api/admin/agents/{}", id.get_value())).await {
                Ok(()) => changed.run(format!("{} was removed.", name.get_value())),
                Err(refused) => {
                    error.try_set(Some(refused.message()));
                    sure.try_set(false);
                }
            }
        });
    };
    let removed = name.get_value();
    let removal = move || format!("Remove {removed}{}", if sure.get() { " for good?" } else { "" });
    let edit_id = edit_of(&info.id);
    let changes = move || {
        view! {
            <button
                type="button"
                class="small-button"
                id=edit_id.clone()
                aria-label=format!("Edit {}", name.get_value())
                on:click=move |_| open.set(Open::Changed(id.get_value()))
            >
                "Edit"
            </button>
            <button type="button" class="small-button" aria-label=removal.clone() on:click=remove on:blur=move |_| sure.set(false)>
                {move || if sure.get() { "Remove for good?" } else { "Remove" }}
            </button>
        }
    };
    let checks = RwSignal::new(false);
    let check_id = format!("open-check-{}", info.id);
    let opener = StoredValue::new(check_id.clone());
    let close = Callback::new(move |()| {
        checks.set(false);
        request_animation_frame(move || focus(&opener.get_value()));
    });
    let usable = info.disabled.is_none();
    let actions = (usable || of_page).then(|| {
        view! {
            <div class="ask-actions">
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
                {of_page.then(changes)}
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
                <p class="card-about">"Last run, " <Moment at/> ": " {format::sentence(&message)}</p>
            })}
            <p class="quiet card-facts">
                {format!("{} · {source} · for {}", kind_of(info.kind), who(&entry))}
                {limits(&entry).map(|limits| format!(" · {limits}"))}
                {tools(&entry).map(|tools| format!(" · {tools}"))}
            </p>
            {actions}
            <Show when=move || checks.get()>
                <Check id=id.get_value() name=name.get_value() close/>
            </Show>
            {move || error.get().map(failure)}
        </article>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_may_use_an_agent_and_how_much_is_said_in_words() {
        let entry = |value: Value| value.as_object().cloned().unwrap_or_default();
        assert_eq!(who(&Map::new()), "everyone");
        assert_eq!(
            who(&entry(json!({"access": {"roles": ["admin"], "people": ["ada@example.org"]}}))),
            "administrators, ada@example.org"
        );
        assert_eq!(limits(&Map::new()), None);
        let told = limits(&entry(json!({"limits": {"max_runs": 2, "time_limit_ms": 60_000}})));
        assert_eq!(told.as_deref(), Some("2 at once, 1 min 00 s each"));
    }
}
