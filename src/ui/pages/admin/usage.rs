//! What was used: by day, person, agent and model.

use leptos::prelude::*;

use super::loaded::Loaded;
use crate::{
    protocol::http::{UsageReport, UsageRow},
    ui::{app::Facts, format},
};

/// For how many days.
const SPANS: [(u16, &str); 3] = [(1, "Today"), (7, "7 days"), (30, "30 days")];

/// The table of what was used.
#[component]
pub(super) fn UsageView() -> impl IntoView {
    let facts: Facts = expect_context();
    let days = RwSignal::new(7_u16);
    let report = Loaded::<UsageReport>::new(move || format!("/api/admin/usage?days={}", days.get()));
    let row = move |row: UsageRow| {
        let count = |value: u64| format::number(value as f64);
        view! {
            <tr>
                <th scope="row">{row.day}</th>
                <td>{row.user.name}</td>
                <td>{facts.agent_name(&row.agent)}</td>
                <td>{if row.model.is_empty() { "–".to_owned() } else { row.model }}</td>
                <td class="number">{count(row.runs)}</td>
                <td class="number">{count(row.input_tokens)}</td>
                <td class="number">{count(row.output_tokens)}</td>
                <td class="number">{format::dollars(row.cost_usd)}</td>
            </tr>
        }
    };
    let table = report.view(move |UsageReport { rows }| match rows.is_empty() {
        true => view! { <p class="quiet">"Nothing was used."</p> }.into_any(),
        false => view! {
            <div class="scroll usage" tabindex="0" role="region" aria-label="What was used">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Day (UTC)"</th>
                            <th scope="col">"Person"</th>
                            <th scope="col">"Agent"</th>
                            <th scope="col">"Model"</th>
                            <th scope="col" class="number">"Runs"</th>
                            <th scope="col" class="number">"Tokens in"</th>
                            <th scope="col" class="number">"Tokens out"</th>
                            <th scope="col" class="number">"Cost"</th>
                        </tr>
                    </thead>
                    <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        }
        .into_any(),
    });
    let span = move |(span, label): (u16, &'static str)| {
        view! {
            <button
                type="button"
                class="small-button"
                aria-pressed=move || if days.get() == span { "true" } else { "false" }
                on:click=move |_| days.set(span)
            >
                {label}
            </button>
        }
    };
    view! {
        <section class="admin-part" aria-labelledby="usage-title">
            <div class="admin-head">
                <h2 id="usage-title">"Usage"</h2>
                <div class="spans" role="group" aria-label="For how long">{SPANS.into_iter().map(span).collect_view()}</div>
            </div>
            {table}
        </section>
    }
    .into_any()
}
