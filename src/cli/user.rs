//! `netra user`: accounts, changed directly in the store. A running server notices a change within about a second, and closes
//! the sockets of users whose sessions ended. `disconnect` sends a request to the server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Failure,
    admin::{AdminClient, Credentials},
    print_line, read_password,
    serve::env_variables,
};
use crate::{
    protocol::http::Role,
    server::{
        auth::{Auth, NewAccount},
        config::{self, Config, Flags},
        file_modes::private_folder,
        quotas::unsent,
        store::Store,
    },
    text::escape_invisible,
};

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add an account
    Add(AddArgs),
    /// List the accounts: id, role, email address, name
    List(Location),
    /// Change a user's role; ends all their sessions and access tokens
    Role(RoleArgs),
    /// Change a user's password; ends all their sessions and access tokens
    Password(PasswordArgs),
    /// Remove a user with all their threads and files
    Remove(RemoveArgs),
    /// End all sessions and access tokens of a user and close their sockets, on all nodes (for administrators)
    Disconnect(DisconnectArgs),
}

/// Where the store is.
#[derive(Args)]
pub(super) struct Location {
    /// Data folder of the server [default: data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file [default: Leptos.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    location: Location,
    /// Email address to sign in with
    #[arg(long)]
    email: String,
    /// Display name
    #[arg(long)]
    name: String,
    /// Role of the user
    #[arg(long, value_enum, default_value = "member")]
    role: Role,
    /// Read the password from the first line of standard input instead of prompting for it
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
pub(super) struct RoleArgs {
    #[command(flatten)]
    location: Location,
    /// Email address of the user
    #[arg(long)]
    email: String,
    /// New role of the user
    #[arg(long, value_enum)]
    role: Role,
}

#[derive(Args)]
pub(super) struct PasswordArgs {
    #[command(flatten)]
    location: Location,
    /// Email address of the user
    #[arg(long)]
    email: String,
    /// Read the new password from the first line of standard input instead of prompting for it
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    location: Location,
    /// Email address of the user
    #[arg(long)]
    email: String,
}

#[derive(Args)]
pub(super) struct DisconnectArgs {
    /// Email address of the user
    #[arg(long)]
    email: String,
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// An administrator's access token
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with_all = ["admin", "data"])]
    token: Option<String>,
    /// Sign in as this administrator (email address) instead of using a token
    #[arg(long, value_name = "EMAIL", conflicts_with = "data")]
    admin: Option<String>,
    /// Read the password of --admin from the first line of standard input instead of prompting for it
    #[arg(long, requires = "admin")]
    password_stdin: bool,
    /// Act as an administrator through the store in this data folder, without a token or --admin
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Location {
    /// A data folder, with the default configuration.
    pub(super) fn from_data_folder(data: PathBuf) -> Self {
        Self { data: Some(data), config: None }
    }

    pub(super) fn config(self) -> Result<Config, Failure> {
        Ok(config::load(&Flags { config: self.config, data: self.data, listen: None }, env_variables())?)
    }

    pub(super) async fn auth(self) -> Result<Auth, Failure> {
        open(&self.config()?).await
    }
}

async fn open(config: &Config) -> Result<Auth, Failure> {
    Ok(Auth::new(open_store(config).await?, config).await?)
}

/// Opens the store; creates its folder where that is missing.
pub(super) async fn open_store(config: &Config) -> Result<Store, Failure> {
    let folder = &config.server.data;
    private_folder(folder).map_err(|error| {
        let advice = "--data must name a folder that this user may write to";
        let place = format!("data folder {}", folder.display());
        config::ConfigError::new(place, format!("cannot be created ({error}); {advice}"))
    })?;
    Ok(Store::open_url(&config.store_url()).await?)
}

pub(super) async fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => {
            let password = read_password(args.password_stdin)?;
            let account = NewAccount { email: args.email, name: args.name, role: args.role, password };
            let user = args.location.auth().await?.add(account).await?;
            print_line(&user.id.to_string())
        }
        UserCommand::List(location) => {
            for user in location.auth().await?.users().await? {
                let role = if user.role == Role::Admin { "admin" } else { "member" };
                print_line(&format!(
                    "{}\t{role}\t{}\t{}",
                    user.id,
                    escape_invisible(&user.email),
                    escape_invisible(&user.name)
                ))?;
            }
            Ok(())
        }
        UserCommand::Role(args) => {
            let user = args.location.auth().await?.set_role(&args.email, args.role).await?;
            print_line(&user.id.to_string())
        }
        UserCommand::Password(args) => {
            let password = read_password(args.password_stdin)?;
            let user = args.location.auth().await?.set_password(&args.email, &password).await?;
            print_line(&user.id.to_string())
        }
        UserCommand::Remove(args) => remove(args).await,
        UserCommand::Disconnect(args) => {
            let credentials = Credentials::from_args(args.token, args.admin, args.password_stdin, args.data);
            let credentials = credentials.ok_or_else(|| Failure::Failed("give --token, --admin or --data".into()))?;
            let client = AdminClient::new(&args.server, credentials).await?;
            let closed = client.post(&["users", &args.email, "disconnect"], &json!({})).await?;
            let connections = &closed["connections"];
            print_line(&format!("signed out everywhere; this node closed {connections} connections"))
        }
    }
}

async fn remove(args: RemoveArgs) -> Result<(), Failure> {
    let config = args.location.config()?;
    let (user, threads) = open(&config).await?.remove(&args.email).await?;
    let mut remaining = Vec::new();
    let files = config.files_dir();
    let folders = threads.iter().map(|thread| files.join(thread.to_string()));
    for folder in folders.chain([unsent::folder(&files, user.id)]) {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                remaining.push(format!("{} ({error})", folder.display()));
            }
            _ => {}
        }
    }
    if !remaining.is_empty() {
        let folders = remaining.join(", ");
        return Err(Failure::Failed(format!("the account is removed, but not all of its files; delete: {folders}")));
    }
    print_line(&user.id.to_string())
}
