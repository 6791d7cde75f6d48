//! What the built-in source can compute: each function with the arguments that it takes.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::Work;
use crate::analyst::{
    analysis::{Analysis, wants_comparison},
    answer, forecast,
    forecast::{Forecast, Speed},
    goals::{Goal, Question},
    ingest::IngestError,
    narration,
    optimize::Savings,
    profile::Segment,
    stats::PERCENTILE_METHOD,
};

/// Most parts that a breakdown tells.
const MAX_PARTS: usize = 50;
/// The longest question that is read, in characters.
const MAX_QUESTION: usize = 4_000;

/// A tool: its name and purpose for a model, its arguments, and what it computes. Without a computation it lists the files.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: fn() -> Value,
    pub(super) compute: Option<Compute>,
}

/// Computes on a log; what goes wrong is told to the model.
pub(super) type Compute = fn(&Work<'_>, Value) -> Result<Value, String>;

/// Every tool.
pub(super) static FUNCTIONS: [Function; 10] = [
    Function {
        name: "list_files",
        description: "Lists the files of this conversation that the other tools can read.",
        parameters: schema::<Nothing>,
        compute: None,
    },
    Function {
        name: "describe_log",
        description: "Reads the usage log of an AI service: which columns it has, how many rows, what was left out and why, \
                      and which prices apply.",
        parameters: schema::<OfFile>,
        compute: Some(describe_log),
    },
    Function {
        name: "profile_workload",
        description: "The log in numbers: requests, percentiles of input and output tokens and latency, cost, load by minute, \
                      what the heaviest requests take.",
        parameters: schema::<OfFile>,
        compute: Some(profile_workload),
    },
    Function {
        name: "break_down",
        description: "Requests, tokens and cost by model, by prompt size, over time, or by hour of the day (UTC).",
        parameters: schema::<BreakDown>,
        compute: Some(break_down),
    },
    Function {
        name: "find_peaks",
        description: "The busiest minutes in requests and tokens, the rate limit that they need, and what spreading them \
                      would bring.",
        parameters: schema::<OfFile>,
        compute: Some(find_peaks),
    },
    Function {
        name: "find_savings",
        description: "What each change would save, computed request by request: cheaper models for small requests, caching \
                      (also what the cache saves and misses today), shorter answers and prompts, batch prices; and what they \
                      save together.",
        parameters: schema::<FindSavings>,
        compute: Some(find_savings),
    },
    Function {
        name: "compare_models",
        description: "What all requests of the log would cost with each of several models.",
        parameters: schema::<CompareModels>,
        compute: Some(compare_models),
    },
    Function {
        name: "forecast_cost",
        description: "The log scaled to months: cost, requests and peak, today and with growth, with and without the savings.",
        parameters: schema::<ForecastCost>,
        compute: Some(forecast_cost),
    },
    Function {
        name: "measure_speed",
        description: "Latency now, which part of it output tokens explain, and how much shorter answers must get to be a \
                      given number of times faster.",
        parameters: schema::<MeasureSpeed>,
        compute: Some(measure_speed),
    },
    Function {
        name: "answer_question",
        description: "Answers a whole question about the log in words (cost, growth, budget, caching, latency, peaks, models), \
                      with figures and the changes to make first. Understands English, by fixed rules.",
        parameters: schema::<AnswerQuestion>,
        compute: Some(answer_question),
    },
];

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct OfFile {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct BreakDown {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// Which parts: `model`, `prompt_size`, `time` or `hour_of_day`.
    by: By,
    /// How many parts, the dearest first; those over time and by hour are told in order, all of them.
    top: Option<u8>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    Model,
    PromptSize,
    Time,
    HourOfDay,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct FindSavings {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// Whether answers must stay exactly as good: then only what leaves them unchanged is counted together.
    same_quality: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct CompareModels {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// Names of models, up to six; without any, those of the log and cheaper ones of their families.
    models: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct ForecastCost {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// Growth of the traffic in percent: 50 for half as much again.
    growth_percent: Option<f64>,
    /// Whether it grows so every month.
    every_month: Option<bool>,
    /// Months ahead, for monthly growth, up to 36.
    months: Option<u32>,
    /// US dollars a month that may be spent.
    budget_usd_a_month: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct MeasureSpeed {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// How many times faster it shall be; 2 without it.
    times_faster: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct AnswerQuestion {
    /// The file's name; without it the first that `list_files` names.
    file: Option<String>,
    /// The question, in English.
    question: String,
}

/// The JSON Schema of a function's arguments, without references, as models' interfaces want it.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    let mut schema = Value::from(schema);
    // A tool without arguments still has an object of them.
    if schema["properties"].is_null() {
        schema["properties"] = json!({});
    }
    schema
}

fn read<T: DeserializeOwned>(args: Value) -> Result<T, String> {
    serde_json::from_value(args).map_err(|error| format!("The arguments do not fit the tool: {error}."))
}

fn stopped(error: IngestError) -> String {
    error.to_string()
}

fn describe_log(work: &Work<'_>, _: Value) -> Result<Value, String> {
    let loaded = work.loaded;
    Ok(json!({
        "file": work.file,
        "reading": loaded.log.report,
        "has": loaded.log.data.present(),
        "models": loaded.log.data.models.iter().take(MAX_PARTS).collect::<Vec<_>>(),
        "models_in_all": loaded.log.data.models.len(),
        "prices": narration::pricing_json(&loaded.pricing),
        "price_list": work.table.origin(),
    }))
}

fn profile_workload(work: &Work<'_>, _: Value) -> Result<Value, String> {
    let mut told = narration::profile_json(&work.loaded.profile);
    told["percentiles"] = PERCENTILE_METHOD.into();
    told["latency_explained"] = json!(work.loaded.profile.latency_fit);
    told["prices_assumed_from"] = json!(work.loaded.pricing.assumed);
    Ok(told)
}

fn break_down(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let BreakDown { by, top, .. } = read(args)?;
    let profile = &work.loaded.profile;
    let (parts, ranked): (&[Segment], bool) = match by {
        By::Model => (&profile.by_model, true),
        By::PromptSize => (&profile.by_size, true),
        By::Time => (&profile.over_time, false),
        By::HourOfDay => (&profile.by_hour, false),
    };
    if parts.is_empty() {
        return Err(match by {
            By::HourOfDay => "The log has no times, or covers less than a day.".into(),
            _ => "The log has no times.".into(),
        });
    }
    let mut chosen: Vec<&Segment> = parts.iter().collect();
    if ranked {
        chosen.sort_by(|a, b| b.cost.total_cmp(&a.cost).then(b.tokens().cmp(&a.tokens())));
        chosen.truncate(top.map_or(MAX_PARTS, |top| usize::from(top.max(1))).min(MAX_PARTS));
    }
    let mut told = json!({
        "parts": chosen,
        "parts_in_all": parts.len(),
        "cost_usd_in_all": profile.cost,
        "prices_assumed_from": work.loaded.pricing.assumed,
    });
    if matches!(by, By::Time) {
        told["name_is"] = "the part's start, in ms since 1970 (UTC)".into();
        told["step_ms"] = profile.bucket_ms.into();
    }
    Ok(told)
}

fn find_peaks(work: &Work<'_>, _: Value) -> Result<Value, String> {
    let profile = &work.loaded.profile;
    let load = profile.load.as_ref().ok_or("The log has no times, so nothing can be said about peaks.")?;
    let shift = crate::analyst::peaks::PeakShift::from_load(load);
    Ok(json!({"load": load, "times_are": "ms since 1970 (UTC)", "spreading": shift}))
}

fn savings(work: &Work<'_>, question: &Question) -> Result<Savings, String> {
    let loaded = work.loaded;
    let found = Savings::compute(&loaded.log.data, &loaded.pricing, work.table, &loaded.profile, question, work.stop);
    found.map_err(stopped)
}

fn find_savings(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let FindSavings { same_quality, .. } = read(args)?;
    let goals = if same_quality == Some(true) { vec![Goal::SameQuality] } else { Vec::new() };
    Ok(json!(savings(work, &asking(goals))?))
}

fn compare_models(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let CompareModels { models, .. } = read(args)?;
    let models = models.unwrap_or_default();
    let (known, unknown): (Vec<String>, Vec<String>) =
        models.into_iter().take(MAX_PARTS).partition(|name| work.table.find(name).is_some());
    if known.is_empty() && !unknown.is_empty() {
        return Err(format!("The price list ({}) has none of these models.", work.table.origin()));
    }
    let question = Question { models: known, ..asking(vec![Goal::CompareModels { models: Vec::new() }]) };
    let loaded = work.loaded;
    let compared = forecast::compare(&loaded.log.data, &loaded.pricing, work.table, &loaded.profile, &question);
    Ok(json!({"models": compared, "without_price": unknown, "price_list": work.table.origin()}))
}

fn forecast_cost(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let ForecastCost { growth_percent, every_month, months, budget_usd_a_month, .. } = read(args)?;
    if growth_percent.is_some_and(|percent| !(-100.0..=100_000.0).contains(&percent)) {
        return Err("`growth_percent` must be from -100 to 100000.".into());
    }
    let growth = growth_percent.map(|percent| Goal::Growth {
        by: percent / 100.0,
        monthly: every_month.unwrap_or(months.is_some()),
        months,
    });
    let budget = budget_usd_a_month.map(|usd_a_month| Goal::Budget { usd_a_month });
    let question = asking([Some(Goal::Forecast), growth, budget].into_iter().flatten().collect());
    let savings = savings(work, &question)?;
    let ahead = Forecast::compute(&work.loaded.profile, &savings, &question);
    ahead.map(|ahead| json!(ahead)).ok_or_else(|| "The log has no times, or covers less than a minute.".into())
}

fn measure_speed(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let MeasureSpeed { times_faster, .. } = read(args)?;
    if times_faster.is_some_and(|factor| !(1.0..=1_000.0).contains(&factor)) {
        return Err("`times_faster` must be from 1 to 1000.".into());
    }
    let speed = Speed::measure(&work.loaded.profile, &asking(vec![Goal::Faster { factor: times_faster }]));
    speed.map(|speed| json!(speed)).ok_or_else(|| "The log has no latency.".into())
}

fn answer_question(work: &Work<'_>, args: Value) -> Result<Value, String> {
    let AnswerQuestion { question, .. } = read(args)?;
    if question.chars().count() > MAX_QUESTION {
        return Err(format!("`question` has more than {MAX_QUESTION} characters."));
    }
    let loaded = work.loaded;
    let question = Question::parse(&question, work.table);
    let savings = savings(work, &question)?;
    let compared = if wants_comparison(&question) {
        forecast::compare(&loaded.log.data, &loaded.pricing, work.table, &loaded.profile, &question)
    } else {
        Vec::new()
    };
    let understood: Vec<String> = question.goals.iter().map(|(goal, _)| goal.label()).collect();
    let profile = loaded.profile.clone();
    let analysis =
        Analysis::assemble(work.file, question, &loaded.log, work.table, &loaded.pricing, profile, savings, compared);
    Ok(json!({
        "understood_as": understood,
        "conflicts": analysis.question.conflicts,
        "answers": answer::answers(&analysis),
        "do_first": analysis.actions.iter().take(5).collect::<Vec<_>>(),
        "prices_assumed_from": analysis.assumed_model,
    }))
}

/// A question that states these goals.
fn asking(goals: Vec<Goal>) -> Question {
    Question { goals: goals.into_iter().map(|goal| (goal, String::new())).collect(), ..Question::default() }
}
