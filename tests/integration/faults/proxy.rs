//! A road to a server that tests make bad: cut, silent, slow, one way only.
//!
//! Whatever is done to it is done to every connection that goes through it, at once; a client that is to be hurt alone has a
//! proxy of its own. It keeps at most one buffer in each direction, and asks the kernel for small ones, so a reader that
//! is slow behind it is felt by the server.

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
/// What a throttled direction's rate is kept over.
const SLICE: Duration = Duration::from_millis(50);
/// How long the server may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// What becomes of bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// They wait, and nobody is told.
    Stop,
    /// They come this much later.
    Delay(Duration),
    /// So many pass in a second.
    Throttle(usize),
}

#[derive(Debug, Clone)]
struct Weather {
    up: Flow,
    down: Flow,
    /// Every change of it cuts all connections.
    cuts: u64,
    /// Where new connections go.
    target: SocketAddr,
}

/// The road. Dropped, it is closed.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    open: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// A good road to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        // As many may come at once as to the server itself: an attempt that does not fit waits for seconds.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(4096).expect("it listens");
        let address = listener.local_addr().expect("an address");
        let (weather, seen) = watch::channel(Weather { up: Flow::Pass, down: Flow::Pass, cuts: 0, target });
        let open = Arc::new(AtomicUsize::new(0));
        let count = open.clone();
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, seen.clone(), count.clone()));
            }
        });
        Self { address, weather, open, listening }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections go through it.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Leads new connections elsewhere.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| weather.target = target);
    }

    /// Where new connections go.
    pub(crate) fn target(&self) -> SocketAddr {
        self.weather.borrow().target
    }

    /// Resets every connection; answers how many. New ones pass.
    pub(crate) fn cut(&self) -> usize {
        let open = self.open();
        self.weather.send_modify(|weather| weather.cuts += 1);
        open
    }

    /// Says what becomes of bytes from the client and from the server, until it is said anew.
    pub(crate) fn set(&self, up: Flow, down: Flow) {
        self.weather.send_modify(|weather| (weather.up, weather.down) = (up, down));
    }

    /// Lets everything pass.
    pub(crate) fn heal(&self) {
        self.set(Flow::Pass, Flow::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// Counted as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connection(mut near: TcpStream, mut weather: watch::Receiver<Weather>, count: Arc<AtomicUsize>) {
    let (target, cuts) = {
        let weather = weather.borrow_and_update();
        (weather.target, weather.cuts)
    };
    let Ok(Ok(mut far)) = timeout(CONNECT, connect(target)).await else {
        // As if nobody listened.
        return drop(near.set_zero_linger());
    };
    let _counted = Counted::new(count);
    let _ = near.set_nodelay(true);
    let over = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let up = pump(near_read, far_write, weather.clone(), |weather| weather.up);
        let down = pump(far_read, near_write, weather.clone(), |weather| weather.down);
        tokio::select! {
            over = async { tokio::try_join!(up, down) } => over.map(drop),
            _ = weather.wait_for(|weather| weather.cuts != cuts) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if over.is_err() {
        // Dropped so, both sides get a reset.
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

/// Carries one direction until its end, which it passes on; fails where either side failed.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    flow: fn(&Weather) -> Flow,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionReset);
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = flow(&weather.borrow_and_update());
        let most = match now {
            Flow::Stop => {
                weather.changed().await.map_err(gone)?;
                continue;
            }
            Flow::Throttle(rate) => (rate / 20).clamp(1, BUFFER),
            Flow::Pass | Flow::Delay(_) => BUFFER,
        };
        let read = tokio::select! {
            changed = weather.changed() => {
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
        // What was read before the road was closed waits with the rest.
        weather.wait_for(|weather| flow(weather) != Flow::Stop).await.map_err(gone)?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

mod tests {
    use std::{io::ErrorKind, time::Instant};

    use super::*;

    /// A server that says back what it hears.
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

    async fn hears(stream: &mut TcpStream, text: &[u8], within: Duration) -> bool {
        let mut heard = vec![0; text.len()];
        matches!(timeout(within, stream.read_exact(&mut heard)).await, Ok(Ok(_))) && heard == text
    }

    const SOON: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_cut_resets_every_connection_and_takes_new_ones() {
        let proxy = Proxy::to(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        stream.write_all(b"one").await.expect("writes");
        assert!(hears(&mut stream, b"one", LATE).await);
        assert_eq!(proxy.cut(), 1);
        let reset = timeout(LATE, stream.read(&mut [0; 8])).await.expect("in time").expect_err("reset");
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        stream.write_all(b"two").await.expect("writes");
        assert!(hears(&mut stream, b"two", LATE).await);
    }

    #[tokio::test]
    async fn a_stopped_direction_says_nothing_and_loses_nothing() {
        let proxy = Proxy::to(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        for (up, down) in [(Flow::Stop, Flow::Stop), (Flow::Stop, Flow::Pass), (Flow::Pass, Flow::Stop)] {
            proxy.set(up, down);
            stream.write_all(b"waits").await.expect("writes");
            assert!(!hears(&mut stream, b"waits", SOON).await);
            proxy.heal();
            assert!(hears(&mut stream, b"waits", LATE).await);
        }
    }

    #[tokio::test]
    async fn slow_roads_are_slow() {
        let proxy = Proxy::to(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        for flow in [Flow::Delay(SOON), Flow::Throttle(10_000)] {
            proxy.set(Flow::Pass, flow);
            let (begun, text) = (Instant::now(), [7; 3_000]);
            stream.write_all(&text).await.expect("writes");
            assert!(hears(&mut stream, &text, LATE).await);
            assert!(begun.elapsed() >= SOON, "{flow:?} took {:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn nobody_behind_it_is_a_reset() {
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let proxy = Proxy::to(closed).await;
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connects");
        assert!(timeout(LATE, stream.read(&mut [0; 8])).await.expect("in time").is_err());
    }
}
