//! The state of an open thread in this tab: the branch shown, the items in it, the queue, and the composer's draft.
//!
//! The shown branch is local to the tab. At first it is the newest; sending a message shows the message's branch.

use std::collections::HashMap;

use leptos::{prelude::*, task::spawn_local};

use super::{
    auto_scroll::AutoScroll,
    draft::Draft,
    focus::focus_on,
    rendered_items::{RenderedItems, ready_thread},
    shown_thread::ShownThread,
};
use crate::{
    protocol::{MessageId, RunId, SendMode, StopRun, ThreadId, UserMessage, Waiting},
    socket::context::{Loaded, Socket},
    thread::{Item, RunState, ThreadView},
    ui::{
        drafts::Drafts,
        item_key::ItemKey,
        outgoing::{NewMessage, Outgoing, OutgoingMessage, Place},
        storage::record::EditRecord,
    },
};

/// How far below the top edge a message that is looked for is shown, in pixels.
const REVEALED_BELOW_TOP: f64 = 24.0;

/// Finds an item. It is at the index `hint`, unless an earlier message was taken back.
pub(crate) fn find_item(thread: &ThreadView, key: ItemKey, hint: usize) -> Option<&Item> {
    let matches_key = |item: &&Item| ItemKey::for_item(item) == key;
    thread.items.get(hint).filter(matches_key).or_else(|| thread.items.iter().rev().find(matches_key))
}

/// The items of the branch that contains the message `through` (`None`: of the newest branch), before the message `end`. Each
/// run follows the message that it answers. Returns each item's index in the thread and its key.
fn branch_items(thread: &ThreadView, through: Option<MessageId>, end: Option<MessageId>) -> Vec<(usize, ItemKey)> {
    let mut path = thread.path(through).into_iter().peekable();
    let mut turns: HashMap<MessageId, usize> = HashMap::new();
    let mut shown: Vec<(usize, usize, ItemKey)> = Vec::new();
    for (index, item) in thread.items.iter().enumerate() {
        if path.next_if(|next| std::ptr::eq(*next, item)).is_none() {
            continue;
        }
        let turn = match item {
            Item::Message(item) => *turns.entry(item.message.id).or_insert(index),
            Item::Run(run) => run.message_id.and_then(|id| turns.get(&id).copied()).unwrap_or(index),
        };
        shown.push((turn, index, ItemKey::for_item(item)));
    }
    shown.sort_by_key(|(turn, ..)| *turn);
    let shown = shown.into_iter().map(|(_, index, key)| (index, key));
    shown.take_while(|(_, key)| end.is_none_or(|end| *key != ItemKey::Message(end))).collect()
}

