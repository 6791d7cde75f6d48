//! Tests of how a connection is found dead, closed and opened again.

use super::*;

#[test]
fn a_silent_connection_is_pinged_and_then_closed() {
    let mut simulation = Simulation::connected();
    wait(&mut simulation, 5_000);
    assert!(
        simulation.sent.last().is_some_and(|text| text.contains("ping")),
        "the first ping is sent early, to find out whether the connection is stable"
    );
    while !simulation.server.inbox.is_empty() {
        simulation.serve(false);
        simulation.deliver();
    }
    let pings = simulation.sent.len();
    wait(&mut simulation, HEARTBEAT_MS - 1);
    assert_eq!(simulation.sent.len(), pings, "nothing is due yet");
    wait(&mut simulation, 1);
    assert_eq!(simulation.sent.len(), pings + 1);
    wait(&mut simulation, 9_999);
    assert_eq!(simulation.machine.status(), Status::Connected);
    wait(&mut simulation, 1);
    assert_eq!(simulation.closes, [CloseCode::HeartbeatMissed], "a half-open connection is detected");
    assert!(matches!(simulation.machine.status(), Status::Reconnecting { attempt: 1, .. }));
}

#[test]
fn resuming_the_page_checks_the_connection_at_once() {
    let mut simulation = Simulation::connected();
    wait(&mut simulation, 4_000);
    assert!(simulation.sent.is_empty());
    simulation.handle(Input::PageResumed);
    assert_eq!(simulation.sent.len(), 1);
    simulation.handle(Input::PageResumed);
    assert_eq!(simulation.sent.len(), 1, "one ping is enough");
    wait(&mut simulation, 4_000);
    assert_eq!(simulation.closes, [CloseCode::HeartbeatMissed]);
    simulation.advance(0);
    let opened = simulation.opened;
    simulation.handle(Input::PageResumed);
    assert!(simulation.opened == opened + 1 || simulation.opening, "the wait for the next attempt ends");
}

#[test]
fn backoff_grows_until_a_connection_is_stable() {
    let mut simulation = Simulation::connected();
    for attempt in 1..=8 {
        simulation.close(1006, "");
        assert!(matches!(simulation.machine.status(), Status::Reconnecting { attempt: a, .. } if a == attempt));
        reconnect(&mut simulation);
        assert_eq!(simulation.machine.status(), Status::Connected, "a welcome does not reset the backoff");
    }
    wait(&mut simulation, 5_000);
    simulation.serve(false);
    simulation.deliver();
    simulation.close(1006, "");
    assert!(
        matches!(simulation.machine.status(), Status::Reconnecting { attempt: 1, .. }),
        "an answered ping resets the backoff"
    );
}

#[test]
fn after_draining_the_client_waits_as_long_as_the_server_asked() {
    let mut simulation = Simulation::connected();
    simulation.handle(Input::Frame(r#"{"type":"draining","payload":{"reconnect_in_ms":1234}}"#.into()));
    simulation.close(1012, "");
    let retry_at_ms = simulation.now + 1234;
    assert_eq!(simulation.machine.status(), Status::Reconnecting { attempt: 1, retry_at_ms, cause: None });
    simulation.handle(Input::PageResumed);
    assert_eq!(
        simulation.machine.status(),
        Status::Reconnecting { attempt: 1, retry_at_ms, cause: None },
        "resuming the page does not shorten this wait"
    );
}

#[test]
fn after_flooding_the_client_waits_as_long_as_the_close_reason_asks() {
    let mut simulation = Simulation::connected();
    let opened = simulation.opened;
    simulation.close(4002, r#"{"retry_after_ms":9000}"#);
    wait(&mut simulation, 8_999);
    assert_eq!(simulation.opened, opened);
    wait(&mut simulation, 1_000);
    assert_eq!(simulation.opened, opened + 1);
}

#[test]
fn final_close_codes_stay_closed_and_give_a_reason() {
    for (code, can_reconnect) in [(1000, true), (1009, true), (4400, false), (4403, false), (4409, true), (4499, true)]
    {
        let mut simulation = Simulation::connected();
        let opened = simulation.opened;
        simulation.close(code, "");
        let status = simulation.machine.status();
        assert!(
            matches!(&status, Status::Closed { can_reconnect: offer, reason } if *offer == can_reconnect && !reason.is_empty()),
            "{code}: {status:?}"
        );
        assert_eq!(simulation.machine.next_deadline(), None);
        wait(&mut simulation, 600_000);
        simulation.handle(Input::PageResumed);
        assert_eq!(simulation.opened, opened, "{code}");
        simulation.handle(Input::Reconnect);
        simulation.arrive();
        assert_eq!(simulation.machine.status(), Status::Connected, "{code}: a person may reconnect");
    }
}

#[test]
fn an_ended_session_signs_out_and_keeps_queued_commands_for_the_same_person() {
    let mut simulation = Simulation::connected();
    simulation.close(4401, "");
    simulation.rename(0);
    assert_eq!(simulation.machine.status(), Status::SignedOut);
    assert_eq!(
        (simulation.machine.next_deadline(), simulation.machine.queued_commands()),
        (None, 1),
        "no attempt with invalid credentials"
    );
    simulation.handle(Input::SignedIn);
    simulation.settle();
    assert!(matches!(&simulation.app.replies[..], [(CommandToken(0), Ok(_))]));
}

#[test]
fn a_failed_handshake_checks_whether_the_session_has_ended() {
    let mut simulation = Simulation::connected();
    simulation.close(1006, "");
    wait(&mut simulation, 500);
    assert!(simulation.opening && !simulation.discovering);
    simulation.close(1006, "");
    wait(&mut simulation, 1_000);
    assert!(simulation.discovering, "discovery comes before the next attempt");
    let discovery = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: false };
    simulation.handle(Input::Discovered(Ok(discovery)));
    assert_eq!(simulation.machine.status(), Status::SignedOut);
}

#[test]
fn signing_in_again_leaves_the_connection_alone() {
    let mut simulation = Simulation::connected();
    let opened = simulation.opened;
    simulation.handle(Input::SignedIn);
    assert_eq!((simulation.opened, simulation.closes.len()), (opened, 0));
    assert_eq!(simulation.machine.status(), Status::Connected);
}

#[test]
fn signing_out_closes_and_fails_queued_commands() {
    let mut simulation = Simulation::connected();
    simulation.rename(0);
    simulation.rename(1);
    simulation.handle(Input::SignedOut);
    assert_eq!(simulation.closes, [CloseCode::Normal]);
    assert_eq!(simulation.machine.status(), Status::SignedOut);
    assert!(matches!(&simulation.app.replies[..], [(CommandToken(0), Err(_)), (CommandToken(1), Err(_))]));
    simulation.rename(2);
    assert!(matches!(&simulation.app.replies[2], (CommandToken(2), Err(error)) if error.code == ErrorCode::Forbidden));
}

#[test]
fn the_status_is_offline_without_network_and_its_return_connects_at_once() {
    let mut simulation = Simulation::connected();
    simulation.handle(Input::Offline);
    assert_eq!(simulation.machine.status(), Status::Offline);
    simulation.handle(Input::Online);
    assert!(simulation.opening, "at once");
    simulation.arrive();
    assert_eq!(simulation.machine.status(), Status::Connected);
}
