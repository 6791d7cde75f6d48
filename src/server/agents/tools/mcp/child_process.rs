//! Starting a tool server as a child process, with no more than it needs of what this server has.
//!
//! A child sees `PATH`, the variables of its entry, and a folder of its own as working folder and `HOME`. It has none of this
//! server's capabilities, gains no privileges by what it executes, inherits no open files beside its three streams (all others
//! are closed on exec), and is held to the limits of its entry. It still runs as this server's user: what that user may read,
//! it may read, unless the entry names a sandbox.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
};

use process_wrap::tokio::{CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::transport::TokioChildProcess;
use tokio::process::{ChildStderr, Command};

use crate::server::{config::tools::ChildLimits, file_modes::private_folder};

/// What stands for the child's own folder in the arguments of a sandbox.
const FOLDER: &str = "{folder}";

/// A program to start, its secrets in clear: never printed.
pub(super) struct Program {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// A program with its arguments that the child is started through.
    pub(super) sandbox: Vec<String>,
    pub(super) limits: ChildLimits,
    /// The child's own folder.
    pub(super) folder: PathBuf,
}

type Started = (TokioChildProcess, Option<ChildStderr>);

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// Where its folder cannot be made, it cannot be started, or what it shall not have cannot be taken from it.
    pub(super) fn spawn(&self) -> io::Result<Started> {
        let folder = std::path::absolute(&self.folder)?;
        private_folder(&folder)?;
        let mut program = CommandWrap::from(self.command(&folder));
        program.wrap(ProcessGroup::leader());
        program.wrap(KillOnDrop);
        let limits = self.limits.clone();
        let runtime = tokio::runtime::Handle::current();
        // Privileges are a thread's, and a child begins with those of the thread that starts it: this one gives its own up, for
        // good, and ends.
        let started = thread::spawn(move || -> io::Result<Started> {
            let _entered = runtime.enter();
            give_up_privileges()?;
            let (child, stderr) = TokioChildProcess::builder(program).stderr(Stdio::piped()).spawn()?;
            limit(&child, &limits)?;
            Ok((child, stderr))
        });
        started.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
    }

    fn command(&self, folder: &Path) -> Command {
        let mut words = self.sandbox.iter().map(|word| word.replace(FOLDER, &folder.display().to_string()));
        // Its working folder is another: a path begins where this server's does, a name is looked for in `PATH`.
        let program = match self.command.contains('/') {
            true => std::path::absolute(&self.command).unwrap_or_else(|_| PathBuf::from(&self.command)),
            false => PathBuf::from(&self.command),
        };
        let mut command = match words.next() {
            Some(sandbox) => {
                let mut command = Command::new(sandbox);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(&self.args).current_dir(folder).env_clear().env("HOME", folder);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Gives up this thread's capabilities and every way to new ones.
#[cfg(target_os = "linux")]
fn give_up_privileges() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    // The ambient set goes with the inheritable one.
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// Holds a child to its limits, from the moment it was started. Nothing may be more than this server itself may have.
#[cfg(target_os = "linux")]
fn limit(child: &TokioChildProcess, limits: &ChildLimits) -> io::Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let id = id.ok_or_else(|| io::Error::other("it ended at once"))?;
    let wanted = [
        (Resource::Data, limits.memory_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Cpu, limits.cpu_seconds),
    ];
    // What it has in memory may be secret, and shall be in no dump.
    let none = [(Resource::Core, Some(0))];
    let wanted = wanted.into_iter().map(|(resource, most)| (resource, Some(most).filter(|most| *most > 0)));
    for (resource, most) in wanted.chain(none) {
        let Some(most) = most else { continue };
        let most = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        prlimit(Some(id), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn give_up_privileges() -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn limit(_: &TokioChildProcess, _: &ChildLimits) -> io::Result<()> {
    tracing::warn!("the limits of tool servers hold on Linux only");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_stands_before_the_command_and_knows_its_folder() {
        let program = Program {
            command: "node".into(),
            args: vec!["server.js".into(), "{folder}".into()],
            env: Vec::new(),
            sandbox: ["bwrap", "--bind", "{folder}", "{folder}", "--"].map(Into::into).into(),
            limits: ChildLimits::default(),
            folder: PathBuf::new(),
        };
        let command = program.command(Path::new("/data/tools/a"));
        let words: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(command.as_std().get_program(), "bwrap");
        let expected = ["--bind", "/data/tools/a", "/data/tools/a", "--", "node", "server.js", "{folder}"];
        assert_eq!(words, expected, "the child's own arguments are left alone");
    }
}
