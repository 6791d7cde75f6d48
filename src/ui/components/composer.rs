//! Where a person writes: text, files, whom they ask; send, stop.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::{
    clock::use_clock,
    draft::{Chips, Draft, Taken},
    failure::failure,
    focus::WritesNext,
    icons::{Glyph, icon},
    mention::{Mention, MentionList, addressed},
    paste::paste,
};
use crate::{
    protocol::{RunId, http::AgentInfo, limits},
    socket::context::use_socket,
    ui::{
        browser::take_chosen_files,
        context::AppContext,
        format,
        keys::{KeyAction, Lines, key_action},
        layout::is_touch_only,
        outgoing::NewMessage,
    },
};

/// Why a text cannot be sent; an empty reason needs no words.
fn obstacle(text: &str, files: usize, agents: &[AgentInfo]) -> Option<String> {
    if text.len() > limits::MAX_MESSAGE_BYTES {
        return Some(too_long(text));
    }
    let (agent, said) = addressed(text, agents).map_or((None, text), |(agent, said)| (Some(agent), said));
    if let Some(AgentInfo { name, disabled: Some(why), .. }) = agent {
        return Some(format!("{name} cannot be asked now. {}", format::sentence(why)));
    }
    match (said.trim().is_empty(), files, agent) {
        (false, ..) => None,
        (true, 0, None) => Some(String::new()),
        (true, _, Some(agent)) => Some(format!("Ask {} something.", agent.name)),
        (true, _, None) => Some("Ask something about the file to send it.".into()),
    }
}

/// What is wrong with a text that is too long, in the unit in which it is: a letter has one byte or several.
pub(crate) fn too_long(text: &str) -> String {
    let size = |bytes: usize| format::size(bytes as u64);
    let (has, fits) = (size(text.len()), size(limits::MAX_MESSAGE_BYTES));
    // A little too long looks the same when it is rounded.
    let over =
        if has == fits { format!(", by {} bytes", text.len() - limits::MAX_MESSAGE_BYTES) } else { String::new() };
    format!("Too long{over}: this text has {has}, and a message takes {fits}. Attach it as a file.")
}

/// The files that whoever is asked reads, as a file input's `accept` has them; empty: any.
fn accepted(text: &str, current: Option<&str>, agents: &[AgentInfo]) -> String {
    let asked = addressed(text, agents).map(|(agent, _)| agent);
    let asked = asked.or_else(|| agents.iter().find(|agent| Some(agent.id.as_str()) == current));
    asked.map(|agent| agent.files.join(",")).unwrap_or_default()
}

/// The same in words.
fn accepted_in_words(accept: &str) -> String {
    let kinds = [(".csv", "CSV, JSON Lines"), ("image/", "images"), (".pdf", "PDF"), ("text/*", "other text")];
    let named: Vec<&str> = kinds.iter().filter(|(sign, _)| accept.contains(sign)).map(|(_, words)| *words).collect();
    let most = limits::MAX_FILE_BYTES / 1024 / 1024;
    match named.is_empty() {
        true => format!("Files up to {most} MiB."),
        false => format!("Files up to {most} MiB: {}.", named.join(", ")),
    }
}

/// Who answers, and how to have somebody else do so.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// The agent's id, where it is known.
    pub(crate) current: Signal<Option<String>>,
    pub(crate) choose: Callback<String>,
}

