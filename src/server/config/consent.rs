//! The consent that a tool needs before it is called, by patterns over tool names.
//!
//! Of the patterns that match a name, the most specific decides: the exact name, then the pattern with the most characters
//! other than `*`; of equally specific ones the stricter. What a server declares of its own tools (`readOnlyHint` and the
//! like) is ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use crate::protocol::http::Consent;

/// The key of the rule for every tool that no pattern matches.
const DEFAULT_KEY: &str = "default";
/// The most patterns of one source.
const MAX_RULES: usize = 256;
/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 128;

/// The `consent` table of a source of tools: patterns over tool names, in which `*` matches any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentRules {
    default: Option<Consent>,
    /// The most specific first.
    rules: Vec<(String, Consent)>,
}

impl ConsentRules {
    /// The consent that a tool needs; `default` if no rule covers it.
    #[must_use]
    pub fn for_tool(&self, tool: &str, default: Consent) -> Consent {
        let rule = self.rules.iter().find(|(pattern, _)| matches(pattern, tool));
        rule.map(|(_, consent)| *consent).or(self.default).unwrap_or(default)
    }

    fn new(mut table: BTreeMap<String, Consent>) -> Result<Self, String> {
        if table.len() > MAX_RULES {
            return Err(format!("at most {MAX_RULES} patterns"));
        }
        if let Some(bad) = table.keys().find(|pattern| pattern.is_empty() || pattern.len() > MAX_PATTERN_BYTES) {
            return Err(format!("`{bad}`: a pattern has 1 to {MAX_PATTERN_BYTES} bytes"));
        }
        let default = table.remove(DEFAULT_KEY);
        let mut rules: Vec<_> = table.into_iter().collect();
        rules.sort_by_key(|(pattern, consent)| std::cmp::Reverse((specificity(pattern), *consent)));
        Ok(Self { default, rules })
    }
}

impl<'de> Deserialize<'de> for ConsentRules {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(BTreeMap::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// A sort key: an exact name is more specific than any pattern, a pattern with more literal characters than one with fewer.
fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.chars().filter(|letter| *letter != '*').count())
}

/// Whether a pattern matches a whole name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where a part of the middle matches is as good as any later one.
    for part in middle.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> ConsentRules {
        toml::from_str(text).expect("rules")
    }

    #[test]
    fn a_pattern_matches_a_whole_name() {
        let table = [
            ("echo", "echo", true),
            ("echo", "echoes", false),
            ("*", "", true),
            ("*", "anything", true),
            ("read_*", "read_", true),
            ("read_*", "read_file", true),
            ("read_*", "thread_x", false),
            ("*_file", "read_file", true),
            ("*_file", "read_files", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("Read", "read", false),
            ("*é*", "né", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "`{pattern}` over `{name}`");
        }
    }

    /// The same by backtracking over every possibility.
    fn matches_by_backtracking(pattern: &str, name: &str) -> bool {
        match (pattern.split_at_checked(1), name.split_at_checked(1)) {
            (None, rest) => rest.is_none(),
            (Some(("*", pattern)), rest) => {
                matches_by_backtracking(pattern, name)
                    || rest.is_some_and(|(_, name)| matches_by_backtracking(&format!("*{pattern}"), name))
            }
            (Some((letter, pattern)), Some((first, name))) => letter == first && matches_by_backtracking(pattern, name),
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn matching_agrees_with_backtracking(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            proptest::prop_assert_eq!(matches(&pattern, &name), matches_by_backtracking(&pattern, &name));
        }
    }

    #[test]
    fn the_most_specific_pattern_decides_and_of_equals_the_stricter() {
        let rules = rules(
            "default = \"automatic\"\n\"*\" = \"ask\"\n\"read_*\" = \"automatic\"\nread_mail = \"off\"\n\
             \"*_secret\" = \"ask\"\n\"delete_*\" = \"off\"\n\"ab*\" = \"automatic\"\n\"*bc\" = \"off\"\n",
        );
        let table = [
            ("write", Consent::Ask),
            ("read_file", Consent::Automatic),
            ("read_mail", Consent::Off),
            ("read_secret", Consent::Ask),
            ("delete_secret", Consent::Off),
            ("delete_all", Consent::Off),
            ("abc", Consent::Off),
        ];
        for (tool, expected) in table {
            assert_eq!(rules.for_tool(tool, Consent::Ask), expected, "{tool}");
        }
    }

    #[test]
    fn a_tool_without_a_rule_gets_the_default_rule_then_the_default_of_its_source() {
        assert_eq!(rules("default = \"off\"").for_tool("x", Consent::Ask), Consent::Off);
        assert_eq!(rules("y = \"off\"").for_tool("x", Consent::Ask), Consent::Ask);
        assert_eq!(rules("").for_tool("x", Consent::Automatic), Consent::Automatic);
    }

    #[test]
    fn an_invalid_rule_is_refused() {
        for text in ["read = \"always\"", "\"\" = \"ask\"", "read = 3"] {
            assert!(toml::from_str::<ConsentRules>(text).is_err(), "{text}");
        }
        let many: String = (0..=MAX_RULES).map(|n| format!("t{n} = \"ask\"\n")).collect();
        assert!(toml::from_str::<ConsentRules>(&many).is_err());
    }
}
