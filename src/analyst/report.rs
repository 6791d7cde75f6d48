//! The report: what could not be known, the answer, three sentences, what can be saved, and how it was computed.

use super::{
    analysis::Analysis,
    answer,
    format::{counted, date, duration, inline_code, list, millis, money, money_in, percent, timestamp, whole},
    goals::Goal,
    optimize::{Evidence, Quality, SavingOption},
    profile::{CostBasis, Profile},
};

/// Most changes in the list of what to do.
const MAX_ACTIONS: usize = 5;

/// A section of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub heading: &'static str,
    /// Its Markdown, without the heading.
    pub body: String,
}

/// The sections of the report: what could not be known first, the method last.
pub fn sections(analysis: &Analysis) -> Vec<Section> {
    let mut sections = opening_sections(analysis);
    sections.push(method(analysis));
    sections
}

/// The whole report as one text.
pub fn markdown(analysis: &Analysis) -> String {
    text_of(&sections(analysis))
}

/// The report up to the charts and tables.
pub fn opening(analysis: &Analysis) -> String {
    text_of(&opening_sections(analysis))
}

/// The report after the charts and tables: the method.
pub fn closing(analysis: &Analysis) -> String {
    text_of(&[method(analysis)])
}

fn text_of(sections: &[Section]) -> String {
    sections.iter().map(|section| format!("## {}\n\n{}\n\n", section.heading, section.body.trim_end())).collect()
}

fn opening_sections(analysis: &Analysis) -> Vec<Section> {
    let question = &analysis.question;
    let mut sections = Vec::new();
    let unknown = unknown(analysis);
    if !unknown.is_empty() {
        sections.push(Section { heading: "What is not known", body: bullets(&unknown) });
    }
    if question.unclear || !question.goals.is_empty() {
        sections.push(Section { heading: "Answer", body: answers(analysis) });
    }
    sections.push(Section { heading: "The log in short", body: in_short(analysis) });
    if question.unclear {
        return sections;
    }
    if question.has_goal(|goal| matches!(goal, Goal::Faster { .. } | Goal::Latency)) && analysis.speed.is_some() {
        sections.push(Section { heading: "Latency", body: latency(analysis) });
    }
    if !analysis.compared.is_empty() {
        sections.push(Section { heading: "Models side by side", body: comparison(analysis) });
    }
    if question.has_goal(|goal| matches!(goal, Goal::Growth { .. } | Goal::Forecast | Goal::Budget { .. }))
        && analysis.forecast.is_some()
    {
        sections.push(Section { heading: "Months ahead", body: forecast(analysis) });
    }
    if answer::is_about_savings(question) {
        if analysis.savings.base_usd > 0.0 {
            sections.push(Section { heading: "What can be saved", body: savings(analysis) });
        }
        if !analysis.actions.is_empty() {
            sections.push(Section { heading: "What to do, in this order", body: actions(analysis) });
        }
    }
    sections
}

fn bullets(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("- {sentence}\n")).collect()
}

/// What the figures lack, in sentences; stated before all of them.
pub fn unknown(analysis: &Analysis) -> Vec<String> {
    let profile = &analysis.profile;
    let mut sentences = analysis.ingest.unknown.clone();
    sentences.extend(unknown_prices(analysis));
    if profile.logged_cost.len() > 1 {
        let sums: Vec<String> = profile.logged_cost.iter().map(|(currency, sum)| money_in(*sum, currency)).collect();
        let shown =
            if profile.cost_basis == CostBasis::List { "the cost below is at list prices" } else { "there is no sum" };
        sentences.push(format!(
            "The log has costs in several currencies ({}), which I do not convert or add up; {shown}.",
            list(&sums)
        ));
    }
    if profile.zero_cost_rows > 0 {
        sentences.push(format!(
            "{} rows have tokens and a logged cost of 0 (a free tier, credits, or no price where the log was \
            written?); they count as 0.",
            whole(profile.zero_cost_rows as f64)
        ));
    }
    sentences.extend(profile.left_out.iter().cloned());
    if let Some(model) = &analysis.assumed_model {
        sentences
            .push(format!("The log names no model: all requests are priced as {model}, which the question names."));
    }
    sentences
}

