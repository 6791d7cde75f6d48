//! A WebSocket server without an HTTP library: accepts, answers the upgrade by hand, and writes all that is queued with one flush.

use std::{
    io::{Error, ErrorKind},
    sync::Arc,
};

use futures_util::{SinkExt, StreamExt};
use netra_peers::{Connection, Hub};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The largest request, in bytes.
const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// Size of a socket's read buffer, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Entries that are written with one flush.
const MAX_BATCH: usize = 64;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = netra_peers::listen()?;
    let hub = Arc::<Hub<Utf8Bytes>>::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let hub = hub.clone();
        tokio::spawn(async move {
            // The client has gone, or sent no upgrade.
            let _ = serve(stream, hub).await;
        });
    }
}

async fn serve(stream: TcpStream, hub: Arc<Hub<Utf8Bytes>>) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let mut socket = upgrade(stream).await?;
    let (mut connection, mut entries) = Connection::new(hub);
    socket.send(Message::Text(connection.welcome())).await?;
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                Some(Message::Text(command)) => socket.feed(Message::Text(connection.execute(&command))).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
            _ = entries.recv_many(&mut batch, MAX_BATCH) => for entry in batch.drain(..) {
                socket.feed(Message::Text(entry)).await?;
            },
        }
        socket.flush().await?;
    }
}

/// Reads a request, and answers that the connection is a WebSocket from here.
async fn upgrade(mut stream: TcpStream) -> std::io::Result<WebSocketStream<TcpStream>> {
    let invalid = |message| Error::new(ErrorKind::InvalidData, message);
    let mut request = Vec::with_capacity(1024);
    // Clients send nothing after the request until it is answered.
    while !request.ends_with(b"\r\n\r\n") {
        if request.len() > MAX_REQUEST_BYTES {
            return Err(invalid("the request is too large"));
        }
        if stream.read_buf(&mut request).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let request = std::str::from_utf8(&request).map_err(|_| invalid("the request is not text"))?;
    let headers = request.lines().filter_map(|line| line.split_once(':'));
    let key = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = key.ok_or_else(|| invalid("the request is no upgrade to a WebSocket"))?;
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: netra.v1\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.trim().as_bytes())
    );
    stream.write_all(response.as_bytes()).await?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
}
