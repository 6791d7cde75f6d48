//! Members of threads: what each command and route allows to strangers, members and the owner, and that a removal takes effect at once.

mod accounts;

use std::collections::BTreeSet;

use netra::{
    protocol::{
        AddMember, Answer, ArchiveThread, ChannelName, Command, CreateThread, DeleteThread, EditAnswer, EditQueued,
        Entry, ErrorBody, ErrorCode, ForkThread, GiveFeedback, KeepThread, LeaveThread, MarkRead, MemberRole,
        MessageId, MoveQueued, Person, PinThread, Ping, RemoveMember, RenameThread, Request, RunFeedback, RunId,
        SendMessage, SetAgent, SetMemberRole, ShareId, ShareThread, StopRun, Subscribe, TagThreads, TakeBack,
        ThreadEntry, ThreadId, ThreadMembers, ThreadSignal, UserEntry, UserId, WithdrawLink,
        http::{SearchPage, ThreadPage, Uploaded, User},
    },
    server::access::Access,
    socket::native::{Client as Socket, Update},
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{
    ADA, ADMIN, Account, Backends, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, poll, replay_agent,
    threads::{until_over, view},
};

const WRITER: Account = Account { email: "walt@example.com", name: "Walt Writer", password: "correct horse" };
const READER: Account = Account { email: "rita@example.com", name: "Rita Reader", password: "correct horse" };
const REMOVED: Account = Account { email: "remo@example.com", name: "Remo Removed", password: "correct horse" };

/// The commands that do not concern an existing thread, and those that are tried last.
const TRIED_ELSEWHERE: [&str; 10] = [
    "unsubscribe",
    "create_thread",
    "create_temporary_thread",
    "ping",
    "leave_thread",
    "delete_thread",
    "rename_tag",
    "delete_tag",
    "save_prompt",
    "delete_prompt",
];

/// A user with a socket and a browser.
struct Tester {
    name: &'static str,
    access: Access,
    id: UserId,
    socket: Socket,
    browser: Client,
}

impl Tester {
    async fn new(server: &TestServer, account: Account, access: Access) -> Self {
        let (socket, browser) = (server.socket(account).await, server.signed_in(account).await);
        let me: Value = browser.get("/api/auth/me").await.json().await.expect("JSON");
        let id = serde_json::from_value::<User>(me["user"].clone()).expect("a user").id;
        Self { name: account.name, access, id, socket, browser }
    }
}

/// Creates a thread with a message that is answered.
async fn thread(socket: &Socket) -> (ThreadId, MessageId, RunId) {
    let thread_id = ThreadId::new();
    let create = CreateThread { thread_id, title: Some("Costs of May".into()), agent: Some("replay".into()) };
    socket.send(create).await.expect("the thread is created");
    let message = SendMessage::new(thread_id, "Where does it go?");
    let run = socket.send(message.clone()).await.expect("the message is accepted").run_id;
    until_over(socket, thread_id, run).await;
    (thread_id, message.message_id, run)
}

/// What was tried as one user, against what must happen.
struct Tried<'a> {
    tester: &'a Tester,
    commands: BTreeSet<&'static str>,
}

impl Tried<'_> {
    /// Sends a command that needs `needed`. Whoever has it may be told that the command does not fit now, but not that it is not allowed.
    async fn command<R: Request>(&mut self, needed: Access, command: R) {
        self.commands.insert(R::TYPE);
        let code = self.tester.socket.send(command).await.err().map(|error| error.code);
        let denied = code.filter(|code| matches!(code, ErrorCode::NotFound | ErrorCode::Forbidden));
        let expected = match self.tester.access {
            Access::None => Some(ErrorCode::NotFound),
            access if access < needed => Some(ErrorCode::Forbidden),
            _ => None,
        };
        assert_eq!(denied, expected, "{} as {}: {code:?}", R::TYPE, self.tester.name);
    }

    fn route(&self, needed: Access, what: &str, status: StatusCode) {
        let expected = match self.tester.access {
            Access::None => status == StatusCode::NOT_FOUND,
            access if access < needed => status == StatusCode::FORBIDDEN,
            _ => status.is_success() || status == StatusCode::UNPROCESSABLE_ENTITY,
        };
        assert!(expected, "{what} as {}: {status}", self.tester.name);
    }

    async fn get(&self, needed: Access, path: String) {
        let status = self.tester.browser.get(&path).await.status();
        self.route(needed, &path, status);
    }
}

/// What a test of every route needs.
struct Shared {
    thread: ThreadId,
    message: MessageId,
    run: RunId,
    file: Uploaded,
    reader: UserId,
}

