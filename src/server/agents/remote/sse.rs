//! Reads server-sent events from a stream of bytes, every buffer bounded.
//!
//! `data:` lines are joined up to the blank line that ends their event; comments and other fields are signs of life and
//! nothing more. Lines end with LF or CRLF, characters may be cut anywhere. What stands at the end without a blank line after
//! it is told apart: AG-UI's own client still takes it, but it may be half of something.

use std::io;

use futures_util::StreamExt;
use tokio::io::AsyncRead;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The next thing in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An event's data.
    Data(String),
    /// Something else: a comment, a blank line, another field, a part of an event.
    Sign,
    /// The end, with what no blank line followed.
    End(Option<String>),
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// An event is larger than allowed.
    #[error("an event has at most {0} bytes, this one has more")]
    TooLarge(usize),
    /// A line is no UTF-8.
    #[error("a line is no UTF-8 text")]
    NotText,
    /// The connection died.
    #[error("{0}")]
    Cut(io::Error),
}

/// A stream of server-sent events.
#[derive(Debug)]
pub(crate) struct Sse<R> {
    lines: FramedRead<R, LinesCodec>,
    data: Option<String>,
    begun: bool,
    max_bytes: usize,
}

impl<R: AsyncRead + Unpin> Sse<R> {
    /// Reads events whose data have at most `max_bytes`.
    pub(crate) fn new(from: R, max_bytes: usize) -> Self {
        let lines = FramedRead::new(from, LinesCodec::new_with_max_length(max_bytes + "data: \r".len()));
        Self { lines, data: None, begun: false, max_bytes }
    }

    /// The next thing. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Where nothing more can be read.
    pub(crate) async fn next(&mut self) -> Result<Heard, Broken> {
        let line = match self.lines.next().await {
            None => return Ok(Heard::End(self.data.take())),
            Some(Ok(line)) => line,
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => return Err(Broken::TooLarge(self.max_bytes)),
            Some(Err(LinesCodecError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Broken::NotText);
            }
            Some(Err(LinesCodecError::Io(error))) => return Err(Broken::Cut(error)),
        };
        let line = if self.begun { &line } else { line.trim_start_matches('\u{feff}') };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.data.take().map_or(Heard::Sign, Heard::Data));
        }
        let Some(value) = line.strip_prefix("data").filter(|rest| rest.is_empty() || rest.starts_with(':')) else {
            return Ok(Heard::Sign);
        };
        let value = value.strip_prefix(':').unwrap_or(value);
        let value = value.strip_prefix(' ').unwrap_or(value);
        let data = match self.data.take() {
            None => value.to_owned(),
            Some(before) => before + "\n" + value,
        };
        if data.len() > self.max_bytes {
            return Err(Broken::TooLarge(self.max_bytes));
        }
        self.data = Some(data);
        Ok(Heard::Sign)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// What a stream says besides signs of life, arriving in pieces that end at these places.
    async fn heard(text: &[u8], cuts: &[usize], max: usize) -> Result<Vec<Heard>, Broken> {
        let (mut far, near) = duplex(64 * 1024);
        let mut sse = Sse::new(near, max);
        let mut from = 0;
        let mut pieces: Vec<usize> = cuts.iter().copied().filter(|cut| *cut <= text.len()).collect();
        pieces.extend([text.len()]);
        pieces.sort_unstable();
        let write = async move {
            for to in pieces {
                far.write_all(&text[from..to]).await.expect("writes");
                from = to;
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let mut all = Vec::new();
            loop {
                match sse.next().await? {
                    Heard::Sign => {}
                    Heard::End(rest) => {
                        all.push(Heard::End(rest));
                        return Ok(all);
                    }
                    data => all.push(data),
                }
            }
        };
        tokio::join!(write, read).1
    }

    fn data(text: &str) -> Heard {
        Heard::Data(text.into())
    }

    #[tokio::test]
    async fn data_lines_are_joined_and_all_else_is_a_sign_of_life() {
        let text = "\u{feff}data: a\r\n\r\n: ping\n\nevent: x\nid: 7\nretry: 5\ndata:b\ndata:  c\ndata\n\ndatabase: no\n\ndata: d";
        let said = heard(text.as_bytes(), &[], 100).await.expect("reads");
        assert_eq!(said, [data("a"), data("b\n c\n"), Heard::End(Some("d".into()))]);
    }

    #[tokio::test]
    async fn an_event_is_bounded_in_one_line_and_over_several() {
        let exact = format!("data: {}\r\n\r\n", "x".repeat(100));
        assert_eq!(heard(exact.as_bytes(), &[], 100).await.expect("fits").len(), 2);
        for text in [format!("data: {}\n\n", "x".repeat(101)), "data: 1234567\n".repeat(20), "y".repeat(10_000)] {
            let broken = heard(text.as_bytes(), &[], 100).await.expect_err("is too large");
            assert_eq!(broken.to_string(), "an event has at most 100 bytes, this one has more");
        }
    }

    #[tokio::test]
    async fn what_is_no_text_is_refused() {
        let broken = heard(b"data: \xff\xfe\n\n", &[], 100).await.expect_err("is no text");
        assert!(matches!(broken, Broken::NotText), "{broken}");
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(cuts in prop::collection::vec(0..60usize, 0..8), crlf: bool) {
            let text = "data: {\"ä\":\"€𝄞\"}\n\n: ö\ndata: 1\ndata: 2\n\ndata: ü\n\n";
            let text = if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let said = runtime.block_on(heard(text.as_bytes(), &cuts, 100)).expect("reads");
            prop_assert_eq!(said, [data("{\"ä\":\"€𝄞\"}"), data("1\n2"), data("ü"), Heard::End(None)]);
        }
    }
}
