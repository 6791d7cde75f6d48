//! Tests of the reported cause of failures, and of connections that a proxy closes when idle.

use super::*;

fn cause(simulation: &Simulation) -> Option<Cause> {
    match simulation.machine.status() {
        Status::Reconnecting { cause, .. } => cause,
        other => panic!("not reconnecting: {other:?}"),
    }
}

/// Runs until the next attempt: discovery succeeds, the handshake fails.
fn fail_handshake(simulation: &mut Simulation) {
    while !simulation.opening {
        if std::mem::take(&mut simulation.discovering) {
            let discovery = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: true };
            simulation.handle(Input::Discovered(Ok(discovery)));
        } else {
            let wake = simulation.machine.next_deadline().expect("another attempt is scheduled");
            simulation.advance((wake - simulation.now).max(0));
        }
    }
    simulation.close(1006, "");
}

#[test]
fn failed_discovery_is_the_cause_until_it_succeeds() {
    let mut simulation = Simulation::new(7);
    simulation.handle(Input::SignedIn);
    simulation.discovering = false;
    simulation.handle(Input::Discovered(Err("no answer".into())));
    assert_eq!(cause(&simulation), Some(Cause::ServerUnreachable));
    reconnect(&mut simulation);
    simulation.close(1006, "");
    assert_eq!(cause(&simulation), None, "why an open connection is lost is not known");
}

#[test]
fn a_second_failed_handshake_is_the_cause_until_a_connection_opens() {
    let mut simulation = Simulation::new(7);
    simulation.handle(Input::SignedIn);
    fail_handshake(&mut simulation);
    assert_eq!(cause(&simulation), None, "a single failure may be a restart");
    fail_handshake(&mut simulation);
    assert_eq!(cause(&simulation), Some(Cause::UpgradeRefused));
    reconnect(&mut simulation);
    assert_eq!(simulation.machine.status(), Status::Connected);
    simulation.close(1006, "");
    assert_eq!(cause(&simulation), None);
}

#[test]
fn a_proxy_with_an_idle_timeout_closes_two_connections_and_no_more() {
    const PROXY_TIMEOUT_MS: i64 = 15_000;
    let mut simulation = Simulation::connected();
    let (mut last_traffic, mut cuts) = (simulation.now, 0);
    let end = simulation.now + 10 * 60_000;
    while simulation.now < end {
        if !simulation.open {
            reconnect(&mut simulation);
            last_traffic = simulation.now;
        }
        let cut_at = last_traffic + PROXY_TIMEOUT_MS;
        let wake = simulation.machine.next_deadline().expect("a connection has a deadline").min(cut_at);
        let sent = simulation.sent.len();
        simulation.advance((wake - simulation.now).max(0));
        while !simulation.server.inbox.is_empty() {
            simulation.serve(false);
            simulation.deliver();
        }
        if simulation.sent.len() > sent {
            last_traffic = simulation.now;
        } else if simulation.now >= cut_at {
            cuts += 1;
            simulation.close(1006, "");
        }
    }
    assert_eq!(cuts, 2);
}
