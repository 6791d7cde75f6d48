//! A parser's events as safe HTML, in units: one element of the page each, those that grow with their parts apart.

mod output;

use std::{cell::RefCell, fmt::Write, ops::Range};

use pulldown_cmark::{Alignment, BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};
use pulldown_cmark_escape::escape_href;

use self::output::{allowed, is_inline, is_line_break, name};
use super::{
    source::{Source, restore, restore_address},
    unit::{Kind, Unit},
};

/// How deeply elements nest; the text of what is deeper stands in the last one.
const MAX_DEPTH: usize = 48;

/// A link's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) label: String,
    pub(super) address: String,
    /// Where it begins in the original.
    pub(super) start: usize,
}

/// Labels are the same whatever their case and the space in them.
pub(super) fn folded(label: &str) -> String {
    let words: Vec<_> = restore(label).split_whitespace().map(|word| word.to_lowercase().to_uppercase()).collect();
    words.join(" ")
}

/// The units of a text, and the definitions in it. `defined` answers the address of a label that is defined elsewhere, and
/// goes before what the text itself says.
pub(super) fn units(source: &Source, defined: impl Fn(&str) -> Option<String>) -> (Vec<Unit>, Vec<Definition>) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        // Without this, one tilde strikes out as two do.
        | Options::ENABLE_SUBSCRIPT
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH;
    let asked = RefCell::new(Vec::new());
    let answer = |link: BrokenLink<'_>| {
        let label = folded(&link.reference);
        let address = defined(&label);
        asked.borrow_mut().push(label);
        address.map(|address| (CowStr::from(address), CowStr::Borrowed("")))
    };
    let parser = Parser::new_with_broken_link_callback(source.text(), options, Some(answer));
    let mut definitions: Vec<_> = parser
        .reference_definitions()
        .iter()
        .map(|(label, definition)| Definition {
            label: folded(label),
            address: definition.dest.to_string(),
            start: source.original(definition.span.start),
        })
        .collect();
    definitions.sort_by_key(|definition| definition.start);
    let mut writer = Writer::new(source, &asked, &defined);
    for (event, range) in parser.into_offset_iter() {
        writer.event(event, range);
    }
    (writer.units, definitions)
}

/// An element that is open.
enum Open {
    /// A list; where its class goes, and whether it is loose.
    List {
        class: usize,
        loose: bool,
    },
    /// An item; whether a paragraph is open in it that the parser does not tell of.
    Item {
        paragraph: bool,
    },
    Other,
}

struct Writer<'a> {
    source: &'a Source,
    asked: &'a RefCell<Vec<String>>,
    defined: &'a dyn Fn(&str) -> Option<String>,
    units: Vec<Unit>,
    /// What was written of the part.
    html: String,
    /// Text that goes on: addresses are found in it once it is whole.
    text: String,
    open: Vec<Open>,
    /// How many elements are open that are too deep.
    hidden: usize,
    /// Whether a code block is open.
    in_code: bool,
    /// Which of the open links and images are shown as links.
    links: Vec<bool>,
    /// How the open table's columns are aligned.
    columns: Vec<Alignment>,
    cell: usize,
    head: bool,
    /// Cells at the end of a row that nobody wrote.
    missing: usize,
}

