//! A run's nodes as the tree they form. Each node is watched on its own: only what changed is rendered again.

use std::{collections::HashMap, sync::Arc};

use leptos::prelude::*;

use super::{
    chart::ChartView,
    fold::Fold,
    icons::{Glyph, icon},
    json::Bounded,
    markdown::{Markdown, said},
    node_state::{Shown, icon_of, shown_of, state_of, time_of},
    table::TableView,
    tool::ToolCall,
};
use crate::{
    protocol::extensions::TOOL_TASK,
    text::escape_invisible,
    thread::{Node, NodeBody, NodeState, RunState, RunView},
    ui::format::sentence,
};

/// A shared part of a thread. Two are equal when they are the same one: the reducer replaces what it changes.
#[derive(Debug)]
pub(crate) struct Shared<T>(pub(crate) Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Which nodes belong to which: the run's own under `None`, a sub-agent's under its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(HashMap<Option<usize>, Vec<usize>>);

impl Tree {
    /// The tree of a run. A node whose sub-agent is unknown, or began later, is the run's own: nothing is hidden and
    /// nothing goes in circles.
    pub(crate) fn of(nodes: &[Arc<Node>]) -> Self {
        let mut subagents = HashMap::new();
        let mut tree: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let parent = node.within.as_deref().and_then(|within| subagents.get(within).copied());
            if !matches!(node.body, NodeBody::ReasoningSpan | NodeBody::Withdrawn) {
                tree.entry(parent).or_default().push(index);
            }
            if let NodeBody::Subagent { .. } = node.body {
                subagents.insert(node.id.as_str(), index);
            }
        }
        Self(tree)
    }

    /// The nodes of the run itself (`None`) or of the sub-agent at an index.
    pub(crate) fn within(&self, parent: Option<usize>) -> &[usize] {
        self.0.get(&parent).map_or(&[], Vec::as_slice)
    }
}

/// A run as its parts see it.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) view: Memo<Shared<RunView>>,
    pub(crate) tree: Memo<Tree>,
}

impl Run {
    /// The node at an index, told again only when it changed.
    fn node(self, index: usize) -> Option<Memo<Shared<Node>>> {
        let first = self.view.with_untracked(|run| run.nodes.get(index).cloned())?;
        Some(Memo::new(move |before: Option<&Shared<Node>>| {
            let now = self.view.with(|run| run.nodes.get(index).cloned());
            Shared(now.unwrap_or_else(|| before.map_or_else(|| first.clone(), |before| before.0.clone())))
        }))
    }
}

/// The nodes of the run (`parent` absent) or of a sub-agent.
#[component]
pub(crate) fn Nodes(run: Run, #[prop(optional_no_strip)] parent: Option<usize>) -> impl IntoView {
    let indices = Memo::new(move |_| run.tree.with(|tree| tree.within(parent).to_vec()));
    view! {
        <For
            each=move || indices.get()
            key=|index| *index
            children=move |index| run.node(index).map(|node| one(run, index, node, parent.is_none()))
        />
    }
    .into_any()
}

/// A node as what it is. Of what kind it is never changes; one that was withdrawn is in no tree any more.
fn one(run: Run, index: usize, node: Memo<Shared<Node>>, top: bool) -> AnyView {
    let first = node.get_untracked();
    match &first.body {
        NodeBody::Text { .. } => {
            let class = if top { "answer" } else { "text" };
            view! { <div class=class data-node="text"><Markdown node/></div> }.into_any()
        }
        NodeBody::ReasoningSpan | NodeBody::Withdrawn => ().into_any(),
        NodeBody::Reasoning { .. } => view! { <Reasoning node/> }.into_any(),
        NodeBody::Step => view! { <Step run node/> }.into_any(),
        NodeBody::Tool { name, .. } => view! { <ToolCall run node name=name.clone()/> }.into_any(),
        NodeBody::Subagent { name, description, .. } => {
            view! { <Subagent run index node name=name.clone() description=description.clone()/> }.into_any()
        }
        NodeBody::Activity { activity_type, content } if activity_type == TOOL_TASK => {
            let call = content.get("toolCallId").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
            view! { <ToolTask run call/> }.into_any()
        }
        NodeBody::Activity { activity_type, .. } => view! { <Activity node kind=activity_type.clone()/> }.into_any(),
        NodeBody::Custom { name, value } => custom(name, value),
    }
}

