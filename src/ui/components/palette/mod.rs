//! The command palette: one field to find actions, threads, agents and what was said in threads. A combobox with a list, as the ARIA
//! Authoring Practices describe it: the focus stays in the field, and arrow keys choose from the list.

mod entries;
mod matching;
mod search;

use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};

use self::{
    entries::{Entry, Section, Sources, Target, agents_to_choose},
    matching::Piece,
    search::search,
};
use super::{
    agent_select::AgentChoice,
    dialogs::{DialogKind, Dialogs, use_open_page},
    icons::{Glyph, icon},
    prompts::PromptView,
    shortcut_list::keys,
};
use crate::{
    protocol::{
        http::{AgentInfo, SearchPage},
        limits,
    },
    socket::context::use_socket,
    ui::{
        browser,
        context::{AppContext, RequestedAgent, with_visible_text},
        keys::is_composing,
        latest::Latest,
        layout::scroll_into_view,
        part::part,
        shortcuts::binding,
        sign_out::SignOut,
    },
};

part!(
    /// The content of the palette's dialog.
    pub(crate) PALETTE, palette, |(): ()| view! { <Palette/> }.into_any()
);

part!(
    /// The content of the dialog that chooses an agent.
    pub(crate) AGENT_DIALOG, agent_dialog, |agent: AgentChoice| view! { <AgentDialog agent/> }.into_any()
);

/// What the server found.
type FoundPage = Latest<SearchPage>;

/// The id of an option, for `aria-activedescendant`.
fn option_id(index: usize) -> String {
    format!("palette-option-{index}")
}

/// The palette.
#[component]
fn Palette() -> impl IntoView {
    let sources = Sources::from_context(use_socket());
    let typed = RwSignal::new(String::new());
    let query = Memo::new(move |_| typed.with(|typed| typed.trim().to_owned()));
    let found = search(query);
    let sections = Memo::new(move |_| {
        let mut sections = query.with(|query| sources.sections(query));
        let entries = found.with(|found| found_entries(&sections, found));
        if !entries.is_empty() {
            sections.push(Section { title: "In threads", entries });
        }
        sections
    });
    let list = PaletteList { sections, selected: RwSignal::new(0), error: RwSignal::new(None) };
    let choose = use_choose(list, sources);
    view! {
        <SearchField list typed query label="Search or jump to" choose/>
        {move || list.error.get().map(|error| view! { <p class="palette-note field-error" role="alert">{error}</p> })}
        <Sections list choose/>
        <Status list query found=found.into()/>
    }
    .into_any()
}

/// The dialog that chooses an agent.
#[component]
fn AgentDialog(agent: AgentChoice) -> impl IntoView {
    let (app, dialogs): (AppContext, Dialogs) = (expect_context(), expect_context());
    let typed = RwSignal::new(String::new());
    let query = Memo::new(move |_| typed.with(|typed| typed.trim().to_owned()));
    let agents = RwSignal::new(app.agents.get_value());
    // Whether they are available changes. Without an answer, what is known stays.
    spawn_local(async move {
        if let Ok(now) = browser::get::<Vec<AgentInfo>>("/api/agents").await {
            agents.try_set(now.into_iter().map(with_visible_text).collect());
        }
    });
    let sections = Memo::new(move |_| {
        let section = query.with(|query| agents.with(|agents| agents_to_choose(query, agents)));
        Some(section).filter(|section| !section.entries.is_empty()).into_iter().collect::<Vec<_>>()
    });
    let list = PaletteList { sections, selected: RwSignal::new(0), error: RwSignal::new(None) };
    let choose = Callback::new(move |target: Target| {
        if let Target::UseAgent(id) = target {
            agent.choose.run(id);
            dialogs.close();
        }
    });
    view! {
        <SearchField list typed query label="Choose an agent" choose/>
        <Sections list choose/>
        <Status list query found=Signal::stored(FoundPage::default())/>
    }
    .into_any()
}

