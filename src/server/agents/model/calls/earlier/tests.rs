use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::{
    protocol::{Author, RunId, ThreadId, UserId, agui::Event},
    server::{
        agents::tools::{
            ToolBox, ToolSpec,
            questions::{CallOutcome, Continuation, Question, Response},
        },
        runs::{Emitter, RunInput},
    },
};

/// Tools that record how they are called.
#[derive(Default)]
struct RecordingToolBox {
    called: Mutex<Vec<String>>,
    resumed: Mutex<Vec<Resumption>>,
    abandoned: Mutex<usize>,
}

#[async_trait]
impl ToolBox for RecordingToolBox {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        Vec::new()
    }

    async fn call(&self, name: &str, _: Value, _: &RunInput) -> CallOutcome {
        self.called.lock().expect("not poisoned").push(name.into());
        ToolOutput::done("called").into()
    }

    async fn resume(&self, _: &str, resumption: Resumption, _: &RunInput) -> CallOutcome {
        self.resumed.lock().expect("not poisoned").push(resumption);
        ToolOutput::done("resumed").into()
    }

    fn abandon(&self, _: ThreadId) {
        *self.abandoned.lock().expect("not poisoned") += 1;
    }
}

fn thread(runs: Vec<Value>) -> ThreadView {
    let items: Vec<Value> = runs.into_iter().map(|run| json!({"kind": "run", "value": run})).collect();
    serde_json::from_value(json!({"items": items})).expect("a thread")
}

fn run(agent: &str, state: &Value, nodes: &[Value]) -> Value {
    json!({"run_id": RunId::new(), "agent": agent, "state": state, "started_at": 0, "nodes": nodes})
}

fn cut_off() -> Value {
    json!({"is": "failed", "message": "The server was restarted."})
}

fn call_node(id: &str) -> Value {
    let body = json!({"is": "tool", "name": "odd__book", "args": "{\"day\":1}"});
    json!({"id": id, "state": "called", "started_at": 0, "body": body})
}

fn task_node(call: &str, continuation: &Value) -> Value {
    let content = json!({"toolCallId": call, "toolName": "odd__book", "continuation": continuation});
    let body = json!({"is": "activity", "activity_type": TOOL_TASK, "content": content});
    json!({"id": format!("task of {call}"), "state": "done", "started_at": 0, "body": body})
}

fn found_tasks(runs: Vec<Value>) -> Vec<(String, Continuation)> {
    let jobs = tasks(&thread(runs), "model").into_iter();
    jobs.map(|job| match job.action {
        Ok(Action::Resume(resumption)) => (job.id, resumption.continuation),
        _ => panic!("a task is resumed"),
    })
    .collect()
}

#[test]
fn only_tasks_that_this_agent_kept_itself_are_followed() {
    let task = json!({"task": "t-1"});
    let stored = |agent: &str, continuation: &Value| {
        vec![run(agent, &cut_off(), &[call_node("c1"), task_node("c1", continuation)])]
    };
    assert_eq!(found_tasks(stored("model", &task)), [("c1".to_owned(), Continuation::Task("t-1".into()))]);
    assert!(found_tasks(stored("remote", &task)).is_empty());
    let forged = [json!({"retry": {"state": null}}), json!({"held": RunId::new()}), json!("task"), json!(null)];
    for continuation in &forged {
        assert!(found_tasks(stored("model", continuation)).is_empty(), "{continuation}");
    }
    let mut misnamed = task_node("c1", &task);
    misnamed["body"]["content"]["toolName"] = json!("odd__pay");
    assert!(
        found_tasks(vec![run("model", &cut_off(), &[call_node("c1"), misnamed])]).is_empty(),
        "a task of another tool"
    );
    let call = run("model", &cut_off(), &[call_node("c1")]);
    let other = run("remote", &cut_off(), &[task_node("c1", &task)]);
    assert!(found_tasks(vec![call, other]).is_empty(), "another agent stored a task of this agent's call");
}

