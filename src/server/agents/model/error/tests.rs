//! Errors as providers send them, and what becomes of them.

use serde_json::json;

use super::*;

#[test]
fn each_status_is_one_error() {
    let of = |status, body: &str| ModelError::from_status(status, body, None, Some("sk-secret"));
    assert_eq!(of(401, "{}"), ModelError::Unauthorized);
    assert_eq!(of(403, "no").code(), "model_refused");
    assert_eq!(of(429, "{}"), ModelError::RateLimited { retry_after: None, message: None });
    assert_eq!(of(503, ""), ModelError::Unavailable { status: Some(503), retry_after: None, message: None });
}

/// Bodies as providers send them.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn errors_of_each_provider_are_recognised() {
    let of = |status, body: &str| ModelError::from_status(status, body, None, None).code();
    for (status, code, body) in [
        // OpenAI, and those with the same API: DeepSeek, vLLM, OpenRouter.
        (
            400,
            "context_too_long",
            r#"{"error":{"code":"context_length_exceeded","message":"This model's maximum context length is 8192 tokens."}}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"error":{"message":"This model's maximum context length is 65536 tokens. However, you requested 69648 tokens (69648 in the messages, 0 in the completion). Please reduce the length of the messages or completion.","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"object":"error","message":"This model's maximum context length is 32768 tokens. However, you requested 40000 tokens in the messages.","type":"BadRequestError","param":null,"code":400}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"error":{"message":"This endpoint's maximum context length is 64000 tokens. However, you requested about 100000 tokens (92000 of text input, 8000 in the output).","code":400}}"#,
        ),
        (
            429,
            "context_too_long",
            r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 342389. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
        ),
        (
            429,
            "model_refused",
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        ),
        (
            429,
            "model_refused",
            r#"{"error":{"message":"Your account is not active, please check your billing details on our website.","type":"billing_not_active","param":null,"code":"billing_not_active"}}"#,
        ),
        (
            403,
            "model_refused",
            r#"{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}"#,
        ),
        (
            402,
            "model_refused",
            r#"{"error":{"message":"Prompt tokens limit exceeded: 230799 > 91442. To increase, visit https://openrouter.ai/settings/keys","code":402}}"#,
        ),
        (
            403,
            "model_refused",
            r#"{"error":{"message":"Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys","code":403}}"#,
        ),
        // Anthropic.
        (
            400,
            "context_too_long",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}"#,
        ),
        (
            413,
            "context_too_long",
            r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
        ),
        (
            400,
            "model_refused",
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#,
        ),
        (403, "model_refused", r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#),
        (529, "model_unavailable", r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
        // Gemini.
        (
            400,
            "context_too_long",
            r#"[{"error":{"code":400,"message":"The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]"#,
        ),
        (
            400,
            "model_unauthorized",
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}]"#,
        ),
        (
            400,
            "model_refused",
            r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
        ),
        // xAI.
        (
            400,
            "context_too_long",
            r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#,
        ),
        (
            400,
            "model_unauthorized",
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***yz. You can obtain an API key from https://console.x.ai."}"#,
        ),
        // Groq.
        (
            413,
            "context_too_long",
            r#"{"error":{"message":"Request too large for model `llama-3.1-8b-instant` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your message size and try again. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing","type":"tokens","code":"rate_limit_exceeded"}}"#,
        ),
        (
            400,
            "context_too_long",
            r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
        // Mistral.
        (
            400,
            "context_too_long",
            r#"{"object":"error","message":"Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}"#,
        ),
        // Local servers: llama.cpp, Ollama, LM Studio.
        (
            400,
            "context_too_long",
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}"#,
        ),
        (500, "context_too_long", r#"{"error":"prompt too long; exceeded max context length by 1200 tokens"}"#),
        (
            400,
            "context_too_long",
            r#"{"error":"Trying to keep the first 5000 tokens when context the overflows. However, the number of tokens to keep from the initial prompt is greater than the context length."}"#,
        ),
        (404, "model_refused", r#"{"error":"model \"llama9\" not found, try pulling it first"}"#),
        // LiteLLM.
        (
            400,
            "context_too_long",
            r#"{"error":{"message":"litellm.ContextWindowExceededError: litellm.BadRequestError: Requested token count exceeds the model's limit","type":null,"param":null,"code":"400"}}"#,
        ),
        // Errors that only look like one of these.
        (
            400,
            "model_refused",
            r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}}"#,
        ),
        (429, "model_rate_limited", r#"{"message":"Too many tokens, please wait before trying again."}"#),
    ] {
        assert_eq!(of(status, body), code, "{status} {body}");
    }
}

