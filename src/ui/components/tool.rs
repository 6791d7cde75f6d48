//! A tool call: one line that opens to its arguments and its result.

use leptos::prelude::*;

use super::{
    clock::elapsed,
    collapsible::Collapsible,
    display_state::{PendingCalls, call_display_state, pending_calls, state_icon},
    icons::{Glyph, icon},
    json::{LongText, pretty},
    run_tree::{PtrEq, RunSignals},
};
use crate::{
    text::escape_invisible,
    thread::{Node, NodeBody},
};

/// A tool call.
#[component]
pub(crate) fn ToolCall(run: RunSignals, node: Memo<PtrEq<Node>>, name: String) -> impl IntoView {
    let calls = pending_calls(run);
    let state = call_display_state(run, node, calls);
    let times = Memo::new(move |_| node.with(|node| (node.started_at, node.ended_at)));
    let time = move || {
        let (started_at, ended_at) = times.get();
        let stopped_at = if let PendingCalls::Stopped(at) = calls.get() { at } else { None };
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
    let result_text = Signal::derive(move || result.get().unwrap_or_default());
    let no_result = move || match calls.get() {
        PendingCalls::Stopped(_) => "No result: the call was stopped",
        PendingCalls::NeedAnswer | PendingCalls::InProgress => "No result yet",
    };
    let label = escape_invisible(&name);
    let summary = move || {
        view! {
            {move || state_icon(state.get())}
            {icon(Glyph::Tool)}
            <code class="summary-name">{label.clone()}</code>
            <span class="time">{time}</span>
            {icon(Glyph::Chevron)}
        }
    };
    view! {
        <div class="tool" data-tool=name>
            <Collapsible open=false class="tool-details" summary>
                <Show when=move || has_args.get()>
                    <p class="label">"Arguments"</p>
                    <LongText text=args label="Arguments"/>
                </Show>
                <Show when=move || has_result.get() fallback=move || view! { <p class="label">{no_result}</p> }>
                    <p class="label">"Result"</p>
                    <LongText text=result_text label="Result"/>
                </Show>
            </Collapsible>
        </div>
    }
    .into_any()
}
