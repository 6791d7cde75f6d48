//! The nodes of a run, as a tree. Each node has its own memo, so only nodes that changed are rendered again.

use leptos::prelude::*;
use serde_json::{Map, Value};

use super::{
    chart::ChartView,
    collapsible::Collapsible,
    display_state::{DisplayState, display_state, node_duration, node_state, state_icon},
    icons::{Glyph, icon},
    json::LongText,
    markdown::{Markdown, text_of},
    read_message::ReadMessageCard,
    run_tree::{PtrEq, RunSignals, is_report},
    table::TableView,
    tool::ToolCall,
};
use crate::{
    protocol::extensions::TOOL_TASK,
    text::escape_invisible,
    thread::{Node, NodeBody, NodeState, RunState, RunView},
    ui::{format::sentence, part::part},
};

/// The name of the event with a chart.
pub(crate) const CHART: &str = "netra.chart";
/// The name of the event with a table.
pub(crate) const TABLE: &str = "netra.table";

/// The nodes of the run (without `parent`) or of the sub-agent at the index `parent`.
#[component]
pub(crate) fn Nodes(run: RunSignals, #[prop(optional_no_strip)] parent: Option<usize>) -> impl IntoView {
    let read = Memo::new(move |_| {
        let read = |run: &PtrEq<RunView>| run.read.iter().map(|read| read.nodes_before).collect::<Vec<_>>();
        if parent.is_none() { run.view.with(read) } else { Vec::new() }
    });
    let rows = Memo::new(move |_| run.tree.with(|tree| read.with(|read| rows(tree.children(parent), read))));
    let children = move |row: Row| match row {
        Row::Node(index) => run.node(index).map(|node| node_view(run, index, node, parent.is_none())),
        Row::Read(index) => {
            let read = run.view.with_untracked(|run| run.read.get(index).cloned());
            read.map(|read| view! { <ReadMessageCard read/> }.into_any())
        }
    };
    view! { <For each=move || rows.get() key=|row| *row children/> }.into_any()
}

/// What is shown below each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Row {
    /// The node at an index.
    Node(usize),
    /// A message that the agent read during the run, by its index among these.
    Read(usize),
}

/// The nodes, with the messages that were read during the run between them. `read`: how many nodes the run had before each.
fn rows(nodes: &[usize], read: &[usize]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(nodes.len() + read.len());
    let mut read = read.iter().enumerate().peekable();
    for node in nodes {
        while let Some((index, _)) = read.next_if(|(_, before)| **before <= *node) {
            rows.push(Row::Read(index));
        }
        rows.push(Row::Node(*node));
    }
    rows.extend(read.map(|(index, _)| Row::Read(index)));
    rows
}

/// The view of a node. A node's kind never changes; withdrawn nodes are not in the tree.
fn node_view(run: RunSignals, index: usize, node: Memo<PtrEq<Node>>, top_level: bool) -> AnyView {
    let initial = node.get_untracked();
    match &initial.body {
        NodeBody::Text { .. } => {
            let class = if top_level { "answer" } else { "text" };
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
            let call_id = content.get("toolCallId").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
            view! { <ToolTask run call_id/> }.into_any()
        }
        NodeBody::Activity { activity_type, .. } => view! { <Activity node kind=activity_type.clone()/> }.into_any(),
        NodeBody::Custom { name, value } => custom_event(name, value),
    }
}

/// An activity: its text if its only field is a string, else its JSON.
#[component]
fn Activity(node: Memo<PtrEq<Node>>, kind: String) -> impl IntoView {
    let text = Signal::derive(move || {
        node.with(|node| match &node.body {
            NodeBody::Activity { content, .. } => activity_text(content),
            _ => String::new(),
        })
    });
    let label = format!("Activity: {kind}");
    view! {
        <section class="activity" aria-label=label data-node="activity">
            <p class="label">{icon(Glyph::Spark)} " " {kind}</p>
            <LongText text label="Activity"/>
        </section>
    }
    .into_any()
}

