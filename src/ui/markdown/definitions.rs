//! Links whose address stands elsewhere in the text, perhaps behind them.

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
    writer::{Definition, units},
};

/// The most bytes of addresses that links take over from definitions elsewhere, beside as many as the text has.
const MAX_EXPANSION_BYTES: usize = 100_000;

/// Links whose addresses are defined elsewhere in the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    /// Definitions in the settled text, by label.
    pub(super) settled: HashMap<String, String>,
    /// Labels whose definition was settled since links were rendered last.
    fresh: Vec<String>,
    /// Definitions in the rest.
    recent: HashMap<String, String>,
    /// What is settled and refers to a label.
    references: HashMap<String, Vec<Arc<Reference>>>,
    /// Bytes of addresses that settled links took over.
    expanded: usize,
}

/// Something settled that refers to labels.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) unit: usize,
    pub(super) part: Option<usize>,
    /// Where it stands in the text.
    pub(super) range: Range<usize>,
    pub(super) prefix: Arc<str>,
    pub(super) in_math: bool,
}

impl Links {
    /// Definitions are settled.
    pub(super) fn define(&mut self, definitions: impl Iterator<Item = Definition>) {
        for definition in definitions {
            // The first of a label counts.
            if let Entry::Vacant(place) = self.settled.entry(definition.label) {
                self.fresh.push(place.key().clone());
                place.insert(definition.address);
            }
        }
    }

    /// The definitions that are not settled are these now. Renders again what refers to one that came, changed or went;
    /// `added`: what was settled meanwhile, with its labels.
    pub(super) fn update(
        &mut self,
        text: &str,
        recent: HashMap<String, String>,
        added: Vec<(Arc<Reference>, Vec<String>)>,
        edits: &mut Vec<Edit>,
    ) {
        let before = std::mem::replace(&mut self.recent, recent);
        let mut stale = self.stale(&before);
        for (reference, mut labels) in added {
            labels.sort_unstable();
            labels.dedup();
            if labels.iter().any(|label| self.recent.contains_key(label)) {
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
        self.settled.get(label).or_else(|| self.recent.get(label))
    }

    /// What refers to labels whose definition is not what it was; `before`: the recent ones of before.
    fn stale(&mut self, before: &HashMap<String, String>) -> Vec<Arc<Reference>> {
        let fresh = std::mem::take(&mut self.fresh);
        let labels = before.keys().chain(self.recent.keys()).chain(&fresh);
        let changed = labels.filter(|label| before.get(*label) != self.address(label));
        changed.filter_map(|label| self.references.get(label)).flatten().cloned().collect()
    }

    fn render(&mut self, text: &str, reference: &Reference) -> Option<Edit> {
        let source = Source::new(&reference.prefix, &text[reference.range.clone()], reference.in_math);
        let mut left = (text.len() + MAX_EXPANSION_BYTES).saturating_sub(self.expanded);
        let taken = Cell::new(0);
        let (mut units, _) = units(&source, |label| {
            let address = self.address(label)?;
            taken.set(taken.get() + address.len());
            (taken.get() <= left).then(|| address.clone())
        });
        left = left.min(taken.get());
        self.expanded += left;
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