/// Tries every command but `delete_thread` and `leave_thread` of somebody with access.
async fn try_commands(tester: &Tester, shared: &Shared) -> BTreeSet<&'static str> {
    let Shared { thread: thread_id, message, run: run_id, reader, .. } = *shared;
    let mut tried = Tried { tester, commands: BTreeSet::new() };
    let channel = ChannelName::Thread(thread_id);
    tried.command(Access::Read, Subscribe { channel, after: None, newest: None }).await;
    tried.command(Access::Read, ForkThread { thread_id: ThreadId::new(), from: thread_id, message_id: message }).await;
    tried.command(Access::Read, PinThread { thread_id, pinned: true }).await;
    tried.command(Access::Read, ArchiveThread { thread_id, archived: true }).await;
    tried.command(Access::Read, MarkRead { thread_id }).await;
    let own = SendMessage::new(thread_id, format!("A question of {}", tester.name));
    let sent = own.message_id;
    tried.command(Access::Write, own).await;
    // A message of one's own, if it could be sent.
    let message_id = if tester.access >= Access::Write { sent } else { message };
    tried.command(Access::Write, EditQueued { thread_id, message_id, text: "Changed".into(), attachments: None }).await;
    tried.command(Access::Write, MoveQueued { thread_id, message_id, before: None }).await;
    tried.command(Access::Write, TakeBack { thread_id, message_id }).await;
    tried.command(Access::Write, Answer { answer_id: MessageId::new(), thread_id, run_id, answers: Vec::new() }).await;
    tried.command(Access::Write, StopRun { run_id }).await;
    tried.command(Access::Write, SetAgent { thread_id, agent: "replay".into() }).await;
    let edited = EditAnswer { thread_id, run_id, message_id: MessageId::new(), text: "Mine.".into() };
    tried.command(Access::Write, edited).await;
    tried.command(Access::Write, GiveFeedback { thread_id, run_id, feedback: RunFeedback::default() }).await;
    tried.command(Access::Own, RenameThread { thread_id, title: "Costs of June".into() }).await;
    tried.command(Access::Own, KeepThread { thread_id }).await;
    let share_id = ShareId::new();
    tried.command(Access::Own, ShareThread { share_id, thread_id, expires_at: None }).await;
    tried.command(Access::Own, WithdrawLink { share_id, thread_id }).await;
    let tag = TagThreads { thread_ids: vec![thread_id], add: vec!["Costs".into()], remove: Vec::new() };
    tried.command(Access::Own, tag).await;
    tried.command(Access::Own, AddMember { thread_id, user_id: reader, role: MemberRole::Read }).await;
    tried.command(Access::Own, SetMemberRole { thread_id, user_id: reader, role: MemberRole::Read }).await;
    tried.command(Access::Own, RemoveMember { thread_id, user_id: UserId::new() }).await;
    if tester.access < Access::Own {
        tried.command(Access::Own, DeleteThread { thread_id }).await;
    }
    tried.commands
}

/// Tries every route about a thread or its runs.
async fn try_routes(tester: &Tester, shared: &Shared) {
    let Shared { thread, run, ref file, .. } = *shared;
    let tried = Tried { tester, commands: BTreeSet::new() };
    for path in ["export?format=jsonl", "export?format=markdown", "members", &format!("files/{}", file.file_id)] {
        tried.get(Access::Read, format!("/api/threads/{thread}/{path}")).await;
    }
    for path in ["raw", "entries"] {
        tried.get(Access::Read, format!("/api/runs/{run}/{path}")).await;
    }
    tried.get(Access::Read, format!("/threads/{thread}/print")).await;
    tried.get(Access::Read, format!("/threads/{thread}")).await;
    tried.get(Access::Own, format!("/api/threads/{thread}/links")).await;
    let status = tester.browser.upload(&thread.to_string(), "a.csv", "a,b\n1,2\n").await.status();
    tried.route(Access::Write, "upload", status);
    let status = tester.browser.delete(&format!("/api/runs/{run}")).await.status();
    tried.route(Access::Write, "stop", status);
    if tester.access < Access::Own {
        let status = tester.browser.delete(&format!("/api/threads/{thread}")).await.status();
        tried.route(Access::Own, "delete", status);
    }
    let status = agui(tester, thread).await.status();
    match tester.access {
        // As for any other id that is in use: it says nothing about the thread.
        Access::None => assert_eq!(status, StatusCode::CONFLICT),
        _ => tried.route(Access::Write, "agui", status),
    }
    let listed: ThreadPage = tester.browser.get("/api/threads?archived=true").await.json().await.expect("a page");
    let listed = listed.threads.iter().any(|known| known.info.id == thread);
    let archived = tester.access == Access::Read;
    assert_eq!(listed, archived, "who can write has taken it out of the archive by a message: {}", tester.name);
    let is_found = async || {
        let found: SearchPage = tester.browser.get("/api/search?q=costs").await.json().await.expect("a page");
        found.hits.iter().any(|hit| hit.thread_id == thread)
    };
    if tester.access >= Access::Read {
        // A node indexes new entries after a moment.
        poll("who may read it finds it", async || is_found().await.then_some(())).await;
    } else {
        assert!(!is_found().await);
    }
}

