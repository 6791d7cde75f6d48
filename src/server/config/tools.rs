//! `[[tools]]`: where the tools of model agents come from.
//!
//! Each entry is read on its own: one that is wrong is disabled with its reason, and the others serve. Only the file says
//! what is here, for an entry may name a program to run.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use axum::http::HeaderName;
use reqwest::Url;
use serde::{Deserialize, Deserializer, de};
use toml::{Table, Value};

use super::{
    agents::{Secret, unrepeated},
    bounds::within,
    consent::ConsentRules,
};

/// How many sources there may be.
const MAX_SOURCES: usize = 64;
/// The longest id of a source: with `__` it begins the name of each of its tools.
const MAX_ID: usize = 24;

/// One of `[[tools]]`.
#[derive(Debug, Clone)]
pub struct ToolsConfig {
    /// What agents and people name it by.
    pub id: String,
    /// What it is, or why it is disabled.
    pub kind: Result<ToolsKind, String>,
}

/// What a source of tools is.
#[derive(Debug, Clone)]
pub enum ToolsKind {
    /// The analyst's tools over the files of a thread.
    Builtin(BuiltinConfig),
    /// A server of the Model Context Protocol.
    Mcp(Box<McpConfig>),
}

/// `kind = "builtin"`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuiltinConfig {
    /// Who must say yes to a call; without a word: nobody.
    pub consent: ConsentRules,
}

/// `kind = "mcp"`.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Who must say yes to a call; without a word: the person who asked.
    pub consent: ConsentRules,
    /// How long connecting may take, and listing the tools.
    pub connect_timeout: Duration,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// How long a task may take that a server makes of a call.
    pub task_timeout: Duration,
    /// Bytes of a result that a model is given; what is longer is cut, and says so.
    pub max_output_bytes: usize,
    /// Tools that are taken of it; more are left out, visibly.
    pub max_tools: usize,
}

/// Where a server of the Model Context Protocol is.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A child process that is spoken to over its standard input and output.
    Child {
        /// The program: a path, or a name that `PATH` finds.
        command: String,
        /// What it is called with.
        args: Vec<String>,
        /// The variables it is given beside `PATH` and `HOME`; it sees no others.
        env: BTreeMap<String, Secret>,
        /// A program with its arguments that it is started through, such as `bwrap`; `{folder}` is the child's own folder.
        sandbox: Vec<String>,
        /// What it may use.
        limits: ChildLimits,
    },
    /// Streamable HTTP.
    Http {
        /// The address.
        url: Url,
        /// What each request carries.
        headers: Vec<(HeaderName, Secret)>,
        /// Whether the address may be of this host's own network.
        allow_private_network: bool,
    },
}

/// What a child process may use; 0: as much as this server. A process that it starts has the same limits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChildLimits {
    /// Bytes of memory that it writes to.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub memory_bytes: u64,
    /// Files, sockets and pipes that are open at once.
    #[serde(deserialize_with = "within::<0, 1_048_576, _, _>")]
    pub open_files: u64,
    /// Processes and threads of this server's user at once, the server's own among them. It does not bind root.
    #[serde(deserialize_with = "within::<0, 1_048_576, _, _>")]
    pub processes: u64,
    /// Bytes of one file that it writes.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub file_bytes: u64,
    /// Seconds of processor time from its start to its end.
    #[serde(deserialize_with = "within::<0, 31_536_000, _, _>")]
    pub cpu_seconds: u64,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, open_files: 1_024, processes: 4_096, file_bytes: 1 << 30, cpu_seconds: 0 }
    }
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, Secret>,
    #[serde(default)]
    sandbox: Vec<String>,
    limits: Option<ChildLimits>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    #[serde(default)]
    allow_private_network: bool,
    #[serde(default)]
    consent: ConsentRules,
    #[serde(default = "connect_timeout_ms", deserialize_with = "within::<100, 120_000, _, _>")]
    connect_timeout_ms: u64,
    #[serde(default = "call_timeout_ms", deserialize_with = "within::<100, 3_600_000, _, _>")]
    call_timeout_ms: u64,
    #[serde(default = "task_timeout_ms", deserialize_with = "within::<100, 86_400_000, _, _>")]
    task_timeout_ms: u64,
    // Six times as much, as escaped JSON may have, is still less than an event may have.
    #[serde(default = "max_output_bytes", deserialize_with = "within::<256, 40_960, _, _>")]
    max_output_bytes: usize,
    #[serde(default = "max_tools", deserialize_with = "within::<1, 128, _, _>")]
    max_tools: usize,
}

fn connect_timeout_ms() -> u64 {
    10_000
}

