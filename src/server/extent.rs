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

/// Counts what is written to it.
#[derive(Default)]
struct Count {
    extent: Extent,
    open: usize,
    in_text: bool,
    escaped: bool,
}

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extent.bytes += bytes.len();
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => {
                    self.open += 1;
                    self.extent.depth = self.extent.depth.max(self.open);
                }
                b'}' | b']' if !self.in_text => self.open -= 1,
                _ => {}
            }
        }
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
        let cases = [(json!(1), 0), (json!([]), 1), (json!({"a": [{"b": 1}], "c": []}), 3), (json!("[{\"\\[["), 0)];
        for (value, depth) in cases {
            assert_eq!(extent(&value), Extent { bytes: value.to_string().len(), depth }, "{value}");
        }
    }
}
