//! Answers where logs begin and end, with as few statements as possible.
//!
//! On SQLite this process alone writes the logs: an extent that was read once is kept, and moved by each commit. On PostgreSQL other
//! nodes write them, too: an extent is read each time, and those that wait share a statement.

use std::fmt;

use parking_lot::Mutex;

use super::{Channel, Delivery, queries};
use crate::server::{
    bounded_cache::BoundedCache,
    error::Result,
    store::{Engine, Lookups, Store},
};

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Entries up to here may be missing: compacted, or no longer kept. Clients that have seen less begin with a snapshot.
    pub trimmed: u64,
    /// The last entry's `seq`; 0 if nothing was ever appended.
    pub head: u64,
}

/// The most extents that are cached; each takes about 100 bytes.
const MAX_CACHED_EXTENTS: usize = 100_000;

/// The extents of a store's logs.
pub(super) struct Extents {
    lookups: Lookups<Channel, Extent>,
    /// The cached extents; only on SQLite.
    known: Option<Mutex<Known>>,
}

struct Known {
    extents: BoundedCache<Channel, Kept>,
    reads: u64,
}

enum Kept {
    /// The read with this number is reading it. `committed` is the last `seq` that was committed meanwhile, 0 if none was.
    Reading {
        read: u64,
        committed: u64,
    },
    Extent(Extent),
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extents").finish_non_exhaustive()
    }
}

impl Extents {
    pub(super) fn new(engine: Engine) -> Self {
        let known = || Mutex::new(Known { extents: BoundedCache::new(MAX_CACHED_EXTENTS), reads: 0 });
        Self { lookups: Lookups::default(), known: (engine == Engine::Sqlite).then(known) }
    }

    /// The extent of a channel's log; all zeros if it has none.
    pub(super) async fn get(&self, store: &Store, channel: Channel) -> Result<Extent> {
        let read = match self.begin_read(channel) {
            Ok(extent) => return Ok(extent),
            Err(read) => read,
        };
        let statement = {
            let store = store.clone();
            move |channels: Vec<Channel>| {
                let store = store.clone();
                async move { queries::extents(store.reader(), store.engine(), &channels).await }
            }
        };
        let extent = self.lookups.get(channel, statement).await?.unwrap_or_default();
        Ok(self.end_read(channel, read, extent))
    }

    /// The extent if it is cached; otherwise, as `Err`, the number of the read that the caller begins or joins.
    fn begin_read(&self, channel: Channel) -> Result<Extent, u64> {
        let Some(known) = &self.known else { return Err(0) };
        let mut known = known.lock();
        match known.extents.get(&channel) {
            Some(Kept::Extent(extent)) => Ok(*extent),
            Some(Kept::Reading { read, .. }) => Err(*read),
            None => {
                known.reads += 1;
                let read = known.reads;
                known.extents.insert(channel, Kept::Reading { read, committed: 0 }, 1);
                Err(read)
            }
        }
    }

    /// Caches an extent that was read, unless the log was trimmed or deleted meanwhile. Returns the extent with what was committed meanwhile.
    fn end_read(&self, channel: Channel, number: u64, extent: Extent) -> Extent {
        let Some(known) = &self.known else { return extent };
        let mut known = known.lock();
        match known.extents.get(&channel) {
            Some(kept @ Kept::Reading { .. }) => {
                let Kept::Reading { read, committed } = *kept else { return extent };
                let now = Extent { head: extent.head.max(committed), ..extent };
                if read == number {
                    *kept = Kept::Extent(now);
                }
                now
            }
            Some(Kept::Extent(now)) => *now,
            None => extent,
        }
    }

    /// Moves the cached ends of the logs to which these committed entries belong.
    pub(super) fn on_commit(&self, deliveries: &[Delivery]) {
        let Some(known) = &self.known else { return };
        let mut known = known.lock();
        for Delivery { channel, seq, .. } in deliveries {
            match known.extents.get(channel) {
                Some(Kept::Reading { committed: head, .. } | Kept::Extent(Extent { head, .. })) => {
                    *head = (*head).max(*seq);
                }
                None => {}
            }
        }
    }

    /// Removes the extents of these logs from the cache, because they were trimmed or deleted, or it is not known what was committed.
    pub(super) fn forget(&self, channels: impl IntoIterator<Item = Channel>) {
        let Some(known) = &self.known else { return };
        let mut known = known.lock();
        for channel in channels {
            known.extents.remove(&channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Epoch, ThreadId};

    fn committed(channel: Channel, seq: u64) -> [Delivery; 1] {
        [Delivery::new(&Epoch("e".into()), channel, seq, 1, "{}")]
    }

    #[test]
    fn an_extent_that_was_read_moves_with_each_commit() {
        let (extents, channel) = (Extents::new(Engine::Sqlite), Channel::Thread(ThreadId::new()));
        let read = extents.begin_read(channel).expect_err("nothing is known");
        assert_eq!(extents.end_read(channel, read, Extent { trimmed: 1, head: 4 }), Extent { trimmed: 1, head: 4 });
        extents.on_commit(&committed(channel, 6));
        extents.on_commit(&committed(channel, 5));
        assert_eq!(extents.begin_read(channel), Ok(Extent { trimmed: 1, head: 6 }));
        extents.forget([channel]);
        assert!(extents.begin_read(channel).is_err());
    }

    #[test]
    fn what_is_committed_or_deleted_during_a_read_counts() {
        let (extents, channel) = (Extents::new(Engine::Sqlite), Channel::Thread(ThreadId::new()));
        let first = extents.begin_read(channel).expect_err("nothing is known");
        extents.on_commit(&committed(channel, 5));
        assert_eq!(extents.begin_read(channel), Err(first), "the second joins the first");
        assert_eq!(extents.end_read(channel, first, Extent { trimmed: 0, head: 4 }).head, 5);
        assert_eq!(extents.end_read(channel, first, Extent { trimmed: 0, head: 4 }).head, 5, "the second is told, too");

        extents.forget([channel]);
        let before = extents.begin_read(channel).expect_err("it is forgotten");
        extents.forget([channel]);
        let after = extents.begin_read(channel).expect_err("it is being read");
        extents.end_read(channel, before, Extent { trimmed: 0, head: 5 });
        assert_eq!(extents.begin_read(channel), Err(after), "what was read before the log was deleted is not kept");
        extents.end_read(channel, after, Extent::default());
        assert_eq!(extents.begin_read(channel), Ok(Extent::default()));
    }

    #[test]
    fn nothing_is_kept_where_other_nodes_write() {
        let (extents, channel) = (Extents::new(Engine::Postgres), Channel::Thread(ThreadId::new()));
        let read = extents.begin_read(channel).expect_err("nothing is known");
        extents.end_read(channel, read, Extent { trimmed: 0, head: 4 });
        assert!(extents.begin_read(channel).is_err());
    }
}
