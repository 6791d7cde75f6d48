//! A page's initial data. The server reads it before it renders the page and embeds it in the HTML; the browser reads it from
//! there before it hydrates. Both therefore render the same, and the socket continues from the positions in it.

use serde::{Deserialize, Serialize};

use crate::{
    protocol::{
        ErrorBody,
        http::{AgentInfo, Config},
        json,
    },
    socket::context::Seed,
};

/// A page's initial data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// The response to `GET /api/config`.
    #[serde(deserialize_with = "json::by_value")]
    pub config: Option<Config>,
    /// The agents that the user may ask.
    #[serde(deserialize_with = "json::by_value")]
    pub agents: Vec<AgentInfo>,
    /// The user, their feed and the page's thread.
    #[serde(deserialize_with = "json::by_value")]
    pub seed: Seed,
    /// Why the page's thread cannot be shown; `None` if it can.
    #[serde(deserialize_with = "json::by_value")]
    pub refused: Option<ErrorBody>,
}
