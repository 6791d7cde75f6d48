//! What the system knows of the server's process: memory and processor time, from `/proc`.

use std::{fs, time::Duration};

use crate::cli::Failure;

/// Ticks of processor time in a second: the same on every Linux.
const TICKS: u64 = 100;

/// A process of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u32);

impl Process {
    /// The process of this number.
    ///
    /// # Errors
    /// Where there is none, or no `/proc`.
    pub(super) fn of(id: u32) -> Result<Self, Failure> {
        let process = Self(id);
        process.busy().map(|_| process)
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(self) -> Result<u64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| self.unreadable("status"))
    }

    /// Processor time used so far, in the program and in the kernel for it.
    pub(super) fn busy(self) -> Result<Duration, Failure> {
        let stat = self.read("stat")?;
        // The name, in parentheses, may hold anything; after it the fields are counted from the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = ticks(11).zip(ticks(12)).ok_or_else(|| self.unreadable("stat"))?;
        Ok(Duration::from_millis((ticks.0 + ticks.1) * 1000 / TICKS))
    }

    fn read(self, what: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{what}", self.0);
        fs::read_to_string(&path).map_err(|error| Failure::Unasked(format!("{path}: {error}; --pid names the server")))
    }

    fn unreadable(self, what: &str) -> Failure {
        Failure::Failed(format!("/proc/{}/{what} is not as expected", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_takes_time() {
        let this = Process::of(std::process::id()).expect("is there");
        assert!(this.resident().expect("is read") > 100_000);
        let began = std::time::Instant::now();
        while this.busy().expect("is read") == Duration::ZERO && began.elapsed() < Duration::from_secs(5) {}
        assert!(this.busy().expect("is read") > Duration::ZERO);
    }
}
