//! The spellings of a model's name, and the snapshot at its end.

/// Words at the end of a name that set how long a model thinks, not what a token costs.
const EFFORTS: &[&str] = &["-thinking", "-minimal", "-low", "-medium", "-high", "-xhigh"];

/// A name as it is, and as the table may spell it.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let name = name.strip_suffix("[1m]").unwrap_or(name);
    let mut found = vec![name.to_owned()];
    let last = name.rsplit('/').next().unwrap_or(name);
    let reasons = last.contains("claude") || last.starts_with("gpt-") || last.starts_with(['o']);
    let mut short = name;
    while let Some(rest) = EFFORTS.iter().find_map(|effort| short.strip_suffix(effort)).filter(|_| reasons) {
        short = rest;
        found.push(short.to_owned());
    }
    if let Some(at) = short.find("claude-") {
        let (before, claude) = short.split_at(at);
        found.extend(claude_spellings(claude).into_iter().map(|claude| format!("{before}{claude}")));
    }
    found
}

/// The two orders of Claude's names, with dashes: `claude-sonnet-4-5` and `claude-4-5-sonnet`.
fn claude_spellings(name: &str) -> Vec<String> {
    let (mut family, mut version, mut rest) = (None, Vec::new(), String::new());
    let (words, snapshot) =
        name.split_once('@').map_or((name, String::new()), |(name, date)| (name, format!("@{date}")));
    for word in words.split(['-', '.']).skip(1) {
        if ["opus", "sonnet", "haiku", "fable", "mythos"].contains(&word) && family.is_none() {
            family = Some(word);
        } else if word.len() <= 2 && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) && rest.is_empty() {
            version.push(word);
        } else if word != "latest" && !EFFORTS.contains(&format!("-{word}").as_str()) {
            rest = format!("{rest}-{word}");
        }
    }
    let (Some(family), version) = (family, version.join("-")) else { return Vec::new() };
    if version.is_empty() {
        return Vec::new();
    }
    vec![format!("claude-{family}-{version}{rest}{snapshot}"), format!("claude-{version}-{family}{rest}{snapshot}")]
}

/// The end of a name that tells apart versions of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Snapshot {
    /// A date of year, month and day, maybe with a version: `-2024-08-06`, `@20250929`, `-20250929-v1:0`.
    Date,
    /// Another number: `-0613`, `-001`, `-08-2024`.
    Short,
    /// `-v1:0`, `:0`, `@default`.
    Version,
}

/// Splits a name before its snapshot: `gpt-4o` of `gpt-4o-2024-08-06`.
pub(super) fn split_snapshot(name: &str) -> Option<(&str, Snapshot)> {
    let mut starts = name.char_indices().filter(|(_, c)| matches!(c, '-' | '@' | ':')).map(|(at, _)| at);
    starts.find_map(|at| Some((&name[..at], snapshot(&name[at..])?)))
}

/// What kind of snapshot the end of a name is.
pub(super) fn snapshot(end: &str) -> Option<Snapshot> {
    let is = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(b, p)| if p == b'0' { b.is_ascii_digit() } else { b == p })
    };
    let is_version = |text: &str| ["v0", "v0:0", "v00"].iter().any(|pattern| is(text, pattern));
    if is(end, ":0") {
        return Some(Snapshot::Version);
    }
    let text = end.strip_prefix(['-', '@'])?;
    if is_version(text) || text == "default" {
        return Some(Snapshot::Version);
    }
    let (date, _) = text.rsplit_once('-').filter(|(_, version)| is_version(version)).unwrap_or((text, ""));
    if ["00000000", "0000-00-00"].iter().any(|pattern| is(date, pattern)) {
        return Some(Snapshot::Date);
    }
    ["0000", "000", "00-0000"].iter().any(|pattern| is(date, pattern)).then_some(Snapshot::Short)
}
