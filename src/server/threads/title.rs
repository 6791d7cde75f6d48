//! The title of a thread, made of its first message: what the person asks, in their own words.
//!
//! Code, quoted text, pasted logs, greetings and courtesies are left out, and of a link only the host is kept. The rest is cut at the end of a
//! sentence or of a word. If nothing remains, the title is the name of an attached file, or the beginning of the message as it is.

use crate::server::graphemes::cut;

/// The most characters of a title, without the ellipsis.
const MAX_CHARS: usize = 60;
/// A first sentence shorter than this says too little to be the title alone.
const MIN_SENTENCE_CHARS: usize = 15;
/// A title of at most so many characters is followed by the name of the attached file.
const MAX_CHARS_BEFORE_FILE: usize = 24;

/// Greetings, in lower case. Removed only before punctuation, the end of a line, or a courtesy: `Hello world in C` is no greeting.
const GREETINGS: &[&str] = &[
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello there",
    "hey there",
    "hi all",
    "hello all",
    "hi everyone",
    "hello everyone",
    "hi team",
    "good morning",
    "good afternoon",
    "good evening",
    "hallo",
    "guten tag",
    "guten morgen",
    "moin",
    "servus",
    "bonjour",
    "salut",
    "bonsoir",
    "hola",
    "buenos días",
    "buenas tardes",
    "ciao",
    "buongiorno",
    "olá",
    "bom dia",
    "привет",
    "здравствуйте",
    "你好",
    "您好",
    "こんにちは",
    "안녕하세요",
];

/// Courtesies with which a request begins, in lower case, the longer ones first.
const COURTESIES: &[&str] = &[
    "i would like you to",
    "i'd like you to",
    "i’d like you to",
    "i want you to",
    "i need you to",
    "would you mind",
    "could you please",
    "can you please",
    "would you please",
    "will you please",
    "could you kindly",
    "can you kindly",
    "please could you",
    "please can you",
    "could you",
    "can you",
    "would you",
    "please",
    "kindly",
    "könntest du bitte",
    "kannst du bitte",
    "könnten sie bitte",
    "können sie bitte",
    "könntest du",
    "kannst du",
    "könnten sie",
    "können sie",
    "bitte",
    "pourriez-vous",
    "pouvez-vous",
    "pourrais-tu",
    "peux-tu",
    "s'il vous plaît",
    "s’il vous plaît",
    "s'il te plaît",
    "s’il te plaît",
    "podrías",
    "puedes",
    "por favor",
    "potresti",
    "puoi",
    "per favore",
    "пожалуйста",
    "请问",
    "请帮我",
    "请",
];

/// Courtesies with which a request ends, in lower case.
const CLOSINGS: &[&str] = &[
    "thanks in advance",
    "thank you very much",
    "thank you",
    "many thanks",
    "thanks",
    "please",
    "danke",
    "bitte",
    "merci",
    "s'il vous plaît",
    "s’il vous plaît",
    "gracias",
    "por favor",
    "grazie",
    "谢谢",
];

/// The title of a thread that begins with this text and these attached files.
pub(super) fn title_for(text: &str, files: &[&str]) -> String {
    let asked = request(text);
    let file = files.first().map(|name| words(name));
    match (asked, file) {
        (Some(asked), Some(file)) if asked.chars().count() <= MAX_CHARS_BEFORE_FILE && !asked.contains(&file) => {
            shortened(&format!("{}: {file}", asked.trim_end_matches(['.', '!', '?', ':'])))
        }
        (Some(asked), _) => asked,
        (None, Some(file)) => shortened(&file),
        (None, None) => shortened(&words(text)),
    }
}

/// What a message asks; `None` if it has nothing but code, quotes, logs and courtesies.
fn request(text: &str) -> Option<String> {
    let lines = prose_lines(text);
    let paragraphs = lines.split(String::is_empty).map(|lines| lines.join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).find_map(|paragraph| {
        let asked = without_closing(without_opening(&paragraph));
        let asked = if asked.len() == paragraph.len() { asked.to_owned() } else { capitalised(asked) };
        asked.contains(char::is_alphanumeric).then(|| shortened(&asked))
    })
}

