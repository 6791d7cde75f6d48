//! The bytes of one connection, with a record of what moved and what waits.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{bounds::Place, clock::Clock, refusal};

/// What all parts of one connection share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The other end.
    pub(super) peer: SocketAddr,
    pub(super) clock: Mutex<Clock>,
    /// The connection, given back when HTTP is done with it.
    returned: Mutex<Option<Returned>>,
}

/// A connection that HTTP is done with.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) tcp: TcpStream,
    /// Whether the other end has closed its side.
    pub(super) ended: bool,
    _place: Place,
}

impl Shared {
    pub(super) fn new(peer: SocketAddr, clock: Clock) -> Self {
        Self { peer, clock: Mutex::new(clock), returned: Mutex::new(None) }
    }

    /// The connection, where HTTP gave it back.
    pub(super) fn take_returned(&self) -> Option<Returned> {
        self.returned.lock().take()
    }
}

/// A TCP connection that tells its clock what happens. Dropped by HTTP it is given back, unless it was upgraded.
#[derive(Debug)]
pub(super) struct Stream {
    /// There until dropped.
    parts: Option<(TcpStream, Place)>,
    shared: Arc<Shared>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, place: Place, shared: Arc<Shared>) -> Self {
        Self { parts: Some((tcp, place)), shared, ended: false }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let (tcp, _) = self.parts.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(tcp))
    }

    /// What HTTP itself answers to a header it cannot read has no body: this one says what is wrong.
    fn explained(&mut self, written: &[u8]) -> io::Result<Option<usize>> {
        if !self.shared.clock.lock().is_before_request() {
            return Ok(None);
        }
        let Some(explained) = refusal::explained(written) else { return Ok(None) };
        // A connection's first bytes fit into its buffer; what does not is the end of an explanation.
        match self.tcp()?.try_write(&explained) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Some(written.len())),
        }
    }

    fn record_write(&self, written: &Poll<io::Result<usize>>) {
        let now = Instant::now();
        match written {
            Poll::Pending => self.shared.clock.lock().write_blocked(now),
            Poll::Ready(Ok(bytes)) => self.shared.clock.lock().sent(*bytes, now),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some((tcp, place)) = self.parts.take()
            && !self.shared.clock.lock().is_upgraded()
        {
            *self.shared.returned.lock() = Some(Returned { tcp, ended: self.ended, _place: place });
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.tcp()?.poll_read(cx, buffer);
        let mut clock = self.shared.clock.lock();
        match read {
            Poll::Pending => clock.read_blocked(Instant::now()),
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled().len() - before;
                if bytes > 0 {
                    clock.received(bytes, Instant::now());
                } else {
                    drop(clock);
                    self.ended = true;
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = self.explained(bytes)? {
            return Poll::Ready(Ok(written));
        }
        let written = self.tcp()?.poll_write(cx, bytes);
        self.record_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [first, ..] = slices
            && let Some(written) = self.explained(first)?
        {
            return Poll::Ready(Ok(written));
        }
        let written = self.tcp()?.poll_write_vectored(cx, slices);
        self.record_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.tcp()?.poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
