//! What was used: by day and person, and of that by agent and model.

use leptos::prelude::*;

use super::loaded::Loaded;
use crate::{
    protocol::http::{UsageReport, UsageRow, UsageSum},
    text::visible,
    ui::{context::AppContext, format},
};

/// For how many days.
const SPANS: [(u16, &str); 3] = [(1, "Today"), (7, "7 days"), (30, "30 days")];

/// The tables of what was used.
#[component]
pub(super) fn UsageView() -> impl IntoView {
    let app: AppContext = expect_context();
    let days = RwSignal::new(7_u16);
    let report = Loaded::<UsageReport>::new(move || address(days.get(), 0));
    let more = move |skip: u32| {
        report.more(address(days.get_untracked(), skip), |known, more| {
            known.sums.extend(more.sums);
            known.rows.extend(more.rows);
            known.next = more.next;
        });
    };
    let row = move |row: UsageRow| {
        let model = if row.model.is_empty() { "–".to_owned() } else { row.model };
        view! {
            <tr>
                {whose(&row.of)}
                <td>{app.agent_name(&row.agent)}</td>
                <td>{model}</td>
                {amounts(&row.of)}
            </tr>
        }
    };
    let sum = |sum: UsageSum| view! { <tr>{whose(&sum)}{amounts(&sum)}</tr> };
    let table = report.view(move |UsageReport { sums, rows, next }| {
        if rows.is_empty() {
            return view! { <p class="quiet">"Nothing was used."</p> }.into_any();
        }
        let more = next.map(|skip| {
            view! {
                <p class="quiet">
                    "There is more than these rows. "
                    <button type="button" class="small-button" on:click=move |_| more(skip)>"Show more"</button>
                </p>
            }
        });
        view! {
            <div class="scroll usage" tabindex="0" role="region" aria-label="What each person used on each day">
                <table>
                    <thead><tr>{heads(&WHOSE, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                    <tbody>{sums.into_iter().map(sum).collect_view()}</tbody>
                </table>
            </div>
            <h3>"By agent and model"</h3>
            <div class="scroll usage" tabindex="0" role="region" aria-label="What was used">
                <table>
                    <thead><tr>{heads(&WHOSE, "")}{heads(&OF, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                    <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
            {more}
        }
        .into_any()
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

fn address(days: u16, skip: u32) -> String {
    format!("/api/admin/usage?days={days}&skip={skip}")
}

const WHOSE: [&str; 2] = ["Day (UTC)", "Person"];
const OF: [&str; 2] = ["Agent", "Model"];
const AMOUNTS: [&str; 4] = ["Runs", "Tokens in", "Tokens out", "Cost"];

fn heads(names: &'static [&'static str], class: &'static str) -> impl IntoView {
    names.iter().map(|name| view! { <th scope="col" class=class>{*name}</th> }).collect_view()
}

fn whose(sum: &UsageSum) -> impl IntoView + use<> {
    view! {
        <th scope="row">{sum.day.clone()}</th>
        <td>{visible(&sum.user.name)}</td>
    }
}

fn amounts(sum: &UsageSum) -> impl IntoView + use<> {
    let numbers = [sum.runs, sum.input_tokens, sum.output_tokens].map(|value| format::number(value as f64));
    // What has no known price is not free.
    let cost = if sum.cost_usd > 0.0 { format::dollars(sum.cost_usd) } else { "–".into() };
    view! {
        {numbers.into_iter().map(|value| view! { <td class="number">{value}</td> }).collect_view()}
        <td class="number">{cost}</td>
    }
}
