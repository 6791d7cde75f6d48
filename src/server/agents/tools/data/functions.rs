//! The functions of the built-in source and their arguments.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::ComputeInput;
use crate::analyst::{
    analysis::{Analysis, needs_comparison},
    answer, forecast,
    forecast::{Forecast, Speed},
    goals::{Goal, Question},
    narration,
    optimize::Savings,
    profile::Segment,
    stats::PERCENTILE_METHOD,
};

/// The most parts of a breakdown.
const MAX_PARTS: usize = 50;
/// The longest question, in characters.
const MAX_QUESTION_CHARS: usize = 4_000;

/// A tool: its name and description for the model, the schema of its arguments, and its computation. Without a
/// computation it lists the files.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: fn() -> Value,
    pub(super) compute: Option<Compute>,
}

/// A computation over a log; the error is text for the model.
pub(super) type Compute = fn(&ComputeInput<'_>, Value) -> Result<Value, String>;

/// Every tool.
pub(super) static FUNCTIONS: [Function; 10] = [
    Function {
        name: "list_files",
        description: "Lists the files of this conversation that the other tools can read.",
        parameters: schema::<NoArgs>,
        compute: None,
    },
    Function {
        name: "describe_log",
        description: "Reads the usage log of an AI service: which columns it has, how many rows, what was left out and why, \
                      and which prices apply.",
        parameters: schema::<FileArgs>,
        compute: Some(describe_log),
    },
    Function {
        name: "profile_workload",
        description: "The log in figures: requests, percentiles of input and output tokens and latency, cost, load by minute, \
                      the share of the heaviest requests.",
        parameters: schema::<FileArgs>,
        compute: Some(profile_workload),
    },
    Function {
        name: "break_down",
        description: "Requests, tokens and cost by model, by prompt size, over time, or by hour of the day (UTC).",
        parameters: schema::<BreakDownArgs>,
        compute: Some(break_down),
    },
    Function {
        name: "find_peaks",
        description: "The busiest minutes in requests and tokens, the rate limit that they need, and the \
                      effect of spreading them.",
        parameters: schema::<FileArgs>,
        compute: Some(find_peaks),
    },
    Function {
        name: "find_savings",
        description: "What each change would save, computed request by request: cheaper models for small requests, caching \
                      (also what the cache saves and misses today), shorter answers and prompts, batch prices; and their \
                      combined savings.",
        parameters: schema::<FindSavingsArgs>,
        compute: Some(find_savings),
    },
    Function {
        name: "compare_models",
        description: "What all requests of the log would cost with each of several models.",
        parameters: schema::<CompareModelsArgs>,
        compute: Some(compare_models),
    },
    Function {
        name: "forecast_cost",
        description: "The log scaled to months: cost, requests and peak, at today's traffic and with growth, with and without \
                      savings.",
        parameters: schema::<ForecastCostArgs>,
        compute: Some(forecast_cost),
    },
    Function {
        name: "measure_speed",
        description: "Latency now, the part of it that output tokens explain, and how much shorter answers must be to make \
                      them a given number of times faster.",
        parameters: schema::<MeasureSpeedArgs>,
        compute: Some(measure_speed),
    },
    Function {
        name: "answer_question",
        description: "Answers a question about the log in text (cost, growth, budget, caching, latency, peaks, models), with \
                      figures and the changes to make first. Understands English, by fixed rules.",
        parameters: schema::<AnswerQuestionArgs>,
        compute: Some(answer_question),
    },
];

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct FileArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct BreakDownArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// Which parts: `model`, `prompt_size`, `time` or `hour_of_day`.
    by: By,
    /// How many parts, the most expensive first; parts by time and by hour are always complete and in order.
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
struct FindSavingsArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// Whether answers must stay exactly as good: then the total counts only changes that do not affect them.
    same_quality: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct CompareModelsArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// Names of models, up to six; without any, those of the log and cheaper ones of their families.
    models: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct ForecastCostArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// Growth of the traffic in percent, such as 50.
    growth_percent: Option<f64>,
    /// Whether the traffic grows by this much every month.
    every_month: Option<bool>,
    /// Months ahead, for monthly growth, up to 36.
    months: Option<u32>,
    /// The budget in US dollars a month.
    budget_usd_a_month: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct MeasureSpeedArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// How many times faster answers should be; 2 if not given.
    times_faster: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "`file` is read before the function is called")]
struct AnswerQuestionArgs {
    /// The file's name; if not given, the first that `list_files` returns.
    file: Option<String>,
    /// The question, in English.
    question: String,
}

/// The JSON Schema of a function's arguments, without references, which some model APIs do not support.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    let mut schema = Value::from(schema);
    // Some model APIs require `properties` even if there are none.
    if schema["properties"].is_null() {
        schema["properties"] = json!({});
    }
    schema
}

fn parse<T: DeserializeOwned>(args: Value) -> Result<T, String> {
    serde_json::from_value(args).map_err(|error| format!("The arguments do not fit the tool: {error}."))
}

fn describe_log(input: &ComputeInput<'_>, _: Value) -> Result<Value, String> {
    let loaded = input.loaded;
    Ok(json!({
        "file": input.file,
        "reading": loaded.log.report,
        "has": loaded.log.data.present(),
        "models": loaded.log.data.models.iter().take(MAX_PARTS).collect::<Vec<_>>(),
        "models_in_all": loaded.log.data.models.len(),
        "prices": narration::pricing_json(&loaded.pricing),
        "price_list": input.prices.origin(),
    }))
}

