//! Where many logs end, in few questions: what a node asks when it may have missed something.

use sqlx::{AssertSqlSafe, Row};

use super::{
    channel::{Channel, Channels},
    error::Result,
};

/// How many are asked of at once.
pub(super) const CHUNK: usize = 256;

impl Channels {
    /// Where the logs of these channels end. Those that have no log are left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn heads(&self, channels: &[Channel]) -> Result<Vec<(Channel, u64)>> {
        let mut heads = Vec::with_capacity(channels.len());
        for chunk in channels.chunks(CHUNK) {
            let sql = format!("SELECT id, head FROM channels WHERE id IN ({})", placeholders(1, chunk.len()));
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for channel in filled(chunk) {
                query = query.bind(channel.to_string());
            }
            for row in query.fetch_all(self.store().reader()).await? {
                let id: String = row.try_get(0)?;
                heads.push((id.parse()?, row.try_get::<i64, _>(1)?.cast_unsigned()));
            }
        }
        Ok(heads)
    }
}

/// `$first, ...` for so many values, rounded up to a power of two: few different statements, so that each is prepared once.
pub(super) fn placeholders(first: usize, values: usize) -> String {
    let places: Vec<String> = (first..first + values.next_power_of_two()).map(|n| format!("${n}")).collect();
    places.join(", ")
}

/// As many values as [`placeholders`] has places for them: the last is said again.
pub(super) fn filled<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let last = values.last().into_iter().cycle();
    values.iter().chain(last).take(values.len().next_power_of_two())
}
