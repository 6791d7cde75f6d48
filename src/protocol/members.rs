//! Members of a thread: users of the instance with whom its owner shares it. Their commands, and what lists of threads say about them.

use serde::{Deserialize, Serialize};

use super::{Person, ThreadId, UserId};

/// What a member may do in a thread. The owner alone may rename and delete it, and decide about its links and members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Read the thread and its files, and follow it.
    Read,
    /// Also send messages, change and take back their own that wait, stop runs, answer interrupts, and choose the agent.
    Write,
}

/// A member of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// Who.
    pub user: Person,
    /// What they may do.
    pub role: MemberRole,
}

/// Who has access to a thread: in its log, and the answer to `GET /api/threads/<thread_id>/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThreadMembers {
    /// The owner.
    pub owner: Person,
    /// The members, in the order in which they were added.
    pub members: Vec<Member>,
}

impl ThreadMembers {
    /// What a user may do as a member; `None` if they are no member.
    #[must_use]
    pub fn role(&self, user: UserId) -> Option<MemberRole> {
        self.members.iter().find(|member| member.user.id == user).map(|member| member.role)
    }
}

/// How a user's list shows a thread that has members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SharedThread {
    /// The thread's owner.
    pub owner: Person,
    /// What the user whose list this is may do; absent: the user is the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<MemberRole>,
}

/// `add_member`: shares a thread with another user of the instance; only its owner can. Sent again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// The thread.
    pub thread_id: ThreadId,
    /// The user. `GET /api/people` finds users by name.
    pub user_id: UserId,
    /// What they may do.
    pub role: MemberRole,
}

/// `set_member_role`: changes what a member may do; only the thread's owner can. No effect if they have this role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetMemberRole {
    /// The thread.
    pub thread_id: ThreadId,
    /// The member.
    pub user_id: UserId,
    /// What they may do from now on.
    pub role: MemberRole,
}

/// `remove_member`: a user has no access to a thread any more; only its owner can. Their subscriptions of it end. Succeeds too if they are no
/// member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RemoveMember {
    /// The thread.
    pub thread_id: ThreadId,
    /// The member.
    pub user_id: UserId,
}

/// `leave_thread`: the user gives up their access to another user's thread. Succeeds too if they are no member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaveThread {
    /// The thread.
    pub thread_id: ThreadId,
}

/// Users whose names match: the answer to `GET /api/people?q=<text>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct People {
    /// The users, by name; the caller is left out.
    pub people: Vec<Person>,
}
