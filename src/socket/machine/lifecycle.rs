//! The machine's phases: how a connection is opened, lost and opened again.

use serde::Deserialize;

use super::{Discovery, Event, Machine, Output, Phase};
use crate::protocol::{CloseCode, ErrorBody, ErrorCode, PROTOCOL, Ping, json};

/// The longest wait that a server may ask for before the next attempt, in milliseconds.
const MAX_RETRY_AFTER_MS: u64 = 5 * 60_000;
/// The code that a browser reports for a connection that ended without a close frame.
const ABNORMAL_CLOSURE: CloseCode = CloseCode::Other(1006);

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

    pub(super) fn on_discovered(&mut self, result: Result<Discovery, String>) {
        if !matches!(self.phase, Phase::Discovering { .. }) {
            return;
        }
        match result {
            Ok(discovery) if !discovery.signed_in => self.phase = Phase::SignedOut,
            Ok(discovery) if discovery.protocol != PROTOCOL => {
                self.stay_closed("The server uses a newer version of the protocol; reload this page.", false);
            }
            Ok(discovery) => {
                self.unreachable = false;
                self.discovery = Some(discovery);
                self.connect();
            }
            Err(error) => {
                self.unreachable = true;
                self.notify(Event::Fault(error));
                self.schedule_retry(None, None);
            }
        }
    }

    pub(super) fn sign_out(&mut self) {
        if matches!(self.phase, Phase::Connected(_) | Phase::Opening { .. }) {
            self.out.push_back(Output::Close(CloseCode::Normal));
        }
        self.phase = Phase::SignedOut;
        self.signed_in = false;
        self.discovery = None;
        self.backoff.reset();
        self.subscriptions.clear();
        self.fail_commands(&ErrorBody::new(ErrorCode::Unavailable, "signed out before the server replied"));
    }

    /// The connection may have died unnoticed: pings the server, or ends the wait for the next attempt.
    pub(super) fn check_connection(&mut self) {
        match &mut self.phase {
            Phase::Connected(connection) => {
                let needs_ping = connection.heartbeat.probe(self.now);
                if needs_ping {
                    self.send(&Ping {}.into());
                }
            }
            Phase::Waiting { until, earliest } => *until = (*earliest).min(*until).max(self.now),
            _ => {}
        }
    }

    /// Ends the current connection or attempt and schedules the next.
    pub(super) fn abandon(&mut self, code: CloseCode) {
        match self.phase {
            Phase::Connected(_) | Phase::Opening { .. } => {
                self.out.push_back(Output::Close(code));
                self.on_closed(CloseCode::HeartbeatMissed, "");
            }
            Phase::Discovering { .. } => self.schedule_retry(None, None),
            _ => {}
        }
    }

    pub(super) fn on_closed(&mut self, code: CloseCode, reason: &str) {
        let reconnect_in_ms = match &self.phase {
            Phase::Connected(connection) => {
                if code == ABNORMAL_CLOSURE {
                    self.idle_closes.record_loss(self.now - connection.last_traffic);
                }
                connection.reconnect_in_ms
            }
            Phase::Opening { .. } => {
                self.failed_handshakes = self.failed_handshakes.saturating_add(1);
                // Discover again before the next attempt: the session may have ended.
                self.discovery = None;
                None
            }
            _ => return,
        };
        let was_in_flight = self.outbox.in_flight().is_some();
        let failed = self.outbox.on_connection_lost();
        self.finish_command(failed);
        self.subscriptions.on_connection_lost();
        match code {
            code if code.reconnects() => self.schedule_retry(reconnect_in_ms, retry_after_ms(reason)),
            CloseCode::SessionEnded => {
                self.discovery = None;
                self.phase = Phase::SignedOut;
            }
            CloseCode::TooLarge => {
                let error = ErrorBody::new(ErrorCode::TooLarge, "the command is larger than the server accepts");
                let finished = if was_in_flight { self.outbox.finish_first(Err(error)) } else { None };
                self.finish_command(finished);
                self.stay_closed("A message was larger than the server accepts.", true);
            }
            CloseCode::Disconnected => self.stay_closed("An administrator closed this connection.", false),
            CloseCode::TooManyConnections => self.stay_closed("This page was open in too many places.", true),
            CloseCode::NotProtocol => self.stay_closed(
                "The server does not accept how this client connects; reload the page, or check the address.",
                false,
            ),
            _ => self.stay_closed("The server closed the connection.", true),
        }
    }

    /// Stays closed until [`Input::Reconnect`](super::Input::Reconnect); without `can_reconnect`, queued commands fail.
    fn stay_closed(&mut self, reason: &str, can_reconnect: bool) {
        self.discovery = None;
        self.phase = Phase::Closed { reason: reason.to_owned(), can_reconnect };
        if !can_reconnect {
            self.fail_commands(&ErrorBody::new(ErrorCode::Unavailable, reason));
        }
    }

    /// Waits for the next attempt. `reconnect_in_ms`: the exact wait that `draining` asked for. `at_least_ms`: the minimum that the
    /// close reason asked for. A random wait is added unless only `reconnect_in_ms` is given.
    fn schedule_retry(&mut self, reconnect_in_ms: Option<u64>, at_least_ms: Option<u64>) {
        let jitter = self.backoff.next_wait();
        let minimum = at_least_ms.or(reconnect_in_ms).unwrap_or(0).min(MAX_RETRY_AFTER_MS);
        let wait = if reconnect_in_ms.is_some() && at_least_ms.is_none() { minimum } else { minimum + jitter };
        let after = |wait| self.now.saturating_add_unsigned(wait);
        self.phase = Phase::Waiting { until: after(wait), earliest: after(minimum) };
    }
}

/// The wait that a close reason asks for: `{"retry_after_ms": n}`.
fn retry_after_ms(reason: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Reason {
        retry_after_ms: u64,
    }
    json::from_str::<Reason>(reason).ok().map(|reason| reason.retry_after_ms)
}
