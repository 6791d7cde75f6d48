//! The answer to each goal of a question, in a sentence or two with numbers.
//!
//! Guarantees: an answer says what the log cannot show, and which column would show it.

use super::{
    analysis::Analysis,
    caching::MIN_CACHEABLE_TOKENS,
    format::{inline_code, list, millis, money, percent, timestamp, whole},
    goals::Goal,
    optimize::{Evidence, Quality},
    profile::Segment,
};

/// One answer for each goal, in the order stated; an overview when there is none.
pub fn answers(analysis: &Analysis) -> Vec<String> {
    let goals = &analysis.question.goals;
    if goals.is_empty() {
        return vec![where_tokens_go(analysis), savings(analysis, None)];
    }
    goals.iter().filter_map(|(goal, _)| answer(analysis, goal)).collect()
}

/// The answer to one goal; `None` for a forecast if the answer about growth includes it.
fn answer(analysis: &Analysis, goal: &Goal) -> Option<String> {
    Some(match goal {
        Goal::CutCost { by } => savings(analysis, *by),
        Goal::SameQuality => same_quality(analysis),
        Goal::Faster { .. } => faster(analysis),
        Goal::Latency => latency(analysis),
        Goal::SameLatency => same_latency(analysis),
        Goal::SameSpend => same_spend(analysis),
        Goal::Growth { .. } => growth(analysis),
        Goal::Forecast if analysis.question.growth().is_some() => return None,
        Goal::Forecast => growth(analysis),
        Goal::Budget { usd_a_month } => budget(analysis, *usd_a_month),
        Goal::AuditCaching => caching(analysis),
        Goal::CompareModels { .. } => comparison(analysis),
        Goal::WhereTokensGo => where_tokens_go(analysis),
        Goal::Peaks => peaks(analysis),
        Goal::CheaperModel => one_option(analysis, "cheaper_model"),
        Goal::Batch => one_option(analysis, "batch"),
    })
}

fn where_tokens_go(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let tokens = profile.tokens();
    let largest =
        |segments: &[Segment]| segments.iter().max_by(|a, b| a.tokens().cmp(&b.tokens())).cloned().unwrap_or_default();
    let size = largest(&profile.by_size);
    let share = |segment: &Segment| percent(segment.tokens() as f64 / tokens.max(1.0));
    let by_model = match profile.by_model.as_slice() {
        [_] | [] => String::new(),
        models => {
            let top = largest(models);
            format!(
                " {} takes {} of the tokens and {} of the cost.",
                inline_code(&top.name),
                share(&top),
                percent(top.cost / profile.cost.max(f64::MIN_POSITIVE))
            )
        }
    };
    format!(
        "**Where tokens go:** {} of {} tokens are input, {} output. Prompts of {} tokens take {} of all tokens in {} of {} requests.{by_model} \
         The heaviest 1 % of requests take {} of the tokens, the heaviest 10 % {}; the most expensive 10 % take {} of the cost.",
        percent(profile.input.sum / tokens.max(1.0)),
        whole(tokens),
        percent(profile.output.sum / tokens.max(1.0)),
        size.name,
        share(&size),
        whole(size.requests as f64),
        whole(profile.requests as f64),
        percent(profile.heaviest.tokens_top_1),
        percent(profile.heaviest.tokens_top_10),
        percent(profile.heaviest.cost_top_10),
    )
}

fn savings(analysis: &Analysis, target_share: Option<f64>) -> String {
    let savings = &analysis.savings;
    let titles: Vec<String> =
        savings.together.iter().filter_map(|id| savings.option(id)).map(|option| option.title.to_lowercase()).collect();
    let mut text = if titles.is_empty() {
        "**Cost:** the log shows no saving that needs no assumption.".to_owned()
    } else {
        format!(
            "**Cost:** {} save{} {} of {} ({}), computed on the log's own requests.",
            list(&titles),
            if titles.len() == 1 { "s" } else { " together" },
            money(savings.together_usd),
            money(savings.base_usd),
            percent(savings.together_share)
        )
    };
    if let Some(target) = target_share {
        let (reached, missing) =
            (savings.together_share >= target, money((target - savings.together_share) * savings.base_usd));
        text += &match reached {
            true => format!(" That reaches the {:.0} % asked for.", target * 100.0),
            false => format!(" That falls short of the {:.0} % asked for by {missing}.", target * 100.0),
        };
    }
    let assumed: Vec<String> = savings
        .options
        .iter()
        .filter(|option| option.evidence == Evidence::Assumption && !savings.together.contains(&option.id))
        .map(|option| format!("{} ({})", option.title.to_lowercase(), percent(option.share)))
        .collect();
    if !assumed.is_empty() {
        text += &format!(" More where an assumption holds: {}.", list(&assumed));
    }
    text
}

