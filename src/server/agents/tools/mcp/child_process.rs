//! Starting a tool server as a child process with few privileges.
//!
//! A child gets `PATH`, the configured environment variables, and a folder of its own as working folder and `HOME`. It
//! has none of this server's capabilities, cannot gain privileges by executing a program, inherits no open files
//! besides its three standard streams (all others are closed on exec), and is bound by the configured limits. It still
//! runs as this server's user and can read what that user can read, unless a sandbox is configured.

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

/// The placeholder for the child's own folder in the arguments of a sandbox.
const FOLDER_PLACEHOLDER: &str = "{folder}";

/// A program to start, with its secrets in plain text: must not be logged.
pub(super) struct ChildProgram {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// The program with arguments that starts the child; empty: no sandbox.
    pub(super) sandbox: Vec<String>,
    pub(super) limits: ChildLimits,
    /// The child's own folder.
    pub(super) folder: PathBuf,
}

/// A child process and its standard error.
type StartedChild = (TokioChildProcess, Option<ChildStderr>);

impl ChildProgram {
    /// Starts the program.
    ///
    /// # Errors
    /// If its folder cannot be created, it cannot be started, or its privileges or limits cannot be reduced.
    pub(super) fn spawn(&self) -> io::Result<StartedChild> {
        let folder = std::path::absolute(&self.folder)?;
        private_folder(&folder)?;
        let mut program = CommandWrap::from(self.command(&folder));
        program.wrap(ProcessGroup::leader());
        program.wrap(KillOnDrop);
        let limits = self.limits.clone();
        let runtime = tokio::runtime::Handle::current();
        // A child inherits the privileges of the thread that starts it. This thread drops its own for good, and ends.
        let started = thread::spawn(move || -> io::Result<StartedChild> {
            let _entered = runtime.enter();
            drop_privileges()?;
            let (child, stderr) = TokioChildProcess::builder(program).stderr(Stdio::piped()).spawn()?;
            apply_limits(&child, &limits)?;
            Ok((child, stderr))
        });
        started.join().unwrap_or_else(|_| Err(io::Error::other("the thread that started it panicked")))
    }

    fn command(&self, folder: &Path) -> Command {
        let mut words = self.sandbox.iter().map(|word| word.replace(FOLDER_PLACEHOLDER, &folder.display().to_string()));
        // A path is relative to this server's working folder, not the child's; a name is looked up in `PATH`.
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

/// Drops this thread's capabilities and prevents it from gaining new ones.
#[cfg(target_os = "linux")]
fn drop_privileges() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    // An empty inheritable set also empties the ambient set.
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// Sets the limits of a child that was just started. A limit above this server's own is lowered to that.
#[cfg(target_os = "linux")]
fn apply_limits(child: &TokioChildProcess, limits: &ChildLimits) -> io::Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let id = id.ok_or_else(|| io::Error::other("it ended immediately"))?;
    let configured = [
        (Resource::Data, limits.memory_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Cpu, limits.cpu_seconds),
    ];
    // No core dumps: memory may contain secrets.
    let no_dumps = [(Resource::Core, Some(0))];
    let configured = configured.into_iter().map(|(resource, max)| (resource, Some(max).filter(|max| *max > 0)));
    for (resource, max) in configured.chain(no_dumps) {
        let Some(max) = max else { continue };
        let max = getrlimit(resource).maximum.map_or(max, |hard| hard.min(max));
        prlimit(Some(id), resource, Rlimit { current: Some(max), maximum: Some(max) })?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn drop_privileges() -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn apply_limits(_: &TokioChildProcess, _: &ChildLimits) -> io::Result<()> {
    tracing::warn!("the limits of tool servers work on Linux only");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_command_precedes_the_program_and_gets_its_folder() {
        let program = ChildProgram {
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
        assert_eq!(words, expected, "the child's own arguments are unchanged");
    }
}
