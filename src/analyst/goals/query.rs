//! A question for a figure of the log: what is measured, over which requests, in which form.

use serde::Serialize;

use super::periods::Period;
use crate::analyst::dataset::Kind;

/// Tokens of one sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All input tokens.
    Input,
    /// All output tokens.
    Output,
    /// Input tokens read from a cache.
    Cached,
    /// Input tokens written to a cache.
    CacheWrite,
    /// Output tokens that are reasoning.
    Reasoning,
}

impl Part {
    /// As an adjective of tokens: `input`, `cached input`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Cached => "cached input",
            Self::CacheWrite => "cache write",
            Self::Reasoning => "reasoning",
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Cost.
    Cost,
    /// The part of the list cost that tokens of one sort make.
    CostOf(Part),
    /// Input and output tokens.
    Tokens,
    /// Tokens of one sort.
    TokensOf(Part),
    /// Requests.
    Requests,
    /// Failed requests.
    Failures,
    /// Latency.
    Latency,
    /// Time to the first token.
    FirstToken,
    /// The number of values of the dimension: of users, of models.
    Distinct,
}

impl Measure {
    /// A short description, such as `cost`.
    pub fn label(self) -> String {
        match self {
            Self::Cost => "cost".into(),
            Self::CostOf(part) => format!("cost of {} tokens", part.label()),
            Self::Tokens => "tokens".into(),
            Self::TokensOf(part) => format!("{} tokens", part.label()),
            Self::Requests => "requests".into(),
            Self::Failures => "failed requests".into(),
            Self::Latency => "latency".into(),
            Self::FirstToken => "time to first token".into(),
            Self::Distinct => "number".into(),
        }
    }

    /// Whether it is a duration of single requests.
    pub fn is_duration(self) -> bool {
        matches!(self, Self::Latency | Self::FirstToken)
    }
}

/// What the requests are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Models.
    Model,
    /// What is asked for: chat, embeddings, images, audio.
    Kind,
    /// Calendar days.
    Day,
    /// Hours of the day.
    Hour,
    /// Days of the week.
    Weekday,
    /// Calendar weeks, from Monday.
    Week,
    /// Calendar months.
    Month,
    /// Whether requests failed.
    Outcome,
    /// A column of the log, by the word of the question: `user`, `team`, `cost_center`.
    Column(String),
}

impl Dimension {
    /// Its name in the singular.
    pub fn label(&self) -> &str {
        match self {
            Self::Model => "model",
            Self::Kind => "kind of request",
            Self::Day => "day",
            Self::Hour => "hour of the day",
            Self::Weekday => "day of the week",
            Self::Week => "week",
            Self::Month => "month",
            Self::Outcome => "status",
            Self::Column(name) => name,
        }
    }

    /// Whether its values have an order of their own.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Day | Self::Hour | Self::Weekday | Self::Week | Self::Month)
    }
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// One sum; for a duration its percentiles.
    Total,
    /// The mean of a request.
    Mean,
    /// The mean of a value of the dimension: the cost of a user.
    MeanOfValues,
    /// A percentile of a duration, 1 to 99.
    Percentile(u8),
    /// The share of the whole that it is part of.
    Share,
    /// The values of the dimension with the highest (or lowest) figures.
    Ranked {
        /// How many, if stated.
        top: Option<usize>,
        /// The lowest first.
        lowest: bool,
    },
    /// All values of the dimension.
    Listed,
    /// The single request with the highest figure.
    Largest,
}

/// A question for a figure of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Query {
    /// What is measured.
    pub measure: Measure,
    /// The form of the answer.
    pub form: Form,
    /// What the requests are grouped by.
    pub by: Option<Dimension>,
    /// Only requests that failed, or that did not.
    pub failed: Option<bool>,
    /// Only requests of this kind.
    pub kind: Option<Kind>,
    /// Only requests of this time.
    pub period: Option<Period>,
    /// The models that the words name, as in the price table.
    pub models: Vec<String>,
    /// The words of the question, in lower case; they may name values of the log, such as a user.
    pub words: String,
}

impl Query {
    /// A short description: `know the cost by user`.
    pub fn label(&self) -> String {
        let measure = self.measure.label();
        let what = match (self.measure, self.form) {
            (Measure::Distinct, _) => "how many there are".to_owned(),
            (_, Form::Largest) => format!("the request with the highest {measure}"),
            (_, Form::Mean | Form::MeanOfValues) => format!("the mean {measure}"),
            (_, Form::Share) => format!("the share of {measure}"),
            (_, Form::Percentile(p)) => format!("the p{p} {measure}"),
            _ => format!("the {measure}"),
        };
        match &self.by {
            Some(by) => format!("know {what} by {}", by.label()),
            None => format!("know {what}"),
        }
    }
}
