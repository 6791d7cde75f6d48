//! Usage by day and user, and by agent and model.

use leptos::prelude::*;

use super::fetched::Fetched;
use crate::{
    protocol::http::{UsageReport, UsageRow, UsageSum},
    text::escape_invisible,
    ui::{context::AppContext, format},
};

/// The periods to choose from, in days.
const PERIODS: [(u16, &str); 3] = [(1, "Today"), (7, "7 days"), (30, "30 days")];

/// The tables of usage.
#[component]
pub(super) fn UsageView() -> impl IntoView {
    let app: AppContext = expect_context();
    let days = RwSignal::new(7_u16);
    let report = Fetched::<UsageReport>::new(move || usage_url(days.get(), 0));
    let load_more = move |skip: u32| {
        report.load_more(usage_url(days.get_untracked(), skip), |shown, page| {
            shown.sums.extend(page.sums);
            shown.rows.extend(page.rows);
            shown.next = page.next;
        });
    };
    let table = report.view(move |report| tables(report, app, load_more));
    let period = move |(period, label): (u16, &'static str)| {
        view! {
            <button
                type="button"
                class="small-button"
                aria-pressed=move || if days.get() == period { "true" } else { "false" }
                on:click=move |_| days.set(period)
            >
                {label}
            </button>
        }
    };
    view! {
        <section class="admin-part" aria-labelledby="usage-title">
            <div class="admin-head">
                <h2 id="usage-title">"Usage"</h2>
                <div class="periods" role="group" aria-label="Period">{PERIODS.into_iter().map(period).collect_view()}</div>
            </div>
            {table}
        </section>
    }
    .into_any()
}

/// The tables of a report; `load_more` loads the rows from an offset on.
fn tables(report: UsageReport, app: AppContext, load_more: impl Fn(u32) + Copy + Send + 'static) -> AnyView {
    let UsageReport { sums, rows, next } = report;
    if rows.is_empty() {
        return view! { <p class="quiet">"No usage in this period."</p> }.into_any();
    }
    let row = move |row: UsageRow| {
        let model = if row.model.is_empty() { "–".to_owned() } else { row.model };
        view! {
            <tr>
                {day_and_user(&row.sum)}
                <td>{app.agent_name(&row.agent)}</td>
                <td>{model}</td>
                {amounts(&row.sum)}
            </tr>
        }
    };
    let sum = |sum: UsageSum| view! { <tr>{day_and_user(&sum)}{amounts(&sum)}</tr> };
    let more = next.map(|skip| {
        view! {
            <p class="quiet">
                "There are more rows. "
                <button type="button" class="small-button" on:click=move |_| load_more(skip)>"Show more"</button>
            </p>
        }
    });
    view! {
        <div class="scroll usage" tabindex="0" role="region" aria-label="Usage by user and day">
            <table>
                <thead><tr>{heads(&DAY_AND_USER, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                <tbody>{sums.into_iter().map(sum).collect_view()}</tbody>
            </table>
        </div>
        <h3>"By agent and model"</h3>
        <div class="scroll usage" tabindex="0" role="region" aria-label="Usage by agent and model">
            <table>
                <thead><tr>{heads(&DAY_AND_USER, "")}{heads(&AGENT_AND_MODEL, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
        {more}
    }
    .into_any()
}

fn usage_url(days: u16, skip: u32) -> String {
    format!("/api/admin/usage?days={days}&skip={skip}")
}

const DAY_AND_USER: [&str; 2] = ["Day (UTC)", "User"];
const AGENT_AND_MODEL: [&str; 2] = ["Agent", "Model"];
const AMOUNTS: [&str; 4] = ["Runs", "Tokens in", "Tokens out", "Cost"];

fn heads(names: &'static [&'static str], class: &'static str) -> impl IntoView {
    names.iter().map(|name| view! { <th scope="col" class=class>{*name}</th> }).collect_view()
}

fn day_and_user(sum: &UsageSum) -> impl IntoView + use<> {
    view! {
        <th scope="row">{sum.day.clone()}</th>
        <td>{escape_invisible(&sum.user.name)}</td>
    }
}

fn amounts(sum: &UsageSum) -> impl IntoView + use<> {
    let numbers = [sum.runs, sum.input_tokens, sum.output_tokens].map(|value| format::number(value as f64));
    // Without known prices the sum is 0, which does not mean free.
    let cost = if sum.cost_usd > 0.0 { format::dollars(sum.cost_usd) } else { "–".into() };
    view! {
        {numbers.into_iter().map(|value| view! { <td class="number">{value}</td> }).collect_view()}
        <td class="number">{cost}</td>
    }
}
