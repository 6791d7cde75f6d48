//! Metrics of cloud monitoring, where each quantity is a series of its own: Azure Monitor (`az monitor metrics list`,
//! and the table `AzureMetrics`) and CloudWatch (`get-metric-data`).
//!
//! Series are joined by time and dimensions to sums of requests. Names of metrics as in Azure Monitor's reference of
//! `Microsoft.CognitiveServices/accounts` and in the Bedrock user guide. Bedrock's input excludes cached tokens.

use std::collections::BTreeMap;

use super::{Reader, Source};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage};

/// Azure Monitor, as JSON or as a table.
pub(super) static AZURE: Metrics =
    Metrics { name: "Azure Monitor metrics", recognises: is_azure, read: read_azure, unknown: None };

/// CloudWatch.
pub(super) static CLOUDWATCH: Metrics = Metrics {
    name: "CloudWatch metrics of Bedrock",
    recognises: is_cloudwatch,
    read: read_cloudwatch,
    unknown: Some("CloudWatch does not state the statistic of its values: they are read as sums (`Sum`)."),
};

/// What a metric counts.
#[derive(Clone, Copy, PartialEq)]
enum Quantity {
    Requests,
    Input,
    /// Input without cached tokens.
    FreshInput,
    Output,
    Cached,
    CacheWrite,
}

/// The metrics that are read. Others of the same requests (totals, latencies, errors) are left out.
const QUANTITIES: &[(&str, Quantity)] = &[
    ("ProcessedPromptTokens", Quantity::Input),
    ("InputTokens", Quantity::Input),
    ("GeneratedTokens", Quantity::Output),
    ("OutputTokens", Quantity::Output),
    ("AzureOpenAIRequests", Quantity::Requests),
    ("ModelRequests", Quantity::Requests),
    ("InputTokenCount", Quantity::FreshInput),
    ("OutputTokenCount", Quantity::Output),
    ("CacheReadInputTokenCount", Quantity::Cached),
    ("CacheReadInputTokens", Quantity::Cached),
    ("CacheWriteInputTokenCount", Quantity::CacheWrite),
    ("CacheWriteInputTokens", Quantity::CacheWrite),
    ("Invocations", Quantity::Requests),
];

fn quantity(metric: &str) -> Option<(usize, Quantity)> {
    let at = QUANTITIES.iter().position(|(name, _)| name.eq_ignore_ascii_case(metric))?;
    Some((at, QUANTITIES[at].1))
}

/// A kind of metrics.
pub(super) struct Metrics {
    name: &'static str,
    recognises: fn(Record<'_>) -> bool,
    read: fn(Record<'_>, &mut Series) -> Result<(), String>,
    /// What the format does not show.
    unknown: Option<&'static str>,
}

impl Source for Metrics {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        (self.recognises)(record)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(MetricsReader { read: self.read, series: Series::default(), unknown: self.unknown })
    }
}

struct MetricsReader {
    read: fn(Record<'_>, &mut Series) -> Result<(), String>,
    series: Series,
    unknown: Option<&'static str>,
}

impl Reader for MetricsReader {
    fn read(&mut self, record: Record<'_>, _sink: &mut Sink<'_>) -> Result<(), String> {
        (self.read)(record, &mut self.series)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.unknown.iter().for_each(|statement| sink.unknown(statement));
        self.series.push_to(sink);
    }
}

/// The sums of one time and combination of dimensions: the metric that each is of, and its value.
#[derive(Default)]
struct Point {
    sums: Vec<(usize, Quantity, u64)>,
}

/// The points of a file.
#[derive(Default)]
struct Series {
    /// By time in ms, and dimensions: name, value.
    points: BTreeMap<(i64, Vec<(String, String)>), Point>,
    /// Metrics that were left out.
    others: u64,
}

impl Series {
    fn add(
        &mut self,
        metric: &str,
        time: Option<i64>,
        dimensions: &[(String, String)],
        value: Option<f64>,
    ) -> Result<(), String> {
        let Some((at, quantity)) = quantity(metric) else {
            self.others += 1;
            return Ok(());
        };
        let Some(value) = value else { return Ok(()) };
        if value.fract() != 0.0 {
            return Err(format!("{metric} is not a sum: {value}"));
        }
        let time = time.ok_or("the time of a metric is missing")?;
        let sums = &mut self.points.entry((time, dimensions.to_vec())).or_default().sums;
        match sums.iter_mut().find(|(known, ..)| *known == at) {
            Some((.., sum)) => *sum = sum.saturating_add(value as u64),
            None => sums.push((at, quantity, value as u64)),
        }
        Ok(())
    }

    fn push_to(&self, sink: &mut Sink<'_>) {
        let times: Vec<i64> = self.points.keys().map(|(time, _)| *time).collect();
        // The length of a point's period is the shortest distance of two.
        let period_ms = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|ms| *ms > 0).min();
        let chosen = self.chosen();
        // A series without dimensions is the sum of those with them.
        let is_split = self.points.keys().any(|(_, dimensions)| !dimensions.is_empty());
        for ((time, dimensions), point) in &self.points {
            if is_split && dimensions.is_empty() {
                sink.skip("sums over all models and deployments");
                continue;
            }
            let mut usage = point.usage(&chosen);
            if usage.input.is_none() && usage.output.is_none() && usage.requests.is_none() {
                continue;
            }
            if usage.input.unwrap_or(0) == 0 && usage.output.unwrap_or(0) == 0 && usage.requests.unwrap_or(0) == 0 {
                sink.skip("times without requests");
                continue;
            }
            (usage.start_ms, usage.period_ms) = (Some(*time), period_ms);
            usage.requests = Some(usage.requests.unwrap_or(0));
            name(&mut usage, dimensions);
            sink.push(usage);
        }
        for _ in 0..self.others {
            sink.skip("other metrics");
        }
    }

