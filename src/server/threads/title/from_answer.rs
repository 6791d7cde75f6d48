//! The title in what a model answered when it was asked for one.

use super::{plain, shortened, words};
use crate::protocol::limits::MAX_TITLE_CHARS;

/// Words before a title, in lower case.
const LABELS: &[&str] =
    &["title", "titel", "titre", "título", "titolo", "chat title", "conversation title", "标题", "タイトル"];

/// How answers begin that are no title, in lower case.
const REFUSALS: &[&str] = &[
    "sorry",
    "i'm sorry",
    "i’m sorry",
    "i am sorry",
    "i'm unable",
    "i’m unable",
    "i am unable",
    "i can't",
    "i can’t",
    "i cannot",
    "i apologi",
    "as an ai",
];

/// Marks that may enclose a title.
const QUOTES: &[char] = &['"', '\'', '“', '”', '„', '‘', '’', '«', '»', '「', '」', '『', '』', '`'];

/// A title of one line, without quotes and Markdown; `None` if the answer is empty, refuses, or is too long to be a title.
pub(in super::super) fn title_from_answer(answer: &str) -> Option<String> {
    let lines = answer.lines().map(str::trim).filter(|line| !line.starts_with("```"));
    let line = lines.map(plain).find(|line| line.contains(char::is_alphanumeric))?;
    let line = without_label(&line);
    let line =
        words(line.replace(['*', '_', '`'], " ").trim_matches(|c: char| QUOTES.contains(&c) || c.is_whitespace()));
    let lower = line.to_lowercase();
    let is_refusal = REFUSALS.iter().any(|refusal| lower.starts_with(refusal));
    if is_refusal || line.chars().count() > MAX_TITLE_CHARS || !line.contains(char::is_alphanumeric) {
        return None;
    }
    Some(shortened(&line))
}

/// `Title: Costs` becomes `Costs`.
fn without_label(line: &str) -> &str {
    let (label, title) = line.split_once([':', '：']).unwrap_or(("", line));
    let is_label = LABELS.contains(&label.trim().to_lowercase().as_str());
    if is_label && title.contains(char::is_alphanumeric) { title.trim() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_plain_line_of_the_answer() {
        let cases = [
            ("Token costs in May", Some("Token costs in May")),
            ("\n\"Token costs in May.\"\n", Some("Token costs in May")),
            ("# **Token costs**\n\nThis title says …", Some("Token costs")),
            ("Title: „Kosten im Mai“", Some("Kosten im Mai")),
            ("```\nToken costs\n```", Some("Token costs")),
            ("What's next: a plan", Some("What's next: a plan")),
            ("标题：五月的费用", Some("五月的费用")),
            ("Tom's \t  costs\u{7}", Some("Tom's costs")),
            ("", None),
            ("  \n***\n\"\"", None),
            ("I'm sorry, but I can't help with that.", None),
            ("I cannot name this conversation", None),
        ];
        for (answer, title) in cases {
            assert_eq!(title_from_answer(answer).as_deref(), title, "{answer}");
        }
        assert_eq!(title_from_answer(&"word ".repeat(100)), None, "an answer, not a title");
        let long = title_from_answer(&"word ".repeat(30)).expect("a title");
        assert!(long.ends_with('…') && long.chars().count() <= 61, "{long}");
    }
}
