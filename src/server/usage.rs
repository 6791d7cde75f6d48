//! What people's runs used: summed by day, person, agent and model, and held to a day's budget.
//!
//! Days are UTC's. A run counts on the day on which it ends, in the same transaction as its last event; one that was ended
//! by others (its thread was deleted, another node took it over) when its agent returns here.

use std::sync::OnceLock;

use async_trait::async_trait;
use sqlx::{Any, Executor, Row};

use super::{
    agents::{AgentError, model::Allowance},
    channel::{Append, Channels},
    error::Result,
};
pub use crate::protocol::http::Budget;
use crate::{
    protocol::{
        Author, ErrorBody, ErrorCode, Person, UserId, agui,
        http::{Usage, UsageRow},
    },
    thread::Ending,
};

/// The most that one run may say it used: models, tokens each way with one of them, US dollars; and how long a model's name is.
const MAX_MODELS: usize = 32;
const MAX_TOKENS: u64 = 1_000_000_000_000;
const MAX_USD: f64 = 1e6;
const MAX_MODEL_CHARS: usize = 128;
/// Millionths in one.
const MICRO: f64 = 1e6;

impl Budget {
    /// Whether more may be used, where so much was.
    ///
    /// # Errors
    /// `rate_limited`, with the time until the next day begins.
    pub fn admit(&self, spent: Usage) -> Result<(), ErrorBody> {
        let over = match self {
            Self { tokens: Some(most), .. } if spent.tokens >= *most => format!("{most} tokens"),
            Self { usd: Some(most), .. } if spent.usd >= *most => format!("${most:.2}"),
            _ => return Ok(()),
        };
        let message = format!("today's budget of {over} is used; it begins anew at 00:00 UTC");
        Err(ErrorBody::new(ErrorCode::RateLimited, message).retry_after(until_midnight_ms()))
    }
}

/// A person's budget of the day while a run goes on: what is stored, and what the run used so far.
#[derive(Debug, Default)]
pub struct DayAllowance {
    budget: Budget,
    channels: OnceLock<Channels>,
}

impl DayAllowance {
    /// Holds runs to a budget, once it [begins](Self::begin).
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, channels: OnceLock::new() }
    }

    /// Where usage is stored: until it is told, every run may go on.
    pub fn begin(&self, channels: &Channels) {
        // The first one stays: a process has one store.
        let _ = self.channels.set(channels.clone());
    }
}

#[async_trait]
impl Allowance for DayAllowance {
    async fn spent(
        &self,
        author: &Author,
        usage: &[agui::Usage],
        cost_usd: Option<f64>,
    ) -> std::result::Result<(), AgentError> {
        let Some(channels) = self.channels.get().filter(|_| self.budget != Budget::default()) else { return Ok(()) };
        // A store that is away ends no run here; whoever writes to its log waits for it.
        let Ok(before) = today(channels, author.id).await else { return Ok(()) };
        let tokens = |usage: &agui::Usage| usage.input_tokens.unwrap_or(0) + usage.output_tokens.unwrap_or(0);
        let tokens = before.tokens + usage.iter().map(tokens).sum::<u64>();
        let spent = Usage { tokens, usd: before.usd + cost_usd.unwrap_or(0.0) };
        self.budget.admit(spent).map_err(|refused| AgentError::failed("budget_used", refused.message))
    }
}

/// Whether a budget allows a person more today; without one the store is not asked.
///
/// # Errors
/// `rate_limited`, with the time until the next day begins; where the store fails.
pub async fn admit<'c>(store: impl Executor<'c, Database = Any>, budget: Budget, user: UserId) -> Result<()> {
    if budget != Budget::default() {
        budget.admit(spent(store, user).await?)?;
    }
    Ok(())
}

/// What a person used today.
///
/// # Errors
/// Where the store fails.
pub async fn today(channels: &Channels, user: UserId) -> Result<Usage> {
    spent(channels.store().reader(), user).await
}