fn call_timeout_ms() -> u64 {
    60_000
}

fn task_timeout_ms() -> u64 {
    3_600_000
}

fn max_output_bytes() -> usize {
    32 << 10
}

fn max_tools() -> usize {
    64
}

impl TryFrom<Written> for McpConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let endpoint = match (written.command, written.url) {
            (Some(command), None) => {
                if !written.headers.is_empty() || written.allow_private_network {
                    return Err("headers and allow_private_network are for a url, not for a command".into());
                }
                if command.trim().is_empty() {
                    return Err("command: expected a program".into());
                }
                if let Some(name) = written.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
                    return Err(format!("env: `{name}` is no name of a variable"));
                }
                if written.sandbox.first().is_some_and(|program| program.trim().is_empty()) {
                    return Err("sandbox: expected a program and its arguments".into());
                }
                let (sandbox, limits) = (written.sandbox, written.limits.unwrap_or_default());
                Endpoint::Child { command, args: written.args, env: written.env, sandbox, limits }
            }
            (None, Some(url)) => {
                if !written.args.is_empty() || !written.env.is_empty() {
                    return Err("args and env are for a command, not for a url".into());
                }
                if !written.sandbox.is_empty() || written.limits.is_some() {
                    return Err("sandbox and limits are for a command, not for a url".into());
                }
                let headers = written.headers.into_iter().map(header).collect::<Result<_, _>>()?;
                Endpoint::Http { url: checked(&url)?, headers, allow_private_network: written.allow_private_network }
            }
            _ => return Err("expected either command (a child process) or url (streamable HTTP)".into()),
        };
        Ok(Self {
            endpoint,
            consent: written.consent,
            connect_timeout: Duration::from_millis(written.connect_timeout_ms),
            call_timeout: Duration::from_millis(written.call_timeout_ms),
            task_timeout: Duration::from_millis(written.task_timeout_ms),
            max_output_bytes: written.max_output_bytes,
            max_tools: written.max_tools,
        })
    }
}

fn checked(url: &str) -> Result<Url, String> {
    let allowed = "url: expected \"http://\" or \"https://\", a host and a path, without who signs in";
    let url: Url = url.parse().map_err(|_| allowed)?;
    let bare = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare { Ok(url) } else { Err(allowed.into()) }
}

fn header((name, value): (String, Secret)) -> Result<(HeaderName, Secret), String> {
    // These are the protocol's own.
    const RESERVED: [&str; 4] = ["accept", "last-event-id", "mcp-protocol-version", "mcp-session-id"];
    let known = name.parse::<HeaderName>().map_err(|_| format!("headers: `{name}` is no name of a header"))?;
    if RESERVED.contains(&known.as_str()) {
        return Err(format!("headers: `{known}` is the protocol's own"));
    }
    Ok((known, value))
}

/// Reads all entries; only what is no list of tables is refused as a whole.
pub(super) fn sources<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ToolsConfig>, D::Error> {
    let tables = Vec::<Table>::deserialize(from)?;
    if tables.len() > MAX_SOURCES {
        return Err(de::Error::custom(format!("at most {MAX_SOURCES} sources of tools")));
    }
    let mut ids = HashSet::new();
    Ok(tables.into_iter().enumerate().map(|(index, table)| read(index, table, &mut ids)).collect())
}

fn read(index: usize, mut table: Table, ids: &mut HashSet<String>) -> ToolsConfig {
    let id = match table.remove("id") {
        Some(Value::String(id)) => id,
        _ => String::new(),
    };
    let kind = if !is_id(&id) {
        Err(format!("id: expected 1 to {MAX_ID} of a-z, 0-9, `-` and single `_`"))
    } else if ids.insert(id.clone()) {
        kind(table)
    } else {
        Err(format!("id: `{id}` is there twice; the first one counts"))
    };
    // An entry without a name of its own still has a place on the administrators' page.
    let named = !id.is_empty() && id.len() <= 64;
    ToolsConfig { id: if named { id } else { format!("tools[{index}]") }, kind }
}

fn kind(mut table: Table) -> Result<ToolsKind, String> {
    match table.remove("kind").as_ref().and_then(Value::as_str) {
        Some("builtin") => parsed(table).map(ToolsKind::Builtin),
        Some("mcp") => {
            parsed::<Written>(table).and_then(McpConfig::try_from).map(|config| ToolsKind::Mcp(Box::new(config)))
        }
        _ => Err("kind: expected \"mcp\" or \"builtin\"".into()),
    }
}

fn parsed<T: de::DeserializeOwned>(table: Table) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| {
        let (key, problem) = (error.path().to_string(), unrepeated(&error.inner().message().replace('\n', "; ")));
        if key == "." { problem } else { format!("{key}: {problem}") }
    })
}

