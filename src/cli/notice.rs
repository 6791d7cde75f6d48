//! `netra notice`: an administrator's word to everyone, through the server's own HTTP call.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, password, say, user::Place};
use crate::protocol::http::{AccessToken, Problem, Role};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let server = args.server.trim_end_matches('/').to_owned();
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
    let token = match (args.token, args.email, args.data) {
        (Some(token), ..) => token,
        (None, Some(email), _) => {
            let body = json!({"email": email, "password": password(args.password_stdin)?});
            let answer = post(&client, &format!("{server}/api/auth/token"), None, &body).await?;
            serde_json::from_value::<AccessToken>(answer)
                .map_err(|error| Failure::Failed(error.to_string()))?
                .access_token
        }
        (None, None, Some(data)) => {
            let auth = Place::of(data).auth().await?;
            let admin = auth.users().await?.into_iter().find(|user| user.role == Role::Admin);
            let admin = admin.ok_or_else(|| Failure::Failed("this server has no administrator yet".into()))?;
            auth.mint_token(admin.id)?.0
        }
        (None, None, None) => {
            let message = "who speaks? give --token, --email or --data";
            return Err(Failure::Failed(message.into()));
        }
    };
    let answer = post(&client, &format!("{server}/api/notices"), Some(&token), &json!({"text": args.text})).await?;
    say(&format!("sent to {} connections", answer["connections"]))
}

async fn post(client: &reqwest::Client, url: &str, token: Option<&str>, body: &Value) -> Result<Value, Failure> {
    let mut request = client.post(url).json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(failed)?;
    if response.status().is_success() {
        return response.json().await.map_err(failed);
    }
    let status = response.status();
    let problem = response.json::<Problem>().await.map(|problem| problem.detail);
    Err(Failure::Failed(problem.unwrap_or_else(|_| format!("the server answered {status}"))))
}

fn failed(error: reqwest::Error) -> Failure {
    Failure::Failed(error.to_string())
}
