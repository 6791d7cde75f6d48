//! Model agents against a scripted model over real sockets: every kind of answer, complete or broken, through the real runner and
//! its log.

mod aimock;
mod analyst;
mod apis;
mod attached;
mod consent;
mod dialects;
mod errors;
mod provider;
mod runs;
pub(crate) mod server;
mod signed;
mod tools;
mod waiting;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use netra::{
    analyst::pricing::PriceTable,
    protocol::{
        Answer, AnswerStatus, CreateThread, Entry, InterruptAnswer, MessageId, RunId, SendMessage, ThreadEntry,
        ThreadId, UserId,
        agui::{Event, Interrupt},
        http::{AgentInfo, User},
    },
    server::{
        agents::{
            AgentRegistry, Kinds,
            model::ModelAgent,
            tools::{
                Consent, ToolBox, ToolOutput, ToolSpec,
                questions::{Called, Resumption},
            },
        },
        channel::{Channel, Channels, Delivery, Hub},
        runs::{Agent, RunInput, Runner, RunnerOptions, verifier::verify},
        store::Store,
        threads::{self, NewRun},
        usage::{Allowance, Budget, DayAllowance},
    },
    thread::{NodeBody, RunState, RunView, ThreadView},
};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use self::server::Model;

use crate::support::{attach, owner};

/// Long enough for every wait on a busy machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Notifies of new entries in any log.
#[derive(Default)]
struct LogBell(Notify);

impl Hub for LogBell {
    fn deliver(&self, _: &Delivery) {
        self.0.notify_waiters();
    }
}

/// Three tools that record their calls: `look` is automatic, `send` needs consent, `hang` does not end by itself.
#[derive(Default)]
struct Toolbox {
    called: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl ToolBox for Toolbox {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        let tool = |name: &str, consent| ToolSpec {
            name: name.into(),
            description: format!("Can {name}."),
            parameters: json!({"type": "object", "properties": {"at": {"type": "string"}}}),
            consent,
            source: "tests".into(),
        };
        vec![tool("look", Consent::Automatic), tool("send", Consent::Ask), tool("hang", Consent::Automatic)]
    }

    async fn call(&self, name: &str, args: Value, input: &RunInput) -> Called {
        self.called.lock().expect("not poisoned").push((name.into(), args.clone()));
        if name == "hang" {
            input.cancel.cancelled().await;
        }
        let output = if args["at"] == "nowhere" {
            ToolOutput::failed("There is nothing.")
        } else {
            ToolOutput::done(format!("{name} {args}"))
        };
        output.into()
    }

    async fn resume(&self, name: &str, _: Resumption, _: &RunInput) -> Called {
        ToolOutput::failed(format!("`{name}` did not ask anything.")).into()
    }

    fn abandon(&self, _: ThreadId) {}
}

/// A budget of so many tokens, with the usage that was reported to it.
#[derive(Default)]
struct TokenLimit(u64, Mutex<Vec<u64>>);

#[async_trait]
impl Allowance for TokenLimit {
    fn used(&self, _: RunId, tokens: u64, _: f64) {
        self.1.lock().expect("not poisoned").push(tokens);
    }

    async fn admit(&self, _: UserId) -> Result<(), String> {
        let spent = self.1.lock().expect("not poisoned").last().copied().unwrap_or_default();
        if spent > self.0 { Err("today's tokens are used".into()) } else { Ok(()) }
    }
}

/// A store, a thread in it, and an agent whose model is scripted.
struct Harness {
    folder: tempfile::TempDir,
    channels: Channels,
    bell: Arc<LogBell>,
    runner: Runner,
    tools: Arc<Toolbox>,
    user: User,
    thread: ThreadId,
}

impl Harness {
    async fn new(model: &Model) -> Self {
        Self::with(model, json!({})).await
    }

    /// With additional configuration.
    async fn with(model: &Model, more: Value) -> Self {
        Self::build(model, more, Kinds::default(), |agent| agent).await
    }

    /// With a daily budget.
    async fn with_budget(model: &Model, budget: Budget) -> Self {
        let allowance = Arc::new(DayAllowance::new(budget));
        let kinds = Kinds { allowance: allowance.clone(), ..Kinds::default() };
        let harness = Self::build(model, json!({}), kinds, |agent| agent.with_allowance(allowance.clone())).await;
        allowance.begin(&harness.channels);
        harness
    }

