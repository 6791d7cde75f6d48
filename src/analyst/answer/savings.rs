//! Answers about cutting cost: without a change to answers, and only after a test.

use crate::analyst::{
    analysis::Analysis,
    caching::MIN_CACHEABLE_TOKENS,
    figures::TierCost,
    format::{capital, list, money, percent, whole},
    optimize::{Evidence, Quality, SavingOption, Savings},
};

/// What can be saved at once, and what only after a test, in two sentences.
pub fn in_short(analysis: &Analysis) -> String {
    let savings = &analysis.savings;
    if savings.base_usd <= 0.0 {
        return "**Savings:** they are computed at list prices, and no token of the log has one.".into();
    }
    let mut text = match titles(savings, &savings.together).as_slice() {
        [] => "**Savings:** the log proves none that leaves answers unchanged.".to_owned(),
        titles => format!(
            "**Savings** that leave answers unchanged: {} ({}) of {} at list prices: {}.",
            money(savings.together_usd),
            percent(savings.together_share),
            money(savings.base_usd),
            list(titles)
        ),
    };
    let more = savings.together_with_test_usd - savings.together_usd;
    let tested: Vec<&str> =
        savings.together_with_test.iter().copied().filter(|id| !savings.together.contains(id)).collect();
    if more > 0.0 && !tested.is_empty() {
        text += &format!(
            " Only after a test shows that answers stay good: {} more ({}): {}.",
            money(more),
            percent(more / savings.base_usd),
            list(&titles(savings, &tested))
        );
    }
    text
}

fn titles(savings: &Savings, ids: &[&str]) -> Vec<String> {
    ids.iter().filter_map(|id| savings.option(id)).map(|option| option.title.to_lowercase()).collect()
}

pub(super) fn cut_cost(analysis: &Analysis, target: Option<f64>) -> String {
    let savings = &analysis.savings;
    let mut text = in_short(analysis);
    if let Some(target) = target.filter(|_| savings.base_usd > 0.0) {
        let asked = format!("the {:.0} % asked for", target * 100.0);
        text += &if savings.together_share >= target {
            format!(" What leaves answers unchanged reaches {asked}.")
        } else if savings.together_with_test_share >= target && !analysis.question.same_quality() {
            format!(" That reaches {asked} only with the changes that need a test.")
        } else {
            let reached = if analysis.question.same_quality() {
                savings.together_share
            } else {
                savings.together_with_test_share.max(savings.together_share)
            };
            format!(" That falls short of {asked} by {}.", money((target - reached) * savings.base_usd))
        };
    }
    let assumed: Vec<String> = savings
        .options
        .iter()
        .filter(|option| option.evidence == Evidence::Assumption && !savings.together.contains(&option.id))
        .map(with_share)
        .collect();
    if !assumed.is_empty() {
        text += &format!(" If an assumption holds: {}.", list(&assumed));
    }
    text
}

fn with_share(option: &SavingOption) -> String {
    format!("{} ({})", option.title.to_lowercase(), percent(option.share))
}

pub(super) fn same_quality(analysis: &Analysis) -> String {
    let (safe, test): (Vec<_>, Vec<_>) =
        analysis.savings.options.iter().partition(|option| option.quality == Quality::Unchanged);
    let share = |option: &SavingOption| match option.evidence {
        Evidence::Log => with_share(option),
        Evidence::Assumption => {
            format!("{} ({}; if its assumption holds)", option.title.to_lowercase(), percent(option.share))
        }
    };
    let shares = |options: Vec<&SavingOption>| list(&options.into_iter().map(share).collect::<Vec<_>>());
    let safe = if safe.is_empty() { "nothing that the log shows".to_owned() } else { shares(safe) };
    let test = if test.is_empty() { String::new() } else { format!(" Only after a test: {}.", shares(test)) };
    format!("**Quality:** without any change to answers: {safe}.{test} A log of counts cannot show quality.")
}

pub(super) fn caching(analysis: &Analysis) -> String {
    let (profile, savings) = (&analysis.profile, &analysis.savings);
    let more = match (savings.option("caching"), savings.reason("caching")) {
        (Some(option), _) => format!(
            " {}: {} ({}). {}",
            option.title,
            money(option.saving_usd),
            percent(option.share),
            option.assumption
        ),
        (None, Some(reason)) => format!(" {}", without_title(reason)),
        (None, None) => String::new(),
    };
    let Some(cache) = savings.cache else {
        return format!("**Caching:** this log cannot show it, because it has no cached tokens.{more}");
    };
    let long = if cache.long_requests > 0 {
        format!(
            " Of {} requests of {} input tokens or more, {} ({}) read from it.",
            whole(cache.long_requests as f64),
            whole(MIN_CACHEABLE_TOKENS as f64),
            whole(cache.long_hits as f64),
            percent(cache.long_hits as f64 / cache.long_requests as f64)
        )
    } else {
        String::new()
    };
    let effect = if cache.saved_usd < 0.0 { "which cost more than it saved, by" } else { "which saved" };
    let money_saved =
        if savings.base_usd > 0.0 { format!(", {effect} {}", money(cache.saved_usd.abs())) } else { String::new() };
    format!(
        "**Caching:** {} of {} input tokens ({}) came from a cache{money_saved}.{long}{more}",
        whole(cache.cached_tokens as f64),
        whole(profile.input_tokens as f64),
        percent(cache.cached_tokens as f64 / (profile.input_tokens as f64).max(1.0)),
    )
}

pub(super) fn one_option(analysis: &Analysis, id: &str, title: &str) -> String {
    let savings = &analysis.savings;
    match savings.option(id) {
        Some(option) => format!(
            "**{}:** {} of {} ({}) over {} requests{}. {}",
            option.title,
            money(option.saving_usd),
            money(savings.base_usd),
            percent(option.share),
            whole(option.requests as f64),
            if option.quality == Quality::NeedsTest { ", only after a test" } else { "" },
            option.assumption
        ),
        None => {
            format!("**{title}:** {}", savings.reason(id).map_or("it saves nothing in this log.".into(), without_title))
        }
    }
}

/// A reason without the option that it begins with, where the answer names that already.
fn without_title(reason: &str) -> String {
    let (title, rest) = reason.split_once(": ").unwrap_or(("", reason));
    let names_option = title.split_whitespace().count() < 7 && !rest.is_empty();
    capital(if names_option { rest } else { reason })
}

pub(super) fn service_tier(cost: &TierCost) -> String {
    let name = format!("{:?}", cost.tier);
    if cost.share <= 0.0 {
        return format!("**{name} prices:** no model of the log has them in the price list.");
    }
    let change = cost.usd - cost.usd_now;
    format!(
        "**{name} prices:** the log's requests would cost {} instead of {} at list prices ({} {}). Models with {} \
        prices make {} of \
         the cost; the rest stays as it is.",
        money(cost.usd),
        money(cost.usd_now),
        percent(change.abs() / cost.usd_now.max(f64::MIN_POSITIVE)),
        if change < 0.0 { "less" } else { "more" },
        name.to_lowercase(),
        percent(cost.share)
    )
}
