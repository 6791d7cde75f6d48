//! `[images]`: images of other hosts in answers.

use serde::Deserialize;

/// `[images]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesConfig {
    /// Whether the server requests an image of another host when a user asks to see it.
    pub load: bool,
    /// Whether such hosts may be this one, or in private networks.
    pub allow_private_network: bool,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        Self { load: true, allow_private_network: false }
    }
}