#[test]
fn the_time_to_wait_is_read_from_the_body_too() {
    let of = |body: &str| match ModelError::from_status(429, body, None, None) {
        ModelError::RateLimited { retry_after, .. } => retry_after.map(|wait| wait.as_millis()),
        other => panic!("{other}: {body}"),
    };
    for (wait, body) in [
        (
            Some(26_000),
            r#"[{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 26.2s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"26s"}]}}]"#,
        ),
        (Some(1_681), r#"{"error":{"code":429,"message":"Please retry in 1.681s."}}"#),
        (
            Some(4_770),
            r#"{"error":{"message":"Rate limit reached for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443. Please try again in 4.77s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing","type":"tokens","code":"rate_limit_exceeded"}}"#,
        ),
        (Some(446_400), r#"{"error":{"message":"Rate limit reached. Please try again in 7m26.4s."}}"#),
        (Some(20), r#"{"error":{"message":"Rate limit reached. Please try again in 20ms. Visit the site."}}"#),
        (Some(30_000), r#"{"error":{"message":"Please retry after 30 seconds.","code":"429"}}"#),
        (None, r#"{"error":{"message":"Please try again in a while."}}"#),
        (None, r#"{"message":"Requests rate limit exceeded"}"#),
    ] {
        assert_eq!(of(body), wait, "{body}");
    }
    let with_header = ModelError::from_status(429, "retry in 5s", Some(Duration::from_secs(2)), None);
    let message = Some("retry in 5s".into());
    let expected = ModelError::RateLimited { retry_after: Some(Duration::from_secs(2)), message };
    assert_eq!(with_header, expected, "the header counts");
}

#[test]
fn a_used_up_account_is_not_tried_again_and_a_403_shows_why() {
    let body = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota."}}"#;
    assert_eq!(ModelError::from_status(429, body, None, None).retry_in(0), None);
    let body = r#"{"error":{"message":"Provider returned error","code":403,"metadata":{"raw":"flagged for violence","reasons":["violence"]}}}"#;
    let error = ModelError::from_status(403, body, None, None).to_string();
    assert!(
        error.contains("HTTP 403") && error.contains("flagged for violence") && error.contains("`api_key`"),
        "{error}"
    );
}

#[test]
fn a_message_is_shortened_and_never_contains_the_key() {
    let body = json!({"error": {"message": format!("bad key sk-secret {}", "x".repeat(1000))}}).to_string();
    let error = ModelError::from_status(404, &body, None, Some("sk-secret")).to_string();
    assert!(error.contains("bad key … x") && !error.contains("sk-secret") && error.len() < 400, "{error}");
}

#[test]
fn errors_within_a_stream_are_distinguished() {
    let of = |body| ModelError::from_event(&body, None).code();
    assert_eq!(of(json!({"message": "Rate limit reached", "code": "rate_limit_exceeded"})), "model_rate_limited");
    assert_eq!(of(json!({"message": "You exceeded your quota", "code": "insufficient_quota"})), "model_refused");
    assert_eq!(of(json!({"type": "overloaded_error", "message": "Overloaded"})), "model_unavailable");
    assert_eq!(of(json!({"message": "This model's maximum context length is 10"})), "context_too_long");
    assert_eq!(of(json!({"message": "no such voice"})), "model_refused");
}

#[test]
fn a_wait_is_written_in_seconds_or_minutes() {
    for (wait, written) in
        [(Some(0), "in 1 s"), (Some(30), "in 30 s"), (Some(3000), "in 50 minutes"), (None, "in a minute")]
    {
        let error = ModelError::RateLimited { retry_after: wait.map(Duration::from_secs), message: None };
        assert!(error.to_string().ends_with(&format!("{written}.")), "{error}");
    }
}

#[test]
fn the_message_of_a_busy_provider_is_kept() {
    for (status, body, message) in [
        (
            503,
            r#"[{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}]"#,
            "The model is overloaded. Please try again later.",
        ),
        (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "Overloaded"),
        (
            429,
            r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"engine_overloaded_error"}}"#,
            "The engine is currently overloaded, please try again later",
        ),
        (503, r#"{"error":"Model is overloaded","error_type":"overloaded"}"#, "Model is overloaded"),
        (502, "upstream connect error", "upstream connect error"),
    ] {
        let error = ModelError::from_status(status, body, None, None).to_string();
        assert!(error.ends_with(&format!(" It says: “{message}”")), "{error}");
    }
    let error = ModelError::from_event(&json!("Model is overloaded"), None);
    let message = Some("Model is overloaded".into());
    assert_eq!(error, ModelError::Unavailable { status: None, retry_after: None, message });
    let bare = ModelError::from_status(503, r#"{"status": 503}"#, None, None).to_string();
    assert_eq!(bare, "The model's provider has a fault (HTTP 503). Try again in a while.");
}

#[test]
fn a_web_page_is_one_plain_sentence() {
    let page = "<!DOCTYPE html>\n<html><head><TITLE>404\n Not Found</TITLE></head><body>rate limit, context window, \
                invalid_api_key</body></html>";
    for (status, sentence) in [
        (
            404,
            "The model's provider refused the request (HTTP 404): it sent a web page (“404 Not Found”) in place of an answer. \
             An administrator has to check `base_url` in the agent's configuration.",
        ),
        (502, "The model's provider has a fault (HTTP 502). Try again in a while."),
        (429, "The model's provider accepts no more requests now. Try again in a minute."),
    ] {
        assert_eq!(ModelError::from_status(status, page, None, None).to_string(), sentence);
    }
    for page in ["<html></html>", "<title>", "<title></title>", "<TITLE é", "<"] {
        let error = ModelError::from_status(400, page, None, None).to_string();
        assert!(error.contains("it sent a web page in place of an answer"), "{error}");
    }
}
