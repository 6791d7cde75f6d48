//! Agents' Markdown as HTML that is safe to insert, and cheap to extend while it streams.
//!
//! Promises: whatever the text says, the HTML holds no element, attribute or address that this module did not choose: raw
//! HTML shows as the text it is, addresses are `http`, `https` or `mailto`, images show as their description. A text that
//! grows is split into blocks; a settled block never changes again, so only the last one is parsed anew.

use std::ops::Range;

use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};
use pulldown_cmark_escape::escape_href;

/// Where a growing text may be cut: settled blocks, then the tail. Together they are the whole text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Splitter {
    /// Where each settled block ends.
    ends: Vec<usize>,
    /// How far lines were read; always the start of a line.
    read: usize,
    /// The fence that is open: its character and length.
    fence: Option<(u8, usize)>,
    /// The line before `read` was blank.
    after_blank: bool,
    /// The block being read is a list.
    list: bool,
}

impl Splitter {
    /// Reads on: `text` is what was read before, and more. A text that became another one is read anew.
    pub(crate) fn read(&mut self, text: &str) {
        if !text.is_char_boundary(self.read) || text.len() < self.read {
            *self = Self::default();
        }
        while let Some(line) = text[self.read..].split_inclusive('\n').next().filter(|line| line.ends_with('\n')) {
            self.line(line);
            self.read += line.len();
        }
    }

    /// Where the settled blocks are; the tail follows the last.
    pub(crate) fn settled(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        self.ends.iter().map(|end| std::mem::replace(&mut start, *end)..*end).collect()
    }

    fn line(&mut self, line: &str) {
        let content = line.trim();
        if content.is_empty() {
            self.after_blank = true;
            return;
        }
        let begins_list = is_list_item(line);
        let indented = line.starts_with([' ', '\t']);
        let begins = self.read > self.ends.last().copied().unwrap_or(0);
        if self.fence.is_none() && begins && self.after_blank && !indented && !(self.list && begins_list) {
            self.ends.push(self.read);
            self.list = begins_list;
        } else if !begins {
            self.list = begins_list;
        }
        self.after_blank = false;
        match (self.fence, fence(content)) {
            (None, Some((mark, length, _))) => self.fence = Some((mark, length)),
            (Some((open, least)), Some((mark, length, true))) if open == mark && length >= least => self.fence = None,
            _ => {}
        }
    }
}

/// The fence that a line opens or closes: its character, its length, and whether nothing follows it.
fn fence(content: &str) -> Option<(u8, usize, bool)> {
    // A fence may open behind a list marker.
    let content = content.trim_start_matches(|c: char| c.is_ascii_digit() || "-*+.) ".contains(c));
    let mark = *content.as_bytes().first().filter(|mark| matches!(mark, b'`' | b'~'))?;
    let length = content.bytes().take_while(|byte| *byte == mark).count();
    (length >= 3).then_some((mark, length, content.len() == length))
}

fn is_list_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked =
        if rest.len() < line.len() { rest.strip_prefix(['.', ')']) } else { rest.strip_prefix(['-', '*', '+']) };
    marked.is_some_and(|after| after.starts_with([' ', '\t', '\n', '\r']))
}

/// Markdown as safe HTML.
pub(crate) fn to_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut safe = Safe::default();
    let events = Parser::new_ext(markdown, options).filter_map(|event| safe.event(event));
    let mut html = String::with_capacity(markdown.len() * 3 / 2);
    push_html(&mut html, events);
    html
}

/// Turns each event into one that is safe to write.
#[derive(Default)]
struct Safe {
    /// Which of the open links are shown as links.
    links: Vec<bool>,
    /// How the open table's columns are aligned.
    columns: Vec<Alignment>,
    cell: usize,
    head: bool,
}

impl Safe {
    fn event<'a>(&mut self, event: Event<'a>) -> Option<Event<'a>> {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => Some(Event::Text(html)),
            Event::TaskListMarker(done) => Some(Event::Text(if done { "☑ " } else { "☐ " }.into())),
            Event::Start(Tag::HtmlBlock) => Some(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Link { dest_url, .. }) => self.link(&dest_url),
            Event::End(TagEnd::Link) => self.links.pop().unwrap_or(false).then(|| raw("</a>")),
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
            // The page has two levels of headings above: those of a message come below them.
            Event::Start(Tag::Heading { level, .. }) => Some(raw(match level {
                HeadingLevel::H1 => "<h3>",
                HeadingLevel::H2 => "<h4>",
                HeadingLevel::H3 => "<h5>",
                _ => "<h6>",
            })),
            Event::End(TagEnd::Heading(level)) => Some(raw(match level {
                HeadingLevel::H1 => "</h3>",
                HeadingLevel::H2 => "</h4>",
                HeadingLevel::H3 => "</h5>",
                _ => "</h6>",
            })),
            // What scrolls must be reachable by keyboard.
            Event::Start(Tag::CodeBlock(_)) => Some(raw("<pre tabindex=\"0\"><code>")),
            Event::End(TagEnd::CodeBlock) => Some(raw("</code></pre>\n")),
            Event::Start(Tag::Table(columns)) => {
                self.columns = columns;
                Some(raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>"))
            }
            Event::End(TagEnd::Table) => Some(raw("</tbody></table></div>\n")),
            Event::Start(Tag::TableHead) => {
                (self.head, self.cell) = (true, 0);
                Some(raw("<thead><tr>"))
            }
            Event::End(TagEnd::TableHead) => {
                self.head = false;
                Some(raw("</tr></thead><tbody>"))
            }
            Event::Start(Tag::TableRow) => {
                self.cell = 0;
                Some(raw("<tr>"))
            }
            Event::End(TagEnd::TableRow) => Some(raw("</tr>")),
            Event::Start(Tag::TableCell) => {
                let right = self.columns.get(self.cell) == Some(&Alignment::Right);
                self.cell += 1;
                Some(raw(match (self.head, right) {
                    (true, true) => "<th class=\"number\">",
                    (true, false) => "<th>",
                    (false, true) => "<td class=\"number\">",
                    (false, false) => "<td>",
                }))
            }
            Event::End(TagEnd::TableCell) => Some(raw(if self.head { "</th>" } else { "</td>" })),
            event => Some(event),
        }
    }

    fn link<'a>(&mut self, address: &str) -> Option<Event<'a>> {
        let allowed = allowed(address);
        self.links.push(allowed);
        allowed.then(|| {
            let mut tag = String::from("<a rel=\"noopener noreferrer nofollow\" target=\"_blank\" href=\"");
            // Writing to a String cannot fail.
            let _ = escape_href(&mut tag, address);
            tag.push_str("\">");
            Event::InlineHtml(tag.into())
        })
    }
}

