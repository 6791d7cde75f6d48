//! The composer: a text field with attachments, a choice of agent, and buttons to send and to stop.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::{
    agent_select::{AgentChoice, AgentSelect},
    attach::{AttachButton, accepted_types, describe_accepted},
    draft::Draft,
    draft_items::{AttachedFiles, TakenBackMessages},
    error_message::error_message,
    focus::ComposerFocus,
    icons::{Glyph, icon},
    mention::{parse_mention, suggested_agents},
    paste::{PasteTarget, PastedTextNotice, paste},
    prompts::{choice_handler, suggested_prompts},
    send_menu::SendMenu,
    shown_thread::ShownThread,
    suggestions::{SuggestionList, Suggestions},
};
use crate::{
    protocol::{RunId, SendMode, http::AgentInfo, limits},
    socket::context::use_socket,
    ui::{
        context::AppContext,
        format,
        keys::{KeyAction, Lines, key_action},
        layout::is_touch_only,
        outgoing::NewMessage,
        shortcuts::{Shortcut, pressed},
    },
};

/// Why a text cannot be sent, if it cannot. Empty if no explanation is needed.
fn send_error(text: &str, files: usize, refused: Option<String>, agents: &[AgentInfo]) -> Option<String> {
    if text.len() > limits::MAX_MESSAGE_BYTES {
        return Some(too_long(text));
    }
    let (agent, content) = parse_mention(text, agents).map_or((None, text), |(agent, content)| (Some(agent), content));
    if let Some(AgentInfo { name, disabled: Some(why), .. }) = agent {
        return Some(format!("{name} is not available. {}", format::sentence(why)));
    }
    if let Some(name) = refused {
        return Some(format!("{name} was not uploaded. Try again, or remove it."));
    }
    match (content.trim().is_empty(), files, agent) {
        (false, ..) => None,
        (true, 0, None) => Some(String::new()),
        (true, _, Some(agent)) => Some(format!("Write a message to {}.", agent.name)),
        (true, _, None) => Some("Write a message to send with the file.".into()),
    }
}

/// The error for a text that exceeds the limit for messages, in bytes: a character can have several.
pub(crate) fn too_long(text: &str) -> String {
    let size = |bytes: usize| format::size(bytes as u64);
    let (text_size, limit) = (size(text.len()), size(limits::MAX_MESSAGE_BYTES));
    // Rounded, a text that is slightly too long has the size of the limit.
    let excess = if text_size == limit {
        format!(" by {} bytes", text.len() - limits::MAX_MESSAGE_BYTES)
    } else {
        String::new()
    };
    format!("Too long{excess}: {text_size}, and the limit is {limit}. Attach the text as a file instead.")
}

