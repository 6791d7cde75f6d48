//! Why the store, or the disk of the uploaded files, cannot be used at the moment: told from the error that it answered.

use std::{
    fmt, io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Whether somebody was refused since the store was last seen to have room.
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

/// What is the matter. The same may work later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The store is away, restarts, or has no connection left.
    OutOfReach,
    /// There is no room on the store's disk.
    StoreFull,
    /// The store takes no writes: its disk, or the database, is read-only.
    StoreReadOnly,
    /// The store's disk fails.
    StoreDisk,
    /// There is no room on the disk of the uploaded files.
    FilesFull,
}

impl Outage {
    /// The outage that an error of the store means, if it means one.
    #[must_use]
    pub fn of_store(error: &sqlx::Error) -> Option<Self> {
        use sqlx::Error as E;
        match error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::BeginFailed => {
                Some(Self::OutOfReach)
            }
            // A connection that was cut within a message reads as nonsense.
            E::Protocol(_) => Some(Self::OutOfReach),
            E::Database(error) => error.code().and_then(|code| Self::of_code(&code)),
            _ => None,
        }
    }

    /// The outage that an error of a disk means, if it means one.
    #[must_use]
    pub fn of_files(error: &io::Error) -> Option<Self> {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        full.then_some(Self::FilesFull)
    }

    /// PostgreSQL's codes (SQLSTATE) have five characters, SQLite's are numbers of at most four digits, of which the last byte
    /// says the kind.
    fn of_code(code: &str) -> Option<Self> {
        if code.len() == 5 {
            return Self::of_sqlstate(code);
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

    /// Connection exceptions; too many connections; operator intervention (shutting down, crashed, starting up, out of time); a
    /// deadlock, a conflict or a lock that came too late, which pass.
    fn of_sqlstate(code: &str) -> Option<Self> {
        match code {
            "53100" => Some(Self::StoreFull),
            "25006" => Some(Self::StoreReadOnly),
            "58030" => Some(Self::StoreDisk),
            "53300" | "40001" | "40P01" | "55P03" | "57014" => Some(Self::OutOfReach),
            _ if code.starts_with("08") || code.starts_with("57P0") => Some(Self::OutOfReach),
            _ => None,
        }
    }

    /// Notes that a write failed so: small writes may still succeed, where their pages have room.
    pub fn suspect(self) {
        if self != Self::OutOfReach && self != Self::FilesFull {
            SUSPECTED.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a write failed for want of room, or of a disk that works, since [`Outage::clear`].
    #[must_use]
    pub fn is_suspected() -> bool {
        SUSPECTED.load(Ordering::Relaxed)
    }

    /// Notes that the store has room.
    pub fn clear() {
        SUSPECTED.store(false, Ordering::Relaxed);
    }

    /// After how many milliseconds to try again: soon where it may pass by itself, later where somebody has to do something.
    #[must_use]
    pub fn retry_after_ms(self) -> u64 {
        if self == Self::OutOfReach { 1_000 } else { 5_000 }
    }
}

/// What a person is told.
impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfReach => "the store is out of reach; try again in a moment",
            Self::StoreFull => "the disk of the server's store is full; it goes on by itself once there is room",
            Self::StoreReadOnly => "the server's store is read-only; it goes on by itself once it can be written again",
            Self::StoreDisk => "the disk of the server's store fails; it goes on by itself once the disk works",
            Self::FilesFull => "the disk of the server's files is full; it goes on by itself once there is room",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_matter_is_told_from_the_code_of_either_database() {
        for code in ["08006", "08001", "53300", "57P01", "57P02", "57P03", "5", "6", "261", "517"] {
            assert_eq!(Outage::of_code(code), Some(Outage::OutOfReach), "{code}");
        }
        for code in ["23505", "42601", "22P02", "1", "19", "2067", ""] {
            assert_eq!(Outage::of_code(code), None, "{code}");
        }
        assert_eq!([Outage::of_code("13"), Outage::of_code("53100")], [Some(Outage::StoreFull); 2]);
        assert_eq!([Outage::of_code("8"), Outage::of_code("25006")], [Some(Outage::StoreReadOnly); 2]);
        assert_eq!([Outage::of_code("778"), Outage::of_code("58030")], [Some(Outage::StoreDisk); 2]);
        assert_eq!(Outage::of_code("4874"), Some(Outage::StoreDisk), "no room for the shared memory of the log");
    }

    #[test]
    fn a_full_disk_of_files_is_told_from_other_errors() {
        assert_eq!(Outage::of_files(&io::ErrorKind::StorageFull.into()), Some(Outage::FilesFull));
        assert_eq!(Outage::of_files(&io::ErrorKind::NotFound.into()), None);
    }
}
