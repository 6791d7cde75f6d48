//! What the sockets of this server share, and what each of them has.

use std::{fmt, sync::Arc};

use crate::{
    protocol::ConnectionId,
    server::{
        auth::{Auth, Identity},
        channel::Channels,
        commands::Commands,
        config::SocketConfig,
        connections::{ConnectionManager, Follower, Nodes},
    },
};

/// The parts of the server that sockets use.
pub struct Gateway {
    /// Who is connected here.
    pub manager: ConnectionManager,
    /// The other nodes.
    pub nodes: Nodes,
    /// The log.
    pub channels: Channels,
    /// Accounts and credentials.
    pub auth: Auth,
    /// What commands do.
    pub commands: Commands,
    /// The bounds.
    pub config: SocketConfig,
    /// This node's name, for `welcome`.
    pub node: String,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("node", &self.node).field("manager", &self.manager).finish_non_exhaustive()
    }
}

/// Whose connection it is, and what it may use. Shared with its commands that are under way.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) gateway: Arc<Gateway>,
    pub(super) identity: Identity,
    pub(super) id: ConnectionId,
    pub(super) follower: Follower,
}
