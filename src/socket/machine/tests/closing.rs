//! How a connection is found dead, is closed, and comes back.

use super::*;

#[test]
fn a_silent_connection_is_asked_and_then_declared_dead() {
    let mut world = World::connected();
    wait(&mut world, 5_000);
    assert!(world.sent.last().is_some_and(|text| text.contains("ping")), "the first ping proves the connection");
    while !world.server.inbox.is_empty() {
        world.serve(false);
        world.deliver();
    }
    let pings = world.sent.len();
    wait(&mut world, HEARTBEAT_MS - 1);
    assert_eq!(world.sent.len(), pings, "nothing is due yet");
    wait(&mut world, 1);
    assert_eq!(world.sent.len(), pings + 1);
    wait(&mut world, 9_999);
    assert_eq!(world.machine.status(), Status::Connected);
    wait(&mut world, 1);
    assert_eq!(world.closes, [CloseCode::HeartbeatMissed], "a half-open connection is found");
    assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: 1, .. }));
}

#[test]
fn waking_up_checks_at_once() {
    let mut world = World::connected();
    wait(&mut world, 4_000);
    assert!(world.sent.is_empty());
    world.feed(Input::Woke);
    assert_eq!(world.sent.len(), 1);
    world.feed(Input::Woke);
    assert_eq!(world.sent.len(), 1, "one question is enough");
    wait(&mut world, 4_000);
    assert_eq!(world.closes, [CloseCode::HeartbeatMissed]);
    world.pass(0);
    let opened = world.opened;
    world.feed(Input::Woke);
    assert!(world.opened == opened + 1 || world.opening, "a wait for the next attempt ends");
}

#[test]
fn back_off_grows_until_a_connection_has_proved_itself() {
    let mut world = World::connected();
    for attempt in 1..=8 {
        world.close(1006, "");
        assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: a, .. } if a == attempt));
        come_back(&mut world);
        assert_eq!(world.machine.status(), Status::Connected, "a welcome alone resets nothing");
    }
    wait(&mut world, 5_000);
    world.serve(false);
    world.deliver();
    world.close(1006, "");
    assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: 1, .. }), "an answered ping does");
}

#[test]
fn a_server_that_restarts_says_when_to_come_back() {
    let mut world = World::connected();
    world.feed(Input::Frame(r#"{"type":"draining","payload":{"reconnect_in_ms":1234}}"#.into()));
    world.close(1012, "");
    let retry_at_ms = world.now + 1234;
    assert_eq!(world.machine.status(), Status::Reconnecting { attempt: 1, retry_at_ms, cause: None });
    world.feed(Input::Woke);
    assert_eq!(
        world.machine.status(),
        Status::Reconnecting { attempt: 1, retry_at_ms, cause: None },
        "no shortcut by waking"
    );
}

#[test]
fn flooding_waits_as_long_as_told() {
    let mut world = World::connected();
    let opened = world.opened;
    world.close(4002, r#"{"retry_after_ms":9000}"#);
    wait(&mut world, 8_999);
    assert_eq!(world.opened, opened);
    wait(&mut world, 1_000);
    assert_eq!(world.opened, opened + 1);
}

#[test]
fn each_final_close_stays_closed_and_says_what_to_do() {
    for (code, can_reconnect) in [(1000, true), (1009, true), (4400, false), (4403, false), (4409, true), (4499, true)]
    {
        let mut world = World::connected();
        let opened = world.opened;
        world.close(code, "");
        let status = world.machine.status();
        assert!(
            matches!(&status, Status::Closed { can_reconnect: offer, reason } if *offer == can_reconnect && !reason.is_empty()),
            "{code}: {status:?}"
        );
        assert_eq!(world.machine.next_deadline(), None);
        wait(&mut world, 600_000);
        world.feed(Input::Woke);
        assert_eq!(world.opened, opened, "{code}");
        world.feed(Input::Reconnect);
        world.arrive();
        assert_eq!(world.machine.status(), Status::Connected, "{code}: a person may try again");
    }
}

#[test]
fn an_ended_session_asks_to_sign_in_and_keeps_what_waits_for_the_same_person() {
    let mut world = World::connected();
    world.close(4401, "");
    world.rename(0);
    assert_eq!(world.machine.status(), Status::SignedOut);
    assert_eq!((world.machine.next_deadline(), world.machine.waiting()), (None, 1), "no attempt with dead credentials");
    world.feed(Input::SignedIn);
    world.settle();
    assert!(matches!(&world.app.replies[..], [(Token(0), Ok(_))]));
}

#[test]
fn a_refused_handshake_looks_whether_the_session_is_over() {
    let mut world = World::connected();
    world.close(1006, "");
    wait(&mut world, 500);
    assert!(world.opening && !world.discovering);
    world.close(1006, "");
    wait(&mut world, 1_000);
    assert!(world.discovering, "discovery comes before the next attempt");
    let found = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: false };
    world.feed(Input::Discovered(Ok(found)));
    assert_eq!(world.machine.status(), Status::SignedOut);
}

#[test]
fn signing_in_again_leaves_the_connection_alone() {
    let mut world = World::connected();
    let opened = world.opened;
    world.feed(Input::SignedIn);
    assert_eq!((world.opened, world.closes.len()), (opened, 0));
    assert_eq!(world.machine.status(), Status::Connected);
}

#[test]
fn signing_out_closes_and_answers_what_waits() {
    let mut world = World::connected();
    world.rename(0);
    world.rename(1);
    world.feed(Input::SignedOut);
    assert_eq!(world.closes, [CloseCode::Normal]);
    assert_eq!(world.machine.status(), Status::SignedOut);
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(_)), (Token(1), Err(_))]));
    world.rename(2);
    assert!(matches!(&world.app.replies[2], (Token(2), Err(error)) if error.code == ErrorCode::Forbidden));
}

#[test]
fn no_network_is_shown_and_its_return_connects_at_once() {
    let mut world = World::connected();
    world.feed(Input::Offline);
    assert_eq!(world.machine.status(), Status::Offline);
    world.feed(Input::Online);
    assert!(world.opening, "at once");
    world.arrive();
    assert_eq!(world.machine.status(), Status::Connected);
}
