//! What all WebSocket connections of this server share, and the context of each connection.

use std::{fmt, sync::Arc};

use crate::{
    protocol::{ConnectionId, Push, Welcome, WelcomeUser},
    server::{
        auth::{Auth, Identity},
        channel::Channels,
        clock::now_ms,
        commands::Commands,
        config::SocketConfig,
        connections::{ConnectionManager, Follower, Nodes},
    },
};

/// The parts of the server that sockets use.
pub struct Gateway {
    /// The connections of this node.
    pub manager: ConnectionManager,
    /// This node and the others.
    pub nodes: Nodes,
    /// The log.
    pub channels: Channels,
    /// Accounts and credentials.
    pub auth: Auth,
    /// Executes commands.
    pub commands: Commands,
    /// The limits.
    pub config: SocketConfig,
    /// This node's name, for `welcome`.
    pub node: String,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("node", &self.node).field("manager", &self.manager).finish_non_exhaustive()
    }
}

/// A connection's identity and the parts of the server that it uses. Shared with its running command.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    pub(super) gateway: Arc<Gateway>,
    pub(super) identity: Identity,
    pub(super) id: ConnectionId,
    pub(super) follower: Follower,
    /// Whether the socket speaks `netra.v1.compact`.
    pub(super) is_compact: bool,
}

impl ConnectionContext {
    /// The first message of a connection.
    pub(super) fn welcome(&self) -> Push {
        let Self { gateway, identity, id, .. } = self;
        let Identity { user, expires_at, .. } = identity;
        Push::Welcome(Welcome {
            connection_id: *id,
            user: WelcomeUser { id: user.id, name: user.name.clone(), role: user.role },
            node: gateway.node.clone(),
            server_time: now_ms(),
            heartbeat_ms: gateway.config.heartbeat_ms,
            max_frame_bytes: gateway.config.max_frame_bytes,
            expires_at: *expires_at,
        })
    }
}