/// The composer.
#[component]
pub(crate) fn Composer(
    draft: Draft,
    /// What the field shows while it is empty, if the agent has no hint of its own.
    placeholder: &'static str,
    agent: AgentChoice,
    #[prop(into)] on_send: Callback<NewMessage>,
    /// The run that is in progress, which can be stopped.
    #[prop(into)]
    active: Signal<Option<RunId>>,
) -> impl IntoView {
    let app: AppContext = expect_context();
    let agents = app.agents;
    let shown_thread: ShownThread = expect_context();
    let Draft { text, error, .. } = draft;
    let send_error = Memo::new(move |_| {
        let (files, refused) = (draft.file_count(), draft.refused_file());
        text.with(|text| agents.with_value(|agents| send_error(text, files, refused, agents)))
    });
    let accept = Memo::new(move |_| {
        let current = agent.current.get();
        text.with(|text| agents.with_value(|agents| accepted_types(text, current.as_deref(), agents)))
    });
    let (suggestions, is_reading) = suggestions(draft, agents);
    let send = Callback::new(move |mode: SendMode| {
        if send_error.get_untracked().is_none() && !is_reading.get_untracked() {
            on_send.run(NewMessage { mode, ..take_message(draft, agents) });
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        send.run(SendMode::Queue);
    };
    let on_keydown = Callback::new(move |event: KeyboardEvent| {
        let is_running = active.get_untracked().is_some();
        handle_key(&event, draft, suggestions, shown_thread, |mode| {
            send.run(if is_running { mode } else { SendMode::Queue })
        });
    });
    let placeholder = Memo::new(move |_| {
        let hint = agent.current.with(|id| app.of_agent(id.as_deref(), |agent| agent.hint.clone()));
        hint.filter(|hint| !hint.is_empty()).unwrap_or_else(|| placeholder.to_owned())
    });
    let shown_error = Memo::new(move |_| send_error.get().filter(|error| !error.is_empty()));
    let hint = hint(draft, active, accept);
    view! {
        <form class="composer" on:submit=submit>
            <TakenBackMessages draft/>
            <AttachedFiles draft/>
            <PastedTextNotice draft/>
            {move || error.get().map(error_message)}
            <SuggestionList suggestions/>
            <MessageField paste_target=PasteTarget { draft, accept } placeholder suggestions on_keydown/>
            <div class="composer-row">
                <AttachButton draft accept/>
                <AgentSelect agent/>
                <span class="hint" class:is-error=move || shown_error.with(Option::is_some) id="composer-hint">
                    {move || shown_error.get().unwrap_or_else(hint)}
                </span>
                <StopButton draft active/>
                <button type="submit" class="button" disabled=move || send_error.get().is_some()>
                    {icon(Glyph::Send)} <span>"Send"</span>
                </button>
                <Show when=move || active.get().is_some()><SendMenu send send_error/></Show>
            </div>
        </form>
    }
    .into_any()
}

/// The suggestions for what is typed, agents or prompts; and whether a prompt that was chosen is being read.
fn suggestions(draft: Draft, agents: StoredValue<Vec<AgentInfo>>) -> (Suggestions, Signal<bool>) {
    let text = draft.text;
    let (prompts, is_listing) = suggested_prompts(text);
    let (choose, is_reading) = choice_handler(draft);
    let is_loading = Signal::derive(move || is_listing.get() || is_reading.get());
    let suggested = Memo::new(move |_| {
        let of_agents = text.with(|text| agents.with_value(|agents| suggested_agents(text, agents)));
        if of_agents.is_empty() { prompts.get() } else { of_agents }
    });
    (Suggestions::new(text, suggested, is_loading, choose), is_reading)
}

/// Handles a key in the text field: chooses from the suggestions, sends, or edits the last message.
fn handle_key(
    event: &KeyboardEvent,
    draft: Draft,
    suggestions: Suggestions,
    shown_thread: ShownThread,
    send: impl Fn(SendMode),
) {
    if suggestions.on_keydown(event) {
        return;
    }
    let shortcut = pressed(event);
    let edits_last = || shortcut == Some(Shortcut::EditLastMessage) && draft.is_empty_untracked();
    if key_action(event, Lines::Many) == Some(KeyAction::Submit) {
        event.prevent_default();
        send(match shortcut {
            Some(Shortcut::Steer) => SendMode::Steer,
            Some(Shortcut::StopAndAsk) => SendMode::Stop,
            _ => SendMode::Queue,
        });
    } else if edits_last() && shown_thread.edit_last_message() {
        event.prevent_default();
    }
}

/// The text field. `aria-controls` and `aria-activedescendant` connect it with the suggestions.
#[component]
fn MessageField(
    paste_target: PasteTarget,
    placeholder: Memo<String>,
    suggestions: Suggestions,
    on_keydown: Callback<KeyboardEvent>,
) -> impl IntoView {
    let draft = paste_target.draft;
    sync_text(draft);
    focus_if_requested(draft.area);
    let rows = move || draft.text.with(|text| text.lines().count().clamp(1, 10).to_string());
    view! {
        <label class="sr-only" for="message">"Message"</label>
        <textarea
            id="message"
            name="message"
            node_ref=draft.area
            placeholder=move || placeholder.get()
            rows=rows
            autocomplete="off"
            enterkeyhint="enter"
            aria-describedby="composer-hint"
            aria-autocomplete="list"
            aria-controls=move || suggestions.is_open().then_some("suggestions")
            aria-activedescendant=move || suggestions.selected_id()
            on:input:target=move |event| draft.set_text(event.target().value())
            on:keydown=move |event| on_keydown.run(event)
            on:paste=move |event| paste(&event, Some(paste_target))
        ></textarea>
    }
    .into_any()
}

/// Empties the draft and returns its message. Focuses the text field, since the disabled button loses the focus.
fn take_message(draft: Draft, agents: StoredValue<Vec<AgentInfo>>) -> NewMessage {
    let text = draft.text.get_untracked();
    let (agent, text) = agents.with_value(|agents| match parse_mention(&text, agents) {
        Some((agent, text)) => (Some(agent.id.clone()), text.trim().to_owned()),
        None => (None, text.trim().to_owned()),
    });
    draft.error.set(None);
    let (files, uploaded) = draft.clear();
    focus_area(draft.area);
    NewMessage { text, files, uploaded, agent, mode: SendMode::Queue }
}

fn focus_area(area: NodeRef<html::Textarea>) {
    if let Some(area) = area.try_get_untracked().flatten() {
        let _ = area.focus();
    }
}

/// Keeps the text field equal to the draft's text. What was typed before hydration becomes the draft, if that is empty.
fn sync_text(draft: Draft) {
    Effect::new(move |before: Option<()>| {
        let Some(area) = draft.area.get() else { return };
        let (typed, text) = (area.value(), draft.text.get());
        if before.is_none() && text.is_empty() {
            draft.restore_typed(typed);
        } else if text != typed {
            area.set_value(&text);
        }
    });
}

/// Focuses the text field if the person came to this page to write.
fn focus_if_requested(area: NodeRef<html::Textarea>) {
    let (request, path) = (expect_context::<ComposerFocus>(), use_location().pathname);
    Effect::new(move |_| {
        if area.get().is_some() && request.take(&path.get_untracked()) {
            request_animation_frame(move || focus_area(area));
        }
    });
}

/// How to send, and which files can be attached.
fn hint(
    draft: Draft,
    active: Signal<Option<RunId>>,
    accept: Memo<String>,
) -> impl Fn() -> String + Copy + Send + Sync + 'static {
    // The server cannot detect this, and renders the hint for a keyboard.
    let touch_only = RwSignal::new(false);
    Effect::new(move |_| touch_only.set(is_touch_only()));
    move || {
        if draft.is_uploading() {
            return "Uploading. A message that you send now waits for its files.".to_owned();
        }
        let files = || describe_accepted(&accept.get());
        match (active.get(), touch_only.get()) {
            (Some(_), false) => "Enter to queue. Escape to stop the answer.".to_owned(),
            (None, false) => format!("Enter to send, Shift+Enter for a new line. {}", files()),
            (Some(_), true) => "Your message will be answered after the current answer.".to_owned(),
            (None, true) => format!("Return for a new line. {}", files()),
        }
    }
}

/// The button that stops the run in progress.
#[component]
fn StopButton(draft: Draft, active: Signal<Option<RunId>>) -> impl IntoView {
    let socket = use_socket();
    let stopping = draft.stopping;
    let stop = move |_| {
        if let Some(run_id) = active.get_untracked() {
            draft.stop_run(socket, run_id);
        }
        // The button is removed when the run ends.
        focus_area(draft.area);
    };
    view! {
        <Show when=move || active.get().is_some()>
            <button
                type="button"
                class="button quiet-button"
                title=move || if socket.is_up_to_date() { "Stop the answer (Escape)" } else { "Cannot stop the answer while disconnected" }
                aria-keyshortcuts="Escape"
                disabled=move || !socket.is_up_to_date() || stopping.get().is_some() && stopping.get() == active.get()
                on:click=stop
            >
                {icon(Glyph::Stop)} <span>"Stop"</span>
            </button>
        </Show>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_within_the_limits_can_be_sent() {
        let mut broken = AgentInfo::new("broken", "Broken", "");
        broken.disabled = Some("no url".into());
        let agents = [AgentInfo::new("analyst", "Analyst", ""), broken];
        assert_eq!(send_error("why?", 0, None, &agents), None);
        assert_eq!(send_error("@analyst why?", 0, None, &agents), None);
        assert_eq!(send_error(" ", 0, None, &agents), Some(String::new()));
        let refused = send_error("why?", 1, Some("log.csv".into()), &agents);
        assert_eq!(refused.as_deref(), Some("log.csv was not uploaded. Try again, or remove it."));
        assert!(send_error("", 1, None, &agents).is_some_and(|reason| !reason.is_empty()));
        assert_eq!(send_error("@analyst ", 0, None, &agents).as_deref(), Some("Write a message to Analyst."));
        assert!(send_error("@broken why?", 0, None, &agents).is_some_and(|reason| reason.contains("No url.")));
        assert!(send_error(&"a".repeat(limits::MAX_MESSAGE_BYTES + 1), 0, None, &agents).is_some());
    }

    #[test]
    fn the_error_for_a_text_that_is_too_long_counts_bytes() {
        let expected = "Too long: 36 kB, and the limit is 33 kB. Attach the text as a file instead.";
        assert_eq!(too_long(&"\u{6587}".repeat(12_000)), expected);
        let expected = "Too long by 1 bytes: 33 kB, and the limit is 33 kB. Attach the text as a file instead.";
        assert_eq!(too_long(&"a".repeat(limits::MAX_MESSAGE_BYTES + 1)), expected);
    }
}
