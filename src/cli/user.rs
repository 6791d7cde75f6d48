//! `netra user`: accounts, straight in the store. A running server sees them at once.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, password, say, serve::variables};
use crate::{
    protocol::http::Role,
    server::{
        auth::{Auth, NewAccount},
        config::{self, Flags},
        store::Store,
    },
};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make an account
    Add(AddArgs),
    /// List the accounts: id, role, address, name
    List(Place),
}

/// Where the accounts are.
#[derive(Args)]
pub(super) struct Place {
    /// Folder that holds everything the server keeps [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [default: Leptos.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    place: Place,
    /// The address that signs in
    #[arg(long)]
    email: String,
    /// The name
    #[arg(long)]
    name: String,
    /// What the person may do
    #[arg(long, value_enum, default_value = "member")]
    role: Role,
    /// Read the password from the first line of standard input; without this it is asked for
    #[arg(long)]
    password_stdin: bool,
}

impl Place {
    /// A data folder.
    pub(super) fn of(data: PathBuf) -> Self {
        Self { data: Some(data), config: None }
    }

    pub(super) async fn auth(self) -> Result<Auth, Failure> {
        let config = config::load(&Flags { config: self.config, data: self.data, listen: None }, variables())?;
        let folder = &config.server.data;
        std::fs::create_dir_all(folder).map_err(|error| {
            config::ConfigError::new(format!("data folder {}", folder.display()), format!("cannot be made ({error})"))
        })?;
        let store = Store::open_url(&config.store_url()).await?;
        Ok(Auth::new(store, &config).await?)
    }
}

pub(super) async fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => {
            let password = password(args.password_stdin)?;
            let account = NewAccount { email: args.email, name: args.name, role: args.role, password };
            let user = args.place.auth().await?.add(account).await?;
            say(&user.id.to_string())
        }
        UserCommand::List(place) => {
            for user in place.auth().await?.users().await? {
                let role = if user.role == Role::Admin { "admin" } else { "member" };
                say(&format!("{}\t{role}\t{}\t{}", user.id, user.email, user.name))?;
            }
            Ok(())
        }
    }
}
