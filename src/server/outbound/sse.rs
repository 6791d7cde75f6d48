//! Reads server-sent events from a stream of bytes, every buffer bounded.
//!
//! `data:` lines are joined up to the blank line that ends their event; comments and other fields only show that the connection
//! is alive. Lines end with LF or CRLF, and the stream may be cut anywhere. Data at the end without a blank line after it are reported
//! separately: AG-UI's own client accepts them, but they may be incomplete. An event is held in memory once.

use std::{io, mem};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::memory::{MemoryBudget, MemoryError, MemoryUse};

/// What [`Sse::next`] read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SseItem {
    /// An event's data.
    Data(String),
    /// Anything else: a comment, a blank line, another field, a part of an event.
    KeepAlive,
    /// The end, with data that no blank line followed.
    End(Option<String>),
}

/// Why a stream cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SseError {
    /// An event is larger than allowed.
    #[error("an event may have at most {0} bytes, this one has more")]
    TooLarge(usize),
    /// A line is not UTF-8.
    #[error("a line is not UTF-8 text")]
    NotText,
    /// The memory for large events is used by other runs.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The connection failed.
    #[error("{0}")]
    Disconnected(io::Error),
}

/// A stream of server-sent events.
#[derive(Debug)]
pub(crate) struct Sse<R> {
    from: BufReader<R>,
    /// The current line so far, without its end.
    line: Vec<u8>,
    data: Option<String>,
    begun: bool,
    max_bytes: usize,
    memory: Option<MemoryUse>,
}

impl<R: AsyncRead + Unpin> Sse<R> {
    /// Reads events with at most `max_bytes` of data each.
    pub(crate) fn new(from: R, max_bytes: usize) -> Self {
        let (from, line) = (BufReader::new(from), Vec::new());
        Self { from, line, data: None, begun: false, max_bytes, memory: None }
    }

    /// Reserves the memory of large events from a budget, until [`Sse::release`].
    pub(crate) fn with_budget(self, budget: &'static MemoryBudget) -> Self {
        Self { memory: Some(budget.empty()), ..self }
    }

    /// Releases the memory of the last event.
    pub(crate) fn release(&mut self) {
        let bytes = self.bytes();
        self.memory.iter_mut().for_each(|memory| memory.shrink(bytes));
    }

