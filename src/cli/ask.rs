//! `netra ask`: a question from the terminal. What the agents do is told on standard error as it happens; the report comes
//! on standard output. Exit 0 when the run finished, 1 when it did not, 2 when it could not be asked.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::de::DeserializeOwned;
use tokio::{fs::File, sync::mpsc};
use tokio_util::io::ReaderStream;

use super::{Failure, ServerArgs, password, say};
use crate::{
    protocol::{
        ChannelName, CreateThread, Entry, ErrorBody, ErrorCode, FileId, RunId, SendMessage, Snapshot, ThreadId,
        agui::TextRole,
        http::{AccessToken, Config, Problem, SignIn, Uploaded},
    },
    socket::{
        machine::Status,
        native::{Client, ClientConfig, Update},
    },
    text::escape_invisible,
    thread::{Node, NodeBody, RunState, RunView, ThreadView},
};

/// How long the server may be silent in an HTTP call.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct AskArgs {
    /// The question
    question: String,
    /// A usage log to attach: CSV or JSON Lines
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    at: ServerArgs,
    /// Ask in this thread instead of a new one
    #[arg(long, value_name = "ID")]
    thread: Option<ThreadId>,
    /// The agent that shall answer; without this the server's default
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

pub(super) async fn run(args: AskArgs) -> Result<(), Failure> {
    let http = Http::new(&args.at.server)?;
    let token = match (args.at.token, args.at.email) {
        (Some(token), _) => token,
        (None, Some(email)) => {
            let body = SignIn { email, password: password(args.at.password_stdin)? };
            let answer: AccessToken = answer(http.client.post(http.url("/api/auth/token")).json(&body)).await?;
            answer.access_token
        }
        (None, None) => return Err(Failure::Unasked("who asks? give --token (or NETRA_TOKEN) or --email".into())),
    };
    let config: Config = answer(http.client.get(http.url("/api/config"))).await?;
    let client = Client::connect(ClientConfig::bearer(config.socket.url, &token));

    let asked = ask(&client, &http, &token, args.question, args.file, args.thread, args.agent);
    let (thread_id, run_id) = tokio::select! {
        // A connection that ends for good says more than the commands that fail with it.
        biased;
        why = closed(&client) => return Err(why),
        asked = asked => asked?,
    };
    let updates = client.follow(ChannelName::Thread(thread_id), None).await;
    let ended = tokio::select! {
        ended = watch(updates, run_id) => ended?,
        why = closed(&client) => return Err(why),
    };
    match ended.state {
        RunState::Finished => say(&report(&ended)),
        RunState::Failed { message, .. } => Err(Failure::Failed(message)),
        RunState::Cancelled => Err(Failure::Failed("the run was stopped".into())),
        RunState::Interrupted { .. } => {
            Err(Failure::Failed("the run waits for a person; answer it in the page".into()))
        }
        RunState::Waiting | RunState::Running => Err(Failure::Failed("the run did not end".into())),
    }
}

/// Makes the thread, uploads the file, says the question.
async fn ask(
    client: &Client,
    http: &Http,
    token: &str,
    text: String,
    file: Option<PathBuf>,
    thread: Option<ThreadId>,
    agent: Option<String>,
) -> Result<(ThreadId, RunId), Failure> {
    let thread_id = thread.unwrap_or_else(ThreadId::new);
    if thread.is_none() {
        let create = CreateThread { thread_id, title: None, agent: agent.clone() };
        client.send(create).await.map_err(refused)?;
    }
    let mut attachments = Vec::new();
    if let Some(file) = file {
        attachments.push(http.upload(token, thread_id, file).await?);
    }
    let message = SendMessage { agent, attachments, ..SendMessage::new(thread_id, text) };
    let accepted = client.send(message).await.map_err(refused)?;
    Ok((thread_id, accepted.run_id))
}

/// Follows the run to its end, telling what happens in it.
async fn watch(mut updates: mpsc::Receiver<Update>, run_id: RunId) -> Result<RunView, Failure> {
    let mut thread = ThreadView::default();
    let mut told = 0;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Snapshot { snapshot: Snapshot::Thread(view), .. } => thread = view,
            Update::Entry { at, entry: Entry::Thread(entry), .. } => thread.apply(at, entry),
            Update::Refused(error) => return Err(refused(error)),
            Update::Snapshot { .. } | Update::Entry { .. } => {}
        }
        let Some(run) = thread.run(run_id) else { continue };
        for node in run.nodes.iter().skip(told) {
            tell(run, node);
        }
        told = run.nodes.len();
        if run.state.is_over() {
            return Ok(run.clone());
        }
    }
    Err(Failure::Unasked("the connection is closed".into()))
}

