//! A node's text, rendered as Markdown while it streams.
//!
//! The initial text is rendered as HTML, on the server and in the browser alike. Later text changes as few elements as possible, so
//! that a selection in finished blocks survives.

use leptos::{html, prelude::*};

use super::run_tree::PtrEq;
use crate::{
    thread::{Node, NodeBody, NodeState},
    ui::{
        markdown::{Document, to_html},
        scripts::prepare_answer,
    },
};

/// The text of a text or reasoning node; empty for others.
pub(crate) fn text_of(node: &Node) -> &str {
    match &node.body {
        NodeBody::Text { text, .. } | NodeBody::Reasoning { text } => text,
        _ => "",
    }
}

/// A node's text.
#[component]
pub(crate) fn Markdown(node: Memo<PtrEq<Node>>) -> impl IntoView {
    let area = NodeRef::<html::Div>::new();
    let initial = node.get_untracked();
    let html = to_html(text_of(&initial));
    Effect::new(move |before: Option<Rendered>| {
        let mut rendered = before.unwrap_or_else(|| Rendered { node: initial.clone(), document: None });
        let node = node.get();
        if let Some(area) = area.get() {
            rendered.update(node, &area);
            prepare_answer(&area);
        }
        rendered
    });
    let is_growing = Memo::new(move |_| node.with(|node| node.state == NodeState::Open));
    view! { <div class="markdown" class:growing=is_growing inner_html=html node_ref=area></div> }.into_any()
}

/// What the page shows.
struct Rendered {
    node: PtrEq<Node>,
    /// Created when the text grows for the first time; most texts never do.
    document: Option<Document>,
}

impl Rendered {
    /// Updates the page to the node's current text.
    fn update(&mut self, node: PtrEq<Node>, area: &leptos::web_sys::HtmlDivElement) {
        let (before, now) = (text_of(&self.node), text_of(&node));
        let is_final = !matches!(node.state, NodeState::Open);
        if !now.starts_with(before) {
            area.set_inner_html(&to_html(now));
            self.document = None;
        } else if now.len() > before.len() || (is_final && self.document.is_some()) {
            let document = self.document.get_or_insert_with(|| Document::new(before));
            for edit in document.update(now, is_final) {
                dom::apply(area, edit);
            }
        }
        self.node = node;
    }
}

/// Applies edits to the DOM. A unit is a top-level block, one child of the area.
mod dom {
    use leptos::{
        wasm_bindgen::JsCast,
        web_sys::{Element, HtmlDivElement, Text},
    };

    use crate::ui::markdown::Edit;

    pub(super) fn apply(area: &HtmlDivElement, edit: Edit) {
        // An edit fails only if another script removed its element; the other edits still apply.
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

    fn child(area: &Element, index: usize) -> Option<Element> {
        area.children().item(u32::try_from(index).ok()?)
    }

    /// The element that contains a unit's parts, which are list items or rows. For a table (in a `div`), it is the `tbody`.
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

    fn replace(area: &Element, index: usize, html: &str) -> Option<()> {
        child(area, index)?.set_outer_html(html);
        Some(())
    }

    fn code(area: &Element, unit: usize, keep: usize, text: &str) -> Option<()> {
        let code = child(area, unit)?.query_selector("pre > code").ok()??;
        let keep = u32::try_from(keep).ok()?;
        // Code that was highlighted becomes one text again.
        if code.child_element_count() > 0 || code.first_child().is_none() {
            let before = code.text_content().unwrap_or_default();
            code.set_text_content(Some(""));
            code.append_with_str_1(&before).ok()?;
        }
        let text_node = code.first_child()?.dyn_into::<Text>().ok()?;
        text_node.replace_data(keep, text_node.length().saturating_sub(keep), text).ok()
    }
}