/// The field, and a button that closes the dialog. The focus stays in the field.
#[component]
fn SearchField(
    list: PaletteList,
    typed: RwSignal<String>,
    query: Memo<String>,
    label: &'static str,
    choose: Callback<Target>,
) -> impl IntoView {
    // Another query has another best entry. Hits come after all else, so they do not move the selected one.
    Effect::new(move |_| {
        query.track();
        list.selected.set(0);
    });
    let input = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get() {
            let _ = input.focus();
        }
    });
    view! {
        <div class="palette-field">
            {icon(Glyph::Search)}
            <input
                type="text"
                role="combobox"
                aria-label=label
                aria-expanded=move || if list.is_empty() { "false" } else { "true" }
                aria-autocomplete="list"
                aria-controls="palette-list"
                aria-activedescendant=move || list.selected_id()
                placeholder=label
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                enterkeyhint="go"
                maxlength=limits::MAX_SEARCH_CHARS.to_string()
                node_ref=input
                on:input:target=move |event| typed.set(event.target().value())
                on:keydown=move |event| list.on_keydown(&event, choose)
            />
            <CloseButton/>
        </div>
    }
    .into_any()
}

/// The entries of the hits, without titles of threads that the list has already.
fn found_entries(sections: &[Section], found: &FoundPage) -> Vec<Entry> {
    let has =
        |target: &Target| sections.iter().any(|section| section.entries.iter().any(|entry| entry.target == *target));
    let hits = found.response.iter().flat_map(|page| &page.hits);
    hits.map(search::entry).filter(|entry| !has(&entry.target)).collect()
}

/// The entries and which one is selected.
#[derive(Clone, Copy)]
struct PaletteList {
    sections: Memo<Vec<Section>>,
    selected: RwSignal<usize>,
    /// Why the chosen action failed.
    error: RwSignal<Option<&'static str>>,
}

impl PaletteList {
    fn count(self) -> usize {
        self.sections.with(|sections| sections.iter().map(|section| section.entries.len()).sum())
    }

    fn is_empty(self) -> bool {
        self.count() == 0
    }

    /// The selected index; entries may have become fewer.
    fn index(self) -> usize {
        self.selected.get().min(self.count().saturating_sub(1))
    }

    fn selected_id(self) -> Option<String> {
        (self.count() > 0).then(|| option_id(self.index()))
    }

    fn target(self, index: usize) -> Option<Target> {
        self.sections.with_untracked(|sections| {
            let mut entries = sections.iter().flat_map(|section| &section.entries);
            entries.nth(index).filter(|entry| !entry.is_disabled).map(|entry| entry.target.clone())
        })
    }

    fn select(self, index: usize) {
        self.selected.set(index);
        if let Some(option) = document().get_element_by_id(&option_id(index)) {
            scroll_into_view(&option);
        }
    }

    fn on_keydown(self, event: &KeyboardEvent, choose: Callback<Target>) {
        let (count, index) = untrack(|| (self.count(), self.index()));
        if is_composing(event) || count == 0 || event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        match event.key().as_str() {
            "ArrowDown" => self.select((index + 1) % count),
            "ArrowUp" => self.select((index + count - 1) % count),
            "Enter" => self.target(index).into_iter().for_each(|target| choose.run(target)),
            _ => return,
        }
        event.prevent_default();
    }
}

/// What choosing an entry does.
fn use_choose(list: PaletteList, sources: Sources) -> Callback<Target> {
    let (dialogs, sign_out, RequestedAgent(requested)) =
        (expect_context::<Dialogs>(), expect_context::<SignOut>(), expect_context());
    let open_page = StoredValue::new_local(use_open_page());
    let open = move |address: &str| {
        // First: an open dialog keeps the focus from the page.
        dialogs.close();
        open_page.with_value(|open_page| open_page(address));
    };
    let sign_out = move || {
        spawn_local(async move {
            if sign_out.post("/api/auth/sign-out").await.is_err() {
                list.error.try_set(Some("Signing out failed. Try again."));
            }
        });
    };
    Callback::new(move |target: Target| match target {
        Target::Open(address) => open(&address),
        Target::NewThreadWith(agent) => {
            requested.set(Some(agent));
            open("/");
        }
        Target::UseTheme(choice) => {
            sources.theme.choose(choice);
            dialogs.close();
        }
        Target::StopRun => {
            dialogs.close();
            sources.shown_thread.stop_run();
        }
        Target::JumpToEnd => {
            dialogs.close();
            if let Some(thread) = untrack(|| sources.shown_thread.get()) {
                thread.auto_scroll.jump_to_end();
                thread.auto_scroll.focus();
            }
        }
        Target::ListShortcuts => dialogs.open(DialogKind::Shortcuts),
        Target::Prompts => dialogs.open_prompts(PromptView::List),
        Target::Import => dialogs.open(DialogKind::Import),
        Target::SignOut => sign_out(),
        // Only the dialog of agents has it.
        Target::UseAgent(_) => {}
    })
}

