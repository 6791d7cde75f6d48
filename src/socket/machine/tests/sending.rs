//! Tests of when subscriptions and commands are sent, and of how commands fail.

use super::*;

#[test]
fn subscriptions_are_sent_before_commands_and_from_their_cursor() {
    let mut simulation = Simulation::connected();
    let cursor = Cursor { epoch: simulation.server.epoch(), seq: 3 };
    simulation.server.heads.insert(ChannelName::User, 3);
    simulation.close(1006, "");
    simulation.rename(0);
    simulation.handle(Input::Follow(ChannelName::User, Some(cursor)));
    wait(&mut simulation, 500);
    simulation.arrive();
    assert!(simulation.sent[0].contains(r#""after":{"epoch":"e0","seq":3}"#), "{:?}", simulation.sent);
    assert!(simulation.sent[1].contains("rename_thread"));
}

#[test]
fn a_thread_is_followed_only_after_its_creation_was_accepted() {
    let mut simulation = Simulation::connected();
    let thread_id = ThreadId::new();
    let create = crate::protocol::CreateThread { thread_id, title: None, agent: None };
    simulation.handle(Input::Send(CommandToken(0), create.into()));
    simulation.handle(Input::Follow(ChannelName::Thread(thread_id), None));
    assert_eq!(simulation.sent.len(), 1, "the subscription waits");
    simulation.handle(Input::Frame(encode_reply(1, &Ok(json!({})))));
    assert!(simulation.sent[1].contains("subscribe"));
}

#[test]
fn a_refused_channel_is_reported_and_tried_again_on_the_next_connection() {
    let mut simulation = Simulation::connected();
    let channel = ChannelName::Thread(ThreadId::new());
    simulation.handle(Input::Follow(channel, None));
    simulation.handle(Input::Frame(encode_reply(1, &Err(ErrorBody::new(ErrorCode::NotFound, "no such thread")))));
    assert_eq!(simulation.app.refused, [channel]);
    wait(&mut simulation, 2_000);
    assert_eq!(simulation.sent.len(), 1);
    simulation.close(1006, "");
    simulation.settle();
    assert!(simulation.app.states.contains_key(&channel));
}

#[test]
fn a_command_beyond_the_outbox_limit_is_refused() {
    let mut simulation = Simulation::connected();
    simulation.close(1006, "");
    for token in 0..=outbox::MAX_QUEUED as u64 {
        simulation.rename(token);
    }
    assert_eq!(simulation.machine.queued_commands(), outbox::MAX_QUEUED);
    let [(token, Err(error))] = &simulation.app.replies[..] else {
        panic!("one is refused: {:?}", simulation.app.replies)
    };
    assert_eq!((token.0, error.code), (outbox::MAX_QUEUED as u64, ErrorCode::Unavailable));
}

#[test]
fn a_command_larger_than_the_frame_limit_is_refused_locally() {
    let mut simulation = Simulation::connected();
    let rename = crate::protocol::RenameThread { thread_id: ThreadId::new(), title: "x".repeat(3000) };
    simulation.handle(Input::Send(CommandToken(0), rename.into()));
    simulation.rename(1);
    assert!(
        matches!(&simulation.app.replies[..], [(CommandToken(0), Err(error))] if error.code == ErrorCode::TooLarge)
    );
    assert_eq!(simulation.sent.len(), 1, "the next command is sent");
}

#[test]
fn a_command_without_a_reply_fails_after_ten_attempts() {
    let mut simulation = Simulation::connected();
    simulation.rename(0);
    for _ in 0..10 {
        assert!(simulation.app.replies.is_empty());
        simulation.close(1006, "");
        reconnect(&mut simulation);
    }
    assert!(
        matches!(&simulation.app.replies[..], [(CommandToken(0), Err(error))] if error.code == ErrorCode::Unavailable)
    );
}
