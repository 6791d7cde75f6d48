//! The parts of a running server, built once and shared by all handlers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::extract::FromRef;
use leptos::config::LeptosOptions;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::Admission,
    agents::{AgentRegistry, stored},
    auth::Auth,
    bus::Bus,
    channel::{Channels, Trimming},
    commands::Commands,
    config::Config,
    connections::{ConnectionManager, Nodes},
    error::Result,
    metrics,
    outbound::images::RemoteImages,
    quotas::Quotas,
    rates,
    runs::{Runner, RunnerOptions},
    search::{ChangedThreads, IndexedHub, Indexer},
    site::Site,
    store::Store,
    sweep,
    threads::TemporaryLimits,
    ws::Gateway,
};
use crate::protocol::{
    UserId,
    http::{AgentInfo, User},
};

/// Over what time clients reconnect after a restart: this long, and so much longer for each connection.
const MIN_RECONNECT_WINDOW: Duration = Duration::from_millis(500);
const RECONNECT_WINDOW_PER_CONNECTION: Duration = Duration::from_millis(1);
/// How long the background loops may take to end.
const TASKS_TIMEOUT: Duration = Duration::from_secs(3);

/// The parts of a running server; clones share them.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The configuration.
    pub config: Arc<Config>,
    /// The log, and the store below it.
    pub channels: Channels,
    /// Accounts and credentials.
    pub auth: Auth,
    /// The open connections of this node.
    pub manager: ConnectionManager,
    /// This node and the others.
    pub nodes: Nodes,
    /// Builds the agents from the configuration and the store.
    pub registry: Arc<AgentRegistry>,
    /// The runs of this node.
    pub runner: Runner,
    /// What commands do.
    pub commands: Commands,
    /// Requests images of other hosts.
    pub(crate) images: RemoteImages,
    /// The page's files.
    pub site: Arc<Site>,
    /// Limits concurrent page requests.
    pub(crate) pages: Admission,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
    /// The background loops.
    pub tasks: TaskTracker,
}

impl AppState {
    /// Opens the store, ends the runs that an earlier process left open, builds everything above, and starts the background loops.
    ///
    /// # Errors
    /// If the store or the disk fails.
    pub async fn open(config: Config, registry: AgentRegistry) -> Result<Self> {
        tokio::fs::create_dir_all(config.files_dir()).await?;
        let store = Store::open_url(&config.store_url()).await?;
        let auth = Auth::new(store.clone(), &config).await?;
        let manager = ConnectionManager::new(&config.socket);
        let bus = Bus::new(&config.bus, Arc::new(manager.clone()));
        // Before this server accepts uploads.
        sweep::delete_left_over(&store, &config.files_dir(), sweep::When::Start).await?;
        let changed = ChangedThreads::default();
        let hub = Arc::new(IndexedHub::new(bus.clone(), changed.clone()));
        let channels = Channels::new(store, hub).await?.with_quotas(Quotas::from_config(&config));
        let options = RunnerOptions {
            coalesce: Duration::from_millis(config.socket.coalesce_ms),
            time_limit: Duration::from_millis(config.runs.time_limit_ms),
            max_runs_per_user: config.runs.max_per_user,
            max_waiting_per_user: config.runs.max_waiting_per_user,
            budget: config.runs.budget(),
            max_runs: config.runs.max,
            lease: Duration::from_millis(config.runs.lease_ms),
            node: config.server.listen.to_string(),
            ..RunnerOptions::new(config.files_dir())
        };
        let runner = Runner::new(channels.clone(), registry.agents().clone(), options);
        runner.agents().allowance().begin(&channels);
        // Before the runner starts waiting runs, which may need these agents.
        stored::load(channels.store(), &registry).await?;
        match runner.recover().await? {
            0 => {}
            runs => tracing::warn!(runs, "ended runs that an earlier process left open"),
        }
        let nodes = Nodes::new(&channels, manager.clone(), runner.clone(), bus, &auth);
        let commands = Commands::new(channels.clone(), runner.clone(), nodes.clone(), config.files_dir())
            .with_members(config.server.members)
            .with_temporary_limits(TemporaryLimits {
                max_hours: config.store.temporary_max_hours,
                idle_minutes: config.store.temporary_idle_minutes,
            });
        let (site, pages) = (Arc::new(Site::find(&config)), Admission::new());
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let images = RemoteImages::new(&config.images);
        let config = Arc::new(config);
        let state = Self {
            config,
            channels,
            auth,
            manager,
            nodes,
            registry: Arc::new(registry),
            runner,
            commands,
            images,
            site,
            pages,
            stopping,
            tasks,
        };
        state.spawn_loops(changed);
        Ok(state)
    }

