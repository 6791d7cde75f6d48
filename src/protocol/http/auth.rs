//! Discovery of the socket, and signing in.

use serde::{Deserialize, Serialize};

use crate::protocol::UserId;

/// What a person may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Use their own threads.
    #[default]
    Member,
    /// Use their own threads and administer the server.
    Admin,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// The person's id.
    pub id: UserId,
    /// The person's name.
    pub name: String,
    /// The e-mail address for signing in.
    pub email: String,
    /// The person's role.
    pub role: Role,
}

/// How to connect to the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketConfig {
    /// The absolute URL, `ws:` or `wss:`.
    pub url: String,
    /// The subprotocol: `netra.v1`.
    pub protocol: String,
    /// The heartbeat interval, in milliseconds.
    pub heartbeat_ms: u64,
    /// The maximum size of a client's frame, in bytes.
    pub max_frame_bytes: usize,
}

/// How to sign in, and whether the caller is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthConfig {
    /// Whether the caller is signed in.
    pub signed_in: bool,
    /// The supported ways to sign in: `password`.
    pub methods: Vec<String>,
    /// Whether the first administrator has to be created.
    pub needs_setup: bool,
}

/// The response to `GET /api/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Config {
    /// The server's version.
    pub version: String,
    /// How to connect to the socket.
    pub socket: SocketConfig,
    /// How to sign in.
    pub auth: AuthConfig,
    /// Whether users share threads and prompts with each other; absent in the responses of older servers, where they do.
    #[serde(default = "always")]
    pub members: bool,
    /// Whether `GET /api/images` loads images of other hosts.
    #[serde(default)]
    pub images: bool,
}

fn always() -> bool {
    true
}

/// The body of `POST /api/auth/setup`, which creates the first administrator.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The token that the server prints at its first start.
    pub setup_token: String,
    /// The administrator's e-mail address.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// The password: at least 10 characters, and not a common password.
    pub password: String,
}

/// The body of `POST /api/auth/sign-in`, and one of those that `POST /api/auth/token` accepts.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// The body of `POST /api/auth/password`. All other sessions and all access tokens of the person end.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The current password.
    pub password: String,
    /// The new password: at least 10 characters, and not a common password.
    pub new_password: String,
}

/// The response to setup and sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedIn {
    /// The person who is now signed in.
    pub user: User,
}

/// The response to `POST /api/auth/token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessToken {
    /// A JWT for the `Authorization` header.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// The response to `POST /api/auth/ticket`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket {
    /// Opens one connection: send it as a second subprotocol, `ticket.<ticket>`.
    pub ticket: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}