/// The button that closes the palette: phones have no Escape key.
#[component]
fn CloseButton() -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    view! {
        <button type="button" class="icon-button" aria-label="Close" on:click=move |_| dialogs.close()>
            {icon(Glyph::Close)}
        </button>
    }
}

/// A text in which the parts that match the query are marked.
fn marked(pieces: Vec<Piece>) -> impl IntoView {
    let piece = |(text, is_matched): Piece| match is_matched {
        true => view! { <mark>{text}</mark> }.into_any(),
        false => text.into_any(),
    };
    pieces.into_iter().map(piece).collect_view()
}

/// The list of entries, by section.
#[component]
fn Sections(list: PaletteList, choose: Callback<Target>) -> impl IntoView {
    let option = move |index: usize, entry: Entry| {
        let is_disabled = entry.is_disabled;
        let about = (!entry.about.is_empty())
            .then(|| view! { <span class="palette-about" dir="auto">{marked(entry.about)}</span> });
        view! {
            <div
                id=option_id(index)
                role="option"
                class="palette-option"
                aria-selected=move || if list.index() == index { "true" } else { "false" }
                aria-disabled=is_disabled.then_some("true")
                // Keeps the focus in the field.
                on:mousedown=|event| event.prevent_default()
                // Not `mouseenter`: scrolling with the keys would select what comes under the pointer.
                on:mousemove=move |_| list.selected.set(index)
                on:click=move |_| list.target(index).into_iter().for_each(|target| choose.run(target))
            >
                {icon(entry.glyph)}
                <span class="palette-title" dir="auto">{marked(entry.title)}</span>
                {entry.shortcut.and_then(binding).map(keys)}
                {about}
            </div>
        }
    };
    let content = move || {
        let mut index = 0;
        let section = |(number, section): (usize, Section)| {
            let options = section.entries.into_iter().map(|entry| {
                index += 1;
                option(index - 1, entry)
            });
            let id = format!("palette-section-{number}");
            let label_id = id.clone();
            view! {
                <div role="group" aria-labelledby=label_id>
                    <div class="palette-section" id=id role="presentation">{section.title}</div>
                    {options.collect_view()}
                </div>
            }
        };
        list.sections.get().into_iter().enumerate().map(section).collect_view()
    };
    view! { <div class="palette-list" id="palette-list" role="listbox" aria-label="Results">{content}</div> }.into_any()
}

/// The number of results for screen readers; below the list that nothing was found, or that the search failed.
#[component]
fn Status(list: PaletteList, query: Memo<String>, found: Signal<FoundPage>) -> impl IntoView {
    let count = Memo::new(move |_| list.count());
    let is_searching = Memo::new(move |_| found.with(|found| found.is_loading));
    let nothing =
        move || (count.get() == 0 && !is_searching.get()).then(|| format!("No results for “{}”.", query.get()));
    let failure = move || {
        found
            .with(|found| found.is_failed)
            .then_some("Messages could not be searched. Check your connection and type again.")
    };
    let announced = move || match count.get() {
        _ if is_searching.get() => String::new(),
        0 => String::new(),
        1 => "1 result".to_owned(),
        count => format!("{count} results"),
    };
    view! {
        <div role="status">
            <span class="sr-only">{announced}</span>
            {move || nothing().map(|text| view! { <p class="palette-note quiet">{text}</p> })}
            {move || failure().map(|text| view! { <p class="palette-note quiet">{text}</p> })}
        </div>
    }
    .into_any()
}
