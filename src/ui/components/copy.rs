//! The button that copies an answer or a message, and the text of an answer.

use leptos::{html, prelude::*};

use super::{
    icons::{Glyph, icon},
    markdown::text_of,
    run_tree::{NodeTree, is_report},
};
use crate::{
    thread::{NodeBody, RunView},
    ui::scripts,
};

/// A button that copies a text and shows whether that worked.
#[component]
pub(crate) fn CopyButton(class: &'static str, text: Callback<(), String>) -> impl IntoView {
    let button = NodeRef::<html::Button>::new();
    let copy = move |_| {
        if let Some(button) = button.get_untracked() {
            scripts::copy_text(&button, &text.run(()));
        }
    };
    view! {
        <button type="button" class=class node_ref=button on:click=copy>{icon(Glyph::Copy)} <span>"Copy"</span></button>
    }
    .into_any()
}

/// The Markdown of a run's texts: its own, and those of sub-agents that write a report.
pub(crate) fn answer_text(run: &RunView) -> String {
    let mut texts = Vec::new();
    collect_texts(run, &NodeTree::new(&run.nodes), None, &mut texts);
    texts.join("\n\n")
}

fn collect_texts<'a>(run: &'a RunView, tree: &NodeTree, parent: Option<usize>, texts: &mut Vec<&'a str>) {
    for index in tree.children(parent) {
        let Some(node) = run.nodes.get(*index) else { continue };
        match &node.body {
            NodeBody::Text { .. } if !text_of(node).trim().is_empty() => texts.push(text_of(node).trim()),
            NodeBody::Subagent { name, .. } if is_report(name) || parent.is_some() => {
                collect_texts(run, tree, Some(*index), texts);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_run_and_of_its_report_are_copied() {
        let node = |id: &str, within: Option<&str>, body: serde_json::Value| serde_json::json!({"id": id, "within": within, "state": "done", "started_at": 0, "body": body});
        let text = |text: &str| serde_json::json!({"is": "text", "role": "assistant", "text": text});
        let subagent = |name: &str| serde_json::json!({"is": "subagent", "name": name});
        let run = serde_json::json!({
            "run_id": crate::protocol::RunId::new(), "agent": "model", "state": {"is": "finished"}, "started_at": 0,
            "nodes": [
                node("a", None, subagent("search")), node("b", Some("a"), text("Searching")), node("c", None, text("One ")),
                node("d", None, subagent("Report")), node("e", Some("d"), text("*Two*")), node("f", None, text(" ")),
            ],
        });
        let run: RunView = serde_json::from_value(run).expect("a run");
        assert_eq!(answer_text(&run), "One\n\n*Two*");
    }
}
