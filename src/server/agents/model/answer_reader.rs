//! Reads an answer of a model off the network: a stream of events, or one body where a server does not stream.
//!
//! Promises: one event has at most `max_bytes`, as has a body; each is rewritten in its provider's dialect; a web page in place
//! of an answer is an error; chat completions that said why they ended are whole, also without the last line `[DONE]`, where the
//! connection breaks then, and where it stays open; so are messages of Anthropic's API.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use serde_json::{Deserializer, Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
};

use super::{
    chat_chunks::{self, ChatChunks},
    error::ModelError,
    responses_events,
};
use crate::server::outbound::sse::{Broken, Heard, Sse};

/// What a stream of chat completions ends with.
const DONE: &str = "[DONE]";
/// How long to wait, after an answer said why it ended, for what may follow: the tokens that it used, and the end of the stream.
const USAGE_TIMEOUT: Duration = Duration::from_secs(2);

type Pieces = BoxStream<'static, io::Result<Bytes>>;
type Lines = FramedRead<StreamReader<Pieces, Bytes>, LinesCodec>;

/// How a provider's events are read. Each has all of an event in its data; Ollama's are lines.
#[derive(Debug)]
pub(super) enum Dialect {
    /// OpenAI's chat completions.
    Chat(ChatChunks),
    /// OpenAI's Responses API.
    Responses,
    /// Google's own API.
    Gemini,
    /// Anthropic's own API.
    Anthropic {
        /// It said why the message stopped.
        has_stop_reason: bool,
        /// Its last event came.
        is_stopped: bool,
    },
    /// Ollama's own API.
    Ollama {
        /// The key, which is kept out of errors.
        key: Option<String>,
        /// Whether the last line came.
        is_done: bool,
    },
}

impl Dialect {
    fn rewrite(&mut self, event: Value) -> Vec<Value> {
        match self {
            Self::Chat(chunks) => vec![chunks.rewrite(event)],
            Self::Responses => responses_events::rewrite(event),
            Self::Gemini | Self::Ollama { .. } => vec![event],
            Self::Anthropic { has_stop_reason, is_stopped } => {
                let events = if event["type"] == "message" { message_events(event) } else { vec![event] };
                for event in &events {
                    *has_stop_reason |= event["type"] == "message_delta" && event["delta"]["stop_reason"].is_string();
                    *is_stopped |= event["type"] == "message_stop";
                }
                events
            }
        }
    }

    /// The last event of an answer, where it is missing at the end of a stream or a body that has all the rest.
    fn missing_end(&self, is_body: bool) -> Option<String> {
        match self {
            // A body that is JSON to its end is whole, whatever it says of the reason.
            Self::Chat(chunks) if chunks.has_finish_reason() || (is_body && chunks.choices() > 0) => Some(DONE.into()),
            Self::Anthropic { has_stop_reason: true, is_stopped: false } => {
                Some(json!({"type": "message_stop"}).to_string())
            }
            _ => None,
        }
    }

    /// How many parts of the answer came, if it said why it ended. For the other APIs, whoever reads their events stops by itself.
    fn parts_of_whole(&self) -> Option<usize> {
        match self {
            Self::Chat(chunks) => chunks.has_finish_reason().then(|| chunks.choices()),
            Self::Anthropic { has_stop_reason, .. } => has_stop_reason.then_some(1),
            Self::Responses | Self::Gemini | Self::Ollama { .. } => None,
        }
    }

    /// Whether a body that has not ended has all of an answer.
    fn is_whole_body(&self, body: &[u8]) -> bool {
        let Ok(answer) = serde_json::from_slice::<Value>(body) else { return false };
        match self {
            Self::Chat(_) => answer["choices"][0].as_object().is_some_and(chat_chunks::has_finish_reason),
            Self::Anthropic { .. } => answer["stop_reason"].is_string(),
            Self::Responses | Self::Gemini | Self::Ollama { .. } => false,
        }
    }
}

