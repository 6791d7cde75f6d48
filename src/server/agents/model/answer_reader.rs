//! Reads an answer of a model off the network: a stream of events or lines, or one body where a server does not stream.
//!
//! Guarantees: an event, a line and a body have at most `max_bytes`; a web page in place of an answer is an error; an answer that
//! gave its finish reason is complete, even if its last event is missing, or the connection then breaks or stays open; nothing
//! follows [`ModelEvent::End`] or an error.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::{Deserializer, Value};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
};

use super::{
    apis::{AnswerDecoder, DecodeError, Framing, InputEnd},
    error::ModelError,
    provider::{EndReason, ModelEvent},
};
use crate::server::outbound::sse::{Sse, SseError, SseItem};

/// What a stream of chat completions ends with.
const DONE: &str = "[DONE]";
/// How long to wait, after an answer gave its finish reason, for its usage and the end of the stream.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

type Bodies = BoxStream<'static, io::Result<Bytes>>;
type Events = Sse<StreamReader<Bodies, Bytes>>;
type Lines = FramedRead<StreamReader<Bodies, Bytes>, LinesCodec>;

/// What an answer is read with.
pub(super) struct ReadOptions {
    /// Decodes the provider's format.
    pub decoder: Box<dyn AnswerDecoder>,
    /// The key, which is kept out of errors.
    pub secret: Option<String>,
    /// The most bytes of an event, a line or a body.
    pub max_bytes: usize,
    /// The error if one of them has more.
    pub too_long: ModelError,
}

/// The events of an answer whose bytes are `bytes`. The last one is [`ModelEvent::End`] or an error.
pub(super) fn read(
    options: ReadOptions,
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send {
    let reader = AnswerReader {
        source: Source::New(bytes.boxed()),
        options,
        ready: VecDeque::new(),
        ends_at: None,
        has_events: false,
        has_calls: false,
    };
    stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        if next.is_err() {
            reader.source = Source::Ended;
            reader.ready.clear();
        }
        Some((next, reader))
    })
}

struct AnswerReader {
    source: Source,
    options: ReadOptions,
    /// Events that were decoded and not handed on yet.
    ready: VecDeque<ModelEvent>,
    /// When to stop waiting for what may follow the finish reason; `None` before there is one.
    ends_at: Option<Instant>,
    has_events: bool,
    has_calls: bool,
}

enum Source {
    /// Nothing of it was read.
    New(Bodies),
    Events(Box<Events>),
    Lines(Box<Lines>),
    Ended,
}