    /// Starts the loops of the parts; they end when `stopping` is cancelled.
    fn spawn_loops(&self, changed: ChangedThreads) {
        let (store, stopping) = (self.channels.store().clone(), &self.stopping);
        let nodes = self.nodes.clone();
        self.tasks.spawn(nodes.run(self.channels.clone(), self.auth.clone(), stopping.clone()));
        let runner = self.runner.clone();
        self.tasks.spawn(async move { runner.run_background_tasks().await });
        self.tasks.spawn(stored::run(store.clone(), self.registry.clone(), stopping.clone()));
        self.tasks.spawn(self.channels.clone().run_trimming(Trimming::from(&self.config.store), stopping.clone()));
        self.tasks.spawn(Indexer::new(self.channels.clone(), changed).run(stopping.clone()));
        self.tasks.spawn(self.commands.clone().run_temporary_threads(self.manager.clone(), stopping.clone()));
        self.tasks.spawn(sweep::run(store, self.files(), stopping.clone()));
        self.tasks.spawn(self.auth.clone().run_sweep(stopping.clone()));
        self.tasks.spawn(rates::run(self.manager.rates().clone(), stopping.clone()));
        self.tasks.spawn(metrics::run_upkeep(stopping.clone()));
    }

    /// The agents that a person may use.
    #[must_use]
    pub fn agents(&self, user: &User) -> Vec<AgentInfo> {
        self.runner.agents().list(user)
    }

    /// The display names of all agents, by id.
    #[must_use]
    pub fn agent_names(&self) -> Vec<(String, String)> {
        self.runner.agents().all().iter().map(|agent| (agent.info.id.clone(), agent.info.name.clone())).collect()
    }

    /// How many connections a person has to this node.
    #[must_use]
    pub fn connections_of(&self, user: UserId) -> usize {
        self.manager.connections_of(user)
    }

    /// The parts of the server that sockets use.
    #[must_use]
    pub fn gateway(&self) -> Gateway {
        Gateway {
            manager: self.manager.clone(),
            nodes: self.nodes.clone(),
            channels: self.channels.clone(),
            auth: self.auth.clone(),
            commands: self.commands.clone(),
            config: self.config.socket.clone(),
            node: self.config.server.listen.to_string(),
        }
    }

    /// Shuts down. From the call on the server is not ready, accepts no connections and starts no runs. Clients get a time to
    /// reconnect, runs may finish for `server.drain_ms`, then connections are closed (1012), and tool servers and background loops end.
    /// Without runs this takes only as long as closing the connections.
    pub async fn drain(&self) {
        let limit = Duration::from_millis(self.config.server.drain_ms);
        let connections = u32::try_from(self.manager.counts().connections).unwrap_or(u32::MAX);
        self.manager.begin_drain(MIN_RECONNECT_WINDOW + RECONNECT_WINDOW_PER_CONNECTION * connections);
        self.runner.shutdown(limit).await;
        self.runner.release_lease().await;
        tokio::join!(self.manager.finish_drain(), self.registry.tools().close());
        self.nodes.leave();
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(TASKS_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(limit = ?TASKS_TIMEOUT, "background loops did not end in time");
        }
    }

    /// The folder of uploaded files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.config.files_dir()
    }
}

impl FromRef<AppState> for LeptosOptions {
    fn from_ref(state: &AppState) -> Self {
        state.site.options.clone()
    }
}
