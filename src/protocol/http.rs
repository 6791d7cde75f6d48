//! The JSON bodies of the HTTP calls beside the socket: discovery, sign-in, files. Errors are [`Problem`]s.

pub mod agent_entry;
mod check;
mod raw_events;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use check::{AgentCheck, CheckAgent, Finding, FindingLevel};
pub use raw_events::{RawEvent, RawEvents};

use super::{Cursor, FeedPlace, FileId, Person, ThreadSummary, UserId};

/// What a person may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(clap::ValueEnum))]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Own threads.
    #[default]
    Member,
    /// Own threads, and the running of the server.
    Admin,
}

/// A person, as everyone who may see them does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct User {
    /// The person.
    pub id: UserId,
    /// The name.
    pub name: String,
    /// The address that signs in.
    pub email: String,
    /// The role.
    pub role: Role,
}

/// Where the socket is and how it speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct SocketConfig {
    /// Absolute, `ws:` or `wss:`.
    pub url: String,
    /// The subprotocol: `netra.v1`.
    pub protocol: String,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// The largest frame a client may send, in bytes.
    pub max_frame_bytes: usize,
}

/// How to sign in, and whether that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AuthConfig {
    /// Whether the caller's session is signed in.
    pub signed_in: bool,
    /// The ways to sign in: `password`.
    pub methods: Vec<String>,
    /// Whether the first administrator is still to be made.
    pub needs_setup: bool,
}

/// `GET /api/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Config {
    /// The server's version.
    pub version: String,
    /// The socket.
    pub socket: SocketConfig,
    /// Signing in.
    pub auth: AuthConfig,
}

/// `POST /api/auth/setup`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The token that the server printed at its first start.
    pub setup_token: String,
    /// The address that will sign in.
    pub email: String,
    /// The name.
    pub name: String,
    /// The password: at least 10 characters, and none of those that are guessed first.
    pub password: String,
}

/// `POST /api/auth/sign-in`; also a body of `POST /api/auth/token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The address.
    pub email: String,
    /// The password.
    pub password: String,
}

/// `POST /api/auth/password`. All other sessions and all access tokens of the person end.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password that the person has.
    pub password: String,
    /// The one that takes its place: at least 10 characters, and none of those that are guessed first.
    pub new_password: String,
}

/// The answer to setup and sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct SignedIn {
    /// Who is signed in now.
    pub user: User,
}

/// The answer to `POST /api/auth/token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AccessToken {
    /// A JWT for the `Authorization` header.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until it runs out.
    pub expires_in: u64,
}

/// The answer to `POST /api/auth/ticket`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Ticket {
    /// Opens one socket, once: the second subprotocol `ticket.<ticket>`.
    pub ticket: String,
    /// Seconds until it runs out.
    pub expires_in: u64,
}

/// The answer to `POST /api/threads/<thread_id>/files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Uploaded {
    /// The file.
    pub file_id: FileId,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// `GET /api/threads?before=<older>&limit=50`: a page of the caller's threads, the one with the newest activity first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ThreadPage {
    /// The position in the log of `user` that this is the state at.
    pub cursor: Cursor,
    /// The threads. With the newest come those that wait for the person's answer.
    pub threads: Vec<ThreadSummary>,
    /// The `before` that answers the next page; absent: there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<FeedPlace>,
}

/// An agent that the caller may talk to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// What `create_thread` and `send_message` name it by.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Prompts to begin with.
    pub examples: Vec<String>,
    /// What it is.
    #[serde(default)]
    pub kind: AgentKind,
    /// The files that it reads, as a file input's `accept` names them (`.csv`, `image/png`); empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Why it cannot be used now. Only administrators are told of such agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

impl AgentInfo {
    /// A built-in agent that can be used, with no examples.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            description: description.into(),
            examples: Vec::new(),
            kind: AgentKind::Builtin,
            files: Vec::new(),
            disabled: None,
        }
    }
}

