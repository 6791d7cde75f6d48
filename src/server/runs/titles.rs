//! Asks the agent of a thread's first finished run for a title, after the run and without delaying it.
//!
//! Best effort: if the agent fails, or the server stops meanwhile, the thread keeps the title that was made of its first message.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentError, Agents, Exchange, TitleAnswer};
use crate::{
    protocol::{Item, RunId, agui::TextRole},
    server::{
        channel::Channels,
        error::Result,
        graphemes::cut,
        threads::{self, NewRun},
        usage::Allowance,
    },
    thread::{NodeBody, ThreadView},
};

/// How many titles are asked for at once on this node; other threads are asked about after their next run.
const MAX_REQUESTS: usize = 8;
/// The most characters of the message, and of the answer, that the agent gets.
const MAX_TEXT_CHARS: usize = 2_000;

/// Requests for titles; clones share their limit.
#[derive(Debug, Clone)]
pub(super) struct Titles {
    permits: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Titles {
    /// Requests end when `stopping` is cancelled.
    pub(super) fn new(stopping: &CancellationToken) -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_REQUESTS)), stopping: stopping.clone() }
    }

    /// Has a run's agent make a title of the run's thread, in a task of its own, if the thread needs one. `view`: the thread after the run.
    pub(super) fn request(&self, run: &NewRun, agents: &Arc<Agents>, channels: &Channels, view: &ThreadView) {
        let agent = agents.get(&run.agent).and_then(|known| known.agent()).filter(|agent| agent.makes_titles());
        let is_temporary = view.info.as_ref().is_some_and(|info| info.temporary.is_some());
        let Some(agent) = agent.filter(|_| !is_temporary) else { return };
        let Some(exchange) = exchange(view, run.run_id) else { return };
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return tracing::debug!(thread = %run.thread_id, "too many titles are being made; this one is made after the next run");
        };
        let request =
            TitleRequest { run: run.clone(), agent, agents: agents.clone(), channels: channels.clone(), exchange };
        let stopping = self.stopping.clone();
        tokio::spawn(async move {
            let _permit = permit;
            if let Some(Err(error)) = stopping.run_until_cancelled(request.make()).await {
                tracing::debug!(%error, "the title of a thread could not be stored");
            }
        });
    }
}

struct TitleRequest {
    run: NewRun,
    agent: Arc<dyn Agent>,
    agents: Arc<Agents>,
    channels: Channels,
    exchange: Exchange,
}

impl TitleRequest {
    async fn make(self) -> Result<()> {
        let Self { run, agent, agents, channels, exchange } = self;
        if let Err(refused) = agents.allowance().admit(run.requested_by).await {
            tracing::debug!(thread = %run.thread_id, refused, "no title is made");
            return Ok(());
        }
        if !threads::claim_title_request(&channels, run.thread_id, &run.agent).await? {
            return Ok(());
        }
        let (answer, usage, metadata) = match agent.title(&exchange).await {
            Ok(TitleAnswer { text, usage, metadata }) => (Some(text), usage, metadata),
            Err(error) => {
                tracing::debug!(thread = %run.thread_id, agent = run.agent, %error, "an agent made no title");
                match error {
                    AgentError::Failed { usage, metadata, .. } => (None, usage, metadata),
                    _ => return Ok(()),
                }
            }
        };
        let place = (run.requested_by, run.thread_id, run.agent.as_str());
        let is_set =
            threads::store_model_title(&channels, place, answer.as_deref(), (&usage, metadata.as_ref())).await?;
        tracing::debug!(thread = %run.thread_id, is_set, "an agent was asked for a title");
        Ok(())
    }
}

/// The thread's first message and the answer of a run; `None` if there is no answer.
fn exchange(view: &ThreadView, run: RunId) -> Option<Exchange> {
    let first = view.items.iter().find_map(|item| match item {
        Item::Message(first) => Some(&first.message),
        Item::Run(_) => None,
    })?;
    let names = first.attachments.iter().map(|file| file.name.as_str());
    let message = std::iter::once(cut(&first.content, MAX_TEXT_CHARS)).chain(names).collect::<Vec<_>>().join("\n");
    let texts = view.run(run)?.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } => Some(text.trim()),
        _ => None,
    });
    let answer = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
    let shortened = |text: &str| cut(text.trim(), MAX_TEXT_CHARS).to_owned();
    (!answer.is_empty()).then(|| Exchange { message: shortened(&message), answer: shortened(&answer) })
}
