//! Files in the parts of a caller's message.

use super::*;

/// An input whose last message has these parts.
fn input_with_parts(thread: &str, message: &str, parts: Value) -> Value {
    let mut body = input(thread, message, "");
    body["messages"][2]["content"] = parts;
    body
}

fn file(mime_type: &str, value: &str) -> Value {
    json!({"type": "document", "source": {"type": "data", "value": value, "mimeType": mime_type}, "metadata": {"filename": "a log.csv"}})
}

#[tokio::test]
async fn files_in_parts_are_files_of_the_message_and_can_be_downloaded_by_its_owner_alone() {
    let server = Setup::default().start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let log = "timestamp,model,input_tokens,output_tokens\n2026-01-31T12:00:00Z,gpt-4.1,1200,150\n";
    let value = BASE64_STANDARD.encode(log);
    let parts = json!([{"type": "text", "text": "Where do"}, file("text/csv", &value), {"type": "text", "text": "my tokens go?"}]);
    let body = input_with_parts("with a log", "m", parts);
    let received = caller.ask("analyst", &body).await;
    assert!(json!(received).to_string().contains("gpt-4.1"), "the analyst read it: {received:#?}");
    assert_eq!(caller.ask("analyst", &body).await, received, "the same message with the same files is the same run");

    let folder = server.data().join("files").join(netra_id(&received, "threadId"));
    let kept: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(kept.len(), 1, "once: {kept:?}");
    let place = format!("/api/threads/{}/files/{}", netra_id(&received, "threadId"), kept[0].display());
    let browser = server.signed_in(ADMIN).await;
    let answer = browser.get(&place).await;
    let header = |name: header::HeaderName| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header(header::CONTENT_DISPOSITION), "attachment; filename=\"a log.csv\"; filename*=UTF-8''a%20log.csv");
    assert_eq!(header(header::CONTENT_TYPE), "application/octet-stream");
    assert_eq!(answer.text().await.expect("a file"), log);
    let page =
        browser.get(&format!("/threads/{}", netra_id(&received, "threadId"))).await.text().await.expect("a page");
    assert!(page.contains("a log.csv"), "the page shows it with its message");

    server.add_member(ADA).await;
    let ada = server.signed_in(ADA).await;
    problem(ada.get(&place).await, 404, "not_found").await;
    let nothing = format!("/api/threads/{}/files/{}", netra_id(&received, "threadId"), MessageId::new());
    problem(browser.get(&nothing).await, 404, "not_found").await;
    let other = json!([{"type": "text", "text": "Where do\nmy tokens go?"}, file("text/csv", "b3RoZXI=")]);
    problem(caller.post("analyst", &input_with_parts("with a log", "m", other)).await, 409, "conflict").await;
}

#[tokio::test]
async fn an_invalid_part_is_refused_before_any_file_is_stored() {
    let server =
        Setup::default().with("ANALYST__MAX_FILE_BYTES", 8).with("ANALYST__MAX_THREAD_BYTES", 12).start().await;
    let caller = Caller::new(&server, ADMIN).await;
    let words = json!({"type": "text", "text": "Look"});
    let elsewhere = json!({"type": "image", "source": {"type": "url", "value": "http://127.0.0.1:1/secret.png"}});
    let (large, many) = (file("text/csv", "MTIzNDU2Nzg5"), vec![file("text/csv", ""); 9]);
    let cases = [
        (
            json!([words, elsewhere]),
            422,
            "invalid_payload",
            "`content[1]` of the last message points to a file elsewhere",
        ),
        (json!([words, file("text/csv", "?")]), 422, "invalid_payload", "is not base64"),
        (json!([words, large]), 413, "too_large", "`content[1]` of the last message is too large"),
        (
            json!([[words.clone()].as_slice(), &many].concat()),
            422,
            "invalid_payload",
            "`content[9]` of the last message is one file too many",
        ),
        (json!([file("text/csv", "aGk=")]), 422, "invalid_payload", "the text is empty"),
    ];
    for (parts, status, code, why) in cases {
        let body = problem(caller.post("analyst", &input_with_parts("t", "m", parts)).await, status, code).await;
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{body}");
    }
    assert_eq!(std::fs::read_dir(server.data().join("files")).expect("a folder").count(), 0, "no file was stored");
    let both = json!([words, file("text/csv", "MTIzNDU2Nzg="), file("text/csv", "MTIzNDU2Nzg=")]);
    let body = problem(caller.post("analyst", &input_with_parts("t", "m", both)).await, 413, "too_large").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("of a thread")), "{body}");
}