/// The composer.
#[component]
pub(crate) fn Composer(
    draft: Draft,
    placeholder: &'static str,
    agent: Choice,
    /// Takes what was written.
    #[prop(into)]
    on_send: Callback<NewMessage>,
    /// The run to stop, while there is one.
    #[prop(into)]
    active: Signal<Option<RunId>>,
) -> impl IntoView {
    let clock = use_clock();
    let socket = use_socket();
    let agents = expect_context::<AppContext>().agents;
    let Draft { text, error, area, stopping, .. } = draft;
    let input = NodeRef::<html::Input>::new();
    let obstacle =
        Memo::new(move |_| text.with(|text| agents.with_value(|agents| obstacle(text, draft.count(), agents))));
    let accept = Memo::new(move |_| {
        let current = agent.current.get();
        text.with(|text| agents.with_value(|agents| accepted(text, current.as_deref(), agents)))
    });
    let mention = Mention::new(text, agents, Callback::new(move |text| draft.suggest(text)));

    // What was typed before the page came alive counts; after that the draft does.
    Effect::new(move |before: Option<()>| {
        let Some(area) = area.get() else { return };
        let (typed, said) = (area.value(), text.get());
        if before.is_none() && said.is_empty() {
            draft.begin(typed);
        } else if said != typed {
            area.set_value(&said);
        }
    });

    // Who came here to write, writes.
    let (next, path) = (expect_context::<WritesNext>(), use_location().pathname);
    Effect::new(move |_| {
        if area.get().is_some() && next.take(&path.get_untracked()) {
            request_animation_frame(move || {
                if let Some(area) = area.try_get_untracked().flatten() {
                    let _ = area.focus();
                }
            });
        }
    });

    let send = move || {
        if obstacle.get_untracked().is_none() {
            let said = text.get_untracked();
            let (agent, said) = agents.with_value(|agents| match addressed(&said, agents) {
                Some((agent, said)) => (Some(agent.id.clone()), said.trim().to_owned()),
                None => (None, said.trim().to_owned()),
            });
            error.set(None);
            let (files, attached) = draft.clear();
            on_send.run(NewMessage { text: said, files, attached, agent });
            // The button is disabled now, and would leave the focus nowhere: keys would reach nothing.
            if let Some(area) = area.get_untracked() {
                let _ = area.focus();
            }
        }
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        send();
    };
    let key = move |event: KeyboardEvent| {
        if !mention.key(&event) && key_action(&event, Lines::Many) == Some(KeyAction::Send) {
            event.prevent_default();
            send();
        }
    };
    let stop = move |_| {
        if let Some(run_id) = active.get_untracked() {
            draft.stop(socket, run_id);
        }
        // The button goes with the run.
        if let Some(area) = area.get_untracked() {
            let _ = area.focus();
        }
    };
    let rows = move || text.with(|text| text.lines().count().clamp(1, 10).to_string());
    // The server cannot know the device.
    let touch = RwSignal::new(false);
    Effect::new(move |_| touch.set(is_touch_only()));
    let reason = move || obstacle.get().filter(|reason| !reason.is_empty());
    let hint = move || {
        let files = || accepted_in_words(&accept.get());
        let keys = || match (active.get(), touch.get()) {
            (Some(_), false) => "Enter sends, and what is sent waits its turn. Escape stops the run.".to_owned(),
            (None, false) => format!("Enter sends, Shift and Enter break the line. {}", files()),
            (Some(_), true) => "What is sent waits its turn.".to_owned(),
            (None, true) => format!("Return breaks the line, the button sends. {}", files()),
        };
        reason().unwrap_or_else(keys)
    };
    view! {
        <form class="composer" on:submit=submit>
            <Taken draft/>
            <Chips draft/>
            {move || error.get().map(failure)}
            <MentionList mention/>
            <label class="sr-only" for="message">"Message"</label>
            <textarea
                id="message"
                name="message"
                node_ref=area
                placeholder=placeholder
                rows=rows
                autocomplete="off"
                enterkeyhint="enter"
                aria-describedby="composer-hint"
                aria-autocomplete="list"
                aria-controls=move || mention.is_open().then_some("mentions")
                aria-activedescendant=move || mention.active()
                on:input:target=move |event| draft.write(event.target().value())
                on:keydown=key
                on:paste=move |event| paste(&event, Some(draft))
            ></textarea>
            <div class="composer-row">
                <input
                    type="file"
                    class="sr-only"
                    node_ref=input
                    multiple
                    accept=move || accept.get()
                    tabindex="-1"
                    aria-hidden="true"
                    on:change:target=move |event| draft.attach(take_chosen_files(&event.target()))
                />
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Attach file"
                    title="Attach file"
                    // Browsers open the file dialog only during a click, so a click before hydration cannot be repeated later.
                    disabled=move || !clock.is_alive()
                    on:click=move |_| if let Some(input) = input.get_untracked() { input.click() }
                >
                    {icon(Glyph::Attach)}
                </button>
                <AgentSelect agent/>
                <span class="hint" class:obstacle=move || reason().is_some() id="composer-hint">{hint}</span>
                <Show when=move || active.get().is_some()>
                    <button
                        type="button"
                        class="button quiet-button"
                        title=move || if socket.is_up_to_date() { "Stop the run (Escape)" } else { "Stopping needs a connection" }
                        aria-keyshortcuts="Escape"
                        disabled=move || !socket.is_up_to_date() || stopping.get().is_some() && stopping.get() == active.get()
                        on:click=stop
                    >
                        {icon(Glyph::Stop)} <span>"Stop"</span>
                    </button>
                </Show>
                <button type="submit" class="button" disabled=move || obstacle.get().is_some()>
                    {icon(Glyph::Send)} <span>"Send"</span>
                </button>
            </div>
        </form>
    }
    .into_any()
}