    async fn build(model: &Model, more: Value, kinds: Kinds, change: impl FnOnce(ModelAgent) -> ModelAgent) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bell = Arc::new(LogBell::default());
        let store = Store::open(folder.path()).await.expect("opens");
        let channels = Channels::new(store, bell.clone()).await.expect("begins");
        let mut config = json!({
            "model": "scripted", "base_url": model.url, "api_key": "sk-of-the-tests", "max_retry_wait_ms": 0,
            "prices": {"input": 1.0, "output": 10.0, "cached_input": 0.5},
        });
        merge(&mut config, more);
        let tools = Arc::new(Toolbox::default());
        let config = serde_json::from_value(config).expect("a configuration");
        let info = AgentInfo::new("model", "Model", "");
        let agent = ModelAgent::new(info, config, |_| None, &PriceTable::shipped()).expect("an agent");
        let agent: Arc<dyn Agent> = Arc::new(change(agent.with_tools(tools.clone())));
        let agents = AgentRegistry::new([agent], &[], kinds).agents().clone();
        let runner = Runner::new(channels.clone(), agents, RunnerOptions::new(folder.path().join("files")));
        let user = owner::person(&channels).await;
        let thread = new_thread(&channels, &user).await;
        Self { folder, channels, bell, runner, tools, user, thread }
    }

    async fn new_thread(&self) -> ThreadId {
        new_thread(&self.channels, &self.user).await
    }

    fn start(&self, run: NewRun) -> RunId {
        let id = run.run_id;
        self.runner.start(run);
        id
    }

    async fn begin(&self, text: &str) -> RunId {
        self.begin_with(text, None).await
    }

    /// `caller`: the input of a calling program, as JSON.
    async fn begin_with(&self, text: &str, caller: Option<Value>) -> RunId {
        let (command, caller) = (SendMessage::new(self.thread, text), caller.map(|caller| caller.to_string()));
        let asked = threads::send(&self.channels, &self.user, &command, caller, |_| Ok("model".into())).await;
        self.start(asked.expect("accepted").run.expect("a run"))
    }

    /// Sends a message with files (name and bytes), and waits for the run's end.
    async fn ask_with(&self, text: &str, files: &[(&str, &[u8])]) -> RunView {
        let (folder, mut command) = (self.folder.path().join("files"), SendMessage::new(self.thread, text));
        for (name, bytes) in files {
            command.attachments.push(attach::attach(&self.channels, &folder, self.thread, name, bytes).await);
        }
        let asked = threads::send(&self.channels, &self.user, &command, None, |_| Ok("model".into())).await;
        let run = self.start(asked.expect("accepted").run.expect("a run"));
        self.wait_for_end(run).await
    }

    /// Sends a message, and waits for the run's end.
    async fn ask(&self, text: &str) -> RunView {
        let run = self.begin(text).await;
        self.wait_for_end(run).await
    }

    /// Answers a run's interrupts. Returns the run that resumes it.
    async fn answer(&self, run_id: RunId, payloads: &[Value]) -> RunView {
        let waiting = self.view().await.run(run_id).expect("the run").open_interrupts().to_vec();
        let answers = waiting.iter().zip(payloads).map(|(asked, payload)| InterruptAnswer {
            interrupt_id: asked.id.clone(),
            status: AnswerStatus::Resolved,
            payload: Some(payload.clone()),
            metadata: None,
        });
        self.answer_with(run_id, answers.collect()).await
    }

    async fn answer_with(&self, run_id: RunId, answers: Vec<InterruptAnswer>) -> RunView {
        let command = Answer { answer_id: MessageId::new(), thread_id: self.thread, run_id, answers };
        let asked = threads::answer(&self.channels, &self.user, &command, None, |_| Ok(())).await.expect("accepted");
        let run = self.start(asked.run.expect("a run"));
        self.wait_for_end(run).await
    }

    /// Waits for the end of a run, and checks its log against AG-UI's rules.
    async fn wait_for_end(&self, run: RunId) -> RunView {
        self.wait_until(|view| view.run(run).is_some_and(|run| run.state.is_over())).await;
        self.events(run).await;
        self.view().await.run(run).expect("the run").clone()
    }

    async fn wait_until(&self, is: impl Fn(&ThreadView) -> bool) {
        let wait = async {
            loop {
                let more = self.bell.0.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if is(&self.view().await) {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, wait).await.expect("it happens in time");
    }

    async fn view(&self) -> ThreadView {
        self.channels.thread(self.thread).await.expect("reads").1
    }

    /// The events of a run in the log, checked against AG-UI's rules.
    async fn events(&self, wanted: RunId) -> Vec<Event> {
        let (mut events, mut after) = (Vec::new(), 0);
        let channel = Channel::Thread(self.thread);
        loop {
            let page = self.channels.page(channel, after).await.expect("reads");
            let Some(last) = page.last() else { break };
            after = last.seq;
            for delivery in page {
                let frame: Value = serde_json::from_str(delivery.frame.as_str()).expect("JSON");
                match Entry::decode(channel.name(), frame["payload"]["entry"].clone()) {
                    Entry::Thread(ThreadEntry::Agent { run_id, event }) if run_id == wanted => events.push(*event),
                    _ => {}
                }
            }
        }
        assert_eq!(verify(&events), Ok(()), "{events:#?}");
        events
    }

    fn called(&self) -> Vec<(String, Value)> {
        self.tools.called.lock().expect("not poisoned").clone()
    }
}

async fn new_thread(channels: &Channels, user: &User) -> ThreadId {
    let command = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    threads::create(channels, user, &command, "model").await.expect("made").id
}

fn merge(config: &mut Value, more: Value) {
    let more: Map<String, Value> = serde_json::from_value(more).expect("an object");
    config.as_object_mut().expect("an object").extend(more);
}

/// The texts of a run, in order.
fn texts(run: &RunView) -> Vec<&str> {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The calls of a run: name, arguments, result.
fn calls(run: &RunView) -> Vec<(&str, &str, Option<&str>)> {
    let calls = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Tool { name, args, result, .. } => Some((name.as_str(), args.as_str(), result.as_deref())),
        _ => None,
    });
    calls.collect()
}

fn open_interrupts(run: &RunView) -> &[Interrupt] {
    match &run.state {
        RunState::Interrupted { interrupts } => interrupts,
        other => panic!("waits for a person, not {other:?}"),
    }
}

/// The code and the sentence of a failed run.
fn failure(run: &RunView) -> (&str, &str) {
    match &run.state {
        RunState::Failed { code: Some(code), message } => (code, message),
        other => panic!("failed with a code, not {other:?}"),
    }
}
