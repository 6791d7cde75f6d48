//! `[[agents]]`. Each entry is parsed on its own: a wrong one disables its agent, and the server starts without it.
//!
//! An entry is a TOML table of the configuration file, or the same as a JSON object from the administrators' page.
//! [`AgentConfig::parse`] parses both.

mod address;
mod ag_ui;
mod masked;
mod model;
mod secret;

pub use address::Address;
pub use ag_ui::AgUiConfig;
pub use masked::{masked, unmasked};
pub use model::{FileType, ModelConfig, ModelPrices, Provider, ReasoningEffort};
pub use secret::Secret;
pub(super) use secret::without_found_text;

use std::path::PathBuf;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    bounds::within,
    typed::{self, Misfit},
};
use crate::protocol::{
    http::{
        AgentInfo, AgentKind, Role, User,
        agent_entry::{KEYS, is_common},
    },
    limits::MAX_AGENT_ID_BYTES,
};

/// The only variables that an entry of the administrators' page may refer to. Without this, an administrator, who need not be the
/// operator of the server, could have any variable sent to a URL of their choice.
pub const PAGE_VAR_PREFIX: &str = "NETRA_AGENT_";

/// The most examples of an agent.
const MAX_EXAMPLES: usize = 6;
/// The longest example, in characters.
const MAX_EXAMPLE_CHARS: usize = 200;
/// The longest hint, in characters.
const MAX_HINT_CHARS: usize = 120;

/// An entry as it was written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct AgentEntry(pub Map<String, Value>);

/// An error in an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct AgentProblem {
    /// The key.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl AgentProblem {
    /// An error at a key.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// The parsed entry of an agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The keys of all kinds.
    pub common: Common,
    /// The keys of its kind.
    pub kind: KindConfig,
}

/// The keys that only agents of one kind have.
#[derive(Debug, Clone)]
pub enum KindConfig {
    /// A built-in agent: the id says which.
    Builtin,
    /// A recorded run.
    Replay(ReplayConfig),
    /// An AG-UI endpoint.
    AgUi(AgUiConfig),
    /// A model.
    Model(ModelConfig),
}

/// The keys that agents of all kinds have.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// The id that commands use.
    pub id: String,
    /// Name shown to users.
    pub name: String,
    /// What it does, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Prompts suggested to users: at most [`MAX_EXAMPLES`], each of at most [`MAX_EXAMPLE_CHARS`].
    #[serde(default)]
    pub examples: Vec<String>,
    /// What the message field shows while it is empty: at most [`MAX_HINT_CHARS`]; empty for the page's own text.
    #[serde(default)]
    pub hint: String,
    /// Its kind.
    pub kind: AgentKind,
    /// Who may use it.
    #[serde(default)]
    pub access: Access,
    /// Limits of its runs.
    #[serde(default)]
    pub limits: AgentLimits,
}

/// Who may use an agent: users with one of the roles or addresses; everyone if both lists are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Roles: `admin`, `member`.
    pub roles: Vec<Role>,
    /// Users, by the email address that they sign in with.
    pub people: Vec<String>,
}

impl Access {
    /// Whether this user may use the agent.
    #[must_use]
    pub fn allows(&self, user: &User) -> bool {
        let is_public = self.roles.is_empty() && self.people.is_empty();
        is_public
            || self.roles.contains(&user.role)
            || self.people.iter().any(|who| who.eq_ignore_ascii_case(&user.email))
    }
}

/// Limits of one agent's runs on one server; a missing one is that of `[runs]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentLimits {
    /// Concurrent runs of this agent.
    #[serde(deserialize_with = "some_within::<1, 100_000, _, _>")]
    pub max_runs: Option<usize>,
    /// Concurrent runs of one user with this agent.
    #[serde(deserialize_with = "some_within::<1, 100_000, _, _>")]
    pub max_runs_per_user: Option<usize>,
    /// Time limit of one run, in milliseconds.
    #[serde(deserialize_with = "some_within::<1, 604_800_000, _, _>")]
    pub time_limit_ms: Option<u64>,
}

