//! The registered connections and what they follow: indexes only, no locks and no I/O.
//!
//! Four indexes (by connection, user, session and channel) that always agree: the tests check this after every operation with
//! `check_invariants`. A connection that is removed leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

use crate::{
    protocol::{ConnectionId, Person, Present, ThreadId, UserId, http::Role},
    server::channel::Channel,
};

/// The connections that follow one channel. Copied on write: a delivery may be iterating over it.
pub(crate) type Followers<T> = Arc<Vec<(ConnectionId, T)>>;

/// The person to whom a connection belongs, as of its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The person.
    pub(crate) user: UserId,
    /// The name.
    pub(crate) name: Arc<str>,
    /// The role.
    pub(crate) role: Role,
    /// The key of the session behind it.
    pub(crate) session: Arc<str>,
}

/// One connection.
#[derive(Debug)]
struct Member<T> {
    owner: Owner,
    channels: Vec<Channel>,
    handle: T,
}

/// A channel that is followed.
#[derive(Debug)]
struct Followed<T> {
    followers: Followers<T>,
    /// The `seq` of the last entry that was reported to all of them; 0 if none was.
    head: u64,
}

/// The registry. `T` is the handle with which something is sent to a connection.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    connections: HashMap<ConnectionId, Member<T>>,
    /// Ids sort by time, so the first connection is the oldest.
    users: HashMap<UserId, BTreeSet<ConnectionId>>,
    sessions: HashMap<Arc<str>, BTreeSet<ConnectionId>>,
    channels: HashMap<Channel, Followed<T>>,
    /// Threads whose followers changed since the last [`Registry::take_presence_changes`].
    presence_changes: HashSet<ThreadId>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        let (connections, users, sessions) = Default::default();
        Self { connections, users, sessions, channels: HashMap::new(), presence_changes: HashSet::new() }
    }
}

impl<T: Clone> Registry<T> {
    /// Adds a connection that follows nothing yet.
    pub(crate) fn insert(&mut self, id: ConnectionId, owner: Owner, handle: T) {
        self.users.entry(owner.user).or_default().insert(id);
        self.sessions.entry(owner.session.clone()).or_default().insert(id);
        self.connections.insert(id, Member { owner, channels: Vec::new(), handle });
    }

