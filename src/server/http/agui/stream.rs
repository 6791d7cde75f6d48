//! A run's events as a caller of AG-UI reads them: server-sent events, one `data:` line each, up to the terminal one.
//!
//! Promises: the events are the log's, in its order; the caller's own ids of thread, run and messages stand in them, Netra's in
//! `metadata.netra` of `RUN_STARTED` and `RUN_FINISHED`; the stream ends with a terminal event, also where the run goes on without the caller.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event as Sent, KeepAlive, Sse},
    },
};
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ids::id_for, pieces::Pieces};
use crate::{
    protocol::{
        CloseCode, MessageId, RunId, ThreadId,
        agui::Message,
        extensions::{CALLER_STATE, KNOWN_RESULT},
    },
    server::{
        channel::{Channels, Delivery},
        connections::{Listener, Silence},
        error::Result,
        runs::SINCE_QUESTION,
        threads,
    },
    thread::{Item, ThreadView},
};

/// How often a caller of whom nothing is heard is written a comment, and so found gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After how long a silence the store is asked whether the run goes on at all.
const LOOK_AFTER: Duration = Duration::from_secs(30);
/// Proxies that hold an answer back until it is whole are asked not to.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
/// What the run is called here: for callers that go on over the socket.
pub(super) const THREAD_ID: HeaderName = HeaderName::from_static("x-netra-thread-id");
pub(super) const RUN_ID: HeaderName = HeaderName::from_static("x-netra-run-id");
pub(super) const SEQ: HeaderName = HeaderName::from_static("x-netra-seq");

/// What a caller calls a run.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) thread_id: String,
    pub(super) run_id: String,
    /// The run that it goes on from.
    pub(super) parent_run_id: Option<String>,
}

/// What a caller calls its messages: by the ids that stand for them here, where those are others.
#[derive(Debug, Default)]
pub(super) struct MessageIds(HashMap<String, String>);

impl MessageIds {
    /// Of these messages, and of those that the thread has from before.
    pub(super) fn of(thread_id: ThreadId, messages: &[Message], thread: &ThreadView) -> Self {
        let given = messages.iter().filter_map(|message| match message {
            Message::User { id, .. } => Some((id_for::<MessageId>(thread_id, id).to_string(), id.clone())),
            _ => None,
        });
        let known = thread.items.iter().filter_map(|item| match item {
            Item::Message(said) => Some((said.message.id.to_string(), said.message.external_id.clone()?)),
            Item::Run(_) => None,
        });
        Self(known.chain(given).filter(|(ours, theirs)| ours != theirs).collect())
    }

    /// Gives the caller its own ids back, wherever in an event they stand: agents restate conversations in states, too.
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

/// A run as it is told to its caller.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) listener: Listener,
    pub(super) channels: Channels,
    pub(super) names: Names,
    pub(super) message_ids: MessageIds,
    pub(super) thread_id: ThreadId,
    pub(super) run_id: RunId,
    /// What the run answers.
    pub(super) asked: MessageId,
    /// The calls whose results the caller gave: it is not told of them.
    pub(super) given: HashSet<String>,
    /// Whether the caller gave a state: it is not told of what that changes.
    pub(super) gave_state: bool,
    /// What was told of texts that come in pieces.
    pub(super) pieces: Pieces,
    /// What is told after the run's first event.
    pub(super) restated: Vec<Value>,
    /// What is to be told before anything else.
    pub(super) next: VecDeque<Value>,
    pub(super) over: bool,
}