impl<'a> Writer<'a> {
    fn new(source: &'a Source, asked: &'a RefCell<Vec<String>>, defined: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            source,
            asked,
            defined,
            units: Vec::new(),
            html: String::new(),
            text: String::new(),
            open: Vec::new(),
            hidden: 0,
            in_code: false,
            links: Vec::new(),
            columns: Vec::new(),
            cell: 0,
            head: false,
            missing: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code && self.open.len() == 1 => self.code(&text, &range),
            Event::Text(text) => self.say(&text),
            Event::InlineMath(text) => self.say(&format!("${text}$")),
            Event::DisplayMath(text) => self.say(&format!("$${text}$$")),
            Event::Code(code) => {
                self.inline("<code dir=\"ltr\">");
                self.escape(&restore(&code));
                self.html.push_str("</code>");
            }
            Event::Html(html) | Event::InlineHtml(html) if is_line_break(&html) => self.inline("<br>"),
            Event::Html(html) | Event::InlineHtml(html) => self.say(&html),
            Event::SoftBreak => self.say("\n"),
            Event::HardBreak => self.inline("<br>\n"),
            Event::Rule => {
                self.begin_unit(Kind::Whole, &range);
                self.block("<hr>");
                self.end_unit();
            }
            Event::TaskListMarker(done) => {
                self.paragraph();
                self.text.push_str(if done { "☑ " } else { "☐ " });
            }
            Event::FootnoteReference(label) => self.say(&label),
        }
    }

    /// A code block at the top goes on.
    fn code(&mut self, text: &str, range: &Range<usize>) {
        let end = self.source.original(range.end);
        match self.units.last_mut() {
            Some(unit) if unit.kind == Kind::Code => {
                unit.code.push_str(&restore(text));
                unit.code_end = unit.code_end.max(end);
            }
            _ => self.text.push_str(&restore(text)),
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        // What is in a list or a table must stand in their items and cells: these are whole or not there.
        let room = if matches!(tag, Tag::List(_) | Tag::Table(_)) { MAX_DEPTH - 4 } else { MAX_DEPTH };
        if self.hidden > 0 || self.open.len() >= room {
            self.hidden += 1;
            self.text.push_str(if is_inline(&tag) { "" } else { "\n" });
            return;
        }
        // The direction of a text is that of its first letter, for all that is in a unit.
        let dir = if self.open.is_empty() { " dir=\"auto\"" } else { "" };
        let mut open = Open::Other;
        match tag {
            Tag::List(number) => open = self.start_list(number, &range, dir),
            Tag::Item => {
                self.begin_part(&range);
                self.block("<li>");
                open = Open::Item { paragraph: false };
            }
            Tag::Table(columns) => {
                self.begin_unit(Kind::Table, &range);
                self.columns = columns;
                self.block("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table");
                self.html.push_str(dir);
                self.html.push('>');
            }
            Tag::TableHead => {
                (self.head, self.cell) = (true, 0);
                self.block("<thead><tr>");
            }
            Tag::TableRow => {
                (self.cell, self.missing) = (0, 0);
                self.begin_part(&range);
                self.block("<tr>");
            }
            Tag::TableCell => self.start_cell(&range),
            // What scrolls must be reachable by keyboard.
            Tag::CodeBlock(kind) => self.start_code(&kind, &range),
            Tag::Link { link_type, dest_url, id, .. } => self.start_link(link_type, &dest_url, &id),
            Tag::Image { link_type, id, .. } => {
                self.note(link_type, &id);
                self.inline("");
                self.links.push(false);
            }
            Tag::Emphasis => self.inline("<em>"),
            Tag::Strong => self.inline("<strong>"),
            Tag::Strikethrough => self.inline("<del>"),
            Tag::Subscript => self.say("~"),
            tag => {
                self.begin_unit(Kind::Whole, &range);
                self.block(&format!("<{}{dir}>", name(&tag.to_end())));
                if matches!(tag, Tag::Paragraph) {
                    self.loosen();
                }
            }
        }
        self.open.push(open);
    }

    fn start_list(&mut self, number: Option<u64>, range: &Range<usize>, dir: &str) -> Open {
        let at_top = self.open.is_empty();
        self.begin_unit(Kind::List { ordered: number.is_some() }, range);
        let mut html = format!("<{}{dir}", if number.is_some() { "ol" } else { "ul" });
        if let Some(number) = number.filter(|number| *number != 1) {
            let _ = write!(html, " start=\"{number}\"");
        }
        self.block(&html);
        let open = Open::List { class: self.html.len(), loose: false };
        match self.units.last_mut().filter(|_| at_top) {
            Some(unit) => unit.head = std::mem::take(&mut self.html),
            None => self.html.push('>'),
        }
        open
    }

    fn start_code(&mut self, kind: &CodeBlockKind<'_>, range: &Range<usize>) {
        let is_unit = self.open.is_empty() && matches!(kind, CodeBlockKind::Fenced(_));
        self.in_code = true;
        self.begin_unit(if is_unit { Kind::Code } else { Kind::Whole }, range);
        self.block("<pre tabindex=\"0\" dir=\"ltr\"><code>");
        if let Some(unit) = self.units.last_mut().filter(|_| is_unit) {
            unit.head = std::mem::take(&mut self.html);
        }
    }

    fn end(&mut self, tag: TagEnd) {
        if self.hidden > 0 {
            self.hidden -= 1;
            return;
        }
        let open = self.open.pop();
        match (tag, open) {
            (TagEnd::List(ordered), Some(Open::List { class, loose })) => self.end_list(ordered, class, loose),
            (TagEnd::Item, open) => {
                self.flush();
                let paragraph = matches!(open, Some(Open::Item { paragraph: true }));
                self.html.push_str(if paragraph { "</p></li>" } else { "</li>" });
                self.end_part(1);
            }
            (tag @ (TagEnd::Table | TagEnd::TableHead | TagEnd::TableRow | TagEnd::TableCell), _) => {
                self.end_table(tag)
            }
            (TagEnd::CodeBlock, _) => {
                self.flush();
                self.in_code = false;
                if !self.open.is_empty() || self.units.last().is_some_and(|unit| unit.kind != Kind::Code) {
                    self.html.push_str("</code></pre>");
                }
            }
            (TagEnd::Link, _) => {
                self.flush();
                if self.links.pop().unwrap_or(false) {
                    self.html.push_str("</a>");
                }
            }
            (TagEnd::Image, _) => {
                self.flush();
                self.links.pop();
            }
            (TagEnd::Emphasis, _) => self.inline("</em>"),
            (TagEnd::Strong, _) => self.inline("</strong>"),
            (TagEnd::Strikethrough, _) => self.inline("</del>"),
            (TagEnd::Subscript, _) => self.say("~"),
            (tag, _) => {
                self.block("");
                let _ = write!(self.html, "</{}>", name(&tag));
            }
        }
        self.end_unit();
    }

    fn end_table(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Table if self.open.is_empty() => {}
            TagEnd::Table => self.html.push_str("</tbody></table></div>"),
            TagEnd::TableHead => {
                self.head = false;
                self.html.push_str("</tr></thead><tbody>");
                if let (1, Some(unit)) = (self.open.len(), self.units.last_mut()) {
                    unit.head = std::mem::take(&mut self.html);
                    unit.labels = std::mem::take(&mut *self.asked.borrow_mut());
                }
            }
            TagEnd::TableRow => {
                let missing = std::mem::take(&mut self.missing);
                if missing > 0 {
                    let _ = write!(self.html, "<td colspan=\"{missing}\"></td>");
                }
                self.html.push_str("</tr>");
                self.end_part(1);
            }
            TagEnd::TableCell if self.missing > 0 => {}
            _ => self.block(if self.head { "</th>" } else { "</td>" }),
        }
    }

    fn end_list(&mut self, ordered: bool, class: usize, loose: bool) {
        if self.open.is_empty() {
            return;
        }
        self.flush();
        self.html.push_str(if ordered { "</ol>" } else { "</ul>" });
        if !loose {
            self.html.insert_str(class, " class=\"tight\"");
        }
    }

    fn start_cell(&mut self, range: &Range<usize>) {
        // The parser adds what a row lacks; whatever comes after it is missing too.
        if !self.head && range.is_empty() && self.cell > 0 {
            self.missing += 1;
            return;
        }
        for _ in 0..std::mem::take(&mut self.missing) {
            self.html.push_str("<td></td>");
            self.cell += 1;
        }
        let right = self.columns.get(self.cell) == Some(&Alignment::Right);
        self.cell += 1;
        self.block(match (self.head, right) {
            (true, true) => "<th class=\"number\">",
            (true, false) => "<th>",
            (false, true) => "<td class=\"number\">",
            (false, false) => "<td>",
        });
    }

    fn start_link(&mut self, link_type: LinkType, address: &str, id: &str) {
        let elsewhere = self.note(link_type, id).and_then(|label| (self.defined)(&label));
        let address = elsewhere.as_deref().unwrap_or(address);
        let address = restore_address(address);
        // A mail address in angle brackets comes without its scheme.
        let address = if link_type == LinkType::Email { format!("mailto:{address}").into() } else { address };
        let shown = allowed(&address) && !self.links.contains(&true);
        self.inline("");
        if shown {
            self.open_link(&address);
        }
        self.links.push(shown);
    }

    /// Remembers the label that a link refers to.
    fn note(&mut self, link_type: LinkType, id: &str) -> Option<String> {
        let refers = matches!(link_type, LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut);
        refers.then(|| {
            let label = folded(id);
            self.asked.borrow_mut().push(label.clone());
            label
        })
    }

    fn open_link(&mut self, address: &str) {
        self.html.push_str("<a rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"");
        // Writing to a String cannot fail.
        let _ = escape_href(&mut self.html, address);
        self.html.push_str("\">");
    }
}