/// What an agent is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Part of this server.
    #[default]
    Builtin,
    /// A model, with a loop and tools of this server's.
    Model,
    /// An AG-UI endpoint elsewhere.
    AgUi,
    /// A recorded run, played at a steady rate.
    Replay,
}

/// `GET /api/admin/agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AdminAgents {
    /// All there are, those that cannot be used among them.
    pub agents: Vec<AdminAgent>,
}

/// An agent as administrators see it; also the answer to `PUT /api/admin/agents/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AdminAgent {
    /// Who it is; why it cannot be used, where that is so.
    pub info: AgentInfo,
    /// Where it is configured.
    pub source: AgentSource,
    /// How it is configured, in the shape of the file's `[[agents]]`; without secrets.
    pub entry: Map<String, Value>,
    /// How what it depends on is; absent: it depends on nothing, or nobody asked yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Why its newest run failed; absent: it did not, or there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct LastFailure {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// Why, for a person.
    pub message: String,
}

/// Where an agent is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentSource {
    /// Nowhere: it is part of this server.
    BuiltIn,
    /// In the configuration file.
    File,
    /// On the administrators' page.
    Page,
}

/// How what an agent depends on is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Health {
    /// Whether it can be asked now.
    pub ok: bool,
    /// One sentence.
    pub about: String,
}

/// `GET /api/admin/tools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct AdminTools {
    /// Where tools come from: what the configuration file names, those that cannot be used among them.
    pub sources: Vec<ToolSource>,
}

/// A source of tools as administrators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ToolSource {
    /// What agents name it by.
    pub id: String,
    /// How it is, as far as this node knows without asking it.
    #[serde(flatten)]
    pub state: ToolSourceState,
}

/// How a source of tools is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ToolSourceState {
    /// It was not needed yet.
    Idle,
    /// It works.
    Ready {
        /// Its tools.
        tools: Vec<ToolInfo>,
        /// How many more it has than are taken of it; those of further pages of its list count as one.
        left_out: u64,
    },
    /// It could not be reached, or was lost; it is tried again when it is needed.
    Unavailable {
        /// Why.
        reason: String,
        /// The last that a child process said on its standard error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<String>,
    },
    /// Its entry is wrong.
    Disabled {
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

/// A tool as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct ToolInfo {
    /// What a model calls it by.
    pub name: String,
    /// What must happen before it is called.
    pub consent: Consent,
}

/// What must happen before a tool is called; the stricter is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Nothing: it is called at once.
    Automatic,
    /// A person says yes.
    #[default]
    Ask,
    /// It is never called, nor offered.
    Off,
}

/// `GET /api/admin/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// By person and day, the newest day first.
    pub sums: Vec<UsageSum>,
    /// By person, day, agent and model, the newest day first.
    pub rows: Vec<UsageRow>,
    /// Where there are more than fit: the `skip` that answers the next ones, of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// What a person's runs used on a day, of one agent and model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UsageRow {
    /// The agent's id.
    pub agent: String,
    /// The model, as its provider calls it; empty where that was not told.
    pub model: String,
    /// How much, on which day and whose.
    #[serde(flatten)]
    pub of: UsageSum,
}

/// What a person's runs used on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct UsageSum {
    /// The day (UTC): `2026-01-31`.
    pub day: String,
    /// The person.
    pub user: Person,
    /// How many runs; one that used several models counts with the first.
    pub runs: u64,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// US dollars, as far as prices are known; of a run with several models all of it stands with the first.
    pub cost_usd: f64,
}

/// `GET /api/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct OwnUsage {
    /// What the caller's runs used today (UTC).
    pub today: Usage,
    /// What they may use on a day.
    pub budget: Budget,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Tokens, in and out.
    pub tokens: u64,
    /// US dollars, as far as prices are known.
    pub usd: f64,
}

/// What may be used on a day; absent: any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Budget {
    /// Tokens, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

/// RFC 9457 `application/problem+json`, with a stable `code`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(schemars::JsonSchema))]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What programs decide by.
    pub code: String,
    /// One sentence for a person: what is wrong and what to do.
    pub detail: String,
    /// Milliseconds to wait before the same call may work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}
