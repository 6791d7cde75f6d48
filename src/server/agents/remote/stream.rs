//! Posts a request and reads the events of its response.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    Remote,
    failure::Failure,
    http::Body,
    requests::{Output, RequestError},
    stream_state::{StreamState, stream_cut},
};
use crate::{
    protocol::agui::Event,
    server::{
        offload,
        outbound::{
            breaker::Permit,
            memory,
            sse::{Sse, SseError, SseItem},
        },
    },
};

/// How long to read on after `RUN_FINISHED`, for a late `RUN_ERROR` or a further `RUN_STARTED` in the same stream.
const LATE_EVENTS_TIMEOUT: Duration = Duration::from_millis(300);

/// A request's body, and the limit of the response's events.
pub(super) struct PreparedRequest {
    pub(super) body: Bytes,
    /// The largest event to accept, in bytes: larger than what is stored of an event, because an agent may send back the files it received.
    pub(super) max_event_bytes: usize,
}

impl Remote {
    /// Sends a request and passes on its events until the response ends.
    pub(super) async fn read_response(
        &self,
        state: &mut StreamState,
        request: PreparedRequest,
        out: &mut Output<'_>,
        permit: &mut Permit,
    ) -> Result<(), RequestError> {
        let (mut stream, first) = self.open_stream(&request).await?;
        permit.answered();
        let mut first = Some(first);
        let silence = Duration::from_millis(self.config.silence_timeout_ms);
        let mut late_until: Option<Instant> = None;
        loop {
            late_until =
                state.is_finished().then(|| late_until.unwrap_or_else(|| Instant::now() + LATE_EVENTS_TIMEOUT));
            let item = match (first.take(), late_until) {
                (Some(item), _) => item,
                (None, Some(until)) => match timeout_at(until, stream.next()).await {
                    Ok(Ok(item)) => item,
                    // The run is finished; how its connection ends does not matter.
                    Ok(Err(_)) | Err(_) => break,
                },
                (None, None) => match timeout(silence, stream.next()).await {
                    Ok(item) => item.map_err(stream_error)?,
                    Err(_) => return Err(silence_timeout(silence).into()),
                },
            };
            match item {
                SseItem::KeepAlive => stream.release(),
                SseItem::Data(text) => {
                    let is_large = text.len() > memory::SMALL_EVENT_BYTES;
                    if let Some(event) = read_event(state, text).await? {
                        out.emit(event).await?;
                    }
                    if is_large {
                        out.emitter.flush().await?;
                        stream.release();
                    }
                }
                SseItem::End(rest) => {
                    // A complete event counts even if no blank line follows it.
                    let complete = rest.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                    if let Some(text) = complete
                        && let Some(event) = read_event(state, text).await?
                    {
                        out.emit(event).await?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Opens the response's stream and reads its first event; retries failures that may be temporary.
    async fn open_stream(&self, request: &PreparedRequest) -> Result<(Sse<Body>, SseItem), Failure> {
        let (mut backoff, mut retries) = (self.backoff, self.config.retries);
        loop {
            let opened = self.try_open_stream(request).await;
            let Err(Failure { retry_after: Some(min_delay), message, .. }) = &opened else { return opened };
            if retries == 0 {
                return opened;
            }
            let message = self.endpoint.secrets().redact(message);
            let delay = (*min_delay).max(backoff.mul_f64(rand::rng().random_range(0.5..1.0)));
            tracing::info!(agent = self.info.id, message, ?delay, "retrying the request to a remote agent");
            sleep(delay).await;
            (backoff, retries) = (backoff * 2, retries - 1);
        }
    }

    async fn try_open_stream(&self, request: &PreparedRequest) -> Result<(Sse<Body>, SseItem), Failure> {
        let limit = Duration::from_millis(self.config.first_event_timeout_ms);
        let first = async {
            let body = self.endpoint.post(request.body.clone()).await?;
            let mut stream = Sse::new(body, request.max_event_bytes).with_budget(&memory::BUDGET);
            loop {
                match stream.next().await.map_err(stream_error)? {
                    SseItem::KeepAlive => {}
                    item => return Ok((stream, item)),
                }
            }
        };
        timeout(limit, first).await.unwrap_or_else(|_| {
            let message = format!("the remote agent sent no event within {limit:?}; ask again later");
            Err(Failure::of_endpoint("first_event_timeout", message))
        })
    }
}

/// Reads an event; a large one on a thread that serves no socket.
async fn read_event(state: &mut StreamState, text: String) -> Result<Option<Event>, Failure> {
    if text.len() <= memory::SMALL_EVENT_BYTES {
        return state.on_event(&text);
    }
    let mut taken = state.take();
    let read = move || {
        let event = taken.on_event(&text);
        (taken, event)
    };
    let panicked = |_| Failure::new("malformed_event", "the remote agent sent an event that cannot be read");
    let event;
    (*state, event) = offload::run(read).await.map_err(panicked)?;
    event
}

fn silence_timeout(limit: Duration) -> Failure {
    let message = format!("the remote agent sent nothing for {limit:?}; what it sent so far is kept; ask again");
    Failure::of_endpoint("silence_timeout", message)
}

fn stream_error(error: SseError) -> Failure {
    match error {
        SseError::TooLarge(max) => {
            let message = format!("the remote agent sent an event that is too large: an event has at most {max} bytes");
            Failure::new("event_too_large", message)
        }
        SseError::Memory(error) => {
            Failure::new("server_busy", format!("the rest of the remote agent's answer was not read: {error}"))
        }
        SseError::NotText => {
            Failure::new("malformed_event", format!("the remote agent sent an event that cannot be read: {error}"))
        }
        SseError::Disconnected(error) => {
            tracing::info!(%error, "the connection to a remote agent failed");
            stream_cut(
                "the connection to the remote agent failed before the run ended; what it sent so far is kept; ask again",
            )
        }
    }
}
