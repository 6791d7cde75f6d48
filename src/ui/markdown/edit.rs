//! Edits of the rendered HTML, and the difference between two renderings as edits.

use super::{
    document,
    unit::{Kind, Part, Unit},
};

/// An edit of the shown units. Indices of units and parts start at 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Keeps only the first `units`.
    Truncate { units: usize },
    /// Appends a unit.
    Push(Unit),
    /// Replaces a unit.
    Replace { unit: usize, with: Unit },
    /// Keeps the first `keep` parts of a unit and appends new ones, given as HTML.
    Parts { unit: usize, keep: usize, parts: Vec<String> },
    /// Replaces a part.
    ReplacePart { unit: usize, part: usize, html: String },
    /// Keeps the first `keep` of a code block's text and appends `text`.
    Code { unit: usize, keep: Length, text: String },
    /// Makes a list loose or tight.
    Loose { unit: usize, loose: bool },
}

/// The length of a text in bytes and in UTF-16 code units, which browsers count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Length {
    pub(crate) bytes: usize,
    pub(crate) utf16: usize,
}

impl Length {
    pub(super) fn of_text(text: &str) -> Self {
        Self { bytes: text.len(), utf16: text.encode_utf16().count() }
    }
}

impl std::ops::Add for Length {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, utf16: self.utf16 + other.utf16 }
    }
}

/// Adds the edits that turn the units `old` into `new`. `first`: the index of the first unit. `base`: the number of its parts and
/// the length of its code that are settled; neither list contains them.
pub(super) fn diff(old: &[Unit], new: &[Unit], first: usize, base: (usize, Length), edits: &mut Vec<Edit>) {
    for (index, unit) in new.iter().enumerate() {
        let Some(before) = old.get(index) else {
            edits.push(Edit::Push(unit.clone()));
            continue;
        };
        let base = if index == 0 { base } else { (0, Length::default()) };
        let index = first + index;
        let is_same = before.kind == unit.kind && before.head == unit.head;
        match unit.kind {
            Kind::Code if is_same => diff_code(before, unit, index, base.1, edits),
            Kind::List { .. } | Kind::Table if is_same => {
                diff_parts(before, unit, index, base.0, edits);
                if before.loose != unit.loose {
                    edits.push(Edit::Loose { unit: index, loose: unit.loose });
                }
            }
            _ if before.html() != unit.html() => edits.push(Edit::Replace { unit: index, with: unit.clone() }),
            _ => {}
        }
    }
    if old.len() > new.len() {
        edits.push(Edit::Truncate { units: first + new.len() });
    }
}

fn diff_parts(old: &Unit, new: &Unit, unit: usize, base: usize, edits: &mut Vec<Edit>) {
    let same = old.parts.iter().zip(&new.parts).take_while(|(old, new)| old.html == new.html).count();
    if same < old.parts.len() || same < new.parts.len() {
        let parts = new.parts[same..].iter().map(|part| part.html.clone()).collect();
        edits.push(Edit::Parts { unit, keep: base + same, parts });
    }
}

fn diff_code(old: &Unit, new: &Unit, unit: usize, base: Length, edits: &mut Vec<Edit>) {
    let same = old.code.bytes().zip(new.code.bytes()).take_while(|(old, new)| old == new).count();
    let same = new.code.floor_char_boundary(same);
    if same < old.code.len() || same < new.code.len() {
        let keep = base + Length::of_text(&new.code[..same]);
        edits.push(Edit::Code { unit, keep, text: new.code[same..].to_owned() });
    }
}

/// The shown units, as the edits change them.
#[derive(Debug, Default)]
pub(crate) struct Page(Vec<Unit>);

impl Page {
    /// Renders a whole text. It is parsed in pieces to bound the parser's memory.
    pub(crate) fn new(text: &str) -> Self {
        let (mut page, mut document) = (Self::default(), document::Document::default());
        for end in document::windows(text) {
            page.apply(document.update(&text[..end], true));
        }
        page
    }

    /// Applies edits.
    pub(crate) fn apply(&mut self, edits: Vec<Edit>) {
        for edit in edits {
            match edit {
                Edit::Truncate { units } => self.0.truncate(units),
                Edit::Push(unit) => self.0.push(unit),
                Edit::Replace { unit, with } => self.0[unit] = with,
                Edit::Parts { unit, keep, parts } => {
                    let unit = &mut self.0[unit];
                    unit.parts.truncate(keep);
                    unit.parts.extend(parts.into_iter().map(|html| Part { html, ..Part::default() }));
                }
                Edit::ReplacePart { unit, part, html } => self.0[unit].parts[part].html = html,
                Edit::Code { unit, keep, text } => {
                    self.0[unit].code.truncate(keep.bytes);
                    self.0[unit].code.push_str(&text);
                }
                Edit::Loose { unit, loose } => self.0[unit].loose = loose,
            }
        }
    }

    /// The HTML of all units.
    pub(crate) fn html(&self) -> String {
        self.0.iter().map(Unit::html).collect()
    }
}
