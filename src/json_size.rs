//! How large and how deep something is as JSON, without writing it anywhere.

use std::io;

/// The extent of a value as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Levels of objects and arrays.
    pub(crate) depth: usize,
}

/// How large and how deep a value is. What cannot be written at all is as bad as what is too large.
pub(crate) fn extent(value: &impl serde::Serialize) -> Extent {
    let mut count = Count::default();
    let beyond = Extent { bytes: usize::MAX / 2, depth: usize::MAX / 2 };
    serde_json::to_writer(&mut count, value).map_or(beyond, |()| count.extent)
}

/// How many values a text holds as JSON, before it is parsed: its brackets, commas and colons, which are about one for each
/// value and each field's name.
pub(crate) fn values(text: &[u8]) -> usize {
    let mut count = Count::default();
    count.add(text);
    count.values
}

/// Counts what is written to it.
#[derive(Default)]
struct Count {
    extent: Extent,
    values: usize,
    open: usize,
    in_text: bool,
    escaped: bool,
}

impl Count {
    fn add(&mut self, bytes: &[u8]) {
        self.extent.bytes += bytes.len();
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => {
                    self.open += 1;
                    self.values += 1;
                    self.extent.depth = self.extent.depth.max(self.open);
                }
                b'}' | b']' if !self.in_text => self.open = self.open.saturating_sub(1),
                b',' | b':' if !self.in_text => self.values += 1,
                _ => {}
            }
        }
    }
}

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_count_outside_of_texts() {
        let cases = [
            (json!(1), 0, 0),
            (json!([]), 1, 1),
            (json!({"a": [{"b": 1}], "c": []}), 3, 8),
            (json!("[{\"\\[[,:"), 0, 0),
        ];
        for (value, depth, count) in cases {
            assert_eq!(extent(&value), Extent { bytes: value.to_string().len(), depth }, "{value}");
            assert_eq!(values(value.to_string().as_bytes()), count, "{value}");
        }
        assert_eq!(values(b"]]}[1,2"), 2, "what is no JSON is counted as well as it can be");
    }
}