/// Requests a run over AG-UI.
async fn agui(tester: &Tester, thread: ThreadId) -> Response {
    let message = json!({"id": MessageId::new().to_string(), "role": "user", "content": "Over HTTP"});
    let body = json!({"threadId": thread.to_string(), "runId": RunId::new().to_string(), "messages": [message],
                      "tools": [], "context": [], "state": {}, "forwardedProps": {}});
    tester.browser.request(Method::POST, "/api/agents/replay/agui").json(&body).send().await.expect("an answer")
}

async fn every_command_and_route_asks_for_access(deployment: Deployment) {
    let server = Setup::default()
        .deployment(deployment)
        .with("SOCKET__COMMANDS_PER_MINUTE", 10_000)
        .file(&replay_agent(100_000))
        .start()
        .await;
    for account in [ADA, WRITER, READER, REMOVED] {
        server.add_member(account).await;
    }
    let owner = Tester::new(&server, ADMIN, Access::Own).await;
    let (thread_id, message, run) = thread(&owner.socket).await;
    let uploaded = owner.browser.upload(&thread_id.to_string(), "log.csv", "a,b\n1,2\n").await;
    let file: Uploaded = uploaded.json().await.expect("an upload");
    let stranger = Tester::new(&server, ADA, Access::None).await;
    let removed = Tester::new(&server, REMOVED, Access::None).await;
    let reader = Tester::new(&server, READER, Access::Read).await;
    let writer = Tester::new(&server, WRITER, Access::Write).await;
    for (user, role) in [(&reader, MemberRole::Read), (&writer, MemberRole::Write), (&removed, MemberRole::Write)] {
        for _ in 0..2 {
            owner.socket.send(AddMember { thread_id, user_id: user.id, role }).await.expect("the thread is shared");
        }
    }
    owner.socket.send(RemoveMember { thread_id, user_id: removed.id }).await.expect("the member is removed");
    let shared = Shared { thread: thread_id, message, run, file, reader: reader.id };
    for tester in [&stranger, &removed, &reader, &writer, &owner] {
        let mut tried = try_commands(tester, &shared).await;
        try_routes(tester, &shared).await;
        tried.extend(TRIED_ELSEWHERE);
        assert_eq!(tried, Command::TYPES.iter().copied().collect::<BTreeSet<_>>(), "every command is tried");
    }
    others_messages_stay_theirs(&owner, &writer, &shared).await;
    let members = ThreadMembers {
        owner: Person { id: owner.id, name: ADMIN.name.into() },
        members: [(&reader, MemberRole::Read), (&writer, MemberRole::Write)]
            .map(|(user, role)| netra::protocol::Member { user: Person { id: user.id, name: user.name.into() }, role })
            .to_vec(),
    };
    assert_eq!(view(&reader.socket, thread_id).await.members, Some(members.clone()));
    let read: ThreadMembers =
        owner.browser.get(&format!("/api/threads/{thread_id}/members")).await.json().await.expect("the members");
    assert_eq!(read, members);
    // Members can leave, the owner cannot; of strangers nothing is told.
    for (tester, code) in [(&stranger, None), (&reader, None), (&reader, None), (&owner, Some(ErrorCode::Conflict))] {
        let left = tester.socket.send(LeaveThread { thread_id }).await.err().map(|error| error.code);
        assert_eq!(left, code, "{}", tester.name);
    }
    let refused = reader.socket.send(MarkRead { thread_id }).await.expect_err("it is refused");
    assert_eq!(refused.code, ErrorCode::NotFound);
    let mut feed = follow(&writer.socket, ChannelName::User).await;
    owner.socket.send(DeleteThread { thread_id }).await.expect("the thread is deleted");
    until_entry(&mut feed, |entry| *entry == Entry::User(UserEntry::ThreadRemoved { thread_id })).await;
}

