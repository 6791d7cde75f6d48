//! A thread as one person looks at it: which of its branches is in view, what waits, and where they write.
//!
//! Which branch is in view is nobody else's business: it is kept here, and begins as the newest. What a person says brings
//! its own branch into view.

use std::collections::HashMap;

use leptos::{prelude::*, task::spawn_local};

use super::{draft::Draft, scroll::Follow};
use crate::{
    protocol::{MessageId, RunId, StopRun, ThreadId, UserMessage, Waiting},
    socket::context::{Loaded, Socket},
    thread::{Item, RunState, ThreadView},
    ui::{
        drafts::Drafts,
        outgoing::{NewMessage, Outgoing, OutgoingMessage, Place},
        storage::record::EditRecord,
    },
};

/// Which item of a thread it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ItemKey {
    /// What a person said.
    Message(MessageId),
    /// What an agent did.
    Run(RunId),
}

impl ItemKey {
    fn of(item: &Item) -> Self {
        match item {
            Item::Message(said) => Self::Message(said.message.id),
            Item::Run(run) => Self::Run(run.run_id),
        }
    }
}

/// The state of a thread, where it is here.
pub(crate) fn ready_thread(view: &Loaded<ThreadView>) -> Option<&ThreadView> {
    match view {
        Loaded::Ready(thread) => Some(thread),
        _ => None,
    }
}

/// An item, which is at `hint` unless something before it was taken back.
pub(crate) fn find_item(thread: &ThreadView, key: ItemKey, hint: usize) -> Option<&Item> {
    let is_it = |item: &&Item| ItemKey::of(item) == key;
    thread.items.get(hint).filter(is_it).or_else(|| thread.items.iter().rev().find(is_it))
}

/// What is in view, in order: the items of a branch up to `end`, each run after the message that it answers, with where
/// they are among all.
fn in_view(thread: &ThreadView, through: Option<MessageId>, end: Option<MessageId>) -> Vec<(usize, ItemKey)> {
    let mut path = thread.path(through).into_iter().peekable();
    let mut turns: HashMap<MessageId, usize> = HashMap::new();
    let mut shown: Vec<(usize, usize, ItemKey)> = Vec::new();
    for (index, item) in thread.items.iter().enumerate() {
        if path.next_if(|next| std::ptr::eq(*next, item)).is_none() {
            continue;
        }
        let turn = match item {
            Item::Message(said) => *turns.entry(said.message.id).or_insert(index),
            Item::Run(run) => run.message_id.and_then(|id| turns.get(&id).copied()).unwrap_or(index),
        };
        shown.push((turn, index, ItemKey::of(item)));
    }
    shown.sort_by_key(|(turn, ..)| *turn);
    let shown = shown.into_iter().map(|(_, index, key)| (index, key));
    shown.take_while(|(_, key)| end.is_none_or(|end| *key != ItemKey::Message(end))).collect()
}

