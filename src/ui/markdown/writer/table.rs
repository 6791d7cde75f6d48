//! Tables: a row of buttons above, and an area that scrolls sideways.

use std::{fmt::Write, ops::Range};

use pulldown_cmark::{Alignment, TagEnd};

use super::{super::unit::TABLE_END, Writer};

/// The HTML before a table's attributes. `answer_tools` handles the buttons.
pub(super) const TABLE_HEAD: &str = concat!(
    "<div class=\"table\"><div class=\"block-head\">",
    "<button type=\"button\" data-press=\"csv\">Copy as CSV</button>",
    "<button type=\"button\" data-press=\"markdown\">Copy as Markdown</button></div>",
    "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table",
);

impl Writer<'_> {
    pub(super) fn end_table(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Table if self.open.is_empty() => {}
            TagEnd::Table => self.html.push_str(TABLE_END),
            TagEnd::TableHead => {
                self.in_head = false;
                self.html.push_str("</tr></thead><tbody>");
                if let (1, Some(unit)) = (self.open.len(), self.units.last_mut()) {
                    unit.head = std::mem::take(&mut self.html);
                    unit.labels = std::mem::take(&mut *self.labels.borrow_mut());
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
            _ => self.write_block(if self.in_head { "</th>" } else { "</td>" }),
        }
    }

    pub(super) fn start_cell(&mut self, range: &Range<usize>) {
        // A cell with an empty range was added by the parser because the row lacks it, or is written as `||`. It was written if
        // a cell that is not empty follows.
        if !self.in_head && range.is_empty() && self.cell > 0 {
            self.missing += 1;
            return;
        }
        for _ in 0..std::mem::take(&mut self.missing) {
            self.html.push_str("<td></td>");
            self.cell += 1;
        }
        let right = self.columns.get(self.cell) == Some(&Alignment::Right);
        self.cell += 1;
        self.write_block(match (self.in_head, right) {
            (true, true) => "<th class=\"number\">",
            (true, false) => "<th>",
            (false, true) => "<td class=\"number\">",
            (false, false) => "<td>",
        });
    }
}
