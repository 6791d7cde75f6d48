//! Tokens and costs of runs: summed by day, person, agent and model, and limited by a daily budget.
//!
//! Days are in UTC. A run counts on the day on which it ends, in the same transaction as its last event. If it was ended elsewhere (its
//! thread was deleted, or another node took it over), it counts when its agent returns on this node. Until it ends, its usage
//! counts against its person's budget on its own node only.

use std::{collections::HashMap, sync::OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sqlx::{Any, Executor};

use super::{
    channel::{Channels, CommandTransaction},
    error::{Error, Result},
    store::row,
};
pub use crate::protocol::http::Budget;
use crate::{
    protocol::{
        ErrorBody, ErrorCode, Person, RunId, UserId, agui,
        http::{Usage, UsageReport, UsageRow, UsageSum},
    },
    thread::RunEnd,
};

/// The most models that are counted of one run.
const MAX_MODELS: usize = 32;
/// The most input tokens, and the most output tokens, that are counted of one model of a run.
const MAX_TOKENS: u64 = 1_000_000_000_000;
/// The highest cost of one run that is counted, in US dollars.
const MAX_USD: f64 = 1e6;
/// The longest stored name of a model, in characters.
const MAX_MODEL_CHARS: usize = 128;
/// The most rows, and the most sums, of a report's page.
const PAGE_SIZE: u32 = 1_000;
const MICRO_PER_USD: f64 = 1e6;

/// Limits the usage of people's runs. It is checked between steps of a run, so each run may exceed a budget by one step.
#[async_trait]
pub trait Allowance: Send + Sync + 'static {
    /// Sets what a run has used so far, all its steps together.
    fn used(&self, run: RunId, tokens: u64, cost_usd: f64);

    /// Checks whether a person's runs may use more.
    ///
    /// # Errors
    /// A message for the person, if a budget is used up.
    async fn admit(&self, person: UserId) -> std::result::Result<(), String>;
}

impl Budget {
    /// Checks whether more may be used, after `spent`.
    ///
    /// # Errors
    /// `rate_limited`, with the time until the next day begins.
    pub fn admit(&self, spent: Usage) -> Result<(), ErrorBody> {
        let over = match self {
            Self { tokens: Some(max), .. } if spent.tokens >= *max => format!("{max} tokens"),
            Self { usd: Some(max), .. } if spent.usd >= *max => format!("${max:.2}"),
            _ => return Ok(()),
        };
        let message = format!("today's budget of {over} is used; it starts again at 00:00 UTC");
        Err(ErrorBody::new(ErrorCode::RateLimited, message).retry_after(until_midnight_ms()))
    }
}

/// The daily budget of people: limits the stored usage together with that of this node's open runs.
#[derive(Debug, Default)]
pub struct DayAllowance {
    budget: Budget,
    channels: OnceLock<Channels>,
    open_runs: Mutex<HashMap<RunId, (UserId, Usage)>>,
}

/// An open run, whose usage counts until this is dropped.
#[derive(Debug)]
pub struct CountedRun<'a>(&'a DayAllowance, RunId);

impl Drop for CountedRun<'_> {
    fn drop(&mut self) {
        self.0.open_runs.lock().remove(&self.1);
    }
}

impl DayAllowance {
    /// Limits runs to a budget, after [`Self::begin`].
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Sets the store of usage. Before this, nothing is limited.
    pub fn begin(&self, channels: &Channels) {
        // Later calls change nothing: a process has one store.
        let _ = self.channels.set(channels.clone());
    }

    /// Counts the usage of a run. Drop the result after the run's end is stored.
    #[must_use]
    pub fn count(&self, user: UserId, run: RunId) -> CountedRun<'_> {
        self.open_runs.lock().insert(run, (user, Usage::default()));
        CountedRun(self, run)
    }

    /// The usage of a person's open runs on this node, for agents that report it before the end of a run.
    #[must_use]
    pub fn of_open_runs(&self, user: UserId) -> Usage {
        let open_runs = self.open_runs.lock();
        let of_user = open_runs.values().filter(|(owner, _)| *owner == user);
        of_user.fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))
    }
}

