//! `netra bench`: drives a running server over real sockets and measures it. A tool for work on Netra.
//!
//! But in `flood`, all sockets are one person's, so `socket.max_connections_per_user` (and `socket.commands_per_minute`, for `echo`) of the
//! server must allow them. Where the client's machine is the server's, `--pid` tells the server's own share: its memory and
//! its processor time are read from `/proc`.

mod flood;
mod process;
mod scenarios;
mod socket;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Failure, ServerArgs, password, say};
use crate::protocol::http::{AccessToken, SignIn};
use flood::Flooder;
use process::Process;
use socket::Target;

/// How long the server may take to answer anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measure a running server over real sockets.
///
/// But in `flood`, all sockets are one person's: the server needs NETRA_SOCKET__MAX_CONNECTIONS_PER_USER of at least --clients, and `echo`
/// and `fanout` NETRA_SOCKET__COMMANDS_PER_MINUTE=1000000. `resume` needs an agent that plays a long recording (`netra serve
/// --help` shows how to configure one).
#[derive(Args)]
pub(super) struct BenchArgs {
    /// What to measure
    scenario: Scenario,
    #[command(flatten)]
    at: ServerArgs,
    /// How many sockets
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    clients: usize,
    /// How long, in seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// An agent whose run is streamed: `resume` needs one, `fanout` then sends what it says
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// How many entries are on their way to all sockets at once, in `fanout` without an agent
    #[arg(long, value_name = "N", default_value_t = 4)]
    under_way: usize,
    /// Who floods, in `flood`: another person, with the same password
    #[arg(long, value_name = "EMAIL")]
    flooder: Option<String>,
    /// How many threads the flooder makes
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    threads: usize,
    /// The server's process, where it is on this machine
    #[arg(long)]
    pid: Option<u32>,
    /// Write the result into this file too, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Scenario {
    /// Sockets that follow their person's feed and nothing else: the server's memory for each
    Idle,
    /// All sockets follow one thread while it is written to: the server's work for each delivery
    Fanout,
    /// Every socket asks and waits for the answer, again and again: `ping`, then a command that is stored
    Echo,
    /// All sockets are cut at once and come back with their cursors: how long until all are in step
    Storm,
    /// One socket comes back to a long log, by replay and by snapshot
    Resume,
    /// One person makes very many threads and loads their page, --clients at once: how long another's `ping` takes meanwhile
    Flood,
}

/// What a scenario needs.
struct Bench {
    target: Target,
    clients: usize,
    time: Duration,
    agent: Option<String>,
    under_way: usize,
    process: Option<Process>,
}

pub(super) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let mut flooder = None;
    let token = match (args.at.token, args.at.email) {
        (Some(token), _) => token,
        (None, Some(email)) => {
            let password = password(args.at.password_stdin)?;
            flooder = args.flooder.map(|email| SignIn { email, password: password.clone() });
            sign_in(&args.at.server, email, password).await?
        }
        (None, None) => return Err(Failure::Unasked("who is it? give --token (or NETRA_TOKEN) or --email".into())),
    };
    let bench = Bench {
        target: Target::of(&args.at.server, token).await?,
        clients: args.clients.max(1),
        time: Duration::from_secs(args.seconds.max(1)),
        agent: args.agent,
        under_way: args.under_way.max(1),
        process: args.pid.map(Process::of).transpose()?,
    };
    let measured = match args.scenario {
        Scenario::Idle => scenarios::idle(&bench).await,
        Scenario::Fanout => scenarios::fanout(&bench).await,
        Scenario::Echo => scenarios::echo(&bench).await,
        Scenario::Storm => scenarios::storm(&bench).await,
        Scenario::Resume => scenarios::resume(&bench).await,
        Scenario::Flood => {
            let unasked = || Failure::Unasked("who floods? give --flooder beside --email".into());
            let sign_in = flooder.ok_or_else(unasked)?;
            flood::flood(&bench, &flooding(&args.at.server, sign_in, args.threads).await?).await
        }
    }?;
    let mut result = json!({"scenario": args.scenario, "clients": bench.clients, "seconds": args.seconds});
    if let (Value::Object(result), Value::Object(measured)) = (&mut result, measured) {
        result.extend(measured);
        print(result, "")?;
    }
    match args.out {
        Some(file) => std::fs::write(&file, format!("{result:#}\n"))
            .map_err(|error| Failure::Failed(format!("{}: {error}", file.display()))),
        None => Ok(()),
    }
}

async fn flooding(server: &str, person: SignIn, threads: usize) -> Result<Flooder, Failure> {
    let token = sign_in(server, person.email.clone(), person.password.clone()).await?;
    let target = Target::of(server, token).await?;
    Ok(Flooder { server: server.trim_end_matches('/').to_owned(), sign_in: person, target, threads })
}

/// A line for each figure.
fn print(result: &Map<String, Value>, before: &str) -> Result<(), Failure> {
    for (name, value) in result {
        match value {
            Value::Object(parts) => print(parts, &format!("{before}{name}."))?,
            Value::String(text) => say(&format!("{before}{name}: {text}"))?,
            value => say(&format!("{before}{name}: {value}"))?,
        }
    }
    Ok(())
}

async fn sign_in(server: &str, email: String, password: String) -> Result<String, Failure> {
    let failed = |error: reqwest::Error| Failure::Unasked(format!("{server} cannot be asked: {error}"));
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
    let call = client.post(format!("{}/api/auth/token", server.trim_end_matches('/')));
    let answer = call.json(&SignIn { email, password }).send().await.map_err(failed)?;
    let answer = answer.error_for_status().map_err(failed)?;
    Ok(answer.json::<AccessToken>().await.map_err(failed)?.access_token)
}

/// Percentiles of times, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times.get(place).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
    };
    json!({"count": times.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_times_that_so_many_do_not_exceed() {
        let times = (1..=200).map(Duration::from_millis).collect();
        let expected = json!({"count": 200, "p50_ms": 100.0, "p95_ms": 190.0, "p99_ms": 198.0, "max_ms": 200.0});
        assert_eq!(percentiles(times), expected);
        assert_eq!(percentiles(vec![Duration::from_micros(1500)])["p99_ms"], 1.5);
        assert_eq!(percentiles(Vec::new())["p50_ms"], Value::Null);
    }
}
