//! `[[tools]]`: the sources of the tools of model agents.
//!
//! Each entry is parsed on its own: a wrong one disables its source. Sources are only configured in the file, because an entry may
//! name a program to run.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use axum::http::HeaderName;
use reqwest::Url;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::{
    agents::{Secret, without_found_text},
    bounds::within,
    consent::ConsentRules,
    typed::{self, Misfit},
};

/// Most sources.
const MAX_SOURCES: usize = 64;
/// Longest id of a source, in bytes: with `__` it is the prefix of the names of its tools.
const MAX_ID_BYTES: usize = 24;

/// One of `[[tools]]`.
#[derive(Debug, Clone)]
pub struct ToolsConfig {
    /// The id that agents refer to.
    pub id: String,
    /// Its configuration, or why it is disabled.
    pub kind: Result<ToolsKind, String>,
}

/// The kinds of sources.
#[derive(Debug, Clone)]
pub enum ToolsKind {
    /// The analyst's tools for the files of a thread.
    Builtin(BuiltinConfig),
    /// A server of the Model Context Protocol.
    Mcp(Box<McpConfig>),
}

/// `kind = "builtin"`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuiltinConfig {
    /// The consent that calls need; by default none.
    pub consent: ConsentRules,
}

/// `kind = "mcp"`.
#[derive(Debug, Clone)]
pub struct McpConfig {
    /// How it is reached.
    pub endpoint: Endpoint,
    /// The consent that calls need; by default that of the user.
    pub consent: ConsentRules,
    /// Time limit for connecting, and for listing the tools.
    pub connect_timeout: Duration,
    /// Time limit of a call.
    pub call_timeout: Duration,
    /// Time limit of a call that the server runs as a task.
    pub task_timeout: Duration,
    /// Most bytes of a result that the model receives; a longer one is truncated with a notice.
    pub max_output_bytes: usize,
    /// Most tools of the server that are used; the administrators' page shows how many are left out.
    pub max_tools: usize,
}

/// How a server of the Model Context Protocol is reached.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// As a child process, over its standard input and output.
    Child {
        /// The program: a path, or a name found in `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment variables, besides `PATH` and `HOME`; it gets no others.
        env: BTreeMap<String, Secret>,
        /// A program with arguments that starts it, such as `bwrap`; `{folder}` is replaced by the child's own folder.
        sandbox: Vec<String>,
        /// Its resource limits.
        limits: ChildLimits,
    },
    /// Over streamable HTTP.
    Http {
        /// The URL.
        url: Url,
        /// Headers of each request.
        headers: Vec<(HeaderName, Secret)>,
        /// Whether the URL may be on this host or in a private network.
        allow_private_network: bool,
    },
}

/// Resource limits of a child process, and of each process that it starts; 0: those of this server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChildLimits {
    /// Bytes of writable memory.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub memory_bytes: u64,
    /// Open files, sockets and pipes.
    #[serde(deserialize_with = "within::<0, 1_048_576, _, _>")]
    pub open_files: u64,
    /// Processes and threads of the server's user, those of the server included. Does not limit root.
    #[serde(deserialize_with = "within::<0, 1_048_576, _, _>")]
    pub processes: u64,
    /// Bytes of a file that it writes.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub file_bytes: u64,
    /// Seconds of CPU time.
    #[serde(deserialize_with = "within::<0, 31_536_000, _, _>")]
    pub cpu_seconds: u64,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, open_files: 1_024, processes: 4_096, file_bytes: 1 << 30, cpu_seconds: 0 }
    }
}

/// An entry of kind `mcp` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct McpEntry {
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
    // Escaping in JSON may take six times as much, which still fits in one event.
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

impl TryFrom<McpEntry> for McpConfig {
    type Error = String;

