//! Reads an answer of a model off the network: a stream of events, or one body where a server does not stream.
//!
//! Promises: one event has at most `max_bytes`, as has a body; each is rewritten in its provider's dialect; a web page in place
//! of an answer is an error; chat completions that said why they ended are whole, also without the last line `[DONE]`.

use std::{collections::VecDeque, io};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::{Deserializer, Value};
use tokio_util::io::StreamReader;

use super::{chat_chunks::ChatChunks, error::ModelError, responses_events};
use crate::server::agents::remote::sse::{Broken, Heard, Sse};

/// What a stream of chat completions ends with.
const DONE: &str = "[DONE]";

type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// How a provider's events are read. Each has all of an event in its data.
#[derive(Debug)]
pub(super) enum Dialect {
    /// OpenAI's chat completions.
    Chat(ChatChunks),
    /// OpenAI's Responses API.
    Responses,
    /// Google's own API.
    Gemini,
}

impl Dialect {
    fn rewrite(&mut self, event: Value) -> Vec<Value> {
        match self {
            Self::Chat(chunks) => vec![chunks.rewrite(event)],
            Self::Responses => responses_events::rewrite(event),
            Self::Gemini => vec![event],
        }
    }

    /// Whether the last line is missing of a stream that has ended, or of a body.
    fn lacks_done(&self, is_body: bool) -> bool {
        match self {
            // A body that is JSON to its end is whole, whatever it says of the reason.
            Self::Chat(chunks) => chunks.has_finish_reason() || (is_body && chunks.has_choice()),
            Self::Responses | Self::Gemini => false,
        }
    }
}

/// The data of an answer's events; of chat completions, up to and with `[DONE]` where they are whole. `too_long` is the error of an event
/// or a body with more than `max_bytes`.
pub(super) fn events(
    dialect: Dialect,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    max_bytes: usize,
    too_long: ModelError,
) -> impl Stream<Item = Result<String, ModelError>> + Send {
    let reader =
        AnswerReader { source: Source::New(pieces.boxed()), dialect, ready: VecDeque::new(), max_bytes, too_long };
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
    dialect: Dialect,
    /// Events that were read and not handed on yet.
    ready: VecDeque<String>,
    max_bytes: usize,
    too_long: ModelError,
}

enum Source {
    /// Nothing of it was read.
    New(Pieces),
    Events(Box<Sse<StreamReader<Pieces, Bytes>>>),
    Ended,
}

impl AnswerReader {
    async fn next(&mut self) -> Option<Result<String, ModelError>> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(Ok(data));
            }
            let read = match std::mem::replace(&mut self.source, Source::Ended) {
                Source::New(pieces) => self.begin(pieces).await,
                Source::Events(events) => self.event(events).await,
                Source::Ended => return None,
            };
            if let Err(error) = read {
                return Some(Err(error));
            }
        }
    }

    /// Finds out by the first letter what this is. The type that a server names says little: proxies change it.
    async fn begin(&mut self, mut pieces: Pieces) -> Result<(), ModelError> {
        let first = loop {
            match pieces.next().await {
                None => return Ok(()),
                Some(Err(_)) => return Err(ModelError::Cut),
                Some(Ok(piece)) if piece.trim_ascii_start().is_empty() => {}
                Some(Ok(piece)) => break piece,
            }
        };
        match first.trim_ascii_start().first() {
            Some(b'{' | b'[') => self.body(first, pieces).await,
            Some(b'<') => Err(malformed("a web page")),
            _ => {
                let pieces = stream::once(async { Ok(first) }).chain(pieces).boxed();
                self.source = Source::Events(Box::new(Sse::new(StreamReader::new(pieces), self.max_bytes)));
                Ok(())
            }
        }
    }

    /// An answer that is not streamed: one JSON value, or several in a row.
    async fn body(&mut self, first: Bytes, mut pieces: Pieces) -> Result<(), ModelError> {
        let mut body = first.to_vec();
        while let Some(piece) = pieces.next().await {
            body.extend_from_slice(&piece.map_err(|_| ModelError::Cut)?);
            if body.len() > self.max_bytes {
                return Err(self.too_long.clone());
            }
        }
        for value in Deserializer::from_slice(&body).into_iter() {
            let values = match value.map_err(|_| malformed("a body that is no JSON"))? {
                Value::Array(values) => values,
                value => vec![value],
            };
            values.into_iter().for_each(|value| self.rewrite(value));
        }
        self.finish(true);
        Ok(())
    }

    async fn event(&mut self, mut events: Box<Sse<StreamReader<Pieces, Bytes>>>) -> Result<(), ModelError> {
        let data = loop {
            match events.next().await {
                Ok(Heard::Data(data)) => break data,
                Ok(Heard::Sign) => {}
                Ok(Heard::End(rest)) => {
                    if let Some(data) = rest {
                        self.take(data);
                    }
                    self.finish(false);
                    return Ok(());
                }
                Err(Broken::TooLarge(_)) => return Err(self.too_long.clone()),
                Err(Broken::NotText) => return Err(malformed("a line that is no UTF-8 text")),
                Err(Broken::Cut(_)) => return Err(ModelError::Cut),
            }
        };
        self.take(data);
        self.source = Source::Events(events);
        Ok(())
    }

    fn take(&mut self, data: String) {
        let data = data.trim();
        match serde_json::from_str(data) {
            Ok(event) => self.rewrite(event),
            // Of an event without a word nothing is to be read.
            Err(_) if data.is_empty() => {}
            Err(_) => self.ready.push_back(data.to_owned()),
        }
    }

    fn rewrite(&mut self, event: Value) {
        self.ready.extend(self.dialect.rewrite(event).into_iter().map(|event| event.to_string()));
    }

    fn finish(&mut self, is_body: bool) {
        if self.dialect.lacks_done(is_body) {
            self.ready.push_back(DONE.into());
        }
    }
}

fn malformed(what: &str) -> ModelError {
    ModelError::Malformed { what: what.into() }
}
