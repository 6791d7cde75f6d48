//! `netra ask`: sends a message to an agent. Progress goes to standard error, the answer to standard output. Exit code 0: the
//! run finished; 1: the run failed, was stopped or waits for an answer; 2: the server could not be reached or refused, before the message was
//! sent or afterwards.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{fs::File, sync::mpsc};
use tokio_util::io::ReaderStream;

use super::{Failure, ServerArgs, print_line, read_password};
use crate::{
    analyst::ingest::{COLUMNS_LINE, ColumnChoice},
    protocol::{
        ChannelName, CreateThread, Entry, ErrorBody, ErrorCode, FileId, RunId, SendMessage, Snapshot, ThreadId,
        agui::TextRole,
        http::{AccessToken, Config, Problem, SignIn, Uploaded},
        limits,
    },
    socket::{
        machine::Status,
        native::{Client, ClientConfig, Update},
    },
    text::escape_invisible,
    thread::{Node, NodeBody, RunState, RunView, ThreadView},
};

/// How long an HTTP request may go without a byte from the server.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct AskArgs {
    /// Text of the message
    question: String,
    /// File to attach, such as a usage log: CSV, JSON Lines, JSON or .xlsx, also packed as .gz or .zip. May be repeated; files of
    /// one message are read together
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the columns of the log hold, if the analyst asks for it or read the wrong one:
    /// 'input=Eingabe,output=Ausgabe,latency:ms=Dauer,dates=day_first'. An empty name after `=` means that the log has no such column.
    /// Added to the message as a line
    #[arg(long, value_name = "ROLE=COLUMN,...", value_parser = parse_columns)]
    columns: Option<String>,
    #[command(flatten)]
    login: ServerArgs,
    /// Send to this thread instead of a new one
    #[arg(long, value_name = "ID")]
    thread: Option<ThreadId>,
    /// Id of the agent that answers [default: that of --thread; in a new thread, the first agent that you may use]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

pub(super) async fn run(args: AskArgs) -> Result<(), Failure> {
    check_files(&args.files).await?;
    let text = match &args.columns {
        Some(columns) => format!("{}\n\n{COLUMNS_LINE} {columns}", args.question),
        None => args.question,
    };
    let http = Http::new(&args.login.server)?;
    let token = match (args.login.token, args.login.email) {
        (Some(token), _) => token,
        (None, Some(email)) => {
            let body = SignIn { email, password: read_password(args.login.password_stdin)? };
            let token: AccessToken = send(http.client.post(http.url("/api/auth/token")).json(&body)).await?;
            token.access_token
        }
        (None, None) => return Err(Failure::Usage("give --token (or NETRA_TOKEN) or --email".into())),
    };
    let config: Config = send(http.client.get(http.url("/api/config"))).await?;
    let client = Client::connect(ClientConfig::bearer(config.socket.url, &token));

    let sending = ask(&client, &http, &token, text, args.files, args.thread, args.agent);
    let (thread_id, run_id) = tokio::select! {
        // First, since the reason of a closed connection says more than the error of the command that failed with it.
        biased;
        failure = watch_connection(&client) => return Err(failure),
        sent = sending => sent?,
    };
    let updates = client.follow(ChannelName::Thread(thread_id), None).await;
    let run = tokio::select! {
        run = watch_run(updates, run_id) => run?,
        failure = watch_connection(&client) => return Err(failure),
    };
    match run.state {
        RunState::Finished => print_line(&answer(&run)),
        RunState::Failed { message, .. } => Err(Failure::Failed(message)),
        RunState::Cancelled => Err(Failure::Failed("the run was stopped".into())),
        RunState::Interrupted { .. } => {
            print_questions(&run);
            Err(Failure::Failed(how_to_answer(&run, &http.url(&format!("/threads/{thread_id}")), thread_id)))
        }
        RunState::Waiting | RunState::Running => Err(Failure::Failed("the run did not end".into())),
    }
}

/// Checks a `--columns` before anything is sent.
fn parse_columns(text: &str) -> Result<String, String> {
    match ColumnChoice::parse(text)?.is_empty() {
        true => Err("no column is named".into()),
        false => Ok(text.to_owned()),
    }
}

