//! How a connection begins, is lost and comes back: the machine's phases.

use serde::Deserialize;

use super::{Discovery, Machine, News, Output, Phase};
use crate::protocol::{CloseCode, ErrorBody, ErrorCode, PROTOCOL, Ping};

/// The longest wait that a server may ask for before the next attempt, in milliseconds.
const MOST_WAIT_MS: u64 = 5 * 60_000;
/// What a browser reports for a connection that ended without a close frame.
const LOST: CloseCode = CloseCode::Other(1006);

impl Machine {
    pub(super) fn connect(&mut self) {
        let since = self.now;
        match &self.discovery {
            None => {
                self.phase = Phase::Discovering { since };
                self.out.push_back(Output::Discover);
            }
            Some(discovery) => {
                self.out.push_back(Output::Open(discovery.url.clone()));
                self.phase = Phase::Opening { since };
            }
        }
    }

    pub(super) fn discovered(&mut self, answer: Result<Discovery, String>) {
        if !matches!(self.phase, Phase::Discovering { .. }) {
            return;
        }
        match answer {
            Ok(found) if !found.signed_in => self.phase = Phase::Out,
            Ok(found) if found.protocol != PROTOCOL => self.stop("The server speaks a newer version; reload.", false),
            Ok(found) => {
                self.unreachable = false;
                self.discovery = Some(found);
                self.connect();
            }
            Err(why) => {
                self.unreachable = true;
                self.tell(News::Fault(why));
                self.retry(None, None);
            }
        }
    }

    pub(super) fn sign_out(&mut self) {
        if matches!(self.phase, Phase::Live(_) | Phase::Opening { .. }) {
            self.out.push_back(Output::Close(CloseCode::Normal));
        }
        self.phase = Phase::Out;
        self.signed_in = false;
        self.discovery = None;
        self.backoff.proved();
        self.follows.clear();
        self.give_up(&ErrorBody::new(ErrorCode::Unavailable, "signed out before it was answered"));
    }

    pub(super) fn woke(&mut self) {
        match &mut self.phase {
            Phase::Live(live) => {
                let unasked = live.heartbeat.doubt(self.now);
                if unasked {
                    self.send(&Ping {}.into());
                }
            }
            Phase::Waiting { until, earliest } => *until = (*earliest).min(*until).max(self.now),
            _ => {}
        }
    }

    /// Gives the present attempt or connection up and waits for the next.
    pub(super) fn abandon(&mut self, code: CloseCode) {
        match self.phase {
            Phase::Live(_) | Phase::Opening { .. } => {
                self.out.push_back(Output::Close(code));
                self.closed(CloseCode::HeartbeatMissed, "");
            }
            Phase::Discovering { .. } => self.retry(None, None),
            _ => {}
        }
    }

    pub(super) fn closed(&mut self, code: CloseCode, reason: &str) {
        let advertised = match &self.phase {
            Phase::Live(live) => {
                if code == LOST {
                    self.idle_closes.lost(self.now - live.last_traffic);
                }
                live.reconnect_in_ms
            }
            Phase::Opening { .. } => {
                self.failed_handshakes = self.failed_handshakes.saturating_add(1);
                // Look whether the session is over before trying again.
                self.discovery = None;
                None
            }
            _ => return,
        };
        let sent = self.outbox.in_flight().is_some();
        let unanswered = self.outbox.lost();
        self.answer(unanswered);
        self.follows.lost();
        match code {
            code if code.reconnects() => self.retry(advertised, retry_after_ms(reason)),
            CloseCode::SessionEnded => {
                self.discovery = None;
                self.phase = Phase::Out;
            }
            CloseCode::TooLarge => {
                let large = ErrorBody::new(ErrorCode::TooLarge, "the server found it too large");
                let refused = sent.then(|| self.outbox.take(Err(large))).flatten();
                self.answer(refused);
                self.stop("Something sent was too large.", true);
            }
            CloseCode::Disconnected => self.stop("An administrator closed this connection.", false),
            CloseCode::TooManyConnections => self.stop("This page was open in too many places.", true),
            CloseCode::NotProtocol => self.stop("This page does not fit the server; reload it.", false),
            _ => self.stop("The server closed the connection.", true),
        }
    }

    pub(super) fn stop(&mut self, reason: &str, can_reconnect: bool) {
        self.discovery = None;
        self.phase = Phase::Closed { reason: reason.to_owned(), can_reconnect };
        if !can_reconnect {
            self.give_up(&ErrorBody::new(ErrorCode::Unavailable, reason));
        }
    }

    /// Waits for the next attempt: as long as advertised, else at random; never less than the server asked for.
    pub(super) fn retry(&mut self, advertised: Option<u64>, at_least: Option<u64>) {
        let jitter = self.backoff.failed();
        let floor = at_least.or(advertised).unwrap_or(0).min(MOST_WAIT_MS);
        let wait = if advertised.is_some() && at_least.is_none() { floor } else { floor + jitter };
        let at = |wait| self.now.saturating_add_unsigned(wait);
        self.phase = Phase::Waiting { until: at(wait), earliest: at(floor) };
    }
}

/// The wait that a close reason asks for: `{"retry_after_ms": n}`.
fn retry_after_ms(reason: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Reason {
        retry_after_ms: u64,
    }
    serde_json::from_str::<Reason>(reason).ok().map(|reason| reason.retry_after_ms)
}
