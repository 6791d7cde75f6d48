//! Names and titles that users give: one line of text.

use super::error::{Error, Result};
use crate::protocol::ErrorCode;

/// A name as it is stored: one line, trimmed, 1 to `max_chars` characters, none of them a control character. `what` it is the name of, as in
/// "a tag", is for the error.
///
/// # Errors
/// `invalid_payload`.
pub(crate) fn one_line(text: &str, what: &str, max_chars: usize) -> Result<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.chars().count() > max_chars || text.contains(char::is_control) {
        let message = format!("{what} has 1 to {max_chars} characters, and no control characters");
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_becomes_single_spaces_and_what_is_no_line_is_refused() {
        assert_eq!(one_line(" Costs \n of\tMay ", "a title", 20).expect("a line"), "Costs of May");
        for refused in ["", " \n", "a\u{7}b", "a\0", "123456"] {
            let error = one_line(refused, "a title", 5).expect_err(refused).into_body();
            assert_eq!(error.message, "a title has 1 to 5 characters, and no control characters");
        }
        assert_eq!(one_line("äöüßé", "a title", 5).expect("characters, not bytes"), "äöüßé");
    }
}