impl AnswerReader {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let read = match std::mem::replace(&mut self.source, Source::Ended) {
                Source::New(bytes) => self.begin(bytes).await,
                Source::Events(events) => self.event(events).await,
                Source::Lines(lines) => self.line(lines).await,
                Source::Ended => return None,
            };
            if let Err(error) = read {
                return Some(Err(error));
            }
        }
    }

    /// Chooses by the first character how to read the answer, not by its content type, which proxies change.
    async fn begin(&mut self, mut bytes: Bodies) -> Result<(), ModelError> {
        let first = loop {
            match bytes.next().await {
                None => return self.finish(InputEnd::Stream),
                Some(Err(_)) => return Err(ModelError::Cut),
                Some(Ok(piece)) if piece.trim_ascii_start().is_empty() => {}
                Some(Ok(piece)) => break piece,
            }
        };
        let framing = self.options.decoder.framing();
        match first.trim_ascii_start().first() {
            Some(b'<') => return Err(malformed("a web page")),
            Some(b'{' | b'[') if framing == Framing::Events => return self.body(first, bytes).await,
            _ => {}
        }
        let all = StreamReader::new(stream::once(async { Ok(first) }).chain(bytes).boxed());
        self.source = match framing {
            Framing::Events => Source::Events(Box::new(Sse::new(all, self.options.max_bytes))),
            Framing::Lines => {
                let lines = LinesCodec::new_with_max_length(self.options.max_bytes);
                Source::Lines(Box::new(FramedRead::new(all, lines)))
            }
        };
        Ok(())
    }

    /// Reads an answer that is not streamed: a body of one JSON value, or of several one after the other.
    async fn body(&mut self, first: Bytes, mut bytes: Bodies) -> Result<(), ModelError> {
        let mut body = first.to_vec();
        let mut is_cut = false;
        loop {
            match timeout(USAGE_TIMEOUT, bytes.next()).await {
                Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
                Ok(Some(Err(_))) => {
                    is_cut = true;
                    break;
                }
                Ok(None) => break,
                Err(_)
                    if serde_json::from_slice(&body).is_ok_and(|body| self.options.decoder.is_complete_body(&body)) =>
                {
                    break;
                }
                Err(_) => {}
            }
            if body.len() > self.options.max_bytes {
                return Err(self.options.too_long.clone());
            }
        }
        for value in Deserializer::from_slice(&body).into_iter() {
            let broken = |_| if is_cut { ModelError::Cut } else { malformed("a body that is not JSON") };
            let values = match value.map_err(broken)? {
                Value::Array(values) => values,
                value => vec![value],
            };
            values.into_iter().try_for_each(|value| self.decode(value))?;
        }
        self.finish(InputEnd::Body)
    }

    async fn event(&mut self, mut events: Box<Events>) -> Result<(), ModelError> {
        let is_finished = self.options.decoder.finished_parts().is_some();
        let data = loop {
            let next = match is_finished {
                true => {
                    let ends_at = *self.ends_at.get_or_insert_with(|| Instant::now() + USAGE_TIMEOUT);
                    timeout_at(ends_at, events.next()).await
                }
                false => Ok(events.next().await),
            };
            match next {
                Ok(Ok(SseItem::Data(data))) => break data,
                Ok(Ok(SseItem::KeepAlive)) => {}
                Ok(Ok(SseItem::End(rest))) => {
                    if let Some(data) = rest {
                        self.take(&data)?;
                    }
                    return self.finish(InputEnd::Stream);
                }
                // `Memory` does not occur: this reader has no memory budget.
                Ok(Err(SseError::TooLarge(_) | SseError::Memory(_))) => return Err(self.options.too_long.clone()),
                Ok(Err(SseError::NotText)) => return Err(malformed("a line that is not UTF-8")),
                Ok(Err(SseError::Disconnected(_))) if !is_finished => return Err(ModelError::Cut),
                Ok(Err(SseError::Disconnected(_))) | Err(_) => return self.finish(InputEnd::Stream),
            }
        };
        self.source = Source::Events(events);
        self.take(&data)
    }

    async fn line(&mut self, mut lines: Box<Lines>) -> Result<(), ModelError> {
        let line = match lines.next().await {
            None => return self.finish(InputEnd::Stream),
            Some(Ok(line)) => line,
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => return Err(self.options.too_long.clone()),
            Some(Err(LinesCodecError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(malformed("a line that is not UTF-8"));
            }
            Some(Err(LinesCodecError::Io(_))) => return Err(ModelError::Cut),
        };
        self.source = Source::Lines(lines);
        self.take(&line)
    }

    /// Decodes an event's data or a line.
    fn take(&mut self, data: &str) -> Result<(), ModelError> {
        match data.trim() {
            "" => Ok(()),
            DONE => match self.options.decoder.end(InputEnd::Done) {
                Some(end) => self.push(ModelEvent::End(end)),
                None => Ok(()),
            },
            data => {
                let value = serde_json::from_str(data).map_err(|_| malformed("an event that is not JSON"))?;
                self.decode(value)
            }
        }
    }

    fn decode(&mut self, value: Value) -> Result<(), ModelError> {
        let parts = self.options.decoder.finished_parts();
        let mut events = VecDeque::new();
        self.options.decoder.decode(value, &mut events).map_err(|error| match error {
            DecodeError::Reported(error) => ModelError::from_event(&error, self.options.secret.as_deref()),
            DecodeError::Malformed(what) => malformed(what),
        })?;
        events.into_iter().try_for_each(|event| self.push(event))?;
        // Some servers give a finish reason in every chunk: each one that has a part of the answer begins the wait again.
        if self.options.decoder.finished_parts() > parts {
            self.ends_at = None;
        }
        Ok(())
    }

    fn push(&mut self, event: ModelEvent) -> Result<(), ModelError> {
        self.has_events = true;
        match &event {
            ModelEvent::Call { .. } => self.has_calls = true,
            ModelEvent::End(end) if end.reason == EndReason::ToolCalls && !self.has_calls => {
                return Err(malformed("an end for tool calls, and no call that can be read"));
            }
            ModelEvent::End(_) => self.source = Source::Ended,
            ModelEvent::Text(_) | ModelEvent::Reasoning(_) => {}
        }
        self.ready.push_back(event);
        Ok(())
    }

    /// Ends an answer whose last event may be missing.
    fn finish(&mut self, input: InputEnd) -> Result<(), ModelError> {
        if matches!(self.ready.back(), Some(ModelEvent::End(_))) {
            return Ok(());
        }
        match self.options.decoder.end(input) {
            Some(end) => self.push(ModelEvent::End(end)),
            None if self.has_events => Err(ModelError::Cut),
            None => Err(malformed("an empty answer, or none of this kind")),
        }
    }
}

fn malformed(what: &str) -> ModelError {
    ModelError::Malformed { what: what.into() }
}

#[cfg(test)]
mod tests;