async fn spent<'c>(store: impl Executor<'c, Database = Any>, user: UserId) -> Result<Usage> {
    let sql = "SELECT CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT), \
               CAST(COALESCE(SUM(cost_microusd), 0) AS BIGINT) FROM usage WHERE day = $1 AND user_id = $2";
    let row = sqlx::query(sql).bind(day()).bind(user.to_string()).fetch_one(store).await?;
    let micro: i64 = row.try_get(1)?;
    Ok(Usage { tokens: row.try_get::<i64, _>(0)?.cast_unsigned(), usd: dollars(micro) })
}

/// What everyone used in so many days, today the last of them.
///
/// # Errors
/// Where the store fails.
pub async fn rows(channels: &Channels, days: u16) -> Result<Vec<UsageRow>> {
    let sql = "SELECT day, user_id, u.name, agent, model, runs, input_tokens, output_tokens, cost_microusd FROM usage \
               JOIN users u ON u.id = user_id WHERE day >= $1 ORDER BY day DESC, cost_microusd DESC, input_tokens DESC \
               LIMIT 1000";
    let rows = sqlx::query(sql).bind(day_before(days - 1)).fetch_all(channels.store().reader()).await?;
    let read = |row: &sqlx::any::AnyRow| -> Result<UsageRow> {
        let number = |index| -> Result<u64> { Ok(row.try_get::<i64, _>(index)?.cast_unsigned()) };
        Ok(UsageRow {
            day: row.try_get(0)?,
            user: Person { id: row.try_get::<String, _>(1)?.parse()?, name: row.try_get(2)? },
            agent: row.try_get(3)?,
            model: row.try_get(4)?,
            runs: number(5)?,
            input_tokens: number(6)?,
            output_tokens: number(7)?,
            cost_usd: dollars(row.try_get(8)?),
        })
    };
    rows.iter().map(read).collect()
}

#[expect(clippy::cast_precision_loss, reason = "money of people, far below 2^53 millionths")]
fn dollars(micro: i64) -> f64 {
    micro as f64 / MICRO
}

/// Adds what a run used. Its cost, which is known for the run as a whole, stands with the first of its models.
///
/// # Errors
/// Where the store fails.
pub(super) async fn record(tx: &mut Append, user: UserId, agent: &str, ending: &Ending) -> Result<()> {
    let cost = ending.metadata.as_ref().and_then(|more| more.get("costUsd")).and_then(serde_json::Value::as_f64);
    // What an agent elsewhere says of itself is taken within reason.
    #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
    let mut cost = (cost.unwrap_or_default().clamp(0.0, MAX_USD) * MICRO).round() as i64;
    for (index, used) in ending.usage.iter().take(MAX_MODELS).enumerate() {
        let count = |tokens: Option<u64>| tokens.unwrap_or_default().min(MAX_TOKENS).cast_signed();
        let model = used.model.as_deref().unwrap_or_default();
        let model: String = model.chars().filter(|c| !c.is_control()).take(MAX_MODEL_CHARS).collect();
        sqlx::query(
            "INSERT INTO usage (day, user_id, agent, model, runs, input_tokens, output_tokens, cost_microusd) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (day, user_id, agent, model) DO UPDATE SET \
             runs = usage.runs + excluded.runs, input_tokens = usage.input_tokens + excluded.input_tokens, \
             output_tokens = usage.output_tokens + excluded.output_tokens, \
             cost_microusd = usage.cost_microusd + excluded.cost_microusd",
        )
        .bind(day())
        .bind(user.to_string())
        .bind(agent)
        .bind(model)
        .bind(i64::from(index == 0))
        .bind(count(used.input_tokens))
        .bind(count(used.output_tokens))
        .bind(std::mem::take(&mut cost))
        .execute(tx.sql())
        .await?;
    }
    Ok(())
}

fn day() -> String {
    day_before(0)
}

fn day_before(days: u16) -> String {
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * i64::from(days));
    then.strftime("%Y-%m-%d").to_string()
}

fn until_midnight_ms() -> u64 {
    const DAY: i64 = 24 * 3600 * 1000;
    (DAY - super::store::now_ms().rem_euclid(DAY)).cast_unsigned()
}
