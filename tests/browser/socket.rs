//! How the application's context uses the socket, in a real browser with a scripted mock of `WebSocket`.

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

/// Mocks `WebSocket`, which the test controls, and discovery, which accepts the session.
const WEBSOCKET_MOCK: &str = r#"
    window.sockets = [];
    window.WebSocket = class extends EventTarget {
        constructor(url, protocol) { super(); this.about = `${url} ${protocol}`; this.sent = []; this.ended = null; sockets.push(this); }
        send(text) { this.sent.push(JSON.parse(text)); }
        close(code) { this.ended = code ?? 1000; }
        say(type, payload, id) { this.dispatchEvent(new MessageEvent("message", {data: JSON.stringify({type, payload, id})})); }
        drop(code) { this.dispatchEvent(new CloseEvent("close", {code})); }
    };
    window.fetch = async () => new Response(JSON.stringify({version: "0", socket: {url: "ws://double/ws",
        protocol: "netra.v1", heartbeat_ms: 25000, max_frame_bytes: 65536},
        auth: {signed_in: true, methods: ["password"], needs_setup: false}}));
    window.last = () => sockets[sockets.length - 1];
    window.asked = (type) => sockets.flatMap(s => s.sent).filter(c => c.type === type);
    window.welcome = (id) => last().say("welcome", {connection_id: id, user: {id, name: "n", role: "member"}, node: "n",
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

/// An application that is signed in and connected.
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

fn titles(view: Signal<Loaded<ThreadView>>) -> Option<String> {
    view.with_untracked(|view| match view {
        Loaded::Ready(view) => view.info.as_ref().map(|info| info.title.clone()),
        _ => None,
    })
}

fn tell(id: ThreadId, seq: u32) {
    js(&format!(
        r#"last().say("event", {{channel: "thread/{id}", epoch: "e", seq: {seq}, at: 0, entry: {{kind: "thread",
            thread: {{id: "{id}", title: "{seq}", agent: "a", created_at: 0}}}}}})"#
    ));
}

const SUBSCRIBED: &str = "(() => { const c = asked('subscribe').findLast(c => c.payload.channel.startsWith('thread/')); \
    last().say('ok', {channel: c.payload.channel, epoch: 'e', seq: 0, mode: 'snapshot', snapshot: {kind: 'thread', items: []}}, c.id); })()";

#[wasm_bindgen_test]
async fn one_socket_outlives_every_component_and_resumes_where_it_was() {
    let (root, socket) = connected().await;
    let id = ThreadId::new();
    let asked = || js("asked('subscribe').filter(c => c.payload.channel.startsWith('thread/')).length");

    let page = root.child();
    let view = page.with(|| socket.thread(id));
    assert_eq!(asked(), 1.0);
    js(SUBSCRIBED);
    tell(id, 1);
    tell(id, 1);
    tell(id, 2);
    until("the entries are shown", || titles(view).as_deref() == Some("2")).await;
    assert_eq!(asked(), 1.0, "an entry that comes twice is no reason to ask again");

    for _ in 0..20 {
        page.cleanup();
        let view = page.with(|| socket.thread(id));
        assert_eq!(titles(view).as_deref(), Some("2"), "what left the screen is still here");
    }
    assert_eq!((js("sockets.length"), asked()), (1.0, 1.0), "twenty visits, one socket, one subscription");

    js("last().drop(1006)");
    assert!(matches!(socket.status().get_untracked(), Status::Reconnecting { attempt: 1, .. } | Status::Connecting));
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    assert_eq!(js("asked('subscribe').at(-1).payload.after.seq"), 2.0, "it goes on from where it was");
    root.cleanup();
    assert_eq!(js("last().ended"), 1000.0, "with the application it closes");
}

#[wasm_bindgen_test]
async fn an_ended_session_signs_out_and_one_connection_too_many_waits_for_a_person() {
    let (root, socket) = connected().await;
    js("last().drop(4409)");
    assert!(matches!(socket.status().get_untracked(), Status::Closed { can_reconnect: true, .. }));
    socket.reconnect();
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    js("last().drop(4401)");
    assert_eq!(socket.status().get_untracked(), Status::SignedOut);
    assert!(socket.user().get_untracked().is_none());
    assert_eq!(js("sockets.length"), 2.0, "no attempt with dead credentials");
    root.cleanup();
}

#[wasm_bindgen_test]
async fn a_command_waits_for_the_connection_and_is_answered_once() {
    let (root, socket) = connected().await;
    js("last().drop(1006)");
    let answer = socket.send(CreateThread { thread_id: ThreadId::new(), title: None, agent: None });
    assert_eq!(socket.waiting().get_untracked(), 1);
    until("it opens again", || js("sockets.length") == 2.0).await;
    welcome();
    assert_eq!(js("asked('create_thread').length"), 1.0);
    js("last().say('error', {code: 'conflict', message: 'known'}, asked('create_thread')[0].id)");
    assert_eq!(answer.await.expect_err("refused").message, "known");
    assert_eq!(socket.waiting().get_untracked(), 0);
    root.cleanup();
}

#[wasm_bindgen_test]
async fn signing_out_closes_and_forgets() {
    let (root, socket) = connected().await;
    let view = root.with(|| socket.thread(ThreadId::new()));
    js(SUBSCRIBED);
    assert!(matches!(view.get_untracked(), Loaded::Ready(_)));
    socket.signed_out();
    assert_eq!(js("last().ended"), 1000.0);
    assert!(matches!(view.get_untracked(), Loaded::Loading));
    assert_eq!(socket.status().get_untracked(), Status::SignedOut);
    root.cleanup();
}