impl Told {
    /// The answer; its headers tell the run and where the log has what was asked.
    pub(super) fn response(self, seq: u64) -> Response {
        let (thread, run) = (self.thread_id.to_string(), self.run_id.to_string());
        let events = unfold(self, async |mut told| {
            let event = told.event().await?;
            Some((Ok::<_, Infallible>(Sent::default().data(event.to_string())), told))
        });
        let heartbeat = KeepAlive::new().interval(HEARTBEAT);
        let named = [(THREAD_ID, thread), (RUN_ID, run), (SEQ, seq.to_string())];
        let headers = [UNBUFFERED, (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        (named, headers, Sse::new(events).keep_alive(heartbeat)).into_response()
    }

    /// The next event; nothing after the terminal one.
    async fn event(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match timeout(LOOK_AFTER, self.listener.next()).await {
                Ok(Ok(entry)) => self.take(&entry).await,
                Ok(Err(silence)) => self.end(&silence),
                Err(_) => self.look().await,
            }
        }
    }

    async fn take(&mut self, entry: &Delivery) {
        let Ok(mut push) = serde_json::from_str::<Value>(&entry.frame) else { return };
        let entry = push["payload"]["entry"].take();
        match entry["kind"].as_str() {
            Some("agent") if entry["run_id"] == self.run_id.to_string() => match self.whole(entry).await {
                Ok(entry) => self.tell(entry),
                Err(error) => self.end(&Silence::Failed(error)),
            },
            Some("taken_back") if entry["message_id"] == self.asked.to_string() => {
                self.next.push_back(self.named(json!({"type": "RUN_STARTED"})));
                self.next.push_back(self.named(json!({"type": "RUN_FINISHED", "outcome": {"type": "cancelled"}})));
                self.over = true;
            }
            _ => {}
        }
    }

    /// The log has of a restated conversation what follows the question, and has long results once; a caller takes what it is told
    /// for all of it.
    async fn whole(&self, mut entry: Value) -> Result<Value> {
        let Some(event) = entry["event"].as_object_mut() else { return Ok(entry) };
        if let Some(Value::Array(messages)) = event.get_mut("messages")
            && messages.iter().any(|message| message.get(KNOWN_RESULT).is_some())
        {
            self.channels.thread(self.thread_id).await?.1.fill_in_results(messages);
        }
        let Some(Value::Object(more)) = event.get_mut("metadata") else { return Ok(entry) };
        if more.remove(SINCE_QUESTION).is_none() {
            return Ok(entry);
        }
        if more.is_empty() {
            event.remove("metadata");
        }
        let (_, view) = self.channels.shown(self.thread_id).await?;
        let Value::Array(mut messages) = json!(view.history(self.run_id)) else { return Ok(entry) };
        if let Some(Value::Array(turn)) = event.remove("messages") {
            let asked = turn.first().map(|asked| asked["id"].clone());
            let before = messages.iter().rposition(|message| Some(&message["id"]) == asked.as_ref());
            messages.truncate(before.unwrap_or(messages.len()));
            messages.extend(turn);
        }
        event.insert("messages".into(), messages.into());
        Ok(entry)
    }

    fn tell(&mut self, mut entry: Value) {
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
            Some("RUN_STARTED") => self.named(event),
            Some("RUN_FINISHED") => {
                self.over = true;
                self.named(event)
            }
            Some("RUN_ERROR") => {
                self.over = true;
                event
            }
            Some("TOOL_CALL_RESULT") if event["toolCallId"].as_str().is_some_and(|id| self.given.contains(id)) => {
                return;
            }
            _ => event,
        };
        self.next.push_back(event);
        // The first event is RUN_STARTED, or the only one.
        if !self.over {
            self.next.extend(self.restated.drain(..));
        }
    }

    fn named(&self, mut event: Value) -> Value {
        event["threadId"] = self.names.thread_id.as_str().into();
        event["runId"] = self.names.run_id.as_str().into();
        event["metadata"]["netra"] = json!({"threadId": self.thread_id, "runId": self.run_id});
        if let Some(parent) = event.as_object_mut().and_then(|event| event.remove("parentRunId")) {
            event["metadata"]["netra"]["parentRunId"] = parent;
            self.names.parent_run_id.iter().for_each(|id| event["parentRunId"] = id.as_str().into());
        }
        event
    }

    /// Nothing more is heard of the run here.
    fn end(&mut self, silence: &Silence) {
        let (code, message) = match silence {
            Silence::Gone => ("not_found", "the thread was deleted"),
            Silence::Closed(CloseCode::Restarting) => {
                ("server_restarting", "the server restarts; ask again for the rest")
            }
            Silence::Closed(_) => ("disconnected", "this connection was ended; the run may go on"),
            Silence::Failed(error) => {
                tracing::error!(%error, run = %self.run_id, "a run cannot be told");
                ("internal", "the server failed; its log has the cause")
            }
        };
        self.fail(code, message);
    }

    fn fail(&mut self, code: &str, message: &str) {
        self.next.push_back(json!({"type": "RUN_ERROR", "message": message, "code": code}));
        self.over = true;
    }

    /// A run that is over and has nothing more in the log is one of long ago, which is not kept.
    async fn look(&mut self) {
        let goes_on = threads::goes_on(&self.channels, self.run_id).await;
        if matches!(goes_on, Ok(false)) && self.listener.is_up_to_date() {
            self.fail("not_kept", "the answer is of long ago, and was not kept; ask again with another message id");
        }
    }
}
