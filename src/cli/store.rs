//! `netra store`: maintenance of the store as a whole.

use std::sync::Arc;

use clap::Subcommand;

use super::{
    Failure, print_line, serve,
    user::{self, Location},
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
    /// Make clients reload everything instead of resuming from positions that a restored backup does not have; run it after
    /// restoring, while no server uses the store
    Restored(Location),
    /// Check every run in the log against AG-UI's rules; servers may use the store meanwhile
    Verify(Location),
}

/// Opens an existing store. [`user::open_store`] would create an empty one if the folder is wrong.
async fn open_existing(config: &Config) -> Result<Store, Failure> {
    if let Some(path) = config.sqlite_file().filter(|path| !path.exists()) {
        let missing = format!("there is no store at {}; name the data folder of a server with --data", path.display());
        return Err(ConfigError::new("store", missing).into());
    }
    user::open_store(config).await
}

pub(super) async fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Restored(location) => {
            let config = location.config()?;
            let _lock = serve::lock_data_folder(&config)?;
            let epoch = Channels::renew_epoch(&open_existing(&config).await?).await?;
            print_line(&format!("epoch {}; now start the servers", epoch.0))
        }
        StoreCommand::Verify(location) => {
            let config = location.config()?;
            let no_connections = Arc::new(ConnectionManager::new(&config.socket));
            let channels = Channels::new(open_existing(&config).await?, no_connections).await?;
            let report = verify::every_thread(&channels).await?;
            for (thread, run, violation) in &report.broken {
                print_line(&format!("run {run} of thread {thread}: {violation}"))?;
            }
            let (runs, threads) = (report.runs, report.threads);
            if !report.broken.is_empty() {
                return Err(Failure::Failed(format!(
                    "{runs} runs in {threads} threads checked: the runs above break AG-UI's rules"
                )));
            }
            print_line(&format!("{runs} runs in {threads} threads checked: all follow AG-UI's rules"))
        }
    }
}
