//! Where a person writes: text, files, whom they ask; send, stop.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};

use super::{
    clock::use_clock,
    icons::{Glyph, icon},
    mention::{Mention, MentionList, addressed},
};
use crate::{
    protocol::{Attachment, RunId, StopRun, ThreadId, http::AgentInfo, limits},
    socket::context::{Socket, use_socket},
    ui::{
        app::Facts,
        browser::{self, LocalFile, chosen},
        drafts, format,
        outgoing::Written,
    },
};

/// What was taken back while something else was being written: it waits to be taken up.
#[derive(Debug, Clone, PartialEq)]
struct Returned {
    text: String,
    attached: Vec<Attachment>,
}

/// What is being written. The text is remembered for as long as the tab lives, so that a session that ends, a reload or a
/// look at another thread does not lose it.
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    key: StoredValue<Option<String>>,
    text: RwSignal<String>,
    files: RwSignal<Vec<LocalFile>>,
    /// Files that the thread has already.
    attached: RwSignal<Vec<Attachment>>,
    returned: RwSignal<Vec<Returned>>,
    error: RwSignal<Option<String>>,
    area: NodeRef<html::Textarea>,
    stopping: RwSignal<Option<RunId>>,
}

impl Draft {
    /// The draft for a thread, or for a new one.
    pub(crate) fn new(thread: Option<ThreadId>) -> Self {
        let user = use_socket().user().with_untracked(|user| user.as_ref().map(|user| user.id));
        Self {
            key: StoredValue::new(user.map(|user| drafts::key(user, thread))),
            text: RwSignal::new(String::new()),
            files: RwSignal::new(Vec::new()),
            attached: RwSignal::new(Vec::new()),
            returned: RwSignal::new(Vec::new()),
            error: RwSignal::new(None),
            area: NodeRef::new(),
            stopping: RwSignal::new(None),
        }
    }

    fn write(self, text: String) {
        self.key.with_value(|key| {
            if let Some(key) = key {
                browser::remember(key, &text);
            }
        });
        self.text.set(text);
    }

    fn remembered(self) -> String {
        self.key.with_value(|key| key.as_deref().and_then(browser::remembered)).unwrap_or_default()
    }

    /// Asks for the end of a run; says why not, if it is refused.
    pub(crate) fn stop(self, socket: Socket, run_id: RunId) {
        if self.stopping.get_untracked() == Some(run_id) {
            return;
        }
        self.stopping.set(Some(run_id));
        spawn_local(async move {
            if let Err(refused) = socket.send(StopRun { run_id }).await {
                self.refuse(format::refusal(&refused));
                self.stopping.try_set(None);
            }
        });
    }

    /// Says why something did not work.
    pub(crate) fn refuse(self, why: String) {
        self.error.try_set(Some(why));
    }

    /// Takes a message back: into the composer, or beside what is being written there.
    pub(crate) fn take_back(self, text: String, attached: Vec<Attachment>) {
        let is_free = self.text.with_untracked(|text| text.trim().is_empty())
            && self.files.with_untracked(Vec::is_empty)
            && self.attached.with_untracked(Vec::is_empty);
        if is_free {
            self.attached.set(attached);
            self.suggest(text);
        } else {
            self.returned.update(|returned| returned.push(Returned { text, attached }));
        }
    }

    /// Takes up what was taken back, after what is being written.
    fn take_up(self, index: usize) {
        let taken =
            self.returned.try_update(|returned| (index < returned.len()).then(|| returned.remove(index))).flatten();
        let Some(Returned { text, attached }) = taken else { return };
        self.attached.update(|known| known.extend(attached));
        let begun = self.text.with_untracked(|text| text.trim_end().to_owned());
        self.suggest(if begun.is_empty() { text } else { format!("{begun}\n\n{text}") });
    }

    fn count(self) -> usize {
        self.files.with(Vec::len) + self.attached.with(Vec::len)
    }

    /// Adds files, as far as they may be added; says why where not.
    pub(crate) fn attach(self, files: Vec<LocalFile>) {
        self.error.set(None);
        for file in files {
            let count = untrack(|| self.count());
            match refusal(&file.name(), file.bytes(), count) {
                Some(reason) => self.error.set(Some(reason)),
                None => self.files.update(|files| files.push(file)),
            }
        }
    }

