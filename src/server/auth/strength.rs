//! Which passwords are accepted when somebody chooses one. Existing passwords are not checked.

use tokio::task::spawn_blocking;
use zxcvbn::{Score, zxcvbn};

use crate::{
    protocol::{
        ErrorCode,
        limits::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS},
    },
    server::error::{Error, Result},
};

/// Passwords that can be guessed within a million tries are refused: common ones, words, rows of keys, repetitions.
const MIN_SCORE: Score = Score::Two;

/// Refuses a password that is too short, too long or easy to guess. `about`: the person's name and address, which make a password easy
/// to guess.
///
/// # Errors
/// `invalid_payload`, with what to do.
pub(super) async fn check(password: &str, about: &[&str]) -> Result<()> {
    let refuse = |message: String| Err(Error::refused(ErrorCode::InvalidPayload, message));
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return refuse(format!(
            "a password has at least {MIN_PASSWORD_CHARS} characters; three or four words make a good one"
        ));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return refuse(format!("a password has at most {MAX_PASSWORD_BYTES} bytes; choose a shorter one"));
    }
    let password = password.to_owned();
    let about: Vec<String> = about.iter().flat_map(|text| words(text)).collect();
    // This takes some milliseconds.
    let weak = spawn_blocking(move || is_weak(&password, &about)).await.map_err(|gone| Error::Io(gone.into()))?;
    if weak {
        let message = "this password is among the first that are guessed; three or four words that do not belong together \
                       make a good one";
        return refuse(message.into());
    }
    Ok(())
}

fn is_weak(password: &str, about: &[String]) -> bool {
    let about: Vec<&str> = about.iter().map(String::as_str).chain(["netra"]).collect();
    password.trim().is_empty() || zxcvbn(password, &about).score() < MIN_SCORE
}

/// A text and its words.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(ToOwned::to_owned).chain([text.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(password: &str) -> Option<String> {
        let checked = check(password, &["lovelace@example.org", "Ada Lovelace"]).await;
        checked.err().map(|error| error.into_body().message)
    }

    #[tokio::test]
    async fn a_password_of_fewer_than_ten_characters_is_refused() {
        for password in ["", "password", "12345678", "        ", "kX9$pQ2!z", "äöüäöüäöü"] {
            assert!(refusal(password).await.is_some_and(|message| message.contains("at least 10")), "{password}");
        }
        assert!(refusal("äpfelöltür").await.is_none(), "characters are counted, not bytes");
        assert!(refusal(&"x9Q$".repeat(300)).await.is_some_and(|message| message.contains("at most 1024")));
    }

    #[tokio::test]
    async fn a_password_that_is_easy_to_guess_is_refused_with_what_to_do() {
        for password in [
            "1234567890",
            "qwertyuiop",
            "password123",
            "Password123",
            "iloveyou123",
            "          ",
            "aaaaaaaaaaaa",
            "abcdefghijkl",
            "lovelace2026",
            "adalovelace",
            "netra12345",
        ] {
            assert!(refusal(password).await.is_some_and(|message| message.contains("words")), "{password}");
        }
    }

    #[tokio::test]
    async fn a_few_words_or_random_characters_are_accepted() {
        for password in ["correct horse", "correct horse battery staple", "kX9$pQ2!zR", "grüner Hund am Fenster"] {
            assert_eq!(refusal(password).await, None, "{password}");
        }
    }
}