fn raw<'a>(html: &'static str) -> Event<'a> {
    Event::InlineHtml(CowStr::Borrowed(html))
}

/// Addresses that a click may go to.
fn allowed(address: &str) -> bool {
    let scheme = address.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https" | "mailto"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(splitter: &Splitter, text: &str) -> (Vec<String>, String) {
        let settled = splitter.settled();
        let tail = settled.last().map_or(0, |last| last.end);
        (settled.into_iter().map(|range| text[range].to_owned()).collect(), text[tail..].to_owned())
    }

    fn split(text: &str) -> (Vec<String>, String) {
        let mut splitter = Splitter::default();
        splitter.read(text);
        blocks(&splitter, text)
    }

    #[test]
    fn raw_html_shows_as_text() {
        for hostile in ["<script>alert(1)</script>", "a <img src=x onerror=alert(1)> b", "<b onclick='x'>b</b>"] {
            let html = to_html(hostile);
            assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b "), "{html}");
            assert!(html.contains("&lt;"), "{html}");
        }
    }

    #[test]
    fn only_web_and_mail_addresses_become_links() {
        for hostile in [
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,y)",
            "[x](/local)",
            "<vbscript:x>",
        ] {
            let html = to_html(hostile);
            assert!(!html.contains("<a") && !html.contains("href"), "{html}");
        }
        let html = to_html("[x](https://example.org/?a=1&b=\"2\")");
        assert!(html.contains("href=\"https://example.org/?a=1&amp;b=%222%22\""), "{html}");
        assert!(html.contains("rel=\"noopener"), "{html}");
    }

    #[test]
    fn attributes_cannot_be_broken_out_of() {
        let html = to_html(
            "[x](<https://e.org/\" onmouseover=\"alert(1)>)\n\n```\"><script>\ncode\n```\n\n![\"><script>](https://e.org/i.png \"t\")",
        );
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\" onmouseover"), "{html}");
        assert!(!html.contains("<img"), "{html}");
    }

    #[test]
    fn a_paragraph_settles_when_the_next_begins() {
        assert_eq!(split("one\n\ntwo\n"), (vec!["one\n\n".into()], "two\n".into()));
        assert_eq!(split("one\n\ntwo"), (vec![], "one\n\ntwo".into()));
    }

    #[test]
    fn fences_and_lists_stay_whole() {
        let fenced = "```\na\n\nb\n```\n";
        assert_eq!(split(fenced), (vec![], fenced.into()));
        let list = "1. a\n\n   more\n\n2. b\n";
        assert_eq!(split(list), (vec![], list.into()));
        assert_eq!(split("- a\n\nafter\n").0, ["- a\n\n"]);
    }

    #[test]
    fn a_table_is_a_table() {
        let html = to_html("|a|b|\n|-|-:|\n|1|2|\n");
        assert!(html.contains("<thead><tr><th>a</th><th class=\"number\">b</th></tr></thead>"), "{html}");
        assert!(html.contains("<td>1</td><td class=\"number\">2</td>"), "{html}");
    }

    proptest! {
        #[test]
        fn the_blocks_together_are_the_text_however_it_arrives(
            pieces in prop::collection::vec(prop::sample::select(vec!["\n", "\n\n", "a", "é", " ", "- x", "1. y", "```", "~~~", "# h", "|", "<b>"]), 0..40),
        ) {
            let whole: String = pieces.concat();
            let mut splitter = Splitter::default();
            let (mut grown, mut before) = (String::new(), Vec::new());
            for piece in pieces {
                grown.push_str(piece);
                splitter.read(&grown);
                let (settled, tail) = blocks(&splitter, &grown);
                prop_assert_eq!(settled.concat() + &tail, grown.clone());
                prop_assert!(settled.starts_with(&before), "settled blocks stay");
                before = settled;
            }
            prop_assert_eq!(before, split(&whole).0);
        }

        #[test]
        fn no_text_makes_an_element_of_its_own(text in "(<[a-z/!]{0,8}|[\\[\\]()<>\"'`&:= \n]|javascript:|onerror=|https://e.org){0,24}") {
            let html = to_html(&text);
            for tag in html.split('<').skip(1) {
                let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
                let known = ["p", "a", "code", "pre", "em", "strong", "ul", "ol", "li", "blockquote", "br", "hr", "h3", "h4", "h5", "h6", "del"];
                prop_assert!(known.contains(&name.as_str()), "<{tag} in {html}");
            }
        }
    }
}