/// How many models and tokens have no price: in the cost, or only in what is computed at list prices.
fn unknown_prices(analysis: &Analysis) -> Option<String> {
    let (profile, missing) = (&analysis.profile, &analysis.missing_prices);
    // A bill has no tokens that need a price.
    if missing.is_empty() || profile.tokens() <= 0.0 {
        return None;
    }
    let share = missing.iter().map(|price| price.share).sum::<f64>();
    let names: Vec<String> = missing.iter().take(5).map(|price| inline_code(&price.model)).collect();
    let more =
        if missing.len() > names.len() { format!(" and {} more", missing.len() - names.len()) } else { String::new() };
    let names = names.join(", ") + &more;
    let models = match missing.len() {
        1 => "1 model".to_owned(),
        count => format!("{count} models"),
    };
    let has = if missing.len() == 1 { "has" } else { "have" };
    let whose = if missing.len() == 1 { "its" } else { "their" };
    let effect = match profile.cost_basis {
        CostBasis::None => "so there is no cost in this report",
        CostBasis::List | CostBasis::Mixed if profile.unpriced_tokens > 0 => "so no cost below includes them",
        _ => "so savings and comparisons at list prices leave them out; the cost is as logged",
    };
    if !profile.by_model.iter().any(|segment| !segment.name.is_empty()) {
        return Some(format!(
            "The log names no model and its tokens have no price, {effect}. Name the model in the question (“We run \
            gpt-4.1”)."
        ));
    }
    Some(format!(
        "{models}, {} of the tokens, {has} no price, {effect}: {names}. A price file gives {whose} prices.",
        percent(share)
    ))
}

fn answers(analysis: &Analysis) -> String {
    let mut text = bullets(&answer::answers(analysis));
    for conflict in &analysis.question.conflicts {
        text += &format!("- **Conflicting goals:** {conflict}\n");
    }
    text
}

/// The figures that matter, in three sentences: what the log holds, where it goes, what can be saved.
pub fn in_short(analysis: &Analysis) -> String {
    let mut sentences = vec![log_in_short(&analysis.profile)];
    let question = &analysis.question;
    if !question.unclear {
        if !question.has_goal(|goal| *goal == Goal::WhereTokensGo) {
            sentences.push(answer::where_money_goes(analysis));
        }
        if !question.has_goal(|goal| matches!(goal, Goal::CutCost { .. })) {
            sentences.push(answer::savings_in_short(analysis));
        }
    }
    bullets(&sentences)
}

/// The log in one sentence: requests, tokens, cost, period.
pub fn log_in_short(profile: &Profile) -> String {
    let requests = match profile.requests {
        Some(requests) => format!("**{} requests**", whole(requests as f64)),
        None => format!("**{} rows**, sums of an unknown number of requests", whole(profile.rows as f64)),
    };
    let part = |known: bool, tokens: u64, name: &str| {
        if known { format!("{} {name}", whole(tokens as f64)) } else { format!("{name} not known") }
    };
    let period = match (profile.from_ms, profile.to_ms) {
        (Some(from), Some(to)) => {
            let days = profile.elapsed_days.map_or_else(String::new, |days| format!(" ({})", duration(days)));
            // The last sum ends where the next one would begin.
            let (from, to) = (date(from), date(to - i64::from(profile.sums)));
            if from == to { format!(", on {from}{days}") } else { format!(", from {from} to {to}{days}") }
        }
        _ => String::new(),
    };
    format!(
        "{requests}, **{} tokens** ({}, {}), **{}**{period}.",
        whole(profile.tokens()),
        part(profile.input_known, profile.input_tokens, "input"),
        part(profile.output_known, profile.output_tokens, "output"),
        answer::cost_with_basis(profile)
    )
}

fn latency(analysis: &Analysis) -> String {
    let Some(speed) = &analysis.speed else { return String::new() };
    let (Some(fit), Some(share)) = (speed.fit, speed.output_share) else {
        return format!("Token counts do not explain the latency (median {}).", millis(speed.now.p50));
    };
    format!(
        "A straight line through the log: {} + {:.2} ms for each input token + {:.1} ms for each output token (R² \
        {:.2}); output \
         makes {} of the mean.",
        millis(fit.base_ms.max(0.0)),
        fit.per_input_ms,
        fit.per_output_ms,
        fit.r2,
        percent(share)
    )
}

