//! `netra notice`: shows an administrator's notice to everyone who is connected, through the server's HTTP API.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Failure,
    admin::{AdminClient, Credentials},
    print_line,
};

#[derive(Args)]
pub(super) struct NoticeArgs {
    /// Text of the notice
    text: String,
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// An administrator's access token
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with_all = ["email", "data"])]
    token: Option<String>,
    /// Sign in as this administrator (email address) instead of using a token
    #[arg(long, conflicts_with = "data")]
    email: Option<String>,
    /// Read the password of --email from the first line of standard input instead of prompting for it
    #[arg(long, requires = "email")]
    password_stdin: bool,
    /// Act as an administrator through the store in this data folder, without a token or --email
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) async fn run(args: NoticeArgs) -> Result<(), Failure> {
    let credentials = Credentials::from_args(args.token, args.email, args.password_stdin, args.data);
    let credentials = credentials.ok_or_else(|| Failure::Failed("give --token, --email or --data".into()))?;
    let client = AdminClient::new(&args.server, credentials).await?;
    let sent = client.post(&["notices"], &json!({"text": args.text})).await?;
    print_line(&format!("sent to {} connections", sent["connections"]))
}
