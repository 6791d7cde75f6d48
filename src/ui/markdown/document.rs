//! A growing text as a sequence of units (top-level blocks), of which only the last can still change.
//!
//! Only the parser decides where blocks begin and end. A block is settled once another block follows it on a complete line:
//! from then on, only a link definition can change it. Lists, tables and code blocks also settle inside: by item, row or
//! line. To continue within one, new text is parsed after a prefix that brings the parser into the same state: the line that
//! opened the code block, the head of the table, or an item like those of the list.

use std::{collections::HashMap, sync::Arc};

use super::{
    definitions::{Links, Reference},
    edit::{Edit, Length, diff},
    source::Source,
    unit::{Kind, Part, Unit},
    writer::{CODE_HEAD, Definition, parse_units},
};

/// Newly settled references, with the labels that they refer to.
type Added = Vec<(Arc<Reference>, Vec<String>)>;

/// The longest prefix. Blocks that need a longer one settle as a whole.
const MAX_PREFIX_BYTES: usize = 2048;
/// Unsettled text up to this length is parsed again on every update.
const MAX_EAGER_BYTES: usize = 16 * 1024;
/// Longer text is parsed again once it has grown by 1/8. Until then, the new text is shown as plain text.
const MIN_GROWTH_DIVISOR: usize = 8;
/// The length of the pieces in which a whole text is parsed.
const WINDOW_BYTES: usize = 64 * 1024;

/// A growing text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    /// The length of the settled text: it ends at the end of a line.
    settled_bytes: usize,
    /// Whether the next line is within displayed mathematics (`\[ … \]`).
    in_math: bool,
    /// The length of the text when it was last parsed.
    parsed_bytes: usize,
    /// The number of settled units, without the open one.
    settled_units: usize,
    open: Option<OpenUnit>,
    /// The shown units that are not settled; of the open unit, only the unsettled parts.
    tail: Vec<Unit>,
    /// Whether unparsed text is shown after the tail.
    pending: bool,
    links: Links,
}

/// A unit whose first parts are settled.
#[derive(Debug, Clone)]
struct OpenUnit {
    kind: Kind,
    head: String,
    /// The text that brings the parser into the state inside the unit.
    prefix: Arc<str>,
    settled_parts: usize,
    /// The length of the settled code.
    settled_code: Length,
    loose: bool,
    has_paragraph: bool,
}

impl Document {
    /// The state after [`to_html`](super::to_html) of a text that is already shown.
    pub(crate) fn new(text: &str) -> Self {
        let mut document = Self::default();
        for end in windows(text) {
            document.update(&text[..end], true);
        }
        document
    }

    /// Updates to a longer text that begins with the previous one, and returns the edits of the HTML. `is_whole`: no more text
    /// is expected.
    pub(crate) fn update(&mut self, text: &str, is_whole: bool) -> Vec<Edit> {
        let unsettled = text.len() - self.settled_bytes;
        let mut edits = Vec::new();
        if !is_whole && unsettled > MAX_EAGER_BYTES && (text.len() - self.parsed_bytes) * MIN_GROWTH_DIVISOR < unsettled
        {
            return self.postpone(text);
        }
        if std::mem::take(&mut self.pending) {
            edits.push(Edit::Truncate { units: self.settled_units + self.tail.len() });
        }
        let first = self.settled_units;
        let base = self.open.as_ref().map_or((0, Length::default()), |open| (open.settled_parts, open.settled_code));
        let mut shown: Vec<Unit> = self.open.iter().map(OpenUnit::unit).collect();
        let mut added = Vec::new();
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        while complete > self.settled_bytes
            && complete > self.parsed_bytes
            && self.settle(&text[..complete], &mut shown, &mut added)
        {}
        let (source, mut tail, definitions) = self.parse(text, &self.links.settled);
        drop(source);
        let unsettled =
            definitions.into_iter().rev().map(|definition| (definition.label, definition.address)).collect();
        self.show_tail(&mut shown, &mut tail);
        diff(&self.tail, &shown, first, base, &mut edits);
        (self.tail, self.parsed_bytes) = (tail, text.len());
        self.links.update(text, unsettled, added, &mut edits);
        edits
    }

    /// Shows the new text as plain text, because the unsettled text is long and has hardly grown.
    fn postpone(&mut self, text: &str) -> Vec<Edit> {
        if text.len() == self.parsed_bytes {
            return Vec::new();
        }
        let unit = Unit::plain(&text[self.parsed_bytes..]);
        let index = self.settled_units + self.tail.len();
        match std::mem::replace(&mut self.pending, true) {
            true => vec![Edit::Replace { unit: index, with: unit }],
            false => vec![Edit::Push(unit)],
        }
    }

