//! The client of the benchmarks: a WebSocket that parses as little as possible, so that many of them use little CPU time beside the
//! server that is measured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ws::Utf8Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::RESPONSE_TIMEOUT;
use crate::{
    cli::Failure,
    protocol::{PROTOCOL, Request, ServerFrame, compact::COMPACT_PROTOCOL, encode_command},
};

/// Sockets per source address: there are about 28,000 ports for each.
const SOCKETS_PER_ADDRESS: usize = 20_000;
/// Size of a socket's read buffer, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The server, and an access token for it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    address: SocketAddr,
    url: String,
    token: String,
    /// The subprotocol of all sockets.
    protocol: &'static str,
}

impl Target {
    /// Resolves a server's URL, `http://HOST:PORT`.
    ///
    /// # Errors
    /// It is not such a URL, or the host is unknown.
    pub(super) async fn resolve(server: &str, token: String, is_compact: bool) -> Result<Self, Failure> {
        let wrong =
            || Failure::Usage(format!("`{server}` is not a server's URL; expected http://HOST:PORT, without TLS"));
        let host = server.trim_end_matches('/').strip_prefix("http://").ok_or_else(wrong)?;
        let host_and_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address =
            tokio::net::lookup_host(&host_and_port).await.ok().and_then(|mut found| found.next()).ok_or_else(wrong)?;
        let protocol = if is_compact { COMPACT_PROTOCOL } else { PROTOCOL };
        Ok(Self { address, url: format!("ws://{host}/ws"), token, protocol })
    }

    /// Opens a socket. `index` is its number; the sockets are spread over source addresses by it.
    pub(super) async fn open(&self, index: usize) -> Result<Socket, Failure> {
        timeout(RESPONSE_TIMEOUT, self.connect(index)).await.map_err(|_| failed("opening a socket took too long"))?
    }

    async fn connect(&self, index: usize) -> Result<Socket, Failure> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        if index >= SOCKETS_PER_ADDRESS && self.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            let source = Ipv4Addr::new(127, 0, 1, u8::try_from(index / SOCKETS_PER_ADDRESS).unwrap_or(u8::MAX));
            socket.bind((source, 0).into()).map_err(failed)?;
        }
        let stream = socket.connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut request = self.url.as_str().into_client_request().map_err(failed)?;
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", self.token).parse().map_err(failed)?);
        headers.insert("sec-websocket-protocol", self.protocol.parse().map_err(failed)?);
        let config =
            WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).max_message_size(None).max_frame_size(None);
        let (stream, _) = client_async_with_config(request, stream, Some(config)).await.map_err(failed)?;
        let mut socket = Socket { stream, next_id: 0 };
        socket.next_text().await?;
        Ok(socket)
    }
}

/// An open socket, after its welcome frame.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
    next_id: i64,
}

impl Socket {
    /// Waits for the next text frame, without a time limit.
    pub(super) async fn next_text(&mut self) -> Result<Utf8Bytes, Failure> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().into()),
                Some(Ok(Message::Close(frame))) => {
                    let why =
                        frame.map_or_else(String::new, |frame| format!(": {} {}", u16::from(frame.code), frame.reason));
                    return Err(failed(format!("the server closed a socket{why}")));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failed(error)),
                None => return Err(failed("a connection was lost")),
            }
        }
    }

    /// Sends a command; returns its reply unparsed. Skips events that arrive before it.
    pub(super) async fn request_raw(&mut self, request: impl Request) -> Result<Utf8Bytes, Failure> {
        self.next_id += 1;
        let command = Message::text(encode_command(self.next_id, &request.into()));
        let reply = async {
            self.stream.send(command).await.map_err(failed)?;
            loop {
                let text = self.next_text().await?;
                if text.starts_with(r#"{"type":"ok""#) {
                    return Ok(text);
                }
                if text.starts_with(r#"{"type":"error""#) {
                    return Err(failed(format!("the server refused a command: {text}")));
                }
            }
        };
        timeout(RESPONSE_TIMEOUT, reply).await.map_err(|_| failed("a reply took too long"))?
    }

    /// Sends a command; returns its parsed reply.
    pub(super) async fn request<R: Request>(&mut self, request: R) -> Result<R::Ok, Failure> {
        let text = self.request_raw(request).await?;
        match ServerFrame::decode(&text) {
            Ok(ServerFrame::Reply { outcome: Ok(payload), .. }) => serde_json::from_value(payload).map_err(failed),
            _ => Err(failed(format!("not a reply: {text}"))),
        }
    }
}

/// Reads from the frames of one channel what the benchmarks need, without parsing them.
#[derive(Debug, Default)]
pub(super) struct EntryReader {
    /// The `seq` and the time of the last entry.
    last: (u64, i64),
}

impl EntryReader {
    /// The `seq` and the timestamp of an entry, if the frame is one.
    pub(super) fn seq_and_time(&mut self, frame: &str) -> Option<(u64, i64)> {
        self.last = match frame.strip_prefix('[') {
            Some(compact) => self.compact(compact)?,
            None => of_push(frame)?,
        };
        Some(self.last)
    }

    fn compact(&self, frame: &str) -> Option<(u64, i64)> {
        let mut elements = frame.splitn(4, ',').skip(1);
        let (second, third) = (elements.next()?.parse::<u64>().ok()?, elements.next()?.parse::<i64>().ok()?);
        let is_delta = elements.next()?.starts_with('"');
        Some(if is_delta { (self.last.0 + 1, self.last.1 + third) } else { (second, third) })
    }
}

fn of_push(frame: &str) -> Option<(u64, i64)> {
    let rest = frame.strip_prefix(r#"{"type":"event""#)?;
    let number = |rest: &str, name: &str| -> Option<i64> {
        let (_, rest) = rest.split_once(name)?;
        rest.split_once(|after: char| !after.is_ascii_digit())?.0.parse().ok()
    };
    Some((number(rest, r#","seq":"#)?.unsigned_abs(), number(rest, r#","at":"#)?))
}

pub(super) fn failed(why: impl ToString) -> Failure {
    Failure::Failed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ChannelName, Epoch, EventPush, Push, encode_push};

    #[test]
    fn seq_and_time_of_an_entry_are_read_without_parsing_it() {
        let (epoch, entry) = (Epoch("e".into()), serde_json::json!({"seq": 1, "at": 2}));
        let push = EventPush { channel: ChannelName::User, epoch, seq: Some(77), at: 1_700_000_000_123, entry };
        let mut reader = EntryReader::default();
        assert_eq!(reader.seq_and_time(&encode_push(&Push::Event(push))), Some((77, 1_700_000_000_123)));
        assert_eq!(reader.seq_and_time(r#"{"type":"ok","id":1,"payload":{}}"#), None);
        assert_eq!(reader.seq_and_time(r#"[1,2,5,",{"]"#), Some((78, 1_700_000_000_128)));
        assert_eq!(reader.seq_and_time(r#"[1,90,7,{"kind":"x"},0]"#), Some((90, 7)));
    }
}
