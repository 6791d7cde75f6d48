//! The `netra` command.
//!
//! Exit codes: 0 done, 1 it failed, 2 it was told something wrong (arguments, configuration, a port that is taken) or, of
//! `ask`, that it could not ask; 130 or 143, a second SIGINT or SIGTERM ended a server that was about to stop.

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

use crate::{
    protocol::schema,
    server::{config::ConfigError, file_modes},
};

/// A durable, authenticated home for AI agents on one WebSocket.
#[derive(Parser)]
#[command(name = "netra", version, about, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server and print one link to it
    Serve(serve::ServeArgs),
    /// Ask the agents, watch them work, print their report
    Ask(ask::AskArgs),
    /// Make, list, change and remove accounts; disconnect people
    #[command(subcommand)]
    User(user::UserCommand),
    /// Say something to everyone who is connected (administrators)
    Notice(notice::NoticeArgs),
    /// Look after the store
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Measure a running server over real sockets (a tool for work on Netra)
    #[command(hide = true)]
    Bench(bench::BenchArgs),
    /// Print the JSON Schema of everything on the wire
    Schema,
}

/// Which server, and who asks.
#[derive(Args)]
struct ServerArgs {
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// An access token
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with = "email")]
    token: Option<String>,
    /// An account's address, instead of a token
    #[arg(long)]
    email: Option<String>,
    /// Read the password of --email from the first line of standard input; without this it is asked for
    #[arg(long, requires = "email")]
    password_stdin: bool,
}

/// Why a command ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What it was told is wrong: exit 2.
    #[error(transparent)]
    Told(#[from] ConfigError),
    /// It could not be asked: exit 2.
    #[error("{0}")]
    Unasked(String),
    /// A second signal ended it: exit with this.
    #[error("ended at once")]
    Signalled(u8),
    /// It failed: exit 1.
    #[error("{0}")]
    Failed(String),
}

impl From<crate::server::error::Error> for Failure {
    fn from(error: crate::server::error::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    file_modes::set_umask();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return told(&Failure::Failed(format!("no threads to work with: {error}"))),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Ask(args) => ask::run(args).await,
            Command::User(command) => user::run(command).await,
            Command::Notice(args) => notice::run(args).await,
            Command::Store(command) => store::run(command).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Schema => say(&format!("{:#}", schema::document())),
        }
    });
    // Not waiting for what blocks a thread: all that must be done is done.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    eprintln!("netra: {failure}");
    ExitCode::from(match failure {
        Failure::Told(_) | Failure::Unasked(_) => 2,
        Failure::Signalled(code) => *code,
        Failure::Failed(_) => 1,
    })
}

/// A line on standard output. Nobody there to read it is no error.
fn say(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A password: the first line of standard input, or asked for on the terminal.
fn password(from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin {
        let asked = rpassword::prompt_password("Password: ");
        return asked
            .map_err(|error| Failure::Failed(format!("no terminal to ask on ({error}); use --password-stdin")));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(8 * 1024).read_to_string(&mut text);
    read.map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
