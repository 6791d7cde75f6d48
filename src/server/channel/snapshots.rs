//! The snapshots that were sent last, encoded: many who come to a channel without a cursor get the same one.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::value::{RawValue, to_raw_value};

use super::{Channel, Channels, Extent};
use crate::{
    protocol::Cursor,
    server::{bounded_cache::BoundedCache, error::Result, offload},
};

/// The most bytes of encoded snapshots that are kept.
const MAX_CACHED_BYTES: usize = 64 << 20;
/// What a snapshot counts beside its bytes.
const OVERHEAD_BYTES: usize = 200;

/// A channel, and how many threads a snapshot of a feed has at most.
type Key = (Channel, Option<u32>);

/// The encoded snapshots of a node, each with the extent of the log that it was made of.
#[derive(Debug)]
pub(super) struct Snapshots(Mutex<BoundedCache<Key, (Extent, Arc<RawValue>)>>);

impl Default for Snapshots {
    fn default() -> Self {
        Self(Mutex::new(BoundedCache::new(MAX_CACHED_BYTES)))
    }
}

impl Channels {
    /// As [`Self::snapshot`], encoded; `extent` is the channel's extent. A snapshot that was encoded for another caller is used if
    /// nothing was appended to the log or trimmed since.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn encoded_snapshot(
        &self,
        channel: Channel,
        newest: Option<u32>,
        extent: Extent,
    ) -> Result<(Cursor, Arc<RawValue>)> {
        let cached = self.shared.snapshots.0.lock().get(&(channel, newest)).cloned();
        if let Some((_, snapshot)) = cached.filter(|(of, _)| *of == extent) {
            return Ok((Cursor { epoch: self.epoch().clone(), seq: extent.head }, snapshot));
        }
        let (at, snapshot) = self.snapshot(channel, newest).await?;
        // Encoding a long snapshot takes milliseconds.
        let encoded: Arc<RawValue> = match at.seq {
            0 => to_raw_value(&snapshot)?,
            _ => offload::run(move || to_raw_value(&snapshot)).await??,
        }
        .into();
        let weight = encoded.get().len() + OVERHEAD_BYTES;
        let of = Extent { head: at.seq, ..extent };
        self.shared.snapshots.0.lock().insert((channel, newest), (of, encoded.clone()), weight);
        Ok((at, encoded))
    }
}