/// A line for what began.
fn tell(run: &RunView, node: &Node) {
    let indent = "  ".repeat(depth(run, node));
    match &node.body {
        NodeBody::Subagent { name, description, .. } => {
            let description =
                description.as_deref().map(|text| format!(": {}", escape_invisible(text))).unwrap_or_default();
            eprintln!("{indent}{}{description}", escape_invisible(name));
        }
        NodeBody::Step => eprintln!("{indent}- {}", escape_invisible(&node.id)),
        NodeBody::Tool { name, .. } => eprintln!("{indent}> {}", escape_invisible(name)),
        _ => {}
    }
}

/// How many sub-agents a node lies within.
fn depth(run: &RunView, node: &Node) -> usize {
    let owner = |of: &str| run.nodes.iter().find(|n| n.id == of && matches!(n.body, NodeBody::Subagent { .. }));
    let up = |within: &Option<String>| within.as_deref().and_then(owner);
    // Bounded: an agent that names itself as its own parent is shown somewhere, not followed forever.
    std::iter::successors(up(&node.within), |owner| up(&owner.within)).take(8).count()
}

/// What the run says in the end: the last sub-agent that spoke (the report's writer), and the run itself.
fn report(run: &RunView) -> String {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } if !text.is_empty() => {
            Some((node.within.as_deref(), text.trim_end()))
        }
        _ => None,
    });
    let last = texts.clone().filter_map(|(within, _)| within).next_back();
    let said: Vec<&str> =
        texts.filter(|(within, _)| within.is_none() || *within == last).map(|(_, text)| text).collect();
    said.join("\n\n")
}

/// Waits until the connection is closed for good; tells meanwhile what it is at.
async fn closed(client: &Client) -> Failure {
    let mut status = client.status();
    let gone = || Failure::Unasked("the connection is closed".into());
    loop {
        let now = status.borrow_and_update().clone();
        match now {
            Status::SignedOut => return Failure::Unasked("the server does not take this token; get another".into()),
            Status::Closed { reason, .. } => return Failure::Unasked(reason),
            Status::Reconnecting { attempt: 1, .. } => eprintln!("connection lost; trying again"),
            _ => {}
        }
        if status.changed().await.is_err() {
            return gone();
        }
    }
}

struct Http {
    client: reqwest::Client,
    server: String,
}

impl Http {
    fn new(server: &str) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().connect_timeout(PATIENCE).read_timeout(PATIENCE).build();
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { client: client.map_err(unreachable)?, server })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    /// Streams a file from disk into a thread.
    async fn upload(&self, token: &str, thread: ThreadId, path: PathBuf) -> Result<FileId, Failure> {
        let unreadable = |error: std::io::Error| Failure::Unasked(format!("{}: {error}", path.display()));
        let file = File::open(&path).await.map_err(unreadable)?;
        let bytes = file.metadata().await.map_err(unreadable)?.len();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        let part = reqwest::multipart::Part::stream_with_length(body, bytes).file_name(name);
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = self.client.post(self.url(&format!("/api/threads/{thread}/files")));
        let uploaded: Uploaded = answer(request.bearer_auth(token).multipart(form)).await?;
        Ok(uploaded.file_id)
    }
}

async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Failure> {
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(unreachable);
    }
    let problem = response.json::<Problem>().await.map(|problem| problem.detail);
    Err(Failure::Unasked(problem.unwrap_or_else(|_| format!("the server answered {status}"))))
}

/// A transport's error with its causes: the cause is what helps.
fn unreachable(error: reqwest::Error) -> Failure {
    let first: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string);
    Failure::Unasked(causes.collect::<Vec<_>>().join(": "))
}

fn refused(error: ErrorBody) -> Failure {
    match error.code {
        ErrorCode::NotFound => Failure::Unasked(format!("{}: is it a thread of yours?", error.message)),
        _ => Failure::Unasked(error.message),
    }
}
