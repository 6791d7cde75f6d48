//! Charts that agents send in `netra.chart` events: bars and lines as inline SVG, with their data in a table.
//!
//! The SVG stretches to any width. Labels are HTML beside it, so they keep their size.

mod readout;

use leptos::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use self::readout::{Points, Readout};
use super::{
    collapsible::Collapsible,
    icons::{Glyph, icon},
};
use crate::ui::format;

/// The value of a `netra.chart` event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Chart {
    #[serde(default)]
    title: String,
    kind: Kind,
    #[serde(default)]
    unit: String,
    /// Labels, numbers, or times in milliseconds since 1970.
    x: Vec<Value>,
    series: Vec<Series>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Bar,
    Line,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Series {
    #[serde(default)]
    name: String,
    values: Vec<Option<f64>>,
}

/// How many colours there are; further series reuse them.
const COLOURS: usize = 6;

impl Chart {
    /// The label of a point on the x axis.
    fn label(&self, index: usize) -> String {
        match self.x.get(index) {
            Some(Value::String(label)) => label.clone(),
            // Large numbers are times: 10^11 ms is in 1973.
            Some(Value::Number(number)) => match number.as_f64() {
                Some(ms) if ms > 1e11 => format::short_date_time(ms as i64),
                Some(value) => format::number(value),
                None => number.to_string(),
            },
            _ => String::new(),
        }
    }

    /// Whether bars are labelled with names, which need space, rather than with times or many short labels.
    fn has_named_bars(&self) -> bool {
        let is_long = |x: &Value| x.as_str().is_some_and(|label| label.chars().count() > 5);
        self.x.iter().all(Value::is_string) && (self.x.len() <= 12 || self.x.iter().any(is_long))
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| series.values.iter().copied().flatten()).filter(|value| value.is_finite())
    }

    /// The top of the y axis: a round number not below any value.
    fn axis_max(&self) -> f64 {
        let largest = self.values().fold(0.0, f64::max);
        if largest <= 0.0 {
            return 1.0;
        }
        let power = 10f64.powf(largest.log10().floor());
        let step = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].into_iter().find(|step| step * power >= largest);
        step.unwrap_or(10.0) * power
    }

    /// A point's label and the values of all series.
    fn point(&self, index: usize) -> String {
        let values = self.series.iter().map(|series| {
            let value = series.values.get(index).copied().flatten().filter(|value| value.is_finite());
            let value =
                value.map_or_else(|| "no value".into(), |value| format!("{} {}", format::number(value), self.unit));
            format!("{} {value}", series.name).trim().to_owned()
        });
        format!("{}: {}", self.label(index), values.collect::<Vec<_>>().join(", "))
    }

    /// The chart in words, for screen readers.
    fn description(&self) -> String {
        let ends = match self.x.len() {
            0 => return "No data.".into(),
            count => (self.label(0), self.label(count - 1)),
        };
        let series = self.series.iter().map(|series| {
            let values = series.values.iter().copied().flatten().filter(|value| value.is_finite());
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            let name = if series.name.is_empty() { "Values" } else { &series.name };
            format!("{name} from {} to {} {}", format::number(low), format::number(high), self.unit)
        });
        format!(
            "{} points, {} to {}. {}.",
            self.x.len(),
            ends.0,
            ends.1,
            series.collect::<Vec<_>>().join("; ").trim_end()
        )
    }

    /// The SVG path of a line in a square of 100 by 100, with a gap where a value is missing.
    fn line_path(&self, series: &Series, top: f64) -> String {
        let last = self.x.len().saturating_sub(1).max(1) as f64;
        let (mut path, mut pen) = (String::new(), 'M');
        for (index, value) in series.values.iter().enumerate() {
            match value.filter(|value| value.is_finite()) {
                Some(value) => {
                    path +=
                        &format!("{pen}{:.2} {:.2}", index as f64 / last * 100.0, 100.0 - value.max(0.0) / top * 100.0);
                    pen = 'L';
                }
                None => pen = 'M',
            }
        }
        path
    }
}