/// Checks that the files can be opened and attached, before a thread is created for them.
async fn check_files(files: &[PathBuf]) -> Result<(), Failure> {
    if files.len() > limits::MAX_ATTACHMENTS {
        return Err(Failure::Usage(format!("a message has at most {} files", limits::MAX_ATTACHMENTS)));
    }
    for path in files {
        File::open(path).await.map_err(|error| unreadable(path, &error))?;
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}

/// Creates the thread, uploads the files and sends the message.
async fn ask(
    client: &Client,
    http: &Http,
    token: &str,
    text: String,
    files: Vec<PathBuf>,
    thread: Option<ThreadId>,
    agent: Option<String>,
) -> Result<(ThreadId, RunId), Failure> {
    let thread_id = thread.unwrap_or_else(ThreadId::new);
    if thread.is_none() {
        let create = CreateThread { thread_id, title: None, agent: agent.clone() };
        client.send(create).await.map_err(refused)?;
    }
    let mut attachments = Vec::with_capacity(files.len());
    for file in files {
        attachments.push(http.upload(token, thread_id, file).await?);
    }
    let message = SendMessage { agent, attachments, ..SendMessage::new(thread_id, text) };
    let accepted = client.send(message).await.map_err(refused)?;
    Ok((thread_id, accepted.run_id))
}

/// Follows the run to its end and prints its progress.
async fn watch_run(mut updates: mpsc::Receiver<Update>, run_id: RunId) -> Result<RunView, Failure> {
    let mut thread = ThreadView::default();
    let mut printed = 0;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Snapshot { snapshot: Snapshot::Thread(view), .. } => thread = view,
            Update::Entry { at, entry: Entry::Thread(entry), .. } => thread.apply(at, entry),
            Update::Refused(error) => return Err(refused(error)),
            Update::Snapshot { .. } | Update::Entry { .. } => {}
        }
        let Some(run) = thread.run(run_id) else { continue };
        for node in run.nodes.iter().skip(printed) {
            print_progress(run, node);
        }
        printed = run.nodes.len();
        if run.state.is_over() {
            return Ok(run.clone());
        }
    }
    Err(Failure::Unreachable("the connection is closed".into()))
}

