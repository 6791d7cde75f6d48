//! An independent validator checks the events.

use super::*;

/// Installs the independent validator, which may take longer than other steps.
async fn validator() -> PathBuf {
    let install = || python::environment("ag-ui-validate", "ag-ui-validate==0.4.0\n").join("ag-ui-validate");
    spawn_blocking(install).await.expect("the task does not panic")
}

/// Validates a stream with the independent program.
async fn validate(program: &Path, folder: &Path, name: &str, stream: &str) {
    let capture = folder.join("capture.sse");
    std::fs::write(&capture, stream).expect("the file is written");
    let mut command = Command::new(program);
    command.arg(&capture).args(["--max-warnings", "0", "--no-color"]);
    let judged = blocking(move || command.output()).await.expect("the program runs");
    assert!(judged.status.success(), "{name}: {}", String::from_utf8_lossy(&judged.stdout));
}

#[tokio::test]
async fn an_independent_validator_reports_no_warning() {
    let program = validator().await;
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples/support-assistant.csv");
    let thread = ThreadId::new().to_string();
    caller.ask("analyst", &input(&thread, "no file yet", "Where do my tokens go?")).await;
    let browser = server.signed_in(ADMIN).await;
    let uploaded = browser.upload(&thread, "log.csv", std::fs::read(sample).expect("the sample")).await;
    assert_eq!(uploaded.status(), StatusCode::CREATED);
    let question = "Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month";
    for (name, agent, message, text) in [
        ("without a file", "analyst", "no file yet", "Where do my tokens go?"),
        ("the whole analysis", "analyst", "with a file", question),
        ("a recorded run", "replay", "recorded", "Play it"),
    ] {
        let received = self::text(caller.post(agent, &input(&thread, message, text)).await).await;
        validate(&program, server.folder(), name, &received).await;
    }
}

#[tokio::test]
async fn a_model_with_tools_consent_and_the_callers_tools_passes_too() {
    let program = validator().await;
    let scripted = Model::with([
        stream(
            [reasoning("Which "), reasoning("files?"), word("I will look. "), call(0, "c1", "list_files")],
            "tool_calls",
        ),
        call_reply(&[("describe_log", "c2", json!({}))]),
        call_reply(&[("pick_colour", "c3", json!({"of": "the chart"}))]),
        text_reply("Blue it is."),
    ])
    .await;
    let agent = format!(
        "[[agents]]\nid = \"model\"\nname = \"Model\"\nkind = \"model\"\nmodel = \"scripted\"\nbase_url = \"{}\"\n\
         titles = false\ntools = [\"data\"]\n[[tools]]\nid = \"data\"\nkind = \"builtin\"\n\
         consent = {{ default = \"automatic\", describe_log = \"ask\" }}\n",
        scripted.url
    );
    let server = Setup::default().file(&agent).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let mut body = input("modelled", "m", "What is there?");
    body["tools"] = json!([{"name": "pick_colour", "description": "Picks.", "parameters": {"type": "object"}}]);

    let first = text(caller.post("model", &body).await).await;
    validate(&program, server.folder(), "until it asks", &first).await;
    let received = events(&first);
    let interrupt = received.last().expect("an end")["outcome"]["interrupts"][0].clone();
    assert_eq!(interrupt["reason"], "tool_call", "{received:#?}");

    let mut answer = body.clone();
    answer["resume"] = json!([{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": true}}]);
    let second = text(caller.post("model", &answer).await).await;
    validate(&program, server.folder(), "after consent", &second).await;
    let received = events(&second);
    let pending = received.last().expect("an end")["outcome"]["pendingToolCallIds"].clone();
    assert_eq!(pending.as_array().map(Vec::len), Some(1), "{received:#?}");

    let result = json!({"id": "r", "role": "tool", "toolCallId": pending[0], "content": "blue, said the caller"});
    body["messages"].as_array_mut().expect("messages").push(result);
    let third = text(caller.post("model", &body).await).await;
    validate(&program, server.folder(), "with the caller's result", &third).await;
    assert!(third.contains("Blue it is."), "{third}");
    let requests = scripted.requests();
    let messages = requests.last().expect("four requests").body["messages"].to_string();
    assert!(requests.len() == 4 && messages.contains("blue, said the caller"), "{messages}");
}
