//! The text of a question: clauses, words, phrases and model names.

use crate::analyst::pricing::PriceTable;

/// Lower-cases a text, replaces typographic apostrophes, and turns `5,000` into `5000`.
pub(super) fn normalize(text: &str) -> String {
    let chars: Vec<char> = text.to_lowercase().replace(['’', '‘'], "'").chars().collect();
    let is_digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let is_thousands_comma = |at: usize| {
        chars[at] == ','
            && is_digit(at.checked_sub(1))
            && (1..=3).all(|n| is_digit(Some(at + n)))
            && !is_digit(Some(at + 4))
    };
    chars.iter().enumerate().filter(|(at, _)| !is_thousands_comma(*at)).map(|(_, c)| *c).collect()
}

/// Splits a question at punctuation and conjunctions.
pub(super) fn split_clauses(lower: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for (at, c) in lower.char_indices() {
        let next_is_space =
            lower[at + c.len_utf8()..].starts_with(|c: char| c.is_whitespace()) || at + c.len_utf8() == lower.len();
        if (matches!(c, ',' | '.' | ':') && next_is_space) || matches!(c, ';' | '?' | '!' | '\n') {
            clauses.push(&lower[start..at]);
            start = at + c.len_utf8();
        }
    }
    clauses.push(&lower[start..]);
    // "compare a and b" must stay whole: split at conjunctions only if each part has three words or more.
    clauses
        .into_iter()
        .flat_map(|clause| {
            let parts: Vec<&str> = clause
                .split(" and ")
                .flat_map(|part| part.split(" but "))
                .flat_map(|part| part.split(" while "))
                .collect();
            if parts.iter().all(|part| part.split_whitespace().count() >= 3 || is_command(part)) {
                parts
            } else {
                vec![clause]
            }
        })
        .flat_map(split_before_without)
        .filter(|clause| !clause.trim().is_empty())
        .collect()
}

/// Whether a few words state a goal of their own: "halve latency".
fn is_command(part: &str) -> bool {
    const COMMANDS: &str = "halve|double|cut|reduce|lower|keep|save|speed up|forecast|predict|use";
    let part = part.trim();
    COMMANDS.split('|').any(|verb| part.strip_prefix(verb).is_some_and(|rest| rest.trim_start().len() > 2))
}

/// "Halve latency without paying more" states two goals; "the cost without failed requests" states one.
fn split_before_without(clause: &str) -> Vec<&str> {
    const KEPT: &str = "pay*|spend*|cost*|money|bill|price*|quality|accura*|latency|latencies|slow*|speed|los*|chang*|\
        rais*|increas*|hurt*|worse*|wors*";
    match clause.find(" without ") {
        Some(at) if !clause[..at].trim().is_empty() && contains_any(&clause[at..], KEPT) => {
            vec![&clause[..at], &clause[at + 1..]]
        }
        _ => vec![clause],
    }
}

/// The words of a clause: letters, digits, and the signs inside names.
pub(in crate::analyst) fn words_of(clause: &str) -> impl Iterator<Item = &str> {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '\'' | '@' | '/' | ':' | '%' | '+');
    clause
        .split(move |c: char| !is_inner(c))
        .map(|word| word.trim_matches(|c: char| matches!(c, '-' | '.' | '\'' | '/' | ':')))
        .filter(|word| !word.is_empty())
}

/// Whether `clause` contains one of `phrases` (separated by `|`) as whole words; a final `*` matches any ending.
pub(in crate::analyst) fn contains_any(clause: &str, phrases: &str) -> bool {
    phrases.split('|').any(|phrase| contains_phrase(clause, phrase))
}

