//! Values that nobody is shown: written in the configuration with references to variables, `Bearer ${TOKEN}`.

use std::fmt;

use serde::Deserialize;

/// What a reference begins with.
const OPEN: &str = "${";

/// A text with references to variables, or a secret as it is. It is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Secret {
    /// The secret itself, its references replaced by what `variables` answers.
    ///
    /// # Errors
    /// Which variable is not set, or which reference does not end. Never what a variable holds.
    pub fn resolve(&self, variables: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let (mut whole, mut rest) = (String::new(), self.0.as_str());
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, after) = after.split_once('}').ok_or("a reference `${` does not end with `}`")?;
            whole.push_str(before);
            whole.push_str(&variables(name).ok_or_else(|| format!("the variable {name} is not set"))?);
            rest = after;
        }
        whole.push_str(rest);
        Ok(whole)
    }

    /// The variables that it refers to.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.split(OPEN).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_nothing_is_printed() {
        let secret = Secret::from("Bearer ${TOKEN}-${PART}");
        let variables = |name: &str| (name == "TOKEN" || name == "PART").then(|| name.to_lowercase());
        assert_eq!(secret.resolve(variables), Ok("Bearer token-part".into()));
        assert_eq!(secret.references().collect::<Vec<_>>(), ["TOKEN", "PART"]);
        assert_eq!(secret.resolve(|_| None), Err("the variable TOKEN is not set".into()));
        assert!(Secret::from("a ${B").resolve(|_| None).expect_err("no end").contains("does not end"));
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