    fn try_from(entry: McpEntry) -> Result<Self, String> {
        let endpoint = match (entry.command, entry.url) {
            (Some(command), None) => {
                if !entry.headers.is_empty() || entry.allow_private_network {
                    return Err("headers and allow_private_network are for a url, not for a command".into());
                }
                if command.trim().is_empty() {
                    return Err("command: expected a program".into());
                }
                if let Some(name) = entry.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
                    return Err(format!("env: `{name}` is not a name of a variable"));
                }
                if entry.sandbox.first().is_some_and(|program| program.trim().is_empty()) {
                    return Err("sandbox: expected a program and its arguments".into());
                }
                let (sandbox, limits) = (entry.sandbox, entry.limits.unwrap_or_default());
                Endpoint::Child { command, args: entry.args, env: entry.env, sandbox, limits }
            }
            (None, Some(url)) => {
                if !entry.args.is_empty() || !entry.env.is_empty() {
                    return Err("args and env are for a command, not for a url".into());
                }
                if !entry.sandbox.is_empty() || entry.limits.is_some() {
                    return Err("sandbox and limits are for a command, not for a url".into());
                }
                let headers = entry.headers.into_iter().map(parse_header).collect::<Result<_, _>>()?;
                Endpoint::Http { url: parse_url(&url)?, headers, allow_private_network: entry.allow_private_network }
            }
            _ => return Err("expected either command (a child process) or url (streamable HTTP)".into()),
        };
        Ok(Self {
            endpoint,
            consent: entry.consent,
            connect_timeout: Duration::from_millis(entry.connect_timeout_ms),
            call_timeout: Duration::from_millis(entry.call_timeout_ms),
            task_timeout: Duration::from_millis(entry.task_timeout_ms),
            max_output_bytes: entry.max_output_bytes,
            max_tools: entry.max_tools,
        })
    }
}

fn parse_url(url: &str) -> Result<Url, String> {
    let allowed = "url: expected \"http://\" or \"https://\", a host and a path, without user and password";
    let url: Url = url.parse().map_err(|_| allowed)?;
    let bare = url.username().is_empty() && url.password().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare { Ok(url) } else { Err(allowed.into()) }
}

fn parse_header((name, value): (String, Secret)) -> Result<(HeaderName, Secret), String> {
    // The protocol sets these itself.
    const RESERVED: [&str; 4] = ["accept", "last-event-id", "mcp-protocol-version", "mcp-session-id"];
    let known = name.parse::<HeaderName>().map_err(|_| format!("headers: `{name}` is not a name of a header"))?;
    if RESERVED.contains(&known.as_str()) {
        return Err(format!("headers: `{known}` is set by the protocol"));
    }
    Ok((known, value))
}

/// Parses all entries. Only a value that is not a list of tables is an error.
pub(super) fn sources<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ToolsConfig>, D::Error> {
    let tables = Vec::<Map<String, Value>>::deserialize(from)?;
    if tables.len() > MAX_SOURCES {
        return Err(de::Error::custom(format!("at most {MAX_SOURCES} sources of tools")));
    }
    let mut ids = HashSet::new();
    Ok(tables.into_iter().enumerate().map(|(index, table)| parse_source(index, table, &mut ids)).collect())
}

fn parse_source(index: usize, mut table: Map<String, Value>, ids: &mut HashSet<String>) -> ToolsConfig {
    let id = match table.remove("id") {
        Some(Value::String(id)) => id,
        _ => String::new(),
    };
    let kind = if !is_id(&id) {
        Err(format!("id: expected 1 to {MAX_ID_BYTES} of a-z, 0-9, `-` and single `_`"))
    } else if ids.insert(id.clone()) {
        parse_kind(table)
    } else {
        Err(format!("id: `{id}` is used twice; the first entry counts"))
    };
    // An entry without a usable id still needs a name on the administrators' page.
    let has_id = !id.is_empty() && id.len() <= 64;
    ToolsConfig { id: if has_id { id } else { format!("tools[{index}]") }, kind }
}

fn parse_kind(mut table: Map<String, Value>) -> Result<ToolsKind, String> {
    match table.remove("kind").as_ref().and_then(Value::as_str) {
        Some("builtin") => parse(table).map(ToolsKind::Builtin),
        Some("mcp") => {
            parse::<McpEntry>(table).and_then(McpConfig::try_from).map(|config| ToolsKind::Mcp(Box::new(config)))
        }
        _ => Err("kind: expected \"mcp\" or \"builtin\"".into()),
    }
}

fn parse<T: de::DeserializeOwned>(table: Map<String, Value>) -> Result<T, String> {
    typed::parse(Value::Object(table))
        .map_err(|Misfit { key, problem }| Misfit { key, problem: without_found_text(&problem) }.message())
}

/// An id is the prefix of tool names, whose characters the APIs of models restrict, and ends with `__` there.
fn is_id(id: &str) -> bool {
    let letters = id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    (1..=MAX_ID_BYTES).contains(&id.len()) && letters && !id.contains("__") && !id.ends_with('_')
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
    fn each_kind_of_source_is_parsed_with_its_defaults() {
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
    fn a_wrong_entry_is_disabled_and_the_others_are_not() {
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
            (
                "id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nheaders = { \"a b\" = \"c\" }",
                "not a name of a header",
            ),
            ("id = \"x\"\nkind = \"mcp\"\nurl = \"http://x/\"\nheaders = { Accept = \"c\" }", "set by the protocol"),
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