/// An activity: its words where it has no more than those, else the JSON that it is.
#[component]
fn Activity(node: Memo<Shared<Node>>, kind: String) -> impl IntoView {
    let text = Signal::derive(move || {
        node.with(|node| match &node.body {
            NodeBody::Activity { content, .. } => words_of(content),
            _ => String::new(),
        })
    });
    let label = format!("Activity: {kind}");
    view! {
        <section class="activity" aria-label=label data-node="activity">
            <p class="label">{icon(Glyph::Spark)} " " {kind}</p>
            <Bounded text label="Activity"/>
        </section>
    }
    .into_any()
}

/// That a tool goes on working, for as long as its call has no result.
#[component]
fn ToolTask(run: Run, call: String) -> impl IntoView {
    let goes_on = Memo::new(move |_| run.view.with(|run| is_at_work(run, &call)));
    view! {
        <Show when=move || goes_on.get()>
            <p class="quiet" data-node="task">"The tool goes on working."</p>
        </Show>
    }
    .into_any()
}

/// Whether the task of a call goes on, as far as its run tells: stopping a run cancels its tasks, and a run that ends otherwise
/// leaves them at work. The result of a call that an earlier run has stands in that one.
fn is_at_work(run: &RunView, call: &str) -> bool {
    let result = run.nodes.iter().find_map(|node| match &node.body {
        NodeBody::Tool { result, .. } if node.id == call => Some(result),
        _ => None,
    });
    match result {
        Some(result) => result.is_none() && run.state != RunState::Cancelled,
        None => !run.state.is_over(),
    }
}

/// The content of an activity as text.
fn words_of(content: &serde_json::Map<String, serde_json::Value>) -> String {
    let alone = || content.values().next().and_then(|value| value.as_str()).filter(|_| content.len() == 1);
    alone().map_or_else(|| serde_json::to_string_pretty(content).unwrap_or_default(), str::to_owned)
}

/// What agent and page agreed on; anything else as the JSON it is.
fn custom(name: &str, value: &serde_json::Value) -> AnyView {
    let shown = match name {
        "netra.chart" => {
            serde_json::from_value(value.clone()).ok().map(|chart| view! { <ChartView chart/> }.into_any())
        }
        "netra.table" => {
            serde_json::from_value(value.clone()).ok().map(|table| view! { <TableView table/> }.into_any())
        }
        // The run ends with this as its question.
        "on_interrupt" => Some(().into_any()),
        _ => None,
    };
    shown.unwrap_or_else(|| {
        let (name, text) = (escape_invisible(name), serde_json::to_string_pretty(value).unwrap_or_default());
        view! {
            <Fold open=false class="aside" summary=move || plain_summary(Glyph::Spark, name.clone())>
                <Bounded text=Signal::stored(text.clone()) label="Data"/>
            </Fold>
        }
        .into_any()
    })
}

fn plain_summary(glyph: Glyph, text: String) -> impl IntoView {
    view! { {icon(Glyph::Chevron)} {icon(glyph)} <span class="fold-name">{text}</span> }
}

/// A step: its name and whether it is done.
#[component]
fn Step(run: Run, node: Memo<Shared<Node>>) -> impl IntoView {
    let shown = shown_of(run, node);
    let name = node.with_untracked(|node| escape_invisible(&node.id));
    view! {
        <div class="step" data-node="step">
            {move || icon_of(shown.get())}
            <span class="fold-name">{name}</span>
            <span class="time">{time_of(node)}</span>
        </div>
    }
    .into_any()
}

/// What was thought: open while it is being thought.
#[component]
fn Reasoning(node: Memo<Shared<Node>>) -> impl IntoView {
    let state = state_of(node);
    let is_open = Signal::derive(move || state.get() == NodeState::Open);
    let empty = Memo::new(move |_| node.with(|node| said(node).trim().is_empty() && node.state != NodeState::Open));
    let time = time_of(node);
    let summary = move || {
        view! {
            {icon(Glyph::Chevron)}
            <span class="fold-name">{move || if is_open.get() { "Thinking" } else { "Thought" }}</span>
            <span class="time">{time}</span>
        }
    };
    view! {
        <Show when=move || !empty.get()>
            <Fold open=is_open class="aside reasoning" summary><Markdown node/></Fold>
        </Show>
    }
    .into_any()
}

