//! Streams a run's events to a caller of AG-UI: server-sent events, one `data:` line each, up to the terminal one.
//!
//! Guarantees: the events are those of the log, in its order; they have the caller's ids of thread, run and messages, and Netra's are
//! in `metadata.netra` of `RUN_STARTED` and `RUN_FINISHED`; the stream ends with a terminal event, even if the run continues.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ids::id_for, join_pieces::PieceJoiner};
use crate::{
    protocol::{
        CloseCode, MessageId, RunId, ThreadId,
        agui::Message,
        extensions::{CALLER_STATE, KNOWN_RESULT},
    },
    server::{
        channel::{Channels, Delivery},
        connections::{ChannelReader, StreamEnd},
        error::Result,
        runs::SINCE_MESSAGE,
        threads,
    },
    thread::{Item, ThreadView},
};

/// The time between two comments while there are no events, so that a disconnect is noticed.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// After this time without an entry, a read of the store shows whether the run has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Asks proxies not to buffer the answer.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// Netra's id of the thread. This and the next two are for callers that continue over the WebSocket.
pub(super) const THREAD_ID: HeaderName = HeaderName::from_static("x-netra-thread-id");
/// Netra's id of the run.
pub(super) const RUN_ID: HeaderName = HeaderName::from_static("x-netra-run-id");
/// The `seq` of the message or answer.
pub(super) const SEQ: HeaderName = HeaderName::from_static("x-netra-seq");

/// The caller's ids of a run.
#[derive(Debug)]
pub(super) struct ExternalIds {
    pub(super) thread_id: String,
    pub(super) run_id: String,
    pub(super) parent_run_id: Option<String>,
}

/// The caller's ids of messages by Netra's, if they differ.
#[derive(Debug, Default)]
pub(super) struct MessageIds(HashMap<String, String>);

impl MessageIds {
    /// The ids of the messages in a request, and of those that the thread has from earlier requests.
    pub(super) fn new(thread_id: ThreadId, messages: &[Message], thread: &ThreadView) -> Self {
        let given = messages.iter().filter_map(|message| match message {
            Message::User { id, .. } => Some((id_for::<MessageId>(thread_id, id).to_string(), id.clone())),
            _ => None,
        });
        let known = thread.items.iter().filter_map(|item| match item {
            Item::Message(item) => Some((item.message.id.to_string(), item.message.external_id.clone()?)),
            Item::Run(_) => None,
        });
        Self(known.chain(given).filter(|(ours, theirs)| ours != theirs).collect())
    }

