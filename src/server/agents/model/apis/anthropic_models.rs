//! What Anthropic's models can do, by their names: `claude-opus-4-6`, `claude-3-5-haiku-20241022`, and the same behind a
//! gateway's prefix.

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Whether it takes `output_config.effort`.
    pub takes_effort: bool,
    /// Whether it decides by itself how long it thinks (`thinking.type = "adaptive"`).
    pub adaptive_thinking: bool,
    /// Whether it thinks unless the request disables it.
    pub thinks_by_default: bool,
    /// The most tokens of an answer, which every request has to name.
    pub max_tokens: u32,
}

/// What the model of this name can do. A name that is not known is taken for a recent model without effort.
pub(super) fn capabilities(model: &str) -> Capabilities {
    let (family, version) = parse(model);
    let is_haiku_5 = family == "haiku" && version >= (5, 0);
    let is_preview = matches!(family, "fable" | "mythos");
    let sonnet = |version| matches!(version, (4, 6) | (5, _));
    let max_tokens = match (family, version) {
        ("opus", (3, _)) | ("haiku", (3, 0)) => 4_096,
        (_, (3, 5)) => 8_192,
        ("opus", (4, 0..=4)) => 32_000,
        ("opus", version) if version >= (4, 8) => 128_000,
        _ if is_haiku_5 || is_preview => 128_000,
        _ => 64_000,
    };
    let since = |first| match family {
        "opus" => version >= first,
        "sonnet" => sonnet(version),
        _ => is_haiku_5 || is_preview,
    };
    Capabilities {
        takes_effort: since((4, 5)),
        adaptive_thinking: since((4, 6)),
        thinks_by_default: is_haiku_5 || (matches!(family, "opus" | "sonnet") && version.0 == 5),
        max_tokens,
    }
}

/// The family and the version in a name; `("", (0, 0))` where it is none of Anthropic's.
fn parse(model: &str) -> (&str, (u32, u32)) {
    let Some((_, name)) = model.rsplit_once("claude-") else { return ("", (0, 0)) };
    let (mut family, mut numbers) = ("", Vec::new());
    for part in name.split(['-', '.', '@', ':']) {
        match part.parse::<u32>() {
            // Longer numbers are dates.
            Ok(number) if part.len() <= 2 => numbers.push(number),
            Ok(_) => {}
            Err(_) if family.is_empty() => family = part,
            Err(_) => break,
        }
    }
    (family, (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_distinguished_by_their_names() {
        // Effort, adaptive thinking, thinks by default, the most tokens.
        for (model, expected) in [
            ("claude-3-haiku-20240307", (false, false, false, 4_096)),
            ("claude-3-opus-latest", (false, false, false, 4_096)),
            ("claude-3-5-sonnet-20241022", (false, false, false, 8_192)),
            ("claude-3-7-sonnet-latest", (false, false, false, 64_000)),
            ("claude-opus-4-20250514", (false, false, false, 32_000)),
            ("claude-opus-4-1", (false, false, false, 32_000)),
            ("claude-opus-4-5-20251101", (true, false, false, 64_000)),
            ("claude-opus-4-6", (true, true, false, 64_000)),
            ("claude-opus-4-8", (true, true, false, 128_000)),
            ("claude-opus-5", (true, true, true, 128_000)),
            ("claude-sonnet-4-20250514", (false, false, false, 64_000)),
            ("claude-sonnet-4-5", (false, false, false, 64_000)),
            ("claude-sonnet-4-6", (true, true, false, 64_000)),
            ("claude-sonnet-5", (true, true, true, 64_000)),
            ("claude-haiku-4-5", (false, false, false, 64_000)),
            ("claude-haiku-5", (true, true, true, 128_000)),
            ("claude-mythos-preview", (true, true, false, 128_000)),
            ("eu.anthropic.claude-opus-4-6-v1:0", (true, true, false, 64_000)),
            ("scripted", (false, false, false, 64_000)),
        ] {
            let found = capabilities(model);
            let found = (found.takes_effort, found.adaptive_thinking, found.thinks_by_default, found.max_tokens);
            assert_eq!(found, expected, "{model}");
        }
    }
}
