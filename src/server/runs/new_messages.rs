//! Messages that an agent reads during its run.

use tokio::sync::{mpsc, oneshot};

use super::AgentError;
use crate::protocol::UserMessage;

/// Where the runner sends the messages.
pub(super) type ReadRequest = oneshot::Sender<Vec<UserMessage>>;

/// Gives an agent the messages that were sent for it to read during its run; see [`SendMode::Steer`](crate::protocol::SendMode).
#[derive(Debug, Clone, Default)]
pub struct NewMessages {
    /// `None` without a runner: there are no messages.
    requests: Option<mpsc::Sender<ReadRequest>>,
}

impl NewMessages {
    /// The agent's end, and the runner's.
    pub(super) fn channel() -> (Self, mpsc::Receiver<ReadRequest>) {
        let (requests, receiver) = mpsc::channel(1);
        (Self { requests: Some(requests) }, receiver)
    }

    /// The messages that were sent since the last call, oldest first. From then on they are part of the run, after everything that the agent
    /// emitted before the call. If the store fails, they stay for the next call.
    ///
    /// # Errors
    /// [`AgentError::Stopped`] when the run was stopped: return it.
    pub(crate) async fn read(&self) -> Result<Vec<UserMessage>, AgentError> {
        let Some(requests) = &self.requests else { return Ok(Vec::new()) };
        let (request, messages) = oneshot::channel();
        requests.send(request).await.map_err(|_| AgentError::Stopped)?;
        messages.await.map_err(|_| AgentError::Stopped)
    }
}
