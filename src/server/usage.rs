//! What people's runs used: summed by day, person, agent and model, and held to a day's budget.
//!
//! Days are UTC's. A run counts on the day on which it ends, in the same transaction as its last event.

use sqlx::Row;

use super::{
    channel::{Append, Channels},
    error::Result,
};
use crate::{
    protocol::{ErrorBody, ErrorCode, UserId},
    thread::Ending,
};

/// Millionths in one.
const MICRO: f64 = 1e6;

/// What one person may use on a day; absent: any.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// Tokens, in and out.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Spent {
    /// Tokens, in and out.
    pub tokens: u64,
    /// US dollars, as far as prices are known.
    pub usd: f64,
}

impl Budget {
    /// Whether more may be used, where so much was.
    ///
    /// # Errors
    /// `rate_limited`, with the time until the next day begins.
    pub fn admit(&self, spent: Spent) -> Result<(), ErrorBody> {
        let over = match self {
            Self { tokens: Some(most), .. } if spent.tokens >= *most => format!("{most} tokens"),
            Self { usd: Some(most), .. } if spent.usd >= *most => format!("${most:.2}"),
            _ => return Ok(()),
        };
        let message = format!("today's budget of {over} is used; it begins anew at 00:00 UTC");
        Err(ErrorBody::new(ErrorCode::RateLimited, message).retry_after(until_midnight_ms()))
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// What a person used today.
///
/// # Errors
/// Where the store fails.
pub async fn today(channels: &Channels, user: UserId) -> Result<Spent> {
    let sql = "SELECT CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT), \
               CAST(COALESCE(SUM(cost_microusd), 0) AS BIGINT) FROM usage WHERE day = $1 AND user_id = $2";
    let query = sqlx::query(sql).bind(day()).bind(user.to_string());
    let row = query.fetch_one(channels.store().reader()).await?;
    let micro: i64 = row.try_get(1)?;
    #[expect(clippy::cast_precision_loss, reason = "money of people, far below 2^53 millionths")]
    let usd = micro as f64 / MICRO;
    Ok(Spent { tokens: row.try_get::<i64, _>(0)?.cast_unsigned(), usd })
}

/// Adds what a run used. Its cost, which is known for the run as a whole, stands with the first of its models.
///
/// # Errors
/// Where the store fails.
pub(super) async fn record(tx: &mut Append, user: UserId, agent: &str, ending: &Ending) -> Result<()> {
    let cost = ending.metadata.as_ref().and_then(|more| more.get("costUsd")).and_then(serde_json::Value::as_f64);
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let mut cost = (cost.unwrap_or_default() * MICRO).round() as i64;
    for (index, used) in ending.usage.iter().enumerate() {
        let count = |tokens: Option<u64>| i64::try_from(tokens.unwrap_or_default()).unwrap_or(i64::MAX);
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
        .bind(used.model.as_deref().unwrap_or_default().to_owned())
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
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn until_midnight_ms() -> u64 {
    const DAY: i64 = 24 * 3600 * 1000;
    (DAY - super::store::now_ms().rem_euclid(DAY)).cast_unsigned()
}