/// Prints a line for a sub-agent, step or tool call that began.
fn print_progress(run: &RunView, node: &Node) {
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

/// How many sub-agents a node is nested in.
fn depth(run: &RunView, node: &Node) -> usize {
    let owner = |of: &str| run.nodes.iter().find(|n| n.id == of && matches!(n.body, NodeBody::Subagent { .. }));
    let up = |within: &Option<String>| within.as_deref().and_then(owner);
    // Bounded: an agent may name itself as its own parent.
    std::iter::successors(up(&node.within), |owner| up(&owner.within)).take(8).count()
}

/// The answer: the texts and tables of the run itself and of the last sub-agent that wrote any text.
fn answer(run: &RunView) -> String {
    let is_text = |node: &Node| matches!(node.body, NodeBody::Text { role: TextRole::Assistant, .. });
    let last = run.nodes.iter().filter(|node| is_text(node)).filter_map(|node| node.within.as_deref()).next_back();
    let shown = run.nodes.iter().filter(|node| node.within.is_none() || node.within.as_deref() == last);
    let parts = shown.filter_map(|node| match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } if !text.is_empty() => Some(text.trim_end().to_owned()),
        NodeBody::Custom { name, value } if name == TABLE => Some(markdown_table(value)),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("\n\n")
}

/// The custom event that shows a table.
const TABLE: &str = "netra.table";

/// A table as Markdown, under its title.
fn markdown_table(table: &Value) -> String {
    let title = table["title"].as_str().map(escape_invisible).unwrap_or_default();
    let columns = table["columns"].as_array().map_or(0, Vec::len);
    let lines = table_text(table);
    let mut lines = lines.lines().map(|line| format!("| {} |\n", line.trim_start()));
    let header = lines.next().unwrap_or_default();
    format!("**{title}**\n\n{header}|{}\n{}", "---|".repeat(columns), lines.collect::<String>()).trim_end().to_owned()
}

/// Prints the open questions of a run, each after the table that belongs to it.
fn print_questions(run: &RunView) {
    for interrupt in run.open_interrupts() {
        let data = |key: &str| interrupt.metadata.as_ref().and_then(|metadata| metadata.get(key));
        let question = interrupt.message.as_deref().unwrap_or("The agent has a question.");
        eprintln!("\n{}", escape_invisible(question));
        let table = run.nodes.iter().find_map(|node| match &node.body {
            NodeBody::Custom { name, value } if name == TABLE && value.get("id") == data("table") => Some(value),
            _ => None,
        });
        if let Some(table) = table {
            eprint!("{}", table_text(table));
        }
    }
}

/// A table as lines with bars between the cells.
fn table_text(table: &Value) -> String {
    let rows = table["rows"].as_array().into_iter().flatten();
    let cell = |cell: &Value| match cell {
        Value::String(text) => escape_invisible(text),
        other => other.to_string(),
    };
    let line = |row: &Value| {
        let cells: Vec<String> = row.as_array().into_iter().flatten().map(cell).collect();
        format!("  {}\n", cells.join(" | "))
    };
    std::iter::once(&table["columns"]).chain(rows).map(line).collect()
}

/// How to answer the questions of a run: in the page, and columns also here.
fn how_to_answer(run: &RunView, page: &str, thread: ThreadId) -> String {
    let roles =
        run.open_interrupts().iter().filter_map(|interrupt| interrupt.metadata.as_ref()?.get("roles")?.as_array());
    let mut named: Vec<String> = Vec::new();
    for role in roles.flatten().filter_map(Value::as_str) {
        let part = if role == "dates" { "dates=day_first".to_owned() } else { format!("{role}=COLUMN") };
        if !named.contains(&part) {
            named.push(part);
        }
    }
    let waits = format!("the run waits for your answer; give it at {page}");
    match named.is_empty() {
        true => waits,
        false => format!("{waits}, or ask again with --thread {thread} --columns '{}'", named.join(",")),
    }
}

/// Waits until the connection is closed for good; meanwhile prints when it is lost.
async fn watch_connection(client: &Client) -> Failure {
    let mut status = client.status();
    loop {
        let now = status.borrow_and_update().clone();
        match now {
            Status::SignedOut => {
                return Failure::Unreachable("the server does not accept this access token; get another".into());
            }
            Status::Closed { reason, .. } => return Failure::Unreachable(reason),
            Status::Reconnecting { attempt: 1, .. } => eprintln!("connection lost; reconnecting"),
            _ => {}
        }
        if status.changed().await.is_err() {
            return Failure::Unreachable("the connection is closed".into());
        }
    }
}

struct Http {
    client: reqwest::Client,
    server: String,
}

impl Http {
    fn new(server: &str) -> Result<Self, Failure> {
        let client = reqwest::Client::builder().connect_timeout(READ_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { client: client.map_err(unreachable)?, server })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    /// Streams a file from disk into a thread.
    async fn upload(&self, token: &str, thread: ThreadId, path: PathBuf) -> Result<FileId, Failure> {
        let file = File::open(&path).await.map_err(|error| unreadable(&path, &error))?;
        let bytes = file.metadata().await.map_err(|error| unreadable(&path, &error))?.len();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        let part = reqwest::multipart::Part::stream_with_length(body, bytes).file_name(name);
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = self.client.post(self.url(&format!("/api/threads/{thread}/files")));
        let uploaded: Uploaded = send(request.bearer_auth(token).multipart(form)).await?;
        Ok(uploaded.file_id)
    }
}

/// Sends a request; returns the JSON body of the response.
async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Failure> {
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(unreachable);
    }
    let problem = response.json::<Problem>().await.map(|problem| problem.detail);
    Err(Failure::Unreachable(problem.unwrap_or_else(|_| format!("the server answered {status}"))))
}

/// An error of the transport with its causes, which say what is wrong.
fn unreachable(error: reqwest::Error) -> Failure {
    let first: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string);
    Failure::Unreachable(causes.collect::<Vec<_>>().join(": "))
}

fn refused(error: ErrorBody) -> Failure {
    match error.code {
        ErrorCode::NotFound => Failure::Unreachable(format!("{}; --thread must name a thread of yours", error.message)),
        _ => Failure::Unreachable(error.message),
    }
}
