//! What an administrator asks of a running server, through its own HTTP calls.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{Failure, password, user::Place};
use crate::protocol::http::{AccessToken, Problem, Role};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// By what right it is asked.
pub(super) enum Right {
    /// An administrator's access token.
    Token(String),
    /// An administrator's address; the password is read from standard input or asked for.
    Account { email: String, password_stdin: bool },
    /// The server's data folder: who may read it may speak.
    Data(PathBuf),
}

impl Right {
    /// The first that was given.
    pub(super) fn of(
        token: Option<String>,
        email: Option<String>,
        password_stdin: bool,
        data: Option<PathBuf>,
    ) -> Option<Self> {
        let account = email.map(|email| Self::Account { email, password_stdin });
        token.map(Self::Token).or(account).or(data.map(Self::Data))
    }
}

/// A server, and an administrator's token for it.
pub(super) struct Admin {
    client: reqwest::Client,
    server: String,
    token: String,
}

impl Admin {
    /// Shows the right that there is.
    pub(super) async fn at(server: &str, right: Right) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
        let server = server.trim_end_matches('/').to_owned();
        let token = match right {
            Right::Token(token) => token,
            Right::Account { email, password_stdin } => {
                let body = json!({"email": email, "password": password(password_stdin)?});
                let answer = answer(client.post(format!("{server}/api/auth/token")).json(&body)).await?;
                let answer: AccessToken =
                    serde_json::from_value(answer).map_err(|error| Failure::Failed(error.to_string()))?;
                answer.access_token
            }
            Right::Data(data) => {
                let auth = Place::of(data).auth().await?;
                let admin = auth.users().await?.into_iter().find(|user| user.role == Role::Admin);
                let admin = admin.ok_or_else(|| Failure::Failed("this server has no administrator yet".into()))?;
                auth.mint_short_token(admin.id).await?
            }
        };
        Ok(Self { client, server, token })
    }

    /// Posts to `/api/<path>`, each part of the path as it is.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        let mut url: reqwest::Url = self.server.parse().map_err(|_| {
            Failure::Failed(format!("`{}` is no address of a server, such as http://127.0.0.1:3000", self.server))
        })?;
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("api").extend(path);
        }
        answer(self.client.post(url).bearer_auth(&self.token).json(body)).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(failed);
    }
    let problem = response.json::<Problem>().await.map(|problem| problem.detail);
    Err(Failure::Failed(problem.unwrap_or_else(|_| format!("the server answered {status}"))))
}

fn failed(error: reqwest::Error) -> Failure {
    Failure::Failed(error.to_string())
}