fn savings(analysis: &Analysis) -> String {
    let savings = &analysis.savings;
    let line = |option: &SavingOption| {
        format!(
            "- **{}**: {} ({}), {}, {}. {}\n",
            option.title,
            money(option.saving_usd),
            percent(option.share),
            counted(option.requests, "request"),
            option.latency,
            option.assumption
        )
    };
    let of = |quality: Quality, evidence: Evidence| {
        let options = savings.options.iter().filter(|option| option.quality == quality && option.evidence == evidence);
        options.map(line).collect::<String>()
    };
    // The question may ask for an option that rests on an assumption; then the sums hold it.
    let is_summed = |option: &&SavingOption| savings.together.contains(&option.id);
    let assumed = match savings.options.iter().filter(is_summed).any(|option| option.evidence == Evidence::Assumption) {
        true => "Answers stay as they are, if the assumption holds (in the sums, as the question asks for it):",
        false => "Answers stay as they are, if the assumption holds (not in the sums):",
    };
    let mut text = String::new();
    for (heading, body) in [
        ("Answers stay as they are, computed from the log:", of(Quality::Unchanged, Evidence::Log)),
        (assumed, of(Quality::Unchanged, Evidence::Assumption)),
        ("Only after a test shows that answers stay good:", of(Quality::NeedsTest, Evidence::Log)),
        ("Only after such a test, and if the assumption holds:", of(Quality::NeedsTest, Evidence::Assumption)),
    ] {
        if !body.is_empty() {
            text += &format!("{heading}\n\n{body}\n");
        }
    }
    if savings.together.len() > 1 {
        text += &format!(
            "Together, without counting a token twice, those that leave answers unchanged save {} ({}).\n\n",
            money(savings.together_usd),
            percent(savings.together_share)
        );
    }
    if !savings.notes.is_empty() {
        text += &format!("Without a figure: {}\n", savings.notes.join(" "));
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
        text += &format!(
            "| {} | {} | {} | {} | {measured} |\n",
            model.model,
            money(model.usd),
            model.usd_per_1000.map_or("–".into(), money),
            model.usd_batch.map_or("none".into(), money)
        );
    }
    text + "\nThe same token counts for every model, cached tokens at each model's own price.\n"
}

fn forecast(analysis: &Analysis) -> String {
    let Some(forecast) = &analysis.forecast else { return String::new() };
    let amount = |value: f64| money_in(value, &forecast.currency);
    let mut text = String::from(
        "| | Requests a month | Cost | With savings that change no answer | Busiest minute (tokens) |\n|---|--:|--:|\
        --:|--:|\n",
    );
    for ahead in &forecast.ahead {
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            ahead.label,
            ahead.requests.map_or("–".into(), whole),
            amount(ahead.usd),
            amount(ahead.usd_with_savings),
            ahead.peak_tokens.map_or("–".into(), whole)
        );
    }
    text + "\n" + &bullets(&forecast.assumptions)
}

fn actions(analysis: &Analysis) -> String {
    let lines = analysis.actions.iter().take(MAX_ACTIONS).enumerate();
    lines
        .map(|(n, action)| {
            // What a saving amounts to stands in the section above.
            let effect = if action.usd > 0.0 { String::new() } else { format!(" Effect: {}.", action.effect) };
            format!("{}. **{}**: {}{effect} {}\n", n + 1, action.title, action.change, action.check)
        })
        .collect()
}

/// How the figures came about: files, columns, prices, rules.
fn method(analysis: &Analysis) -> Section {
    let (profile, ingest) = (&analysis.profile, &analysis.ingest);
    let mut lines = vec![format!("Read: {}.", ingest.sources().join("; "))];
    for file in ingest.files.iter().filter(|file| !file.unused.is_empty()) {
        let names: Vec<String> = file.unused.iter().take(12).map(|name| inline_code(name)).collect();
        let more = if file.unused.len() > 12 { " and more" } else { "" };
        lines.push(format!("Not used, in {}: {}{more}.", file.name, names.join(", ")));
    }
    if ingest.bad_rows > 0 {
        let reasons: Vec<String> =
            ingest.bad_by_reason.iter().map(|(reason, count)| format!("{} × {reason}", whole(*count as f64))).collect();
        lines.push(format!("**{} rows are left out** ({}).", whole(ingest.bad_rows as f64), list(&reasons)));
    }
    lines.extend(ingest.notes.iter().cloned());
    if let (Some(from), Some(to)) = (profile.from_ms, profile.to_ms) {
        lines.push(format!(
            "Times: {} to {}; days and hours in {}.",
            timestamp(from),
            timestamp(to),
            profile.time_zone
        ));
    }
    if !analysis.priced_as.is_empty() {
        let matched: Vec<String> =
            analysis.matched.iter().take(8).map(|(name, price)| format!("{} as {price}", inline_code(name))).collect();
        let matched = if matched.is_empty() { String::new() } else { format!(" Matched: {}.", list(&matched)) };
        lines.push(format!("Prices: {}, in US dollars, without discounts or taxes.{matched}", analysis.price_origin));
        lines.extend(analysis.price_notes.iter().cloned());
    }
    if !profile.logged_cost.is_empty() && profile.cost_basis != CostBasis::List && profile.list_cost > 0.0 {
        lines.push(format!(
            "The cost is {}; at list prices it would be {}. Savings are computed at list prices.",
            answer::cost_with_basis(profile),
            money(profile.list_cost)
        ));
    }
    lines.push(
        "Percentiles are nearest-rank; a request counts in the minute in which it starts; fixed rules computed all \
        of it, no \
         language model took part."
            .into(),
    );
    Section { heading: "Method", body: bullets(&lines) }
}