/// An id begins the names of its tools, which models' interfaces restrict; `__` ends it there.
fn is_id(id: &str) -> bool {
    let letters = id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    (1..=MAX_ID).contains(&id.len()) && letters && !id.contains("__") && !id.ends_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::Consent;

    #[derive(Deserialize)]
    struct File {
        #[serde(deserialize_with = "sources")]
        tools: Vec<ToolsConfig>,
    }

    fn read(text: &str) -> Vec<ToolsConfig> {
        toml::from_str::<File>(text).expect("a list of tables").tools
    }

    #[test]
    fn each_kind_of_source_is_read_with_its_defaults() {
        let tools = read(
            "[[tools]]\nid = \"files\"\nkind = \"mcp\"\ncommand = \"npx\"\nargs = [\"-y\", \"x\"]\nenv = { KEY = \"v\" }\n\
             consent = { default = \"off\", \"read_*\" = \"automatic\" }\n\
             [[tools]]\nid = \"web\"\nkind = \"mcp\"\nurl = \"https://tools.example.com/mcp\"\n\
             headers = { Authorization = \"Bearer v\" }\ncall_timeout_ms = 500\n\
             [[tools]]\nid = \"data\"\nkind = \"builtin\"\n",
        );
        let [files, web, data] = tools.as_slice() else { panic!("three: {tools:?}") };
        let Ok(ToolsKind::Mcp(files)) = &files.kind else { panic!("{files:?}") };
        let Endpoint::Child { command, args, env, sandbox, limits } = &files.endpoint else { panic!("{files:?}") };
        assert_eq!((command.as_str(), args.len(), &env["KEY"]), ("npx", 2, &Secret::from("v")));
        assert_eq!((sandbox.len(), limits), (0, &ChildLimits::default()));
        assert_eq!(files.consent.for_tool("read_x", Consent::Ask), Consent::Automatic);
        assert_eq!(files.consent.for_tool("write", Consent::Ask), Consent::Off);
        assert_eq!((files.connect_timeout.as_secs(), files.call_timeout.as_secs()), (10, 60));
        let Ok(ToolsKind::Mcp(web)) = &web.kind else { panic!("{web:?}") };
        assert!(
            matches!(&web.endpoint, Endpoint::Http { allow_private_network: false, headers, .. } if headers.len() == 1)
        );
        assert_eq!(web.call_timeout.as_millis(), 500);
        assert!(matches!(&data.kind, Ok(ToolsKind::Builtin(_))));
    }

    #[test]
    fn a_wrong_entry_is_disabled_with_its_reason_and_the_others_serve() {
        let wrong = [
            ("kind = \"mcp\"\ncommand = \"x\"", "id: expected"),
            ("id = \"a__b\"\nkind = \"mcp\"\ncommand = \"x\"", "id: expected"),
            ("id = \"data\"\nkind = \"builtin\"", "twice"),
            ("id = \"x\"", "kind: expected"),
            ("id = \"x\"\nkind = \"shell\"", "kind: expected"),
            ("id = \"x\"\nkind = \"mcp\"", "either command"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nurl = \"http://x/\"", "either command"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \" \"", "command: expected"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nheaders = { a = \"b\" }", "are for a url"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nargs = [\"a\"]", "are for a command"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"file:///etc\"", "url: expected"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"https://me:secret@x/\"", "url: expected"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nheaders = { \"a b\" = \"c\" }", "no name of a header"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nheaders = { Accept = \"c\" }", "the protocol's own"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\ncall_timeout_ms = 1", "call_timeout_ms: invalid value"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nconfine = true", "unknown field"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nsandbox = [\" \"]", "sandbox: expected"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nlimits = { memory = 1 }", "unknown field"),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nlimits = {}", "are for a command"),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nargs = \"--key secret\"", "args: invalid type: a text"),
            (
                "id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nheaders = \"Bearer secret\"",
                "headers: invalid type: a text",
            ),
            ("id = \"x\"\nkind = \"mcp\"\ncommand = \"x\"\nconsent = { a = \"maybe\" }", "consent"),
            ("id = \"x\"\nkind = \"builtin\"\ncommand = \"x\"", "unknown field"),
        ];
        for (entry, expected) in wrong {
            let tools = read(&format!("[[tools]]\nid = \"data\"\nkind = \"builtin\"\n[[tools]]\n{entry}\n"));
            assert!(tools[0].kind.is_ok());
            let reason = tools[1].kind.as_ref().expect_err(entry);
            assert!(reason.contains(expected), "{entry}: {reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
