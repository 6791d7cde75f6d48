//! Prepares a text for the parser, where Markdown would find too much or too little markup.
//!
//! - Between `\(` and `\)`, and between `\[` and `\]`, markup characters are replaced by private-use characters.
//! - So are the brackets of footnotes, and dollar signs that are not those of a formula.
//! - A mark is inserted where bold text touches Chinese, Japanese or Korean punctuation: CommonMark expects spaces there.
//! - The markers of containers nested too deeply and of tables with too many columns are replaced too, to keep parsing cheap.
//!
//! [`restore`] undoes all of this in the parser's output. Each rule looks at one line, or at adjacent lines without a blank
//! line between, so a part of a text is changed in the same way as the whole.

use std::{borrow::Cow, ops::Range};

/// Inserted beside `*` and `~`. It is neither punctuation nor space, and a noncharacter, so texts do not contain it.
const MARK: char = '\u{fdd0}';
/// The private-use character that replaces the first of [`PROTECTED`].
const FIRST_PRIVATE: u32 = 0xe7c0;
/// The characters that can be replaced.
const PROTECTED: &[u8] = br"\*_[]<>&!$=+-#.)|(";
/// The most quotes and list items that can begin on one line.
const MAX_CONTAINERS: usize = 32;
/// The longest label of a footnote.
const MAX_LABEL_BYTES: usize = 32;
/// The most columns of a table.
const MAX_COLUMNS: usize = 64;

/// A text for the parser, with the mapping of its offsets to the original.
#[derive(Default)]
pub(super) struct Source {
    text: String,
    /// The offsets where text and original diverge: in the text, and in the original.
    anchors: Vec<(usize, usize)>,
    /// The offsets of lines in the original that begin within displayed mathematics.
    in_math: Vec<usize>,
}

impl Source {
    /// Prepares `original`, with `prefix` before it. `in_math`: the original begins within displayed mathematics.
    pub(super) fn new(prefix: &str, original: &str, in_math: bool) -> Self {
        let mut source = Self::default();
        source.text.reserve(prefix.len() + original.len());
        source.append(prefix, false);
        source.anchors.clear();
        source.in_math.clear();
        source.anchors.push((source.text.len(), 0));
        source.append(original, in_math);
        source
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The offset in the original of an offset in the text; 0 within the prefix.
    pub(super) fn original(&self, at: usize) -> usize {
        let after = self.anchors.partition_point(|(text, _)| *text <= at);
        after.checked_sub(1).map_or(0, |anchor| self.anchors[anchor].1 + at - self.anchors[anchor].0)
    }

    /// Whether the line at this offset of the original begins within displayed mathematics.
    pub(super) fn is_in_math(&self, line: usize) -> bool {
        self.in_math.binary_search(&line).is_ok()
    }

    fn append(&mut self, original: &str, mut in_math: bool) {
        let mut start = 0;
        for line in original.split_inclusive('\n') {
            let mut copier = Line { source: self, line, start, at: 0 };
            if in_math {
                copier.source.in_math.push(start);
            }
            in_math = copier.copy_line(in_math);
            start += line.len();
        }
        if in_math {
            self.in_math.push(start);
        }
    }
}

/// Copies one line of the original into the text.
struct Line<'a> {
    source: &'a mut Source,
    line: &'a str,
    /// The line's offset in the original.
    start: usize,
    /// How much of the line was copied.
    at: usize,
}