    /// Parses the unsettled text into units. The first belongs to the open unit, if there is one.
    fn parse(&self, text: &str, defined: &HashMap<String, String>) -> (Source, Vec<Unit>, Vec<Definition>) {
        let prefix = self.open.as_ref().map_or("", |open| &open.prefix);
        let source = Source::new(prefix, &text[self.settled_bytes..], self.in_math);
        let (mut units, mut definitions) = parse_units(&source, |label| defined.get(label).cloned());
        if self.open.is_some() {
            drop_probe(&mut units);
        }
        for unit in &mut units {
            unit.shift_by(self.settled_bytes);
        }
        definitions.iter_mut().for_each(|definition| definition.start += self.settled_bytes);
        (source, units, definitions)
    }

    /// Settles as much as possible of a text of complete lines. Returns whether anything was settled.
    fn settle(&mut self, text: &str, shown: &mut Vec<Unit>, added: &mut Added) -> bool {
        let (source, mut units, definitions) = self.parse(text, &self.links.settled);
        let before = self.settled_bytes;
        let Some(last) = units.pop() else { return false };
        let settled = if let Some(previous) = units.last() {
            let from = unit_start(text, Some(previous), before, &last);
            let mut start = unit_start(text, None, before, &units[0]);
            for index in 0..units.len() {
                let next = units.get(index + 1).map(|unit| unit_start(text, units.get(index), before, unit));
                self.close(text, &source, start, std::mem::take(&mut units[index]), shown, added);
                start = next.unwrap_or(from);
            }
            Some(from)
        } else if self.open.is_some() {
            self.settle_parts(text, &source, last, shown, added)
        } else {
            self.open(text, &last, shown)
        };
        let Some(from) = settled else { return false };
        self.links.define(definitions.into_iter().filter(|definition| definition.start < from));
        self.in_math = source.is_in_math(from - before);
        self.settled_bytes = from;
        true
    }

    /// Settles a whole unit, whose text begins at `start`.
    fn close(
        &mut self,
        text: &str,
        source: &Source,
        start: usize,
        mut unit: Unit,
        shown: &mut Vec<Unit>,
        added: &mut Added,
    ) {
        match self.open.take() {
            Some(open) => {
                self.register(text, source, &open, &unit.parts, added);
                if let Some(shown) = shown.last_mut() {
                    shown.loose = open.is_loose(&unit);
                    shown.append(unit);
                }
            }
            None => {
                let mut labels = std::mem::take(&mut unit.labels);
                labels.extend(unit.parts.iter_mut().flat_map(|part| std::mem::take(&mut part.labels)));
                if !labels.is_empty() {
                    let in_math = source.is_in_math(start.saturating_sub(self.settled_bytes));
                    let reference = Reference {
                        unit: self.settled_units,
                        part: None,
                        range: start..unit.range.end,
                        prefix: "".into(),
                        in_math,
                    };
                    added.push((Arc::new(reference), labels));
                }
                shown.push(unit);
            }
        }
        self.settled_units += 1;
    }

    /// Opens a unit to settle it part by part, if possible. Returns where the first part begins.
    fn open(&mut self, text: &str, unit: &Unit, shown: &mut Vec<Unit>) -> Option<usize> {
        let start = line_start(text, unit.range.start);
        let lines = |count: usize| text[start..].split_inclusive('\n').take(count).map(str::len).sum::<usize>();
        let (prefix, from) = match unit.kind {
            Kind::Whole => return None,
            Kind::List { .. } => (probe(&text[start..])?, start),
            Kind::Table => (text[start..start + lines(2)].to_owned(), start + lines(2)),
            Kind::Code => (text[start..start + lines(1)].to_owned(), start + lines(1)),
        };
        // After a definition, a block may be indented more than elsewhere. A table's head is not rendered again, so a table
        // with reference links in its head settles as a whole.
        if is_deeply_indented(&text[start..]) || prefix.len() > MAX_PREFIX_BYTES || !unit.labels.is_empty() {
            return None;
        }
        let (kind, head, prefix) = (unit.kind, unit.head.clone(), prefix.into());
        let open = OpenUnit {
            kind,
            head,
            prefix,
            settled_parts: 0,
            settled_code: Length::default(),
            loose: false,
            has_paragraph: false,
        };
        shown.push(open.unit());
        self.open = Some(open);
        Some(from)
    }

    /// Settles the parts of the open unit that cannot change any more. Returns where the next part begins.
    fn settle_parts(
        &mut self,
        text: &str,
        source: &Source,
        mut unit: Unit,
        shown: &mut [Unit],
        added: &mut Added,
    ) -> Option<usize> {
        let from = match unit.kind {
            Kind::List { .. } => line_start(text, unit.parts.pop()?.range.start),
            Kind::Table => unit.parts.last()?.range.end,
            _ => unit.code_end,
        };
        if from <= self.settled_bytes || !text[..from].ends_with('\n') {
            return None;
        }
        let mut open = self.open.take()?;
        self.register(text, source, &open, &unit.parts, added);
        open.settled_parts += unit.parts.len();
        open.settled_code = open.settled_code + Length::of_text(&unit.code);
        open.loose |= unit.loose;
        open.has_paragraph |= unit.parts.iter().any(|part| part.has_paragraph);
        self.open = Some(open);
        shown.last_mut()?.append(unit);
        Some(from)
    }