/// A chart.
#[component]
pub(crate) fn ChartView(chart: Chart) -> impl IntoView {
    let title = if chart.title.is_empty() { "Chart".to_owned() } else { chart.title.clone() };
    let unit = (!chart.unit.is_empty()).then(|| view! { <span class="unit">{chart.unit.clone()}</span> });
    let legend = (chart.series.len() > 1).then(|| {
        let entry = |(index, series): (usize, &Series)| {
            view! { <li><span class=format!("swatch series-{}", index % COLOURS) aria-hidden="true"></span>{series.name.clone()}</li> }
        };
        view! { <ul class="legend">{chart.series.iter().enumerate().map(entry).collect_view()}</ul> }
    });
    let data = StoredValue::new(chart);
    let drawing = data.with_value(|chart| match chart.kind {
        Kind::Bar if chart.has_named_bars() => named_bars(chart).into_any(),
        kind => plot(chart, kind, title.clone(), data).into_any(),
    });
    view! {
        <figure class="figure chart">
            <figcaption>{title} {unit}</figcaption>
            {legend}
            {drawing}
            <Collapsible open=false class="aside" summary=|| view! { {icon(Glyph::Chevron)} <span class="summary-name">"Data"</span> }>
                {data.with_value(data_table)}
            </Collapsible>
        </figure>
    }
    .into_any()
}

/// A formatter for the values of one chart's bars: all get two decimals, or none if all are integers, very large or very small.
fn value_formatter(values: impl IntoIterator<Item = f64>) -> impl Fn(f64) -> String {
    let (mut largest, mut all_integers) = (0.0_f64, true);
    for value in values {
        largest = largest.max(value.abs());
        all_integers &= value.fract() == 0.0;
    }
    let two_decimals = !all_integers && (1.0..1e4).contains(&largest);
    move |value| if two_decimals { format!("{value:.2}") } else { format::compact(value) }
}

/// Horizontal bars, one per row, so that long names fit on any screen.
fn named_bars(chart: &Chart) -> impl IntoView + use<> {
    let top = chart.values().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let format_value = value_formatter(chart.values());
    let row = |index: usize| {
        let bars = chart.series.iter().enumerate().map(|(number, series)| {
            let value = series.values.get(index).copied().flatten().filter(|value| value.is_finite());
            let width = format!("{:.2}", value.unwrap_or(0.0).max(0.0) / top * 100.0);
            view! {
                <span class=format!("bar series-{}", number % COLOURS)>
                    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                        <rect width=width height="10"></rect>
                    </svg>
                    <span class="bar-value">{value.map_or_else(|| "–".into(), &format_value)}</span>
                </span>
            }
        });
        view! { <li><span class="bar-label">{chart.label(index)}</span><span class="bar-group">{bars.collect_view()}</span></li> }
    };
    view! { <ul class="bars">{(0..chart.x.len()).map(row).collect_view()}</ul> }
}

