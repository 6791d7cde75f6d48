//! Tags of threads: the filter of the list, chips, and the dialog that tags threads and changes tags.

use leptos::{ev::SubmitEvent, html, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};

use super::{
    command_state::CommandState,
    dialogs::Dialogs,
    error_message::error_message,
    focus::{focus_on, focus_when_shown, is_focus_lost},
    icons::{Glyph, icon},
};
use crate::{
    protocol::{DeleteTag, RenameTag, Tag, TagId, TagThreads, ThreadId, limits},
    socket::context::{Socket, use_socket},
    text::escape_invisible,
    thread::UserFeed,
    ui::part::part,
};

/// The parameter of addresses that has the tag of the filter.
const PARAMETER: &str = "tag";

/// The tag that the list of threads is filtered by: that of the address, if it exists.
pub(crate) fn use_tag_filter() -> Memo<Option<TagId>> {
    let (feed, query) = (use_socket().feed(), use_query_map());
    Memo::new(move |_| {
        let asked: TagId = query.with(|query| query.get(PARAMETER))?.parse().ok()?;
        feed.with(|feed| feed.tags.iter().any(|tag| tag.id == asked)).then_some(asked)
    })
}

/// An address with the tag of the filter, if there is one.
pub(crate) fn with_filter(path: &str, tag: Option<TagId>) -> String {
    match tag {
        Some(tag) => format!("{path}?{PARAMETER}={tag}"),
        None => path.to_owned(),
    }
}

/// The tags with these ids, in the order of the ids. Deleted ones are left out.
pub(crate) fn tags_of(feed: &UserFeed, ids: &[TagId]) -> Vec<Tag> {
    ids.iter().filter_map(|id| feed.tags.iter().find(|tag| tag.id == *id).cloned()).collect()
}

/// The field that filters the list of threads by tag; nothing while the person has no tags.
#[component]
pub(crate) fn TagFilter(filter: Memo<Option<TagId>>) -> impl IntoView {
    let (feed, path, navigate) = (use_socket().feed(), use_location().pathname, use_navigate());
    let dialogs: Dialogs = expect_context();
    let tags = Memo::new(move |_| feed.with(|feed| feed.tags.clone()));
    let navigate = StoredValue::new(navigate);
    let choose = move |value: String| {
        let address = path.with_untracked(|path| with_filter(path, value.parse().ok()));
        let options = NavigateOptions { scroll: false, ..NavigateOptions::default() };
        navigate.with_value(|navigate| navigate(&address, options));
    };
    let option = move |Tag { id, name }: Tag| {
        view! { <option value=id.to_string() prop:selected=move || filter.get() == Some(id)>{escape_invisible(&name)}</option> }
    };
    view! {
        <Show when=move || !tags.with(Vec::is_empty)>
            <div class="tag-filter">
                <select aria-label="Filter threads by tag" on:change:target=move |event| choose(event.target().value())>
                    <option value="" prop:selected=move || filter.get().is_none()>"All tags"</option>
                    {move || tags.get().into_iter().map(option).collect_view()}
                </select>
                <button type="button" class="icon-button" aria-label="Edit tags" title="Edit tags" on:click=move |_| dialogs.tag(Vec::new())>
                    {icon(Glyph::Tag)}
                </button>
            </div>
        </Show>
    }
    .into_any()
}

/// The names of a thread's tags.
#[component]
pub(crate) fn TagChips(tags: Memo<Vec<Tag>>) -> impl IntoView {
    let chip = |tag: Tag| view! { <span class="tag-chip" dir="auto">{escape_invisible(&tag.name)}</span> };
    move || {
        let tags = tags.get();
        (!tags.is_empty()).then(|| {
            view! {
                <span class="tag-chips">
                    <span class="sr-only">"Tags: "</span>
                    {tags.into_iter().map(chip).collect_view()}
                </span>
            }
        })
    }
}

/// In the header: the tags of the open thread, and a button that changes them.
#[component]
pub(crate) fn HeaderTags(thread: Memo<Option<ThreadId>>) -> impl IntoView {
    let feed = use_socket().feed();
    let dialogs: Dialogs = expect_context();
    let tags = Memo::new(move |_| {
        let ids = thread.get().and_then(|id| feed.with(|feed| Some(feed.thread(id)?.info.tags.clone())));
        feed.with(|feed| tags_of(feed, &ids.unwrap_or_default()))
    });
    let is_known = Memo::new(move |_| {
        let is_listed = |id| feed.with(|feed| feed.thread(id).is_some_and(|thread| thread.info.temporary.is_none()));
        thread.get().is_some_and(is_listed)
    });
    view! {
        <Show when=move || is_known.get()>
            <button
                type="button"
                class="header-tags"
                aria-label=move || {
                    let names: Vec<String> = tags.get().into_iter().map(|tag| escape_invisible(&tag.name)).collect();
                    if names.is_empty() { "Tag this thread".to_owned() } else { format!("Tags: {}", names.join(", ")) }
                }
                title="Tags"
                aria-haspopup="dialog"
                on:click=move |_| dialogs.tag(thread.get_untracked().into_iter().collect())
            >
                {icon(Glyph::Tag)}
                <TagChips tags/>
            </button>
        </Show>
    }
    .into_any()
}

part!(
    /// The content of the dialog.
    pub(crate) TAG_DIALOG, tags, |threads: Vec<ThreadId>| view! { <TagDialog threads/> }.into_any()
);

/// What the dialog changes.
#[derive(Clone, Copy)]
struct Tagging {
    socket: Socket,
    /// The threads that are tagged; empty: only the tags themselves are changed.
    threads: StoredValue<Vec<ThreadId>>,
    command: CommandState,
}