/// The lines of a text that are prose, without markup; an empty line where others are left out.
fn prose_lines(text: &str) -> Vec<String> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        match (fence, marker) {
            (Some(open), Some(marker)) if open == marker => fence = None,
            (None, Some(marker)) => fence = Some(marker),
            (None, None) if !is_quoted(trimmed) && !is_log(line) => {
                lines.push(plain(trimmed));
                continue;
            }
            _ => {}
        }
        lines.push(String::new());
    }
    lines
}

fn is_quoted(line: &str) -> bool {
    line.starts_with('>')
}

/// Whether a line was probably pasted from a log, a stack trace or data.
fn is_log(line: &str) -> bool {
    const LEVELS: &[&str] =
        &["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "Traceback", "Exception in"];
    let trimmed = line.trim();
    let is_indented = line.starts_with("  ") || line.starts_with('\t');
    let starts_with_time = {
        let head: String = trimmed.trim_start_matches(['[', '(']).chars().take(10).collect();
        let digits = head.chars().filter(char::is_ascii_digit).count();
        digits >= 6 && head.starts_with(|c: char| c.is_ascii_digit()) && head.contains(['-', ':', '/', '.'])
    };
    let has_level = LEVELS.iter().any(|level| {
        let rest = trimmed.trim_start_matches('[').strip_prefix(level);
        rest.is_some_and(|rest| rest.starts_with(|c: char| !c.is_alphanumeric()))
    });
    let is_frame = is_indented && (trimmed.starts_with("at ") || trimmed.starts_with("File \""));
    let is_data = trimmed.len() > 1
        && !trimmed.contains("](")
        && trimmed.starts_with(['{', '[', '<', '}', ']'])
        && trimmed.contains(['"', ':', '>', ',']);
    let letters = trimmed.chars().filter(|c| c.is_alphabetic() || c.is_whitespace()).count();
    let is_mostly_symbols =
        trimmed.chars().count() > 20 && letters * 2 < trimmed.chars().count() && !trimmed.contains("://");
    starts_with_time || has_level || is_frame || is_data || is_mostly_symbols
}

/// A line without the markup of Markdown; of links, their text or host.
fn plain(line: &str) -> String {
    let line = line.trim_start_matches(['#', '-', '*', '+', '•']).trim_start();
    let line = without_markdown_links(line).replace(['`', '*'], "");
    let shown = line.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).map(host_of);
    shown.collect::<Vec<_>>().join(" ")
}

/// `[text](address)` and `![text](address)` become `text`.
fn without_markdown_links(line: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](").and_then(|(text, after)| Some((text, after.split_once(')')?.1)));
        match link.filter(|(text, _)| !text.contains('[')) {
            Some((text, after)) => {
                shown.push_str(before.strip_suffix('!').unwrap_or(before));
                shown.push_str(text);
                rest = after;
            }
            None => {
                shown.push_str(before);
                shown.push('[');
                rest = after;
            }
        }
    }
    shown + rest
}

/// A word; of an address, its host.
fn host_of(word: &str) -> String {
    let Some((before, address)) = ["https://", "http://"].iter().find_map(|scheme| word.split_once(scheme)) else {
        return word.to_owned();
    };
    let end = address.find(['/', '?', '#', ')', '>', ',', ';', '"']).unwrap_or(address.len());
    let host = address[..end].trim_end_matches(['.', '!', ':']);
    let host = host.strip_prefix("www.").unwrap_or(host);
    let closing = address.chars().last().filter(|last| matches!(last, '?' | '!' | '.' | ',' | ';' | ')' | '>'));
    let closing = closing.filter(|last| !matches!(last, '>') || before.ends_with('<'));
    format!("{before}{host}{}", closing.map(String::from).unwrap_or_default()).replace(['<', '>'], "")
}

/// A text without greetings and courtesies at its beginning, unless it has nothing else.
fn without_opening(text: &str) -> &str {
    let mut rest = text;
    loop {
        let shorter = GREETINGS.iter().find_map(|greeting| without_greeting(rest, greeting));
        let shorter = shorter.or_else(|| COURTESIES.iter().find_map(|courtesy| without_courtesy(rest, courtesy)));
        match shorter {
            Some(shorter) => rest = shorter,
            None => return rest,
        }
    }
}

/// What follows a prefix in lower case, if the text begins with it, in any case.
fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for expected in prefix.chars() {
        let next = rest.next()?;
        if next != expected && !next.to_lowercase().eq([expected]) {
            return None;
        }
    }
    Some(rest.as_str())
}

