//! Reads server-sent events from a stream of bytes, every buffer bounded.
//!
//! `data:` lines are joined up to the blank line that ends their event; comments and other fields are signs of life and
//! nothing more. Lines end with LF or CRLF, characters may be cut anywhere. What stands at the end without a blank line after
//! it is told apart: AG-UI's own client still takes it, but it may be half of something. An event is held once: its line
//! becomes its text.

use std::{io, mem};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::memory::{Held, NoRoom, Room};

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
    /// Large events of other runs take all the memory that there is for them.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The connection died.
    #[error("{0}")]
    Cut(io::Error),
}

/// A stream of server-sent events.
#[derive(Debug)]
pub(crate) struct Sse<R> {
    from: BufReader<R>,
    /// The line that is being read, without its end.
    line: Vec<u8>,
    data: Option<String>,
    begun: bool,
    max_bytes: usize,
    held: Option<Held>,
}

impl<R: AsyncRead + Unpin> Sse<R> {
    /// Reads events whose data have at most `max_bytes`.
    pub(crate) fn new(from: R, max_bytes: usize) -> Self {
        let (from, line) = (BufReader::new(from), Vec::new());
        Self { from, line, data: None, begun: false, max_bytes, held: None }
    }

    /// The same, which takes from a room what large events need, until [`Sse::release`].
    pub(crate) fn within(self, room: &'static Room) -> Self {
        Self { held: Some(room.none()), ..self }
    }

    /// What was read last is not held any more.
    pub(crate) fn release(&mut self) {
        let bytes = self.bytes();
        self.held.iter_mut().for_each(|held| held.shrink(bytes));
    }

    /// The next thing. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Where nothing more can be read.
    pub(crate) async fn next(&mut self) -> Result<Heard, Broken> {
        let Some(line) = self.next_line().await? else { return Ok(Heard::End(self.data.take())) };
        let line = match line.strip_prefix('\u{feff}').filter(|_| !self.begun) {
            Some(line) => line.to_owned(),
            None => line,
        };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.data.take().map_or(Heard::Sign, Heard::Data));
        }
        let Some(value) = value_of(line, "data") else { return Ok(Heard::Sign) };
        match &mut self.data {
            None => self.data = Some(value),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        if self.data.as_ref().is_some_and(|data| data.len() > self.max_bytes) {
            return Err(Broken::TooLarge(self.max_bytes));
        }
        Ok(Heard::Sign)
    }

    /// The next line without its end; nothing after the last.
    async fn next_line(&mut self) -> Result<Option<String>, Broken> {
        loop {
            let piece = self.from.fill_buf().await.map_err(Broken::Cut)?;
            if piece.is_empty() {
                let rest = mem::take(&mut self.line);
                return if rest.is_empty() { Ok(None) } else { text(rest).map(Some) };
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(piece.len());
            let bytes = self.line.len() + length + self.data.as_ref().map_or(0, String::len);
            if self.line.len() + length > self.max_bytes + "data: \r".len() {
                return Err(Broken::TooLarge(self.max_bytes));
            }
            if let Some(held) = &mut self.held {
                held.grow(bytes).await?;
            }
            // There already: what was waited for above took nothing out of it.
            let piece = self.from.fill_buf().await.map_err(Broken::Cut)?;
            self.line.extend_from_slice(&piece[..length]);
            self.from.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return text(mem::take(&mut self.line)).map(Some);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, String::len)
    }
}

fn text(mut line: Vec<u8>) -> Result<String, Broken> {
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map_err(|_| Broken::NotText)
}

/// The value of a line that is this field, cut out in place.
fn value_of(mut line: String, field: &str) -> Option<String> {
    let rest = line.strip_prefix(field)?;
    let rest = match rest.strip_prefix(':') {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None if rest.is_empty() => rest,
        None => return None,
    };
    let from = line.len() - rest.len();
    line.drain(..from);
    Some(line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    async fn large_events_wait_for_room_and_give_it_back() {
        let room: &'static Room = Box::leak(Box::new(Room::new(4 * 1024, Duration::from_millis(50))));
        let text = format!("data: {0}\n\ndata: {0}\n\n", "x".repeat(600 * 1024)).into_bytes();
        let mut first = Sse::new(&text[..], 1024 * 1024).within(room);
        let mut second = Sse::new(&text[..], 1024 * 1024).within(room);
        assert_eq!(first.next().await.expect("has room"), Heard::Sign);
        let broken = second.next().await.expect_err("has none");
        assert!(matches!(broken, Broken::NoRoom(_)) && broken.to_string().contains("ask again"), "{broken}");
        assert!(matches!(first.next().await, Ok(Heard::Data(_))));
        first.release();
        let mut third = Sse::new(&text[..], 1024 * 1024).within(room);
        assert_eq!(third.next().await.expect("has room"), Heard::Sign);
        assert!(matches!(first.next().await, Err(Broken::NoRoom(_))), "what is read next needs room again");
        drop(third);
        assert_eq!(first.next().await.expect("has room"), Heard::Sign, "and what was read of it is not lost");
        assert!(matches!(first.next().await, Ok(Heard::Data(data)) if data.len() == 600 * 1024));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_event_keeps_no_room_and_an_event_that_comes_slowly_keeps_it_for_a_while() {
        let room: &'static Room = Box::leak(Box::new(Room::new(4 * 1024, Duration::from_millis(50))));
        let comment = format!(":{}\n", "x".repeat(600 * 1024)).into_bytes();
        let mut first = Sse::new(&comment[..], 1024 * 1024).within(room);
        assert_eq!(first.next().await.expect("has room"), Heard::Sign);
        first.release();
        let event = format!("data: {}\n\n", "x".repeat(600 * 1024)).into_bytes();
        let mut second = Sse::new(&event[..], 1024 * 1024).within(room);
        assert_eq!(second.next().await.expect("has room"), Heard::Sign);
        drop(second);

        let (mut far, near) = duplex(1024 * 1024);
        let mut slow = Sse::new(near, 1024 * 1024).within(room);
        far.write_all(format!("data: {}\n", "x".repeat(600 * 1024)).as_bytes()).await.expect("writes");
        assert_eq!(slow.next().await.expect("has room"), Heard::Sign);
        tokio::time::advance(Duration::from_secs(121)).await;
        far.write_all(b"data: more\n").await.expect("writes");
        let broken = slow.next().await.expect_err("took too long").to_string();
        assert!(broken.contains("did not arrive whole"), "{broken}");
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
