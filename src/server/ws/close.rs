//! How a connection ends: the reasons, and the closing handshake.

use std::{collections::VecDeque, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite;

use crate::{
    protocol::CloseCode,
    server::connections::{Close, ConnectionGuard},
};

/// How long a close may take: writing what is queued and the close frame, and waiting for the peer's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason in the close frame after a frame that is too large.
pub(super) const TOO_LARGE: &str = "the frame is larger than allowed: see max_frame_bytes";

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Close(Close),
    /// We close it, after an error that leaves the socket unreadable.
    Unreadable(Close),
    /// The peer closed it, or it was lost.
    Gone(String),
}

impl End {
    /// A close with this code and reason.
    pub(super) fn close(code: CloseCode, reason: &'static str) -> Self {
        Self::Close(Close::new(code, reason))
    }

    /// The code that we send, if we close it.
    pub(super) fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Close(close) | Self::Unreadable(close) => Some(close.code),
            Self::Gone(_) => None,
        }
    }
}

/// Writes what is queued and a close frame, waits for the peer's close frame, and then for `linger`. `guard` is dropped once
/// our frame is written. Returns false if that took longer than [`CLOSE_TIMEOUT`].
pub(super) async fn close_gracefully(
    mut socket: WebSocket,
    unsent: VecDeque<Message>,
    close: Close,
    linger: Duration,
    guard: Option<ConnectionGuard>,
) -> bool {
    let frame = CloseFrame { code: close.code.code(), reason: close.reason };
    let closing = async {
        for message in unsent {
            socket.feed(message).await?;
        }
        socket.send(Message::Close(Some(frame))).await?;
        drop(guard);
        while let Some(Ok(_)) = socket.recv().await {}
        sleep(linger).await;
        Ok::<(), axum::Error>(())
    };
    timeout(CLOSE_TIMEOUT, closing).await.is_ok()
}

/// How a connection ends whose socket cannot be read.
pub(super) fn unreadable(error: axum::Error) -> End {
    let close = |code, reason| End::Unreadable(Close::new(code, reason));
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => close(CloseCode::TooLarge, TOO_LARGE),
        Some(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
            End::Gone("the connection was cut".into())
        }
        Some(tungstenite::Error::Protocol(_)) => close(CloseCode::NotProtocol, "this is not WebSocket (RFC 6455)"),
        Some(tungstenite::Error::Utf8(_)) => close(CloseCode::NotProtocol, "the text is not UTF-8"),
        Some(error) => End::Gone(format!("reading failed: {error}")),
        None => End::Gone("reading failed".into()),
    }
}
