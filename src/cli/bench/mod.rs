//! `netra bench`: benchmarks a running server over real sockets. For developers of Netra.
//!
//! In most scenarios one user opens all sockets, so the server's `socket.max_connections_per_user`, `socket.commands_per_minute` (which
//! counts handshakes, too) and `connections.max_per_address` must allow that. `--pid` reports memory and CPU time of a server on the same
//! machine, read from `/proc`.

mod connecting;
mod flood;
mod process;
mod scenarios;
mod socket;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Failure, ServerArgs, print_line, read_password};
use crate::protocol::http::{AccessToken, SignIn};
use flood::Flooder;
use process::Process;
use socket::Target;

/// How long the server may take for any response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Benchmark a running server over real sockets.
///
/// Start the server with higher limits: one user opens all sockets, in all scenarios but `flood` and `resume`, so
/// NETRA_SOCKET__MAX_CONNECTIONS_PER_USER and NETRA_CONNECTIONS__MAX_PER_ADDRESS must be at least --clients plus --in-flight plus 1. All
/// scenarios but `resume` also need NETRA_SOCKET__COMMANDS_PER_MINUTE=1000000, because handshakes count as commands. `resume` needs an
/// agent that replays a long recording (`netra serve --help` shows how to configure one).
#[derive(Args)]
pub(super) struct BenchArgs {
    /// What to measure
    scenario: Scenario,
    #[command(flatten)]
    login: ServerArgs,
    /// Number of sockets
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    clients: usize,
    /// Duration of the measurement, in seconds
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// Agent whose run is streamed; required for `resume`, and used by `fanout`, which otherwise renames the thread
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The most titles that are being set or delivered at a time, in `fanout` without --agent
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: usize,
    /// Use the subprotocol netra.v1.compact instead of netra.v1
    #[arg(long)]
    compact: bool,
    /// Email address of the user who floods, in `flood`; with the same password as --email
    #[arg(long, value_name = "EMAIL")]
    flooder: Option<String>,
    /// Threads that the flooder creates
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    threads: usize,
    /// Process id of the server, if it runs on this machine
    #[arg(long)]
    pid: Option<u32>,
    /// Also write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Scenario {
    /// CPU time of the server per handshake, and per subscription with and without a cursor
    Connect,
    /// Memory of the server per idle socket that follows its user's feed
    Idle,
    /// CPU time per delivery while all sockets follow one thread that is written to
    Fanout,
    /// Round trips per second and CPU time of each: `ping`, then two commands that write to the store
    Echo,
    /// Time until all sockets are back after all were disconnected at once: with a cursor, and without
    Storm,
    /// Time to resume a long log, by replay and by snapshot
    Resume,
    /// Latency of a user's `ping` while another user creates many threads and loads pages, --clients at once
    Flood,
}

/// The parameters of a scenario.
struct Bench {
    target: Target,
    clients: usize,
    time: Duration,
    agent: Option<String>,
    in_flight: usize,
    process: Option<Process>,
}

pub(super) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let mut flooder = None;
    let token = match (args.login.token, args.login.email) {
        (Some(token), _) => token,
        (None, Some(email)) => {
            let password = read_password(args.login.password_stdin)?;
            flooder = args.flooder.map(|email| SignIn { email, password: password.clone() });
            sign_in(&args.login.server, email, password).await?
        }
        (None, None) => return Err(Failure::Usage("give --token (or NETRA_TOKEN) or --email".into())),
    };
    let bench = Bench {
        target: Target::resolve(&args.login.server, token, args.compact).await?,
        clients: args.clients.max(1),
        time: Duration::from_secs(args.seconds.max(1)),
        agent: args.agent,
        in_flight: args.in_flight.max(1),
        process: args.pid.map(Process::open).transpose()?,
    };
    let measured = match args.scenario {
        Scenario::Connect => connecting::connect(&bench).await,
        Scenario::Idle => scenarios::idle(&bench).await,
        Scenario::Fanout => scenarios::fanout(&bench).await,
        Scenario::Echo => scenarios::echo(&bench).await,
        Scenario::Storm => scenarios::storm(&bench).await,
        Scenario::Resume => scenarios::resume(&bench).await,
        Scenario::Flood => {
            let missing = || Failure::Usage("`flood` needs --email and --flooder".into());
            let sign_in = flooder.ok_or_else(missing)?;
            flood::flood(&bench, &flooder_for(&args.login.server, sign_in, args.threads).await?).await
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

async fn flooder_for(server: &str, account: SignIn, threads: usize) -> Result<Flooder, Failure> {
    let token = sign_in(server, account.email.clone(), account.password.clone()).await?;
    let target = Target::resolve(server, token, false).await?;
    Ok(Flooder { server: server.trim_end_matches('/').to_owned(), sign_in: account, target, threads })
}

/// Prints a line for each figure.
fn print(result: &Map<String, Value>, prefix: &str) -> Result<(), Failure> {
    for (name, value) in result {
        match value {
            Value::Object(parts) => print(parts, &format!("{prefix}{name}."))?,
            Value::String(text) => print_line(&format!("{prefix}{name}: {text}"))?,
            value => print_line(&format!("{prefix}{name}: {value}"))?,
        }
    }
    Ok(())
}

async fn sign_in(server: &str, email: String, password: String) -> Result<String, Failure> {
    let failed = |error: reqwest::Error| Failure::Unreachable(format!("cannot sign in at {server}: {error}"));
    let client = reqwest::Client::builder().timeout(RESPONSE_TIMEOUT).build().map_err(failed)?;
    let call = client.post(format!("{}/api/auth/token", server.trim_end_matches('/')));
    let response = call.json(&SignIn { email, password }).send().await.map_err(failed)?;
    let response = response.error_for_status().map_err(failed)?;
    Ok(response.json::<AccessToken>().await.map_err(failed)?.access_token)
}

/// Percentiles of times, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |quantile: f64| {
        let rank = ((times.len() as f64 * quantile).ceil() as usize).clamp(1, times.len().max(1));
        times.get(rank - 1).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3)
    };
    json!({"count": times.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let times = (1..=200).map(Duration::from_millis).collect();
        let expected = json!({"count": 200, "p50_ms": 100.0, "p95_ms": 190.0, "p99_ms": 198.0, "max_ms": 200.0});
        assert_eq!(percentiles(times), expected);
        assert_eq!(percentiles(vec![Duration::from_micros(1500)])["p99_ms"], 1.5);
        assert_eq!(percentiles(Vec::new())["p50_ms"], Value::Null);
    }
}
