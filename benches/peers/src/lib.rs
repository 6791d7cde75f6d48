//! What both servers share: channels in memory, and the replies to the commands that `netra bench` sends.
//!
//! The frames have the form of Netra's (`src/protocol`), so that the same client measures all servers. A channel is a counter and a
//! list of subscribers. Nothing is stored or checked: every thread exists, and everyone may write to it.

mod command;

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
};

/// Connections that wait to be accepted, as many as at Netra: with a shorter queue, clients that come at once try again after a second.
const BACKLOG: u32 = 4096;
/// Frames queued for one connection. A connection that is further behind misses frames, which `netra bench` reports as an error.
const MAX_QUEUED_FRAMES: usize = 4096;

/// Listens on a free port of this machine, and prints the server's URL.
///
/// # Errors
/// The system refuses.
pub fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    println!("http://{}", listener.local_addr()?);
    Ok(listener)
}

/// The channels of a server. `F` is an encoded frame that is cheap to clone.
pub struct Hub<F> {
    channels: Mutex<HashMap<String, Channel<F>>>,
    next_connection: AtomicU64,
}

struct Channel<F> {
    /// The position of the newest entry.
    seq: u64,
    /// The connections that follow the channel, by their ids.
    followers: HashMap<u64, mpsc::Sender<F>>,
}

impl<F> Default for Hub<F> {
    fn default() -> Self {
        Self { channels: Mutex::default(), next_connection: AtomicU64::default() }
    }
}

impl<F> Default for Channel<F> {
    fn default() -> Self {
        Self { seq: 0, followers: HashMap::new() }
    }
}

impl<F> Hub<F> {
    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel<F>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open socket. Dropping it ends its subscriptions.
pub struct Connection<F> {
    hub: Arc<Hub<F>>,
    id: u64,
    queue: mpsc::Sender<F>,
    followed: Vec<String>,
}

impl<F: Clone + From<String>> Connection<F> {
    /// A new connection, and the queue of entries to write to its socket.
    pub fn new(hub: Arc<Hub<F>>) -> (Self, mpsc::Receiver<F>) {
        let id = hub.next_connection.fetch_add(1, Ordering::Relaxed);
        let (queue, entries) = mpsc::channel(MAX_QUEUED_FRAMES);
        (Self { hub, id, queue, followed: Vec::new() }, entries)
    }

    /// The first frame of a connection.
    #[must_use]
    pub fn welcome(&self) -> F {
        command::welcome(self.id).into()
    }

    /// Executes a command; returns its reply.
    pub fn execute(&mut self, frame: &str) -> F {
        command::execute(self, frame).into()
    }

    /// Follows a channel from its end; returns the position of its newest entry.
    fn follow(&mut self, channel: &str) -> u64 {
        let mut channels = self.hub.channels();
        let followed = channels.entry(channel.to_owned()).or_default();
        if followed.followers.insert(self.id, self.queue.clone()).is_none() {
            self.followed.push(channel.to_owned());
        }
        followed.seq
    }

    fn unfollow(&mut self, channel: &str) {
        self.followed.retain(|followed| followed != channel);
        if let Some(channel) = self.hub.channels().get_mut(channel) {
            channel.followers.remove(&self.id);
        }
    }

    /// Appends an entry to a channel: encodes it once, and queues the same bytes for all followers.
    fn append(&self, channel: &str, encode: impl FnOnce(u64) -> String) {
        let mut channels = self.hub.channels();
        let appended = channels.entry(channel.to_owned()).or_default();
        appended.seq += 1;
        if appended.followers.is_empty() {
            return;
        }
        let frame = F::from(encode(appended.seq));
        for follower in appended.followers.values() {
            // A follower whose queue is full misses the entry.
            let _ = follower.try_send(frame.clone());
        }
    }
}

impl<F> Drop for Connection<F> {
    fn drop(&mut self) {
        let mut channels = self.hub.channels();
        for channel in &self.followed {
            if let Some(channel) = channels.get_mut(channel) {
                channel.followers.remove(&self.id);
            }
        }
    }
}

/// The time in milliseconds since 1970.
fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