#[test]
fn a_task_is_found_where_its_call_was_allowed_and_not_where_a_person_stopped_it() {
    let (task, again) = (json!({"task": "t-1"}), json!({"task": "t-2"}));
    let asked = run("model", &json!({"is": "interrupted", "interrupts": []}), &[call_node("c1")]);
    let cut = |task: &Value| run("model", &cut_off(), &[task_node("c1", task)]);
    assert_eq!(found_tasks(vec![asked.clone(), cut(&task)]).len(), 1);
    let last = found_tasks(vec![asked.clone(), cut(&task), cut(&again)]);
    assert_eq!(last, [("c1".to_owned(), Continuation::Task("t-2".into()))], "the last one counts");
    let stopped = run("model", &json!({"is": "cancelled"}), &[task_node("c1", &task)]);
    assert!(found_tasks(vec![asked, stopped]).is_empty());
}

fn question(continuation: Continuation) -> Interrupt {
    let question = Question {
        key: "table".into(),
        message: "Which table?".into(),
        schema: json!({"type": "object"}),
        source: "odd".into(),
        expires_in: None,
        continuation,
    };
    questions::new_interrupt("c1", "odd__book", &json!({"day": 1}), &question, None)
}

/// The question whether the call may be made.
fn consent() -> Interrupt {
    Interrupt { reason: TOOL_CALL.into(), ..question(Continuation::Retry { state: None }) }
}

fn retry() -> Interrupt {
    question(Continuation::Retry { state: Some("s".into()) })
}

/// A run that asked this and was answered with this payload; without one, the person sent another message.
fn interrupted(agent: &str, resumes: Option<RunId>, asked: &Interrupt, payload: Option<&Value>) -> (RunId, Value) {
    let state = json!({"is": "interrupted", "interrupts": [asked]});
    let mut run = run(agent, &state, &[call_node("c1")]);
    let id = RunId::new();
    let author = Author { id: UserId::new(), name: "Ada".into() };
    run["run_id"] = json!(id);
    run["resumes"] = json!(resumes);
    run["answered"] = match payload {
        Some(payload) => {
            let answers = json!([{"interrupt_id": asked.id, "status": "resolved", "payload": payload}]);
            json!({"is": "by", "author": author, "at": 0, "answers": answers, "resumed_by": RunId::new()})
        }
        None => json!({"is": "given_up"}),
    };
    (id, run)
}

struct After {
    tools: RecordingToolBox,
    results: Vec<(String, String)>,
    _events: mpsc::Receiver<Event>,
}

/// What the agent `model` does in a run that resumes the last of these; `later`: the person sent another message since the call.
async fn after(runs: Vec<(RunId, Value)>, asked: &Interrupt, payload: Option<&Value>, later: bool) -> After {
    let parent_run_id = runs.last().map(|(id, _)| *id);
    let author = Author { id: UserId::new(), name: "Ada".into() };
    let status = if payload.is_some() { "resolved" } else { "cancelled" };
    let resume = json!([{"interruptId": asked.id, "status": status, "payload": payload}]);
    let input = RunInput {
        agent: "model".into(),
        parent_run_id,
        thread: thread(runs.into_iter().map(|(_, run)| run).collect()),
        resume: serde_json::from_value(resume).expect("answers"),
        ..RunInput::alone(author, "")
    };
    let function = json!({"name": "odd__book", "arguments": "{\"day\":1}"});
    let mut history = vec![
        json!({"role": "user", "id": "1", "content": "Book."}),
        json!({"role": "assistant", "id": "2", "toolCalls": [{"id": "c1", "type": "function", "function": function}]}),
    ];
    if later {
        history.push(json!({"role": "tool", "id": "3", "toolCallId": "c1", "content": "It is not known."}));
        history.push(json!({"role": "user", "id": "4", "content": "How is it?"}));
    }
    let history: Vec<Message> = serde_json::from_value(json!(history)).expect("messages");
    let (out, _events) = Emitter::channel(64);
    let toolbox = RecordingToolBox::default();
    let tools = Tools {
        input: &input,
        out: &out,
        toolbox: Some(&toolbox),
        specs: Vec::new(),
        reader: None,
        consent_timeout: None,
    };
    let results = match tools.settle_earlier(&history).await {
        Ok(Settled::Done(results)) => results.into_iter().collect(),
        _ => panic!("no more interrupts"),
    };
    After { tools: toolbox, results, _events }
}

