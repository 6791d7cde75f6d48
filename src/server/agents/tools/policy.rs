//! Who must say yes to a tool, by patterns over its name.
//!
//! Promises: of the patterns that fit a name, the most specific decides: the name itself, then the pattern with the most
//! letters that are no `*`; where two are equally specific, the stricter. What a server says of its own tools
//! (`readOnlyHint` and its like) decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::Consent;

/// The key of the rule for every tool that no pattern fits.
const DEFAULT: &str = "default";
/// How many patterns a source may have.
const MAX_RULES: usize = 256;
/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 128;

/// What the `consent` table of a source says: patterns over tool names, `*` for any run of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentRules {
    default: Option<Consent>,
    /// The most specific first.
    rules: Vec<(String, Consent)>,
}

impl ConsentRules {
    /// What must happen before a tool is called; `otherwise` where nothing is said of it.
    #[must_use]
    pub fn of(&self, tool: &str, otherwise: Consent) -> Consent {
        let rule = self.rules.iter().find(|(pattern, _)| fits(pattern, tool));
        rule.map(|(_, consent)| *consent).or(self.default).unwrap_or(otherwise)
    }

    fn new(mut table: BTreeMap<String, Consent>) -> Result<Self, String> {
        if table.len() > MAX_RULES {
            return Err(format!("at most {MAX_RULES} patterns"));
        }
        if let Some(bad) = table.keys().find(|pattern| pattern.is_empty() || pattern.len() > MAX_PATTERN) {
            return Err(format!("`{bad}`: a pattern has 1 to {MAX_PATTERN} bytes"));
        }
        let default = table.remove(DEFAULT);
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

/// A name is more specific than any pattern; else what counts is how much of it is said.
fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.chars().filter(|letter| *letter != '*').count())
}

/// Whether a pattern fits a whole name.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where a part of the middle fits is as good as any later one.
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
    fn a_pattern_fits_a_whole_name() {
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
            assert_eq!(fits(pattern, name), expected, "`{pattern}` over `{name}`");
        }
    }

    /// The same by trying everything.
    fn plainly_fits(pattern: &str, name: &str) -> bool {
        match (pattern.split_at_checked(1), name.split_at_checked(1)) {
            (None, rest) => rest.is_none(),
            (Some(("*", pattern)), rest) => {
                plainly_fits(pattern, name) || rest.is_some_and(|(_, name)| plainly_fits(&format!("*{pattern}"), name))
            }
            (Some((letter, pattern)), Some((first, name))) => letter == first && plainly_fits(pattern, name),
            (Some(_), None) => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_fits_what_trying_everything_finds(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            proptest::prop_assert_eq!(fits(&pattern, &name), plainly_fits(&pattern, &name));
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
            assert_eq!(rules.of(tool, Consent::Ask), expected, "{tool}");
        }
    }

    #[test]
    fn what_nothing_is_said_of_falls_to_the_default_then_to_the_kind_of_source() {
        assert_eq!(rules("default = \"off\"").of("x", Consent::Ask), Consent::Off);
        assert_eq!(rules("y = \"off\"").of("x", Consent::Ask), Consent::Ask);
        assert_eq!(rules("").of("x", Consent::Automatic), Consent::Automatic);
    }

    #[test]
    fn a_rule_that_is_none_is_refused() {
        for text in ["read = \"always\"", "\"\" = \"ask\"", "read = 3"] {
            assert!(toml::from_str::<ConsentRules>(text).is_err(), "{text}");
        }
        let many: String = (0..=MAX_RULES).map(|n| format!("t{n} = \"ask\"\n")).collect();
        assert!(toml::from_str::<ConsentRules>(&many).is_err());
    }
}