/// Groups of messages that are versions of each other, oldest first. Messages with a single version are left out.
fn versions(thread: &ThreadView) -> Vec<Vec<MessageId>> {
    let mut groups: Vec<Vec<MessageId>> = Vec::new();
    // The index of each group, by the message that its messages follow.
    let mut indexes: HashMap<Option<MessageId>, usize> = HashMap::new();
    for item in &thread.items {
        if let Item::Message(item) = item {
            let group = *indexes.entry(item.follows).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(item.message.id);
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// The open thread, from context.
#[derive(Clone, Copy)]
pub(crate) struct OpenThread {
    pub(crate) id: ThreadId,
    pub(crate) view: Signal<Loaded<ThreadView>>,
    /// Its queued runs.
    pub(crate) queue: Signal<Vec<Waiting>>,
    /// The composer's draft.
    pub(crate) draft: Draft,
    pub(crate) socket: Socket,
    pub(crate) outgoing: Outgoing,
    pub(crate) drafts: Drafts,
    /// A message whose branch is shown. `None`: the branch of the message whose edit began last, or else the newest branch.
    shown_message: RwSignal<Option<MessageId>>,
    /// The messages being edited. Their branch stays in view when others send messages.
    edits: RwSignal<Vec<MessageId>>,
    /// The items of the shown branch, each with its index in the thread.
    items: Memo<Vec<(usize, ItemKey)>>,
    /// Those of them that are in the document.
    pub(crate) rendered: RenderedItems,
    pub(crate) versions: Memo<Vec<Vec<MessageId>>>,
    pub(crate) auto_scroll: AutoScroll,
    /// The version to focus when it appears, and whether the user came to it from a newer version.
    focus: StoredValue<Option<(MessageId, bool)>>,
}

impl OpenThread {
    /// Provides it as context.
    pub(crate) fn provide(
        id: ThreadId,
        view: Signal<Loaded<ThreadView>>,
        queue: Signal<Vec<Waiting>>,
        (socket, outgoing): (Socket, Outgoing),
    ) -> Self {
        let drafts: Drafts = expect_context();
        let (shown_message, edits) = (RwSignal::new(None), RwSignal::new(drafts.edits_in(id)));
        let items = Memo::new(move |_| {
            let end = outgoing.replaced_message(id);
            let through = shown_message.get().or_else(|| edits.with(|edits| edits.last().copied()));
            view.with(|view| ready_thread(view).map(|thread| branch_items(thread, through, end))).unwrap_or_default()
        });
        Effect::new(move |_| {
            if drafts.has_leftovers(Some(id)) {
                // If the thread was closed meanwhile, the edit is shown when the thread is opened again.
                drafts.claim_edits(id, move |message| {
                    edits.try_update(|edits| edits.push(message));
                });
            }
        });
        let versions = Memo::new(move |_| view.with(|view| ready_thread(view).map(versions)).unwrap_or_default());
        let draft = Draft::new(Some(id));
        let rendered = RenderedItems::new(view, items);
        let (focus, auto_scroll) = (StoredValue::new(None), AutoScroll::new(id, rendered));
        let open_thread = Self {
            id,
            view,
            queue,
            draft,
            socket,
            outgoing,
            drafts,
            shown_message,
            edits,
            items,
            rendered,
            versions,
            auto_scroll,
            focus,
        };
        provide_context(open_thread);
        expect_context::<ShownThread>().show(open_thread);
        open_thread
    }

    /// Whether the view is up to date with the server.
    pub(crate) fn is_up_to_date(self) -> bool {
        self.socket.is_up_to_date()
    }

    /// Sends a message after the last one of the shown branch, and scrolls to the end.
    pub(crate) fn send(self, message: NewMessage) {
        let last = self.last_message();
        let newest = self.view.with_untracked(|view| ready_thread(view).and_then(ThreadView::newest_message));
        // A message that is being sent will be the newest, and this one comes after it.
        let is_sending =
            untrack(|| self.outgoing.for_thread(self.id)).iter().any(|message| message.error.get_untracked().is_none());
        let place = match last {
            Some(last) if Some(last) != newest && !is_sending => Place::After(last),
            _ => Place::Newest,
        };
        self.outgoing.send(self.id, message, place, None);
        self.auto_scroll.jump_to_end();
    }

    /// Sends another version of a message, with the same or another text, to the same agent unless `agent` names another. Stops
    /// the runs of the old version: they would delay the new run, and the user could not see why.
    pub(crate) fn replace_message(self, message: &UserMessage, text: String, agent: Option<String>) {
        for run_id in self.active_from(message.id) {
            let stop = self.socket.send(StopRun { run_id });
            // A refusal means that the run has already ended.
            spawn_local(async move { drop(stop.await) });
        }
        let agent = agent.or_else(|| Some(message.agent.clone()));
        let uploaded = message.attachments.clone();
        let new = NewMessage { text, files: Vec::new(), uploaded, agent, mode: SendMode::Queue };
        self.outgoing.send(self.id, new, Place::Replacing(message.id), None);
        self.auto_scroll.jump_to_end();
    }

    /// The unfinished runs of the shown branch from a message on.
    fn active_from(self, message: MessageId) -> Vec<RunId> {
        let items = self.items.get_untracked();
        let later = items.iter().skip_while(|(_, key)| *key != ItemKey::Message(message)).map(|(_, key)| *key);
        self.view.with_untracked(|view| {
            let Some(thread) = ready_thread(view) else { return Vec::new() };
            let active = |id: &RunId| thread.run(*id).is_some_and(|run| !run.state.is_over());
            let runs = later.filter_map(|key| if let ItemKey::Run(id) = key { Some(id) } else { None });
            runs.filter(active).collect()
        })
    }

    /// Whether a message is being edited. Reactive.
    pub(crate) fn is_being_edited(self, message: MessageId) -> bool {
        self.edits.with(|edits| edits.contains(&message))
    }

    /// Starts editing a message.
    pub(crate) fn edit(self, message: MessageId) {
        self.edits.update(|edits| edits.push(message));
    }

    /// Starts editing the last message of the shown branch. Returns the message.
    pub(crate) fn edit_last_message(self) -> Option<MessageId> {
        let message = self.last_message()?;
        self.rendered.show(ItemKey::Message(message));
        if !untrack(|| self.is_being_edited(message)) {
            self.edit(message);
        }
        Some(message)
    }

    /// Calls a function with the items of the shown branch. `None` if the thread is not loaded, or closed.
    pub(crate) fn with_shown<T>(
        self,
        read: impl FnOnce(&mut dyn DoubleEndedIterator<Item = (ItemKey, &Item)>) -> T,
    ) -> Option<T> {
        let items = self.items.try_get_untracked()?;
        self.view.try_with_untracked(|view| {
            let thread = ready_thread(view)?;
            let mut shown = items.iter().filter_map(|(index, key)| Some((*key, find_item(thread, *key, *index)?)));
            Some(read(&mut shown))
        })?
    }

    /// Whether an item is the last one of the shown branch. Reactive.
    pub(crate) fn is_last(self, key: ItemKey) -> bool {
        self.items.with(|items| items.last().is_some_and(|(_, last)| *last == key))
    }

    /// The last message of the shown branch.
    fn last_message(self) -> Option<MessageId> {
        self.items.with_untracked(|keys| {
            keys.iter().rev().find_map(|(_, key)| match key {
                ItemKey::Message(id) => Some(*id),
                ItemKey::Run(_) => None,
            })
        })
    }

    /// Saves the text of an edit.
    pub(crate) fn save_edit(self, message: MessageId, text: String) {
        self.drafts.save_edit(message, Some(EditRecord { thread_id: self.id, text }));
    }

    /// Stops editing a message and removes the edit.
    pub(crate) fn end_edit(self, message: MessageId) {
        self.drafts.save_edit(message, None);
        self.edits.update(|edits| edits.retain(|edited| *edited != message));
    }

    /// Shows the branch of a sent message that arrived in the thread.
    pub(crate) fn on_arrival(self, message: &OutgoingMessage) {
        self.outgoing.remove(message.message_id);
        let newest = self.view.with_untracked(|view| ready_thread(view).and_then(ThreadView::newest_message));
        self.shown_message.set((newest != Some(message.message_id)).then_some(message.message_id));
    }

    /// Shows another version of a message, focuses it, and stops following the end. `back`: whether that version is older.
    pub(crate) fn show_version(self, version: MessageId, back: bool) {
        self.auto_scroll.stop_following();
        self.focus.set_value(Some((version, back)));
        self.shown_message.set(Some(version));
        self.rendered.show(ItemKey::Message(version));
    }

    /// Shows the branch of a message, scrolls to the message and focuses it. No effect if the thread does not contain it.
    pub(crate) fn reveal(self, message: MessageId) {
        let mut key = ItemKey::Message(message);
        if !self.items.with_untracked(|items| items.iter().any(|(_, shown)| *shown == key)) {
            // A message that an agent read during its run is in the run.
            let find = |thread: &ThreadView| {
                let key = thread.run_that_read(message).map_or(key, |run| ItemKey::Run(run.run_id));
                let item = find_item(thread, key, 0)?;
                Some((key, if let Item::Run(run) = item { run.message_id } else { Some(message) }))
            };
            let Some((found, shown)) = self.view.with_untracked(|view| ready_thread(view).and_then(find)) else {
                return;
            };
            key = found;
            self.shown_message.set(shown);
        }
        self.auto_scroll.show_item(key, REVEALED_BELOW_TOP);
        // In the next frame, the message is in the document.
        request_animation_frame(move || {
            focus_on(&ItemKey::Message(message).selector());
        });
    }

    /// Returns and clears the focus if it is pending for this message: whether the user came from a newer version. `None` if it is not.
    pub(crate) fn take_focus(self, message: MessageId) -> Option<bool> {
        let (_, back) = self.focus.get_value().filter(|(id, _)| *id == message)?;
        self.focus.set_value(None);
        Some(back)
    }

    /// The run in progress. A thread has at most one.
    pub(crate) fn running(self) -> Memo<Option<RunId>> {
        Memo::new(move |_| self.running_now())
    }

    /// The run in progress. Reactive; depends on the whole view.
    pub(crate) fn running_now(self) -> Option<RunId> {
        let is_running = |run: &&crate::thread::RunView| run.state == RunState::Running;
        self.view.with(|view| ready_thread(view)?.active_runs().find(is_running).map(|run| run.run_id))
    }

    /// The current state of a message.
    pub(crate) fn message(self, id: MessageId) -> Option<UserMessage> {
        self.view.with_untracked(|view| ready_thread(view)?.message(id).map(|item| item.message.clone()))
    }

    /// The messages of the shown branch whose runs wait, in order. Reactive; depends on the whole view.
    pub(crate) fn waiting_messages(self) -> Vec<MessageId> {
        let items = self.items.get();
        self.view.with(|view| {
            let Some(thread) = ready_thread(view) else { return Vec::new() };
            let is_waiting = |run: &crate::thread::RunView| run.state == RunState::Waiting && run.resumes.is_none();
            let runs = items.iter().filter_map(|(index, key)| match find_item(thread, *key, *index) {
                Some(Item::Run(run)) if is_waiting(run) => run.message_id,
                _ => None,
            });
            runs.collect()
        })
    }

    /// The id of the thread's agent.
    pub(crate) fn agent(self) -> Memo<Option<String>> {
        Memo::new(move |_| self.view.with(|view| Some(ready_thread(view)?.info.as_ref()?.agent.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Author, RunAnswer, ThreadEntry, UserId};

    fn send(thread: &mut ThreadView, replaces: Option<MessageId>, after: Option<MessageId>) -> (MessageId, RunId) {
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
    fn older_branches_stay_reachable_and_a_pending_replacement_hides_the_old_version() {
        let mut thread = ThreadView::default();
        let (first, first_run) = send(&mut thread, None, None);
        let (second, _) = send(&mut thread, None, None);
        let (other, other_run) = send(&mut thread, Some(first), None);
        assert_eq!(keys(branch_items(&thread, None, None)), [ItemKey::Message(other), ItemKey::Run(other_run)]);
        let old = keys(branch_items(&thread, Some(first), None));
        assert_eq!((old[0], old[2], old.len()), (ItemKey::Message(first), ItemKey::Message(second), 4));
        let cut = branch_items(&thread, Some(first), Some(second));
        assert_eq!(keys(cut), [ItemKey::Message(first), ItemKey::Run(first_run)]);
        assert_eq!(versions(&thread), [vec![first, other]]);
    }

    #[test]
    fn a_resumed_run_is_shown_after_the_message_that_it_answers() {
        let mut thread = ThreadView::default();
        let (first, run) = send(&mut thread, None, None);
        let (second, second_run) = send(&mut thread, None, None);
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
        assert_eq!(keys(branch_items(&thread, None, None)), expected);
        let hint = branch_items(&thread, None, None)[3].0;
        thread.apply(0, ThreadEntry::TakenBack { message_id: first });
        assert!(
            matches!(find_item(&thread, ItemKey::Message(second), hint), Some(Item::Message(item)) if item.message.id == second)
        );
    }
}