impl Line<'_> {
    /// Copies the line. Returns whether the next line begins within displayed mathematics.
    fn copy_line(&mut self, in_math: bool) -> bool {
        let content = self.line.trim();
        let indent = self.line.len() - self.line.trim_start().len();
        let is_fence = content.starts_with("```") || content.starts_with("~~~");
        if (in_math && !content.is_empty() && !is_fence) || content.starts_with("\\[") {
            let from = if in_math { indent } else { indent + 2 };
            let end = self.line.get(from..).and_then(|rest| rest.find("\\]")).map(|end| from + end + 2);
            self.protect(indent..end.unwrap_or(self.line.len()), PROTECTED);
            self.copy_inline();
            return end.is_none();
        }
        if is_wide_delimiter_row(content) {
            self.protect(0..self.line.len(), b"|");
        }
        if let Some(deep) = excess_containers(self.line) {
            self.protect(deep, PROTECTED);
        }
        self.copy_inline();
        false
    }

    /// Copies the rest of the line.
    fn copy_inline(&mut self) {
        let bytes = self.line.as_bytes();
        let mut next = self.at;
        while next < bytes.len() {
            next = match bytes[next] {
                b'\\' => self.backslash(next),
                b'*' | b'~' => self.delimiter_run(next),
                b'[' => self.bracket(next),
                b'$' => self.dollar(next),
                byte if byte.is_ascii() => next + 1,
                _ => self.non_ascii(next),
            };
        }
        self.copy(bytes.len());
    }

    /// Handles a backslash at `at`. Returns where to continue.
    fn backslash(&mut self, at: usize) -> usize {
        let close = match self.line.as_bytes().get(at + 1) {
            Some(b'(') => Some("\\)"),
            Some(b'[') => Some("\\]"),
            Some(b')' | b']') => None,
            Some(_) => return at + 1 + self.line[at + 1..].chars().next().map_or(0, char::len_utf8),
            None => return at + 1,
        };
        let inside = close.and_then(|close| self.line[at + 2..].split_once(close)).map(|(inside, _)| inside);
        match inside.filter(|inside| !inside.contains('`')) {
            Some(inside) => {
                self.protect(at..at + 2 + inside.len() + 2, PROTECTED);
                self.at
            }
            None => {
                self.protect(at..at + 1, PROTECTED);
                at + 2
            }
        }
    }

    /// Handles a bracket at `at`: those of a footnote are replaced. Returns where to continue.
    fn bracket(&mut self, at: usize) -> usize {
        let label = footnote_label(&self.line[at..]).map_or(0, str::len);
        let end = at + "[^]".len() + label;
        if label == 0 || self.line[end..].starts_with('(') {
            return at + 1;
        }
        self.protect(at..end, PROTECTED);
        end
    }

    /// Handles a dollar sign at `at`: unless a formula ends on the same line, it is text, as in a price. Returns where to continue.
    fn dollar(&mut self, at: usize) -> usize {
        let signs = self.line[at..].bytes().take_while(|byte| *byte == b'$').count();
        if signs > 1 {
            return at + signs;
        }
        if let Some(formula) = formula_bytes(&self.line[at + 1..]) {
            return at + 1 + formula + 1;
        }
        self.protect(at..at + 1, PROTECTED);
        at + 1
    }

    /// Handles a run of `*` or `~` at `at`. Returns where it ends.
    fn delimiter_run(&mut self, at: usize) -> usize {
        let mark = self.line.as_bytes()[at];
        let end = at + self.line.as_bytes()[at..].iter().take_while(|byte| **byte == mark).count();
        let before = self.line[..at].chars().next_back().filter(|c| !c.is_whitespace());
        let after = self.line[end..].chars().next().filter(|c| !c.is_whitespace());
        let (Some(before), Some(after)) = (before, after) else { return end };
        let (closes, opens) = (is_punctuation(before), is_punctuation(after));
        if closes != opens && (is_cjk(before) || is_cjk(after)) && !matches!(before, '*' | '~') {
            self.copy(if closes { at } else { end });
            self.source.text.push(MARK);
            self.anchor();
        }
        end
    }

    /// Handles a non-ASCII character at `at`: our own private-use characters are replaced by U+FFFD. Returns where it ends.
    fn non_ascii(&mut self, at: usize) -> usize {
        let Some(char) = self.line[at..].chars().next() else { return at + 1 };
        let end = at + char.len_utf8();
        if char == MARK || protected(char).is_some() {
            self.copy(at);
            self.source.text.push(char::REPLACEMENT_CHARACTER);
            self.at = end;
            self.anchor();
        }
        end
    }

    /// Copies a range, with the characters of `what` replaced.
    fn protect(&mut self, range: Range<usize>, what: &[u8]) {
        for at in range.start.max(self.at)..range.end {
            let byte = self.line.as_bytes()[at];
            let index = PROTECTED.iter().position(|it| *it == byte).filter(|_| what.contains(&byte));
            if let Some(private) = index.and_then(|index| char::from_u32(FIRST_PRIVATE + index as u32)) {
                self.copy(at);
                self.source.text.push(private);
                self.at = at + 1;
                self.anchor();
            } else if !byte.is_ascii() && self.line.is_char_boundary(at) {
                self.non_ascii(at);
            }
        }
        self.copy(range.end);
    }

    fn copy(&mut self, end: usize) {
        if end > self.at {
            self.source.text.push_str(&self.line[self.at..end]);
            self.at = end;
        }
    }

    fn anchor(&mut self) {
        self.source.anchors.push((self.source.text.len(), self.start + self.at));
    }
}

/// Restores the original characters in a text from the parser.
pub(super) fn restore(text: &str) -> Cow<'_, str> {
    // All replaced and inserted characters begin with one of these bytes.
    if !text.bytes().any(|byte| matches!(byte, 0xee | 0xef)) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(|c| *c != MARK).map(|c| protected(c).unwrap_or(c)).collect::<String>().into()
}

/// Restores an address, without the backslashes that escape punctuation in it.
pub(super) fn restore_address(address: &str) -> Cow<'_, str> {
    let backslash = char::from_u32(FIRST_PRIVATE).unwrap_or(MARK);
    match restore(address) {
        Cow::Owned(_) => restore(&address.replace(backslash, "")).into_owned().into(),
        borrowed => borrowed,
    }
}

/// The private-use character that replaces a character of [`PROTECTED`].
pub(super) const fn private(byte: u8) -> char {
    let mut index = 0;
    while PROTECTED[index] != byte {
        index += 1;
    }
    match char::from_u32(FIRST_PRIVATE + index as u32) {
        Some(char) => char,
        None => MARK,
    }
}

fn protected(char: char) -> Option<char> {
    let index = u32::from(char).checked_sub(FIRST_PRIVATE)?;
    PROTECTED.get(index as usize).map(|byte| char::from(*byte))
}

