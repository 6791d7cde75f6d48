//! `netra serve`.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Failure, print_line};
use crate::server::{
    agents::{AgentBuilder, AgentRegistry, builtin::Analyst, model, tools::Tools},
    config::{self, Config, ConfigError, Flags, MetricsAccess},
    file_modes::{make_all_private, private_folder},
    http::health,
    router::router,
    runs::Agent,
    state::AppState,
    tcp::{self, Limits},
    telemetry::{self, Telemetry},
    usage::DayAllowance,
};

/// How many connections may wait to be accepted: after a restart all clients reconnect at once.
const BACKLOG: u32 = 4096;
/// How long running requests may take once the server is stopping.
const DRAIN_REQUESTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Start the server and print a link to it.
///
/// Configuration: Leptos.toml in the working directory (or --config FILE), overridden by environment variables
/// (NETRA_SOCKET__HEARTBEAT_MS for `heartbeat_ms` of `[socket]`), overridden by flags. NETRA_SETUP_TOKEN sets the token that creates
/// the first administrator; NETRA_LOG filters the log (`debug`, `netra=trace`).
///
/// On SIGTERM or SIGINT the server refuses new sockets, tells clients how long to wait before they reconnect, lets runs finish for up to
/// server.drain_ms, closes the sockets, and exits with 0. A second signal stops it at once, with 143 or 130; the next start ends the runs that
/// were cut off.
#[derive(Args)]
#[command(after_help = "An agent can replay a recorded run, for demonstrations and tests:

    [[agents]]
    id = \"demo\"
    name = \"Recorded run\"
    kind = \"replay\"
    file = \"run.jsonl\"           # JSON Lines, one AG-UI event each
    events_per_second = 50")]
pub(super) struct ServeArgs {
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Data folder of the server; created if missing [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [default: Leptos.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let flags = Flags { config: args.config, listen: args.listen, data: args.data };
    let mut config = config::load(&flags, env_variables())?;
    let telemetry = telemetry::init(&config)?;
    // Logs the invalid entries of `[[agents]]`.
    let agents = build_agents(&config)?;
    let signals = Signals::new().map_err(|error| Failure::Failed(format!("cannot handle signals: {error}")))?;
    let _lock = lock_data_folder(&config)?;
    make_all_private(&config).map_err(|error| {
        let advice = "server.data and server.files must name folders that this user may write to";
        ConfigError::new(config.source(), format!("file modes: {error}; {advice}"))
    })?;
    // Before anything is opened, because it raises the limit of file descriptors.
    let limits = Limits::new(&config);
    let listener = listen(config.server.listen)?;
    // Replaces port 0 by the port that was picked.
    config.server.listen = listener.local_addr().unwrap_or(config.server.listen);
    let metrics_listener = match config.server.metrics {
        MetricsAccess::Listen(address) => Some(listen(address)?),
        _ => None,
    };
    let state = open_state(config, agents).await?;
    if let Some(listener) = metrics_listener {
        serve_metrics(&state, listener);
    }
    let link = start_link(&state).await?;
    info!(listen = %state.config.server.listen, data = %state.config.server.data.display(), "ready");
    print_line(&link)?;
    serve(state, listener, limits, signals, telemetry).await
}

/// Serves the metrics on their own address, until the process ends.
fn serve_metrics(state: &AppState, listener: TcpListener) {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving metrics");
    }
    let (service, limits) = (health::standalone_routes(state.clone()), Limits::for_monitors(&state.config));
    tokio::spawn(tcp::serve(listener, service, limits, CancellationToken::new()));
}

async fn serve(
    state: AppState,
    listener: TcpListener,
    limits: Limits,
    mut signals: Signals,
    telemetry: Telemetry,
) -> Result<(), Failure> {
    let server = tcp::serve(listener, router(state.clone()), limits, state.stopping.clone());
    let server = tokio::spawn(server);
    signals.next().await;
    info!("stopping; a second signal stops at once");
    let stop = async {
        state.drain().await;
        if tokio::time::timeout(DRAIN_REQUESTS_TIMEOUT, server).await.is_err() {
            warn!("running requests were cut off");
        }
        state.channels.store().close().await;
        info!("stopped");
        telemetry.finish().await;
    };
    tokio::select! {
        () = stop => Ok(()),
        code = signals.next() => Err(Failure::Signalled(code)),
    }
}

/// Environment variables that are valid UTF-8.
pub(super) fn env_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Creates the data folder and locks it for this process: two servers on one folder would miss each other's changes.
pub(super) fn lock_data_folder(config: &Config) -> Result<fs::File, ConfigError> {
    let folder = &config.server.data;
    let place = format!("data folder {}", folder.display());
    let unusable = |error: io::Error| {
        let advice = "server.data (--data) must name a folder that this user may write to";
        ConfigError::new(&place, format!("cannot be written to ({error}); {advice}"))
    };
    private_folder(folder).map_err(unusable)?;
    let file = fs::File::options().create(true).truncate(false).write(true).open(folder.join("netra.lock"));
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(ConfigError::new(
            &place,
            "another netra process uses it; stop that one, or use another folder with --data",
        )),
        Err(fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ConfigError> {
    let open = || -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "is in use by another program; choose another with server.listen (--listen) or server.metrics (port 0 \
                 picks a free one)"
                    .into()
            }
            io::ErrorKind::PermissionDenied => {
                "is reserved for privileged users; choose a port from 1024 on with server.listen (--listen) or \
                 server.metrics"
                    .into()
            }
            _ => {
                format!("cannot be listened on ({error}); server.listen (--listen) must be an address of this machine")
            }
        };
        ConfigError::new(format!("address {address}"), problem)
    })
}