fn activity_text(content: &Map<String, Value>) -> String {
    let only_text = || content.values().next().and_then(|value| value.as_str()).filter(|_| content.len() == 1);
    only_text().map_or_else(|| serde_json::to_string_pretty(content).unwrap_or_default(), str::to_owned)
}

/// A note that a tool's task is still running; shown until its call has a result.
#[component]
fn ToolTask(run: RunSignals, call_id: String) -> impl IntoView {
    let running = Memo::new(move |_| run.view.with(|run| is_task_running(run, &call_id)));
    view! {
        <Show when=move || running.get()>
            <p class="quiet" data-node="task">"The tool is still running."</p>
        </Show>
    }
    .into_any()
}

/// Whether the task of a tool call is still running, as far as this run shows. Stopping a run cancels its tasks; a run that ends
/// in another way leaves them running. The call may belong to an earlier run, which then has the result.
fn is_task_running(run: &RunView, call_id: &str) -> bool {
    let result = run.nodes.iter().find_map(|node| match &node.body {
        NodeBody::Tool { result, .. } if node.id == call_id => Some(result),
        _ => None,
    });
    match result {
        Some(result) => result.is_none() && run.state != RunState::Cancelled,
        None => !run.state.is_over(),
    }
}

part!(
    /// A chart or a table: the name and the value of its event.
    pub(crate) FIGURE, figure, |(name, value): (String, Value)| figure(&name, value)
);

/// A chart or a table, by the name and the value of its event.
pub(crate) fn figure(name: &str, value: Value) -> AnyView {
    let chart = || serde_json::from_value(value.clone()).ok().map(|chart| view! { <ChartView chart/> }.into_any());
    let table = || serde_json::from_value(value.clone()).ok().map(|table| view! { <TableView table/> }.into_any());
    let figure = if name == CHART { chart() } else { table() };
    figure.unwrap_or_else(|| event_data(name, &value))
}

/// A custom event: a chart or a table, else its JSON.
fn custom_event(name: &str, value: &Value) -> AnyView {
    match name {
        CHART | TABLE => FIGURE.show((name.to_owned(), value.clone())),
        // Shown as the interrupt at the end of the run.
        "on_interrupt" => ().into_any(),
        _ => event_data(name, value),
    }
}

/// The name and the JSON of a custom event, collapsed.
fn event_data(name: &str, value: &Value) -> AnyView {
    let (name, text) = (escape_invisible(name), serde_json::to_string_pretty(value).unwrap_or_default());
    let summary =
        move || view! { {icon(Glyph::Chevron)} {icon(Glyph::Spark)} <span class="summary-name">{name.clone()}</span> };
    view! {
        <Collapsible open=false class="aside" summary>
            <LongText text=Signal::stored(text.clone()) label="Data"/>
        </Collapsible>
    }
    .into_any()
}

/// A step: its name, state and duration.
#[component]
fn Step(run: RunSignals, node: Memo<PtrEq<Node>>) -> impl IntoView {
    let state = display_state(run, node);
    let name = node.with_untracked(|node| escape_invisible(&node.id));
    view! {
        <div class="step" data-node="step">
            {move || state_icon(state.get())}
            <span class="summary-name">{name}</span>
            <span class="time">{node_duration(node)}</span>
        </div>
    }
    .into_any()
}

/// Reasoning; open while it streams.
#[component]
fn Reasoning(node: Memo<PtrEq<Node>>) -> impl IntoView {
    let state = node_state(node);
    let is_open = Signal::derive(move || state.get() == NodeState::Open);
    let is_empty =
        Memo::new(move |_| node.with(|node| text_of(node).trim().is_empty() && node.state != NodeState::Open));
    let time = node_duration(node);
    let summary = move || {
        view! {
            {icon(Glyph::Chevron)}
            <span class="summary-name">{move || if is_open.get() { "Thinking" } else { "Thought" }}</span>
            <span class="time">{time}</span>
        }
    };
    view! {
        <Show when=move || !is_empty.get()>
            <Collapsible open=is_open class="aside reasoning" summary><Markdown node/></Collapsible>
        </Show>
    }
    .into_any()
}

