//! A user's consent through the whole server: a model requests a call, an MCP server counts it, and the server is killed in
//! between.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{once::CountingServer, *};
use crate::{
    model::server::{Model, Reply, call_reply, text_reply},
    support::{ADMIN, Client, Setup, TestServer},
};

/// A server with an agent whose model calls `tool` first and sends texts after it.
pub(super) struct ToolAgent {
    pub(super) model: Model,
    counting: Arc<CountingServer>,
    server: TestServer,
}

impl ToolAgent {
    async fn new(tool: &str, texts: &[&str]) -> Self {
        Self::with(Setup::default(), tool, texts.iter().map(|words| text_reply(words))).await
    }

    async fn with(setup: Setup, tool: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        let name = format!("x__{tool}");
        let call = call_reply(&[(name.as_str(), "c1", json!({"amount": 5}))]);
        let model = Model::with([call].into_iter().chain(replies)).await;
        let (counting, tools) = CountingServer::start().await;
        Self { counting, ..Self::with_model(setup, model, &["x"], &tools).await }
    }

    /// Starts a server with an agent that uses `model` and these tool sources.
    pub(super) async fn with_model(setup: Setup, model: Model, sources: &[&str], tools: &str) -> Self {
        let agent = format!(
            "[[agents]]\nid = \"model\"\nname = \"Model\"\nkind = \"model\"\nmodel = \"scripted\"\n\
             base_url = \"{}\"\ntitles = false\ntools = {sources:?}\n{tools}",
            model.url
        );
        Self { model, counting: Arc::default(), server: setup.file(&agent).start().await }
    }

    /// Sends a message, or approves the interrupt `approved`; returns the run's events.
    pub(super) async fn ask(&self, message: &str, approved: Option<&Value>) -> Vec<Value> {
        let payload = json!({"approved": true});
        self.post("desk", message, approved.map(|interrupt| (interrupt, payload))).await.1
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
        let answer = request.bearer_auth(token).json(&body).send().await.expect("the server answers");
        let status = answer.status();
        let text = timeout(TEST_TIMEOUT, answer.text()).await.expect("it ends in time").unwrap_or_default();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        (status, data.map(|data| serde_json::from_str(data).expect("JSON")).collect())
    }

    /// The interrupt with which the agent asks for consent.
    async fn interrupt(&self) -> Value {
        let events = self.ask("m", None).await;
        let interrupt = events.last().expect("an end")["outcome"]["interrupts"][0].clone();
        assert_eq!(interrupt["reason"], "tool_call", "{events:#?}");
        interrupt
    }

    /// Kills the server and starts it again.
    pub(super) async fn kill_and_restart(self) -> Self {
        let server = self.server.kill().await.restart().await;
        Self { server, ..self }
    }

    /// Sends the server SIGTERM.
    pub(super) fn terminate(&self) {
        self.server.signal("TERM");
    }

    /// Waits until the server has ended, and starts it again.
    pub(super) async fn wait_and_restart(self) -> Self {
        let (code, stopped) = self.server.wait().await;
        assert_eq!(code, Some(0));
        Self { server: stopped.restart().await, ..self }
    }
}

#[tokio::test]
async fn a_call_is_allowed_after_its_server_was_killed_and_performed_once() {
    let tool_agent = ToolAgent::new("well", &["Paid."]).await;
    let interrupt = tool_agent.interrupt().await;
    let tool_agent = tool_agent.kill_and_restart().await;
    assert_eq!(tool_agent.counting.calls_of("well"), 0, "the call was not allowed");
    let events = tool_agent.ask("m", Some(&interrupt)).await;
    assert!(events.iter().any(|event| event["delta"] == "Paid."), "{events:#?}");
    assert_eq!(tool_agent.counting.calls_of("well"), 1);
    let messages = tool_agent.model.requests()[1].body["messages"].to_string();
    assert!(messages.contains("\"done\""), "the model has the result: {messages}");
    // The same answer again.
    tool_agent.ask("m", Some(&interrupt)).await;
    assert_eq!(tool_agent.counting.calls_of("well"), 1);
}

#[tokio::test]
async fn an_allowed_call_of_a_killed_server_is_not_repeated() {
    let tool_agent = ToolAgent::new("hold", &["I see.", "I see."]).await;
    let interrupt = tool_agent.interrupt().await;
    {
        let answering = tool_agent.ask("m", Some(&interrupt));
        let called = until("it is called", || tool_agent.counting.calls_of("hold") == 1);
        tokio::select! {
            events = answering => panic!("it has no end yet: {events:#?}"),
            () = called => {}
        }
    }
    let tool_agent = tool_agent.kill_and_restart().await;
    tool_agent.ask("m", Some(&interrupt)).await;
    let events = tool_agent.ask("what now", None).await;
    assert!(events.iter().any(|event| event["delta"] == "I see."), "{events:#?}");
    assert_eq!(tool_agent.counting.calls_of("hold"), 1);
    let requests = tool_agent.model.requests();
    let messages = requests.last().expect("a request").body["messages"].clone();
    let result = messages.as_array().expect("messages").iter().find(|message| message["role"] == "tool");
    assert!(result.is_some_and(|result| !result["content"].to_string().contains("refused")), "{messages}");
}

#[tokio::test]
async fn a_user_without_budget_can_refuse_a_call_but_not_allow_it() {
    let setup = Setup::default().with("RUNS__DAILY_TOKENS_PER_USER", 150);
    let tool_agent = ToolAgent::with(setup, "well", [text_reply("That was the rest of it.")]).await;
    let interrupt = tool_agent.interrupt().await;
    tool_agent.post("another", "more", None).await;
    let (status, _) = tool_agent.post("desk", "m", Some((&interrupt, json!({"approved": true})))).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let (status, events) = tool_agent.post("desk", "m", Some((&interrupt, json!({"approved": false})))).await;
    assert_eq!(status, StatusCode::OK);
    let end = events.last().expect("an end");
    assert_eq!((&end["type"], &end["code"]), (&json!("RUN_ERROR"), &json!("budget_used")), "{events:#?}");
    assert_eq!(tool_agent.counting.calls_of("well"), 0);
}
