//! The conversations that every framework is held to, through Netra and without it.

use futures_util::StreamExt;
use netra::{protocol::ThreadId, thread::RunState};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    frameworks::{
        PATIENCE,
        application::Application,
        conversation::{Held, Step, calls, held_alike, question, through_netra},
        model::BEGINNING,
    },
    remote::house::said,
    support::{ADMIN, Client, Setup},
};

/// The step that gives an answer.
pub(crate) type Answering = fn(Value) -> Step;

/// A framework and how its application is asked.
pub(crate) struct Framework {
    /// The name of its application, which the file of its requirements has, too.
    pub(crate) name: &'static str,
    /// Where its agent is.
    pub(crate) path: &'static str,
    /// Where an agent with a sub-agent is.
    pub(crate) team: Option<&'static str>,
    /// Where its agent is that tells what it waits for as the adapter is installed, and how that takes an answer.
    pub(crate) default: Option<(&'static str, Answering)>,
    /// How its agent takes an answer.
    pub(crate) answer: Answering,
    /// What a person answers who allows something, and who does not.
    pub(crate) answers: [fn() -> Value; 2],
    /// Whether it stops its model once nobody reads what it says. Where it does not, nothing over HTTP makes it.
    pub(crate) stops_its_model: bool,
    /// Whether the application, asked directly, goes on where a person says something else instead of answering its question.
    pub(crate) goes_on_without_netra: bool,
}

fn tells_of(held: &Held, run: usize, words: &str) {
    let run = &held.runs[run];
    assert!(said(run).contains(words), "{words:?} in {run:#?}");
}

/// Three turns; in the second and the third the model is told of the tool's result.
pub(crate) async fn three_turns_with_a_tool_reach_the_model_as_they_do_without_netra(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let steps =
        [Step::Say("What is the weather in Oslo?"), Step::Say("Thank you."), Step::Say("How is the weather in Rome?")];
    let held = held_alike(&application, framework.path, &steps).await;
    for (run, city) in [(0, "Oslo"), (2, "Rome")] {
        let expected = format!("sunny in {city}");
        let calls = calls(&held.runs[run]);
        let [(tool, Some(result))] = calls[..] else { panic!("one call with a result, not {calls:?}") };
        assert!(tool == "weather" && result.contains(&expected), "{tool}: {result}");
        tells_of(&held, run, &expected);
    }
    assert_eq!(calls(&held.runs[1]), []);
}

/// The state that a tool changes comes back with the next message.
pub(crate) async fn its_state_is_kept_and_given_back(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let held = held_alike(&application, framework.path, &[Step::Say("Remember one"), Step::Say("Remember two")]).await;
    assert_eq!(held.state["facts"], json!(["one", "two"]), "{}", held.state);
}

/// A person says yes, no, or something else; the thread goes on after each.
pub(crate) async fn a_person_says_yes_no_or_something_else_and_the_thread_goes_on(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let [yes, no] = framework.answers;
    let paths = [Some((framework.path, framework.answer)), framework.default];
    for (path, answer) in paths.into_iter().flatten() {
        let steps = [Step::Say("Mail bob"), answer(yes()), Step::Say("Thank you.")];
        let held = conversation(&application, framework, path, &steps).await;
        let asked = question(&held.runs[0]);
        assert!(!asked.contains("FunctionResponse"), "in a person's words, not {asked}");
        assert!(calls(&held.runs[0]).iter().any(|(_, result)| result.is_some_and(|said| said.contains("mail sent"))));
        tells_of(&held, 1, "mail sent to bob");
        tells_of(&held, 2, "You said: Thank you.");

        let steps = [Step::Say("Mail bob"), answer(no()), Step::Say("Thank you.")];
        let held = conversation(&application, framework, path, &steps).await;
        assert!(!said(&held.runs[1]).contains("mail sent"), "{}", said(&held.runs[1]));
        tells_of(&held, 2, "You said: Thank you.");
    }
    let steps = [Step::Say("Mail bob"), Step::Say("What is the weather in Oslo?"), Step::Say("Thank you.")];
    let held = match framework.goes_on_without_netra {
        true => held_alike(&application, framework.path, &steps).await,
        false => through_netra(&application, framework.path, &steps).await,
    };
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model takes the order of messages");
    assert!(!said(&held.runs[1]).contains("mail sent"), "{}", said(&held.runs[1]));
    tells_of(&held, 1, "sunny in Oslo");
    tells_of(&held, 2, "You said: Thank you.");
}

/// Alike where the same answer is also given without Netra.
async fn conversation(application: &Application, framework: &Framework, path: &str, steps: &[Step]) -> Held {
    if path == framework.path || steps.iter().any(|step| matches!(step, Step::Command(_))) {
        return held_alike(application, path, steps).await;
    }
    let held = through_netra(application, path, steps).await;
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model takes the order of messages");
    held
}

/// What a sub-agent found out is told, and the next turn goes on.
pub(crate) async fn a_sub_agents_answer_comes_back_and_the_next_turn_goes_on(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let team = framework.team.expect("a sub-agent");
    let held = held_alike(&application, team, &[Step::Say("Research Oslo"), Step::Say("Thank you.")]).await;
    tells_of(&held, 0, "sunny in Oslo");
    assert_eq!(said(&held.runs[1]).trim(), "You said: Thank you.");
}

/// A thread whose restated state has grown beyond 1 MiB goes on.
pub(crate) async fn a_thread_of_more_than_1_mib_of_restated_state_goes_on(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let steps = ["Read one", "Read two", "Thank you."].map(Step::Say);
    let held = held_alike(&application, framework.path, &steps).await;
    let bytes = held.state.to_string().len();
    assert!(bytes > 1 << 20, "the state has {bytes} bytes");
    tells_of(&held, 2, "You said: Thank you.");
    for run in &held.runs[..2] {
        let result = calls(run)[0].1.unwrap_or_default();
        assert!(result.len() > 1 << 19, "what was said before is there whole, not {} bytes of it", result.len());
    }
}

async fn until(is: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !is() {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}, in time"));
}

/// The application stops its model when the person stops the run, if it ever does, and the thread goes on.
pub(crate) async fn a_run_is_stopped_and_the_thread_goes_on(framework: &Framework) {
    let application = Application::start(framework.name).await;
    let house = application.house(framework.path).await;
    let run = house.ask("Talk without an end").await;
    house.until(|view| view.run(run).is_some_and(|run| said(run).starts_with(BEGINNING))).await;
    assert_eq!(application.model.endless_answers(), 1);
    house.stop(run).await;
    if framework.stops_its_model {
        until(|| application.model.endless_answers() == 0, "the application stops its model").await;
    }
    let next = house.answer("Thank you.").await;
    assert!(said(&next).contains("You said: Thank you."), "{next:#?}");
}

/// The run of an application that dies ends with what was said, and the thread goes on once it is back.
pub(crate) async fn what_was_said_before_it_was_killed_is_kept_and_the_thread_goes_on(framework: &Framework) {
    let mut application = Application::start(framework.name).await;
    let house = application.house(framework.path).await;
    house.answer("What is the weather in Oslo?").await;
    let run = house.ask("Talk without an end").await;
    house.until(|view| view.run(run).is_some_and(|run| said(run).starts_with(BEGINNING))).await;
    application.kill().await;
    let over = house.until_over(run).await;
    assert!(
        matches!(&over.state, RunState::Failed { code: Some(code), .. } if code == "stream_cut"),
        "{:?}",
        over.state
    );
    assert!(said(&over).starts_with(BEGINNING), "what was said is kept: {}", said(&over));
    application.restart().await;
    let next = house.answer("Thank you.").await;
    assert!(said(&next).contains("You said: Thank you."), "{next:#?}");
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model takes the order of messages");
}

/// A server that dies in the middle of an answer has what was seen of it when it is back, and the thread goes on.
pub(crate) async fn what_was_seen_before_the_server_was_killed_is_kept_and_the_thread_goes_on(framework: &Framework) {
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
            request.send().await.expect("it answers")
        }
    };
    let answer = ask(Client::new(&server), token, "Talk without an end").await;
    let (mut stream, mut seen) = (answer.bytes_stream(), String::new());
    while !seen.contains("three") {
        let chunk = timeout(PATIENCE, stream.next()).await.expect("in time").expect("more").expect("a chunk");
        seen.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    let server = server.kill().await.restart().await;
    if framework.stops_its_model {
        until(|| application.model.endless_answers() == 0, "the application stops its model").await;
    }
    let token = server.token(ADMIN).await;
    let next = ask(Client::new(&server), token, "Thank you.").await.text().await.expect("text");
    assert!(next.contains("RUN_FINISHED") && next.contains("Thank"), "{next}");
    let page = server.signed_in(ADMIN).await.get(&format!("/threads/{thread}")).await.text().await.expect("a page");
    assert!(page.contains(BEGINNING), "what was seen before is there");
    assert_eq!(application.model.refusals(), Vec::<String>::new(), "the model takes the order of messages");
}

/// A test for each of these conversations. `slow`: the packages take long to install, so only `make frameworks` runs them.
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