    /// Records the labels that the parts of the open unit refer to.
    fn register(&self, text: &str, source: &Source, open: &OpenUnit, parts: &[Part], added: &mut Added) {
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| !part.labels.is_empty()) {
            let start = line_start(text, part.range.start);
            let reference = Reference {
                unit: self.settled_units,
                part: Some(open.settled_parts + index),
                range: start..part.range.end,
                prefix: open.prefix.clone(),
                in_math: source.is_in_math(start.saturating_sub(self.settled_bytes)),
            };
            added.push((Arc::new(reference), part.labels.clone()));
        }
    }

    /// Adds the tail to what is shown.
    fn show_tail(&self, shown: &mut Vec<Unit>, tail: &mut [Unit]) {
        let mut rest = tail.iter_mut();
        if let (Some(open), Some(last)) = (&self.open, shown.last_mut())
            && let Some(unit) = rest.next()
        {
            unit.loose = open.is_loose(unit);
            unit.head.clone_from(&open.head);
            last.loose = unit.loose;
            last.append(unit.clone());
        }
        shown.extend(rest.map(|unit| unit.clone()));
    }
}

impl OpenUnit {
    /// The unit without its parts.
    fn unit(&self) -> Unit {
        Unit { kind: self.kind, head: self.head.clone(), loose: self.loose, ..Unit::default() }
    }

    /// Whether the list is shown as loose, given its next parts.
    fn is_loose(&self, next: &Unit) -> bool {
        let has_paragraph = self.has_paragraph || next.parts.iter().any(|part| part.has_paragraph);
        (self.loose || next.loose) && has_paragraph
    }
}

/// The prefix for a list: an item with the same marker, indented further than any item can begin. The parser then also
/// reports whether the list is loose.
fn probe(list: &str) -> Option<String> {
    let marker = list.trim_start();
    let mark = marker.trim_start_matches(|c: char| c.is_ascii_digit()).chars().next()?;
    Some(if marker.starts_with(mark) { format!("{mark}    x\n") } else { format!("1{mark}    x\n") })
}

/// Removes the item that [`probe`] added.
pub(super) fn drop_probe(units: &mut [Unit]) {
    if let Some(unit) =
        units.first_mut().filter(|unit| matches!(unit.kind, Kind::List { .. }) && !unit.parts.is_empty())
    {
        unit.parts.remove(0);
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Where the text of a unit begins, including link definitions right before it (after `from`): the unit's first line may turn
/// out to be their title. Definitions belong to no unit; those inside the `previous` list are not included.
fn unit_start(text: &str, previous: Option<&Unit>, from: usize, unit: &Unit) -> usize {
    let start = line_start(text, unit.range.start);
    // The parser reports the end of a list only roughly.
    let list = previous.filter(|unit| matches!(unit.kind, Kind::List { .. }));
    let item = list.map(|list| list.parts.last().map_or(list.range.start, |item| item.range.start) + 1);
    let end = item.unwrap_or_else(|| previous.map_or(from, |unit| unit.range.end));
    let (mut begin, mut after_blank) = (start, false);
    while begin > end {
        let line = line_start(text, begin - 1);
        after_blank = text[line..begin].trim().is_empty();
        if line < end || after_blank {
            break;
        }
        begin = line;
    }
    let is_apart = after_blank && !text[begin..].starts_with([' ', '\t']);
    if list.is_none() || is_apart {
        return begin;
    }
    // Apart from code, only a block after a definition can be indented this far.
    let is_code = unit.parts.first().is_some_and(|part| part.html.starts_with(CODE_HEAD));
    let mut begin = start;
    while !is_code && begin > end && is_deeply_indented(&text[begin..]) {
        begin = line_start(text, begin - 1);
    }
    begin
}

/// Whether a line is indented more than a top-level block can be.
fn is_deeply_indented(line: &str) -> bool {
    let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
    indent.len() > 3 || indent.contains('\t')
}

/// The ends of the pieces, of complete lines, in which a whole text is parsed.
pub(super) fn windows(text: &str) -> impl Iterator<Item = usize> {
    let mut end = 0;
    std::iter::from_fn(move || {
        let next = text.ceil_char_boundary(end + WINDOW_BYTES);
        let line = || text[next..].find('\n').map_or(text.len(), |line| next + line + 1);
        (end < text.len()).then(line).inspect(|line| end = *line)
    })
}