impl Usage {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(more.tokens), usd: self.usd + more.usd }
    }
}

#[async_trait]
impl Allowance for DayAllowance {
    fn used(&self, run: RunId, tokens: u64, cost_usd: f64) {
        if let Some((_, usage)) = self.open_runs.lock().get_mut(&run) {
            *usage = Usage { tokens, usd: cost_usd };
        }
    }

    async fn admit(&self, person: UserId) -> std::result::Result<(), String> {
        let Some(channels) = self.channels.get() else { return Ok(()) };
        match admit(channels.store().reader(), self.budget, person, self.of_open_runs(person)).await {
            Err(Error::Refused(refused)) => Err(refused.message),
            // An unavailable store does not end a run here: the run waits for it when it appends.
            _ => Ok(()),
        }
    }
}

/// Checks whether a budget allows a person to use more today; `open` is the usage of their open runs. Without a budget, nothing is read.
///
/// # Errors
/// `rate_limited`, with the time until the next day begins; if the store fails.
pub async fn admit<'c>(
    store: impl Executor<'c, Database = Any>,
    budget: Budget,
    user: UserId,
    open: Usage,
) -> Result<()> {
    if budget != Budget::default() {
        budget.admit(spent(store, user).await?.plus(open))?;
    }
    Ok(())
}

/// What a person used today.
///
/// # Errors
/// If the store fails.
pub async fn today(channels: &Channels, user: UserId) -> Result<Usage> {
    spent(channels.store().reader(), user).await
}

async fn spent<'c>(store: impl Executor<'c, Database = Any>, user: UserId) -> Result<Usage> {
    row! { struct Row { tokens: i64, cost_microusd: i64 } }
    let sql = "SELECT CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) AS tokens, \
               CAST(COALESCE(SUM(cost_microusd), 0) AS BIGINT) AS cost_microusd FROM usage WHERE day = $1 AND user_id = $2";
    let Row { tokens, cost_microusd } = sqlx::query_as(sql).bind(day()).bind(user).fetch_one(store).await?;
    Ok(Usage { tokens: tokens.cast_unsigned(), usd: dollars(cost_microusd) })
}

/// The usage of all people in the last `days` days, today included: a page of rows and one of sums, both after the first `skip`.
///
/// # Errors
/// If the store fails.
pub async fn report(channels: &Channels, days: u16, skip: u32) -> Result<UsageReport> {
    let rows = "SELECT day, user_id, u.name AS user_name, runs, input_tokens, output_tokens, cost_microusd, agent, model FROM usage \
                JOIN users u ON u.id = user_id WHERE day >= $1 \
                ORDER BY day DESC, cost_microusd DESC, input_tokens DESC, user_id, agent, model LIMIT $2 OFFSET $3";
    let sums = "SELECT day, user_id, u.name AS user_name, CAST(SUM(runs) AS BIGINT) AS runs, \
                CAST(SUM(input_tokens) AS BIGINT) AS input_tokens, CAST(SUM(output_tokens) AS BIGINT) AS output_tokens, \
                CAST(SUM(cost_microusd) AS BIGINT) AS cost_microusd, '' AS agent, '' AS model FROM usage \
                JOIN users u ON u.id = user_id WHERE day >= $1 GROUP BY day, user_id, u.name \
                ORDER BY day DESC, SUM(cost_microusd) DESC, SUM(input_tokens) DESC, user_id LIMIT $2 OFFSET $3";
    // One more than a page has, to see whether there are more.
    let (since, limit) = (day_before(days - 1), i64::from(PAGE_SIZE) + 1);
    let query = |sql| sqlx::query_as::<_, ReportRow>(sql).bind(since.clone()).bind(limit).bind(i64::from(skip));
    let mut rows = query(rows).fetch_all(channels.store().reader()).await?;
    let mut sums = query(sums).fetch_all(channels.store().reader()).await?;
    let max = PAGE_SIZE as usize;
    let next = (rows.len() > max || sums.len() > max).then(|| skip.saturating_add(PAGE_SIZE));
    rows.truncate(max);
    sums.truncate(max);
    let row = |row: ReportRow| UsageRow { agent: row.agent.clone(), model: row.model.clone(), sum: row.into() };
    Ok(UsageReport {
        sums: sums.into_iter().map(UsageSum::from).collect(),
        rows: rows.into_iter().map(row).collect(),
        next,
    })
}