/// A sub-agent. The one that reports stays open when it is done, the others fold to one line.
#[component]
fn Subagent(
    run: Run,
    index: usize,
    node: Memo<Shared<Node>>,
    name: String,
    description: Option<String>,
) -> impl IntoView {
    let state = state_of(node);
    let reports = name.eq_ignore_ascii_case("report");
    let is_open = Signal::derive(move || reports || !matches!(state.get(), NodeState::Done));
    let shown = shown_of(run, node);
    // What the run says at its end, word for word, is said there.
    let error = Memo::new(move |_| {
        let error = node.with(|node| match &node.body {
            NodeBody::Subagent { error, .. } => error.clone(),
            _ => None,
        })?;
        let told = run.view.with(|run| matches!(&run.state, RunState::Failed { message, .. } if *message == error));
        (!told && shown.get() != Shown::Stopped).then_some(error)
    });
    let count = Memo::new(move |_| {
        let children = run.tree.with(|tree| tree.within(Some(index)).to_vec());
        run.view.with(|run| summary_of(children.iter().filter_map(|child| run.nodes.get(*child)).map(|node| &**node)))
    });
    let title = escape_invisible(&name);
    let label = title.clone();
    let time = time_of(node);
    let summary = move || {
        let description =
            description.as_deref().map(|text| view! { <span class="fold-about">{escape_invisible(text)}</span> });
        view! {
            {move || icon_of(shown.get())}
            <span class="fold-name">{title.clone()}</span>
            {description}
            <span class="fold-count">{move || count.get()}</span>
            <span class="time">{time}</span>
            {icon(Glyph::Chevron)}
        }
    };
    view! {
        <section
            class="subagent"
            class:report=reports
            aria-label=label
            data-subagent=name
            data-state=move || format!("{:?}", state.get()).to_lowercase()
        >
            <Fold open=is_open class="subagent-fold" summary>
                <div class="subagent-body">
                    {move || error.get().map(|error| view! { <p class="failure">{icon(Glyph::Warning)} <span>{sentence(&error)}</span></p> })}
                    <Nodes run parent=Some(index)/>
                </div>
            </Fold>
        </section>
    }
    .into_any()
}

/// What a sub-agent did, in few words.
fn summary_of<'a>(nodes: impl Iterator<Item = &'a Node>) -> String {
    let (mut steps, mut calls) = (0, 0);
    for node in nodes {
        match node.body {
            NodeBody::Step => steps += 1,
            NodeBody::Tool { .. } => calls += 1,
            _ => {}
        }
    }
    let counted = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let parts = [counted(steps, "step", "steps"), counted(calls, "tool call", "tool calls")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, within: Option<&str>, subagent: bool) -> Arc<Node> {
        let body = match subagent {
            true => NodeBody::Subagent { name: id.into(), description: None, error: None },
            false => NodeBody::Step,
        };
        let within = within.map(str::to_owned);
        let id = id.to_owned();
        Arc::new(Node { id, within, state: NodeState::Open, started_at: 0, ended_at: None, chunked: false, body })
    }

    #[test]
    fn nodes_belong_to_the_subagent_that_began_before_them() {
        let nodes = [
            node("early", Some("a"), false),
            node("a", None, true),
            node("b", Some("a"), true),
            node("x", Some("b"), false),
            node("self", Some("self"), true),
            node("y", None, false),
        ];
        let tree = Tree::of(&nodes);
        assert_eq!(tree.within(None), [0, 1, 4, 5]);
        assert_eq!(tree.within(Some(1)), [2]);
        assert_eq!(tree.within(Some(2)), [3]);
        assert_eq!(tree.within(Some(4)), [] as [usize; 0]);
    }

    #[test]
    fn a_tool_goes_on_working_until_its_call_has_a_result_or_its_run_was_stopped() {
        let run = |state: serde_json::Value, call: &str, result: Option<&str>| {
            let body = serde_json::json!({"is": "tool", "name": "book", "args": "{}", "result": result});
            let node = serde_json::json!({"id": call, "state": "called", "started_at": 0, "body": body});
            let run = serde_json::json!({
                "run_id": crate::protocol::RunId::new(), "agent": "model", "state": state, "started_at": 0, "nodes": [node],
            });
            is_at_work(&serde_json::from_value(run).expect("a run"), "c1")
        };
        let is = |state: &str| serde_json::json!({"is": state, "message": "It ended."});
        assert!(run(is("running"), "c1", None) && run(is("failed"), "c1", None));
        assert!(!run(is("running"), "c1", Some("done")) && !run(is("cancelled"), "c1", None));
        assert!(run(is("running"), "another", None) && !run(is("failed"), "another", None));
    }

    #[test]
    fn a_summary_counts_steps_and_calls() {
        let nodes = [node("s", None, false), node("t", None, false)];
        assert_eq!(summary_of(nodes.iter().map(|node| &**node)), "2 steps");
    }
}