/// Who answers. Nothing where there is no choice.
#[component]
fn AgentSelect(agent: Choice) -> impl IntoView {
    let app: AppContext = expect_context();
    let agents = app.agents.get_value();
    let Choice { current, choose } = agent;
    let select = NodeRef::<html::Select>::new();
    // The choice may be made elsewhere, or refused.
    Effect::new(move |_| {
        if let (Some(select), Some(current)) = (select.get(), current.get()) {
            select.set_value(&current);
        }
    });
    // One that this person may not use, or that is gone, can still be the thread's.
    let unknown = move || {
        let known = |id: &String| app.agents.with_value(|agents| agents.iter().any(|agent| agent.id == *id));
        current
            .get()
            .filter(|id| !known(id))
            .map(|id| view! { <option value=id.clone() selected disabled>{id.clone()}</option> })
    };
    let first = current.get_untracked();
    let option = |agent: &AgentInfo| {
        let why = agent.disabled.as_deref().map(|why| format!(" (cannot be used: {})", why.trim_end_matches('.')));
        view! {
            <option value=agent.id.clone() disabled=agent.disabled.is_some() selected=first.as_ref() == Some(&agent.id)>
                {format!("{}{}", agent.name, why.unwrap_or_default())}
            </option>
        }
    };
    (agents.len() > 1).then(|| {
        view! {
            <label class="sr-only" for="agent">"Agent"</label>
            <select
                id="agent"
                class="agent-select"
                autocomplete="off"
                title="Who answers"
                node_ref=select
                on:change:target=move |event| choose.run(event.target().value())
            >
                {agents.iter().map(option).collect_view()}
                {unknown}
            </select>
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_within_bounds_can_be_sent() {
        let mut broken = AgentInfo::new("broken", "Broken", "");
        broken.disabled = Some("no url".into());
        let agents = [AgentInfo::new("analyst", "Analyst", ""), broken];
        assert_eq!(obstacle("why?", 0, &agents), None);
        assert_eq!(obstacle("@analyst why?", 0, &agents), None);
        assert_eq!(obstacle(" ", 0, &agents), Some(String::new()));
        assert!(obstacle("", 1, &agents).is_some_and(|reason| !reason.is_empty()));
        assert_eq!(obstacle("@analyst ", 0, &agents).as_deref(), Some("Ask Analyst something."));
        assert!(obstacle("@broken why?", 0, &agents).is_some_and(|reason| reason.contains("No url.")));
        assert!(obstacle(&"a".repeat(limits::MAX_MESSAGE_BYTES + 1), 0, &agents).is_some());
    }

    #[test]
    fn a_text_that_is_too_long_is_told_in_the_unit_of_its_limit() {
        let words = "Too long: this text has 36 kB, and a message takes 33 kB. Attach it as a file.";
        assert_eq!(too_long(&"\u{6587}".repeat(12_000)), words);
        let words = "Too long, by 1 bytes: this text has 33 kB, and a message takes 33 kB. Attach it as a file.";
        assert_eq!(too_long(&"a".repeat(limits::MAX_MESSAGE_BYTES + 1)), words);
    }

    #[test]
    fn the_files_offered_are_those_that_whoever_is_asked_reads() {
        let agent = |id: &str, files: &[&str]| AgentInfo {
            files: files.iter().map(ToString::to_string).collect(),
            ..AgentInfo::new(id, id, "")
        };
        let agents = [agent("analyst", &[".csv"]), agent("eyes", &["image/png", "image/webp"]), agent("any", &[])];
        assert_eq!(accepted("why?", Some("analyst"), &agents), ".csv");
        assert_eq!(accepted("@eyes what is it?", Some("analyst"), &agents), "image/png,image/webp");
        assert_eq!(accepted("", Some("any"), &agents), "");
        assert_eq!(accepted("", None, &agents), "");
        assert_eq!(accepted_in_words("image/png,image/webp"), "Files up to 100 MiB: images.");
        assert_eq!(accepted_in_words(""), "Files up to 100 MiB.");
    }
}