row! {
    struct ReportRow {
        day: String,
        user_id: UserId,
        user_name: String,
        runs: i64,
        input_tokens: i64,
        output_tokens: i64,
        cost_microusd: i64,
        agent: String,
        model: String,
    }
}

impl From<ReportRow> for UsageSum {
    fn from(row: ReportRow) -> Self {
        Self {
            day: row.day,
            user: Person { id: row.user_id, name: row.user_name },
            runs: row.runs.cast_unsigned(),
            input_tokens: row.input_tokens.cast_unsigned(),
            output_tokens: row.output_tokens.cast_unsigned(),
            cost_usd: dollars(row.cost_microusd),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "real costs are far below 2^53 millionths")]
fn dollars(microusd: i64) -> f64 {
    microusd as f64 / MICRO_PER_USD
}

/// Adds the usage of an ended run, unless the account of its user was removed. Its cost is known only for the whole run, and is counted with its first model.
///
/// # Errors
/// If the store fails.
pub(super) async fn record(tx: &mut CommandTransaction, user: UserId, agent: &str, ending: &RunEnd) -> Result<()> {
    add(tx, (user, agent, 1), (&ending.usage, ending.metadata.as_ref())).await
}

/// Adds the usage of a request that was made for no run. Its metadata are as those of a run's end.
///
/// # Errors
/// If the store fails.
pub(super) async fn record_request(
    tx: &mut CommandTransaction,
    user: UserId,
    agent: &str,
    used: (&[agui::Usage], Option<&Map<String, Value>>),
) -> Result<()> {
    add(tx, (user, agent, 0), used).await
}

/// Adds the usage of so many runs.
async fn add(
    tx: &mut CommandTransaction,
    (user, agent, runs): (UserId, &str, i64),
    (usage, metadata): (&[agui::Usage], Option<&Map<String, Value>>),
) -> Result<()> {
    let cost = metadata.and_then(|more| more.get("costUsd")).and_then(Value::as_f64);
    // A remote agent may report any number.
    #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
    let mut cost = (cost.unwrap_or_default().clamp(0.0, MAX_USD) * MICRO_PER_USD).round() as i64;
    for (index, used) in usage.iter().take(MAX_MODELS).enumerate() {
        let count = |tokens: Option<u64>| tokens.unwrap_or_default().min(MAX_TOKENS).cast_signed();
        let model = used.model.as_deref().unwrap_or_default();
        let model: String = model.chars().filter(|c| !c.is_control()).take(MAX_MODEL_CHARS).collect();
        sqlx::query(
            "INSERT INTO usage (day, user_id, agent, model, runs, input_tokens, output_tokens, cost_microusd) \
             SELECT $1, id, $3, $4, $5, $6, $7, $8 FROM users WHERE id = $2 ON CONFLICT (day, user_id, agent, model) DO UPDATE SET \
             runs = usage.runs + excluded.runs, input_tokens = usage.input_tokens + excluded.input_tokens, \
             output_tokens = usage.output_tokens + excluded.output_tokens, \
             cost_microusd = usage.cost_microusd + excluded.cost_microusd",
        )
        .bind(day())
        .bind(user)
        .bind(agent)
        .bind(model)
        .bind(if index == 0 { runs } else { 0 })
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
