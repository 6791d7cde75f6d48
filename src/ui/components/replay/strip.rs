//! The strip of a replay: a small Gantt chart of a run's agents, steps, tool calls and waits. Computes its rows and bars.
//!
//! Each agent has a row, followed by rows for its steps and for its tool calls; those that overlap are in rows of their own. Rows, and
//! bars of a row, are bounded: what is beyond shares a row, and bars that begin close to each other become one.

use super::{pace::Pace, recording::Recording};
use crate::{
    text::escape_invisible,
    thread::{Node, NodeBody, NodeState, Resolution, RunState},
    ui::{components::run_tree::NodeTree, format},
};

/// The most rows.
const MAX_ROWS: usize = 40;
/// The most rows for overlapping steps, or calls, of one agent.
const MAX_LANES: usize = 4;
/// The most bars in a row.
const MAX_BARS: usize = 60;
/// The least width of a bar, as a share of the chart's. `MAX_BARS` of them fit.
const MIN_BAR_WIDTH: f64 = 0.006;

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BarKind {
    Agent,
    Step,
    Tool,
    Wait,
}

impl BarKind {
    /// The value of `data-kind`, which the style reads.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Step => "step",
            Self::Tool => "tool",
            Self::Wait => "wait",
        }
    }
}

/// A bar, or several that are drawn as one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) kind: BarKind,
    name: String,
    /// How many bars this one stands for.
    count: usize,
    started_at: i64,
    ended_at: i64,
    /// The position at which the replay shows its beginning.
    pub(super) position: usize,
    pub(super) has_failed: bool,
    /// Where it begins and ends in the chart, as shares of the chart's width. Set by [`lay_out`].
    pub(super) extent: (f64, f64),
}

impl Bar {
    /// What it is and how long it took: `Tool call look_up, 1.2 s`.
    pub(super) fn label(&self) -> String {
        let name = &self.name;
        let duration = format::duration(self.ended_at - self.started_at);
        let failed = if self.has_failed { ", failed" } else { "" };
        match (self.kind, self.count) {
            (BarKind::Agent | BarKind::Wait, 1) => format!("{name}, {duration}{failed}"),
            (BarKind::Step, 1) => format!("Step {name}, {duration}{failed}"),
            (BarKind::Tool, 1) => format!("Tool call {name}, {duration}{failed}"),
            (BarKind::Agent, count) => format!("{count} agents from {name} on, {duration}{failed}"),
            (BarKind::Wait, count) => format!("{count} waits, {duration}"),
            (BarKind::Step, count) => format!("{count} steps from {name} on, {duration}{failed}"),
            (BarKind::Tool, count) => format!("{count} tool calls from {name} on, {duration}{failed}"),
        }
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.ended_at = self.ended_at.max(other.ended_at);
        self.has_failed |= other.has_failed;
    }
}

/// A row of the chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) label: String,
    /// How many agents its agent is within.
    pub(super) depth: usize,
    /// Whether it is an agent's first row.
    pub(super) is_agent: bool,
    pub(super) bars: Vec<Bar>,
}

/// When a run that waited for its user got an answer.
pub(super) fn answered_at(recording: &Recording) -> Option<i64> {
    match &recording.run.answered {
        Some(Resolution::Answered { at, .. }) => Some(*at),
        _ => None,
    }
}

/// The rows of a run. `agent` is the agent's name.
pub(super) fn rows(recording: &Recording, agent: &str, pace: &Pace) -> Vec<Row> {
    let tree = NodeTree::new(&recording.run.nodes);
    let chart = Chart { recording, tree, pace };
    let mut rows = vec![Row { label: agent.to_owned(), depth: 0, is_agent: true, bars: chart.run_bars(agent) }];
    chart.add_children(None, 0, &mut rows);
    if rows.len() > MAX_ROWS {
        let rest = rows.split_off(MAX_ROWS - 1);
        let label = format!("{} more rows", rest.len());
        let mut bars: Vec<Bar> = rest.into_iter().filter(|row| row.is_agent).flat_map(|row| row.bars).collect();
        bars.sort_by_key(|bar| bar.started_at);
        rows.push(Row { label, depth: 0, is_agent: true, bars: chart.merged(bars) });
    }
    rows.iter_mut().for_each(|row| lay_out(&mut row.bars, pace));
    rows
}

