//! The close codes of the socket, and whether a client reconnects after each.

/// The close codes that Netra sends and the standard ones that it handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client is done.
    Normal,
    /// 1001: the server or the page is going away.
    GoingAway,
    /// 1009: a frame was larger than allowed.
    TooLarge,
    /// 1012: the server restarts.
    Restarting,
    /// 4000: no frame within the heartbeat's timeout.
    HeartbeatMissed,
    /// 4001: the client read too slowly; it resumes from its cursors.
    TooSlow,
    /// 4002: too many commands; reconnect after the `retry_after_ms` of the close reason.
    Flooding,
    /// 4400: the client does not speak the protocol.
    NotProtocol,
    /// 4401: the session ended or was revoked.
    SessionEnded,
    /// 4403: disconnected by an administrator.
    Disconnected,
    /// 4409: more connections than allowed, and this one was the oldest.
    TooManyConnections,
    /// Any other code.
    Other(u16),
}

/// The numbers of the named codes.
const CODES: [(u16, CloseCode); 11] = [
    (1000, CloseCode::Normal),
    (1001, CloseCode::GoingAway),
    (1009, CloseCode::TooLarge),
    (1012, CloseCode::Restarting),
    (4000, CloseCode::HeartbeatMissed),
    (4001, CloseCode::TooSlow),
    (4002, CloseCode::Flooding),
    (4400, CloseCode::NotProtocol),
    (4401, CloseCode::SessionEnded),
    (4403, CloseCode::Disconnected),
    (4409, CloseCode::TooManyConnections),
];

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Other(code) => code,
            named => CODES.iter().find(|(_, known)| *known == named).map_or(1006, |(code, _)| *code),
        }
    }

    /// Whether a client reconnects by itself: below 4400, except after 1000 and 1009.
    #[must_use]
    pub fn reconnects(self) -> bool {
        !matches!(self, Self::Normal | Self::TooLarge) && !(4400..5000).contains(&self.code())
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        CODES.iter().find(|(number, _)| *number == code).map_or(Self::Other(code), |(_, named)| *named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_convert_both_ways_and_say_whether_to_reconnect() {
        for (number, code) in CODES {
            assert_eq!((CloseCode::from(number), code.code()), (code, number));
        }
        let reconnecting: Vec<u16> = CODES.iter().filter(|(_, code)| code.reconnects()).map(|(n, _)| *n).collect();
        assert_eq!(reconnecting, [1001, 1012, 4000, 4001, 4002]);
        assert!(CloseCode::from(1006).reconnects(), "an unknown code counts as a lost connection");
        assert!(!CloseCode::from(4499).reconnects());
    }
}