async fn open_state(config: Config, agents: AgentRegistry) -> Result<AppState, Failure> {
    let place = config.redacted_store_url();
    AppState::open(config, agents).await.map_err(|error| {
        let advice =
            "store.url must name an SQLite file that this user may write to, or a reachable PostgreSQL database";
        ConfigError::new(format!("store {place}"), format!("cannot be opened ({error}); {advice}")).into()
    })
}

/// The built-in analyst, and the agents of the configuration.
fn build_agents(config: &Config) -> Result<AgentRegistry, ConfigError> {
    let prices = config.analyst.prices.as_deref();
    let analyst =
        Analyst::new(prices).map_err(|error| ConfigError::new(config.source(), format!("analyst.prices: {error}")))?;
    let builder =
        AgentBuilder { folder: config.folder(), prices: Arc::clone(analyst.prices()), ..AgentBuilder::default() };
    let folder = config.server.data.join("tools");
    let tools = Tools::new(&config.tools, &builder.prices, &folder, &*builder.variables);
    let allowance = Arc::new(DayAllowance::new(config.runs.budget()));
    let builder = AgentBuilder { tools: Arc::new(tools), allowance, ..builder };
    let analyst = match &config.analyst.model {
        Some(id) => {
            let model = model::analyst_model(id, &config.agents, &*builder.variables, &builder.prices);
            let wrong = |problem| ConfigError::new(config.source(), format!("analyst.model: {problem}"));
            analyst.with_model(model.map_err(wrong)?)
        }
        None => analyst,
    };
    Ok(AgentRegistry::new([Arc::new(analyst) as Arc<dyn Agent>], &config.agents, builder))
}

/// The URL to open first: of the setup page while there are no accounts, else of the start page.
async fn start_link(state: &AppState) -> Result<String, Failure> {
    let server = &state.config.server;
    let address = match server.listen.ip() {
        ip if ip.is_unspecified() => format!("localhost:{}", server.listen.port()),
        _ => server.listen.to_string(),
    };
    let base = server.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let preset = std::env::var("NETRA_SETUP_TOKEN").ok();
    Ok(match state.auth.setup_token(preset).await? {
        Some(token) => format!("{base}/setup#token={token}"),
        None => format!("{base}/"),
    })
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal; returns the exit code of a process that this signal ends.
    async fn next(&mut self) -> u8 {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        128 + u8::try_from(signal.as_raw_value()).unwrap_or_default()
    }
}