    /// Begins with a text, ready to be changed.
    pub(crate) fn suggest(self, text: String) {
        self.write(text);
        if let Some(area) = self.area.get_untracked() {
            let _ = area.focus();
        }
    }
}

/// Why a file cannot be attached.
fn refusal(name: &str, bytes: u64, attached: usize) -> Option<String> {
    if attached >= limits::MAX_ATTACHMENTS {
        return Some(format!("A message takes at most {} files.", limits::MAX_ATTACHMENTS));
    }
    if bytes > limits::MAX_FILE_BYTES {
        let most = limits::MAX_FILE_BYTES / 1024 / 1024;
        return Some(format!("{name} has {}; at most {most} MiB are possible.", format::size(bytes)));
    }
    (bytes == 0).then(|| format!("{name} is empty."))
}

/// Why a text cannot be sent; an empty reason needs no words.
fn obstacle(text: &str, files: usize, agents: &[AgentInfo]) -> Option<String> {
    if text.len() > limits::MAX_MESSAGE_BYTES {
        let over = text.len() - limits::MAX_MESSAGE_BYTES;
        return Some(format!("Too long by {} characters. Attach long texts as a file.", format::number(over as f64)));
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
    on_send: Callback<Written>,
    /// The run to stop, while there is one.
    #[prop(into)]
    active: Signal<Option<RunId>>,
) -> impl IntoView {
    let clock = use_clock();
    let socket = use_socket();
    let agents = expect_context::<Facts>().agents;
    let Draft { text, files, error, area, stopping, .. } = draft;
    let input = NodeRef::<html::Input>::new();
    let obstacle =
        Memo::new(move |_| text.with(|text| agents.with_value(|agents| obstacle(text, draft.count(), agents))));
    let mention = Mention::new(text, agents, Callback::new(move |text| draft.suggest(text)));

    // What was typed before the page came alive counts, then what was remembered; after that the draft does.
    Effect::new(move |before: Option<()>| {
        let Some(area) = area.get() else { return };
        let (typed, said) = (area.value(), text.get());
        if before.is_none() && said.is_empty() {
            draft.write(if typed.is_empty() { draft.remembered() } else { typed });
        } else if said != typed {
            area.set_value(&said);
        }
    });

    let send = move || {
        if obstacle.get_untracked().is_none() {
            let said = text.get_untracked();
            let (agent, said) = agents.with_value(|agents| match addressed(&said, agents) {
                Some((agent, said)) => (Some(agent.id.clone()), said.trim().to_owned()),
                None => (None, said.trim().to_owned()),
            });
            draft.write(String::new());
            error.set(None);
            let (files, attached) = (std::mem::take(&mut *files.write()), std::mem::take(&mut *draft.attached.write()));
            on_send.run(Written { text: said, files, attached, agent });
        }
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        send();
    };
    let key = move |event: KeyboardEvent| {
        if !mention.key(&event) && event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            send();
        }
    };
    let stop = move |_| {
        if let Some(run_id) = active.get_untracked() {
            draft.stop(socket, run_id);
        }
    };
    let rows = move || text.with(|text| text.lines().count().clamp(1, 10).to_string());
    let reason = move || obstacle.get().filter(|reason| !reason.is_empty());
    let hint = move || {
        let keys = || match active.get() {
            Some(_) => "Enter sends, and what is sent waits its turn. Escape stops the run.",
            None => "Enter sends, Shift and Enter break the line. CSV or JSON Lines, up to 100 MB.",
        };
        reason().unwrap_or_else(|| keys().into())
    };
    view! {
        <form class="composer" on:submit=submit>
            <Taken draft/>
            <Chips draft/>
            {move || error.get().map(|message| view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{message}</span></p> })}
            <MentionList mention/>
            <label class="sr-only" for="message">"Message"</label>
            <textarea
                id="message"
                name="message"
                node_ref=area
                placeholder=placeholder
                rows=rows
                autocomplete="off"
                aria-describedby="composer-hint"
                aria-autocomplete="list"
                aria-controls=move || mention.is_open().then_some("mentions")
                aria-activedescendant=move || mention.active()
                on:input:target=move |event| draft.write(event.target().value())
                on:keydown=key
            ></textarea>
            <div class="composer-row">
                <input
                    type="file"
                    class="sr-only"
                    node_ref=input
                    multiple
                    accept=".csv,.tsv,.jsonl,.ndjson,.json,text/csv,application/x-ndjson"
                    tabindex="-1"
                    aria-hidden="true"
                    on:change:target=move |event| draft.attach(chosen(&event.target()))
                />
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Attach file"
                    title="Attach file"
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
                        title="Stop the run (Escape)"
                        aria-keyshortcuts="Escape"
                        disabled=move || stopping.get().is_some() && stopping.get() == active.get()
                        on:click=stop
                    >
                        {icon(Glyph::Stop)} "Stop"
                    </button>
                </Show>
                <button
                    type="submit"
                    class="button"
                    disabled=move || !clock.is_alive() || obstacle.get().is_some()
                >
                    {icon(Glyph::Send)} "Send"
                </button>
            </div>
        </form>
    }
    .into_any()
}