fn some_within<'de, const MIN: u64, const MAX: u64, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<u64>,
    D: serde::Deserializer<'de>,
{
    within::<MIN, MAX, T, D>(from).map(Some)
}

/// A recorded run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// The recording: JSON Lines, one AG-UI event each.
    pub file: PathBuf,
    /// Speed of the replay.
    #[serde(default = "default_rate", deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub events_per_second: u32,
}

fn default_rate() -> u32 {
    50
}

/// Built-in agents have no keys of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

impl AgentConfig {
    /// Parses an entry.
    ///
    /// # Errors
    /// Names the wrong key and what is allowed.
    pub fn parse(entry: &AgentEntry) -> Result<Self, AgentProblem> {
        let (common, own): (Map<_, _>, Map<_, _>) = entry.0.clone().into_iter().partition(|(key, _)| is_common(key));
        require(&common, None)?;
        let common: Common = parse_keys(common)?;
        if !is_agent_id(&common.id) {
            let allowed = format!("invalid value `{}`, expected 1 to 64 of a-z, 0-9, `-` and `_`", common.id);
            return Err(AgentProblem::new("id", allowed));
        }
        check_texts(&common)?;
        require(&own, Some(common.kind))?;
        let kind = match common.kind {
            AgentKind::Builtin => parse_keys(own).map(|NoKeys {}| KindConfig::Builtin)?,
            AgentKind::Replay => KindConfig::Replay(parse_keys(own)?),
            AgentKind::AgUi => KindConfig::AgUi(parse_keys(own)?),
            AgentKind::Model => KindConfig::Model(parse_keys(own)?),
        };
        Ok(Self { common, kind })
    }

    /// What users are shown of it.
    #[must_use]
    pub fn info(&self) -> AgentInfo {
        let Common { id, name, description, examples, hint, kind, .. } = self.common.clone();
        AgentInfo { examples, hint, kind, ..AgentInfo::new(id, name, description) }
    }
}

/// Checks that the required keys of a kind are there; no kind: those of all kinds.
fn require(keys: &Map<String, Value>, kind: Option<AgentKind>) -> Result<(), AgentProblem> {
    let missing = KEYS.iter().find(|key| key.required && key.kind == kind && !keys.contains_key(key.name));
    missing.map_or(Ok(()), |key| Err(AgentProblem::new(key.name, "this is required")))
}

/// Checks the examples and the hint.
fn check_texts(common: &Common) -> Result<(), AgentProblem> {
    let Common { examples, hint, .. } = common;
    if examples.len() > MAX_EXAMPLES {
        let problem = format!("there are {} examples, at most {MAX_EXAMPLES} are allowed", examples.len());
        return Err(AgentProblem::new("examples", problem));
    }
    for (index, example) in examples.iter().enumerate() {
        let chars = example.chars().count();
        if example.trim().is_empty() || chars > MAX_EXAMPLE_CHARS {
            let problem =
                format!("it has {chars} characters, expected 1 to {MAX_EXAMPLE_CHARS} with a word among them");
            return Err(AgentProblem::new(format!("examples[{index}]"), problem));
        }
    }
    let chars = hint.chars().count();
    if chars > MAX_HINT_CHARS || hint.contains(['\n', '\r']) {
        let problem = format!("it has {chars} characters, expected one line of at most {MAX_HINT_CHARS}");
        return Err(AgentProblem::new("hint", problem));
    }
    Ok(())
}

fn parse_keys<T: DeserializeOwned>(keys: Map<String, Value>) -> Result<T, AgentProblem> {
    typed::parse(Value::Object(keys)).map_err(|Misfit { key, problem }| {
        AgentProblem::new(key.unwrap_or_else(|| "entry".into()), without_found_text(&problem))
    })
}

