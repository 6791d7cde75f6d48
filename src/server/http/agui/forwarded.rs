//! What a caller passes to the agent beside the message: state, tools, context and forwarded properties.

use axum::http::StatusCode;
use serde_json::Value;

use super::{invalid, is_none};
use crate::{
    json_size::{Extent, extent},
    protocol::{agui::RunAgentInput, http::Problem, limits::MAX_DEPTH},
    server::{
        problem::problem,
        runs::{self, CallerInput},
    },
};

/// The largest state, in bytes.
const MAX_STATE_BYTES: usize = 8 * 1024 * 1024;
/// How deep a state may be nested: the event that holds it adds two levels.
const MAX_STATE_DEPTH: usize = MAX_DEPTH - 2;
/// The most that `tools`, `context` and `forwardedProps` have together, in bytes: they are stored with the run.
const MAX_FORWARDED_BYTES: usize = 1 << 20;

/// What the agent gets of a request. The state of a client that sends `{}` is none; the agent then gets the thread's.
///
/// # Errors
/// 413 or 422 if the state or the rest is too large or too deep.
pub(super) fn forwarded(input: &RunAgentInput) -> Result<CallerInput, Problem> {
    check_state(&input.state)?;
    let bytes = extent(&(&input.tools, &input.context, &input.forwarded_props)).bytes;
    if bytes > MAX_FORWARDED_BYTES {
        return Err(too_large(format!(
            "`tools`, `context` and `forwardedProps` have {bytes} bytes together; they have at most {MAX_FORWARDED_BYTES}"
        )));
    }
    let given = |value: &Value| Some(value.clone()).filter(|value| !is_none(value));
    Ok(CallerInput {
        state: given(&input.state),
        results: Vec::new(),
        tools: input.tools.clone(),
        context: input.context.clone(),
        forwarded_props: given(&input.forwarded_props),
    })
}

/// Whether a state can become an event of the run.
fn check_state(state: &Value) -> Result<(), Problem> {
    let Extent { bytes, depth } = extent(state);
    if bytes > MAX_STATE_BYTES {
        return Err(too_large(format!("`state` has {bytes} bytes; it has at most {MAX_STATE_BYTES}")));
    }
    if depth > MAX_STATE_DEPTH {
        return Err(invalid(format!("`state` is nested deeper than {MAX_STATE_DEPTH} levels")));
    }
    runs::check_state(state).map_err(|error| too_large(format!("`state` cannot be kept: {error}")))
}

fn too_large(detail: String) -> Problem {
    problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}
