//! How large and how deeply nested a value is as JSON, counted without building the JSON.

use std::io;

/// Size and nesting of a value as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Length in bytes.
    pub(crate) bytes: usize,
    /// Levels of nested objects and arrays.
    pub(crate) depth: usize,
}

/// Measures a value. One that cannot be serialised counts as larger than any limit.
pub(crate) fn extent(value: &impl serde::Serialize) -> Extent {
    let mut count = Count::default();
    let beyond = Extent { bytes: usize::MAX / 2, depth: usize::MAX / 2 };
    serde_json::to_writer(&mut count, value).map_or(beyond, |()| count.extent)
}

/// How many values a JSON text has, estimated without parsing it: counts brackets, commas and colons, about one for each value
/// and each field name.
pub(crate) fn values(text: &[u8]) -> usize {
    let mut count = Count::default();
    count.add(text);
    count.values
}

/// Counts the JSON that is written to it.
#[derive(Default)]
struct Count {
    extent: Extent,
    values: usize,
    open: usize,
    in_string: bool,
    escaped: bool,
}

impl Count {
    fn add(&mut self, bytes: &[u8]) {
        self.extent.bytes += bytes.len();
        for byte in bytes {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => {
                    self.open += 1;
                    self.values += 1;
                    self.extent.depth = self.extent.depth.max(self.open);
                }
                b'}' | b']' if !self.in_string => self.open = self.open.saturating_sub(1),
                b',' | b':' if !self.in_string => self.values += 1,
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
    fn brackets_inside_strings_do_not_count() {
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
        assert_eq!(values(b"]]}[1,2"), 2, "invalid JSON is counted as far as possible");
    }
}
