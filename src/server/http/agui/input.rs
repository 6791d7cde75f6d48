//! Reads the body of a request: limited in bytes while it is read, and in values before it is parsed.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::StatusCode,
};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::invalid;
use crate::{
    json_size,
    protocol::{ErrorBody, ErrorCode, agui::RunAgentInput, http::Problem},
    server::{
        http::extract::{check_bytes, check_json},
        problem::problem,
        state::AppState,
    },
};

/// The largest body, in bytes: callers send the whole conversation, with its files.
const MAX_INPUT_BYTES: usize = 12 * 1024 * 1024;
/// The most JSON values in a body: each takes some hundred bytes once parsed. A conversation of 10,000 messages has half as many.
const MAX_INPUT_VALUES: usize = 200_000;
/// The memory for all bodies together, in KiB; a body keeps its part until its request is answered.
const MAX_TOTAL_KIB: usize = 4 * MAX_INPUT_BYTES / 1024;
/// How long a request waits for that memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(5);

static MEMORY: Semaphore = Semaphore::const_new(MAX_TOTAL_KIB);

/// A body, parsed and as received.
#[derive(Debug)]
pub(in crate::server::http) struct Input {
    /// The request.
    pub(super) parsed: RunAgentInput,
    bytes: Bytes,
    _memory: Option<SemaphorePermit<'static>>,
}

impl Input {
    /// The conversation, exactly as the caller wrote it.
    pub(super) fn messages(&self) -> Value {
        #[derive(Deserialize)]
        struct Messages {
            messages: Value,
        }
        serde_json::from_slice(&self.bytes).map_or(Value::Null, |Messages { messages }| messages)
    }
}

impl FromRequest<AppState> for Input {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_json(&parts.headers)?;
        let (bytes, memory) = read(body).await?;
        let values = json_size::values(&bytes);
        if values > MAX_INPUT_VALUES {
            let detail = format!("the body has {values} values; it has at most {MAX_INPUT_VALUES}");
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        check_bytes(&bytes)?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { parsed, bytes, _memory: memory })
    }
}

/// Reads a body, and reserves memory for the bytes read so far.
async fn read(body: Body) -> Result<(Bytes, Option<SemaphorePermit<'static>>), Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut memory: Option<SemaphorePermit<'static>> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            problem(StatusCode::BAD_REQUEST, "bad_request", format!("the body could not be read: {error}"))
        })?;
        let length = bytes.len() + chunk.len();
        if length > MAX_INPUT_BYTES {
            let detail = format!("the body has at most {MAX_INPUT_BYTES} bytes");
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        let reserved = memory.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = length.div_ceil(1024).saturating_sub(reserved);
        let more = timeout(MEMORY_TIMEOUT, MEMORY.acquire_many(u32::try_from(more).unwrap_or(u32::MAX))).await;
        let more = more.ok().and_then(Result::ok).ok_or_else(|| {
            let message = "many large requests are being read; try again in a moment";
            Problem::from(ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000))
        })?;
        match &mut memory {
            Some(memory) => memory.merge(more),
            None => memory = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.into(), memory))
}
