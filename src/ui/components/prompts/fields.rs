//! The fields of a prompt: `{{name}}` in its text.

/// The longest name of a field, in characters.
const MAX_NAME_CHARS: usize = 40;

/// The most fields of a prompt.
const MAX_FIELDS: usize = 30;

/// A part of a prompt's text.
#[derive(Debug, PartialEq)]
enum Piece<'t> {
    Text(&'t str),
    /// The name of a field.
    Field(&'t str),
}

/// The parts of a text. A field's name has no braces and no line breaks; spaces around it do not count.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest, mut from) = (Vec::new(), text, 0);
    while let Some(start) = rest[from..].find("{{").map(|start| from + start) {
        let inner = &rest[start + 2..];
        let window = inner.char_indices().nth(MAX_NAME_CHARS + 20).map_or(inner, |(end, _)| &inner[..end]);
        let name = window.find("}}").map(|end| (&inner[..end], end));
        match name {
            Some((name, end)) if is_name(name.trim()) => {
                pieces.extend([Piece::Text(&rest[..start]), Piece::Field(name.trim())]);
                rest = &inner[end + 2..];
                from = 0;
            }
            // A brace further on may begin a field.
            _ => from = start + 1,
        }
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&name.chars().count()) && !name.contains(['{', '}', '\n', '\r'])
}

/// The names of a text's fields, in order, each once: the first [`MAX_FIELDS`].
pub(super) fn fields(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for piece in pieces(text) {
        if let Piece::Field(name) = piece
            && names.len() < MAX_FIELDS
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The text with the values of its fields. A field without a value stays as it is.
pub(super) fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let piece = |piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Field(name) => value(name).unwrap_or_else(|| format!("{{{{{name}}}}}")),
    };
    pieces(text).into_iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_named_in_double_braces() {
        assert_eq!(fields("Translate {{text}} to {{ language }}. {{text}}!"), ["text", "language"]);
        assert_eq!(fields("{{{a}}} {{b}}"), ["a", "b"]);
        assert_eq!(fields("{{}} {{ }} {{a\nb}} {a} {{open"), [] as [&str; 0]);
        assert_eq!(fields(&format!("{{{{{}}}}}", "x".repeat(41))), [] as [&str; 0]);
        assert_eq!(fields("{{größe}}"), ["größe"]);
    }

    #[test]
    fn values_take_the_places_of_their_fields() {
        let value = |name: &str| Some(format!("<{name}>"));
        assert_eq!(filled("To {{ who }}: {{what}}, {{who}}. {{", value), "To <who>: <what>, <who>. {{");
        assert_eq!(filled("{{{a}}}", value), "{<a>}");
        // A value that looks like a field is none.
        let value = |name: &str| Some(if name == "a" { "{{b}}" } else { "x" }.to_owned());
        assert_eq!(filled("{{a}}{{b}}", value), "{{b}}x");
        assert_eq!(filled("{{a}} {{ b }}", |name| (name == "a").then(|| "x".to_owned())), "x {{b}}");
        assert_eq!(fields(&(0..100).map(|n| format!("{{{{{n}}}}}")).collect::<String>()).len(), MAX_FIELDS);
    }

    proptest! {
        #[test]
        fn a_text_stays_what_it_is_around_its_fields(text in r"[{} a\nä]{0,60}") {
            let again = filled(&text, |_| None);
            prop_assert_eq!(fields(&again), fields(&text));
            if fields(&text).is_empty() {
                prop_assert_eq!(again, text);
            }
        }
    }
}
