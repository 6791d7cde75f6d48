//! A tool call: one line that opens to its arguments and its answer.

use leptos::prelude::*;

use super::{
    fold::Fold,
    icons::{Glyph, icon},
    json::{Bounded, pretty},
    tree::{Run, Shared, call_icon, calls_of, state_of, time_of},
};
use crate::thread::{Node, NodeBody};

/// A tool call.
#[component]
pub(crate) fn ToolCall(run: Run, node: Memo<Shared<Node>>, name: String) -> impl IntoView {
    let state = state_of(node);
    let time = time_of(node);
    let calls = calls_of(run);
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
    let label = name.clone();
    let summary = move || {
        view! {
            {move || call_icon(state.get(), calls.get())}
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
                <Show when=move || has_result.get() fallback=|| view! { <p class="label">"No result yet"</p> }>
                    <p class="label">"Result"</p>
                    <Bounded text=answer label="Result"/>
                </Show>
            </Fold>
        </div>
    }
    .into_any()
}
