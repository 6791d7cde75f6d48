//! What a caller sends: bounded in bytes while it is read, and in what it becomes before it is parsed.

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

/// The largest input, in bytes: callers send the whole conversation along, with the files in it.
const MAX_INPUT_BYTES: usize = 12 * 1024 * 1024;
/// The most values in it: each takes some hundred bytes once it is parsed. A conversation of 10,000 messages has half as many.
const MAX_INPUT_VALUES: usize = 200_000;
/// The most that is held of all inputs together, in KiB, until their runs have begun.
const MAX_HELD_KIB: usize = 4 * MAX_INPUT_BYTES / 1024;
/// How long an input waits for others to be done with.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

static ROOM: Semaphore = Semaphore::const_new(MAX_HELD_KIB);

/// An input as it came, and as it was read.
#[derive(Debug)]
pub(in crate::server::http) struct Input {
    /// What it says.
    pub(super) input: RunAgentInput,
    bytes: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

impl Input {
    /// The conversation as the caller wrote it.
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
        let (bytes, room) = read(body).await?;
        let values = json_size::values(&bytes);
        if values > MAX_INPUT_VALUES {
            let detail = format!("the body has {values} values; it has at most {MAX_INPUT_VALUES}");
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        check_bytes(&bytes)?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let input = serde_path_to_error::deserialize(&mut json).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { input, bytes, _room: room })
    }
}

/// Reads a body, holding room for as much of it as is there.
async fn read(body: Body) -> Result<(Bytes, Option<SemaphorePermit<'static>>), Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut room: Option<SemaphorePermit<'static>> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            problem(StatusCode::BAD_REQUEST, "bad_request", format!("the body could not be read: {error}"))
        })?;
        let length = bytes.len() + chunk.len();
        if length > MAX_INPUT_BYTES {
            let detail = format!("the body has at most {MAX_INPUT_BYTES} bytes");
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
        }
        let held = room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = length.div_ceil(1024).saturating_sub(held);
        let more = timeout(ROOM_TIMEOUT, ROOM.acquire_many(u32::try_from(more).unwrap_or(u32::MAX))).await;
        let more = more.ok().and_then(Result::ok).ok_or_else(|| {
            let message = "many large requests are being read; try again in a moment";
            Problem::from(ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000))
        })?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.into(), room))
}
