//! Errors of a model: each has its code and its sentence, and closes everything that is open.

use netra::thread::{RunState, RunView};
use serde_json::json;

use crate::model::{
    Harness, Model, failure,
    server::{Piece, Reply, call, error_reply, reasoning, text, text_reply},
    texts,
};

async fn failed(reply: Reply) -> RunView {
    let model = Model::with([reply]).await;
    let run = Harness::with(&model, json!({"first_token_timeout_ms": 300, "silence_timeout_ms": 300}))
        .await
        .ask("hello")
        .await;
    assert_eq!(model.requests().len(), 1, "requested once");
    run
}

#[tokio::test]
async fn each_refusal_has_its_code_and_its_sentence() {
    let wait = || vec![("retry-after", "30".to_owned())];
    for (reply, code, words) in [
        (
            error_reply(401, "invalid_api_key", "Incorrect key"),
            "model_unauthorized",
            "does not accept this agent's key",
        ),
        (Reply::Status(429, wait(), "{}".into()), "model_rate_limited", "Try again in 30 s."),
        (error_reply(403, "region", "Country not supported"), "model_refused", "Country not supported"),
        (
            error_reply(429, "x", "Check your billing details. Please retry in 26s."),
            "model_rate_limited",
            "again in 26 s.",
        ),
        (Reply::Status(500, Vec::new(), "oops".into()), "model_unavailable", "HTTP 500"),
        (Reply::Status(529, wait(), "{}".into()), "model_unavailable", "HTTP 529"),
        (
            error_reply(400, "context_length_exceeded", "maximum context length"),
            "context_too_long",
            "Begin a new thread",
        ),
        (error_reply(404, "model_not_found", "The model does not exist"), "model_refused", "The model does not exist"),
        (
            Reply::Status(200, Vec::new(), "<html>Sign in</html>".into()),
            "model_malformed",
            "an answer that cannot be read",
        ),
        (Reply::Silence, "model_timeout", "sent nothing"),
    ] {
        let run = failed(reply).await;
        let (found, message) = failure(&run);
        assert!(found == code && message.contains(words), "{code}: {found}: {message}");
        assert!(!message.contains("sk-of-the-tests"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_the_part_that_arrived_and_is_closed() {
    for (last, code) in [
        (Piece::Cut, "model_cut"),
        (Piece::Hang, "model_timeout"),
        (Piece::Data("{\"choices\":[".into()), "model_malformed"),
        (Piece::Data(json!({"error": {"message": "Overloaded"}}).to_string()), "model_unavailable"),
    ] {
        let run = failed(Reply::Stream(vec![reasoning("hm"), text("So far"), call(0, "c1", "look"), last])).await;
        assert_eq!((failure(&run).0, texts(&run)), (code, vec!["So far"]));
    }
}

#[tokio::test]
async fn a_provider_that_does_not_listen_is_reported_as_unreachable() {
    let mut model = Model::with([]).await;
    model.url = "http://127.0.0.1:1/v1".into();
    let run = Harness::new(&model).await.ask("hello").await;
    assert_eq!(failure(&run).0, "model_unreachable");
}

#[tokio::test]
async fn a_request_to_a_busy_provider_is_repeated_and_the_wait_is_a_step() {
    let busy = || Reply::Status(429, vec![("retry-after-ms", "50".into())], "{}".into());
    let model = Model::with([
        busy(),
        Reply::Status(503, vec![("retry-after-ms", "50".into())], "{}".into()),
        text_reply("Here."),
    ])
    .await;
    let harness = Harness::with(&model, json!({"max_retry_wait_ms": 5000})).await;
    let run = harness.ask("hello").await;
    assert_eq!((&run.state, texts(&run), model.requests().len()), (&RunState::Finished, vec!["Here."], 3));
    let steps = harness.events(run.run_id).await.iter().filter(|event| event.kind() == "STEP_STARTED").count();
    assert_eq!(steps, 2);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_reported_and_not_waited() {
    let model =
        Model::with([Reply::Status(429, vec![("retry-after", "600".into())], "{}".into()), text_reply("never")]).await;
    let run = Harness::with(&model, json!({"max_retry_wait_ms": 5000})).await.ask("hello").await;
    assert_eq!(
        failure(&run),
        ("model_rate_limited", "The model's provider accepts no more requests now. Try again in 10 minutes.")
    );
}

#[tokio::test]
async fn a_request_is_not_repeated_once_something_was_shown() {
    let model = Model::with([
        Reply::Stream(vec![text("Half"), Piece::Data(json!({"error": {"message": "Overloaded"}}).to_string())]),
        text_reply("never"),
    ])
    .await;
    let run = Harness::with(&model, json!({"max_retry_wait_ms": 5000})).await.ask("hello").await;
    assert_eq!((failure(&run).0, model.requests().len()), ("model_unavailable", 1));
}
