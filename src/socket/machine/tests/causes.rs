//! What is told about connections that cannot be opened or do not stay open.

use super::*;

fn cause(world: &World) -> Option<Cause> {
    match world.machine.status() {
        Status::Reconnecting { cause, .. } => cause,
        other => panic!("not reconnecting: {other:?}"),
    }
}

/// Runs until the next attempt; its discovery is answered, its handshake fails.
fn refused_handshake(world: &mut World) {
    while !world.opening {
        if std::mem::take(&mut world.discovering) {
            let found = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: true };
            world.feed(Input::Discovered(Ok(found)));
        } else {
            let wake = world.machine.next_deadline().expect("there will be another attempt");
            world.pass((wake - world.now).max(0));
        }
    }
    world.close(1006, "");
}

#[test]
fn a_server_that_does_not_answer_discovery_is_told_as_the_cause_until_it_answers() {
    let mut world = World::new(7);
    world.feed(Input::SignedIn);
    world.discovering = false;
    world.feed(Input::Discovered(Err("no answer".into())));
    assert_eq!(cause(&world), Some(Cause::ServerUnreachable));
    come_back(&mut world);
    world.close(1006, "");
    assert_eq!(cause(&world), None, "a connection that was open and is lost has no known cause");
}

#[test]
fn a_second_refused_upgrade_is_told_as_the_cause_until_a_connection_opens() {
    let mut world = World::new(7);
    world.feed(Input::SignedIn);
    refused_handshake(&mut world);
    assert_eq!(cause(&world), None, "one may be a restart");
    refused_handshake(&mut world);
    assert_eq!(cause(&world), Some(Cause::UpgradeRefused));
    come_back(&mut world);
    assert_eq!(world.machine.status(), Status::Connected);
    world.close(1006, "");
    assert_eq!(cause(&world), None);
}

#[test]
fn a_proxy_that_cuts_idle_connections_cuts_two_and_no_more() {
    const PROXY_TIMEOUT_MS: i64 = 15_000;
    let mut world = World::connected();
    let (mut last_traffic, mut cuts) = (world.now, 0);
    let end = world.now + 10 * 60_000;
    while world.now < end {
        if !world.open {
            come_back(&mut world);
            last_traffic = world.now;
        }
        let cut_at = last_traffic + PROXY_TIMEOUT_MS;
        let wake = world.machine.next_deadline().expect("a connection has a deadline").min(cut_at);
        let sent = world.sent.len();
        world.pass((wake - world.now).max(0));
        while !world.server.inbox.is_empty() {
            world.serve(false);
            world.deliver();
        }
        if world.sent.len() > sent {
            last_traffic = world.now;
        } else if world.now >= cut_at {
            cuts += 1;
            world.close(1006, "");
        }
    }
    assert_eq!(cuts, 2);
}
