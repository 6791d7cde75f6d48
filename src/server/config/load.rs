//! Loads the configuration from file, variables and flags. Each overrides the one before, and each is checked on its own, so that an
//! error names its source.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{Config, typed};

/// The file that is read if no other is named, and if it exists.
const DEFAULT_FILE: &str = "Leptos.toml";

/// Tables whose keys can be set by variables.
const TABLES: [&str; 12] = [
    "server",
    "connections",
    "store",
    "bus",
    "runs",
    "quotas",
    "socket",
    "auth",
    "analyst",
    "log",
    "telemetry",
    "images",
];

/// An error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The file, variable or flag.
    pub place: String,
    /// The key and what is allowed.
    pub problem: String,
}

impl ConfigError {
    /// An error in what comes from `place`.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

/// Settings from the command line.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `--listen ADDR`.
    pub listen: Option<SocketAddr>,
    /// `--data DIR`.
    pub data: Option<PathBuf>,
}

/// Loads the configuration. `variables` are those of the environment.
///
/// # Errors
/// The first error that is found.
pub fn load(flags: &Flags, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let file = match &flags.config {
        Some(file) => Some(file.clone()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()),
    };
    let mut table = file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    if let Some(file) = &file {
        parse(&table, &file.display().to_string())?;
    }
    let mut variables: Vec<_> = variables.into_iter().filter(|(name, _)| is_setting(name)).collect();
    variables.sort();
    for (name, text) in variables {
        table = with_variable(table, &name, &text)?;
    }
    let mut config = parse(&table, "configuration")?;
    if let Some(folder) = file.as_deref().and_then(Path::parent) {
        config.resolve_paths(folder);
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

fn read_file(file: &Path) -> Result<Table, ConfigError> {
    let place = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => "no such file; name another with --config".into(),
            io::ErrorKind::InvalidData => "is not UTF-8 text".into(),
            _ => format!("cannot be read: {error}"),
        };
        ConfigError::new(&place, problem)
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError::new(&place, format!("line {line} is not valid TOML: {}", error.message().replace('\n', "; ")))
    })
}

fn parse(table: &Table, place: &str) -> Result<Config, ConfigError> {
    typed::parse(typed::to_json(table.clone())).map_err(|misfit| ConfigError::new(place, misfit.message()))
}

/// Whether a variable is a setting. Other `NETRA_` variables, such as the setup token, contain no `__`.
fn is_setting(name: &str) -> bool {
    name.strip_prefix("NETRA_").is_some_and(|rest| rest.contains("__"))
}

/// Sets a key from a variable, whose value is taken as TOML if that fits the key's type, otherwise as text.
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
        match parse(&attempt, name) {
            Ok(_) => return Ok(attempt),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| ConfigError::new(name, format!("`{section}` is not a table"))))
}
