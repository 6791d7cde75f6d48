//! The byte stream of one connection, which reports reads and writes to its [`Deadlines`].

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

use super::{counter::Permit, deadlines::Deadlines, refusal};

/// The state that the parts of one connection share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The address of the other end.
    pub(super) peer: SocketAddr,
    pub(super) deadlines: Mutex<Deadlines>,
    /// The connection, once hyper has dropped it.
    returned: Mutex<Option<Returned>>,
}

/// A connection that hyper has dropped.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) tcp: TcpStream,
    /// Whether the peer has closed its side.
    pub(super) peer_closed: bool,
    _permit: Permit,
}

impl Shared {
    pub(super) fn new(peer: SocketAddr, deadlines: Deadlines) -> Self {
        Self { peer, deadlines: Mutex::new(deadlines), returned: Mutex::new(None) }
    }

    /// The connection, if hyper has dropped it.
    pub(super) fn take_returned(&self) -> Option<Returned> {
        self.returned.lock().take()
    }
}

/// A TCP connection for hyper. When hyper drops it, it is returned in [`Shared`], unless it was upgraded.
#[derive(Debug)]
pub(super) struct Stream {
    /// None only while it is dropped.
    parts: Option<(TcpStream, Permit)>,
    shared: Arc<Shared>,
    peer_closed: bool,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, permit: Permit, shared: Arc<Shared>) -> Self {
        Self { parts: Some((tcp, permit)), shared, peer_closed: false }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let (tcp, _) = self.parts.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(tcp))
    }

    /// If hyper writes its own answer to a header that it cannot parse, writes one with a problem document instead.
    fn write_problem(&mut self, written: &[u8]) -> io::Result<Option<usize>> {
        if !self.shared.deadlines.lock().is_before_request() {
            return Ok(None);
        }
        let Some(answer) = refusal::with_problem(written) else { return Ok(None) };
        // So short an answer fits into the kernel's buffer, unless the peer reads slowly: then the end of it is lost.
        match self.tcp()?.try_write(&answer) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Some(written.len())),
        }
    }

    fn record_write(&self, written: &Poll<io::Result<usize>>) {
        let now = Instant::now();
        match written {
            Poll::Pending => self.shared.deadlines.lock().write_blocked(now),
            Poll::Ready(Ok(bytes)) => self.shared.deadlines.lock().sent(*bytes, now),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some((tcp, permit)) = self.parts.take()
            && !self.shared.deadlines.lock().is_upgraded()
        {
            *self.shared.returned.lock() = Some(Returned { tcp, peer_closed: self.peer_closed, _permit: permit });
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.tcp()?.poll_read(cx, buffer);
        let mut deadlines = self.shared.deadlines.lock();
        match read {
            Poll::Pending => deadlines.read_blocked(Instant::now()),
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled().len() - before;
                if bytes > 0 {
                    deadlines.received(bytes, Instant::now());
                } else {
                    drop(deadlines);
                    self.peer_closed = true;
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(written) = self.write_problem(bytes)? {
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
            && let Some(written) = self.write_problem(first)?
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