const PUNCTUATION: [char; 10] = [',', '!', '.', ':', ';', '，', '！', '。', '、', '：'];

fn without_greeting<'a>(text: &'a str, greeting: &str) -> Option<&'a str> {
    let rest = after_prefix(text, greeting)?;
    let after_name = rest.strip_prefix(' ').and_then(|rest| {
        // One word: `Hi Netra, …`.
        let (name, after) = rest.split_at(rest.find([' ', ',', '!'])?);
        (after.starts_with([',', '!']) && name.starts_with(char::is_uppercase)).then_some(after)
    });
    let spaced = rest.trim_start();
    let is_before_courtesy =
        || spaced.len() < rest.len() && COURTESIES.iter().any(|courtesy| without_courtesy(spaced, courtesy).is_some());
    if rest.is_empty() || rest.starts_with(PUNCTUATION) {
        return Some(rest.trim_start_matches(PUNCTUATION).trim_start());
    }
    match after_name {
        Some(after) => Some(after.trim_start_matches(PUNCTUATION).trim_start()),
        None => is_before_courtesy().then_some(spaced),
    }
}

fn without_courtesy<'a>(text: &'a str, courtesy: &str) -> Option<&'a str> {
    let rest = after_prefix(text, courtesy)?;
    let is_whole_word = rest.starts_with(|c: char| c.is_whitespace() || PUNCTUATION.contains(&c));
    let is_unspaced_script = courtesy.chars().all(|c| ('\u{3000}'..'\u{d7b0}').contains(&c));
    let rest_is_request = rest.contains(char::is_alphanumeric);
    ((is_whole_word || is_unspaced_script) && rest_is_request)
        .then(|| rest.trim_start_matches(PUNCTUATION).trim_start())
}

/// A text without courtesies at its end, unless it has nothing else.
fn without_closing(text: &str) -> &str {
    let mut rest = text.trim_end();
    loop {
        let bare = rest.trim_end_matches([' ', '.', '!', '?', ',', '！', '。']);
        let before = CLOSINGS.iter().find_map(|closing| {
            let at = bare.char_indices().rev().nth(closing.chars().count() - 1)?.0;
            let before = &bare[..at];
            let is_apart = before.ends_with([' ', ',', '.', '!', '?', '。', '，', '！']);
            (after_prefix(&bare[at..], closing) == Some("") && is_apart)
                .then(|| before.trim_end_matches([' ', ',', '，']))
        });
        match before.filter(|before| before.contains(char::is_alphanumeric)) {
            Some(before) => rest = before,
            None => return rest,
        }
    }
}

/// With its first letter in upper case.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// All words, with single spaces.
fn words(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// At most [`MAX_CHARS`] characters: whole, its first sentence, or as many words as fit.
fn shortened(text: &str) -> String {
    let text = text.trim_end_matches(['.', ',', ':', ';', '。', '，', ' ']);
    if text.chars().nth(MAX_CHARS).is_none() {
        return text.to_owned();
    }
    if let Some(sentence) = first_sentence(text) {
        return sentence.trim_end_matches(['.', '。']).to_owned();
    }
    let head = cut(text, MAX_CHARS);
    let is_between_words = text[head.len()..].starts_with(' ');
    // Languages without spaces, and very long words, are cut anywhere.
    let at_word = head.rfind(' ').filter(|at| !is_between_words && head[..*at].chars().count() * 2 > MAX_CHARS);
    let head = &head[..at_word.unwrap_or(head.len())];
    format!("{}…", head.trim_end_matches([' ', ',', '.', ':', ';', '-', '，']))
}

/// The first sentence, if it is neither too short nor too long for a title.
fn first_sentence(text: &str) -> Option<&str> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_wide = matches!(c, '。' | '！' | '？');
        let ends_word = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        if is_wide || (matches!(c, '.' | '!' | '?') && ends_word) {
            let sentence = &text[..at + c.len_utf8()];
            let length = sentence.chars().count();
            if length > MAX_CHARS {
                return None;
            }
            if length >= MIN_SENTENCE_CHARS || is_wide {
                return Some(sentence);
            }
        }
    }
    None
}

mod from_answer;

pub(super) use from_answer::title_from_answer;

#[cfg(test)]
mod tests;
