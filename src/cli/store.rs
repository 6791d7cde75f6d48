//! `netra store`: what is done to a store while no server uses it.

use clap::Subcommand;

use super::{
    Failure, say, serve,
    user::{self, Place},
};
use crate::server::channel::Channels;

#[derive(Subcommand)]
pub(super) enum StoreCommand {
    /// Say that the store was restored from a copy: clients begin anew instead of going on from places that it has not
    Restored(Place),
}

pub(super) async fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Restored(place) => {
            let config = place.config()?;
            let _lock = serve::lock(&config)?;
            let epoch = Channels::renew_epoch(&user::store(&config).await?).await?;
            say(&format!("epoch {}; now start the servers", epoch.0))
        }
    }
}