/// A sub-agent. It collapses when it is done, unless its name is "report".
#[component]
fn Subagent(
    run: RunSignals,
    index: usize,
    node: Memo<PtrEq<Node>>,
    name: String,
    description: Option<String>,
) -> impl IntoView {
    let state = node_state(node);
    let is_report = is_report(&name);
    let is_open = Signal::derive(move || is_report || !matches!(state.get(), NodeState::Done));
    let (error, title) = (subagent_error(run, node), escape_invisible(&name));
    view! {
        <section
            class="subagent"
            class:report=is_report
            aria-label=title.clone()
            data-subagent=name
            data-state=move || format!("{:?}", state.get()).to_lowercase()
        >
            <Collapsible open=is_open class="subagent-details" summary=subagent_summary(run, index, node, title.clone(), description)>
                <div class="subagent-body">
                    {move || error.get().map(|error| view! { <p class="failure">{icon(Glyph::Warning)} <span>{sentence(&error)}</span></p> })}
                    <Nodes run parent=Some(index)/>
                </div>
            </Collapsible>
        </section>
    }
    .into_any()
}

/// A sub-agent's error, unless it was stopped or the run ended with the same message, which is shown at its end.
fn subagent_error(run: RunSignals, node: Memo<PtrEq<Node>>) -> Memo<Option<String>> {
    let state = display_state(run, node);
    Memo::new(move |_| {
        let error = node.with(|node| match &node.body {
            NodeBody::Subagent { error, .. } => error.clone(),
            _ => None,
        })?;
        let is_run_error =
            run.view.with(|run| matches!(&run.state, RunState::Failed { message, .. } if *message == error));
        (!is_run_error && state.get() != DisplayState::Stopped).then_some(error)
    })
}

fn subagent_summary(
    run: RunSignals,
    index: usize,
    node: Memo<PtrEq<Node>>,
    title: String,
    description: Option<String>,
) -> impl Fn() -> AnyView + Send + Sync + 'static {
    let (state, time) = (display_state(run, node), node_duration(node));
    let count = Memo::new(move |_| {
        let children = run.tree.with(|tree| tree.children(Some(index)).to_vec());
        run.view.with(|run| count_label(children.iter().filter_map(|child| run.nodes.get(*child)).map(|node| &**node)))
    });
    move || {
        let description = description
            .as_deref()
            .map(|text| view! { <span class="summary-description">{escape_invisible(text)}</span> });
        view! {
            {move || state_icon(state.get())}
            <span class="summary-name">{title.clone()}</span>
            {description}
            <span class="summary-count">{move || count.get()}</span>
            <span class="time">{time}</span>
            {icon(Glyph::Chevron)}
        }
        .into_any()
    }
}

/// How many steps and tool calls a sub-agent has, in words.
fn count_label<'a>(nodes: impl Iterator<Item = &'a Node>) -> String {
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

    #[test]
    fn a_task_runs_until_its_call_has_a_result_or_its_run_was_stopped() {
        let run = |state: serde_json::Value, call: &str, result: Option<&str>| {
            let body = serde_json::json!({"is": "tool", "name": "book", "args": "{}", "result": result});
            let node = serde_json::json!({"id": call, "state": "called", "started_at": 0, "body": body});
            let run = serde_json::json!({
                "run_id": crate::protocol::RunId::new(), "agent": "model", "state": state, "started_at": 0, "nodes": [node],
            });
            is_task_running(&serde_json::from_value(run).expect("a run"), "c1")
        };
        let is = |state: &str| serde_json::json!({"is": state, "message": "It ended."});
        assert!(run(is("running"), "c1", None) && run(is("failed"), "c1", None));
        assert!(!run(is("running"), "c1", Some("done")) && !run(is("cancelled"), "c1", None));
        assert!(run(is("running"), "another", None) && !run(is("failed"), "another", None));
    }

    #[test]
    fn steps_and_calls_are_counted() {
        let step = || Node {
            id: "s".into(),
            within: None,
            state: NodeState::Open,
            started_at: 0,
            ended_at: None,
            chunked: false,
            body: NodeBody::Step,
        };
        assert_eq!(count_label([step(), step()].iter()), "2 steps");
    }
}
