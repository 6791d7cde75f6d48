//! Where a person writes: text, files, send, stop.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};

use super::{
    clock::use_clock,
    icons::{Glyph, icon},
};
use crate::{
    protocol::{RunId, StopRun, ThreadId, limits},
    socket::context::{Socket, use_socket},
    ui::{
        browser::{self, LocalFile, chosen},
        drafts, format,
    },
};

/// What is being written. The text is remembered for as long as the tab lives, so that a session that ends, a reload or a
/// look at another thread does not lose it.
#[derive(Clone, Copy)]
pub(crate) struct Draft {
    key: StoredValue<Option<String>>,
    text: RwSignal<String>,
    files: RwSignal<Vec<LocalFile>>,
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
                self.error.try_set(Some(format::sentence(&refused.message)));
                self.stopping.try_set(None);
            }
        });
    }

    /// Adds files, as far as they may be added; says why where not.
    pub(crate) fn attach(self, files: Vec<LocalFile>) {
        self.error.set(None);
        for file in files {
            let count = self.files.with_untracked(Vec::len);
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
fn obstacle(text: &str, files: usize) -> Option<String> {
    if text.len() > limits::MAX_MESSAGE_BYTES {
        let over = text.len() - limits::MAX_MESSAGE_BYTES;
        return Some(format!("Too long by {} characters. Attach long texts as a file.", format::number(over as f64)));
    }
    match (text.trim().is_empty(), files) {
        (false, _) => None,
        (true, 0) => Some(String::new()),
        (true, _) => Some("Ask something about the file to send it.".into()),
    }
}

/// The composer.
#[component]
pub(crate) fn Composer(
    draft: Draft,
    placeholder: &'static str,
    /// Takes what was written.
    #[prop(into)]
    on_send: Callback<(String, Vec<LocalFile>)>,
    /// The run to stop, while there is one.
    #[prop(into)]
    active: Signal<Option<RunId>>,
) -> impl IntoView {
    let clock = use_clock();
    let socket = use_socket();
    let Draft { text, files, error, area, stopping, .. } = draft;
    let input = NodeRef::<html::Input>::new();
    let obstacle = Memo::new(move |_| text.with(|text| obstacle(text, files.with(Vec::len))));

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
            let said = text.get_untracked().trim().to_owned();
            draft.write(String::new());
            error.set(None);
            on_send.run((said, std::mem::take(&mut *files.write())));
        }
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        send();
    };
    let key = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
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
            Some(_) => "Enter sends, Escape stops the run.",
            None => "Enter sends, Shift and Enter break the line. CSV or JSON Lines, up to 100 MB.",
        };
        reason().unwrap_or_else(|| keys().into())
    };
    view! {
        <form class="composer" on:submit=submit>
            <Chips draft/>
            {move || error.get().map(|message| view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{message}</span></p> })}
            <label class="sr-only" for="message">"Message"</label>
            <textarea
                id="message"
                name="message"
                node_ref=area
                placeholder=placeholder
                rows=rows
                autocomplete="off"
                aria-describedby="composer-hint"
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

/// The files that go with the message.
#[component]
fn Chips(draft: Draft) -> impl IntoView {
    let files = draft.files;
    let chip = move |(index, file): (usize, LocalFile)| {
        let name = file.name();
        view! {
            <li class="chip">
                {icon(Glyph::File)}
                <span class="chip-name">{name.clone()}</span>
                <span class="chip-size">{format::size(file.bytes())}</span>
                <button
                    type="button"
                    class="icon-button"
                    aria-label=format!("Remove {name}")
                    on:click=move |_| {
                        files.update(|files| {
                            if index < files.len() {
                                files.remove(index);
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
        <Show when=move || !files.with(Vec::is_empty)>
            <ul class="chips" aria-label="Attached files">
                {move || files.get().into_iter().enumerate().map(chip).collect_view()}
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
        assert_eq!(obstacle("why?", 0), None);
        assert_eq!(obstacle(" ", 0), Some(String::new()));
        assert!(obstacle("", 1).is_some_and(|reason| !reason.is_empty()));
        assert!(obstacle(&"a".repeat(limits::MAX_MESSAGE_BYTES + 1), 0).is_some());
    }
}
