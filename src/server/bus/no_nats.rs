//! Replaces `nats.rs` in builds without the feature `nats`. [`run`] is never reached: `Config::check` refuses a bus that needs NATS.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Bus, Listener, Receivers};
use crate::protocol::Epoch;

pub(super) async fn run(_: &Bus, _: &str, _: &Epoch, _: Arc<dyn Listener>, _: Receivers, _: CancellationToken) {}