    /// Removes a connection and its subscriptions. An unknown id changes nothing.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let member = self.connections.remove(&id)?;
        remove_from_index(&mut self.users, &member.owner.user, id);
        remove_from_index(&mut self.sessions, &member.owner.session, id);
        for channel in member.channels {
            self.remove_follower(channel, id);
        }
        Some(member.handle)
    }

    /// Subscribes a connection to a channel; returns false if the connection is unknown or follows `limit` channels already.
    pub(crate) fn follow(&mut self, id: ConnectionId, channel: Channel, limit: usize) -> bool {
        let Some(member) = self.connections.get_mut(&id) else { return false };
        if member.channels.contains(&channel) {
            return true;
        }
        if member.channels.len() >= limit {
            return false;
        }
        member.channels.push(channel);
        let new = || Followed { followers: Followers::default(), head: 0 };
        let followed = self.channels.entry(channel).or_insert_with(new);
        Arc::make_mut(&mut followed.followers).push((id, member.handle.clone()));
        self.mark_changed(channel);
        true
    }

    /// Unsubscribes a connection from a channel; returns what it is reached by if it was subscribed.
    pub(crate) fn unfollow(&mut self, id: ConnectionId, channel: Channel) -> Option<T> {
        let member = self.connections.get_mut(&id)?;
        let place = member.channels.iter().position(|known| *known == channel)?;
        member.channels.swap_remove(place);
        let handle = member.handle.clone();
        self.remove_follower(channel, id);
        Some(handle)
    }

    fn remove_follower(&mut self, channel: Channel, id: ConnectionId) {
        let Entry::Occupied(mut entry) = self.channels.entry(channel) else { return };
        let followers = Arc::make_mut(&mut entry.get_mut().followers);
        if let Some(place) = followers.iter().position(|(known, _)| *known == id) {
            followers.swap_remove(place);
        }
        if followers.is_empty() {
            entry.remove();
        }
        self.mark_changed(channel);
    }

    fn mark_changed(&mut self, channel: Channel) {
        if let Channel::Thread(id) = channel {
            self.presence_changes.insert(id);
        }
    }

    /// The threads whose followers changed since the last call.
    pub(crate) fn take_presence_changes(&mut self) -> HashSet<ThreadId> {
        std::mem::take(&mut self.presence_changes)
    }

    /// The people who follow a thread, with the number of their connections that do.
    pub(crate) fn present(&self, thread: ThreadId) -> Vec<Present> {
        let mut present: BTreeMap<UserId, Present> = BTreeMap::new();
        let followers = self.channels.get(&Channel::Thread(thread)).map(|followed| &followed.followers);
        for (id, _) in followers.into_iter().flat_map(|followers| followers.iter()) {
            let Some(Member { owner, .. }) = self.connections.get(id) else { continue };
            let user = || Person { id: owner.user, name: owner.name.to_string() };
            present.entry(owner.user).or_insert_with(|| Present { user: user(), connections: 0 }).connections += 1;
        }
        present.into_values().collect()
    }

    /// Who follows which thread.
    pub(crate) fn thread_followers(&self) -> HashSet<(ThreadId, UserId)> {
        let of_member = |member: &Member<T>| {
            let threads = member.channels.iter().filter_map(|channel| match channel {
                Channel::Thread(thread) => Some((*thread, member.owner.user)),
                Channel::User(_) => None,
            });
            threads.collect::<Vec<_>>()
        };
        self.connections.values().flat_map(of_member).collect()
    }

    /// The connections that follow a channel.
    pub(crate) fn followers(&self, channel: Channel) -> Option<Followers<T>> {
        self.channels.get(&channel).map(|followed| followed.followers.clone())
    }

    /// The connections that follow a channel, to deliver its entry `seq` to.
    pub(crate) fn for_delivery(&mut self, channel: Channel, seq: u64) -> Option<Followers<T>> {
        let followed = self.channels.get_mut(&channel)?;
        followed.head = followed.head.max(seq);
        Some(followed.followers.clone())
    }

    /// The connections that follow a channel, if `head` was not reported to them yet; it counts as reported from now on.
    pub(crate) fn for_head(&mut self, channel: Channel, head: u64) -> Option<Followers<T>> {
        let followed = self.channels.get_mut(&channel).filter(|followed| followed.head < head)?;
        followed.head = head;
        Some(followed.followers.clone())
    }

    /// Every channel that is followed.
    pub(crate) fn followed(&self) -> Vec<Channel> {
        self.channels.keys().copied().collect()
    }

    /// The owner of each connection, and what it is reached by.
    pub(crate) fn owners(&self) -> Vec<(Owner, T)> {
        self.connections.values().map(|member| (member.owner.clone(), member.handle.clone())).collect()
    }

    /// A person's connections, the oldest first.
    pub(crate) fn of_user(&self, user: UserId) -> Vec<(ConnectionId, T)> {
        self.handles(self.users.get(&user))
    }

    /// A session's connections, the oldest first.
    pub(crate) fn of_session(&self, session: &str) -> Vec<(ConnectionId, T)> {
        self.handles(self.sessions.get(session))
    }

    fn handles(&self, ids: Option<&BTreeSet<ConnectionId>>) -> Vec<(ConnectionId, T)> {
        let handle = |id: &ConnectionId| Some((*id, self.connections.get(id)?.handle.clone()));
        ids.into_iter().flatten().filter_map(handle).collect()
    }

    /// Every connection.
    pub(crate) fn all(&self) -> Vec<(ConnectionId, T)> {
        self.connections.iter().map(|(id, member)| (*id, member.handle.clone())).collect()
    }

    /// How many connections a person has.
    pub(crate) fn count_of(&self, user: UserId) -> usize {
        self.users.get(&user).map_or(0, BTreeSet::len)
    }

    /// How many connections, people and followed channels there are.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.connections.len(), self.users.len(), self.channels.len())
    }

    /// Panics where the indexes disagree.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        for (id, member) in &self.connections {
            assert!(self.users[&member.owner.user].contains(id), "a connection is missing at its user");
            assert!(self.sessions[&member.owner.session].contains(id), "a connection is missing at its session");
            for channel in &member.channels {
                let listed = self.channels[channel].followers.iter().filter(|(known, _)| known == id).count();
                assert_eq!(listed, 1, "a follower is listed once");
            }
        }
        let follows: usize = self.connections.values().map(|member| member.channels.len()).sum();
        let listed = self.channels.values().map(|followed| followed.followers.len());
        assert_eq!(listed.sum::<usize>(), follows, "an unknown connection follows");
        assert_eq!(
            self.users.values().map(BTreeSet::len).sum::<usize>(),
            self.connections.len(),
            "a user has an unknown connection"
        );
        let in_sessions = self.sessions.values().map(BTreeSet::len).sum::<usize>();
        assert_eq!(in_sessions, self.connections.len(), "a session has an unknown connection");
        assert!(!self.channels.values().any(|followed| followed.followers.is_empty()), "an empty channel is kept");
        for (channel, followed) in &self.channels {
            let Channel::Thread(thread) = channel else { continue };
            let present = self.present(*thread).iter().map(|present| present.connections as usize).sum::<usize>();
            assert_eq!(present, followed.followers.len(), "an unknown connection is present");
        }
        assert!(!self.users.values().chain(self.sessions.values()).any(BTreeSet::is_empty), "an empty set is kept");
    }
}

