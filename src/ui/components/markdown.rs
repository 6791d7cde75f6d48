//! A node's text as Markdown that may still grow.
//!
//! The text as it is first is written as HTML, on the server as in the browser. What comes after that changes only what it
//! must: elements that are settled stay the ones they are, and with them what a reader selected in them.

use leptos::{html, prelude::*};

use super::tree::Shared;
use crate::{
    thread::{Node, NodeBody, NodeState},
    ui::markdown::{Document, to_html},
};

/// What a node says.
pub(crate) fn said(node: &Node) -> &str {
    match &node.body {
        NodeBody::Text { text, .. } | NodeBody::Reasoning { text } => text,
        _ => "",
    }
}

/// A node's text.
#[component]
pub(crate) fn Markdown(node: Memo<Shared<Node>>) -> impl IntoView {
    let area = NodeRef::<html::Div>::new();
    let first = node.get_untracked();
    let html = to_html(said(&first));
    Effect::new(move |before: Option<Shown>| {
        let mut shown = before.unwrap_or_else(|| Shown { node: first.clone(), document: None });
        let node = node.get();
        if let Some(area) = area.get() {
            shown.update(node, &area);
        }
        shown
    });
    view! { <div class="markdown" inner_html=html node_ref=area></div> }.into_any()
}

/// What is on the page.
struct Shown {
    node: Shared<Node>,
    /// Made when the text goes on for the first time: most never do.
    document: Option<Document>,
}

impl Shown {
    /// Shows what `node` says now.
    fn update(&mut self, node: Shared<Node>, area: &leptos::web_sys::HtmlDivElement) {
        let (before, now) = (said(&self.node), said(&node));
        let is_whole = !matches!(node.state, NodeState::Open);
        if !now.starts_with(before) {
            area.set_inner_html(&to_html(now));
            self.document = None;
        } else if now.len() > before.len() || (is_whole && self.document.is_some()) {
            let document = self.document.get_or_insert_with(|| Document::new(before));
            for edit in document.update(now, is_whole) {
                dom::apply(area, edit);
            }
        }
        self.node = node;
    }
}

/// Edits on the elements that show them.
mod dom {
    use leptos::{
        wasm_bindgen::JsCast,
        web_sys::{Element, HtmlDivElement, Text},
    };

    use crate::ui::markdown::Edit;

    pub(super) fn apply(area: &HtmlDivElement, edit: Edit) {
        // What cannot be done here fails for want of an element, where somebody else changed the page: the rest goes on.
        let _ = match edit {
            Edit::Truncate { units } => truncate(area, units),
            Edit::Push(unit) => append(area, &unit.html()),
            Edit::Replace { unit, with } => replace(area, unit, &with.html()),
            Edit::Parts { unit, keep, parts } => container(area, unit)
                .and_then(|unit| truncate(&unit, keep).and_then(|()| append(&unit, &parts.concat()))),
            Edit::ReplacePart { unit, part, html } => {
                container(area, unit).and_then(|unit| replace(&unit, part, &html))
            }
            Edit::Code { unit, keep, text } => code(area, unit, keep.utf16, &text),
            Edit::Loose { unit, loose } => {
                child(area, unit).and_then(|list| list.class_list().toggle_with_force("tight", !loose).ok().map(|_| ()))
            }
        };
    }

    fn child(area: &Element, place: usize) -> Option<Element> {
        area.children().item(u32::try_from(place).ok()?)
    }

    /// The element that holds the parts of a unit.
    fn container(area: &Element, unit: usize) -> Option<Element> {
        let unit = child(area, unit)?;
        if unit.tag_name() == "DIV" { unit.query_selector("tbody").ok()? } else { Some(unit) }
    }

    fn truncate(area: &Element, keep: usize) -> Option<()> {
        let keep = u32::try_from(keep).ok()?;
        while area.child_element_count() > keep {
            area.last_element_child()?.remove();
        }
        Some(())
    }

    fn append(area: &Element, html: &str) -> Option<()> {
        area.insert_adjacent_html("beforeend", html).ok()
    }

    fn replace(area: &Element, place: usize, html: &str) -> Option<()> {
        child(area, place)?.set_outer_html(html);
        Some(())
    }

    fn code(area: &Element, unit: usize, keep: usize, text: &str) -> Option<()> {
        let code = child(area, unit)?.first_element_child()?;
        let Some(shown) = code.first_child().and_then(|node| node.dyn_into::<Text>().ok()) else {
            code.set_text_content(Some(text));
            return Some(());
        };
        let keep = u32::try_from(keep).ok()?;
        shown.replace_data(keep, shown.length().saturating_sub(keep), text).ok()
    }
}
