//! `netra store`: what is done to a store as a whole.

use std::sync::Arc;

use clap::Subcommand;

use super::{
    Failure, say, serve,
    user::{self, Place},
};
use crate::server::{
    channel::Channels,
    config::{Config, ConfigError},
    connections::ConnectionManager,
    runs::verify,
    store::Store,
};

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Say that the store was restored from a copy, while no server uses it: clients begin anew instead of going on from places
    /// that it has not
    Restored(Place),
    /// Hold every run in the log to AG-UI's rules; servers may use the store meanwhile
    Verify(Place),
}

/// A store that is there: a wrong folder is no empty store.
async fn existing(config: &Config) -> Result<Store, Failure> {
    if let Some(path) = config.sqlite_file().filter(|path| !path.exists()) {
        let nothing = format!("there is none at {}; name the folder of a server that ran, with --data", path.display());
        return Err(ConfigError::new("store", nothing).into());
    }
    user::store(config).await
}

pub(super) async fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Restored(place) => {
            let config = place.config()?;
            let _lock = serve::lock(&config)?;
            let epoch = Channels::renew_epoch(&existing(&config).await?).await?;
            say(&format!("epoch {}; now start the servers", epoch.0))
        }
        StoreCommand::Verify(place) => {
            let config = place.config()?;
            let nobody = Arc::new(ConnectionManager::new(&config.socket));
            let channels = Channels::new(existing(&config).await?, nobody).await?;
            let report = verify::every_thread(&channels).await?;
            for (thread, run, violation) in &report.broken {
                say(&format!("run {run} of thread {thread}: {violation}"))?;
            }
            let (runs, threads) = (report.runs, report.threads);
            if !report.broken.is_empty() {
                return Err(Failure::Failed(format!(
                    "of {runs} runs in {threads} threads, those above break AG-UI's rules"
                )));
            }
            say(&format!("{runs} runs in {threads} threads: every event is in order"))
        }
    }
}