/// Whether `clause` contains `phrase` as whole words; a final `*` matches any ending.
fn contains_phrase(clause: &str, phrase: &str) -> bool {
    let (stem, any_ending) = phrase.strip_suffix('*').map_or((phrase, false), |stem| (stem, true));
    clause.match_indices(stem).any(|(at, _)| {
        let starts_word = clause[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let ends_word = clause[at + stem.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        starts_word && (any_ending || ends_word)
    })
}

/// Writes the names of models as the table does: "claude sonnet 4.5" becomes `claude-sonnet-4-5`.
pub(super) fn join_model_names(lower: &str, table: &PriceTable) -> String {
    const FAMILIES: [&str; 9] = ["claude", "gpt", "gemini", "sonnet", "opus", "haiku", "mistral", "grok", "command"];
    const MOST_WORDS: usize = 4;
    let words: Vec<&str> = lower.split(' ').collect();
    let mut joined: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = MOST_WORDS.min(words.len() - at);
        let found = FAMILIES.contains(&words[at].split('-').next().unwrap_or_default()).then(|| {
            (1..=longest).rev().find_map(|count| {
                let end = |c: char| matches!(c, ',' | '.' | '?' | '!' | ';' | ':' | ')');
                let phrase = words[at..at + count].join("-");
                let name = phrase.trim_end_matches(end);
                let has_number = name.contains(|c: char| c.is_ascii_digit());
                let inner = words[at..at + count - 1].iter().all(|word| !word.is_empty() && !word.ends_with(end));
                let names = [name.to_owned(), format!("claude-{name}")];
                let price = names.iter().find_map(|name| table.find(name)).filter(|_| has_number && inner)?;
                Some((count, price.model.clone() + &phrase[name.len()..]))
            })
        });
        let (count, word) = found.flatten().unwrap_or_else(|| (1, words[at].to_owned()));
        joined.push(word);
        at += count;
    }
    joined.join(" ")
}

/// Finds the models of the table in a text, in order. Matches longer names first, so that `gpt-4o-mini` is not also
/// `gpt-4o`.
pub(super) fn find_models(lower: &str, table: &PriceTable) -> Vec<String> {
    let is_name =
        |name: &str| name.contains(|c: char| c == '-' || c.is_ascii_digit()) && name.contains(char::is_alphabetic);
    let mut names: Vec<(&str, &str)> = table
        .models()
        .flat_map(|name| [(name.rsplit('/').next().unwrap_or(name), name), (name, name)])
        .filter(|(bare, _)| is_name(bare) && lower.contains(bare))
        .collect();
    // Of several names with one ending, the one without a provider.
    names.sort_by_key(|(bare, name)| (std::cmp::Reverse(bare.len()), name.len()));
    let mut text = lower.to_owned();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (bare, name) in names {
        while let Some(at) = position_of(&text, bare) {
            if !found.iter().any(|(_, known)| known == name) {
                found.push((at, name.to_owned()));
            }
            text.replace_range(at..at + bare.len(), &" ".repeat(bare.len()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

/// Where a text has a name as a whole: not as the beginning or the end of a longer name.
pub(in crate::analyst) fn position_of(text: &str, name: &str) -> Option<usize> {
    let is_name_char = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(name).map(|(at, _)| at).find(|&at| {
        let (before, after) = (text[..at].chars().next_back(), &text[at + name.len()..]);
        let mut rest = after.chars();
        let dotted = rest.next() == Some('.') && rest.next().is_some_and(char::is_alphanumeric);
        before.is_none_or(|c| !is_name_char(c)) && !after.starts_with(is_name_char) && !dotted
    })
}

/// Words that look like the name of a model and that are none of the table.
pub(super) fn find_unknown_models(lower: &str, known: &[String], table: &PriceTable) -> (Vec<String>, Vec<String>) {
    const FAMILIES: [&str; 18] = [
        "gpt-", "claude-", "gemini-", "llama", "mistral-", "mixtral", "qwen", "deepseek", "grok-", "command-",
        "sonnet-", "opus-", "haiku-", "phi-", "gemma", "nova-", "kimi", "glm-",
    ];
    let is_model = |word: &&str| {
        let bare = word.rsplit('/').next().unwrap_or(word);
        FAMILIES.iter().any(|family| bare.starts_with(family))
            && bare.contains(|c: char| c.is_ascii_digit() || c == '-')
    };
    let is_known = |word: &str| known.iter().any(|name| name == word || name.rsplit('/').next() == Some(word));
    let words = words_of(lower).filter(|word| is_model(word) && !is_known(word));
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for word in words {
        // Written another way: `claude-sonnet-4.5`.
        match table.find(word) {
            Some(price) => found.push(price.model.clone()),
            None => unknown.push(word.to_owned()),
        }
    }
    (found, unknown)
}