/// Whether this is a valid id, for commands and URLs.
#[must_use]
pub fn is_agent_id(id: &str) -> bool {
    let fits = (1..=MAX_AGENT_ID_BYTES).contains(&id.len());
    fits && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::{
        Deserializer,
        de::{Error as _, Visitor, value::Error},
        forward_to_deserialize_any,
    };

    use super::*;
    use crate::protocol::http::agent_entry::Holds;

    /// Records the fields that a struct is deserialised from.
    #[derive(Default)]
    struct FieldProbe(&'static [&'static str]);

    impl<'de> Deserializer<'de> for &mut FieldProbe {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("no struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0 = fields;
            Err(Error::custom("no value"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
            tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn fields<T: DeserializeOwned>() -> BTreeSet<&'static str> {
        let mut probe = FieldProbe::default();
        let _ = T::deserialize(&mut probe);
        probe.0.iter().copied().collect()
    }

    #[test]
    fn the_described_keys_are_those_that_are_parsed() {
        let parsed = [
            (None, fields::<Common>()),
            (Some(AgentKind::Builtin), fields::<NoKeys>()),
            (Some(AgentKind::Replay), fields::<ReplayConfig>()),
            (Some(AgentKind::AgUi), fields::<AgUiConfig>()),
            (Some(AgentKind::Model), fields::<ModelConfig>()),
        ];
        for (kind, parsed) in parsed {
            let described: BTreeSet<_> = KEYS.iter().filter(|key| key.kind == kind).map(|key| key.name).collect();
            assert_eq!(described, parsed, "{kind:?}");
        }
        let tables =
            [("access", fields::<Access>()), ("limits", fields::<AgentLimits>()), ("prices", fields::<ModelPrices>())];
        for key in KEYS {
            if let Holds::Table(names) = key.holds {
                let (_, parsed) = tables.iter().find(|(name, _)| *name == key.name).expect(key.name);
                assert_eq!(names.iter().copied().collect::<BTreeSet<_>>(), *parsed, "{}", key.name);
            }
        }
    }

    #[test]
    fn each_key_is_documented() {
        let documents = [include_str!("../../../../docs/agents.md"), include_str!("../../../../Leptos.toml")];
        for key in KEYS {
            assert!(documents.iter().any(|text| text.contains(key.name)), "{}", key.name);
        }
    }

    #[test]
    fn examples_and_the_hint_are_limited() {
        let parse = |key: &str, value: serde_json::Value| {
            let entry = serde_json::json!({"id": "analyst", "name": "A", "kind": "builtin", key: value});
            AgentConfig::parse(&serde_json::from_value(entry).expect("a table")).map_err(|problem| problem.to_string())
        };
        let allowed = parse("examples", vec!["\u{e9}".repeat(200); 6].into()).expect("it is allowed");
        assert_eq!(allowed.info().examples.len(), 6);
        assert_eq!(parse("hint", "\u{e9}".repeat(120).into()).expect("it is allowed").info().hint.chars().count(), 120);
        for (key, value, problem) in [
            ("examples", vec!["a"; 7].into(), "examples: there are 7 examples, at most 6 are allowed"),
            ("examples", vec!["ok".into(), "a".repeat(201)].into(), "examples[1]: it has 201 characters"),
            ("examples", vec![" "].into(), "examples[0]: it has 1 characters"),
            ("hint", "a".repeat(121).into(), "hint: it has 121 characters, expected one line of at most 120"),
            ("hint", "a\nb".into(), "hint: it has 3 characters, expected one line"),
        ] {
            let refused = parse(key, value).expect_err(problem);
            assert!(refused.starts_with(problem), "{refused}");
        }
    }

    #[test]
    fn a_missing_key_is_named() {
        for (entry, missing) in [
            (serde_json::json!({"id": "a", "kind": "ag-ui"}), "name"),
            (serde_json::json!({"id": "a", "name": "A", "kind": "ag-ui"}), "url"),
            (serde_json::json!({"id": "a", "name": "A", "kind": "model"}), "model"),
        ] {
            let entry: AgentEntry = serde_json::from_value(entry).expect("a table");
            assert_eq!(AgentConfig::parse(&entry).expect_err(missing), AgentProblem::new(missing, "this is required"));
        }
    }
}
