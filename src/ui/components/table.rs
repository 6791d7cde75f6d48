//! Tables that agents send in `netra.table` events.

use leptos::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::ui::format;

/// The value of a `netra.table` event.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Table {
    #[serde(default)]
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

/// A column: its name, or an object with a name and an optional unit.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Column {
    Name(String),
    Object {
        #[serde(alias = "label", alias = "title", alias = "key")]
        name: String,
        #[serde(default)]
        unit: Option<String>,
    },
}

impl Column {
    fn heading(&self) -> String {
        match self {
            Self::Name(name) | Self::Object { name, unit: None } => name.clone(),
            Self::Object { name, unit: Some(unit) } => format!("{name} ({unit})"),
        }
    }
}

/// The text of a cell.
fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), format::number),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}

/// Whether a cell is a number, empty, or a short text that starts with a number.
fn is_numeric(value: &Value) -> bool {
    match value {
        Value::Number(_) | Value::Null => true,
        Value::String(text) => {
            let first = text.trim_start_matches(['-', '−', '+', '~', '<', '$', '€', '–']).chars().next();
            first.is_none_or(|first| first.is_ascii_digit()) && text.chars().count() < 20
        }
        _ => false,
    }
}

/// How many rows are shown until the reader asks for all.
const INITIAL_ROWS: usize = 50;

/// A table.
#[component]
pub(crate) fn TableView(table: Table) -> impl IntoView {
    let Table { title, columns, rows } = table;
    let numeric: Vec<bool> =
        (0..columns.len()).map(|column| rows.iter().filter_map(|row| row.get(column)).all(is_numeric)).collect();
    let class = |numeric: &[bool], column: usize| if numeric.get(column) == Some(&true) { "number" } else { "" };
    let headings: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| view! { <th scope="col" class=class(&numeric, index)>{column.heading()}</th> })
        .collect();
    let count = rows.len();
    let show_all = RwSignal::new(false);
    let body = move || {
        let shown = if show_all.get() { count } else { INITIAL_ROWS };
        let cell = |(index, value): (usize, &Value)| view! { <td class=class(&numeric, index)>{cell_text(value)}</td> };
        rows.iter()
            .take(shown)
            .map(|row| view! { <tr>{row.iter().enumerate().map(cell).collect_view()}</tr> })
            .collect_view()
    };
    let label = if title.is_empty() { "Table".to_owned() } else { title.clone() };
    view! {
        <figure class="figure">
            {(!title.is_empty()).then(|| view! { <figcaption>{title}</figcaption> })}
            <div class="scroll" tabindex="0" role="region" aria-label=label>
                <table>
                    <thead><tr>{headings}</tr></thead>
                    <tbody>{body}</tbody>
                </table>
            </div>
            <Show when=move || { count > INITIAL_ROWS }>
                <button type="button" class="small-button" on:click=move |_| show_all.update(|all| *all = !*all)>
                    {move || if show_all.get() { "Show less".to_owned() } else { format!("Show all {count} rows") }}
                </button>
            </Show>
        </figure>
    }
    .into_any()
}
