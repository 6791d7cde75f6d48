//! A TCP proxy that resets, stalls, delays or throttles connections, in either direction.
//!
//! A change affects all its connections at once; a test gives each client a proxy of its own. It keeps at most one buffer in each
//! direction and asks the kernel for small ones, so that a slow reader behind it slows the server down.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

const BUFFER: usize = 8 * 1024;
/// A throttled direction passes a share of its rate in each of these.
const SLICE: Duration = Duration::from_millis(50);
/// How long the server may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What happens to bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// They wait; the connection stays open.
    Stop,
    /// They arrive this much later.
    Delay(Duration),
    /// So many bytes pass in a second.
    Throttle(usize),
}

#[derive(Debug, Clone)]
struct Conditions {
    up: Flow,
    down: Flow,
    /// Every change of it resets all connections.
    cuts: u64,
    /// Where new connections go.
    target: SocketAddr,
}

/// The proxy. Closed when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    conditions: watch::Sender<Conditions>,
    open: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// A proxy to `target` that passes everything.
    pub(crate) async fn new(target: SocketAddr) -> Self {
        // The backlog of the server: with a full one, the kernel retries a connection only after seconds.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(4096).expect("the socket listens");
        let address = listener.local_addr().expect("an address");
        let (conditions, seen) = watch::channel(Conditions { up: Flow::Pass, down: Flow::Pass, cuts: 0, target });
        let open = Arc::new(AtomicUsize::new(0));
        let count = open.clone();
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, seen.clone(), count.clone()));
            }
        });
        Self { address, conditions, open, listening }
    }

    /// The address that it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Sets where new connections go.
    pub(crate) fn set_target(&self, target: SocketAddr) {
        self.conditions.send_modify(|conditions| conditions.target = target);
    }

    /// Where new connections go.
    pub(crate) fn target(&self) -> SocketAddr {
        self.conditions.borrow().target
    }

    /// Resets every connection and returns how many. New ones pass.
    pub(crate) fn cut(&self) -> usize {
        let open = self.open();
        self.conditions.send_modify(|conditions| conditions.cuts += 1);
        open
    }

    /// Sets what happens to bytes from the client and from the server, until it is set again.
    pub(crate) fn set(&self, up: Flow, down: Flow) {
        self.conditions.send_modify(|conditions| (conditions.up, conditions.down) = (up, down));
    }

    /// Lets everything pass.
    pub(crate) fn restore(&self) {
        self.set(Flow::Pass, Flow::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// Adds one to a count until it is dropped.
struct CountGuard(Arc<AtomicUsize>);

impl CountGuard {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connection(mut near: TcpStream, mut conditions: watch::Receiver<Conditions>, count: Arc<AtomicUsize>) {
    let (target, cuts) = {
        let conditions = conditions.borrow_and_update();
        (conditions.target, conditions.cuts)
    };
    let Ok(Ok(mut far)) = timeout(CONNECT_TIMEOUT, connect(target)).await else {
        // A reset, as if nothing listened.
        return drop(near.set_zero_linger());
    };
    let _counted = CountGuard::new(count);
    let _ = near.set_nodelay(true);
    let over = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let up = pump(near_read, far_write, conditions.clone(), |conditions| conditions.up);
        let down = pump(far_read, near_write, conditions.clone(), |conditions| conditions.down);
        tokio::select! {
            over = async { tokio::try_join!(up, down) } => over.map(drop),
            _ = conditions.wait_for(|conditions| conditions.cuts != cuts) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if over.is_err() {
        // Dropped without lingering, both sides get a reset.
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER as u32)?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Copies one direction until its end, which it passes on.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut conditions: watch::Receiver<Conditions>,
    flow: fn(&Conditions) -> Flow,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionReset);
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = flow(&conditions.borrow_and_update());
        let most = match now {
            Flow::Stop => {
                conditions.changed().await.map_err(gone)?;
                continue;
            }
            Flow::Throttle(rate) => (rate / 20).clamp(1, BUFFER),
            Flow::Pass | Flow::Delay(_) => BUFFER,
        };
        let read = tokio::select! {
            changed = conditions.changed() => {
                changed.map_err(gone)?;
                continue;
            }
            read = from.read(&mut buffer[..most]) => read?,
        };
        match now {
            Flow::Throttle(_) => sleep(SLICE).await,
            Flow::Delay(time) => sleep(time).await,
            Flow::Pass | Flow::Stop => {}
        }
        // Bytes that were read before the direction was stopped wait, too.
        conditions.wait_for(|conditions| flow(conditions) != Flow::Stop).await.map_err(gone)?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

mod tests {
    use std::{io::ErrorKind, time::Instant};

    use super::*;

    /// A server that echoes what it receives.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn receives(stream: &mut TcpStream, text: &[u8], within: Duration) -> bool {
        let mut received = vec![0; text.len()];
        matches!(timeout(within, stream.read_exact(&mut received)).await, Ok(Ok(_))) && received == text
    }

    const SOON: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_cut_resets_every_connection_and_takes_new_ones() {
        let proxy = Proxy::new(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("the connection opens");
        stream.write_all(b"one").await.expect("the bytes are sent");
        assert!(receives(&mut stream, b"one", LATE).await);
        assert_eq!(proxy.cut(), 1);
        let reset = timeout(LATE, stream.read(&mut [0; 8])).await.expect("in time").expect_err("reset");
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        let mut stream = TcpStream::connect(proxy.address()).await.expect("the connection opens");
        stream.write_all(b"two").await.expect("the bytes are sent");
        assert!(receives(&mut stream, b"two", LATE).await);
    }

    #[tokio::test]
    async fn a_stopped_direction_delays_bytes_and_loses_none() {
        let proxy = Proxy::new(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("the connection opens");
        for (up, down) in [(Flow::Stop, Flow::Stop), (Flow::Stop, Flow::Pass), (Flow::Pass, Flow::Stop)] {
            proxy.set(up, down);
            stream.write_all(b"waits").await.expect("the bytes are sent");
            assert!(!receives(&mut stream, b"waits", SOON).await);
            proxy.restore();
            assert!(receives(&mut stream, b"waits", LATE).await);
        }
    }

    #[tokio::test]
    async fn delayed_and_throttled_directions_are_slow() {
        let proxy = Proxy::new(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("the connection opens");
        for flow in [Flow::Delay(SOON), Flow::Throttle(10_000)] {
            proxy.set(Flow::Pass, flow);
            let (begun, text) = (Instant::now(), [7; 3_000]);
            stream.write_all(&text).await.expect("the bytes are sent");
            assert!(receives(&mut stream, &text, LATE).await);
            assert!(begun.elapsed() >= SOON, "{flow:?} took {:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn a_target_that_does_not_listen_is_a_reset() {
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let proxy = Proxy::new(closed).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("the connection opens");
        assert!(timeout(LATE, stream.read(&mut [0; 8])).await.expect("in time").is_err());
    }
}
