//! Why a socket was closed, and what its client does next.

/// Every close code that Netra sends, and the standard ones it meets.
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
    /// 4000: no sign of life within the heartbeat's time.
    HeartbeatMissed,
    /// 4001: the client read too slowly; it resumes from its cursors.
    TooSlow,
    /// 4002: too many commands; come back after `retry_after_ms` (the close reason carries it).
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

/// Code and variant, both ways.
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

    /// Whether a client comes back by itself: yes below 4400, except after 1000 and 1009.
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
    fn every_code_reads_back_and_says_whether_to_return() {
        for (number, code) in CODES {
            assert_eq!((CloseCode::from(number), code.code()), (code, number));
        }
        let returning: Vec<u16> = CODES.iter().filter(|(_, code)| code.reconnects()).map(|(n, _)| *n).collect();
        assert_eq!(returning, [1001, 1012, 4000, 4001, 4002]);
        assert!(CloseCode::from(1006).reconnects(), "an unknown close is a lost connection");
        assert!(!CloseCode::from(4499).reconnects());
    }
}
