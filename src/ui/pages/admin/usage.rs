//! What was used: by day and person, and of that by agent and model.

use leptos::{prelude::*, task::spawn_local};

use crate::{
    protocol::http::{UsageReport, UsageRow, UsageSum},
    ui::{app::Facts, browser, format},
};

/// For how many days.
const SPANS: [(u16, &str); 3] = [(1, "Today"), (7, "7 days"), (30, "30 days")];

/// The tables of what was used.
#[component]
pub(super) fn UsageView() -> impl IntoView {
    let facts: Facts = expect_context();
    let days = RwSignal::new(7_u16);
    let report = RwSignal::new(None::<Result<UsageReport, String>>);
    let load = move |asked: u16, skip: u32| {
        spawn_local(async move {
            let address = format!("/api/admin/usage?days={asked}&skip={skip}");
            let answer = browser::get::<UsageReport>(&address).await.map_err(|error| error.message());
            if days.try_get_untracked() != Some(asked) {
                return;
            }
            report.try_update(|report| match (report, answer) {
                (Some(Ok(known)), Ok(more)) if skip > 0 => {
                    known.sums.extend(more.sums);
                    known.rows.extend(more.rows);
                    known.next = more.next;
                }
                (report, answer) => *report = Some(answer),
            });
        });
    };
    Effect::new(move |_| load(days.get(), 0));
    let row = move |row: UsageRow| {
        let model = if row.model.is_empty() { "–".to_owned() } else { row.model };
        view! {
            <tr>
                {whose(&row.of)}
                <td>{facts.agent_name(&row.agent)}</td>
                <td>{model}</td>
                {amounts(&row.of)}
            </tr>
        }
    };
    let sum = |sum: UsageSum| view! { <tr>{whose(&sum)}{amounts(&sum)}</tr> };
    let tables = move |UsageReport { sums, rows, next }: UsageReport| {
        let more = next.map(|skip| {
            view! {
                <p class="quiet">
                    "There is more than these rows. "
                    <button type="button" class="small-button" on:click=move |_| load(days.get_untracked(), skip)>
                        "Show more"
                    </button>
                </p>
            }
        });
        view! {
            <div class="scroll" tabindex="0" role="region" aria-label="What each person used on each day">
                <table>
                    <thead><tr>{heads(&WHOSE, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                    <tbody>{sums.into_iter().map(sum).collect_view()}</tbody>
                </table>
            </div>
            <h3>"By agent and model"</h3>
            <div class="scroll" tabindex="0" role="region" aria-label="What was used">
                <table>
                    <thead><tr>{heads(&WHOSE, "")}{heads(&OF, "")}{heads(&AMOUNTS, "number")}</tr></thead>
                    <tbody>{rows.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
            {more}
        }
    };
    let table = move || match report.get() {
        None => {
            view! { <p class="quiet" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p> }
                .into_any()
        }
        Some(Err(error)) => view! { <p class="failure" role="alert">{error}</p> }.into_any(),
        Some(Ok(report)) if report.rows.is_empty() => view! { <p class="quiet">"Nothing was used."</p> }.into_any(),
        Some(Ok(report)) => tables(report).into_any(),
    };
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

const WHOSE: [&str; 2] = ["Day (UTC)", "Person"];
const OF: [&str; 2] = ["Agent", "Model"];
const AMOUNTS: [&str; 4] = ["Runs", "Tokens in", "Tokens out", "Cost"];

fn heads(names: &'static [&'static str], class: &'static str) -> impl IntoView {
    names.iter().map(|name| view! { <th scope="col" class=class>{*name}</th> }).collect_view()
}

fn whose(sum: &UsageSum) -> impl IntoView + use<> {
    view! {
        <th scope="row">{sum.day.clone()}</th>
        <td>{sum.user.name.clone()}</td>
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