impl After {
    fn resumed(&self) -> Vec<Resumption> {
        self.tools.resumed.lock().expect("not poisoned").clone()
    }

    fn called(&self) -> usize {
        self.tools.called.lock().expect("not poisoned").len()
    }

    fn abandoned(&self) -> usize {
        *self.tools.abandoned.lock().expect("not poisoned")
    }
}

#[tokio::test]
async fn an_answer_to_another_agents_question_calls_no_tool() {
    let (yes, door) = (json!({"approved": true}), json!({"table": "door"}));
    let task = question(Continuation::Task("t-1".into()));
    for (asked, payload) in [(retry(), &door), (task, &door), (consent(), &yes)] {
        let of = |agent: &str| vec![interrupted(agent, None, &asked, Some(payload))];
        let other = after(of("remote"), &asked, Some(payload), false).await;
        assert_eq!((other.called(), other.resumed()), (0, vec![]), "{asked:?}");
        let own = after(of("model"), &asked, Some(payload), false).await;
        assert_eq!(own.called() + own.resumed().len(), 1, "{asked:?}");
    }
}

#[tokio::test]
async fn an_answer_to_a_question_of_a_tool_is_no_consent() {
    let (asked, yes, no) = (retry(), json!({"approved": true}), json!({"approved": false}));
    let alone = after(vec![interrupted("model", None, &asked, Some(&yes))], &asked, Some(&yes), false).await;
    assert!(!alone.resumed()[0].allowed, "the tool's server asked something else than whether it may be called");
    for (agent, answer, allowed) in [("model", &yes, true), ("model", &no, false), ("remote", &yes, false)] {
        let first = interrupted(agent, None, &consent(), Some(answer));
        let second = interrupted("model", Some(first.0), &asked, Some(&yes));
        let after = after(vec![first, second], &asked, Some(&yes), false).await;
        assert_eq!(after.resumed()[0].allowed, allowed, "{agent} {answer}");
    }
}

#[tokio::test]
async fn an_answer_reaches_the_task_of_a_call_that_is_older_than_the_newest_message() {
    let (asked, door) = (question(Continuation::Task("t-1".into())), json!({"table": "door"}));
    let after = after(vec![interrupted("model", None, &asked, Some(&door))], &asked, Some(&door), true).await;
    let resumed = after.resumed();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0].continuation, Continuation::Task("t-1".into()));
    assert_eq!(resumed[0].answers, [("table".to_owned(), Response::Accepted(door))]);
    assert_eq!(after.results, [("c1".to_owned(), "resumed".to_owned())]);
    assert_eq!(after.abandoned(), 0, "it was answered");
}

#[tokio::test]
async fn only_a_task_is_resumed_when_its_question_was_abandoned() {
    let task = question(Continuation::Task("t-1".into()));
    let of_task = after(vec![interrupted("model", None, &task, None)], &task, None, true).await;
    assert_eq!(of_task.resumed()[0].answers, [("table".to_owned(), Response::Cancelled)]);
    assert_eq!(of_task.abandoned(), 1);
    for asked in [retry(), consent()] {
        let of_call = after(vec![interrupted("model", None, &asked, None)], &asked, None, true).await;
        assert_eq!((of_call.called(), of_call.resumed().len(), of_call.results.len()), (0, 0, 0), "{asked:?}");
        assert_eq!(of_call.abandoned(), 1);
    }
}