/// The events of a message of Anthropic's that came as one body, but for the last.
fn message_events(mut message: Value) -> Vec<Value> {
    let blocks = match message["content"].take() {
        Value::Array(blocks) => blocks,
        _ => Vec::new(),
    };
    let last = json!({"type": "message_delta", "delta": {"stop_reason": message["stop_reason"].take()}});
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (index, mut block) in blocks.into_iter().enumerate() {
        // What comes in deltas is left out of the block's first event.
        let deltas = match block["type"].as_str() {
            Some("text") => {
                vec![json!({"type": "text_delta", "text": std::mem::replace(&mut block["text"], "".into())})]
            }
            Some("thinking") => vec![
                json!({"type": "thinking_delta", "thinking": std::mem::replace(&mut block["thinking"], "".into())}),
                json!({"type": "signature_delta", "signature": std::mem::replace(&mut block["signature"], "".into())}),
            ],
            Some("tool_use") => {
                let input = std::mem::replace(&mut block["input"], json!({}));
                vec![json!({"type": "input_json_delta", "partial_json": input.to_string()})]
            }
            _ => Vec::new(),
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        let deltas = deltas.into_iter();
        events.extend(deltas.map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(last);
    events
}

/// The data of an answer's events, or its lines; up to and with the last one, where the answer is whole. `too_long` is the error of
/// an event or a body with more than `max_bytes`.
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
    Lines(Box<Lines>),
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
                Source::Lines(lines) => self.line(lines).await,
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
            Some(b'<') => Err(malformed("a web page")),
            _ if matches!(self.dialect, Dialect::Ollama { .. }) => {
                let pieces = stream::once(async { Ok(first) }).chain(pieces).boxed();
                let lines = LinesCodec::new_with_max_length(self.max_bytes);
                self.source = Source::Lines(Box::new(FramedRead::new(StreamReader::new(pieces), lines)));
                Ok(())
            }
            Some(b'{' | b'[') => self.body(first, pieces).await,
            _ => {
                let pieces = stream::once(async { Ok(first) }).chain(pieces).boxed();
                self.source = Source::Events(Box::new(Sse::new(StreamReader::new(pieces), self.max_bytes)));
                Ok(())
            }
        }
    }

    /// Reads an answer that is not streamed: a body of one JSON value, or of several one after the other.
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
        self.ready.extend(self.dialect.missing_end(true));
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
                    self.ready.extend(self.dialect.missing_end(false));
                    return Ok(());
                }
                Ok(Err(Broken::TooLarge(_))) => return Err(self.too_long.clone()),
                // Models' answers are bounded by what they are read with, and take no room.
                Ok(Err(Broken::NoRoom(_))) => return Err(self.too_long.clone()),
                Ok(Err(Broken::NotText)) => return Err(malformed("a line that is no UTF-8 text")),
                Ok(Err(Broken::Cut(_))) if !is_whole => return Err(ModelError::Cut),
                // The answer is whole, and no more is said of it.
                Ok(Err(Broken::Cut(_))) | Err(_) => {
                    self.ready.extend(self.dialect.missing_end(false));
                    return Ok(());
                }
            }
        };
        self.take(data);
        self.source = Source::Events(events);
        Ok(())
    }

    /// The next line of Ollama's. One with an error ends the stream.
    async fn line(&mut self, mut lines: Box<Lines>) -> Result<(), ModelError> {
        let Dialect::Ollama { key, is_done } = &mut self.dialect else { return Ok(()) };
        let line = match lines.next().await {
            None if *is_done => return Ok(()),
            None => return Err(ModelError::Cut),
            Some(Ok(line)) => line,
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => return Err(self.too_long.clone()),
            Some(Err(LinesCodecError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(malformed("a line that is no UTF-8 text"));
            }
            Some(Err(LinesCodecError::Io(_))) => return Err(ModelError::Cut),
        };
        // What is no JSON, whoever reads the lines refuses.
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if said["error"].is_string() || said["error"].is_object() {
            return Err(ModelError::of_event(&said, key.as_deref()));
        }
        *is_done |= said["done"] == true;
        self.ready.extend(Some(line).filter(|line| !line.trim().is_empty()));
        self.source = Source::Lines(lines);
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
}

fn malformed(what: &str) -> ModelError {
    ModelError::Malformed { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"choices":[{"delta":{"content":"Whole."}}]}"#;
    const END: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const ANTHROPIC: Dialect = Dialect::Anthropic { has_stop_reason: false, is_stopped: false };
    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7}}"#;

    /// What comes after these pieces.
    #[derive(Clone, Copy)]
    enum Then {
        Ended,
        Cut,
        StaysOpen,
        /// It stays open, with a comment each second.
        Comments,
    }

    /// The data of a chat completion's events, or the error, and how long it took.
    async fn read(pieces: Vec<String>, then: Then) -> (Vec<Result<String, ModelError>>, Duration) {
        read_as(Dialect::Chat(ChatChunks::default()), pieces, then).await
    }

    async fn read_as(dialect: Dialect, pieces: Vec<String>, then: Then) -> (Vec<Result<String, ModelError>>, Duration) {
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece))));
        let pieces = match then {
            Then::Ended => pieces.boxed(),
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
        let events = events(dialect, pieces, 1024, too_long);
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

    #[tokio::test(start_paused = true)]
    async fn a_message_of_anthropic_that_is_not_streamed_becomes_its_events() {
        let message = json!({
            "id": "m", "type": "message", "role": "assistant", "stop_reason": "tool_use",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "signed"},
                {"type": "redacted_thinking", "data": "secret"},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "it"}},
            ],
            "usage": {"input_tokens": 20, "output_tokens": 9},
        });
        for then in [Then::Ended, Then::Cut, Then::StaysOpen] {
            let (read, _) = read_as(ANTHROPIC, vec![message.to_string()], then).await;
            let events: Vec<Value> =
                read.into_iter().map(|event| serde_json::from_str(&event.expect("an event")).expect("JSON")).collect();
            let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
            let ends = ["message_start", "message_delta", "message_stop"];
            let blocks: Vec<_> = kinds.iter().filter(|kind| !ends.contains(kind)).collect();
            assert_eq!((kinds[0], &kinds[kinds.len() - 2..], blocks.len()), (ends[0], &ends[1..], 12), "{kinds:?}");
            assert_eq!(events[0]["message"]["usage"]["input_tokens"], 20);
            assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
            let deltas = events.iter().filter(|event| event["type"] == "content_block_delta");
            let deltas: Vec<&Value> = deltas.map(|event| &event["delta"]).collect();
            assert_eq!((&deltas[0]["thinking"], &deltas[1]["signature"]), (&json!("hm"), &json!("signed")));
            let (text, input) = (json!("Looking."), json!("{\"at\":\"it\"}"));
            assert_eq!((&deltas[2]["text"], &deltas[3]["partial_json"]), (&text, &input));
            let tool = json!({"type": "tool_use", "id": "t", "name": "look", "input": {}});
            assert!(events.iter().any(|event| event["index"] == 3 && event["content_block"] == tool), "{events:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_of_anthropic_that_said_why_it_stopped_is_whole() {
        const REASON: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
        const STOP: &str = r#"{"type":"message_stop"}"#;
        for then in [Then::Ended, Then::Cut, Then::StaysOpen] {
            let (read, _) = read_as(ANTHROPIC, stream_of(&[REASON]), then).await;
            assert_eq!(read, data(&[REASON, STOP]));
        }
        let (read, _) = read_as(ANTHROPIC, stream_of(&[REASON, STOP]), Then::Ended).await;
        assert_eq!(read, data(&[REASON, STOP]), "said once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_among_the_lines_of_ollama_is_told_with_its_words() {
        const LINE: &str = r#"{"message":{"content":"Hel"},"done":false}"#;
        const DONE_LINE: &str = r#"{"message":{"content":"lo"},"done":true}"#;
        let dialect = || Dialect::Ollama { key: Some("sk-of-the-tests".into()), is_done: false };
        let lines = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>();
        let error = r#"{"error":"model runner has stopped, sk-of-the-tests"}"#;
        let (read, _) = read_as(dialect(), lines(&[LINE, error]), Then::StaysOpen).await;
        let excerpt = "model runner has stopped, …".to_owned();
        assert_eq!(read, [Ok(LINE.to_owned()), Err(ModelError::Refused { status: None, excerpt })]);
        let (read, _) = read_as(dialect(), lines(&[LINE, DONE_LINE]), Then::Ended).await;
        assert_eq!(read, data(&[LINE, DONE_LINE]));
        let (read, _) = read_as(dialect(), lines(&[LINE]), Then::Ended).await;
        assert_eq!(read, [Ok(LINE.to_owned()), Err(ModelError::Cut)], "it never said that it was done");
    }
}
