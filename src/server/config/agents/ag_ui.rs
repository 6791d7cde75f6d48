//! An AG-UI endpoint, as configured.

use serde::Deserialize;

/// An AG-UI endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgUiConfig {}
