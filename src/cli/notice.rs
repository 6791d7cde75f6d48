//! `netra notice`: an administrator's word to everyone, through the server's own HTTP call.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Failure,
    admin::{Admin, Right},
    say,
};

#[derive(Args)]
pub(super) struct NoticeArgs {
    /// What to say
    text: String,
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    server: String,
    /// An administrator's access token
    #[arg(long, env = "NETRA_TOKEN", hide_env_values = true, conflicts_with_all = ["email", "data"])]
    token: Option<String>,
    /// An administrator's address, instead of a token
    #[arg(long, conflicts_with = "data")]
    email: Option<String>,
    /// Read the password of --email from the first line of standard input; without this it is asked for
    #[arg(long, requires = "email")]
    password_stdin: bool,
    /// The server's data folder, instead of a token or an address: who may read it may speak
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) async fn run(args: NoticeArgs) -> Result<(), Failure> {
    let right = Right::of(args.token, args.email, args.password_stdin, args.data);
    let right = right.ok_or_else(|| Failure::Failed("who speaks? give --token, --email or --data".into()))?;
    let answer = Admin::at(&args.server, right).await?.post(&["notices"], &json!({"text": args.text})).await?;
    say(&format!("sent to {} connections", answer["connections"]))
}