fn remove_from_index<K: Hash + Eq + Clone>(index: &mut HashMap<K, BTreeSet<ConnectionId>>, key: &K, id: ConnectionId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert { user: usize, session: usize },
        Remove { connection: usize },
        Follow { connection: usize, channel: usize },
        Unfollow { connection: usize, channel: usize },
    }

    fn owner(user: UserId, session: &str) -> Owner {
        Owner { user, name: "Ada".into(), role: Role::Member, session: session.into() }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let connection = 0..12_usize;
        let step = prop_oneof![
            (0..3_usize, 0..3_usize).prop_map(|(user, session)| Step::Insert { user, session }),
            connection.clone().prop_map(|connection| Step::Remove { connection }),
            (connection.clone(), 0..6_usize).prop_map(|(connection, channel)| Step::Follow { connection, channel }),
            (connection, 0..6_usize).prop_map(|(connection, channel)| Step::Unfollow { connection, channel }),
        ];
        proptest::collection::vec(step, 0..120)
    }

    /// The plain list: each connection with its user, its session and what it follows.
    type Model = Vec<(ConnectionId, UserId, String, Vec<Channel>)>;

    fn check_against(registry: &Registry<usize>, model: &Model, users: &[UserId], channels: &[Channel]) {
        for user in users {
            let expected: Vec<_> = model.iter().filter(|entry| entry.1 == *user).map(|entry| entry.0).collect();
            let found: Vec<_> = registry.of_user(*user).into_iter().map(|(id, _)| id).collect();
            assert_eq!(registry.count_of(*user), found.len());
            assert_eq!(found, expected, "the oldest comes first");
        }
        for session in ["session 0", "session 1", "session 2"] {
            let expected = model.iter().filter(|entry| entry.2 == session).count();
            assert_eq!(registry.of_session(session).len(), expected);
        }
        for channel in channels {
            let expected = model.iter().filter(|entry| entry.3.contains(channel)).count();
            assert_eq!(registry.followers(*channel).map_or(0, |followers| followers.len()), expected);
        }
        assert_eq!(registry.all().len(), model.len());
    }

    proptest! {
        #[test]
        fn the_indexes_agree_with_each_other_and_with_a_plain_list(steps in steps()) {
            const LIMIT: usize = 3;
            let users = [UserId::new(), UserId::new(), UserId::new()];
            let channels: Vec<Channel> = (0..6).map(|_| Channel::Thread(ThreadId::new())).collect();
            let mut registry = Registry::<usize>::default();
            let mut before: Vec<Vec<(UserId, u32)>> = vec![Vec::new(); channels.len()];
            let mut model = Model::new();
            for step in steps {
                match step {
                    Step::Insert { user, session } => {
                        let (id, session) = (ConnectionId::new(), format!("session {session}"));
                        registry.insert(id, owner(users[user], &session), model.len());
                        model.push((id, users[user], session, Vec::new()));
                    }
                    Step::Remove { connection } if connection < model.len() => {
                        let (id, ..) = model.remove(connection);
                        prop_assert!(registry.remove(id).is_some());
                        prop_assert!(registry.remove(id).is_none());
                    }
                    Step::Follow { connection, channel } if connection < model.len() => {
                        let (id, .., follows) = &mut model[connection];
                        let known = follows.contains(&channels[channel]);
                        let fits = known || follows.len() < LIMIT;
                        prop_assert_eq!(registry.follow(*id, channels[channel], LIMIT), fits);
                        if fits && !known {
                            follows.push(channels[channel]);
                        }
                    }
                    Step::Unfollow { connection, channel } if connection < model.len() => {
                        let (id, .., follows) = &mut model[connection];
                        let known = follows.contains(&channels[channel]);
                        prop_assert_eq!(registry.unfollow(*id, channels[channel]).is_some(), known);
                        follows.retain(|follow| *follow != channels[channel]);
                    }
                    _ => prop_assert!(!registry.follow(ConnectionId::new(), channels[0], LIMIT)),
                }
                registry.check_invariants();
                let changes = registry.take_presence_changes();
                for (index, channel) in channels.iter().enumerate() {
                    let Channel::Thread(thread) = *channel else { unreachable!("all are threads") };
                    let mut present = BTreeMap::<UserId, u32>::new();
                    for (_, user, ..) in model.iter().filter(|entry| entry.3.contains(channel)) {
                        *present.entry(*user).or_default() += 1;
                    }
                    let present: Vec<(UserId, u32)> = present.into_iter().collect();
                    let found = registry.present(thread);
                    let found: Vec<_> = found.into_iter().map(|who| (who.user.id, who.connections)).collect();
                    prop_assert_eq!(&found, &present, "present are those who follow");
                    prop_assert!(found == before[index] || changes.contains(&thread), "every change is reported");
                    before[index] = found;
                }
                check_against(&registry, &model, &users, &channels);
            }
        }
    }

    #[test]
    fn a_head_is_reported_to_followers_once() {
        let (mut registry, id) = (Registry::<usize>::default(), ConnectionId::new());
        let channel = Channel::Thread(ThreadId::new());
        assert!(registry.for_head(channel, 3).is_none(), "nobody follows it");
        registry.insert(id, owner(UserId::new(), "session"), 0);
        assert!(registry.follow(id, channel, 1));
        assert_eq!(registry.followed(), [channel]);
        assert!(registry.for_head(channel, 3).is_some(), "what was never delivered here may be missing");
        assert!(registry.for_head(channel, 3).is_none());
        assert!(registry.for_delivery(channel, 5).is_some() && registry.for_head(channel, 5).is_none());
        assert!(registry.for_delivery(channel, 4).is_some() && registry.for_head(channel, 5).is_none(), "an old one");
        assert!(registry.for_head(channel, 6).is_some());
    }
}