    /// The metric that counts for each quantity: of several with the same meaning, the one listed first.
    fn chosen(&self) -> Vec<(Quantity, usize)> {
        let mut chosen: Vec<(Quantity, usize)> = Vec::new();
        for (at, quantity, _) in self.points.values().flat_map(|point| &point.sums) {
            match chosen.iter_mut().find(|(known, _)| known == quantity) {
                Some((_, first)) => *first = (*first).min(*at),
                None => chosen.push((*quantity, *at)),
            }
        }
        chosen
    }
}

impl Point {
    fn usage(&self, chosen: &[(Quantity, usize)]) -> Usage<'static> {
        let of = |wanted: Quantity| {
            let sum = |(at, quantity, n): &(usize, Quantity, u64)| {
                (*quantity == wanted && chosen.contains(&(wanted, *at))).then_some(*n)
            };
            self.sums.iter().find_map(sum)
        };
        let mut usage = Usage {
            requests: of(Quantity::Requests),
            input: of(Quantity::Input).or(of(Quantity::FreshInput)),
            output: of(Quantity::Output),
            cached: of(Quantity::Cached),
            cache_write: of(Quantity::CacheWrite),
            ..Usage::default()
        };
        if of(Quantity::Input).is_none() {
            usage.add_cache_to_input();
        }
        usage
    }
}

/// Names the model and the groups of a point.
fn name<'a>(usage: &mut Usage<'a>, dimensions: &'a [(String, String)]) {
    for (name, value) in dimensions {
        let value = Some(value.as_str().into());
        match name.as_str() {
            "modelname" | "modelid" => usage.model = value,
            "modeldeploymentname" => usage.group("deployment", value),
            "resource" => usage.group("resource", value),
            _ => {}
        }
    }
    let deployment = usage.groups.iter().find(|(name, _)| name == "deployment").map(|(_, value)| value.clone());
    usage.model = usage.model.take().or(deployment);
}

fn is_azure(record: Record<'_>) -> bool {
    let is_table =
        record.has_all(&["MetricName", "Total", "TimeGrain"]) || record.has_all(&["metricName", "total", "timeGrain"]);
    is_table || (record.has("name.value") && record.json("timeseries").is_some_and(serde_json::Value::is_array))
}

fn read_azure(record: Record<'_>, series: &mut Series) -> Result<(), String> {
    if let Some(metric) = record.first_text(&["MetricName", "metricName"]) {
        let time = record.first_time(&["TimeGenerated", "TimeGenerated [UTC]", "time"])?;
        let resource = record.first_text(&["Resource", "ResourceId", "resourceId", "_ResourceId"]);
        let dimensions: Vec<_> = resource.map(|name| ("resource".to_owned(), name.into_owned())).into_iter().collect();
        let total = record.number("Total")?.or(record.number("total")?);
        return series.add(&metric, time, &dimensions, total);
    }
    let metric = record.text("name.value").unwrap_or_default();
    for part in record.items("timeseries") {
        let mut dimensions: Vec<(String, String)> = part
            .items("metadatavalues")
            .filter_map(|value| Some((value.text("name.value")?.to_lowercase(), value.text("value")?.into_owned())))
            .collect();
        dimensions.sort();
        for point in part.items("data") {
            series.add(
                &metric,
                point.first_time(&["timeStamp", "time_stamp"])?,
                &dimensions,
                point.number("total")?,
            )?;
        }
    }
    Ok(())
}

fn is_cloudwatch(record: Record<'_>) -> bool {
    record
        .items("MetricDataResults")
        .chain([record])
        .any(|series| series.has_all(&["Label", "Timestamps", "Values"]) && label(series).is_some())
}

/// The metric and the model of a label such as `InputTokenCount` or `anthropic.claude-3-haiku InputTokenCount`.
fn label(series: Record<'_>) -> Option<(String, Option<String>)> {
    let text = series.text("Label")?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let metric = words.iter().find(|word| quantity(word).is_some())?;
    let model = words.iter().find(|word| *word != metric).map(|word| (*word).to_owned());
    Some(((*metric).to_owned(), model))
}

fn read_cloudwatch(record: Record<'_>, series: &mut Series) -> Result<(), String> {
    for part in record.items("MetricDataResults").chain([record]) {
        let (Some(times), Some(values)) = (part.json("Timestamps"), part.json("Values")) else { continue };
        let Some((metric, model)) = label(part) else {
            series.others += 1;
            continue;
        };
        let dimensions: Vec<_> = model.map(|name| ("modelid".to_owned(), name)).into_iter().collect();
        let pairs = times.as_array().into_iter().flatten().zip(values.as_array().into_iter().flatten());
        for (time, value) in pairs {
            let point = serde_json::json!({ "time": time, "value": value });
            let point = Record::Object(&point);
            series.add(&metric, point.time("time", None)?, &dimensions, point.number("value")?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::analyst::ingest;

    #[test]
    fn a_series_of_all_models_is_not_added_to_those_of_each_model() {
        let series = |label: &str, value: u64| {
            format!(r#"{{"Id":"a","Label":"{label}","Timestamps":["2026-11-01T00:00:00Z"],"Values":[{value}]}}"#)
        };
        let parts = [series("InputTokenCount", 30), series("a InputTokenCount", 10), series("b InputTokenCount", 20)];
        let text = format!(r#"{{"MetricDataResults":[{}]}}"#, parts.join(","));
        let log = ingest::read(text.as_bytes(), &|| false).expect("a readable log");
        assert_eq!(log.data.input, [10, 20]);
        assert_eq!(log.data.requests(), None);
    }
}
