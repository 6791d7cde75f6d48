//! What a page begins with: read on the server before it renders, sent inside the HTML, read again by the browser before
//! it hydrates. So both sides render the same, and the socket goes on from there.

use serde::{Deserialize, Serialize};

use crate::{
    protocol::{
        ErrorBody,
        http::{AgentInfo, Config},
    },
    socket::context::Seed,
};

/// What a page begins with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Discovery, as `GET /api/config` answers it.
    pub config: Option<Config>,
    /// The agents the person may talk to.
    pub agents: Vec<AgentInfo>,
    /// The person and their channels.
    pub seed: Seed,
    /// Why the page's thread cannot be shown, where it cannot.
    pub refused: Option<ErrorBody>,
}
