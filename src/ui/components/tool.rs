//! A tool call: one line that opens to its arguments and its answer.

use leptos::prelude::*;

use super::{
    clock::elapsed,
    fold::Fold,
    icons::{Glyph, icon},
    json::{Bounded, pretty},
    node_state::{Calls, call_shown, calls_of, icon_of},
    tree::{Run, Shared},
};
use crate::{
    text::escape_invisible,
    thread::{Node, NodeBody},
};

/// A tool call.
#[component]
pub(crate) fn ToolCall(run: Run, node: Memo<Shared<Node>>, name: String) -> impl IntoView {
    let calls = calls_of(run);
    let shown = call_shown(run, node, calls);
    let times = Memo::new(move |_| node.with(|node| (node.started_at, node.ended_at)));
    let time = move || {
        let (started_at, ended_at) = times.get();
        let stopped_at = if let Calls::Stopped(at) = calls.get() { at } else { None };
        elapsed(started_at, ended_at.or(stopped_at))
    };
    let args = Signal::derive(move || {
        node.with(|node| match &node.body {
            NodeBody::Tool { args, .. } => pretty(args),
            _ => String::new(),
        })
    });
    let result = Memo::new(move |_| {
        node.with(|node| match &node.body {
            NodeBody::Tool { result, .. } => result.as_deref().map(pretty),
            _ => None,
        })
    });
    let has_args = Memo::new(move |_| args.with(|args| !matches!(args.trim(), "" | "{}")));
    let has_result = Memo::new(move |_| result.with(Option::is_some));
    let answer = Signal::derive(move || result.get().unwrap_or_default());
    let missing = move || match calls.get() {
        Calls::Stopped(_) => "No result: it was stopped before it told any",
        Calls::Ask | Calls::GoOn => "No result yet",
    };
    let label = escape_invisible(&name);
    let summary = move || {
        view! {
            {move || icon_of(shown.get())}
            {icon(Glyph::Tool)}
            <code class="fold-name">{label.clone()}</code>
            <span class="time">{time}</span>
            {icon(Glyph::Chevron)}
        }
    };
    view! {
        <div class="tool" data-tool=name>
            <Fold open=false class="tool-fold" summary>
                <Show when=move || has_args.get()>
                    <p class="label">"Arguments"</p>
                    <Bounded text=args label="Arguments"/>
                </Show>
                <Show when=move || has_result.get() fallback=move || view! { <p class="label">{missing}</p> }>
                    <p class="label">"Result, as the tool told it"</p>
                    <Bounded text=answer label="Result"/>
                </Show>
            </Fold>
        </div>
    }
    .into_any()
}
