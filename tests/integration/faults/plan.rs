//! What happens in a run of faults, as one number decides it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How a run of faults is made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Decides every choice; when each comes true is left to the machine.
    pub(crate) seed: u64,
    /// How many times something is done to a client's connection.
    pub(crate) faults: u32,
    /// How many clients each person has.
    pub(crate) clients: usize,
    /// How many people there are.
    pub(crate) people: usize,
    /// How many things each person does at once; none: only what the test has them do.
    pub(crate) lives: u64,
    /// After how many faults something is done to a server.
    pub(crate) operate_every: u32,
    /// How long a run may take to end, and everything to settle at last.
    pub(crate) patience: Duration,
}

impl Plan {
    /// `NETRA_CHAOS_SEED` and `NETRA_CHAOS_FAULTS`, else a seed of the moment and so many faults.
    pub(crate) fn from_environment(faults: u32) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
        };
        let moment = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let seed = number("NETRA_CHAOS_SEED").unwrap_or_else(|| moment() % 1_000_000_007);
        let faults = number("NETRA_CHAOS_FAULTS").map_or(faults, |faults| u32::try_from(faults).expect("not so many"));
        Self { seed, faults, clients: 6, people: 3, lives: 2, operate_every: 100, patience: Duration::from_secs(90) }
    }

    /// The choices of one part of the run: its own, whatever the others do.
    pub(crate) fn choices(&self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part))
    }
}

/// Something done to one client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It is reset.
    Cut,
    /// Nothing passes for a while, then it is reset.
    HalfOpen(Duration),
    /// Nothing passes for a while, then everything does.
    Silence(Duration),
    /// Nothing of the client's passes for a while.
    Deaf(Duration),
    /// Nothing of the server's passes for a while.
    Mute(Duration),
    /// Everything comes late for a while.
    Late(Duration),
    /// Little passes for a while.
    Thin(Duration),
    /// The client closes, and another begins where it was.
    Reload,
    /// The client reads nothing for a while.
    Slow(Duration),
}

impl Fault {
    pub(crate) fn choose(choices: &mut StdRng) -> Self {
        let mut a_while = |most: u64| Duration::from_millis(choices.random_range(20..=most));
        let (short, long) = (a_while(300), a_while(1_000));
        match choices.random_range(0..100) {
            0..46 => Self::Cut,
            46..54 => Self::HalfOpen(short),
            54..60 => Self::Silence(long),
            60..66 => Self::Deaf(long),
            66..72 => Self::Mute(long),
            72..78 => Self::Late(short),
            78..84 => Self::Thin(long),
            84..96 => Self::Reload,
            _ => Self::Slow(long),
        }
    }

    /// Its kind's name.
    pub(crate) fn kind(self) -> String {
        format!("{self:?}").split('(').next().unwrap_or_default().to_lowercase()
    }
}

/// Something done to a server, or to what servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Killed, as by a power cut, and started again.
    Kill,
    /// Asked to stop, and started again.
    Restart,
    /// It stands still for a while.
    Freeze(Duration),
    /// The database crashes, and is started again after a while.
    StoreAway(Duration),
    /// The bus crashes, and is started again after a while.
    BusAway(Duration),
    /// There is no room on the store's disk for a while.
    DiskFull(Duration),
}

/// What there is to suffer from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suffering {
    /// A database and a bus of their own, which several servers share.
    pub(crate) shared: bool,
    /// A disk of its own for the store.
    pub(crate) disk: bool,
}

impl Operation {
    /// One of those that servers can suffer.
    pub(crate) fn choose(choices: &mut StdRng, from: Suffering) -> Self {
        let mut a_while = |most: u64| Duration::from_millis(choices.random_range(100..=most));
        let (short, long) = (a_while(1_000), a_while(3_500));
        // Every fifth.
        if choices.random_bool(0.2) && from.disk {
            return Self::DiskFull(long);
        }
        match choices.random_range(0..if from.shared { 14 } else { 10 }) {
            0..5 => Self::Kill,
            5..8 => Self::Restart,
            8 => Self::Freeze(short),
            9 => Self::Freeze(long),
            10 | 11 => Self::StoreAway(short),
            _ => Self::BusAway(long),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Freeze(_) => "freeze",
            Self::StoreAway(_) => "store away",
            Self::BusAway(_) => "bus away",
            Self::DiskFull(_) => "disk full",
        })
    }
}
