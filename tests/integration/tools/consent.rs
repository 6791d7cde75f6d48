//! A person's consent through the whole server: a model that asks for a call, an MCP server that counts it, and a server that
//! dies in between.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{once::Counting, *};
use crate::{
    model::server::{Model, Reply, calls, text_reply},
    support::{ADMIN, Client, Setup, TestServer},
};

/// A model that calls `tool`, and text_reply things after it.
pub(super) struct Desk {
    pub(super) model: Model,
    counting: Arc<Counting>,
    server: TestServer,
}

impl Desk {
    async fn new(tool: &str, then: &[&str]) -> Self {
        Self::with(Setup::default(), tool, then.iter().map(|words| text_reply(words))).await
    }

    async fn with(setup: Setup, tool: &str, then: impl IntoIterator<Item = Reply>) -> Self {
        let name = format!("x__{tool}");
        let call = calls(&[(name.as_str(), "c1", json!({"amount": 5}))]);
        let model = Model::with([call].into_iter().chain(then)).await;
        let (counting, tools) = Counting::serve().await;
        Self { counting, ..Self::over(setup, model, &["x"], &tools).await }
    }

    /// An agent over `model` with these sources of tools.
    pub(super) async fn over(setup: Setup, model: Model, sources: &[&str], tools: &str) -> Self {
        let agent = format!(
            "[[agents]]\nid = \"model\"\nname = \"Model\"\nkind = \"model\"\nmodel = \"scripted\"\n\
             base_url = \"{}\"\ntools = {sources:?}\n{tools}",
            model.url
        );
        Self { model, counting: Arc::default(), server: setup.file(&agent).start().await }
    }

    /// Says something, or allows what was asked; what the stream tells.
    pub(super) async fn ask(&self, message: &str, allowed: Option<&Value>) -> Vec<Value> {
        let payload = json!({"approved": true});
        self.post("desk", message, allowed.map(|interrupt| (interrupt, payload))).await.1
    }

    pub(super) async fn post(
        &self,
        thread: &str,
        message: &str,
        resume: Option<(&Value, Value)>,
    ) -> (StatusCode, Vec<Value>) {
        let mut body = json!({"threadId": thread, "runId": format!("run of {message}"), "tools": [], "context": [],
            "messages": [{"id": message, "role": "user", "content": "Pay."}], "state": {}, "forwardedProps": {}});
        if let Some((interrupt, payload)) = resume {
            let status = if payload.is_null() { "cancelled" } else { "resolved" };
            body["resume"] = json!([{"interruptId": interrupt["id"], "status": status, "payload": payload}]);
        }
        let request = Client::new(&self.server).request(Method::POST, "/api/agents/model/agui");
        let token = self.server.token(ADMIN).await;
        let answer = request.bearer_auth(token).json(&body).send().await.expect("it answers");
        let status = answer.status();
        let text = timeout(PATIENCE, answer.text()).await.expect("it ends").unwrap_or_default();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        (status, data.map(|data| serde_json::from_str(data).expect("JSON")).collect())
    }

    /// What the agent asks a person.
    async fn question(&self) -> Value {
        let told = self.ask("m", None).await;
        let interrupt = told.last().expect("an end")["outcome"]["interrupts"][0].clone();
        assert_eq!(interrupt["reason"], "tool_call", "{told:#?}");
        interrupt
    }

    pub(super) async fn killed(self) -> Self {
        let server = self.server.kill().await.restart().await;
        Self { server, ..self }
    }

    /// Tells the server to end, as a supervisor does.
    pub(super) fn terminate(&self) {
        self.server.signal("TERM");
    }

    /// Waits until the server ended by itself, and starts it again.
    pub(super) async fn restarted(self) -> Self {
        let (code, stopped) = self.server.wait().await;
        assert_eq!(code, Some(0));
        Self { server: stopped.restart().await, ..self }
    }
}

#[tokio::test]
async fn what_was_asked_before_a_server_died_is_allowed_after_it_and_done_once() {
    let desk = Desk::new("well", &["Paid."]).await;
    let question = desk.question().await;
    let desk = desk.killed().await;
    assert_eq!(desk.counting.done("well"), 0, "nobody said yes");
    let told = desk.ask("m", Some(&question)).await;
    assert!(told.iter().any(|event| event["delta"] == "Paid."), "{told:#?}");
    assert_eq!(desk.counting.done("well"), 1);
    let known = desk.model.requests()[1].body["messages"].to_string();
    assert!(known.contains("\"done\""), "the model has the result: {known}");
    // The same yes once more.
    desk.ask("m", Some(&question)).await;
    assert_eq!(desk.counting.done("well"), 1);
}

#[tokio::test]
async fn an_allowed_call_that_a_dying_server_left_is_never_made_again() {
    let desk = Desk::new("hold", &["I see.", "I see."]).await;
    let question = desk.question().await;
    {
        let answering = desk.ask("m", Some(&question));
        let called = until("it is called", || desk.counting.done("hold") == 1);
        tokio::select! {
            told = answering => panic!("it has no end yet: {told:#?}"),
            () = called => {}
        }
    }
    let desk = desk.killed().await;
    desk.ask("m", Some(&question)).await;
    let told = desk.ask("what now", None).await;
    assert!(told.iter().any(|event| event["delta"] == "I see."), "{told:#?}");
    assert_eq!(desk.counting.done("hold"), 1);
    let asked = desk.model.requests();
    let known = asked.last().expect("requests").body["messages"].clone();
    let result = known.as_array().expect("messages").iter().find(|message| message["role"] == "tool");
    assert!(result.is_some_and(|result| !result["content"].to_string().contains("refused")), "{known}");
}

#[tokio::test]
async fn a_no_is_taken_from_whoever_has_used_up_the_budget_and_a_yes_is_not() {
    let setup = Setup::default().with("RUNS__DAILY_TOKENS_PER_USER", 150);
    let desk = Desk::with(setup, "well", [text_reply("That was the rest of it.")]).await;
    let question = desk.question().await;
    desk.post("another", "more", None).await;
    let (status, _) = desk.post("desk", "m", Some((&question, json!({"approved": true})))).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let (status, told) = desk.post("desk", "m", Some((&question, json!({"approved": false})))).await;
    assert_eq!(status, StatusCode::OK);
    let end = told.last().expect("an end");
    assert_eq!((&end["type"], &end["code"]), (&json!("RUN_ERROR"), &json!("budget_used")), "{told:#?}");
    assert_eq!(desk.counting.done("well"), 0);
}
