//! The dialogs that open over any page: the command palette and the list of shortcuts. Their contents are parts, loaded when a dialog
//! is first opened.

use leptos::{
    ev::{KeyboardEvent, MouseEvent, keydown},
    html,
    prelude::*,
};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};

use super::{
    agent_select::AgentChoice,
    draft::Draft,
    event_target,
    focus::{ComposerFocus, focus_on, is_focus_lost},
    import::IMPORT_DIALOG,
    palette::{AGENT_DIALOG, PALETTE},
    prompts::{EditedPrompt, PROMPTS_DIALOG, PromptView},
    share::SHARE_DIALOG,
    shortcut_list::SHORTCUT_LIST,
    shown_thread::ShownThread,
    tags::TAG_DIALOG,
};
use crate::{
    protocol::ThreadId,
    ui::{
        layout::is_touch_only,
        shortcuts::{Shortcut, pressed},
    },
};

/// A dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialogKind {
    Palette,
    Shortcuts,
    Agents,
    /// Sharing a thread.
    Share(ThreadId),
    /// Importing conversations.
    Import,
    /// Tagging threads, or changing tags.
    Tags,
    /// The prompt library.
    Prompts,
}

/// Opens dialogs and pages, from context.
#[derive(Clone, Copy)]
pub(crate) struct Dialogs {
    open: RwSignal<Option<DialogKind>>,
    dialog: NodeRef<html::Dialog>,
    /// What the dialog of agents changes.
    agent: StoredValue<Option<AgentChoice>>,
    /// The threads that the dialog of tags changes.
    tagged: StoredValue<Vec<ThreadId>>,
    /// What the dialog of prompts shows first.
    prompts: StoredValue<PromptView>,
    /// A prompt that was being written when the dialog was closed.
    unsaved_prompt: StoredValue<Option<EditedPrompt>>,
    /// The composer of the page, into which prompts are inserted.
    composer: StoredValue<Option<Draft>>,
    composer_focus: ComposerFocus,
}

impl Dialogs {
    /// Provides it as context. Nothing is open.
    pub(crate) fn provide() -> Self {
        let dialogs = Self {
            open: RwSignal::new(None),
            dialog: NodeRef::new(),
            agent: StoredValue::new(None),
            tagged: StoredValue::new(Vec::new()),
            prompts: StoredValue::new(PromptView::List),
            unsaved_prompt: StoredValue::new(None),
            composer: StoredValue::new(None),
            composer_focus: expect_context(),
        };
        provide_context(dialogs);
        dialogs
    }

    /// Opens a dialog in place of the open one.
    pub(crate) fn open(self, kind: DialogKind) {
        self.open.set(Some(kind));
    }

    /// Opens the dialog of agents for a choice.
    pub(crate) fn choose_agent(self, agent: AgentChoice) {
        self.agent.set_value(Some(agent));
        self.open(DialogKind::Agents);
    }

    /// Opens the dialog of tags for these threads; without threads, to change the tags themselves.
    pub(crate) fn tag(self, threads: Vec<ThreadId>) {
        self.tagged.set_value(threads);
        self.open(DialogKind::Tags);
    }

    /// Opens the dialog of prompts.
    pub(crate) fn open_prompts(self, view: PromptView) {
        self.prompts.set_value(view);
        self.open(DialogKind::Prompts);
    }

    /// Keeps a prompt that is not saved for the next time that the dialog of prompts is opened.
    pub(crate) fn keep_unsaved_prompt(self, prompt: EditedPrompt) {
        self.unsaved_prompt.try_set_value(Some(prompt));
    }

    /// The prompt that was kept.
    pub(crate) fn take_unsaved_prompt(self) -> Option<EditedPrompt> {
        self.unsaved_prompt.try_update_value(Option::take).flatten()
    }

    /// Sets the composer of the page, until the component that calls this is removed.
    pub(crate) fn set_composer(self, draft: Draft) {
        self.composer.set_value(Some(draft));
        on_cleanup(move || {
            // The next page may have set its own already.
            self.composer.try_update_value(|composer| {
                if composer.is_some_and(|composer| composer.text == draft.text) {
                    *composer = None;
                }
            });
        });
    }

    /// The composer of the page, if it has one.
    pub(crate) fn composer(self) -> Option<Draft> {
        self.composer.get_value()
    }

    /// Closes the open dialog. The browser returns the focus to where it was; a handler can move it from there.
    pub(crate) fn close(self) {
        if let Some(dialog) = self.dialog.get_untracked() {
            dialog.close();
        }
    }
}

