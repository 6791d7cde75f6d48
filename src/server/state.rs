//! What every handler shares: the parts of a running server, built once and handed down.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::extract::FromRef;
use leptos::config::LeptosOptions;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    auth::Auth,
    channel::{Channels, Delivery, Hub},
    config::Config,
    error::Result,
    site::Site,
    store::Store,
};
use crate::protocol::{Notice, UserId, http::AgentInfo};

/// How often what has run out is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);

/// The parts of a running server; clones share them.
#[derive(Debug, Clone)]
pub struct AppState {
    /// What the server was told.
    pub config: Arc<Config>,
    /// The log and who follows it; the store below it.
    pub channels: Channels,
    /// Who is there.
    pub auth: Auth,
    /// The page's files.
    pub site: Arc<Site>,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
    /// What is still done in the background when it does.
    pub tasks: TaskTracker,
}

struct Nobody;

impl Hub for Nobody {
    fn deliver(&self, _: &Delivery) {}
}

impl AppState {
    /// Opens the store and builds everything above it.
    ///
    /// # Errors
    /// Where the store or the disk fails.
    pub async fn open(config: Config) -> Result<Self> {
        tokio::fs::create_dir_all(config.files_dir()).await?;
        let store = Store::open_url(&config.store_url()).await?;
        let auth = Auth::new(store.clone(), &config).await?;
        let channels = Channels::new(store, Arc::new(Nobody)).await?;
        let site = Arc::new(Site::find(&config));
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let state = Self { config: Arc::new(config), channels, auth, site, stopping, tasks };
        state.tasks.spawn(state.clone().sweep());
        Ok(state)
    }

    /// The agents that a person may talk to.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentInfo> {
        Vec::new()
    }

    /// How many sockets a person has open here.
    #[must_use]
    pub fn connections_of(&self, _user: UserId) -> usize {
        0
    }

    /// A session ended: so do its sockets (4401).
    pub fn close_session(&self, _key: &str) {}

    /// Says something to everyone; answers to how many sockets.
    pub fn broadcast(&self, _notice: Notice) -> usize {
        0
    }

    /// Ends everything that would outlive the last request: sockets are told when to come back and closed (1012), runs
    /// stopped, background work ended. Returns when all that is done, or after the time that the configuration allows.
    pub async fn drain(&self) {
        self.stopping.cancel();
        self.tasks.close();
        let limit = Duration::from_millis(self.config.server.drain_ms);
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!(limit_ms = self.config.server.drain_ms, "background work did not end in time");
        }
    }

    async fn sweep(self) {
        let mut turns = tokio::time::interval(SWEEP_EVERY);
        while self.stopping.run_until_cancelled(turns.tick()).await.is_some() {
            match self.auth.sweep().await {
                Ok(0) => {}
                Ok(sessions) => tracing::info!(sessions, "forgot sessions that had run out"),
                Err(error) => tracing::warn!(%error, "what has run out could not be deleted"),
            }
        }
    }

    /// Where uploaded files are.
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
