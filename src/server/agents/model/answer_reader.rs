//! Reads an answer of a model off the network: a stream of events, or one body where a server does not stream.
//!
//! Promises: one event has at most `max_bytes`, as has a body; each is rewritten in its provider's dialect; a web page in place
//! of an answer is an error; chat completions that said why they ended are whole, also without the last line `[DONE]`, where the
//! connection breaks then, and where it stays open.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::{Deserializer, Value};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::io::StreamReader;

use super::{
    chat_chunks::{self, ChatChunks},
    error::ModelError,
    responses_events,
};
use crate::server::agents::remote::sse::{Broken, Heard, Sse};

/// What a stream of chat completions ends with.
const DONE: &str = "[DONE]";
/// How long to wait, after an answer said why it ended, for what may follow: the tokens that it used, and the end of the stream.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

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
            Self::Chat(chunks) => chunks.has_finish_reason() || (is_body && chunks.choices() > 0),
            Self::Responses | Self::Gemini => false,
        }
    }

    /// How many parts of the answer came, if it said why it ended. For the other APIs, whoever reads their events stops by itself.
    fn parts_of_whole(&self) -> Option<usize> {
        match self {
            Self::Chat(chunks) => chunks.has_finish_reason().then(|| chunks.choices()),
            Self::Responses | Self::Gemini => None,
        }
    }

    /// Whether a body that has not ended has all of an answer.
    fn is_whole_body(&self, body: &[u8]) -> bool {
        let is_whole = |answer: Value| answer["choices"][0].as_object().is_some_and(chat_chunks::has_finish_reason);
        matches!(self, Self::Chat(_)) && serde_json::from_slice(body).is_ok_and(is_whole)
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
    let reader = AnswerReader {
        source: Source::New(pieces.boxed()),
        dialect,
        ready: VecDeque::new(),
        ends_at: None,
        max_bytes,
        too_long,
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
    dialect: Dialect,
    /// Events that were read and not handed on yet.
    ready: VecDeque<String>,
    /// When to wait no longer for what follows an answer that said why it ended; `None` while nobody waits for that.
    ends_at: Option<Instant>,
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
        let mut is_cut = false;
        loop {
            match timeout(USAGE_TIMEOUT, pieces.next()).await {
                Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
                Ok(Some(Err(_))) => {
                    is_cut = true;
                    break;
                }
                Ok(None) => break,
                Err(_) if self.dialect.is_whole_body(&body) => break,
                Err(_) => {}
            }
            if body.len() > self.max_bytes {
                return Err(self.too_long.clone());
            }
        }
        let broken = || if is_cut { ModelError::Cut } else { malformed("a body that is no JSON") };
        for value in Deserializer::from_slice(&body).into_iter() {
            let values = match value.map_err(|_| broken())? {
                Value::Array(values) => values,
                value => vec![value],
            };
            values.into_iter().for_each(|value| self.rewrite(value));
        }
        self.finish(true);
        Ok(())
    }

    async fn event(&mut self, mut events: Box<Sse<StreamReader<Pieces, Bytes>>>) -> Result<(), ModelError> {
        let is_whole = self.dialect.parts_of_whole().is_some();
        let data = loop {
            let next = match is_whole {
                true => {
                    let ends_at = *self.ends_at.get_or_insert_with(|| Instant::now() + USAGE_TIMEOUT);
                    timeout_at(ends_at, events.next()).await
                }
                false => Ok(events.next().await),
            };
            match next {
                Ok(Ok(Heard::Data(data))) => break data,
                Ok(Ok(Heard::Sign)) => {}
                Ok(Ok(Heard::End(rest))) => {
                    if let Some(data) = rest {
                        self.take(data);
                    }
                    self.finish(false);
                    return Ok(());
                }
                Ok(Err(Broken::TooLarge(_))) => return Err(self.too_long.clone()),
                Ok(Err(Broken::NotText)) => return Err(malformed("a line that is no UTF-8 text")),
                Ok(Err(Broken::Cut(_))) if !is_whole => return Err(ModelError::Cut),
                // The answer is whole, and no more is said of it.
                Ok(Err(Broken::Cut(_))) | Err(_) => {
                    self.finish(false);
                    return Ok(());
                }
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
        let parts = self.dialect.parts_of_whole();
        self.ready.extend(self.dialect.rewrite(event).into_iter().map(|event| event.to_string()));
        // Some servers give a reason in every chunk, so each one that has a part of the answer begins the wait again.
        if self.dialect.parts_of_whole() > parts {
            self.ends_at = None;
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = r#"{"choices":[{"delta":{"content":"Whole."}}]}"#;
    const END: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7}}"#;

    /// What comes after these pieces.
    #[derive(Clone, Copy)]
    enum Then {
        Cut,
        StaysOpen,
        /// It stays open, with a comment each second.
        Comments,
    }

    /// The data of a chat completion's events, or the error, and how long it took.
    async fn read(pieces: Vec<String>, then: Then) -> (Vec<Result<String, ModelError>>, Duration) {
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
        let pieces = match then {
            Then::Cut => pieces.chain(stream::iter([Err(io::Error::other("reset"))])).boxed(),
            Then::StaysOpen => pieces.chain(stream::pending()).boxed(),
            Then::Comments => {
                let comment = || async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Some((Ok(Bytes::from_static(b": ping\n\n")), ()))
                };
                pieces.chain(stream::unfold((), move |()| comment())).boxed()
            }
        };
        let too_long = ModelError::TooLong { what: "1 KiB".into() };
        let begun = Instant::now();
        let events = events(Dialect::Chat(ChatChunks::default()), pieces, 1024, too_long);
        let events = timeout(Duration::from_secs(60), events.collect()).await.expect("it ends");
        (events, begun.elapsed())
    }

    fn stream_of(events: &[&str]) -> Vec<String> {
        events.iter().map(|event| format!("data: {event}\n\n")).collect()
    }

    /// The data that is expected, in the form in which it is rewritten.
    fn data(events: &[&str]) -> Vec<Result<String, ModelError>> {
        let same =
            |event: &&str| Ok(serde_json::from_str::<Value>(event).map_or((*event).into(), |event| event.to_string()));
        events.iter().map(same).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_said_why_it_ended_is_whole_whatever_the_connection_does() {
        for then in [Then::Cut, Then::StaysOpen, Then::Comments] {
            for events in [&[TEXT, END][..], &[TEXT, END, USAGE]] {
                let (read, took) = read(stream_of(events), then).await;
                assert_eq!(read, data(&[events, &[DONE]].concat()));
                assert!(took < USAGE_TIMEOUT * 2, "{took:?}");
            }
        }
        let (read, _) = read(stream_of(&[TEXT]), Then::Cut).await;
        assert_eq!(read.last(), Some(&Err(ModelError::Cut)), "nothing said that it ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_in_every_chunk_does_not_end_an_answer_while_it_goes_on() {
        let part = r#"{"choices":[{"delta":{"content":"More."},"finish_reason":"stop"}]}"#;
        let parts = stream::iter(stream_of(&[part; 5])).then(|piece| async {
            tokio::time::sleep(USAGE_TIMEOUT * 3 / 4).await;
            Ok(Bytes::from(piece))
        });
        let too_long = ModelError::TooLong { what: "1 KiB".into() };
        let events = events(Dialect::Chat(ChatChunks::default()), parts.chain(stream::pending()), 1024, too_long);
        assert_eq!(events.collect::<Vec<_>>().await, data(&[part, part, part, part, part, DONE]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_whole_is_taken_whatever_the_connection_does() {
        let message = json!({"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}).to_string();
        let (one, two) = message.split_at(20);
        for then in [Then::Cut, Then::StaysOpen] {
            let (read, took) = read(vec![one.into(), two.into()], then).await;
            assert_eq!(read.last(), Some(&Ok(DONE.to_owned())), "{read:?}");
            assert!(read.len() == 2 && took < USAGE_TIMEOUT * 2, "{read:?} after {took:?}");
        }
        let (read, _) = read(vec![one.into()], Then::Cut).await;
        assert_eq!(read, [Err(ModelError::Cut)]);
    }
}