/// Sets where the bars of a row lie, at most `MAX_BARS` in the order of their beginnings. Each has the least width and none covers another,
/// so that a pointer reaches each: bars that begin at about the same time are moved apart by the least width, and one that ends after the
/// next begins is cut there.
fn lay_out(bars: &mut [Bar], pace: &Pace) {
    let mut least = 0.0;
    for bar in bars.iter_mut() {
        let from = pace.share(bar.started_at).max(least);
        bar.extent = (from, pace.share(bar.ended_at));
        least = from + MIN_BAR_WIDTH;
    }
    let mut most = 1.0;
    for bar in bars.iter_mut().rev() {
        let from = bar.extent.0.min(most - MIN_BAR_WIDTH);
        bar.extent = (from, bar.extent.1.min(most).max(from + MIN_BAR_WIDTH));
        most = from;
    }
}

struct Chart<'a> {
    recording: &'a Recording,
    tree: NodeTree,
    pace: &'a Pace,
}

impl Chart<'_> {
    /// The run's wait for its start, the run itself, and the wait for the user's answer to it.
    fn run_bars(&self, agent: &str) -> Vec<Bar> {
        let Recording { run, entries, start, .. } = self.recording;
        let at = |position: usize| entries.get(position.saturating_sub(1)).map_or(run.started_at, |entry| entry.at);
        let bar = |kind, name: &str, (started_at, ended_at), position| Bar {
            kind,
            name: name.to_owned(),
            count: 1,
            started_at,
            ended_at,
            position,
            has_failed: kind == BarKind::Agent && matches!(run.state, RunState::Failed { .. }),
            extent: (0.0, 0.0),
        };
        let (first, end) = (at(1), run.ended_at.unwrap_or_else(|| at(entries.len())));
        let started = start.map_or(end, at);
        let mut bars = Vec::new();
        if started > first {
            bars.push(bar(BarKind::Wait, "Waiting to start", (first, started), 1));
        }
        if let Some(start) = start {
            bars.push(bar(BarKind::Agent, agent, (started, end), *start));
        }
        if matches!(run.state, RunState::Interrupted { .. }) {
            let answered = answered_at(self.recording).unwrap_or(end);
            bars.push(bar(BarKind::Wait, "Waiting for you", (end, answered.max(end)), entries.len()));
        }
        bars
    }

    /// Adds the rows of the steps and calls of an agent, then those of its sub-agents.
    fn add_children(&self, parent: Option<usize>, depth: usize, rows: &mut Vec<Row>) {
        let children = self.tree.children(parent);
        for (kind, label) in [(BarKind::Step, "Steps"), (BarKind::Tool, "Tools")] {
            let mut bars: Vec<Bar> = children.iter().filter_map(|index| self.bar(*index)).collect();
            bars.retain(|bar| bar.kind == kind);
            bars.sort_by_key(|bar| bar.started_at);
            let lanes = lanes(bars).into_iter().map(|bars| self.merged(bars));
            rows.extend(lanes.map(|bars| Row { label: label.to_owned(), depth: depth + 1, is_agent: false, bars }));
        }
        for index in children {
            if let Some(bar) = self.bar(*index).filter(|bar| bar.kind == BarKind::Agent) {
                rows.push(Row { label: bar.name.clone(), depth: depth + 1, is_agent: true, bars: vec![bar] });
                self.add_children(Some(*index), depth + 1, rows);
            }
        }
    }

    /// The bar of a node; `None` for texts and other nodes without one.
    fn bar(&self, index: usize) -> Option<Bar> {
        let run = &self.recording.run;
        let node: &Node = run.nodes.get(index)?;
        let (kind, name) = match &node.body {
            NodeBody::Subagent { name, .. } => (BarKind::Agent, name),
            NodeBody::Step => (BarKind::Step, &node.id),
            NodeBody::Tool { name, .. } => (BarKind::Tool, name),
            _ => return None,
        };
        let ended_at = node.ended_at.or(run.ended_at).unwrap_or(node.started_at);
        Some(Bar {
            kind,
            name: escape_invisible(name),
            count: 1,
            started_at: node.started_at,
            ended_at: ended_at.max(node.started_at),
            position: self.recording.node_starts.get(index).copied().unwrap_or(1),
            has_failed: node.state == NodeState::Failed,
            extent: (0.0, 0.0),
        })
    }

    /// If there are too many bars: those that begin in the same part of the chart as one. The bars are in the order of their beginnings.
    fn merged(&self, bars: Vec<Bar>) -> Vec<Bar> {
        if bars.len() <= MAX_BARS {
            return bars;
        }
        let part = |bar: &Bar| ((self.pace.share(bar.started_at) * MAX_BARS as f64) as usize).min(MAX_BARS - 1);
        let mut merged: Vec<Bar> = Vec::new();
        for bar in bars {
            match merged.last_mut() {
                Some(last) if part(last) == part(&bar) => last.merge(bar),
                _ => merged.push(bar),
            }
        }
        merged
    }
}

