//! Reference links: their addresses are defined elsewhere in the text, possibly later.

use std::{
    cell::Cell,
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::Arc,
};

use super::{
    document::drop_probe,
    edit::Edit,
    source::Source,
    writer::{Definition, parse_units},
};

/// The most bytes of addresses that reference links may add to the HTML, beyond the length of the text.
const MAX_EXPANSION_BYTES: usize = 100_000;

/// The reference links of a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    /// The addresses of definitions in the settled text, by label.
    pub(super) settled: HashMap<String, String>,
    /// Labels whose definition was settled since the last update.
    newly_settled: Vec<String>,
    /// The addresses of definitions in the unsettled text, by label.
    unsettled: HashMap<String, String>,
    /// Settled text that refers to a label.
    references: HashMap<String, Vec<Arc<Reference>>>,
    /// Bytes of addresses that were added to settled links.
    expanded_bytes: usize,
}

/// A settled unit or part that refers to labels.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) unit: usize,
    pub(super) part: Option<usize>,
    /// Its range in the text.
    pub(super) range: Range<usize>,
    pub(super) prefix: Arc<str>,
    pub(super) in_math: bool,
}

impl Links {
    /// Adds settled definitions.
    pub(super) fn define(&mut self, definitions: impl Iterator<Item = Definition>) {
        for definition in definitions {
            // The first definition of a label wins.
            if let Entry::Vacant(entry) = self.settled.entry(definition.label) {
                self.newly_settled.push(entry.key().clone());
                entry.insert(definition.address);
            }
        }
    }

    /// Replaces the unsettled definitions. Adds edits that render again each reference whose definition appeared, changed or
    /// disappeared. `added`: newly settled references, with their labels.
    pub(super) fn update(
        &mut self,
        text: &str,
        unsettled: HashMap<String, String>,
        added: Vec<(Arc<Reference>, Vec<String>)>,
        edits: &mut Vec<Edit>,
    ) {
        let before = std::mem::replace(&mut self.unsettled, unsettled);
        let mut stale = self.stale(&before);
        for (reference, mut labels) in added {
            labels.sort_unstable();
            labels.dedup();
            if labels.iter().any(|label| self.unsettled.contains_key(label)) {
                stale.push(reference.clone());
            }
            for label in labels {
                self.references.entry(label).or_default().push(reference.clone());
            }
        }
        stale.sort_unstable_by_key(|reference| (reference.unit, reference.part));
        stale.dedup_by_key(|reference| (reference.unit, reference.part));
        for reference in stale {
            edits.extend(self.render(text, &reference));
        }
    }

    fn address(&self, label: &str) -> Option<&String> {
        self.settled.get(label).or_else(|| self.unsettled.get(label))
    }

    /// The references to labels whose definition changed. `before`: the unsettled definitions before the update.
    fn stale(&mut self, before: &HashMap<String, String>) -> Vec<Arc<Reference>> {
        let newly_settled = std::mem::take(&mut self.newly_settled);
        let labels = before.keys().chain(self.unsettled.keys()).chain(&newly_settled);
        let changed = labels.filter(|label| before.get(*label) != self.address(label));
        changed.filter_map(|label| self.references.get(label)).flatten().cloned().collect()
    }

    fn render(&mut self, text: &str, reference: &Reference) -> Option<Edit> {
        let source = Source::new(&reference.prefix, &text[reference.range.clone()], reference.in_math);
        let mut budget = (text.len() + MAX_EXPANSION_BYTES).saturating_sub(self.expanded_bytes);
        let used = Cell::new(0);
        let (mut units, _) = parse_units(&source, |label| {
            let address = self.address(label)?;
            used.set(used.get() + address.len());
            (used.get() <= budget).then(|| address.clone())
        });
        budget = budget.min(used.get());
        self.expanded_bytes += budget;
        if reference.part.is_some() {
            drop_probe(&mut units);
        }
        let mut with = units.into_iter().next()?;
        match reference.part {
            Some(part) => {
                let html = with.parts.first_mut().map(|part| std::mem::take(&mut part.html))?;
                Some(Edit::ReplacePart { unit: reference.unit, part, html })
            }
            None => Some(Edit::Replace { unit: reference.unit, with }),
        }
    }
}