/// A member takes back and changes only their own messages, and uses nobody else's ids; and the owner changes nobody's.
async fn others_messages_stay_theirs(owner: &Tester, writer: &Tester, shared: &Shared) {
    let thread_id = shared.thread;
    let code = |result: Result<netra::protocol::Accepted, ErrorBody>| result.err().map(|error| error.code);
    let take_back = TakeBack { thread_id, message_id: shared.message };
    assert_eq!(code(writer.socket.send(take_back).await), Some(ErrorCode::Forbidden));
    // A message of the same id would not be shown, and its author could change the other one.
    let same_id = SendMessage { message_id: shared.message, ..SendMessage::new(thread_id, "Not mine") };
    assert_eq!(writer.socket.send(same_id).await.expect_err("it is refused").code, ErrorCode::Conflict);
    let sent = SendMessage::new(thread_id, "Mine");
    let message_id = sent.message_id;
    writer.socket.send(sent).await.expect("the message is accepted");
    let edit = EditQueued { thread_id, message_id, text: "Yours".into(), attachments: None };
    assert_eq!(code(owner.socket.send(edit).await), Some(ErrorCode::Forbidden));
    let author = view(&owner.socket, thread_id).await.message(message_id).map(|item| item.message.author.clone());
    assert_eq!(author.map(|author| author.id), Some(writer.id));
}

/// Subscribes to a channel, and waits for its snapshot: what changes from then on arrives as entries.
async fn follow(socket: &Socket, channel: ChannelName) -> mpsc::Receiver<Update> {
    let mut updates = socket.follow(channel, None).await;
    let first = tokio::time::timeout(TEST_TIMEOUT, updates.recv()).await.expect("the subscription begins in time");
    assert!(matches!(first, Some(Update::Snapshot { .. })), "{first:?}");
    updates
}

async fn until_entry(updates: &mut mpsc::Receiver<Update>, is: impl Fn(&Entry) -> bool) {
    let found = async {
        loop {
            match updates.recv().await.expect("an update") {
                Update::Entry { entry, .. } if is(&entry) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, found).await.expect("the entry arrives in time");
}

#[tokio::test]
async fn every_command_and_route_asks_for_access_on_sqlite() {
    every_command_and_route_asks_for_access(Deployment::Embedded).await;
}

#[tokio::test]
async fn every_command_and_route_asks_for_access_on_postgresql() {
    every_command_and_route_asks_for_access(Deployment::Distributed).await;
}

#[tokio::test]
async fn a_removed_member_receives_nothing_more_on_another_node() {
    let backends = Backends::start(None).await;
    let setup = || Setup::default().on(&backends).file(&replay_agent(100_000));
    let (a, b) = (setup().start().await, setup().start_without_accounts().await);
    a.add_member(ADA).await;
    let (owner, member) = (Tester::new(&a, ADMIN, Access::Own).await, Tester::new(&b, ADA, Access::Read).await);
    let (thread_id, ..) = thread(&owner.socket).await;
    let mut feed = follow(&member.socket, ChannelName::User).await;
    let add = AddMember { thread_id, user_id: member.id, role: MemberRole::Read };
    owner.socket.send(add).await.expect("the thread is shared");
    until_entry(&mut feed, |entry| matches!(entry, Entry::User(UserEntry::Shared { thread }) if thread.id == thread_id
        && thread.shared.as_ref().is_some_and(|shared| shared.owner.id == owner.id && shared.role == Some(MemberRole::Read))))
    .await;
    let channel = ChannelName::Thread(thread_id);
    let mut presence = follow(&owner.socket, channel).await;
    let mut followed = follow(&member.socket, channel).await;
    let is_present = |entry: &Entry, count: usize| matches!(entry, Entry::Signal(ThreadSignal::Presence { present }) if present.len() == count);
    until_entry(&mut presence, |entry| is_present(entry, 2)).await;
    owner.socket.send(RenameThread { thread_id, title: "Before".into() }).await.expect("it is renamed");
    until_entry(&mut followed, |entry| matches!(entry, Entry::Thread(ThreadEntry::Thread { .. }))).await;

    owner.socket.send(RemoveMember { thread_id, user_id: member.id }).await.expect("the member is removed");
    until_entry(&mut feed, |entry| *entry == Entry::User(UserEntry::ThreadRemoved { thread_id })).await;
    until_entry(&mut presence, |entry| is_present(entry, 1)).await;
    owner.socket.send(RenameThread { thread_id, title: "After".into() }).await.expect("it is renamed");
    until_entry(&mut presence, |entry| matches!(entry, Entry::Thread(ThreadEntry::Thread { .. }))).await;
    member.socket.send(Ping {}).await.expect("the socket is open");
    while let Ok(update) = followed.try_recv() {
        let is_later = matches!(&update, Update::Entry { entry: Entry::Thread(ThreadEntry::Thread { thread }), .. } if thread.title == "After");
        assert!(!is_later, "{update:?}");
    }
    let refused = member.socket.send(MarkRead { thread_id }).await.expect_err("it is refused");
    assert_eq!(refused.code, ErrorCode::NotFound);
}
