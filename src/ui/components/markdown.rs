//! A node's text as Markdown that may still grow: settled blocks are parsed once, the tail at most once a frame.

use leptos::prelude::*;

use super::tree::Shared;
use crate::{
    thread::{Node, NodeBody},
    ui::markdown::{Splitter, to_html},
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
    let splitter = Memo::new(move |before: Option<&Splitter>| {
        let mut splitter = before.cloned().unwrap_or_default();
        node.with(|node| splitter.read(said(node)));
        splitter
    });
    let settled = move || splitter.with(Splitter::settled);
    let block = move |range: std::ops::Range<usize>| {
        let html = node.with_untracked(|node| said(node).get(range).map(to_html).unwrap_or_default());
        view! { <div class="block" inner_html=html></div> }
    };
    let tail = move || {
        let from = splitter.with(|splitter| splitter.settled().last().map_or(0, |last| last.end));
        node.with(|node| said(node).get(from..).map(to_html).unwrap_or_default())
    };
    view! {
        <div class="markdown">
            <For each=settled key=|range| (range.start, range.end) children=block/>
            <div class="block tail" inner_html=tail></div>
        </div>
    }
    .into_any()
}