impl Tagging {
    fn tag(self, add: Vec<String>, remove: Vec<TagId>, then: impl FnOnce() + 'static) {
        self.command.send(TagThreads { thread_ids: self.threads.get_value(), add, remove }, then);
    }

    /// How many of the threads have a tag.
    fn count(self, tag: TagId) -> usize {
        let has_tag =
            |feed: &UserFeed, id: &ThreadId| feed.thread(*id).is_some_and(|thread| thread.info.tags.contains(&tag));
        self.socket
            .feed()
            .with(|feed| self.threads.with_value(|threads| threads.iter().filter(|id| has_tag(feed, id)).count()))
    }
}

#[component]
fn TagDialog(threads: Vec<ThreadId>) -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    let (count, socket) = (threads.len(), use_socket());
    let tagging = Tagging { socket, threads: StoredValue::new(threads), command: CommandState::new(socket) };
    let feed = socket.feed();
    let tags = Memo::new(move |_| feed.with(|feed| feed.tags.iter().map(|tag| tag.id).collect::<Vec<_>>()));
    let field = NodeRef::<html::Input>::new();
    focus_when_shown(field);
    let add = move |event: SubmitEvent| {
        event.prevent_default();
        let name = field.get_untracked().map(|field| field.value().trim().to_owned()).unwrap_or_default();
        if !name.is_empty() {
            tagging.tag(vec![name], Vec::new(), move || {
                if let Some(field) = field.try_get_untracked().flatten() {
                    field.set_value("");
                    let _ = field.focus();
                }
            });
        }
    };
    let about = match count {
        0 => "Rename or delete tags, in all threads.".to_owned(),
        1 => "The tags of this thread.".to_owned(),
        count => format!("The tags of {count} threads."),
    };
    view! {
        <div class="dialog-head">
            <h2>"Tags"</h2>
            <button type="button" class="icon-button" aria-label="Close" on:click=move |_| dialogs.close()>{icon(Glyph::Close)}</button>
        </div>
        <p class="quiet">{about}</p>
        {(count > 0).then(|| view! {
            <form class="tag-form" on:submit=add>
                <input
                    type="text"
                    aria-label="New tag"
                    placeholder="New tag"
                    autocomplete="off"
                    maxlength=limits::MAX_TAG_CHARS.to_string()
                    node_ref=field
                />
                <button type="submit" class="button" aria-disabled=move || tagging.command.aria_disabled()>{icon(Glyph::Plus)} "Add"</button>
            </form>
        })}
        {move || tagging.command.error.get().map(error_message)}
        <ul class="tag-list" aria-label="Your tags">
            <For each=move || tags.get() key=|tag| *tag children=move |tag| view! { <TagRow tag tagging count/> }/>
        </ul>
        <Show when=move || tags.with(Vec::is_empty)><p class="quiet">"No tags yet."</p></Show>
    }
    .into_any()
}

/// A tag: a box that tags the threads with it, and buttons that rename and delete it.
#[component]
fn TagRow(tag: TagId, tagging: Tagging, count: usize) -> impl IntoView {
    let feed = tagging.socket.feed();
    let name = Memo::new(move |_| {
        feed.with(|feed| feed.tags.iter().find(|known| known.id == tag).map(|tag| tag.name.clone())).unwrap_or_default()
    });
    let renaming = RwSignal::new(false);
    let tagged = Memo::new(move |_| tagging.count(tag));
    let toggle = move |checked: bool| match checked {
        true => tagging.tag(vec![name.get_untracked()], Vec::new(), || {}),
        false => tagging.tag(Vec::new(), vec![tag], || {}),
    };
    let field = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(field) = field.get() {
            let _ = field.focus();
            field.select();
        }
    });
    let save = move |event: SubmitEvent| {
        event.prevent_default();
        let new_name = field.get_untracked().map(|field| field.value()).unwrap_or_default();
        tagging.command.send(RenameTag { tag_id: tag, name: new_name }, move || {
            renaming.try_set(false);
        });
    };
    let delete = move |_| {
        tagging.command.send(DeleteTag { tag_id: tag }, || {
            request_animation_frame(|| {
                if is_focus_lost() {
                    focus_on(".dialog-head .icon-button");
                }
            });
        });
    };
    let shown = move || escape_invisible(&name.get());
    view! {
        <li class="tag-row">
            <Show
                when=move || renaming.get()
                fallback=move || view! {
                    {if count > 0 {
                        view! {
                            <label>
                                <input
                                    type="checkbox"
                                    prop:checked=move || tagged.get() == count
                                    prop:indeterminate=move || (1..count).contains(&tagged.get())
                                    on:change:target=move |event| toggle(event.target().checked())
                                />
                                <span dir="auto">{shown}</span>
                            </label>
                        }.into_any()
                    } else {
                        view! { <span class="tag-name" dir="auto">{shown}</span> }.into_any()
                    }}
                    <button type="button" class="icon-button" aria-label=move || format!("Rename {}", shown()) title="Rename" on:click=move |_| renaming.set(true)>
                        {icon(Glyph::Edit)}
                    </button>
                    <button type="button" class="icon-button" aria-label=move || format!("Delete {} in all threads", shown()) title="Delete in all threads" on:click=delete>
                        {icon(Glyph::Trash)}
                    </button>
                }
            >
                <form class="tag-form" on:submit=save>
                    <input
                        type="text"
                        aria-label="Name of the tag"
                        autocomplete="off"
                        maxlength=limits::MAX_TAG_CHARS.to_string()
                        value=name.get_untracked()
                        node_ref=field
                    />
                    <button type="submit" class="small-button">"Save"</button>
                    <button type="button" class="small-button" on:click=move |_| renaming.set(false)>"Cancel"</button>
                </form>
            </Show>
        </li>
    }
    .into_any()
}
