//! The steps that a run of the analyst has only if its question asks for them.

use serde_json::json;

use super::events::EventWriter;
use crate::{
    analyst::{forecast, goals::Question, optimize::Savings, profile::Profile},
    server::runs::AgentError,
};

/// Computes the forecast, as a step of its own.
pub(super) async fn emit_forecast(
    events: &EventWriter<'_>,
    profile: &Profile,
    savings: &Savings,
    question: &Question,
) -> Result<(), AgentError> {
    let step = "Look ahead";
    events.start_step(step).await?;
    let growth = question.growth();
    let growth = growth.map(|(by, every, months)| json!({"by": by, "every_months": every, "months": months}));
    let call = events.start_call("forecast", &json!({"growth": growth})).await?;
    let forecast = forecast::Forecast::compute(profile, savings, question);
    events
        .finish_call(
            call,
            &forecast.map_or_else(
                || json!({"error": "the log has no times, or covers less than a minute"}),
                |forecast| json!(forecast),
            ),
        )
        .await?;
    events.finish_step(step).await
}

/// Measures the latency and what explains it, as a step of its own.
pub(super) async fn emit_speed(
    events: &EventWriter<'_>,
    profile: &Profile,
    question: &Question,
) -> Result<(), AgentError> {
    let step = "Measure speed";
    events.start_step(step).await?;
    let call =
        events.start_call("measure_speed", &json!({"fit": "least squares over input and output tokens"})).await?;
    let speed = forecast::Speed::measure(profile, question);
    events
        .finish_call(call, &speed.map_or_else(|| json!({"error": "the log has no latency"}), |speed| json!(speed)))
        .await?;
    events.finish_step(step).await
}