    /// Reads the next item. Cancel-safe.
    ///
    /// # Errors
    /// If the stream cannot be read further.
    pub(crate) async fn next(&mut self) -> Result<SseItem, SseError> {
        let Some(line) = self.next_line().await? else { return Ok(SseItem::End(self.data.take())) };
        let line = match line.strip_prefix('\u{feff}').filter(|_| !self.begun) {
            Some(line) => line.to_owned(),
            None => line,
        };
        self.begun = true;
        if line.is_empty() {
            return Ok(self.data.take().map_or(SseItem::KeepAlive, SseItem::Data));
        }
        let Some(value) = value_of(line, "data") else { return Ok(SseItem::KeepAlive) };
        match &mut self.data {
            None => self.data = Some(value),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        if self.data.as_ref().is_some_and(|data| data.len() > self.max_bytes) {
            return Err(SseError::TooLarge(self.max_bytes));
        }
        Ok(SseItem::KeepAlive)
    }

    /// The next line without its end; `None` at the end of the stream.
    async fn next_line(&mut self) -> Result<Option<String>, SseError> {
        loop {
            let piece = self.from.fill_buf().await.map_err(SseError::Disconnected)?;
            if piece.is_empty() {
                let rest = mem::take(&mut self.line);
                return if rest.is_empty() { Ok(None) } else { text(rest).map(Some) };
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(piece.len());
            let bytes = self.line.len() + length + self.data.as_ref().map_or(0, String::len);
            if self.line.len() + length > self.max_bytes + "data: \r".len() {
                return Err(SseError::TooLarge(self.max_bytes));
            }
            if let Some(memory) = &mut self.memory {
                memory.grow(bytes).await?;
            }
            // Still buffered: waiting for memory has consumed nothing.
            let piece = self.from.fill_buf().await.map_err(SseError::Disconnected)?;
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

fn text(mut line: Vec<u8>) -> Result<String, SseError> {
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map_err(|_| SseError::NotText)
}

/// The value of a line with this field, extracted in place.
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

    /// The items of a stream other than keep-alives, arriving in pieces that end at these offsets.
    async fn read_all(text: &[u8], cuts: &[usize], max: usize) -> Result<Vec<SseItem>, SseError> {
        let (mut far, near) = duplex(64 * 1024);
        let mut sse = Sse::new(near, max);
        let mut from = 0;
        let mut pieces: Vec<usize> = cuts.iter().copied().filter(|cut| *cut <= text.len()).collect();
        pieces.extend([text.len()]);
        pieces.sort_unstable();
        let write = async move {
            for to in pieces {
                far.write_all(&text[from..to]).await.expect("the bytes are sent");
                from = to;
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let mut all = Vec::new();
            loop {
                match sse.next().await? {
                    SseItem::KeepAlive => {}
                    SseItem::End(rest) => {
                        all.push(SseItem::End(rest));
                        return Ok(all);
                    }
                    data => all.push(data),
                }
            }
        };
        tokio::join!(write, read).1
    }

    fn data(text: &str) -> SseItem {
        SseItem::Data(text.into())
    }

    #[tokio::test]
    async fn data_lines_are_joined_and_everything_else_is_a_keep_alive() {
        let text = "\u{feff}data: a\r\n\r\n: ping\n\nevent: x\nid: 7\nretry: 5\ndata:b\ndata:  c\ndata\n\ndatabase: no\n\ndata: d";
        let said = read_all(text.as_bytes(), &[], 100).await.expect("the stream is read");
        assert_eq!(said, [data("a"), data("b\n c\n"), SseItem::End(Some("d".into()))]);
    }

    #[tokio::test]
    async fn the_size_of_an_event_is_limited_in_one_line_and_over_several() {
        let exact = format!("data: {}\r\n\r\n", "x".repeat(100));
        assert_eq!(read_all(exact.as_bytes(), &[], 100).await.expect("the stream is read").len(), 2);
        for text in [format!("data: {}\n\n", "x".repeat(101)), "data: 1234567\n".repeat(20), "y".repeat(10_000)] {
            let broken = read_all(text.as_bytes(), &[], 100).await.expect_err("is too large");
            assert_eq!(broken.to_string(), "an event may have at most 100 bytes, this one has more");
        }
    }

    #[tokio::test]
    async fn large_events_wait_for_memory_and_release_it() {
        let budget: &'static MemoryBudget = Box::leak(Box::new(MemoryBudget::new(4 * 1024, Duration::from_millis(50))));
        let text = format!("data: {0}\n\ndata: {0}\n\n", "x".repeat(600 * 1024)).into_bytes();
        let mut first = Sse::new(&text[..], 1024 * 1024).with_budget(budget);
        let mut second = Sse::new(&text[..], 1024 * 1024).with_budget(budget);
        assert_eq!(first.next().await.expect("there is memory for the event"), SseItem::KeepAlive);
        let broken = second.next().await.expect_err("there is no memory for the event");
        assert!(matches!(broken, SseError::Memory(_)) && broken.to_string().contains("ask again"), "{broken}");
        assert!(matches!(first.next().await, Ok(SseItem::Data(_))));
        first.release();
        let mut third = Sse::new(&text[..], 1024 * 1024).with_budget(budget);
        assert_eq!(third.next().await.expect("there is memory for the event"), SseItem::KeepAlive);
        assert!(matches!(first.next().await, Err(SseError::Memory(_))), "the next event needs memory again");
        drop(third);
        assert_eq!(
            first.next().await.expect("there is memory for the event"),
            SseItem::KeepAlive,
            "and what was read of it is kept"
        );
        assert!(matches!(first.next().await, Ok(SseItem::Data(data)) if data.len() == 600 * 1024));
    }

    #[tokio::test(start_paused = true)]
    async fn comments_keep_no_memory_and_a_slow_event_keeps_it_for_a_limited_time() {
        let budget: &'static MemoryBudget = Box::leak(Box::new(MemoryBudget::new(4 * 1024, Duration::from_millis(50))));
        let comment = format!(":{}\n", "x".repeat(600 * 1024)).into_bytes();
        let mut first = Sse::new(&comment[..], 1024 * 1024).with_budget(budget);
        assert_eq!(first.next().await.expect("there is memory for the event"), SseItem::KeepAlive);
        first.release();
        let event = format!("data: {}\n\n", "x".repeat(600 * 1024)).into_bytes();
        let mut second = Sse::new(&event[..], 1024 * 1024).with_budget(budget);
        assert_eq!(second.next().await.expect("there is memory for the event"), SseItem::KeepAlive);
        drop(second);

        let (mut far, near) = duplex(1024 * 1024);
        let mut slow = Sse::new(near, 1024 * 1024).with_budget(budget);
        far.write_all(format!("data: {}\n", "x".repeat(600 * 1024)).as_bytes()).await.expect("the bytes are sent");
        assert_eq!(slow.next().await.expect("there is memory for the event"), SseItem::KeepAlive);
        tokio::time::advance(Duration::from_secs(121)).await;
        far.write_all(b"data: more\n").await.expect("the bytes are sent");
        let broken = slow.next().await.expect_err("the event took too long").to_string();
        assert!(broken.contains("did not arrive completely"), "{broken}");
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf_8_are_refused() {
        let broken = read_all(b"data: \xff\xfe\n\n", &[], 100).await.expect_err("is not text");
        assert!(matches!(broken, SseError::NotText), "{broken}");
    }

    proptest! {
        #[test]
        fn the_offsets_of_the_pieces_do_not_matter(cuts in prop::collection::vec(0..60usize, 0..8), crlf: bool) {
            let text = "data: {\"ä\":\"€𝄞\"}\n\n: ö\ndata: 1\ndata: 2\n\ndata: ü\n\n";
            let text = if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let said = runtime.block_on(read_all(text.as_bytes(), &cuts, 100)).expect("the stream is read");
            prop_assert_eq!(said, [data("{\"ä\":\"€𝄞\"}"), data("1\n2"), data("ü"), SseItem::End(None)]);
        }
    }
}
