//! Memory and CPU time of a process, from `/proc`.

use std::{fs, time::Duration};

use crate::cli::Failure;

/// Clock ticks per second (`USER_HZ`): 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A process on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u32);

impl Process {
    /// A process by its id.
    ///
    /// # Errors
    /// There is none, or no `/proc`.
    pub(super) fn open(id: u32) -> Result<Self, Failure> {
        let process = Self(id);
        process.cpu_time().map(|_| process)
    }

    /// Resident memory, in bytes.
    pub(super) fn resident_bytes(self) -> Result<u64, Failure> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| self.unreadable("status"))
    }

    /// CPU time used so far, in user and in kernel mode.
    pub(super) fn cpu_time(self) -> Result<Duration, Failure> {
        let stat = self.read("stat")?;
        // The second field, the name in parentheses, may contain spaces: fields are counted after it, from the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = ticks(11).zip(ticks(12)).ok_or_else(|| self.unreadable("stat"))?;
        Ok(Duration::from_millis((ticks.0 + ticks.1) * 1000 / TICKS_PER_SECOND))
    }

    fn read(self, file: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path)
            .map_err(|error| Failure::Usage(format!("{path}: {error}; --pid must be the server's process id")))
    }

    fn unreadable(self, file: &str) -> Failure {
        Failure::Failed(format!("/proc/{}/{file} has an unknown format", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_cpu_time_of_this_process_are_read() {
        let this = Process::open(std::process::id()).expect("the process exists");
        assert!(this.resident_bytes().expect("the process is read") > 100_000);
        let began = std::time::Instant::now();
        while this.cpu_time().expect("the process is read") == Duration::ZERO
            && began.elapsed() < Duration::from_secs(5)
        {}
        assert!(this.cpu_time().expect("the process is read") > Duration::ZERO);
    }
}
