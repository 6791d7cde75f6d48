//! The spans of traces: a span that sums up spans below it must not count beside them.

use std::collections::{HashMap, HashSet};

use crate::analyst::dataset::Dataset;

/// Most spans above a span that are looked at: a log may contain a circle.
const MAX_DEPTH: usize = 64;

/// A span, by the hash of its id.
#[derive(Debug, Clone, Copy)]
struct Span {
    parent: Option<u64>,
    row: Option<SpanRow>,
}

/// The row of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanRow {
    /// Its number.
    pub at: u32,
    /// Whether it has token counts.
    pub has_tokens: bool,
    /// Whether its request failed.
    pub failed: bool,
}

/// All spans of a log.
#[derive(Debug, Default)]
pub(super) struct SpanTree {
    spans: HashMap<u64, Span>,
}

/// What the tree shows about rows.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Rows that sum up rows below them.
    pub summing: HashSet<u32>,
    /// Rows without tokens that wrap, or are part of, rows with tokens.
    pub empty: HashSet<u32>,
    /// The number of summing rows that state more tokens than all rows below them together.
    pub with_more: u64,
}

impl SpanTree {
    /// Adds a span without a row, unless it is known.
    pub(super) fn add(&mut self, id: u64, parent: Option<u64>) {
        self.spans.entry(id).or_insert(Span { parent, row: None });
    }

    /// Adds the span of a row.
    pub(super) fn add_row(&mut self, id: u64, parent: Option<u64>, row: SpanRow) {
        self.spans.insert(id, Span { parent, row: Some(row) });
    }

    /// The rows of the spans above a span, the nearest first.
    fn above(&self, parent: Option<u64>) -> impl Iterator<Item = SpanRow> + '_ {
        let up = move |span: &Span| self.spans.get(&span.parent?).copied();
        let first = parent.and_then(|id| self.spans.get(&id).copied());
        std::iter::successors(first, up).take(MAX_DEPTH).filter_map(|span| span.row)
    }

    /// Finds the rows that do not count beside others; `dropped` ones do not count already.
    pub(super) fn find(&self, data: &Dataset, dropped: &HashSet<u32>) -> Findings {
        let mut found = Findings::default();
        let rows = || {
            let rows = self.spans.values().filter_map(|span| Some((span.parent, span.row?)));
            rows.filter(|(_, row)| !dropped.contains(&row.at))
        };
        for (parent, _) in rows().filter(|(_, row)| row.has_tokens) {
            for sum in self.above(parent) {
                if sum.has_tokens { &mut found.summing } else { &mut found.empty }.insert(sum.at);
            }
        }
        for (parent, row) in rows().filter(|(_, row)| !row.has_tokens && !row.failed) {
            if self.above(parent).any(|sum| sum.has_tokens && !dropped.contains(&sum.at)) {
                found.empty.insert(row.at);
            }
        }
        let mut below: HashMap<u32, u64> = HashMap::new();
        for (parent, row) in rows().filter(|(_, row)| row.has_tokens && !found.summing.contains(&row.at)) {
            for sum in self.above(parent).filter(|sum| sum.has_tokens) {
                *below.entry(sum.at).or_default() += data.tokens(row.at as usize);
            }
        }
        found.with_more = below.iter().filter(|(sum, tokens)| data.tokens(**sum as usize) > **tokens).count() as u64;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::dataset::Row;

    fn data(tokens: &[u64]) -> Dataset {
        let mut data = Dataset::default();
        tokens.iter().for_each(|n| data.push(&Row { input: Some(*n), output: Some(0), ..Row::default() }));
        data
    }

    fn row(at: u32, has_tokens: bool) -> SpanRow {
        SpanRow { at, has_tokens, failed: false }
    }

    #[test]
    fn sums_over_spans_without_rows_do_not_count() {
        let mut tree = SpanTree::default();
        tree.add_row(1, None, row(0, true));
        tree.add(2, Some(1));
        tree.add_row(3, Some(2), row(1, true));
        tree.add_row(4, Some(2), row(2, true));
        let found = tree.find(&data(&[30, 10, 20]), &HashSet::new());
        assert_eq!((found.summing, found.with_more), (HashSet::from([0]), 0));
        let found = tree.find(&data(&[31, 10, 20]), &HashSet::new());
        assert_eq!(found.with_more, 1, "some spans below are missing");
    }

    #[test]
    fn a_request_without_tokens_takes_nothing_from_the_sum_above_it() {
        let mut tree = SpanTree::default();
        tree.add_row(1, None, row(0, true));
        tree.add_row(2, Some(1), row(1, false));
        let found = tree.find(&data(&[30, 0]), &HashSet::new());
        assert!(found.summing.is_empty());
        assert_eq!(found.empty, HashSet::from([1]));
        // A wrapper without tokens around a request with tokens.
        let mut tree = SpanTree::default();
        tree.add_row(1, None, row(0, false));
        tree.add_row(2, Some(1), row(1, true));
        assert_eq!(tree.find(&data(&[0, 30]), &HashSet::new()).empty, HashSet::from([0]));
    }

    #[test]
    fn a_circle_of_spans_ends() {
        let mut tree = SpanTree::default();
        tree.add_row(1, Some(2), row(0, true));
        tree.add_row(2, Some(1), row(1, true));
        assert_eq!(tree.find(&data(&[1, 1]), &HashSet::new()).summing.len(), 2);
    }
}