/// Distributes bars, which are in the order of their beginnings, over rows in which none overlaps another. If that needs too many rows,
/// the rest is in the last one.
fn lanes(bars: Vec<Bar>) -> Vec<Vec<Bar>> {
    let mut lanes: Vec<Vec<Bar>> = Vec::new();
    for bar in bars {
        let is_free = |lane: &Vec<Bar>| lane.last().is_none_or(|last| last.ended_at <= bar.started_at);
        let is_full = lanes.len() >= MAX_LANES;
        match lanes.iter().position(is_free).or_else(|| is_full.then_some(MAX_LANES - 1)) {
            Some(lane) => lanes[lane].push(bar),
            None => lanes.push(vec![bar]),
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::{
        super::recording::tests::{events, recorded},
        *,
    };
    use crate::protocol::{
        RunId, ThreadId,
        agui::{Event, RunFinished, RunStarted, StepFinished, StepStarted, SubagentFinished, SubagentStarted},
    };

    fn rows_of(events: impl FnOnce(RunId) -> Vec<Event>) -> Vec<Row> {
        let (_, recording) = recorded(events);
        let pace = Pace::new(recording.entries.iter().map(|entry| entry.at), false);
        rows(&recording, "Analyst", &pace)
    }

    /// A run with these events between its start and its end.
    fn run_with(events: impl IntoIterator<Item = Event>) -> impl FnOnce(RunId) -> Vec<Event> {
        let events: Vec<Event> = events.into_iter().collect();
        move |run| {
            let mut all = vec![Event::from(RunStarted::new(ThreadId::new(), run))];
            all.extend(events);
            all.push(RunFinished::new(ThreadId::new(), run).into());
            all
        }
    }

    #[test]
    fn agents_steps_calls_and_waits_have_rows_and_bars() {
        let rows = rows_of(|run| events(run, 3));
        let shown: Vec<_> = rows.iter().map(|row| (row.label.as_str(), row.depth, row.bars.len())).collect();
        assert_eq!(shown, [("Analyst", 0, 2), ("Steps", 1, 1), ("Search", 1, 1), ("Tools", 2, 1)]);
        let labels: Vec<_> = rows.iter().flat_map(|row| &row.bars).map(|bar| (bar.label(), bar.position)).collect();
        let expected = [
            ("Waiting to start, 0.1 s", 1),
            ("Analyst, 1.2 s", 2),
            ("Step read, 0.5 s", 3),
            ("Search, 0.3 s", 4),
            ("Tool call look_up, 0.9 s", 5),
        ];
        assert_eq!(labels, expected.map(|(label, position)| (label.to_owned(), position)));
    }

    #[test]
    fn bars_lie_where_the_replay_shows_them() {
        let (_, recording) = recorded(|run| events(run, 1));
        let last = recording.entries.last().expect("an entry").at;
        let pace = Pace::new(recording.entries.iter().map(|entry| entry.at), false);
        let rows = rows(&recording, "Analyst", &pace);
        assert_eq!(rows[0].bars[0].extent.0, 0.0);
        assert_eq!(rows[0].bars[1].extent.1, 1.0);
        let step = &rows[1].bars[0];
        assert_eq!(step.extent.0, (step.started_at - 1_000) as f64 / (last - 1_000) as f64);
    }

    /// Bars of a run whose entries are from 0 to 1,000,000 ms, laid out.
    fn laid_out(times: &[(i64, i64)]) -> Vec<(f64, f64)> {
        let bar = |(started_at, ended_at): &(i64, i64)| Bar {
            kind: BarKind::Tool,
            name: "look_up".to_owned(),
            count: 1,
            started_at: *started_at,
            ended_at: *ended_at,
            position: 1,
            has_failed: false,
            extent: (0.0, 0.0),
        };
        let mut bars: Vec<Bar> = times.iter().map(bar).collect();
        lay_out(&mut bars, &Pace::new([0, 1_000_000], false));
        bars.into_iter().map(|bar| bar.extent).collect()
    }

    #[test]
    fn no_bar_covers_another() {
        let cases: [(&str, Vec<(i64, i64)>); 5] = [
            ("at one time", vec![(500_000, 500_000), (500_000, 500_001), (500_000, 500_002)]),
            ("at the end", vec![(999_000, 999_001), (1_000_000, 1_000_000), (1_000_000, 1_000_000)]),
            ("a short wait, then a long run", vec![(0, 1), (1, 1_000_000), (1_000_000, 1_000_000)]),
            ("overlapping", vec![(0, 900_000), (100_000, 200_000), (150_000, 1_000_000)]),
            ("as many as a row has", vec![(1_000_000, 1_000_000); MAX_BARS]),
        ];
        for (case, times) in cases {
            let bars = laid_out(&times);
            assert!(
                bars.iter().all(|(from, to)| *from >= -1e-9 && *to <= 1.0 && to - from > MIN_BAR_WIDTH - 1e-9),
                "{case}: {bars:?}"
            );
            assert!(bars.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-9), "{case}: {bars:?}");
        }
        assert_eq!(laid_out(&[(100_000, 200_000), (300_000, 1_000_000)]), [(0.1, 0.2), (0.3, 1.0)]);
    }

    #[test]
    fn overlapping_steps_are_in_rows_of_their_own_up_to_a_limit() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let starts = names.map(|name| Event::from(StepStarted::new(name)));
        let ends = names.map(|name| Event::from(StepFinished::new(name)));
        let rows = rows_of(run_with(starts.into_iter().chain(ends)));
        let bars: Vec<usize> = rows.iter().skip(1).map(|row| row.bars.len()).collect();
        assert_eq!(bars, [1, 1, 1, 3]);
        let step = |name: &str| [Event::from(StepStarted::new(name)), StepFinished::new(name).into()];
        let rows = rows_of(run_with(names.into_iter().flat_map(step)));
        assert_eq!(rows.iter().map(|row| row.bars.len()).collect::<Vec<_>>(), [2, 6]);
    }

    #[test]
    fn many_bars_are_merged_and_many_agents_share_the_last_row() {
        let step = |number: usize| {
            let name = format!("s{number}");
            [Event::from(StepStarted::new(name.clone())), StepFinished::new(name).into()]
        };
        let rows = rows_of(run_with((0..2_000).flat_map(step)));
        assert_eq!(rows.len(), 2);
        assert!(rows[1].bars.len() <= MAX_BARS, "{} bars", rows[1].bars.len());
        assert_eq!(rows[1].bars.iter().map(|bar| bar.count).sum::<usize>(), 2_000);
        assert!(rows[1].bars[0].label().contains(" steps from s0 on, "), "{}", rows[1].bars[0].label());

        let agent = |number: usize| {
            let id = format!("a{number}");
            [Event::from(SubagentStarted::new(id.clone(), format!("Agent {number}"))), SubagentFinished::new(id).into()]
        };
        let rows = rows_of(run_with((0..500).flat_map(agent)));
        assert_eq!((rows.len(), rows[MAX_ROWS - 1].label.as_str()), (MAX_ROWS, "462 more rows"));
        assert!(rows.iter().all(|row| row.bars.len() <= MAX_BARS));
    }
}
