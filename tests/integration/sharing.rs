//! Links with which anybody can read a thread.

use netra::{
    protocol::{
        CreateThread, DeleteThread, ErrorCode, SendMessage, ShareId, ShareLink, ShareLinks, ShareThread, ThreadId,
        WithdrawLink, limits::MAX_SHARE_LINKS,
    },
    socket::native::Client as Socket,
};
use reqwest::StatusCode;

use crate::support::{ADA, ADMIN, Client, Deployment, Setup, TestServer, replay_agent};

const AT_THE_END_OF_TIME: i64 = 4_102_444_800_000;

/// Creates a thread with a question to the replay agent.
async fn thread(socket: &Socket) -> ThreadId {
    let thread_id = ThreadId::new();
    let create = CreateThread { thread_id, title: Some("Costs of May".into()), agent: Some("replay".into()) };
    socket.send(create).await.expect("the thread is created");
    socket.send(SendMessage::new(thread_id, "Where does <it> go?")).await.expect("the message is accepted");
    thread_id
}

async fn links(client: &Client, thread: ThreadId) -> Vec<ShareLink> {
    let answer = client.get(&format!("/api/threads/{thread}/links")).await;
    answer.json::<ShareLinks>().await.expect("the links").links
}

/// Reads an address without an account: the status and the text.
async fn read(server: &TestServer, path: &str) -> (StatusCode, String) {
    let answer = Client::new(server).get(path).await;
    (answer.status(), answer.text().await.expect("a text"))
}

async fn a_link_shows_a_thread_until_it_is_withdrawn_or_the_thread_deleted(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let (owner, client) = (server.socket(ADMIN).await, server.signed_in(ADMIN).await);
    let thread_id = thread(&owner).await;
    assert_eq!(links(&client, thread_id).await, []);
    let share = |share_id, expires_at| ShareThread { share_id, thread_id, expires_at };
    let (first, second) = (ShareId::new(), ShareId::new());
    for command in [share(first, Some(AT_THE_END_OF_TIME)), share(first, Some(AT_THE_END_OF_TIME)), share(second, None)]
    {
        owner.send(command).await.expect("the thread is shared");
    }
    let all = links(&client, thread_id).await;
    assert_eq!(
        all.iter().map(|link| (link.share_id, link.expires_at)).collect::<Vec<_>>(),
        [(first, Some(AT_THE_END_OF_TIME)), (second, None)]
    );
    for link in &all {
        let (status, text) = read(&server, &link.path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("Costs of May") && text.contains("Where does &lt;it&gt; go?"), "{text}");
        assert!(!text.contains("<form") && !text.contains("netra.js"), "it can only be read: {text}");
    }
    // A changed token, and one of a link that does not exist.
    let forged = all[0].path.replace(&first.to_string(), &ShareId::new().to_string());
    assert_eq!(read(&server, &forged).await.0, StatusCode::NOT_FOUND);
    for _ in 0..2 {
        owner.send(WithdrawLink { share_id: first, thread_id }).await.expect("the link is withdrawn");
    }
    assert_eq!(read(&server, &all[0].path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(read(&server, &all[1].path).await.0, StatusCode::OK);
    assert_eq!(links(&client, thread_id).await.len(), 1);
    owner.send(DeleteThread { thread_id }).await.expect("the thread is deleted");
    assert_eq!(read(&server, &all[1].path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_shows_a_thread_until_it_is_withdrawn_or_the_thread_deleted_on_sqlite() {
    a_link_shows_a_thread_until_it_is_withdrawn_or_the_thread_deleted(Deployment::Embedded).await;
}

#[tokio::test]
async fn a_link_shows_a_thread_until_it_is_withdrawn_or_the_thread_deleted_on_postgresql() {
    a_link_shows_a_thread_until_it_is_withdrawn_or_the_thread_deleted(Deployment::Distributed).await;
}

#[tokio::test]
async fn links_are_their_owners_and_bounded() {
    let server = Setup::default().file(&replay_agent(100_000)).start().await;
    server.add_member(ADA).await;
    let (owner, ada) = (server.socket(ADMIN).await, server.socket(ADA).await);
    let thread_id = thread(&owner).await;
    let share = |share_id, expires_at| ShareThread { share_id, thread_id, expires_at };
    let refused =
        async |socket: &Socket, command| socket.send::<ShareThread>(command).await.expect_err("it is refused").code;
    assert_eq!(refused(&ada, share(ShareId::new(), None)).await, ErrorCode::NotFound);
    assert_eq!(refused(&owner, share(ShareId::new(), Some(1))).await, ErrorCode::InvalidPayload);
    let share_id = ShareId::new();
    owner.send(share(share_id, None)).await.expect("the thread is shared");
    assert_eq!(refused(&owner, share(share_id, Some(AT_THE_END_OF_TIME))).await, ErrorCode::Conflict);
    let withdraw = WithdrawLink { share_id, thread_id };
    assert_eq!(ada.send(withdraw.clone()).await.expect_err("it is refused").code, ErrorCode::NotFound);
    let unknown = WithdrawLink { share_id: ShareId::new(), ..withdraw };
    assert_eq!(owner.send(unknown).await.expect_err("it is refused").code, ErrorCode::NotFound);
    for _ in 1..MAX_SHARE_LINKS {
        owner.send(share(ShareId::new(), None)).await.expect("the thread is shared");
    }
    assert_eq!(refused(&owner, share(ShareId::new(), None)).await, ErrorCode::QuotaExceeded);
    let path = format!("/api/threads/{thread_id}/links");
    assert_eq!(server.signed_in(ADA).await.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(Client::new(&server).get(&path).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_the_owner_can_print_a_thread() {
    let server = Setup::default().file(&replay_agent(100_000)).start().await;
    server.add_member(ADA).await;
    let owner = server.socket(ADMIN).await;
    let path = format!("/threads/{}/print", thread(&owner).await);
    let answer = server.signed_in(ADMIN).await.get(&path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.text().await.expect("a page").contains("Costs of May"));
    assert_eq!(server.signed_in(ADA).await.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(Client::new(&server).get(&path).await.status(), StatusCode::UNAUTHORIZED);
}