/// Lines or vertical bars, with axes, and the values of the point at the pointer.
fn plot(chart: &Chart, kind: Kind, title: String, data: StoredValue<Chart>) -> impl IntoView + use<> {
    let points = match kind {
        Kind::Line => Points::Edges(chart.x.len()),
        Kind::Bar => Points::Middles(chart.x.len()),
    };
    let readout = (!chart.x.is_empty()).then(|| {
        view! { <Readout title=title.clone() points describe=move |index| data.with_value(|chart| chart.point(index))/> }
    });
    let top = chart.axis_max();
    let count = chart.x.len().max(1) as f64;
    let shapes = chart.series.iter().enumerate().map(|(number, series)| {
        let class = format!("series-{}", number % COLOURS);
        match kind {
            Kind::Line => view! { <path class=format!("line {class}") d=chart.line_path(series, top)></path> }.into_any(),
            Kind::Bar => {
                let slot = 100.0 / count;
                let width = slot * 0.8 / chart.series.len().max(1) as f64;
                let rect = |(index, value): (usize, &Option<f64>)| {
                    let height = value.filter(|value| value.is_finite()).unwrap_or(0.0).max(0.0) / top * 100.0;
                    let x = (index as f64 + 0.1) * slot + number as f64 * width;
                    view! {
                        <rect x=format!("{x:.2}") y=format!("{:.2}", 100.0 - height) width=format!("{width:.2}") height=format!("{height:.2}")></rect>
                    }
                };
                view! { <g class=class>{series.values.iter().enumerate().map(rect).collect_view()}</g> }.into_any()
            }
        }
    });
    let shapes = shapes.collect_view();
    let grid = [0, 25, 50, 75, 100].map(|y| view! { <path class="grid" d=format!("M0 {y}H100")></path> });
    let y_labels = [1.0, 0.75, 0.5, 0.25, 0.0].map(|share| view! { <span>{format::compact(top * share)}</span> });
    let label_indices = match chart.x.len() {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0, 1],
        count => vec![0, (count - 1) / 2, count - 1],
    };
    let x_labels = label_indices.into_iter().map(|index| view! { <span>{chart.label(index)}</span> }).collect_view();
    view! {
        <div class="plot">
            <div class="scale" aria-hidden="true">{y_labels}</div>
            <svg class="canvas" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label=title.clone()>
                <title>{title.clone()}</title>
                <desc>{chart.description()}</desc>
                {grid}
                {shapes}
            </svg>
            <div class="marks" aria-hidden="true">{x_labels}</div>
            {readout}
        </div>
    }
}

/// The data of a chart as a table.
fn data_table(chart: &Chart) -> impl IntoView + use<> {
    let headings = chart.series.iter().map(|series| {
        let name = if series.name.is_empty() { "Value" } else { &series.name };
        view! { <th scope="col" class="number">{name.to_owned()}</th> }
    });
    let row = |index: usize| {
        let cells = chart.series.iter().map(|series| {
            let value = series.values.get(index).copied().flatten();
            view! { <td class="number">{value.map_or_else(|| "–".into(), format::number)}</td> }
        });
        view! { <tr><th scope="row">{chart.label(index)}</th>{cells.collect_view()}</tr> }
    };
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Chart data">
            <table>
                <thead><tr><td></td>{headings.collect_view()}</tr></thead>
                <tbody>{(0..chart.x.len()).map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chart() -> Chart {
        let value = json!({"id": "t", "title": "T", "kind": "line", "unit": "tokens", "x": ["a", "b", "c"],
            "series": [{"name": "in", "values": [0, null, 90]}]});
        serde_json::from_value(value).expect("a chart")
    }

    #[test]
    fn a_line_has_a_gap_where_a_value_is_missing() {
        let chart = chart();
        assert_eq!(chart.axis_max(), 100.0);
        assert_eq!(chart.line_path(&chart.series[0], 100.0), "M0.00 100.00M100.00 10.00");
    }

    #[test]
    fn bars_of_one_chart_have_the_same_number_of_decimals() {
        let formatted = |values: [f64; 2]| values.map(value_formatter(values));
        assert_eq!(formatted([1.36, 0.9754]), ["1.36", "0.98"]);
        assert_eq!(formatted([10.6, 0.2]), ["10.60", "0.20"]);
        assert_eq!(formatted([12.0, 3.0]), ["12", "3"]);
        assert_eq!(formatted([2_500_000.5, 3.0]), ["2.5M", "3"]);
    }

    #[test]
    fn a_point_names_each_value() {
        assert_eq!(chart().point(2), "c: in 90 tokens");
        assert_eq!(chart().point(1), "b: in no value");
    }

    #[test]
    fn the_description_names_the_range_of_each_series() {
        assert_eq!(chart().description(), "3 points, a to c. in from 0 to 90 tokens.");
    }
}