fn same_quality(analysis: &Analysis) -> String {
    let options = &analysis.savings.options;
    let (safe, test): (Vec<_>, Vec<_>) = options.iter().partition(|option| option.quality == Quality::Unchanged);
    let list_options = |options: &[&super::optimize::SavingOption]| {
        list(
            &options
                .iter()
                .map(|option| format!("{} ({})", option.title.to_lowercase(), percent(option.share)))
                .collect::<Vec<_>>(),
        )
    };
    let safe = if safe.is_empty() { "nothing the log shows".to_owned() } else { list_options(&safe) };
    let test =
        if test.is_empty() { String::new() } else { format!(" Only after an evaluation: {}.", list_options(&test)) };
    format!("**Quality:** without any change to answers: {safe}.{test} A log of counts cannot show quality.")
}

fn faster(analysis: &Analysis) -> String {
    let Some(speed) = &analysis.speed else {
        return "**Speed:** the log has no latency, so how fast answers are, and what would make them faster, cannot be computed. Add a \
                `latency_ms` column, or start and end times; one day is enough."
            .into();
    };
    let mut text = format!(
        "**Speed:** answers take {} at the median, {} at the 95th percentile; {} times faster means {} and {}.",
        millis(speed.now.p50),
        millis(speed.now.p95),
        speed.factor,
        millis(speed.now.p50 / speed.factor),
        millis(speed.now.p95 / speed.factor)
    );
    if let (Some(fit), Some(share)) = (speed.fit, speed.output_share) {
        text += &format!(
            " Each output token takes {:.1} ms, which makes {} of the mean latency (a straight line through the log, R² {:.2}).",
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

fn latency(analysis: &Analysis) -> String {
    match analysis.profile.latency {
        Some(ms) => format!(
            "**Latency:** {} at the median, {} at the 95th percentile, {} at the 99th.",
            millis(ms.p50),
            millis(ms.p95),
            millis(ms.p99)
        ),
        None => "**Latency:** the log has none. Add a `latency_ms` column, or start and end times.".into(),
    }
}

fn same_latency(analysis: &Analysis) -> String {
    let now = match analysis.profile.latency {
        Some(latency) => format!("p95 is {} now", millis(latency.p95)),
        None => "the log has no latency to compare it with".into(),
    };
    format!(
        "**Latency:** {now}. Of the options only batch prices make answers slower (hours); shorter prompts and answers, cached prefixes and (usually) smaller models do not."
    )
}

fn same_spend(analysis: &Analysis) -> String {
    let share = analysis.savings.together_share;
    match analysis.question.growth() {
        Some((by, monthly, months)) => {
            let factor = if monthly { (1.0 + by).powi(months.unwrap_or(6).min(36) as i32) } else { 1.0 + by };
            let needed = 1.0 - 1.0 / factor;
            let verdict = if share >= needed { "enough" } else { "not enough" };
            format!(
                "**Same spend:** {factor:.2} times the traffic at the same spend needs {} less cost per request; the options computed together give {}: {verdict}.",
                percent(needed),
                percent(share)
            )
        }
        None => format!(
            "**Same spend:** none of the options costs more; together they free {} of the list cost, which can pay for a faster tier or model.",
            percent(share)
        ),
    }
}

fn growth(analysis: &Analysis) -> String {
    let Some(forecast) = &analysis.forecast else {
        return "**Forecast:** the log has no times (or covers less than a minute), so nothing can be said about a month. Add a `timestamp` column.".into();
    };
    let (now, last) = (&forecast.ahead[0], &forecast.ahead[forecast.ahead.len() - 1]);
    if forecast.ahead.len() == 1 {
        return format!(
            "**Forecast:** at the log's pace a month costs {} for {} requests; {} with the options computed together.",
            money(now.usd),
            whole(now.requests),
            money(now.usd_with_savings)
        );
    }
    format!(
        "**Growth:** a month costs {} now and {} at {} ({} with the options computed together); the busiest minute grows from {} to {} tokens.",
        money(now.usd),
        money(last.usd),
        last.label,
        money(last.usd_with_savings),
        whole(now.peak_tokens),
        whole(last.peak_tokens)
    )
}

fn budget(analysis: &Analysis, budget: f64) -> String {
    let Some(forecast) = &analysis.forecast else {
        return "**Budget:** the log has no times, so its cost cannot be scaled to a month.".into();
    };
    let last = &forecast.ahead[forecast.ahead.len() - 1];
    let relation = |usd: f64| if usd <= budget { "within" } else { "over" };
    format!(
        "**Budget:** of {} a month, the log's pace takes {} ({}), {} budget; with the options computed together {}, {} budget.",
        money(budget),
        money(last.usd),
        last.label,
        relation(last.usd),
        money(last.usd_with_savings),
        relation(last.usd_with_savings)
    )
}

fn caching(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let more = match analysis.savings.option("caching") {
        Some(option) => format!(
            " {}: {} ({}). {}",
            option.title,
            money(option.saving_usd),
            percent(option.share),
            option.assumption
        ),
        None => String::new(),
    };
    match &analysis.savings.cache {
        Some(cache) => format!(
            "**Caching:** {} of {} input tokens ({}) came from a cache, which saved {}. Of {} requests of {MIN_CACHEABLE_TOKENS} input tokens or more, {} ({}) \
             show cached tokens.{more}",
            whole(cache.cached_tokens as f64),
            whole(profile.input.sum),
            percent(cache.cached_tokens as f64 / profile.input.sum.max(1.0)),
            money(cache.saved_usd),
            whole(cache.long_requests as f64),
            whole(cache.long_hits as f64),
            percent(cache.long_hits as f64 / (cache.long_requests as f64).max(1.0))
        ),
        None => format!("**Caching:** this log cannot show it, because it has no cached tokens.{more}"),
    }
}

fn comparison(analysis: &Analysis) -> String {
    let mut compared: Vec<_> = analysis.compared.iter().collect();
    compared.sort_by(|a, b| a.usd.total_cmp(&b.usd));
    let costs: Vec<String> =
        compared.iter().map(|model| format!("{} with {}", money(model.usd), model.model)).collect();
    let ratio = match (compared.first(), compared.last()) {
        (Some(low), Some(high)) if low.usd > 0.0 && compared.len() > 1 => {
            format!(" {} costs {:.1} times as much as {}.", high.model, high.usd / low.usd, low.model)
        }
        _ => String::new(),
    };
    format!(
        "**Models:** the log's requests would cost {} at list prices ({} as they were).{ratio} Token counts are taken as they are: another model may write more or less, and a log \
         of counts cannot show which answers better.",
        list(&costs),
        money(analysis.profile.list_cost)
    )
}

fn peaks(analysis: &Analysis) -> String {
    let Some(load) = &analysis.profile.load else {
        return "**Peaks:** the log has no times. Add a `timestamp` column.".into();
    };
    format!(
        "**Peaks:** the busiest minute has {} tokens ({}), the busiest by requests {} ({}); the mean minute has {} tokens and {:.1} requests. A limit of {} \
         tokens a minute serves 99 % of the minutes, {} serves them all.",
        whole(load.peak_tokens.0 as f64),
        timestamp(load.peak_tokens.1),
        whole(load.peak_requests.0 as f64),
        timestamp(load.peak_requests.1),
        whole(load.mean_tokens),
        load.mean_requests,
        whole(load.p99_tokens as f64),
        whole(load.peak_tokens.0 as f64)
    )
}

fn one_option(analysis: &Analysis, id: &str) -> String {
    match analysis.savings.option(id) {
        Some(option) => format!(
            "**{}:** {} of {} ({}) over {} requests. {}",
            option.title,
            money(option.saving_usd),
            money(analysis.savings.base_usd),
            percent(option.share),
            whole(option.requests as f64),
            option.assumption
        ),
        None => format!("**{}:** {}", id.replace('_', " "), analysis.savings.notes.join(" ")),
    }
}
