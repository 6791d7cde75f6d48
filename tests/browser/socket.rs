//! Tests the application's socket context in a real browser with a mock of `WebSocket`.

use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use netra::{
    protocol::{
        CreateThread, ThreadId, UserId,
        http::{Role, User},
    },
    socket::context::{Loaded, Seed, Socket, Status, provide_socket},
    thread::ThreadView,
};
use wasm_bindgen_test::wasm_bindgen_test;

/// Replaces `WebSocket` by a mock that the test controls, and discovery by a response for a signed-in user.
const WEBSOCKET_MOCK: &str = r#"
    window.sockets = [];
    window.WebSocket = class extends EventTarget {
        constructor(url, protocol) { super(); this.sent = []; this.closeCode = null; sockets.push(this); }
        send(text) { this.sent.push(JSON.parse(text)); }
        close(code) { this.closeCode = code ?? 1000; }
        receive(type, payload, id) { this.dispatchEvent(new MessageEvent("message", {data: JSON.stringify({type, payload, id})})); }
        drop(code) { this.dispatchEvent(new CloseEvent("close", {code})); }
    };
    window.fetch = async () => new Response(JSON.stringify({version: "0", socket: {url: "ws://mock/ws",
        protocol: "netra.v1", heartbeat_ms: 25000, max_frame_bytes: 65536},
        auth: {signed_in: true, methods: ["password"], needs_setup: false}}));
    window.last = () => sockets[sockets.length - 1];
    window.commands = (type) => sockets.flatMap(s => s.sent).filter(c => c.type === type);
    window.welcome = (id) => last().receive("welcome", {connection_id: id, user: {id, name: "n", role: "member"}, node: "n",
        server_time: 0, heartbeat_ms: 25000, max_frame_bytes: 65536, expires_at: 0});
"#;

fn js(code: &str) -> f64 {
    js_sys::eval(code).expect("the script runs").as_f64().unwrap_or(f64::NAN)
}

/// Waits until a condition holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

/// Provides the socket of a signed-in user and connects it.
async fn connected() -> (Owner, Socket) {
    js(WEBSOCKET_MOCK);
    let root = Owner::new();
    let user = User { id: UserId::new(), name: "n".into(), email: "n@example.com".into(), role: Role::Member };
    let socket = root.with(|| provide_socket(Seed { user: Some(user), ..Seed::default() }));
    until("a socket opens", || js("sockets.length") == 1.0).await;
    welcome();
    assert_eq!(socket.status().get_untracked(), Status::Connected);
    (root, socket)
}

fn welcome() {
    js(&format!("welcome('{}')", UserId::new()));
}

fn title(view: Signal<Loaded<ThreadView>>) -> Option<String> {
    view.with_untracked(|view| match view {
        Loaded::Ready(view) => view.info.as_ref().map(|info| info.title.clone()),
        _ => None,
    })
}

/// Receives an entry of a thread that sets its title to `seq`.
fn receive_entry(id: ThreadId, seq: u32) {
    js(&format!(
        r#"last().receive("event", {{channel: "thread/{id}", epoch: "e", seq: {seq}, at: 0, entry: {{kind: "thread",
            thread: {{id: "{id}", title: "{seq}", agent: "a", created_at: 0}}}}}})"#
    ));
}

/// Accepts the last subscription to a thread, with an empty snapshot.
const ACCEPT_SUBSCRIPTION: &str = "(() => { const c = commands('subscribe').findLast(c => c.payload.channel.startsWith('thread/')); \
    last().receive('ok', {channel: c.payload.channel, epoch: 'e', seq: 0, mode: 'snapshot', snapshot: {kind: 'thread', items: []}}, c.id); })()";

#[wasm_bindgen_test]
async fn one_socket_outlives_all_components_and_resumes_from_its_cursor() {
    let (root, socket) = connected().await;
    let id = ThreadId::new();
    let subscriptions = || js("commands('subscribe').filter(c => c.payload.channel.startsWith('thread/')).length");

    let page = root.child();
    let view = page.with(|| socket.thread(id));
    assert_eq!(subscriptions(), 1.0);
    js(ACCEPT_SUBSCRIPTION);
    receive_entry(id, 1);
    receive_entry(id, 1);
    receive_entry(id, 2);
    until("the entries are shown", || title(view).as_deref() == Some("2")).await;
    assert_eq!(subscriptions(), 1.0, "a repeated entry causes no new subscription");

    for _ in 0..20 {
        page.cleanup();
        let view = page.with(|| socket.thread(id));
        assert_eq!(title(view).as_deref(), Some("2"), "the view is kept while no page shows it");
    }
    assert_eq!(
        (js("sockets.length"), subscriptions()),
        (1.0, 1.0),
        "twenty visits use one socket and one subscription"
    );

    js("last().drop(1006)");
    assert!(matches!(socket.status().get_untracked(), Status::Reconnecting { attempt: 1, .. } | Status::Connecting));
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    assert_eq!(js("commands('subscribe').at(-1).payload.after.seq"), 2.0, "it resumes from its cursor");
    root.cleanup();
    assert_eq!(js("last().closeCode"), 1000.0, "the socket closes with the application");
}

#[wasm_bindgen_test]
async fn an_ended_session_signs_out_and_a_replaced_connection_waits_for_the_user() {
    let (root, socket) = connected().await;
    js("last().drop(4409)");
    assert!(matches!(socket.status().get_untracked(), Status::Closed { can_reconnect: true, .. }));
    socket.reconnect();
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    js("last().drop(4401)");
    assert_eq!(socket.status().get_untracked(), Status::SignedOut);
    assert!(socket.user().get_untracked().is_none());
    assert_eq!(js("sockets.length"), 2.0, "it does not reconnect without a session");
    root.cleanup();
}

#[wasm_bindgen_test]
async fn a_command_waits_for_the_connection_and_gets_one_reply() {
    let (root, socket) = connected().await;
    js("last().drop(1006)");
    let reply = socket.send(CreateThread { thread_id: ThreadId::new(), title: None, agent: None });
    assert_eq!(socket.queued_commands().get_untracked(), 1);
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    assert_eq!(js("commands('create_thread').length"), 1.0);
    js("last().receive('error', {code: 'conflict', message: 'known'}, commands('create_thread')[0].id)");
    assert_eq!(reply.await.expect_err("a refusal").message, "known");
    assert_eq!(socket.queued_commands().get_untracked(), 0);
    root.cleanup();
}

#[wasm_bindgen_test]
async fn signing_out_closes_the_socket_and_drops_the_threads() {
    let (root, socket) = connected().await;
    let view = root.with(|| socket.thread(ThreadId::new()));
    js(ACCEPT_SUBSCRIPTION);
    assert!(matches!(view.get_untracked(), Loaded::Ready(_)));
    socket.signed_out();
    assert_eq!(js("last().closeCode"), 1000.0);
    assert!(matches!(view.get_untracked(), Loaded::Loading));
    assert_eq!(socket.status().get_untracked(), Status::SignedOut);
    root.cleanup();
}
