//! The report: sections of Markdown, each number with its assumption.

use super::{
    analysis::Analysis,
    answer,
    format::{duration, inline_code, list, millis, money, percent, timestamp, whole},
    goals::Goal,
    optimize::{Evidence, Quality},
};

/// A section of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub heading: &'static str,
    /// Its Markdown, without the heading.
    pub body: String,
}

/// The sections of the report: the answers first, the assumptions last.
pub fn sections(analysis: &Analysis) -> Vec<Section> {
    let mut sections = vec![
        Section { heading: "Answer", body: answers(analysis) },
        Section { heading: "What the log holds", body: log(analysis) },
        Section { heading: "Where the load is", body: load(analysis) },
    ];
    if analysis.speed.is_some() {
        sections.push(Section { heading: "Latency", body: latency(analysis) });
    }
    sections.push(Section { heading: "What can be saved", body: savings(analysis) });
    if !analysis.compared.is_empty() {
        sections.push(Section { heading: "Models side by side", body: comparison(analysis) });
    }
    if analysis.question.has_goal(|goal| matches!(goal, Goal::Growth { .. } | Goal::Forecast | Goal::Budget { .. }))
        && analysis.forecast.is_some()
    {
        sections.push(Section { heading: "Months ahead", body: forecast(analysis) });
    }
    sections.push(Section { heading: "What to do, in this order", body: actions(analysis) });
    sections.push(Section { heading: "What this rests on", body: basis(analysis) });
    sections
}

/// The whole report as one text.
pub fn markdown(analysis: &Analysis) -> String {
    sections(analysis)
        .iter()
        .map(|section| format!("## {}\n\n{}\n\n", section.heading, section.body.trim_end()))
        .collect()
}

fn answers(analysis: &Analysis) -> String {
    let mut text: String = answer::answers(analysis).iter().map(|answer| format!("- {answer}\n")).collect();
    for conflict in &analysis.question.conflicts {
        text += &format!("- **Conflicting goals:** {conflict}\n");
    }
    if analysis.question.goals.is_empty() {
        text += "- I found no goal in the question that I know, so this is the overview. I understand: cut cost, same quality, faster, latency, same spend, growth, \
                 budget, caching, compare models, where tokens go, peaks, cheaper model, batch.\n";
    }
    text
}

fn log(analysis: &Analysis) -> String {
    let (profile, ingest) = (&analysis.profile, &analysis.ingest);
    let columns: Vec<String> =
        ingest.columns.iter().map(|(role, name)| format!("{role} from {}", inline_code(name))).collect();
    let mut text = format!(
        "{} ({}): **{} requests**, **{} input** and **{} output tokens**, **{}** {}. Read: {}.",
        inline_code(&analysis.file),
        ingest.format,
        whole(profile.requests as f64),
        whole(profile.input.sum),
        whole(profile.output.sum),
        money(profile.cost),
        if profile.logged_cost.is_some() { "as logged" } else { "at list prices" },
        list(&columns)
    );
    if let Some(logged) = profile.logged_cost {
        text += &format!(
            " At list prices it would be {}; savings below are computed at list prices (logged: {}).",
            money(profile.list_cost),
            money(logged)
        );
    }
    if !ingest.unused.is_empty() {
        let names: Vec<String> = ingest.unused.iter().take(12).map(|name| inline_code(name)).collect();
        let more = if ingest.unused.len() > 12 { " and more" } else { "" };
        text += &format!(" Found and not used: {}{more}.", names.join(", "));
    }
    if ingest.bad_rows > 0 {
        let reasons: Vec<String> =
            ingest.bad_by_reason.iter().map(|(reason, count)| format!("{} × {reason}", whole(*count as f64))).collect();
        text += &format!("\n\n**{} rows are left out** ({}).", whole(ingest.bad_rows as f64), list(&reasons));
    }
    text
}

fn load(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let mut text = format!(
        "- A request has {} input and {} output tokens at the median, {} and {} at the 95th percentile.\n\
         - The heaviest 1 % of requests take {} of the tokens and {} of the cost, the heaviest 10 % {} and {}.\n",
        whole(profile.input.p50),
        whole(profile.output.p50),
        whole(profile.input.p95),
        whole(profile.output.p95),
        percent(profile.heaviest.tokens_top_1),
        percent(profile.heaviest.cost_top_1),
        percent(profile.heaviest.tokens_top_10),
        percent(profile.heaviest.cost_top_10),
    );
    match &profile.load {
        Some(load) => {
            text += &format!(
                "- From {} to {} ({}), the busiest minute has {} tokens ({}), {:.1} times the mean of {}; the most requests in a minute are {}.\n",
                timestamp(load.from_ms),
                timestamp(load.to_ms),
                duration(load.days()),
                whole(load.peak_tokens.0 as f64),
                timestamp(load.peak_tokens.1),
                load.peak_tokens.0 as f64 / load.mean_tokens.max(f64::MIN_POSITIVE),
                whole(load.mean_tokens),
                whole(load.peak_requests.0 as f64)
            );
        }
        None => text += "- The log has no times, so peaks and months cannot be computed.\n",
    }
    text
}

