//! `netra user`: accounts, straight in the store. A running server sees what changed within a second or so, and closes the
//! sockets of whoever lost the right to them. Disconnecting is asked of the server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Failure,
    admin::{Admin, Right},
    password, say,
    serve::variables,
};
use crate::{
    protocol::http::Role,
    server::{
        auth::{Auth, NewAccount},
        config::{self, Config, Flags},
        file_modes::private_folder,
        store::Store,
    },
    text::escape_invisible,
};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make an account
    Add(AddArgs),
    /// List the accounts: id, role, address, name
    List(Place),
    /// Give a person another role; all their sessions and access tokens end
    Role(RoleArgs),
    /// Give a person another password; all their sessions and access tokens end
    Password(PasswordArgs),
    /// Remove a person with all their threads and files
    Remove(RemoveArgs),
    /// End all sessions and access tokens of a person and close their sockets, on all nodes (administrators)
    Disconnect(DisconnectArgs),
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

#[derive(Args)]
pub(super) struct RoleArgs {
    #[command(flatten)]
    place: Place,
    /// The person's address
    #[arg(long)]
    email: String,
    /// What the person may do from now on
    #[arg(long, value_enum)]
    role: Role,
}

#[derive(Args)]
pub(super) struct PasswordArgs {
    #[command(flatten)]
    place: Place,
    /// The person's address
    #[arg(long)]
    email: String,
    /// Read the new password from the first line of standard input; without this it is asked for
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// The person's address
    #[arg(long)]
    email: String,
}

#[derive(Args)]
pub(super) struct DisconnectArgs {
    /// The person's address
    #[arg(long)]
    email: String,
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// An administrator's access token
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with_all = ["admin", "data"])]
    token: Option<String>,
    /// An administrator's address, instead of a token
    #[arg(long, value_name = "EMAIL", conflicts_with = "data")]
    admin: Option<String>,
    /// Read the password of --admin from the first line of standard input; without this it is asked for
    #[arg(long, requires = "admin")]
    password_stdin: bool,
    /// The server's data folder, instead of a token or an address: who may read it may disconnect
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Place {
    /// A data folder.
    pub(super) fn of(data: PathBuf) -> Self {
        Self { data: Some(data), config: None }
    }

    pub(super) fn config(self) -> Result<Config, Failure> {
        Ok(config::load(&Flags { config: self.config, data: self.data, listen: None }, variables())?)
    }

    pub(super) async fn auth(self) -> Result<Auth, Failure> {
        open(&self.config()?).await
    }
}

async fn open(config: &Config) -> Result<Auth, Failure> {
    Ok(Auth::new(store(config).await?, config).await?)
}

/// The store, with its folder.
pub(super) async fn store(config: &Config) -> Result<Store, Failure> {
    let folder = &config.server.data;
    private_folder(folder).map_err(|error| {
        config::ConfigError::new(format!("data folder {}", folder.display()), format!("cannot be made ({error})"))
    })?;
    Ok(Store::open_url(&config.store_url()).await?)
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
                say(&format!(
                    "{}\t{role}\t{}\t{}",
                    user.id,
                    escape_invisible(&user.email),
                    escape_invisible(&user.name)
                ))?;
            }
            Ok(())
        }
        UserCommand::Role(args) => {
            let user = args.place.auth().await?.set_role(&args.email, args.role).await?;
            say(&user.id.to_string())
        }
        UserCommand::Password(args) => {
            let password = password(args.password_stdin)?;
            let user = args.place.auth().await?.set_password(&args.email, &password).await?;
            say(&user.id.to_string())
        }
        UserCommand::Remove(args) => remove(args).await,
        UserCommand::Disconnect(args) => {
            let right = Right::of(args.token, args.admin, args.password_stdin, args.data);
            let right = right.ok_or_else(|| Failure::Failed("who asks? give --token, --admin or --data".into()))?;
            let admin = Admin::at(&args.server, right).await?;
            let answer = admin.post(&["users", &args.email, "disconnect"], &json!({})).await?;
            let connections = &answer["connections"];
            say(&format!("signed out everywhere; closed {connections} connections of the node that was asked"))
        }
    }
}

async fn remove(args: RemoveArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    let (user, threads) = open(&config).await?.remove(&args.email).await?;
    for thread in threads {
        let folder = config.files_dir().join(thread.to_string());
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Failed(format!("{} is left behind: {error}", folder.display())));
            }
            _ => {}
        }
    }
    say(&user.id.to_string())
}