/// A function that goes to a page and, if it has a composer, focuses that.
pub(crate) fn use_open_page() -> impl Fn(&str) + Clone {
    let (navigate, path) = (use_navigate(), use_location().pathname);
    let composer_focus = expect_context::<Dialogs>().composer_focus;
    move |address: &str| {
        let target = address.split('?').next().unwrap_or_default();
        let has_composer = target == "/" || target.starts_with("/threads/");
        if path.get_untracked() == target {
            focus_page();
        } else if has_composer && !is_touch_only() {
            composer_focus.request(target);
        } else {
            // On a touch screen, focusing the composer would open the keyboard over the page.
            focus_on("#main");
        }
        navigate(address, NavigateOptions::default());
    }
}

/// Focuses the composer, or else the page.
fn focus_page() {
    if is_touch_only() || !focus_on("#message") {
        focus_on("#main");
    }
}

/// Handles the shortcuts of the whole page. Call it once, in the frame around all pages.
pub(crate) fn handle_shortcuts(dialogs: Dialogs) {
    let shown_thread: ShownThread = expect_context();
    let open_page = use_open_page();
    Effect::new(move |_| {
        let open_page = open_page.clone();
        let keys = window_event_listener(keydown, move |event: KeyboardEvent| {
            let Some(shortcut) = pressed(&event) else { return };
            let in_dialog = document().query_selector("dialog[open]").is_ok_and(|open| open.is_some());
            let is_handled = match shortcut {
                Shortcut::OpenPalette if dialogs.open.get_untracked().is_some() => {
                    dialogs.close();
                    true
                }
                _ if in_dialog => false,
                Shortcut::OpenPalette => {
                    dialogs.open(DialogKind::Palette);
                    true
                }
                Shortcut::ListShortcuts => {
                    dialogs.open(DialogKind::Shortcuts);
                    true
                }
                Shortcut::NewThread => {
                    open_page("/");
                    true
                }
                Shortcut::FocusMessage => focus_on("#message"),
                Shortcut::PreviousMessage => shown_thread.focus_neighbour(true),
                Shortcut::NextMessage => shown_thread.focus_neighbour(false),
                // In the thread and in its composer.
                Shortcut::StopRun | Shortcut::EditLastMessage | Shortcut::Steer | Shortcut::StopAndAsk => false,
            };
            if is_handled {
                event.prevent_default();
            }
        });
        on_cleanup(move || keys.remove());
    });
}

/// The open dialog.
#[component]
pub(crate) fn OpenDialog(dialogs: Dialogs) -> impl IntoView {
    let Dialogs { open, dialog, .. } = dialogs;
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        if open.with(Option::is_some) && !dialog.open() {
            // It fails only for an element that is not in the document.
            let _ = dialog.show_modal();
        }
    });
    let on_close = move |_| {
        open.set(None);
        // The element that had the focus may be gone.
        request_animation_frame(|| {
            if is_focus_lost() {
                focus_page();
            }
        });
    };
    let is_backdrop = move |event: &MouseEvent| {
        let target = event_target::target(event);
        dialog.get_untracked().is_some_and(|dialog| target.as_ref() == Some(dialog.as_ref()))
    };
    // A text that is selected up to the backdrop ends with a click on it.
    let was_pressed_there = StoredValue::new(false);
    let close_on_backdrop = move |event: MouseEvent| {
        if was_pressed_there.get_value() && is_backdrop(&event) {
            dialogs.close();
        }
    };
    let label = move || match open.get() {
        Some(DialogKind::Shortcuts) => "Keyboard shortcuts",
        Some(DialogKind::Agents) => "Choose an agent",
        Some(DialogKind::Import) => "Import conversations",
        Some(DialogKind::Tags) => "Tags",
        Some(DialogKind::Prompts) => "Prompts",
        Some(DialogKind::Share(_)) => "Share this thread",
        _ => "Search or jump to",
    };
    let content = move || match open.get()? {
        DialogKind::Palette => Some(PALETTE.show(())),
        DialogKind::Shortcuts => Some(SHORTCUT_LIST.show(())),
        DialogKind::Share(thread) => Some(SHARE_DIALOG.show(thread)),
        DialogKind::Import => Some(IMPORT_DIALOG.show(())),
        DialogKind::Tags => Some(TAG_DIALOG.show(dialogs.tagged.get_value())),
        DialogKind::Prompts => Some(PROMPTS_DIALOG.show(dialogs.prompts.get_value())),
        DialogKind::Agents => dialogs.agent.get_value().map(|agent| AGENT_DIALOG.show(agent)),
    };
    view! {
        <dialog
            class="dialog"
            class:palette-dialog=move || matches!(open.get(), Some(DialogKind::Palette | DialogKind::Agents))
            aria-label=label
            node_ref=dialog
            on:close=on_close
            on:mousedown=move |event| was_pressed_there.set_value(is_backdrop(&event))
            on:click=close_on_backdrop
        >
            <div class="dialog-content">{content}</div>
        </dialog>
    }
    .into_any()
}