/// The messages that are versions of each other, oldest first; those that have no other are left out.
fn versions(thread: &ThreadView) -> Vec<Vec<MessageId>> {
    let mut groups: Vec<Vec<MessageId>> = Vec::new();
    let mut known: HashMap<Option<MessageId>, usize> = HashMap::new();
    for item in &thread.items {
        if let Item::Message(said) = item {
            let group = *known.entry(said.follows).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(said.message.id);
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// A thread in view, from context.
#[derive(Clone, Copy)]
pub(crate) struct Conversation {
    pub(crate) id: ThreadId,
    pub(crate) view: Signal<Loaded<ThreadView>>,
    /// Which of its runs wait.
    pub(crate) queue: Signal<Vec<Waiting>>,
    /// Where the person writes.
    pub(crate) draft: Draft,
    pub(crate) socket: Socket,
    pub(crate) outgoing: Outgoing,
    pub(crate) drafts: Drafts,
    /// The message whose branch is in view; absent: that of one that is being edited; else the newest's.
    through: RwSignal<Option<MessageId>>,
    /// The messages that are being edited: they stay in view whatever is said elsewhere.
    edits: RwSignal<Vec<MessageId>>,
    /// The items in view and where they are.
    pub(crate) keys: Memo<Vec<(usize, ItemKey)>>,
    pub(crate) versions: Memo<Vec<Vec<MessageId>>>,
    /// Whether what is new scrolls into view.
    pub(crate) follow: Follow,
    /// The message that takes the focus as soon as it is there, and whether that came of going back.
    focus: StoredValue<Option<(MessageId, bool)>>,
}

impl Conversation {
    /// Puts it into context.
    pub(crate) fn provide(
        id: ThreadId,
        view: Signal<Loaded<ThreadView>>,
        queue: Signal<Vec<Waiting>>,
        (socket, outgoing): (Socket, Outgoing),
    ) -> Self {
        let drafts: Drafts = expect_context();
        let (through, edits) = (RwSignal::new(None), RwSignal::new(drafts.edits_in(id)));
        let keys = Memo::new(move |_| {
            let end = outgoing.replaced_message(id);
            let through = through.get().or_else(|| edits.with(|edits| edits.last().copied()));
            view.with(|view| ready_thread(view).map(|thread| in_view(thread, through, end))).unwrap_or_default()
        });
        Effect::new(move |_| {
            if drafts.has_leftovers(Some(id)) {
                // The thread may be out of sight by now; then the edit is shown when it is looked at again.
                drafts.claim_edits(id, move |message| {
                    edits.try_update(|edits| edits.push(message));
                });
            }
        });
        let versions = Memo::new(move |_| view.with(|view| ready_thread(view).map(versions)).unwrap_or_default());
        let draft = Draft::new(Some(id));
        let (focus, follow) = (StoredValue::new(None), Follow::new());
        let conversation =
            Self { id, view, queue, draft, socket, outgoing, drafts, through, edits, keys, versions, follow, focus };
        provide_context(conversation);
        conversation
    }

    /// Whether what is in view is what the server has, as far as anybody can know.
    pub(crate) fn is_up_to_date(self) -> bool {
        self.socket.is_up_to_date()
    }

    /// Says something after what is in view, and goes to the end, where it stands.
    pub(crate) fn send(self, written: NewMessage) {
        let last = self.keys.with_untracked(|keys| {
            keys.iter().rev().find_map(|(_, key)| match key {
                ItemKey::Message(id) => Some(*id),
                ItemKey::Run(_) => None,
            })
        });
        let newest = self.view.with_untracked(|view| ready_thread(view).and_then(ThreadView::newest));
        // What is on its way will be the newest, and what is said now comes after it.
        let on_its_way =
            untrack(|| self.outgoing.for_thread(self.id)).iter().any(|parcel| parcel.error.get_untracked().is_none());
        let place = match last {
            Some(last) if Some(last) != newest && !on_its_way => Place::After(last),
            _ => Place::Newest,
        };
        self.outgoing.send(self.id, written, place, None);
        self.follow.jump();
    }

    /// Says something in the place of a message: the same again, or other words; to the same agent unless another is named.
    /// What goes on in the branch that is left is stopped: the runs of a thread take turns, and nobody would see what the new one
    /// waits for.
    pub(crate) fn replace_message(self, message: &UserMessage, text: String, agent: Option<String>) {
        for run_id in self.active_from(message.id) {
            let stop = self.socket.send(StopRun { run_id });
            // A refusal says that the run is over already.
            spawn_local(async move { drop(stop.await) });
        }
        let agent = agent.or_else(|| Some(message.agent.clone()));
        let written = NewMessage { text, files: Vec::new(), attached: message.attachments.clone(), agent };
        self.outgoing.send(self.id, written, Place::Replacing(message.id), None);
        self.follow.jump();
    }

    /// The runs in view that are not over, of a message and of those after it.
    fn active_from(self, message: MessageId) -> Vec<RunId> {
        let keys = self.keys.get_untracked();
        let left = keys.iter().skip_while(|(_, key)| *key != ItemKey::Message(message)).map(|(_, key)| *key);
        self.view.with_untracked(|view| {
            let Some(thread) = ready_thread(view) else { return Vec::new() };
            let active = |id: &RunId| thread.run(*id).is_some_and(|run| !run.state.is_over());
            let runs = left.filter_map(|key| if let ItemKey::Run(id) = key { Some(id) } else { None });
            runs.filter(active).collect()
        })
    }

    /// Whether a message is being edited.
    pub(crate) fn is_edited(self, message: MessageId) -> bool {
        self.edits.with(|edits| edits.contains(&message))
    }

    /// Begins to edit a message.
    pub(crate) fn edit(self, message: MessageId) {
        self.edits.update(|edits| edits.push(message));
    }

    /// Keeps what a message is being edited to.
    pub(crate) fn save_edit(self, message: MessageId, text: String) {
        self.drafts.save_edit(message, Some(EditRecord { thread_id: self.id, text }));
    }

    /// Ends the editing of a message.
    pub(crate) fn end_edit(self, message: MessageId) {
        self.drafts.save_edit(message, None);
        self.edits.update(|edits| edits.retain(|edited| *edited != message));
    }

    /// A message of the person's own has arrived: its branch comes into view.
    pub(crate) fn on_arrival(self, parcel: &OutgoingMessage) {
        self.outgoing.remove(parcel.message_id);
        let newest = self.view.with_untracked(|view| ready_thread(view).and_then(ThreadView::newest));
        self.through.set((newest != Some(parcel.message_id)).then_some(parcel.message_id));
    }

    /// Goes to another version of a message, which then has the focus. Who goes there reads there.
    pub(crate) fn show_version(self, version: MessageId, back: bool) {
        self.follow.stay();
        self.focus.set_value(Some((version, back)));
        self.through.set(Some(version));
    }

    /// Whether a message was gone to, and takes the focus now; whether that came of going back.
    pub(crate) fn take_focus(self, message: MessageId) -> Option<bool> {
        let (_, back) = self.focus.get_value().filter(|(id, _)| *id == message)?;
        self.focus.set_value(None);
        Some(back)
    }

    /// The run that goes on: one at a time does.
    pub(crate) fn running(self) -> Memo<Option<RunId>> {
        Memo::new(move |_| {
            let is_running = |run: &&crate::thread::RunView| run.state == RunState::Running;
            self.view.with(|view| ready_thread(view)?.active_runs().find(is_running).map(|run| run.run_id))
        })
    }

    /// A message by id, as it is now.
    pub(crate) fn message(self, id: MessageId) -> Option<UserMessage> {
        self.view.with_untracked(|view| ready_thread(view)?.said(id).map(|said| said.message.clone()))
    }

    /// The id of the agent that answers in the thread.
    pub(crate) fn agent(self) -> Memo<Option<String>> {
        Memo::new(move |_| self.view.with(|view| Some(ready_thread(view)?.info.as_ref()?.agent.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Author, RunAnswer, ThreadEntry, UserId};

    fn say(thread: &mut ThreadView, replaces: Option<MessageId>, after: Option<MessageId>) -> (MessageId, RunId) {
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let (id, run_id) = (MessageId::new(), RunId::new());
        let message = UserMessage { id, after, replaces, ..UserMessage::new(author, "hello", run_id, "analyst") };
        thread.apply(0, ThreadEntry::Message { message });
        (id, run_id)
    }

    fn keys(shown: Vec<(usize, ItemKey)>) -> Vec<ItemKey> {
        shown.into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn an_older_branch_stays_reachable_and_a_replacement_on_its_way_hides_what_it_replaces() {
        let mut thread = ThreadView::default();
        let (first, first_run) = say(&mut thread, None, None);
        let (second, _) = say(&mut thread, None, None);
        let (other, other_run) = say(&mut thread, Some(first), None);
        assert_eq!(keys(in_view(&thread, None, None)), [ItemKey::Message(other), ItemKey::Run(other_run)]);
        let old = keys(in_view(&thread, Some(first), None));
        assert_eq!((old[0], old[2], old.len()), (ItemKey::Message(first), ItemKey::Message(second), 4));
        let cut = in_view(&thread, Some(first), Some(second));
        assert_eq!(keys(cut), [ItemKey::Message(first), ItemKey::Run(first_run)]);
        assert_eq!(versions(&thread), [vec![first, other]]);
    }

    #[test]
    fn a_run_that_goes_on_is_shown_with_the_message_that_it_answers() {
        let mut thread = ThreadView::default();
        let (first, run) = say(&mut thread, None, None);
        let (second, second_run) = say(&mut thread, None, None);
        let resumed_by = RunId::new();
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let agent = "analyst".into();
        let answer = RunAnswer { id: MessageId::new(), run_id: run, resumed_by, agent, author, answers: Vec::new() };
        thread.apply(0, ThreadEntry::Answer { answer });
        let expected = [
            ItemKey::Message(first),
            ItemKey::Run(run),
            ItemKey::Run(resumed_by),
            ItemKey::Message(second),
            ItemKey::Run(second_run),
        ];
        assert_eq!(keys(in_view(&thread, None, None)), expected);
        let hint = in_view(&thread, None, None)[3].0;
        thread.apply(0, ThreadEntry::TakenBack { message_id: first });
        assert!(
            matches!(find_item(&thread, ItemKey::Message(second), hint), Some(Item::Message(said)) if said.message.id == second)
        );
    }
}