fn latency(analysis: &Analysis) -> String {
    let Some(speed) = &analysis.speed else { return String::new() };
    let mut text = format!(
        "Median {}, 95th percentile {}, 99th {}.",
        millis(speed.now.p50),
        millis(speed.now.p95),
        millis(speed.now.p99)
    );
    if let (Some(fit), Some(share)) = (speed.fit, speed.output_share) {
        text += &format!(
            " A straight line through the log: {} + {:.2} ms for each input token + {:.1} ms for each output token (R² {:.2}); output makes {} of the mean.",
            millis(fit.base_ms.max(0.0)),
            fit.per_input_ms,
            fit.per_output_ms,
            fit.r2,
            percent(share)
        );
    }
    let rows: Vec<_> = analysis
        .profile
        .by_model
        .iter()
        .zip(&analysis.profile.latency_by_model)
        .filter(|(_, stats)| stats.count > 0)
        .take(10)
        .collect();
    if rows.len() > 1 {
        text += "\n\n| Model | p50 | p95 | p99 |\n|---|--:|--:|--:|\n";
        for (segment, stats) in rows {
            text += &format!(
                "| {} | {} | {} | {} |\n",
                inline_code(&segment.name),
                millis(stats.p50),
                millis(stats.p95),
                millis(stats.p99)
            );
        }
    }
    text
}

fn savings(analysis: &Analysis) -> String {
    let savings = &analysis.savings;
    let mut text = format!(
        "Each alone, of {} at list prices:\n\n| Option | Saves | Share | Requests | Answers | Rests on |\n|---|--:|--:|--:|---|---|\n",
        money(savings.base_usd)
    );
    for option in &savings.options {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            option.title,
            money(option.saving_usd),
            percent(option.share),
            whole(option.requests as f64),
            match option.quality {
                Quality::Unchanged => "unchanged",
                Quality::NeedsTest => "test first",
            },
            match option.evidence {
                Evidence::Log => "the log",
                Evidence::Assumption => "an assumption",
            }
        );
    }
    text.push('\n');
    for option in &savings.options {
        text += &format!("- **{}** ({}): {}\n", option.title, option.latency, option.assumption);
    }
    for note in &savings.notes {
        text += &format!("- {note}\n");
    }
    if savings.together.len() > 1 {
        let options: Vec<_> = savings.together.iter().filter_map(|id| savings.option(id)).collect();
        let titles: Vec<&str> = options.iter().map(|option| option.title.as_str()).collect();
        let sum: f64 = options.iter().map(|option| option.saving_usd).sum();
        text += &format!(
            "\n**Together** ({}): {}, {} of the list cost. Added up they would seem to save {}; some touch the same tokens.\n",
            list(&titles),
            money(savings.together_usd),
            percent(savings.together_share),
            money(sum)
        );
    }
    text
}

fn comparison(analysis: &Analysis) -> String {
    let mut text = String::from(
        "| Model | The log's requests | 1,000 requests | At batch prices | In the log |\n|---|--:|--:|--:|---|\n",
    );
    for model in &analysis.compared {
        let measured = match (model.requests_in_log, model.latency) {
            (0, _) => "not used".to_owned(),
            (requests, Some(latency)) => format!("{} requests, median {}", whole(requests as f64), millis(latency.p50)),
            (requests, None) => format!("{} requests", whole(requests as f64)),
        };
        let batch = model.usd_batch.map_or("none".into(), money);
        text += &format!(
            "| {} | {} | {} | {batch} | {measured} |\n",
            model.model,
            money(model.usd),
            money(model.usd_per_1000)
        );
    }
    text + "\nThe same token counts for every model, cached tokens at each model's own price. Requests that the models answered in the log may differ in kind.\n"
}

fn forecast(analysis: &Analysis) -> String {
    let Some(forecast) = &analysis.forecast else { return String::new() };
    let mut text = String::from(
        "| | Requests a month | Cost | With the options together | Busiest minute (tokens) |\n|---|--:|--:|--:|--:|\n",
    );
    for ahead in &forecast.ahead {
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            ahead.label,
            whole(ahead.requests),
            money(ahead.usd),
            money(ahead.usd_with_savings),
            whole(ahead.peak_tokens)
        );
    }
    text.push('\n');
    for assumption in &forecast.assumptions {
        text += &format!("- {assumption}\n");
    }
    text
}

fn actions(analysis: &Analysis) -> String {
    let lines = analysis.actions.iter().enumerate();
    lines
        .map(|(n, action)| {
            format!("{}. **{}**: {} Effect: {}. {}\n", n + 1, action.title, action.change, action.effect, action.check)
        })
        .collect()
}

fn basis(analysis: &Analysis) -> String {
    let mut text = match &analysis.assumed_model {
        Some(model) if analysis.ingest.columns.iter().any(|(role, _)| role == "model") => {
            format!(
                "- **No model of the log has a known price: all requests are priced as {model}.** Name your model in the question, or configure a price file.\n"
            )
        }
        Some(model) => format!(
            "- **The log names no model: all requests are priced as {model}.** Name yours in the question to change that.\n"
        ),
        None => format!("- Priced as {}.\n", list(&analysis.priced_as)),
    };
    text += &format!("- Prices: {}. List prices in US dollars, without discounts or taxes.\n", analysis.price_origin);
    if !analysis.unpriced.is_empty() {
        let names: Vec<String> = analysis
            .unpriced
            .iter()
            .take(10)
            .map(|(name, requests)| format!("{} ({} requests)", inline_code(name), whole(*requests as f64)))
            .collect();
        text += &format!("- **Without a price, and so not in any list cost:** {}.\n", list(&names));
    }
    for note in &analysis.ingest.notes {
        text += &format!("- {note}\n");
    }
    text += "- Percentiles are nearest-rank; a request counts in the minute in which it starts; times are UTC.\n\
             - This analysis follows fixed rules; no language model took part.\n";
    text
}