/// Who answers. Nothing where there is no choice.
#[component]
fn AgentSelect(agent: Choice) -> impl IntoView {
    let facts: Facts = expect_context();
    let agents = facts.agents.get_value();
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
        let known = |id: &String| facts.agents.with_value(|agents| agents.iter().any(|agent| agent.id == *id));
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

/// What was taken back and waits to be taken up.
#[component]
fn Taken(draft: Draft) -> impl IntoView {
    let row = move |(index, returned): (usize, Returned)| {
        view! {
            <li class="returned">
                <span class="returned-text">"Taken back: " {returned.text}</span>
                <button type="button" class="small-button" on:click=move |_| draft.take_up(index)>"Add to what you write"</button>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Discard what was taken back"
                    on:click=move |_| {
                        draft.returned.update(|returned| {
                            if index < returned.len() {
                                returned.remove(index);
                            }
                        });
                    }
                >
                    {icon(Glyph::Close)}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || draft.returned.with(|returned| !returned.is_empty())>
            <ul class="returned-list" aria-label="Taken back">
                {move || draft.returned.get().into_iter().enumerate().map(row).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

/// A file beside a button that leaves it out.
fn chip(name: String, bytes: u64, remove: impl Fn() + 'static) -> impl IntoView {
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <span class="chip-name">{name.clone()}</span>
            <span class="chip-size">{format::size(bytes)}</span>
            <button type="button" class="icon-button" aria-label=format!("Remove {name}") on:click=move |_| remove()>
                {icon(Glyph::Close)}
            </button>
        </li>
    }
}

/// The files that go with the message.
#[component]
fn Chips(draft: Draft) -> impl IntoView {
    let Draft { files, attached, .. } = draft;
    let known = move |file: Attachment| {
        let remove = move || attached.update(|attached| attached.retain(|other| other.file_id != file.file_id));
        chip(file.name, file.bytes, remove)
    };
    let new = move |(index, file): (usize, LocalFile)| {
        let remove = move || {
            files.update(|files| {
                if index < files.len() {
                    files.remove(index);
                }
            });
        };
        chip(file.name(), file.bytes(), remove)
    };
    view! {
        <Show when=move || { draft.count() > 0 }>
            <ul class="chips" aria-label="Attached files">
                {move || attached.get().into_iter().map(known).collect_view()}
                {move || files.get().into_iter().enumerate().map(new).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_refused_with_the_reason() {
        assert_eq!(refusal("a.csv", 10, 0), None);
        assert!(refusal("a.csv", 0, 0).is_some_and(|reason| reason.contains("empty")));
        assert!(refusal("a.csv", limits::MAX_FILE_BYTES + 1, 0).is_some_and(|reason| reason.contains("100 MiB")));
        assert!(refusal("a.csv", 10, limits::MAX_ATTACHMENTS).is_some());
    }

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
}
