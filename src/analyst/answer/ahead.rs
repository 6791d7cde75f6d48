//! Answers about the months ahead: growth, a budget, the same spend.

use crate::analyst::{
    analysis::Analysis,
    format::{money_in, percent, whole},
    profile::CostBasis,
};

/// Why there is no forecast.
fn no_forecast(analysis: &Analysis) -> &'static str {
    if analysis.profile.cost_basis == CostBasis::None && analysis.profile.logged_cost.len() > 1 {
        "the log has costs in several currencies, which I do not add up, so nothing can be said about a month."
    } else if analysis.profile.cost_basis == CostBasis::None {
        "the log has no cost and its models have no price, so nothing can be said about money."
    } else {
        "the log has no times (or covers less than a minute), so nothing can be said about a month. Add a \
        `timestamp` column."
    }
}

pub(super) fn same_spend(analysis: &Analysis) -> String {
    let share = analysis.savings.together_share;
    match analysis.question.growth() {
        Some((by, ..)) => {
            let last = analysis.forecast.as_ref().and_then(|forecast| forecast.ahead.last());
            let factor = last.map_or(1.0 + by, |month| month.factor);
            let needed = 1.0 - 1.0 / factor;
            let verdict = if share >= needed { "enough" } else { "not enough" };
            format!(
                "**Same spend:** {factor:.2} times the traffic at the same spend needs {} less cost per request; the \
                changes that \
                 leave answers as they are give {}: {verdict}.",
                percent(needed),
                percent(share)
            )
        }
        None if share > 0.0 => format!(
            "**Same spend:** none of the options costs more; those that leave answers as they are free {} of the \
            list cost, which can \
             pay for a faster tier or model.",
            percent(share)
        ),
        None => "**Same spend:** none of the options costs more, but the log proves no saving that could pay for a \
        faster tier or \
                 model."
            .into(),
    }
}

pub(super) fn growth(analysis: &Analysis) -> String {
    let Some(forecast) = &analysis.forecast else { return format!("**Forecast:** {}", no_forecast(analysis)) };
    let amount = |value: f64| money_in(value, &forecast.currency);
    let (now, last) = (&forecast.ahead[0], &forecast.ahead[forecast.ahead.len() - 1]);
    let saved = analysis.savings.together_share > 0.0;
    let with_savings = |value: f64| {
        if saved {
            format!(" ({} with the savings that leave answers unchanged)", amount(value))
        } else {
            String::new()
        }
    };
    let rough =
        if forecast.log_days < 6.5 { " The log covers less than a week, so this is a rough estimate." } else { "" };
    if forecast.ahead.len() == 1 {
        let requests = now.requests.map_or_else(String::new, |n| format!(" for {} requests", whole(n)));
        return format!(
            "**Forecast:** at the log's pace a month costs {}{requests}{}.{rough}",
            amount(now.usd),
            with_savings(now.usd_with_savings)
        );
    }
    let peak = match (now.peak_tokens, last.peak_tokens) {
        (Some(now), Some(last)) => format!("; the busiest minute grows from {} to {} tokens", whole(now), whole(last)),
        _ => String::new(),
    };
    format!(
        "**Growth:** a month costs {} now and {} at {}{}{peak}.{rough}",
        amount(now.usd),
        amount(last.usd),
        last.label,
        with_savings(last.usd_with_savings)
    )
}

pub(super) fn budget(analysis: &Analysis, budget: f64, currency: &str) -> String {
    let Some(forecast) = &analysis.forecast else { return format!("**Budget:** {}", no_forecast(analysis)) };
    let last = &forecast.ahead[forecast.ahead.len() - 1];
    let amount = |value: f64| money_in(value, &forecast.currency);
    if currency != forecast.currency {
        return format!(
            "**Budget:** the budget is in {currency} and the cost of this log in {}, and I do not convert \
            currencies. At the log's pace \
             a month costs {}; compare that with {} at your rate of exchange.",
            forecast.currency,
            amount(last.usd),
            money_in(budget, currency)
        );
    }
    let relation = |cost: f64| if cost <= budget { "within" } else { "over" };
    let now = match forecast.ahead.as_slice() {
        [today, .., last] => {
            let over = forecast.ahead.iter().skip(1).find(|ahead| ahead.usd > budget);
            let over = over
                .filter(|over| today.usd <= budget && over.label != last.label)
                .map_or_else(String::new, |over| format!(" from {} on", over.label));
            format!(
                "{} now, {} budget, and {} at {}, {} budget{over}",
                amount(today.usd),
                relation(today.usd),
                amount(last.usd),
                last.label,
                relation(last.usd)
            )
        }
        _ => format!("{}, {} budget", amount(last.usd), relation(last.usd)),
    };
    let saved = if analysis.savings.together_share > 0.0 {
        format!(
            "; with the savings that leave answers unchanged {}, {} budget",
            amount(last.usd_with_savings),
            relation(last.usd_with_savings)
        )
    } else {
        String::new()
    };
    format!("**Budget:** of {} a month, the log's pace takes {now}{saved}.", amount(budget))
}
