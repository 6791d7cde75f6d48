//! Administrators' HTTP calls to a running server.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{Failure, read_password, user::Location};
use crate::protocol::http::{AccessToken, Problem, Role};

/// How long the server may take to respond.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How the administrator is authenticated.
pub(super) enum Credentials {
    /// An administrator's access token.
    Token(String),
    /// An administrator's email address; the password is read from standard input or a prompt.
    Account { email: String, password_stdin: bool },
    /// The server's data folder: whoever can write to its store may act as an administrator.
    DataFolder(PathBuf),
}

impl Credentials {
    /// The first of these that is given: token, email address, data folder.
    pub(super) fn from_args(
        token: Option<String>,
        email: Option<String>,
        password_stdin: bool,
        data: Option<PathBuf>,
    ) -> Option<Self> {
        let account = email.map(|email| Self::Account { email, password_stdin });
        token.map(Self::Token).or(account).or(data.map(Self::DataFolder))
    }
}

/// A client of a server, with an administrator's access token.
pub(super) struct AdminClient {
    client: reqwest::Client,
    server: String,
    token: String,
}

impl AdminClient {
    /// Gets an access token with these credentials.
    pub(super) async fn new(server: &str, credentials: Credentials) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(failed)?;
        let server = server.trim_end_matches('/').to_owned();
        let token = match credentials {
            Credentials::Token(token) => token,
            Credentials::Account { email, password_stdin } => {
                let body = json!({"email": email, "password": read_password(password_stdin)?});
                let token = send(client.post(format!("{server}/api/auth/token")).json(&body)).await?;
                let token: AccessToken =
                    serde_json::from_value(token).map_err(|error| Failure::Failed(error.to_string()))?;
                token.access_token
            }
            Credentials::DataFolder(data) => {
                let auth = Location::from_data_folder(data).auth().await?;
                let admin = auth.users().await?.into_iter().find(|user| user.role == Role::Admin);
                let admin = admin.ok_or_else(|| {
                    Failure::Failed(
                        "there is no administrator yet; add one with `netra user add --role admin` (see its --help)"
                            .into(),
                    )
                })?;
                auth.mint_short_token(admin.id).await?
            }
        };
        Ok(Self { client, server, token })
    }

    /// Posts to `/api/<path>`; the segments of the path are escaped.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        let mut url: reqwest::Url = self.server.parse().map_err(|_| {
            Failure::Failed(format!("`{}` is not the URL of a server, such as http://127.0.0.1:3000", self.server))
        })?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        send(self.client.post(url).bearer_auth(&self.token).json(body)).await
    }
}

/// Sends a request; returns the JSON body of the response.
async fn send(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
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
