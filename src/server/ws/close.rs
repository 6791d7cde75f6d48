//! How a connection ends: why, and what is still said.

use std::{collections::VecDeque, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite;

use crate::{
    protocol::CloseCode,
    server::connections::{Close, Handle},
};

/// How long a close may take, with what is still to be written before it and the other side's answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a frame that is too large closes the socket.
pub(super) const TOO_LARGE: &str = "the frame is larger than allowed: see max_frame_bytes";

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Close(Close),
    /// We close it, because of something that leaves the socket unreadable.
    Unreadable(Close),
    /// The other side closed it, or it was lost.
    Gone(String),
}

impl End {
    pub(super) fn close(code: CloseCode, reason: &'static str) -> Self {
        Self::Close(Close::new(code, reason))
    }

    /// The code that is sent, where one is.
    pub(super) fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Close(close) | Self::Unreadable(close) => Some(close.code),
            Self::Gone(_) => None,
        }
    }
}

/// Writes what waits and the close, and waits for the other side's; then for `linger`. `handle` is let go of once it is
/// written. Answers whether there was time for all of it.
pub(super) async fn farewell(
    mut socket: WebSocket,
    unsent: VecDeque<Message>,
    close: Close,
    linger: Duration,
    handle: Option<Handle>,
) -> bool {
    let frame = CloseFrame { code: close.code.code(), reason: close.reason };
    let farewell = async {
        for message in unsent {
            socket.feed(message).await?;
        }
        socket.send(Message::Close(Some(frame))).await?;
        drop(handle);
        while let Some(Ok(_)) = socket.recv().await {}
        sleep(linger).await;
        Ok::<(), axum::Error>(())
    };
    timeout(FAREWELL, farewell).await.is_ok()
}

/// Why a socket cannot be read.
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
