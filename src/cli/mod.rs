//! The `netra` command.
//!
//! Exit codes: 0 success; 1 failure; 2 wrong arguments or configuration, a port that is in use, or, with `ask` and `bench`, a server that
//! cannot be reached or refuses; 130 or 143 a second SIGINT or SIGTERM while the server was stopping.

mod admin;
mod ask;
mod bench;
mod notice;
mod serve;
mod store;
mod user;

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::server::{config::ConfigError, file_modes};

/// A server and page for AI agents: stores everything that agents do and streams it to every tab and device.
#[derive(Parser)]
#[command(name = "netra", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server and print a link to it
    Serve(serve::ServeArgs),
    /// Send a message to an agent, show its progress, print its answer
    Ask(ask::AskArgs),
    /// Add, list, change and remove accounts; disconnect users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show a notice to everyone who is connected (for administrators)
    Notice(notice::NoticeArgs),
    /// Maintain the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Benchmark a running server over real sockets (for developers of Netra)
    #[command(hide = true)]
    Bench(bench::BenchArgs),
    /// Print the JSON Schema of the wire protocol
    Schema,
}

/// The server, and the account to use.
#[derive(Args)]
struct ServerArgs {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// Access token, from `POST /api/auth/token`
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with = "email")]
    token: Option<String>,
    /// Sign in with this email address instead of a token
    #[arg(long)]
    email: Option<String>,
    /// Read the password of --email from the first line of standard input instead of prompting for it
    #[arg(long, requires = "email")]
    password_stdin: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The configuration is wrong: exit 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An argument is wrong or missing: exit 2.
    #[error("{0}")]
    Usage(String),
    /// The server cannot be reached, or refuses the request: exit 2.
    #[error("{0}")]
    Unreachable(String),
    /// A second signal ended the process: exit with this code.
    #[error("stopped at once by a second signal")]
    Signalled(u8),
    /// Anything else: exit 1.
    #[error("{0}")]
    Failed(String),
}

impl From<crate::server::error::Error> for Failure {
    fn from(error: crate::server::error::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Parses the arguments and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    file_modes::set_umask();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Failed(format!("cannot start the runtime's threads: {error}"))),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Ask(args) => ask::run(args).await,
            Command::User(command) => user::run(command).await,
            Command::Notice(args) => notice::run(args).await,
            Command::Store(command) => store::run(command).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Schema => print_line(&schema()),
        }
    });
    // Does not wait for blocking tasks: what has to complete has completed.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Prints the failure; returns its exit code.
fn report(failure: &Failure) -> ExitCode {
    eprintln!("netra: {failure}");
    ExitCode::from(match failure {
        Failure::Config(_) | Failure::Usage(_) | Failure::Unreachable(_) => 2,
        Failure::Signalled(code) => *code,
        Failure::Failed(_) => 1,
    })
}

/// The JSON Schema of the wire protocol, generated from the types.
#[cfg(feature = "schema")]
fn schema() -> String {
    format!("{:#}", crate::protocol::schema::document())
}

/// The JSON Schema of the wire protocol, as it was generated for the repository.
#[cfg(not(feature = "schema"))]
fn schema() -> String {
    include_str!("../../shared/schema.json").trim_end().to_owned()
}

/// Prints a line to standard output. A closed pipe is not an error.
fn print_line(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Reads a password: from the first line of standard input, or from a prompt on the terminal.
fn read_password(from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin {
        let password = rpassword::prompt_password("Password: ");
        return password.map_err(|error| {
            Failure::Failed(format!("cannot prompt for the password ({error}); use --password-stdin"))
        });
    }
    let mut text = String::new();
    let read = std::io::stdin().take(8 * 1024).read_to_string(&mut text);
    read.map_err(|error| Failure::Failed(format!("cannot read the password from standard input: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
