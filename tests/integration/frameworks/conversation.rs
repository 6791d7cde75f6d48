//! Conversations with an application, through Netra and without it, and the requests that reached the model.

use netra::{
    protocol::AnswerStatus,
    thread::{NodeBody, RunState, RunView},
};
use serde_json::{Value, json};

use crate::frameworks::{application::Application, direct, model::text_of};

/// A step of the user.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends a message. If the last run waits for an answer, the message takes the place of the answer.
    Say(&'static str),
    /// Answers the last run's interrupt.
    Answer(Value),
    /// Answers the last run, which ended without an outcome. The answer reaches the application as a command.
    Command(Value),
    /// Answers the last run. The answer reaches the application as the result of its pending tool call.
    Result(Value),
}

impl Step {
    /// The step in the format of `direct.mjs`.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Say(text) => json!({"say": text}),
            Self::Answer(payload) => json!({"answer": payload}),
            Self::Command(payload) => json!({"answer": payload, "command": true}),
            Self::Result(payload) => json!({"result": payload.to_string()}),
        }
    }
}

/// The result of a conversation through Netra.
pub(crate) struct Conversation {
    /// The runs, one for each step, as they are at the end.
    pub(crate) runs: Vec<RunView>,
    /// The shared state at the end.
    pub(crate) state: Value,
    /// The requests to the model.
    pub(crate) model_requests: Vec<Value>,
}

/// Performs the steps through Netra and waits for the end of each run. If a run waits for an answer, the next step is the answer
/// or a message in its place.
pub(crate) async fn through_netra(application: &Application, path: &str, steps: &[Step]) -> Conversation {
    let harness = application.harness(path).await;
    application.model.take_requests();
    let mut runs: Vec<RunView> = Vec::new();
    for step in steps {
        let run = match step {
            Step::Say(text) => harness.ask(text).await,
            Step::Answer(payload) | Step::Command(payload) | Step::Result(payload) => {
                let last = runs.last().expect("a run that waits");
                let RunState::Interrupted { interrupts } = &last.state else {
                    panic!("the run waits for no answer: {last:#?}")
                };
                harness.answer_one(last.run_id, &interrupts[0].id, AnswerStatus::Resolved, payload.clone()).await
            }
        };
        if let RunState::Failed { message, .. } = &run.state {
            let last = conversations(&application.model.take_requests()).pop().unwrap_or_default();
            panic!("{path}, {step:?}: {message}; the model was sent {last:#}");
        }
        runs.push(run);
    }
    // A run may have answered calls of the run that it continues.
    let view = harness.view().await;
    let runs = runs.iter().map(|run| view.run(run.run_id).expect("the run").clone()).collect();
    let state = view.state().as_deref().cloned().unwrap_or_default();
    Conversation { runs, state, model_requests: conversations(&application.model.take_requests()) }
}

/// Has a conversation through Netra and without it. Asserts that the model got the same requests and refused none.
pub(crate) async fn assert_same_with_netra(application: &Application, path: &str, steps: &[Step]) -> Conversation {
    let directly = without_netra(application, path, steps).await;
    let conversation = through_netra(application, path, steps).await;
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model refused messages in a wrong order");
    assert_same_requests(&conversation.model_requests, &directly);
    conversation
}

/// Has a conversation without Netra; returns the requests to the model.
pub(crate) async fn without_netra(application: &Application, path: &str, steps: &[Step]) -> Vec<Value> {
    application.model.take_requests();
    direct::converse(&format!("{}{path}", application.url), steps).await;
    conversations(&application.model.take_requests())
}

/// Asserts that the model got the same messages in both.
pub(crate) fn assert_same_requests(through_netra: &[Value], directly: &[Value]) {
    for (at, (with, without)) in through_netra.iter().zip(directly).enumerate() {
        let without = &without_repeated_instructions(without);
        assert_eq!(with, without, "request {at}: through Netra {with:#}\nwithout it {without:#}");
    }
    assert_eq!(through_netra.len(), directly.len(), "{through_netra:#?}\n{directly:#?}");
}

/// Some applications restate their instructions, too. AG-UI's client sends them back with the conversation, so that the model gets
/// them twice. Netra does not keep them, and the model gets them once.
fn without_repeated_instructions(request: &Value) -> Value {
    let messages = request.as_array().into_iter().flatten();
    let is_repeated =
        |(at, message): &(usize, &Value)| *at > 0 && message["role"] == "system" && **message == request[0];
    messages.enumerate().filter(|one| !is_repeated(one)).map(|(_, message)| message.clone()).collect()
}

/// Requests to a model as their messages: roles, contents, calls with their arguments, results. Ids are replaced by the order in
/// which they appear, since they are new each time.
fn conversations(requests: &[Value]) -> Vec<Value> {
    let mut ids: Vec<String> = Vec::new();
    let mut number = |id: &Value| {
        let id = id.as_str().unwrap_or_default().to_owned();
        ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            ids.push(id);
            ids.len() - 1
        })
    };
    let mut message = |message: &Value| {
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        let calls: Vec<Value> = calls
            .map(|call| {
                let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into());
                json!({"id": number(&call["id"]), "name": call["function"]["name"], "arguments": arguments})
            })
            .collect();
        let result = message.get("tool_call_id").map(&mut number);
        json!({"role": message["role"], "content": text_of(&message["content"]), "calls": calls, "result_of": result})
    };
    let request = |request: &Value| {
        let messages = request["messages"].as_array().into_iter().flatten();
        Value::Array(messages.map(&mut message).collect())
    };
    requests.iter().map(request).collect()
}

/// The calls of a run with their results.
pub(crate) fn calls(run: &RunView) -> Vec<(&str, Option<&str>)> {
    let nodes = run.nodes.iter();
    let calls = nodes.filter_map(|node| match &node.body {
        NodeBody::Tool { name, result, .. } => Some((name.as_str(), result.as_deref())),
        _ => None,
    });
    calls.collect()
}

/// The question of a run that waits for an answer.
pub(crate) fn question(run: &RunView) -> &str {
    let RunState::Interrupted { interrupts } = &run.state else { panic!("the run waits for no answer: {run:#?}") };
    interrupts[0].message.as_deref().expect("a question in words")
}
