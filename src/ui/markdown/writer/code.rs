//! Code blocks: a header with the language and the buttons "Wrap" and "Copy", then the code.

use std::ops::Range;

use pulldown_cmark::CodeBlockKind;

use super::{
    super::{source::restore, unit::Kind},
    Writer,
};

/// With what the HTML of each code block begins.
pub(in super::super) const CODE_HEAD: &str = "<div class=\"code\"";
/// The HTML between the language and the code. `answer_tools` handles the buttons.
const CODE_BUTTONS: &str = concat!(
    "<button type=\"button\" data-press=\"wrap\" aria-pressed=\"false\">Wrap</button>",
    "<button type=\"button\" data-press=\"code\">Copy</button></div>",
    "<pre tabindex=\"0\" dir=\"ltr\"><code>",
);
/// The longest name of a language.
const MAX_LANGUAGE_BYTES: usize = 32;

impl Writer<'_> {
    pub(super) fn start_code(&mut self, kind: &CodeBlockKind<'_>, range: &Range<usize>) {
        let is_unit = self.open.is_empty() && matches!(kind, CodeBlockKind::Fenced(_));
        self.in_code = true;
        self.begin_unit(if is_unit { Kind::Code } else { Kind::Whole }, range);
        let language = match kind {
            CodeBlockKind::Fenced(info) => language(&restore(info)).map(str::to_owned),
            CodeBlockKind::Indented => None,
        };
        let attribute = language.as_ref().map(|name| format!(" data-language=\"{name}\"")).unwrap_or_default();
        let shown = language.as_deref().unwrap_or("Code");
        self.write_block(&format!(
            "{CODE_HEAD}{attribute}><div class=\"block-head\"><span class=\"language\">{shown}</span>{CODE_BUTTONS}"
        ));
        if let Some(unit) = self.units.last_mut().filter(|_| is_unit) {
            unit.head = std::mem::take(&mut self.html);
        }
    }

    /// Appends text to a top-level code block.
    pub(super) fn append_code(&mut self, text: &str, range: &Range<usize>) {
        let end = self.source.original(range.end);
        match self.units.last_mut() {
            Some(unit) if unit.kind == Kind::Code => {
                unit.code.push_str(&restore(text));
                unit.code_end = unit.code_end.max(end);
            }
            _ => self.text.push_str(&restore(text)),
        }
    }
}

/// The language in the line that opens a code block: its first word, if it looks like the name of a language.
fn language(info: &str) -> Option<&str> {
    let word = info.split([' ', '\t', ',', '{', ':']).next()?;
    let is_name = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+#.-_/".contains(&byte));
    (is_name && (1..=MAX_LANGUAGE_BYTES).contains(&word.len())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn only_names_of_languages_are_shown() {
        assert_eq!(language("rust,ignore"), Some("rust"));
        assert_eq!(language("c++ title=x"), Some("c++"));
        assert_eq!(language("\"><script>"), None);
        assert_eq!(language(""), None);
    }
}