    /// Replaces Netra's ids by the caller's anywhere in an event: agents may repeat the conversation in their state.
    pub(super) fn restore(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(theirs) = self.0.get(text) {
                    theirs.clone_into(text);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.restore(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.restore(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The events of a run, for its caller.
#[derive(Debug)]
pub(super) struct RunStream {
    pub(super) reader: ChannelReader,
    pub(super) channels: Channels,
    pub(super) external_ids: ExternalIds,
    pub(super) message_ids: MessageIds,
    pub(super) thread_id: ThreadId,
    pub(super) run_id: RunId,
    /// The message or answer that the run is for.
    pub(super) message_id: MessageId,
    /// The calls whose results the caller gave; their results are not sent.
    pub(super) given_results: HashSet<String>,
    /// Whether the caller gave a state; the event that sets it is not sent.
    pub(super) gave_state: bool,
    pub(super) pieces: PieceJoiner,
    /// Events to send after `RUN_STARTED`.
    pub(super) restated: Vec<Value>,
    /// Events to send next.
    pub(super) queue: VecDeque<Value>,
    pub(super) is_over: bool,
}

impl RunStream {
    /// The HTTP response. `seq` is that of the message or answer that the run is for.
    pub(super) fn into_response(self, seq: u64) -> Response {
        let (thread, run) = (self.thread_id.to_string(), self.run_id.to_string());
        let events = unfold(self, async |mut stream| {
            let event = stream.next().await?;
            Some((Ok::<_, Infallible>(Event::default().data(event.to_string())), stream))
        });
        let keep_alive = KeepAlive::new().interval(HEARTBEAT_INTERVAL);
        let ids = [(THREAD_ID, thread), (RUN_ID, run), (SEQ, seq.to_string())];
        let headers = [UNBUFFERED, (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (ids, headers, Sse::new(events).keep_alive(keep_alive)).into_response()
    }

    /// The next event; none after the terminal one.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            match timeout(POLL_INTERVAL, self.reader.next()).await {
                Ok(Ok(entry)) => self.on_entry(&entry).await,
                Ok(Err(end)) => self.on_end(&end),
                Err(_) => self.poll_store().await,
            }
        }
    }

    async fn on_entry(&mut self, entry: &Delivery) {
        let Ok(entry) = serde_json::from_str::<Value>(entry.entry()) else { return };
        match entry["kind"].as_str() {
            Some("agent") if entry["run_id"] == self.run_id.to_string() => match self.expand(entry).await {
                Ok(entry) => self.emit(entry),
                Err(error) => self.on_end(&StreamEnd::Failed(error)),
            },
            Some("taken_back") if entry["message_id"] == self.message_id.to_string() => {
                self.queue.push_back(self.with_ids(json!({"type": "RUN_STARTED"})));
                self.queue.push_back(self.with_ids(json!({"type": "RUN_FINISHED", "outcome": {"type": "cancelled"}})));
                self.is_over = true;
            }
            _ => {}
        }
    }

    /// Completes a `MESSAGES_SNAPSHOT`. The log stores it only from the message that the run answers on, and each long result once;
    /// a caller expects the whole conversation.
    async fn expand(&self, mut entry: Value) -> Result<Value> {
        let Some(event) = entry["event"].as_object_mut() else { return Ok(entry) };
        if let Some(Value::Array(messages)) = event.get_mut("messages")
            && messages.iter().any(|message| message.get(KNOWN_RESULT).is_some())
        {
            self.channels.thread(self.thread_id).await?.1.fill_in_results(messages);
        }
        let Some(Value::Object(more)) = event.get_mut("metadata") else { return Ok(entry) };
        if more.remove(SINCE_MESSAGE).is_none() {
            return Ok(entry);
        }
        if more.is_empty() {
            event.remove("metadata");
        }
        let (_, view) = self.channels.thread_for_people(self.thread_id).await?;
        let Value::Array(mut messages) = json!(view.history(self.run_id)) else { return Ok(entry) };
        if let Some(Value::Array(turn)) = event.remove("messages") {
            let first_id = turn.first().map(|first| first["id"].clone());
            let before = messages.iter().rposition(|message| Some(&message["id"]) == first_id.as_ref());
            messages.truncate(before.unwrap_or(messages.len()));
            messages.extend(turn);
        }
        event.insert("messages".into(), messages.into());
        Ok(entry)
    }

    fn emit(&mut self, mut entry: Value) {
        let event = entry["event"].take();
        let Some(mut event) = self.pieces.join(event) else { return };
        if let Some(Value::Object(more)) = event.get_mut("metadata")
            && more.remove(CALLER_STATE).is_some()
        {
            if self.gave_state {
                return;
            }
            if more.is_empty() {
                event.as_object_mut().map(|event| event.remove("metadata"));
            }
        }
        if !self.message_ids.0.is_empty() {
            self.message_ids.restore(&mut event);
        }
        let event = match event["type"].as_str() {
            Some("RUN_STARTED") => self.with_ids(event),
            Some("RUN_FINISHED") => {
                self.is_over = true;
                self.with_ids(event)
            }
            Some("RUN_ERROR") => {
                self.is_over = true;
                event
            }
            Some("TOOL_CALL_RESULT")
                if event["toolCallId"].as_str().is_some_and(|id| self.given_results.contains(id)) =>
            {
                return;
            }
            _ => event,
        };
        self.queue.push_back(event);
        // The first event is `RUN_STARTED`, unless it is the terminal one.
        if !self.is_over {
            self.queue.extend(self.restated.drain(..));
        }
    }

    fn with_ids(&self, mut event: Value) -> Value {
        event["threadId"] = self.external_ids.thread_id.as_str().into();
        event["runId"] = self.external_ids.run_id.as_str().into();
        event["metadata"]["netra"] = json!({"threadId": self.thread_id, "runId": self.run_id});
        if let Some(parent) = event.as_object_mut().and_then(|event| event.remove("parentRunId")) {
            event["metadata"]["netra"]["parentRunId"] = parent;
            self.external_ids.parent_run_id.iter().for_each(|id| event["parentRunId"] = id.as_str().into());
        }
        event
    }

    /// Ends the stream, since there are no more entries.
    fn on_end(&mut self, end: &StreamEnd) {
        let (code, message) = match end {
            StreamEnd::Gone => ("not_found", "the thread was deleted, or is not shared with you any more"),
            StreamEnd::Closed(CloseCode::Restarting) => {
                ("server_restarting", "the server is restarting; send the request again for the rest")
            }
            StreamEnd::Closed(_) => ("disconnected", "this connection was closed; the run may continue"),
            StreamEnd::Failed(error) => {
                tracing::error!(%error, run = %self.run_id, "a run cannot be streamed");
                ("internal", "the server failed; its log has the cause")
            }
        };
        self.fail(code, message);
    }

    fn fail(&mut self, code: &str, message: &str) {
        self.queue.push_back(json!({"type": "RUN_ERROR", "message": message, "code": code}));
        self.is_over = true;
    }

    /// Ends the stream if the run is over and its entries were trimmed.
    async fn poll_store(&mut self) {
        let is_open = threads::is_open(&self.channels, self.run_id).await;
        if matches!(is_open, Ok(false)) && self.reader.is_up_to_date() {
            self.fail("not_kept", "the answer is old and was deleted; send the message again with another id");
        }
    }
}