fn profile_workload(input: &ComputeInput<'_>, _: Value) -> Result<Value, String> {
    let mut result = narration::profile_json(&input.loaded.profile);
    result["percentiles"] = PERCENTILE_METHOD.into();
    result["latency_explained"] = json!(input.loaded.profile.latency_fit);
    result["prices_assumed_from"] = json!(input.loaded.pricing.assumed);
    Ok(result)
}

fn break_down(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let BreakDownArgs { by, top, .. } = parse(args)?;
    let profile = &input.loaded.profile;
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
    let mut result = json!({
        "parts": chosen,
        "parts_in_all": parts.len(),
        "cost_usd_in_all": profile.cost,
        "prices_assumed_from": input.loaded.pricing.assumed,
    });
    if matches!(by, By::Time) {
        result["name_is"] = "the part's start, in ms since 1970 (UTC)".into();
        result["step_ms"] = profile.bucket_ms.into();
    }
    Ok(result)
}

fn find_peaks(input: &ComputeInput<'_>, _: Value) -> Result<Value, String> {
    let profile = &input.loaded.profile;
    let load = profile.load.as_ref().ok_or("The log has no times, so it has no known peaks.")?;
    let shift = crate::analyst::peaks::PeakShift::from_load(load);
    Ok(json!({"load": load, "times_are": "ms since 1970 (UTC)", "spreading": shift}))
}

fn compute_savings(input: &ComputeInput<'_>, question: &Question) -> Result<Savings, String> {
    let loaded = input.loaded;
    let found =
        Savings::compute(&loaded.log.data, &loaded.pricing, input.prices, &loaded.profile, question, input.stop);
    found.map_err(|error| error.to_string())
}

fn find_savings(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let FindSavingsArgs { same_quality, .. } = parse(args)?;
    let goals = if same_quality == Some(true) { vec![Goal::SameQuality] } else { Vec::new() };
    Ok(json!(compute_savings(input, &question_with(goals))?))
}

fn compare_models(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let CompareModelsArgs { models, .. } = parse(args)?;
    let models = models.unwrap_or_default();
    let (known, unknown): (Vec<String>, Vec<String>) =
        models.into_iter().take(MAX_PARTS).partition(|name| input.prices.find(name).is_some());
    if known.is_empty() && !unknown.is_empty() {
        return Err(format!("The price list ({}) has none of these models.", input.prices.origin()));
    }
    let question = Question { models: known, ..question_with(vec![Goal::CompareModels { models: Vec::new() }]) };
    let loaded = input.loaded;
    let compared = forecast::compare(&loaded.log.data, &loaded.pricing, input.prices, &loaded.profile, &question);
    Ok(json!({"models": compared, "without_price": unknown, "price_list": input.prices.origin()}))
}

fn forecast_cost(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let ForecastCostArgs { growth_percent, every_month, months, budget_usd_a_month, .. } = parse(args)?;
    if growth_percent.is_some_and(|percent| !(-100.0..=100_000.0).contains(&percent)) {
        return Err("`growth_percent` must be from -100 to 100000.".into());
    }
    let growth = growth_percent.map(|percent| Goal::Growth {
        by: percent / 100.0,
        every_months: every_month.unwrap_or(months.is_some()).then_some(1.0),
        months,
    });
    let budget = budget_usd_a_month.map(|amount_a_month| Goal::Budget { amount_a_month, currency: "USD".into() });
    let question = question_with([Some(Goal::Forecast), growth, budget].into_iter().flatten().collect());
    let savings = compute_savings(input, &question)?;
    let forecast = Forecast::compute(&input.loaded.profile, &savings, &question);
    forecast.map(|forecast| json!(forecast)).ok_or_else(|| "The log has no times, or covers less than a minute.".into())
}

fn measure_speed(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let MeasureSpeedArgs { times_faster, .. } = parse(args)?;
    if times_faster.is_some_and(|factor| !(1.0..=1_000.0).contains(&factor)) {
        return Err("`times_faster` must be from 1 to 1000.".into());
    }
    let speed = Speed::measure(&input.loaded.profile, &question_with(vec![Goal::Faster { factor: times_faster }]));
    speed.map(|speed| json!(speed)).ok_or_else(|| "The log has no latency.".into())
}

fn answer_question(input: &ComputeInput<'_>, args: Value) -> Result<Value, String> {
    let AnswerQuestionArgs { question, .. } = parse(args)?;
    if question.chars().count() > MAX_QUESTION_CHARS {
        return Err(format!("`question` has more than {MAX_QUESTION_CHARS} characters."));
    }
    let loaded = input.loaded;
    let question = Question::parse(&question, input.prices);
    let savings = compute_savings(input, &question)?;
    let compared = if needs_comparison(&question) {
        forecast::compare(&loaded.log.data, &loaded.pricing, input.prices, &loaded.profile, &question)
    } else {
        Vec::new()
    };
    let understood: Vec<String> = question.goals.iter().map(|(goal, _)| goal.label()).collect();
    let profile = loaded.profile.clone();
    let analysis = Analysis::assemble(
        input.file,
        question,
        &loaded.log,
        input.prices,
        &loaded.pricing,
        profile,
        savings,
        compared,
    );
    Ok(json!({
        "understood_as": understood,
        "conflicts": analysis.question.conflicts,
        "answers": answer::answers(&analysis),
        "do_first": analysis.actions.iter().take(5).collect::<Vec<_>>(),
        "prices_assumed_from": analysis.assumed_model,
    }))
}

/// A question with these goals.
fn question_with(goals: Vec<Goal>) -> Question {
    Question { goals: goals.into_iter().map(|goal| (goal, String::new())).collect(), ..Question::default() }
}
