//! The random choices of a test with faults, all decided by one seed.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The settings of a test with faults.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Decides every choice, but not the timing.
    pub(crate) seed: u64,
    /// Number of faults of client connections.
    pub(crate) faults: u32,
    /// Clients of each user.
    pub(crate) clients: usize,
    /// Number of users.
    pub(crate) users: usize,
    /// Concurrent tasks of each user. 0: users do only what the test makes them do.
    pub(crate) tasks_per_user: u64,
    /// Number of faults between two operations on servers.
    pub(crate) faults_per_operation: u32,
    /// How long a run may take to end, and everything to settle after the last fault.
    pub(crate) settle_timeout: Duration,
}

impl Plan {
    /// From `NETRA_CHAOS_SEED` and `NETRA_CHAOS_FAULTS`; by default a seed from the clock and `faults`.
    pub(crate) fn from_environment(faults: u32) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
        };
        let moment = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let seed = number("NETRA_CHAOS_SEED").unwrap_or_else(|| moment() % 1_000_000_007);
        let faults = number("NETRA_CHAOS_FAULTS").map_or(faults, |faults| u32::try_from(faults).expect("not so many"));
        Self {
            seed,
            faults,
            clients: 6,
            users: 3,
            tasks_per_user: 2,
            faults_per_operation: 100,
            settle_timeout: Duration::from_secs(90),
        }
    }

    /// The random choices of one part of the test, independent of the other parts.
    pub(crate) fn choices(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part))
    }
}

/// A fault of one client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The connection is reset.
    Reset,
    /// No bytes pass for this time, then the connection is reset.
    HalfOpen(Duration),
    /// No bytes pass for this time.
    Stalled(Duration),
    /// No bytes of the client pass for this time.
    UplinkStalled(Duration),
    /// No bytes of the server pass for this time.
    DownlinkStalled(Duration),
    /// Everything is delayed for this time.
    Delayed(Duration),
    /// Few bytes a second pass for this time.
    Throttled(Duration),
    /// The client closes, and another continues from its cursors.
    Reload,
    /// The client does not read updates for this time.
    SlowReader(Duration),
}

impl Fault {
    pub(crate) fn choose(choices: &mut StdRng) -> Self {
        let mut up_to = |max_ms: u64| Duration::from_millis(choices.random_range(20..=max_ms));
        let (short, long) = (up_to(300), up_to(1_000));
        match choices.random_range(0..100) {
            0..46 => Self::Reset,
            46..54 => Self::HalfOpen(short),
            54..60 => Self::Stalled(long),
            60..66 => Self::UplinkStalled(long),
            66..72 => Self::DownlinkStalled(long),
            72..78 => Self::Delayed(short),
            78..84 => Self::Throttled(long),
            84..96 => Self::Reload,
            _ => Self::SlowReader(long),
        }
    }

    /// The name of its kind.
    pub(crate) fn kind(self) -> String {
        format!("{self:?}").split('(').next().unwrap_or_default().to_lowercase()
    }
}

/// An operation on a server or on what servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The server is killed and started again.
    Kill,
    /// The server is stopped by a signal and started again.
    Restart,
    /// The server's process is suspended for this time.
    Freeze(Duration),
    /// The database crashes and is started again after this time.
    StoreDown(Duration),
    /// The bus crashes and is started again after this time.
    BusDown(Duration),
    /// The store's disk is full for this time.
    DiskFull(Duration),
}

/// What else operations can affect, in addition to the servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    /// Whether the servers share a database and a bus, which the test can stop.
    pub(crate) shared: bool,
    /// Whether the store has its own disk, which the test can fill.
    pub(crate) disk: bool,
}

impl Operation {
    /// Chooses an operation that these targets allow.
    pub(crate) fn choose(choices: &mut StdRng, targets: Targets) -> Self {
        let mut up_to = |max_ms: u64| Duration::from_millis(choices.random_range(100..=max_ms));
        let (short, long) = (up_to(1_000), up_to(3_500));
        if choices.random_bool(0.2) && targets.disk {
            return Self::DiskFull(long);
        }
        match choices.random_range(0..if targets.shared { 14 } else { 10 }) {
            0..5 => Self::Kill,
            5..8 => Self::Restart,
            8 => Self::Freeze(short),
            9 => Self::Freeze(long),
            10 | 11 => Self::StoreDown(short),
            _ => Self::BusDown(long),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Freeze(_) => "freeze",
            Self::StoreDown(_) => "store down",
            Self::BusDown(_) => "bus down",
            Self::DiskFull(_) => "disk full",
        })
    }
}
