//! File, then variables, then flags: each source is laid over the one before, and each is checked on its own, so that a
//! refusal names the source that is wrong.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::Config;

/// The file that is read where no other is named and it exists.
const DEFAULT_FILE: &str = "Leptos.toml";

/// Tables whose keys variables may set.
const TABLES: [&str; 11] =
    ["server", "connections", "store", "bus", "runs", "quotas", "socket", "auth", "analyst", "log", "telemetry"];

/// What is wrong: one sentence that names where it was said, the key, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The file, variable or flag.
    pub place: String,
    /// The key and what is allowed.
    pub problem: String,
}

impl ConfigError {
    /// A refusal of what `place` said.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// What the command line said.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--listen ADDR`.
    pub listen: Option<SocketAddr>,
    /// `--data DIR`.
    pub data: Option<PathBuf>,
}

/// Reads the configuration. `variables` are the environment's, given so that tests need not change their own.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(flags: &Flags, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let file = match &flags.config {
        Some(file) => Some(file.clone()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()),
    };
    let mut table = file.as_deref().map(read).transpose()?.unwrap_or_default();
    if let Some(file) = &file {
        checked(&table, &file.display().to_string())?;
    }
    let mut variables: Vec<_> = variables.into_iter().filter(|(name, _)| is_setting(name)).collect();
    variables.sort();
    for (name, text) in variables {
        table = with_variable(table, &name, &text)?;
    }
    let mut config = checked(&table, "configuration")?;
    if let Some(folder) = file.as_deref().and_then(Path::parent) {
        config.anchor(folder);
    }
    config.file = file;
    if let Some(listen) = flags.listen {
        config.server.listen = listen;
    }
    if let Some(data) = &flags.data {
        config.server.data.clone_from(data);
    }
    config.check()?;
    Ok(config)
}

fn read(file: &Path) -> Result<Table, ConfigError> {
    let place = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file; name another with --config".into(),
            io::ErrorKind::InvalidData => "is no UTF-8 text".into(),
            _ => format!("cannot be read: {error}"),
        };
        ConfigError::new(&place, problem)
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError::new(&place, format!("line {line} is no TOML: {}", error.message().replace('\n', "; ")))
    })
}

fn checked(table: &Table, place: &str) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|error| {
        let key = error.path().to_string();
        let problem = error.inner().message().replace('\n', "; ");
        ConfigError::new(place, if key == "." { problem } else { format!("{key}: {problem}") })
    })
}

/// Whether a variable sets a key. Other `NETRA_` variables (the setup token, say) have no table and belong to others.
fn is_setting(name: &str) -> bool {
    name.strip_prefix("NETRA_").is_some_and(|rest| rest.contains("__"))
}

/// A variable has no type of its own: it is read as TOML where that fits the key, else as text.
fn with_variable(table: Table, name: &str, text: &str) -> Result<Table, ConfigError> {
    let path = name.strip_prefix("NETRA_").unwrap_or(name).to_ascii_lowercase();
    let Some((section, key)) = path.split_once("__").filter(|(section, _)| TABLES.contains(section)) else {
        let allowed = format!("NETRA_TABLE__KEY with TABLE one of {}", TABLES.map(str::to_ascii_uppercase).join(", "));
        return Err(ConfigError::new(name, format!("unknown variable, expected {allowed}")));
    };
    let literal = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let mut first_error = None;
    for value in literal.into_iter().chain([Value::String(text.to_owned())]) {
        let mut attempt = table.clone();
        let Some(section) = attempt.entry(section).or_insert_with(|| Table::new().into()).as_table_mut() else {
            break;
        };
        section.insert(key.to_owned(), value);
        match checked(&attempt, name) {
            Ok(_) => return Ok(attempt),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| ConfigError::new(name, format!("`{section}` is no table"))))
}
