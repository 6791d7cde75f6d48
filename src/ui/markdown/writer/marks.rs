//! Mathematics and footnotes within text, as [`Source`](super::super::source::Source) marked them with private-use characters.

use std::{fmt::Write, ops::Range};

use super::{
    super::source::{private, restore},
    Writer,
};

const BACKSLASH: char = private(b'\\');
const OPEN_BRACKET: char = private(b'[');
const CLOSE_BRACKET: char = private(b']');
const OPEN_PARENTHESIS: char = private(b'(');
const CLOSE_PARENTHESIS: char = private(b')');

/// What is marked in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark<'a> {
    Math { display: bool },
    Footnote { label: &'a str },
}

impl Writer<'_> {
    /// Writes a formula, which the browser replaces once it is in sight. `source`: with its delimiters.
    pub(super) fn write_math(&mut self, source: &str, display: bool) {
        if self.image.is_some() {
            return self.write_text(source);
        }
        self.write_inline("");
        self.write_math_element(source, display);
    }

    /// Writes a text with its mathematics, footnotes and addresses.
    pub(super) fn write_marked(&mut self, text: &str) {
        let (mut from, mut finder) = (0, Finder::default());
        while let Some((range, mark)) = finder.find(text, from) {
            match mark {
                Mark::Math { display } => {
                    self.write_plain(&text[from..range.start]);
                    self.write_math_element(&text[range.clone()], display);
                    from = range.end;
                }
                Mark::Footnote { label } => from = self.write_footnote(text, from, range, &restore(label)),
            }
        }
        self.write_plain(&text[from..]);
    }

    fn write_math_element(&mut self, source: &str, display: bool) {
        let class = if display { "math display" } else { "math" };
        // Writing to a String cannot fail.
        let _ = write!(self.html, "<span class=\"{class}\" dir=\"ltr\">");
        self.write_escaped(&restore(source));
        self.html.push_str("</span>");
    }

    /// Writes the text from `from` and a reference to a footnote, or at the start of a line before a colon the head of its text. Each
    /// is a button that leads to the other. Returns where to continue.
    fn write_footnote(&mut self, text: &str, from: usize, range: Range<usize>, label: &str) -> usize {
        if !self.links.is_empty() {
            self.write_plain(&text[from..range.end]);
            return range.end;
        }
        let before = text[..range.start].trim_end_matches(' ');
        let starts_line = match before.chars().next_back() {
            None => ["", "<p>", "<p dir=\"auto\">", "<br>\n"].iter().any(|start| self.html.ends_with(start)),
            Some(char) => char == '\n',
        };
        let is_head = starts_line && text[range.end..].starts_with(':');
        if !is_head {
            self.write_plain(&text[from..range.start]);
            let _ = write!(
                self.html,
                "<sup><button type=\"button\" data-press=\"footnote\" aria-label=\"Footnote {label}\">[{label}]</button></sup>"
            );
            return range.end;
        }
        self.write_plain(&text[from..before.len().max(from)]);
        self.html.push_str(if before.is_empty() { "" } else { "<br>" });
        let _ = write!(
            self.html,
            "<button type=\"button\" data-press=\"reference\" aria-label=\"Back to reference {label}\">[{label}]</button>"
        );
        range.end + 1
    }
}

/// Finds marks. Remembers which closing delimiters do not occur any more, so that a text is searched once.
#[derive(Default)]
struct Finder {
    no_parenthesis: bool,
    no_bracket: bool,
}

impl Finder {
    /// The first mark at or after `from`.
    fn find<'a>(&mut self, text: &'a str, from: usize) -> Option<(Range<usize>, Mark<'a>)> {
        let mut rest = from;
        while let Some(at) = text[rest..].find([BACKSLASH, OPEN_BRACKET]).map(|at| rest + at) {
            let mut chars = text[at..].chars();
            let found = match (chars.next(), chars.next()) {
                (Some(BACKSLASH), Some(OPEN_PARENTHESIS)) => {
                    let end = closing(text, at, CLOSE_PARENTHESIS, &mut self.no_parenthesis);
                    end.map(|end| (at..end, Mark::Math { display: false }))
                }
                (Some(BACKSLASH), Some(OPEN_BRACKET)) => {
                    let end = closing(text, at, CLOSE_BRACKET, &mut self.no_bracket);
                    end.map(|end| (at..end, Mark::Math { display: true }))
                }
                (Some(OPEN_BRACKET), Some('^')) => footnote(text, at),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
            rest = at + BACKSLASH.len_utf8();
        }
        None
    }
}

/// Where the formula that begins at `at` ends.
fn closing(text: &str, at: usize, delimiter: char, is_absent: &mut bool) -> Option<usize> {
    let closing = String::from_iter([BACKSLASH, delimiter]);
    let start = at + closing.len();
    let end = if *is_absent { None } else { text[start..].find(&closing).map(|end| start + end + closing.len()) };
    *is_absent = end.is_none();
    end
}

fn footnote(text: &str, at: usize) -> Option<(Range<usize>, Mark<'_>)> {
    let start = at + OPEN_BRACKET.len_utf8() + 1;
    let end = start + text[start..].find(|c: char| !is_label(c))?;
    let is_footnote = end > start && text[end..].starts_with(CLOSE_BRACKET);
    is_footnote.then(|| (at..end + CLOSE_BRACKET.len_utf8(), Mark::Footnote { label: &text[start..end] }))
}

fn is_label(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == private(b'-') || char == private(b'_')
}
