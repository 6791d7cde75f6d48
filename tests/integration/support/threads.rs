//! Threads as a socket sees them.

use netra::{
    protocol::{ChannelName, Entry, RunId, Snapshot, Subscribe, ThreadId},
    socket::native::{Client as Socket, Update},
    thread::ThreadView,
};

use super::TEST_TIMEOUT;

/// A thread as it is now.
pub async fn view(socket: &Socket, thread: ThreadId) -> ThreadView {
    let subscribe = Subscribe { channel: ChannelName::Thread(thread), after: None, newest: None };
    match socket.send(subscribe).await.expect("the subscription").snapshot {
        Some(Snapshot::Thread(view)) => view,
        other => panic!("no view: {other:?}"),
    }
}

/// Follows a thread until a run is over; returns the thread as it is then.
pub async fn until_over(socket: &Socket, thread: ThreadId, run: RunId) -> ThreadView {
    let mut updates = socket.follow(ChannelName::Thread(thread), None).await;
    let mut view = ThreadView::default();
    let over = async {
        while !view.run(run).is_some_and(|run| run.state.is_over()) {
            match updates.recv().await.expect("the client runs") {
                Update::Snapshot { snapshot: Snapshot::Thread(snapshot), .. } => view = snapshot,
                Update::Entry { at, entry: Entry::Thread(entry), .. } => view.apply(at, entry),
                _ => {}
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, over).await.expect("the run ends in time");
    socket.unfollow(ChannelName::Thread(thread)).await;
    view
}
