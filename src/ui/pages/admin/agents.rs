//! The agents as administrators see them: all, those that cannot be used among them, with the reason.

use leptos::{prelude::*, task::spawn_local};
use serde_json::{Map, Value};

use super::form::AgentForm;
use crate::{
    protocol::http::{AdminAgent, AdminAgents, AgentInfo, AgentKind, AgentSource},
    ui::{
        app::Facts,
        browser,
        components::icons::{Glyph, icon},
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

/// The list, and the form.
#[component]
pub(super) fn AgentsView() -> impl IntoView {
    let facts: Facts = expect_context();
    let agents = RwSignal::new(None::<Result<Vec<AdminAgent>, String>>);
    let open = RwSignal::new(Open::Nothing);
    let load = move || {
        spawn_local(async move {
            let answer = browser::get::<AdminAgents>("/api/admin/agents").await;
            agents.try_set(Some(answer.map(|all| all.agents).map_err(|error| error.message())));
        });
    };
    Effect::new(move |_| load());
    let changed = Callback::new(move |()| {
        open.set(Open::Nothing);
        load();
        // What the person may ask changed, too.
        spawn_local(async move {
            if let Ok(mine) = browser::get::<Vec<AgentInfo>>("/api/agents").await {
                facts.agents.set_value(mine);
            }
        });
    });
    let close = Callback::new(move |()| open.set(Open::Nothing));
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
    let list = move || match agents.get() {
        None => {
            view! { <p class="quiet" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p> }
                .into_any()
        }
        Some(Err(error)) => {
            view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{error}</span></p> }.into_any()
        }
        Some(Ok(agents)) => {
            view! { <ul class="agents" aria-label="Agents">{agents.into_iter().map(row).collect_view()}</ul> }
                .into_any()
        }
    };
    view! {
        <section class="admin-part" aria-labelledby="agents-title">
            <div class="admin-head">
                <h1 id="agents-title">"Agents"</h1>
                <button type="button" class="button" on:click=move |_| open.set(Open::New)>{icon(Glyph::Plus)} "Add agent"</button>
            </div>
            <p class="quiet">"Those of the configuration file are changed there; those added here take effect at once, on every node."</p>
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

/// An agent.
#[component]
fn Row(agent: AdminAgent, open: RwSignal<Open>, changed: Callback<()>) -> impl IntoView {
    let AdminAgent { info, source, entry, health } = agent;
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
        (None, Some(health)) if !health.ok => ("away", "Not reachable", Some(health.about.clone())),
        (None, health) => ("usable", "Usable", health.as_ref().map(|health| health.about.clone())),
    };
    let (name, label, about) = state;
    let id = StoredValue::new(info.id.clone());
    let remove = move |_| {
        if !sure.get_untracked() {
            sure.set(true);
            return;
        }
        spawn_local(async move {
            match browser::delete(&format!("/api/admin/agents/{}", id.get_value())).await {
                Ok(()) => changed.run(()),
                Err(refused) => {
                    error.try_set(Some(refused.message()));
                    sure.try_set(false);
                }
            }
        });
    };
    let removed = info.name.clone();
    let removal = move || format!("Remove {removed}{}", if sure.get() { " for good?" } else { "" });
    let actions = of_page.then(|| {
        view! {
            <div class="ask-actions">
                <button
                    type="button"
                    class="small-button"
                    aria-label=format!("Edit {}", info.name)
                    on:click=move |_| open.set(Open::Changed(id.get_value()))
                >
                    "Edit"
                </button>
                <button type="button" class="small-button" aria-label=removal on:click=remove>
                    {move || if sure.get() { "Remove for good?" } else { "Remove" }}
                </button>
            </div>
        }
    });
    view! {
        <article class="agent-card" aria-label=info.name.clone() data-agent=info.id.clone() data-agent-state=name>
            <header class="byline">
                <span class="author">{info.name.clone()}</span>
                <code>{format!("@{}", info.id)}</code>
                <span class="run-state">{label}</span>
            </header>
            {(!info.description.is_empty()).then(|| view! { <p>{info.description.clone()}</p> })}
            {about.map(|about| view! { <p class="agent-about">{format::sentence(&about)}</p> })}
            <p class="quiet agent-facts">
                {format!("{} · {source} · for {}", kind_of(info.kind), who(&entry))}
                {limits(&entry).map(|limits| format!(" · {limits}"))}
            </p>
            {actions}
            {move || error.get().map(|error| view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{error}</span></p> })}
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