/// The label of the footnote reference with which a text begins: `[^label]`.
fn footnote_label(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("[^")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))?;
    (rest[end..].starts_with(']') && (1..=MAX_LABEL_BYTES).contains(&end)).then(|| &rest[..end])
}

/// The length of the formula that follows a dollar sign and ends at the next one; `None` if these are not the signs of a formula.
fn formula_bytes(rest: &str) -> Option<usize> {
    let end = rest.find('$')?;
    let (formula, after) = (&rest[..end], &rest[end + 1..]);
    let is_apart = !formula.starts_with(char::is_whitespace)
        && !formula.ends_with(|c: char| c.is_whitespace() || c == '\\')
        && !after.starts_with(|c: char| c.is_alphanumeric() || c == '$');
    (is_apart && !formula.contains('`') && !is_price(formula)).then_some(end)
}

/// Whether a text between two dollar signs is rather a price and the words after it than a formula.
fn is_price(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('\\') {
        return false;
    }
    let has_word = text.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().nth(1).is_some());
    let has_operator = text.contains(['^', '_', '=', '{', '+', '*', '<', '>', '/']);
    has_word || (!has_operator && text.contains(char::is_whitespace))
}

fn is_wide_delimiter_row(content: &str) -> bool {
    let bars = content.bytes().filter(|byte| *byte == b'|').count();
    bars > MAX_COLUMNS && content.bytes().all(|byte| b"|:- \t".contains(&byte))
}

/// The range of the container markers on a line that exceed the limit.
fn excess_containers(line: &str) -> Option<Range<usize>> {
    let bytes = line.as_bytes();
    let (mut at, mut markers, mut deep) = (0, 0, None);
    loop {
        let space = bytes[at..].iter().take_while(|byte| b" \t".contains(byte)).count();
        let digits = bytes[at + space..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mark = at + space + digits;
        let is_marker = match bytes.get(mark) {
            Some(b'>') => digits == 0,
            Some(b'-' | b'+' | b'*') => digits == 0 && bytes.get(mark + 1).is_none_or(u8::is_ascii_whitespace),
            Some(b'.' | b')') => digits > 0 && bytes.get(mark + 1).is_none_or(u8::is_ascii_whitespace),
            _ => false,
        };
        if !is_marker {
            return deep.map(|deep| deep..at);
        }
        markers += 1;
        if markers > MAX_CONTAINERS && deep.is_none() {
            deep = Some(at);
        }
        at = mark + 1;
    }
}

fn is_punctuation(char: char) -> bool {
    !char.is_alphanumeric() && !char.is_whitespace() && char != MARK
}

/// Chinese, Japanese and Korean characters, and their punctuation and full-width forms.
fn is_cjk(char: char) -> bool {
    matches!(u32::from(char),
        0x1100..=0x11ff | 0x2e80..=0x9fff | 0xa960..=0xa97f | 0xac00..=0xd7ff | 0xf900..=0xfaff | 0xfe30..=0xfe4f
        | 0xff00..=0xffef | 0x1b000..=0x1b16f | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restoring_undoes_the_replacements_and_offsets_map_back() {
        let original = "は**「x」**を \\(a_1 * b\\) `\\[`\n\\[\n- x*\n\\]\n> z\u{e7c1}";
        let source = Source::new("|p*\n", original, false);
        assert_eq!(restore(source.text()), format!("|p*\n{original}").replace('\u{e7c1}', "\u{fffd}"));
        for (at, char) in original.char_indices().filter(|(_, char)| "xz`".contains(*char)) {
            let found = source.text().char_indices().any(|(text, it)| it == char && source.original(text) == at);
            assert!(found, "{char} at {at}");
        }
        assert!(source.is_in_math(original.find("- x").unwrap()) && !source.is_in_math(original.find("> z").unwrap()));
    }

    #[test]
    fn an_escaped_star_stays_escaped() {
        assert_eq!(Source::new("", "」\\**を", false).text(), "」\\**を");
    }

    #[test]
    fn prices_are_told_from_formulas() {
        let masked = |text: &str| Source::new("", text, false).text().replace(private(b'$'), "USD");
        for price in
            ["$5 a month or $20.", "$5-$10", "$10/$20", "from $5 to 10$", "$1,000", "**$3** and $4", "$HOME/$USER"]
        {
            assert!(!masked(price).contains('$'), "{price}: {}", masked(price));
        }
        for formula in ["$E = mc^2$", "$2^n$ costs", "$5x + 3 = 0$", "$3 \\text{ apples}$", "$x$, $y$", "$$5$$", "$5$"]
        {
            assert_eq!(masked(formula), formula);
        }
        assert_eq!(masked("$x = 1$ for $5"), "$x = 1$ for USD5");
    }

    #[test]
    fn nested_containers_are_limited() {
        assert_eq!(excess_containers(&"> ".repeat(32)), None);
        assert_eq!(excess_containers(&"> ".repeat(40)), Some(63..79));
        assert_eq!(excess_containers(&"1. ".repeat(40)), Some(95..119));
        assert_eq!(excess_containers("a > b"), None);
    }
}
