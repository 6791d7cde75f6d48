//! The members of a thread, in the dialog that shares it: who has access, adding users by name, changing what they may do, removing them.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{command_state::CommandState, error_message::error_message};
use crate::{
    protocol::{
        AddMember, Member, MemberRole, People, Person, RemoveMember, Request, SetMemberRole, ThreadId, ThreadMembers,
        limits::MAX_SEARCH_CHARS,
    },
    socket::context::use_socket,
    text::escape_invisible,
    ui::{browser, context::AppContext},
};

/// What the section shows.
#[derive(Clone, Copy)]
struct Members {
    thread: ThreadId,
    /// `None`: loading.
    members: RwSignal<Option<Vec<Member>>>,
    /// Users who were found; `None`: nothing was searched.
    found: RwSignal<Option<Vec<Person>>>,
    command: CommandState,
}

impl Members {
    fn load(self) {
        spawn_local(async move {
            match browser::get::<ThreadMembers>(&format!("/api/threads/{}/members", self.thread)).await {
                Ok(all) => drop(self.members.try_set(Some(all.members))),
                Err(error) => drop(self.command.error.try_set(Some(error.message()))),
            }
        });
    }

    fn search(self, text: String) {
        self.command.error.set(None);
        spawn_local(async move {
            match browser::get::<People>(&format!("/api/people?q={}", browser::encode(&text))).await {
                Ok(found) => drop(self.found.try_set(Some(found.people))),
                Err(error) => drop(self.command.error.try_set(Some(error.message()))),
            }
        });
    }

    /// Sends a command about members, and reads them again.
    fn change(self, command: impl Request + 'static) {
        self.command.send(command, move || self.load());
    }

    /// Found users who are no members yet.
    fn candidates(self) -> Option<Vec<Person>> {
        let found = self.found.get()?;
        let is_member = |person: &Person| {
            self.members.with(|members| members.iter().flatten().any(|member| member.user.id == person.id))
        };
        Some(found.into_iter().filter(|person| !is_member(person)).collect())
    }
}

/// The section of the dialog.
#[component]
pub(crate) fn MembersSection(thread: ThreadId) -> impl IntoView {
    let (members, found, command) = (RwSignal::new(None), RwSignal::new(None), CommandState::new(use_socket()));
    let all = Members { thread, members, found, command };
    all.load();
    let text = RwSignal::new(String::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let text = text.get_untracked().trim().to_owned();
        if !text.is_empty() {
            all.search(text);
        }
    };
    // Without it, members from before can still be changed and removed.
    let can_add = expect_context::<AppContext>().has_members();
    let is_empty = move || members.with(|members| members.as_ref().is_some_and(Vec::is_empty));
    let candidates = Memo::new(move |_| all.candidates());
    let nobody = move || candidates.with(|found| found.as_ref().is_some_and(Vec::is_empty));
    view! {
        <h3 hidden=move || !can_add && is_empty()>"Members"</h3>
        <p class="quiet" hidden=move || !can_add && is_empty()>"Other users of this server who see this thread in their list, with its files and who wrote what."</p>
        <form class="share-form" role="search" hidden=!can_add on:submit=submit>
            <label class="member-search">
                <span class="sr-only">"Name of a user"</span>
                <input
                    type="search"
                    placeholder="Name of a user"
                    autocomplete="off"
                    maxlength=MAX_SEARCH_CHARS.to_string()
                    prop:value=move || text.get()
                    on:input:target=move |event| text.set(event.target().value())
                />
            </label>
            <button type="submit" class="button quiet-button">"Find"</button>
        </form>
        {move || command.error.get().map(error_message)}
        <ul class="share-links" aria-label="Found users" hidden=move || candidates.with(|found| found.as_ref().is_none_or(Vec::is_empty))>
            <For each=move || candidates.get().unwrap_or_default() key=|person| person.id children=move |person| view! { <Candidate person all/> }/>
        </ul>
        <p class="quiet" role="status" hidden=move || !nobody()>{move || if nobody() { "No other user has this name." } else { "" }}</p>
        <ul class="share-links" aria-label="Members" hidden=is_empty>
            <For
                each=move || members.get().unwrap_or_default()
                key=|member| (member.user.id, member.role)
                children=move |member| view! { <MemberRow member all/> }
            />
        </ul>
        <p class="quiet" hidden=move || !can_add || !is_empty()>"No members yet."</p>
    }
    .into_any()
}

/// A user who can be added.
#[component]
fn Candidate(person: Person, all: Members) -> impl IntoView {
    let name = escape_invisible(&person.name);
    let add = move |role: MemberRole| {
        let thread_id = all.thread;
        move |_| all.change(AddMember { thread_id, user_id: person.id, role })
    };
    let label = |what: &str| format!("Let {name} {what}");
    view! {
        <li class="share-link member">
            <bdi class="member-name">{name.clone()}</bdi>
            <span class="share-actions">
                <button type="button" class="small-button" aria-label=label("read") on:click=add(MemberRole::Read)>"Can read"</button>
                <button type="button" class="small-button" aria-label=label("write") on:click=add(MemberRole::Write)>"Can write"</button>
            </span>
        </li>
    }
    .into_any()
}

/// A member: the name, what they may do, and a button that removes them.
#[component]
fn MemberRow(member: Member, all: Members) -> impl IntoView {
    let Member { user, role } = member;
    let (name, thread_id, user_id) = (escape_invisible(&user.name), all.thread, user.id);
    let set_role = move |value: String| {
        let role = if value == "write" { MemberRole::Write } else { MemberRole::Read };
        all.change(SetMemberRole { thread_id, user_id, role });
    };
    let remove = move |_| all.change(RemoveMember { thread_id, user_id });
    view! {
        <li class="share-link member">
            <bdi class="member-name">{name.clone()}</bdi>
            <span class="share-actions">
                <select aria-label=format!("What {name} may do") on:change:target=move |event| set_role(event.target().value())>
                    <option value="read" selected=role == MemberRole::Read>"Can read"</option>
                    <option value="write" selected=role == MemberRole::Write>"Can write"</option>
                </select>
                <button
                    type="button"
                    class="small-button"
                    aria-label=format!("Remove {name}")
                    aria-disabled=move || all.command.aria_disabled()
                    on:click=remove
                >
                    "Remove"
                </button>
            </span>
        </li>
    }
    .into_any()
}
