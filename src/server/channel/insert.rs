//! Inserts entries at the ends of their logs. The writers and the transactions of commands both do it here.

use std::collections::{BTreeMap, HashMap};

use sqlx::AnyConnection;

use super::{Channel, Delivery, Shared, queries};
use crate::server::error::{Error, Result};

/// An entry that has no place in its log yet.
#[derive(Debug)]
pub(super) struct PendingEntry<'a> {
    pub(super) channel: Channel,
    /// When it was appended, in milliseconds since 1970.
    pub(super) at: i64,
    /// The entry as JSON.
    pub(super) entry: &'a str,
}

/// Inserts entries at the ends of their logs, in this order, and counts bytes that are kept for channels in other tables. Returns the
/// deliveries, in the same order.
pub(super) async fn insert(
    shared: &Shared,
    connection: &mut AnyConnection,
    entries: &[PendingEntry<'_>],
    other_bytes: &[(Channel, u64)],
) -> Result<Vec<Delivery>> {
    let engine = shared.store.engine();
    // By name: all transactions lock channels in this order.
    let mut growths: BTreeMap<String, queries::Growth> = BTreeMap::new();
    let mut grow = |channel: Channel, entries, bytes| {
        let none = queries::Growth { channel, entries: 0, bytes: 0 };
        let growth = growths.entry(channel.to_string()).or_insert(none);
        growth.entries += entries;
        growth.bytes += bytes;
    };
    entries.iter().for_each(|pending| grow(pending.channel, 1, pending.entry.len() as u64));
    other_bytes.iter().for_each(|(channel, bytes)| grow(*channel, 0, *bytes));
    let in_order: Vec<queries::Growth> = growths.values().copied().collect();
    let heads = queries::grow(connection, engine, &in_order).await?;
    // Each channel's name, and the `seq` of its next entry.
    let mut next_seqs: HashMap<Channel, (&str, u64)> = HashMap::with_capacity(growths.len());
    for (name, queries::Growth { channel, entries, .. }) in &growths {
        let head = heads.get(channel).ok_or_else(|| no_end(*channel))?;
        next_seqs.insert(*channel, (name, head - entries + 1));
    }
    let (mut rows, mut deliveries) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for PendingEntry { channel, at, entry } in entries {
        let (name, next) = next_seqs.get_mut(channel).ok_or_else(|| no_end(*channel))?;
        rows.push(queries::NewEntry { channel: name, seq: *next, at: *at, entry });
        deliveries.push(Delivery::new(&shared.epoch, *channel, *next, *at, entry));
        *next += 1;
    }
    queries::insert_entries(connection, engine, &rows).await?;
    Ok(deliveries)
}

fn no_end(channel: Channel) -> Error {
    Error::Corrupt(format!("{channel} has no last `seq`"))
}
