//! Finding users, a server without members, and what becomes of members and their threads when an account is removed.

use netra::{
    protocol::{
        AddMember, ChannelName, CreateThread, Entry, ErrorCode, MemberRole, People, RemoveMember, SendMessage,
        ThreadEntry, ThreadId, ThreadMembers, UserEntry, http::ThreadPage,
    },
    server::access::Access,
    thread::RunState,
};
use reqwest::StatusCode;
use serde_json::json;

use super::{READER, Tester, follow, thread, until_entry};
use crate::support::{
    ADA, ADMIN, Client, Setup, TestServer, blocking, netra, replay_agent,
    threads::{until_over, view},
};

#[tokio::test]
async fn users_are_found_by_name_only_and_sharing_can_be_turned_off() {
    let server = TestServer::start().await;
    for account in [ADA, READER] {
        server.add_member(account).await;
    }
    let browser = server.signed_in(ADMIN).await;
    let found = async |q: &str| {
        let people: People = browser.get(&format!("/api/people?q={q}")).await.json().await.expect("people");
        people.people.into_iter().map(|person| person.name).collect::<Vec<_>>()
    };
    assert_eq!(found("rEAd").await, [READER.name]);
    assert_eq!(found("a").await, [ADA.name, READER.name], "without the caller");
    assert_eq!(found("%25").await, [""; 0]);
    assert_eq!(found("example").await, [""; 0], "addresses are not searched");
    let text = browser.get("/api/people?q=ada").await.text().await.expect("a text");
    assert!(!text.contains('@') && !text.contains("role"), "{text}");
    assert_eq!(browser.get("/api/people?q=").await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(Client::new(&server).get("/api/people?q=a").await.status(), StatusCode::UNAUTHORIZED);

    let server = Setup::default().with("SERVER__MEMBERS", false).start().await;
    server.add_member(ADA).await;
    let (owner, ada) = (Tester::new(&server, ADMIN, Access::Own).await, Tester::new(&server, ADA, Access::None).await);
    let thread_id = ThreadId::new();
    owner.socket.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let add = AddMember { thread_id, user_id: ada.id, role: MemberRole::Read };
    assert_eq!(owner.socket.send(add).await.expect_err("it is refused").code, ErrorCode::Forbidden);
    assert_eq!(owner.browser.get("/api/people?q=a").await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_a_member_wrote_stays_when_their_account_is_removed() {
    let server = Setup::default().file(&replay_agent(100_000)).start().await;
    server.add_member(ADA).await;
    let (owner, ada) = (Tester::new(&server, ADMIN, Access::Own).await, Tester::new(&server, ADA, Access::Write).await);
    let (thread_id, ..) = thread(&owner.socket).await;
    let add = AddMember { thread_id, user_id: ada.id, role: MemberRole::Write };
    owner.socket.send(add).await.expect("the thread is shared");
    let message = SendMessage::new(thread_id, "Of Ada");
    let run = ada.socket.send(message.clone()).await.expect("the message is accepted").run_id;
    until_over(&owner.socket, thread_id, run).await;
    let mut owners_feed = follow(&owner.socket, ChannelName::User).await;
    let mut remove = netra();
    remove.args(["user", "remove", "--email", ADA.email, "--data"]).arg(server.data()).current_dir(server.folder());
    let done = blocking(move || remove.output()).await.expect("the program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let members: ThreadMembers =
        owner.browser.get(&format!("/api/threads/{thread_id}/members")).await.json().await.expect("the members");
    assert_eq!(members.members, []);
    let view = view(&owner.socket, thread_id).await;
    assert_eq!(view.message(message.message_id).map(|item| item.message.author.name.clone()), Some(ADA.name.into()));
    let replace = SendMessage { replaces: Some(message.message_id), ..SendMessage::new(thread_id, "Again") };
    owner.socket.send(replace).await.expect("the owner asks again");
    // The log and the owner's list say that nobody shares the thread any more.
    until_entry(&mut owners_feed, |entry| {
        matches!(entry, Entry::User(UserEntry::Thread { thread }) if thread.id == thread_id && thread.shared.is_none())
    })
    .await;
    assert_eq!(view.members.map(|members| members.members), Some(Vec::new()));
}

#[tokio::test]
async fn the_threads_of_a_removed_account_leave_the_lists_of_their_members() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let (member, ada) = (Tester::new(&server, ADMIN, Access::Read).await, Tester::new(&server, ADA, Access::Own).await);
    let thread_id = ThreadId::new();
    ada.socket.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let add = AddMember { thread_id, user_id: member.id, role: MemberRole::Read };
    ada.socket.send(add).await.expect("the thread is shared");
    let mut remove = netra();
    remove.args(["user", "remove", "--email", ADA.email, "--data"]).arg(server.data()).current_dir(server.folder());
    let done = blocking(move || remove.output()).await.expect("the program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // The next entry shows that one is missing.
    let other = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    member.socket.send(other.clone()).await.expect("the thread is created");
    let page: ThreadPage = member.browser.get("/api/threads").await.json().await.expect("a page");
    let listed: Vec<ThreadId> = page.threads.iter().map(|thread| thread.info.id).collect();
    assert_eq!(listed, [other.thread_id]);
}

#[tokio::test]
async fn the_runs_of_a_removed_member_are_stopped() {
    let slow = replay_agent(1);
    let server = Setup::default().file(&slow).start().await;
    server.add_member(ADA).await;
    let (owner, ada) = (Tester::new(&server, ADMIN, Access::Own).await, Tester::new(&server, ADA, Access::Write).await);
    let (thread_id, agent) = (ThreadId::new(), Some("replay".into()));
    owner.socket.send(CreateThread { thread_id, title: None, agent }).await.expect("the thread is created");
    let add = AddMember { thread_id, user_id: ada.id, role: MemberRole::Write };
    owner.socket.send(add).await.expect("the thread is shared");
    let run = ada.socket.send(SendMessage::new(thread_id, "Go on")).await.expect("the message is accepted").run_id;
    owner.socket.send(RemoveMember { thread_id, user_id: ada.id }).await.expect("the member is removed");
    let view = until_over(&owner.socket, thread_id, run).await;
    assert_eq!(view.run(run).map(|run| run.state.clone()), Some(RunState::Cancelled));
}

#[tokio::test]
async fn a_members_run_whose_question_expires_goes_on_for_that_member() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("asks.jsonl");
    let interrupt = json!({"id": "i", "reason": "question", "message": "Which?", "expiresAt": "2026-01-01T00:00:00Z"});
    let outcome = json!({"type": "interrupt", "interrupts": [interrupt]});
    let end = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": outcome});
    std::fs::write(&file, format!("{end}\n")).expect("the file is written");
    let asks =
        format!("[[agents]]\nid = \"asks\"\nname = \"Asks\"\nkind = \"replay\"\nfile = \"{}\"\n", file.display());
    let server = Setup::default().file(&asks).start().await;
    server.add_member(ADA).await;
    let (owner, ada) = (Tester::new(&server, ADMIN, Access::Own).await, Tester::new(&server, ADA, Access::Write).await);
    let (thread_id, agent) = (ThreadId::new(), Some("asks".into()));
    owner.socket.send(CreateThread { thread_id, title: None, agent }).await.expect("the thread is created");
    let add = AddMember { thread_id, user_id: ada.id, role: MemberRole::Write };
    owner.socket.send(add).await.expect("the thread is shared");
    let mut entries = follow(&owner.socket, ChannelName::Thread(thread_id)).await;
    ada.socket.send(SendMessage::new(thread_id, "Go on")).await.expect("the message is accepted");
    until_entry(
        &mut entries,
        |entry| matches!(entry, Entry::Thread(ThreadEntry::Answer { answer }) if answer.author.id == ada.id),
    )
    .await;
}
