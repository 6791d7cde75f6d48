//! Why the store, or the disk of the uploaded files, cannot be used at the moment, derived from its errors.

use std::{
    fmt, io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Whether a write failed because of the store's disk since the store was last found to accept writes.
static SUSPECTED: AtomicBool = AtomicBool::new(false);
/// How many operations of the store failed since this process started.
static STORE_ERRORS: AtomicU64 = AtomicU64::new(0);

/// Counts a failed operation of the store, for the metrics.
pub(super) fn count_store_error() {
    STORE_ERRORS.fetch_add(1, Ordering::Relaxed);
}

/// How many operations of the store failed since this process started.
pub(super) fn store_errors() -> u64 {
    STORE_ERRORS.load(Ordering::Relaxed)
}

/// An outage; the same operation may work later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The store does not answer, restarts, or has no connection left.
    OutOfReach,
    /// The store's disk is full.
    StoreFull,
    /// The store's disk, or the database, is read-only.
    StoreReadOnly,
    /// The store's disk fails.
    StoreDisk,
    /// The disk of the uploaded files is full.
    FilesFull,
}

impl Outage {
    /// The outage behind an error of the store, if there is one.
    #[must_use]
    pub fn from_store_error(error: &sqlx::Error) -> Option<Self> {
        use sqlx::Error as E;
        match error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => {
                Some(Self::OutOfReach)
            }
            // A connection that was cut within a message looks like a malformed one.
            E::Protocol(_) => Some(Self::OutOfReach),
            E::Database(error) => error.code().and_then(|code| Self::from_code(&code)),
            _ => None,
        }
    }

    /// The outage behind an error of the file system, if there is one.
    #[must_use]
    pub fn from_io_error(error: &io::Error) -> Option<Self> {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        full.then_some(Self::FilesFull)
    }

    /// PostgreSQL's codes (SQLSTATE) have five characters. SQLite's are numbers of at most four digits; their lowest byte is the primary
    /// code.
    fn from_code(code: &str) -> Option<Self> {
        if code.len() == 5 {
            return Self::from_sqlstate(code);
        }
        match code.parse::<u32>().ok()? & 0xff {
            // Busy, locked.
            5 | 6 => Some(Self::OutOfReach),
            8 => Some(Self::StoreReadOnly),
            // An error of the disk; the file cannot be opened.
            10 | 14 => Some(Self::StoreDisk),
            13 => Some(Self::StoreFull),
            _ => None,
        }
    }

    /// Out of reach: connection exceptions; too many connections; operator intervention (shutting down, crashed, starting up, time-out);
    /// deadlocks, conflicts and lock time-outs, which pass.
    fn from_sqlstate(code: &str) -> Option<Self> {
        match code {
            "53100" => Some(Self::StoreFull),
            "25006" => Some(Self::StoreReadOnly),
            "58030" => Some(Self::StoreDisk),
            "53300" | "40001" | "40P01" | "55P03" | "57014" => Some(Self::OutOfReach),
            _ if code.starts_with("08") || code.starts_with("57P0") => Some(Self::OutOfReach),
            _ => None,
        }
    }

    /// Records that a write failed in this way. Small writes may still succeed, in pages that have free space.
    pub fn suspect(self) {
        if self != Self::OutOfReach && self != Self::FilesFull {
            SUSPECTED.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a write failed because of the store's disk since [`Outage::clear`].
    #[must_use]
    pub fn is_suspected() -> bool {
        SUSPECTED.load(Ordering::Relaxed)
    }

    /// Records that the store can be written again.
    pub fn clear() {
        SUSPECTED.store(false, Ordering::Relaxed);
    }

    /// After how many milliseconds to try again: soon if the outage may pass by itself, later if somebody has to do something.
    #[must_use]
    pub fn retry_after_ms(self) -> u64 {
        if self == Self::OutOfReach { 1_000 } else { 5_000 }
    }
}

/// The message for people.
impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfReach => "the store is out of reach; try again in a moment",
            Self::StoreFull => {
                "the disk of the server's store is full; the server continues by itself once there is room"
            }
            Self::StoreReadOnly => {
                "the server's store is read-only; the server continues by itself once the store can be written again"
            }
            Self::StoreDisk => {
                "the disk of the server's store fails; the server continues by itself once the disk works"
            }
            Self::FilesFull => {
                "the disk of the server's files is full; the server continues by itself once there is room"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outage_follows_from_the_code_of_either_database() {
        for code in ["08006", "08001", "53300", "57P01", "57P02", "57P03", "5", "6", "261", "517"] {
            assert_eq!(Outage::from_code(code), Some(Outage::OutOfReach), "{code}");
        }
        for code in ["23505", "42601", "22P02", "1", "19", "2067", ""] {
            assert_eq!(Outage::from_code(code), None, "{code}");
        }
        assert_eq!([Outage::from_code("13"), Outage::from_code("53100")], [Some(Outage::StoreFull); 2]);
        assert_eq!([Outage::from_code("8"), Outage::from_code("25006")], [Some(Outage::StoreReadOnly); 2]);
        assert_eq!([Outage::from_code("778"), Outage::from_code("58030")], [Some(Outage::StoreDisk); 2]);
        assert_eq!(Outage::from_code("4874"), Some(Outage::StoreDisk), "no room for the shared memory of the log");
    }

    #[test]
    fn a_full_disk_of_files_is_an_outage_and_other_errors_are_not() {
        assert_eq!(Outage::from_io_error(&io::ErrorKind::StorageFull.into()), Some(Outage::FilesFull));
        assert_eq!(Outage::from_io_error(&io::ErrorKind::NotFound.into()), None);
    }
}
