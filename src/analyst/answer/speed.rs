//! Answers about latency.

use crate::analyst::{
    analysis::Analysis,
    format::{decimal, inline_code, millis, percent},
    profile::Profile,
};

/// Why the log shows no latency.
fn no_latency(profile: &Profile) -> &'static str {
    if profile.sums {
        "the rows of the log are sums of requests, so the latency of single requests is not known."
    } else {
        "the log has no latency, so how fast answers are cannot be computed. Add a `latency_ms` column, or start and \
        end times; \
         one day is enough."
    }
}

pub(super) fn faster(analysis: &Analysis, factor: Option<f64>) -> String {
    let Some(speed) = &analysis.speed else { return format!("**Speed:** {}", no_latency(&analysis.profile)) };
    let goal = match factor {
        Some(factor) => format!("{} times faster", decimal(factor)),
        None => format!("{} times faster, as an example,", decimal(speed.factor)),
    };
    let mut text = format!(
        "**Speed:** chat answers take {} at the median, {} at the 95th percentile; {goal} means {} and {}.",
        millis(speed.now.p50),
        millis(speed.now.p95),
        millis(speed.now.p50 / speed.factor),
        millis(speed.now.p95 / speed.factor)
    );
    if let (Some(fit), Some(share)) = (speed.fit, speed.output_share) {
        text += &format!(
            " Each output token takes {:.1} ms, which makes {} of the mean latency (a straight line through the log, \
            R² {:.2}).",
            fit.per_output_ms,
            percent(share),
            fit.r2
        );
        text += &match speed.shorten_by {
            Some(shorten) => {
                format!(" Shorter answers alone reach that when they shrink by {}, at no extra cost.", percent(shorten))
            }
            None => " Shorter answers alone cannot reach that: the rest is waiting and reading the prompt.".to_owned(),
        };
    }
    if let Some((model, p50)) = &speed.fastest {
        text += &format!(" The fastest model of the log is {}, with a median of {}.", inline_code(model), millis(*p50));
    }
    text
}

pub(super) fn latency(analysis: &Analysis) -> String {
    let Some(ms) = analysis.profile.latency else { return format!("**Latency:** {}", no_latency(&analysis.profile)) };
    let first = analysis.profile.first_token.map_or_else(String::new, |first| {
        format!(
            " The first token comes after {} at the median, {} at the 95th percentile.",
            millis(first.p50),
            millis(first.p95)
        )
    });
    format!(
        "**Latency:** {} at the median, {} at the 95th percentile, {} at the 99th.{first}",
        millis(ms.p50),
        millis(ms.p95),
        millis(ms.p99)
    )
}

pub(super) fn same_latency(analysis: &Analysis) -> String {
    let now = match analysis.profile.latency {
        Some(latency) => format!("p95 is {} now", millis(latency.p95)),
        None => "the log has no latency to compare it with".into(),
    };
    format!(
        "**Latency:** {now}. Of the options only batch prices make answers slower (hours); cached prefixes and \
        (usually) smaller \
         models do not."
    )
}
