//! Addresses in plain text: `https://…`, `www.…` and mail addresses become links, as in GitHub Flavored Markdown.
//!
//! Unlike there, an address ends at Chinese, Japanese and Korean punctuation, and may directly follow their letters.

use std::ops::Range;

/// An address in a text: its range, and the scheme to add in front.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundAddress {
    pub(super) range: Range<usize>,
    pub(super) scheme: &'static str,
}

/// The longest address that becomes a link.
const MAX_ADDRESS_BYTES: usize = 4096;

/// The first address at or after `from`.
pub(super) fn find_address(text: &str, from: usize) -> Option<FoundAddress> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        let found = match bytes[at] {
            b'h' | b'H' => web_address(text, at, "https://", "").or_else(|| web_address(text, at, "http://", "")),
            b'w' | b'W' => web_address(text, at, "www.", "https://"),
            b'@' => mail_address(text, at, from),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        at += 1;
    }
    None
}

fn web_address(text: &str, at: usize, start: &str, scheme: &'static str) -> Option<FoundAddress> {
    let has_start = text.get(at..at + start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start));
    let is_separate =
        !text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '/' || c == '@');
    if !has_start || !is_separate {
        return None;
    }
    let host_bytes = text[at + start.len()..].bytes().take_while(|byte| is_host(*byte)).count();
    let host = &text[at + start.len()..at + start.len() + host_bytes];
    let has_host = if scheme.is_empty() { !host.is_empty() } else { host.contains('.') };
    // As in GitHub Flavored Markdown: no underscore in the last two labels.
    let is_valid = host.rsplit('.').take(2).all(|label| !label.contains('_'));
    if !has_host || !is_valid || host.starts_with('.') {
        return None;
    }
    // One character more than the maximum, to recognise a longer address.
    let rest = &text[at..text.floor_char_boundary(at + MAX_ADDRESS_BYTES + 4)];
    let rest = rest.char_indices().find(|(_, c)| ends_address(*c)).map_or(rest, |(end, _)| &rest[..end]);
    let end = at + trim_punctuation(rest).len();
    (end > at + start.len() && end - at <= MAX_ADDRESS_BYTES).then_some(FoundAddress { range: at..end, scheme })
}

/// The address around an `@`.
fn mail_address(text: &str, at: usize, from: usize) -> Option<FoundAddress> {
    let bytes = text.as_bytes();
    let name = bytes[from..at].iter().rev().take(64).take_while(|byte| is_mail_name(**byte)).count();
    let domain = bytes[at + 1..].iter().take(255).take_while(|byte| is_host(**byte)).count();
    let domain = text[at + 1..at + 1 + domain].trim_end_matches('.');
    let has_labels = domain.split('.').all(|label| !label.is_empty()) && domain.contains('.');
    let is_mail =
        name > 0 && has_labels && !domain.ends_with(['-', '_']) && bytes.get(at + 1 + domain.len()) != Some(&b'@');
    is_mail.then(|| FoundAddress { range: at - name..at + 1 + domain.len(), scheme: "mailto:" })
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn is_mail_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_+".contains(&byte)
}

fn ends_address(char: char) -> bool {
    let is_wide_punctuation = matches!(u32::from(char), 0x2018..=0x201f | 0x2026 | 0x3000..=0x303f | 0xff01..=0xff0f | 0xff1a..=0xff20 | 0xff3b..=0xff40 | 0xff5b..=0xff65);
    char.is_whitespace() || char.is_control() || matches!(char, '<' | '>' | '"' | '`' | '|') || is_wide_punctuation
}

/// Cuts off trailing punctuation that belongs to the sentence around the address.
fn trim_punctuation(address: &str) -> &str {
    let mut rest = address;
    let count = |text: &str, byte: u8| text.bytes().filter(|it| *it == byte).count();
    let (opened, mut closed) = (count(rest, b'('), count(rest, b')'));
    loop {
        let cut = rest.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'', '}', ']']);
        let cut = match cut.strip_suffix(')') {
            Some(without) if closed > opened => {
                closed -= 1;
                without
            }
            _ => cut,
        };
        if cut.len() == rest.len() {
            return rest;
        }
        rest = cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let (mut from, mut all) = (0, Vec::new());
        while let Some(found) = find_address(text, from) {
            from = found.range.end;
            all.push(format!("{}{}", found.scheme, &text[found.range]));
        }
        all
    }

    #[test]
    fn addresses_end_before_the_punctuation_of_the_sentence() {
        assert_eq!(
            found("(see https://e.org/a_(b)), or www.e.org/x?y=1."),
            ["https://e.org/a_(b)", "https://www.e.org/x?y=1"]
        );
        assert_eq!(found("见https://e.org/zh，谢谢。"), ["https://e.org/zh"]);
        assert_eq!(found("http://localhost:3000/, **https://e.org**"), ["http://localhost:3000/", "https://e.org"]);
        assert_eq!(found("a.b+c@mail.e.org. no@host, x@y.z@w.v"), ["mailto:a.b+c@mail.e.org", "mailto:y.z@w.v"]);
    }

    #[test]
    fn other_words_are_not_addresses() {
        assert!(
            found("xhttps://e.org http:// https://. www. www.x javascript:alert(1) ftp://e.org @e.org https://a_b.c_d")
                .is_empty()
        );
    }
}
