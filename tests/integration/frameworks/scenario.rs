//! The conversations that are tested with every framework, through Netra and without it.

use futures_util::StreamExt;
use netra::{protocol::ThreadId, thread::RunState};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    frameworks::{
        application::Application,
        conversation::{Conversation, Step, assert_same_with_netra, calls, question, through_netra},
        model::BEGINNING,
    },
    remote::harness::text_of,
    support::{ADMIN, Client, Setup, TEST_TIMEOUT},
};

/// Makes the step that answers.
pub(crate) type AnswerStep = fn(Value) -> Step;

/// A framework and how its application is called.
pub(crate) struct Framework {
    /// The name of its application and of the file of its requirements.
    pub(crate) name: &'static str,
    /// The path of its agent.
    pub(crate) path: &'static str,
    /// The path of its agent with a sub-agent.
    pub(crate) team: Option<&'static str>,
    /// The path of its agent that asks questions with the adapter's default settings, and how that takes an answer.
    pub(crate) with_default_settings: Option<(&'static str, AnswerStep)>,
    /// How its agent takes an answer.
    pub(crate) answer: AnswerStep,
    /// The answers of a user who allows a call and of one who does not.
    pub(crate) answers: [fn() -> Value; 2],
    /// Whether it stops its model once the client no longer reads its stream.
    pub(crate) stops_model_on_disconnect: bool,
    /// Whether the application, called directly, accepts a message in place of an answer.
    pub(crate) accepts_message_as_answer: bool,
}

fn assert_says(conversation: &Conversation, run: usize, words: &str) {
    let run = &conversation.runs[run];
    assert!(text_of(run).contains(words), "{words:?} in {run:#?}");
}

/// Three turns; in the second and third the model gets the tool's result.
pub(crate) async fn three_turns_with_a_tool_reach_the_model_as_they_do_without_netra(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let steps =
        [Step::Say("What is the weather in Oslo?"), Step::Say("Thank you."), Step::Say("How is the weather in Rome?")];
    let conversation = assert_same_with_netra(&application, framework.path, &steps).await;
    for (run, city) in [(0, "Oslo"), (2, "Rome")] {
        let expected = format!("sunny in {city}");
        let calls = calls(&conversation.runs[run]);
        let [(tool, Some(result))] = calls[..] else { panic!("one call with a result, not {calls:?}") };
        assert!(tool == "weather" && result.contains(&expected), "{tool}: {result}");
        assert_says(&conversation, run, &expected);
    }
    assert_eq!(calls(&conversation.runs[1]), []);
}

/// The state that a tool changes is sent back with the next message.
pub(crate) async fn its_state_is_kept_and_sent_back(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let conversation =
        assert_same_with_netra(&application, framework.path, &[Step::Say("Remember one"), Step::Say("Remember two")])
            .await;
    assert_eq!(conversation.state["facts"], json!(["one", "two"]), "{}", conversation.state);
}

/// A user says yes, no, or something else; the thread continues after each.
pub(crate) async fn a_user_says_yes_no_or_something_else_and_the_thread_continues(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let [yes, no] = framework.answers;
    let paths = [Some((framework.path, framework.answer)), framework.with_default_settings];
    for (path, answer) in paths.into_iter().flatten() {
        let steps = [Step::Say("Mail bob"), answer(yes()), Step::Say("Thank you.")];
        let conversation = converse(&application, framework, path, &steps).await;
        let message = question(&conversation.runs[0]);
        assert!(!message.contains("FunctionResponse"), "a question in words, not {message}");
        assert!(
            calls(&conversation.runs[0])
                .iter()
                .any(|(_, result)| result.is_some_and(|said| said.contains("mail sent")))
        );
        assert_says(&conversation, 1, "mail sent to bob");
        assert_says(&conversation, 2, "You said: Thank you.");

        let steps = [Step::Say("Mail bob"), answer(no()), Step::Say("Thank you.")];
        let conversation = converse(&application, framework, path, &steps).await;
        assert!(!text_of(&conversation.runs[1]).contains("mail sent"), "{}", text_of(&conversation.runs[1]));
        assert_says(&conversation, 2, "You said: Thank you.");
    }
    let steps = [Step::Say("Mail bob"), Step::Say("What is the weather in Oslo?"), Step::Say("Thank you.")];
    let conversation = match framework.accepts_message_as_answer {
        true => assert_same_with_netra(&application, framework.path, &steps).await,
        false => through_netra(&application, framework.path, &steps).await,
    };
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model refused messages in a wrong order");
    assert!(!text_of(&conversation.runs[1]).contains("mail sent"), "{}", text_of(&conversation.runs[1]));
    assert_says(&conversation, 1, "sunny in Oslo");
    assert_says(&conversation, 2, "You said: Thank you.");
}

/// Has a conversation through Netra, and compares it with one without Netra if the application accepts the same steps there.
async fn converse(application: &Application, framework: &Framework, path: &str, steps: &[Step]) -> Conversation {
    if path == framework.path || steps.iter().any(|step| matches!(step, Step::Command(_))) {
        return assert_same_with_netra(application, path, steps).await;
    }
    let conversation = through_netra(application, path, steps).await;
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model refused messages in a wrong order");
    conversation
}

/// A sub-agent's answer is used, and the next turn succeeds.
pub(crate) async fn a_sub_agents_answer_is_used_and_the_next_turn_succeeds(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let team = framework.team.expect("a sub-agent");
    let conversation =
        assert_same_with_netra(&application, team, &[Step::Say("Research Oslo"), Step::Say("Thank you.")]).await;
    assert_says(&conversation, 0, "sunny in Oslo");
    assert_eq!(text_of(&conversation.runs[1]).trim(), "You said: Thank you.");
}

/// A thread whose restated state has grown beyond 1 MiB continues.
pub(crate) async fn a_thread_with_more_than_1_mib_of_restated_state_continues(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let steps = ["Read one", "Read two", "Thank you."].map(Step::Say);
    let conversation = assert_same_with_netra(&application, framework.path, &steps).await;
    let bytes = conversation.state.to_string().len();
    assert!(bytes > 1 << 20, "the state has {bytes} bytes");
    assert_says(&conversation, 2, "You said: Thank you.");
    for run in &conversation.runs[..2] {
        let result = calls(run)[0].1.unwrap_or_default();
        assert!(result.len() > 1 << 19, "the result is complete, not cut to {} bytes", result.len());
    }
}

async fn until(is: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !is() {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(TEST_TIMEOUT, wait).await.unwrap_or_else(|_| panic!("{what}, in time"));
}

/// A stop ends the run and, where the framework supports it, the model's answer; the thread continues.
pub(crate) async fn a_run_is_stopped_and_the_thread_continues(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let harness = application.harness(framework.path).await;
    let run = harness.begin("Talk without an end").await;
    harness.until(|view| view.run(run).is_some_and(|run| text_of(run).starts_with(BEGINNING))).await;
    assert_eq!(application.model.endless_answers(), 1);
    harness.stop(run).await;
    if framework.stops_model_on_disconnect {
        until(|| application.model.endless_answers() == 0, "the application stops its model").await;
    }
    let next = harness.ask("Thank you.").await;
    assert!(text_of(&next).contains("You said: Thank you."), "{next:#?}");
}

/// The run of an application that is killed keeps its text, and the thread continues after the restart.
pub(crate) async fn the_text_of_a_killed_application_is_kept_and_the_thread_continues(framework: &Framework) {
    let mut application = Application::start(framework.name).await;
    let harness = application.harness(framework.path).await;
    harness.ask("What is the weather in Oslo?").await;
    let run = harness.begin("Talk without an end").await;
    harness.until(|view| view.run(run).is_some_and(|run| text_of(run).starts_with(BEGINNING))).await;
    application.kill().await;
    let over = harness.until_over(run).await;
    assert!(
        matches!(&over.state, RunState::Failed { code: Some(code), .. } if code == "stream_cut"),
        "{:?}",
        over.state
    );
    assert!(text_of(&over).starts_with(BEGINNING), "what was said is kept: {}", text_of(&over));
    application.restart().await;
    let next = harness.ask("Thank you.").await;
    assert!(text_of(&next).contains("You said: Thank you."), "{next:#?}");
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model refused messages in a wrong order");
}

/// A server that is killed during an answer keeps the text that was sent, and the thread continues after the restart.
pub(crate) async fn the_text_sent_by_a_killed_server_is_kept_and_the_thread_continues(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let agent = format!(
        "[[agents]]\nid = \"remote\"\nname = \"Remote\"\nkind = \"ag-ui\"\nurl = \"{}{}\"\nallow_private_network = true\n",
        application.url, framework.path
    );
    let server = Setup::default().file(&agent).start().await;
    let (token, thread) = (server.token(ADMIN).await, ThreadId::new().to_string());
    let ask = |client: Client, token: String, text: &'static str| {
        let messages = json!([{"id": text, "role": "user", "content": text}]);
        let input = json!({"threadId": thread, "runId": text, "messages": messages, "tools": [], "context": [],
            "state": {}, "forwardedProps": {}});
        async move {
            let request = client.request(Method::POST, "/api/agents/remote/agui").bearer_auth(token).json(&input);
            request.send().await.expect("the server answers")
        }
    };
    let answer = ask(Client::new(&server), token, "Talk without an end").await;
    let (mut stream, mut seen) = (answer.bytes_stream(), String::new());
    while !seen.contains("three") {
        let chunk =
            timeout(TEST_TIMEOUT, stream.next()).await.expect("in time").expect("another chunk").expect("a chunk");
        seen.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    let server = server.kill().await.restart().await;
    if framework.stops_model_on_disconnect {
        until(|| application.model.endless_answers() == 0, "the application stops its model").await;
    }
    let token = server.token(ADMIN).await;
    let next = ask(Client::new(&server), token, "Thank you.").await.text().await.expect("text");
    assert!(next.contains("RUN_FINISHED") && next.contains("Thank"), "{next}");
    let page = server.signed_in(ADMIN).await.get(&format!("/threads/{thread}")).await.text().await.expect("a page");
    assert!(page.contains(BEGINNING), "the text sent before is in the log");
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model refused messages in a wrong order");
}

/// Makes a test of each conversation. `slow`: the packages take long to install, so only `make frameworks` runs it.
macro_rules! conversations {
    ($framework:ident: $($conversation:ident)*) => {
        $(
            #[tokio::test]
            async fn $conversation() {
                crate::frameworks::scenario::$conversation(&$framework).await;
            }
        )*
    };
    (slow $framework:ident: $($conversation:ident)*) => {
        $(
            #[tokio::test]
            #[ignore = "run by `make frameworks`: its packages take long to install"]
            async fn $conversation() {
                crate::frameworks::scenario::$conversation(&$framework).await;
            }
        )*
    };
}
pub(crate) use conversations;
