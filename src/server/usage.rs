//! What people's runs used: summed by day, person, agent and model, and held to a day's budget.
//!
//! Days are UTC's. A run counts on the day on which it ends, in the same transaction as its last event; one that was ended
//! by others (its thread was deleted, another node took it over) when its agent returns here. Until then, what it used so far
//! counts against its person's budget on the node where it goes on.

use std::{collections::HashMap, sync::OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use sqlx::{Any, Executor, Row, any::AnyRow};

use super::{
    agents::model::Allowance,
    channel::{Append, Channels},
    error::{Error, Result},
};
pub use crate::protocol::http::Budget;
use crate::{
    protocol::{
        ErrorBody, ErrorCode, Person, RunId, UserId,
        http::{Usage, UsageReport, UsageRow, UsageSum},
    },
    thread::RunEnd,
};

/// The most that one run may say it used: models, tokens each way with one of them, US dollars; and how long a model's name is.
const MAX_MODELS: usize = 32;
const MAX_TOKENS: u64 = 1_000_000_000_000;
const MAX_USD: f64 = 1e6;
const MAX_MODEL_CHARS: usize = 128;
/// How many rows, and how many sums, are told at once.
const PAGE: u32 = 1_000;
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

/// People's budget of the day while runs go on: what is stored, and what those that go on here used so far.
#[derive(Debug, Default)]
pub struct DayAllowance {
    budget: Budget,
    channels: OnceLock<Channels>,
    going: Mutex<HashMap<RunId, (UserId, Usage)>>,
}

/// A run that goes on: what it uses counts until this is dropped.
#[derive(Debug)]
pub struct Going<'a>(&'a DayAllowance, RunId);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.going.lock().remove(&self.1);
    }
}

impl DayAllowance {
    /// Holds runs to a budget, once it [begins](Self::begin).
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Where usage is stored: until it is told, every run may go on.
    pub fn begin(&self, channels: &Channels) {
        // The first one stays: a process has one store.
        let _ = self.channels.set(channels.clone());
    }

    /// Counts what a run uses, until its end is stored and the answer dropped.
    #[must_use]
    pub fn count(&self, user: UserId, run: RunId) -> Going<'_> {
        self.going.lock().insert(run, (user, Usage::default()));
        Going(self, run)
    }

    /// What a person's runs that go on here used so far, as far as they say so before they end.
    #[must_use]
    pub fn going(&self, user: UserId) -> Usage {
        let going = self.going.lock();
        let of_user = going.values().filter(|(owner, _)| *owner == user);
        of_user.fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))
    }
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(more.tokens), usd: self.usd + more.usd }
    }
}

#[async_trait]
impl Allowance for DayAllowance {
    fn used(&self, run: RunId, tokens: u64, cost_usd: f64) {
        if let Some((_, usage)) = self.going.lock().get_mut(&run) {
            *usage = Usage { tokens, usd: cost_usd };
        }
    }

    async fn admit(&self, person: UserId) -> std::result::Result<(), String> {
        let Some(channels) = self.channels.get() else { return Ok(()) };
        match admit(channels.store().reader(), self.budget, person, self.going(person)).await {
            Err(Error::Refused(refused)) => Err(refused.message),
            // A store that is away ends no run here; whoever writes to its log waits for it.
            _ => Ok(()),
        }
    }
}

/// Whether a budget allows a person more today, `going` being what their runs used that are not over; without one the store
/// is not asked.
///
/// # Errors
/// `rate_limited`, with the time until the next day begins; where the store fails.
pub async fn admit<'c>(
    store: impl Executor<'c, Database = Any>,
    budget: Budget,
    user: UserId,
    going: Usage,
) -> Result<()> {
    if budget != Budget::default() {
        budget.admit(spent(store, user).await?.plus(going))?;
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

/// What everyone used in so many days, today the last of them: so many rows and sums of each after the first `skip`.
///
/// # Errors
/// Where the store fails.
pub async fn report(channels: &Channels, days: u16, skip: u32) -> Result<UsageReport> {
    let rows = "SELECT day, user_id, u.name, runs, input_tokens, output_tokens, cost_microusd, agent, model FROM usage \
                JOIN users u ON u.id = user_id WHERE day >= $1 \
                ORDER BY day DESC, cost_microusd DESC, input_tokens DESC, user_id, agent, model LIMIT $2 OFFSET $3";
    let sums = "SELECT day, user_id, u.name, CAST(SUM(runs) AS BIGINT), CAST(SUM(input_tokens) AS BIGINT), \
                CAST(SUM(output_tokens) AS BIGINT), CAST(SUM(cost_microusd) AS BIGINT) FROM usage \
                JOIN users u ON u.id = user_id WHERE day >= $1 GROUP BY day, user_id, u.name \
                ORDER BY day DESC, SUM(cost_microusd) DESC, SUM(input_tokens) DESC, user_id LIMIT $2 OFFSET $3";
    // One more than is shown says that there are more.
    let (since, limit) = (day_before(days - 1), i64::from(PAGE) + 1);
    let query = |sql| sqlx::query(sql).bind(since.clone()).bind(limit).bind(i64::from(skip));
    let mut rows = query(rows).fetch_all(channels.store().reader()).await?;
    let mut sums = query(sums).fetch_all(channels.store().reader()).await?;
    let most = PAGE as usize;
    let next = (rows.len() > most || sums.len() > most).then(|| skip.saturating_add(PAGE));
    rows.truncate(most);
    sums.truncate(most);
    let row = |row: &AnyRow| -> Result<UsageRow> {
        Ok(UsageRow { sum: sum(row)?, agent: row.try_get(7)?, model: row.try_get(8)? })
    };
    Ok(UsageReport {
        sums: sums.iter().map(sum).collect::<Result<_>>()?,
        rows: rows.iter().map(row).collect::<Result<_>>()?,
        next,
    })
}

fn sum(row: &AnyRow) -> Result<UsageSum> {
    let number = |index| -> Result<u64> { Ok(row.try_get::<i64, _>(index)?.cast_unsigned()) };
    Ok(UsageSum {
        day: row.try_get(0)?,
        user: Person { id: row.try_get::<String, _>(1)?.parse()?, name: row.try_get(2)? },
        runs: number(3)?,
        input_tokens: number(4)?,
        output_tokens: number(5)?,
        cost_usd: dollars(row.try_get(6)?),
    })
}

#[expect(clippy::cast_precision_loss, reason = "money of people, far below 2^53 millionths")]
fn dollars(micro: i64) -> f64 {
    micro as f64 / MICRO
}

/// Adds what a run used. Its cost, which is known for the run as a whole, stands with the first of its models.
///
/// # Errors
/// Where the store fails.
pub(super) async fn record(tx: &mut Append, user: UserId, agent: &str, ending: &RunEnd) -> Result<()> {
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
    (DAY - super::clock::now_ms().rem_euclid(DAY)).cast_unsigned()
}
