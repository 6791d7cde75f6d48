//! A table of messages and their titles.

use super::*;

#[test]
fn a_title_is_what_the_person_asks() {
    let cases = [
        ("Where do my tokens go?", "Where do my tokens go?"),
        ("  two\nlines ", "two lines"),
        // Greetings and courtesies.
        ("Hi, can you please explain how caching works?", "Explain how caching works?"),
        ("Hello!\n\nCould you summarize the report for me, please?", "Summarize the report for me"),
        ("hey there, what is a monad", "What is a monad"),
        ("Hi Netra, compare the two models", "Compare the two models"),
        ("hi can you cut my cost", "Cut my cost"),
        ("Please translate this to French. Thanks in advance!", "Translate this to French"),
        ("Hello world in C", "Hello world in C"),
        ("Hi-fi speakers under 500 euros", "Hi-fi speakers under 500 euros"),
        ("Can your model read images?", "Can your model read images?"),
        ("Hi", "Hi"),
        ("Thanks!", "Thanks!"),
        ("Please", "Please"),
        ("Hallo, kannst du bitte die Rechnung prüfen?", "Die Rechnung prüfen?"),
        ("Bonjour, pouvez-vous résumer ce texte ? Merci", "Résumer ce texte ?"),
        ("Hola, ¿cuánto cuesta?", "¿cuánto cuesta?"),
        ("你好，请解释一下量子计算", "解释一下量子计算"),
        // Markup, code, quotes and logs.
        ("# Fix the **build**", "Fix the build"),
        ("Why does `cargo test` hang?", "Why does cargo test hang?"),
        ("```rust\nfn main() {}\n```\nWhy does this not compile?", "Why does this not compile?"),
        ("Explain this:\n```\nlet x = 1;\n", "Explain this"),
        ("> You wrote that it is free.\n\nIs that still true?", "Is that still true?"),
        ("2026-11-30 18:29:03 ERROR db: lost\n2026-11-30 18:29:04 INFO retry\nWhat went wrong?", "What went wrong?"),
        ("[ERROR] lost the connection\n\nWhat does it mean?", "What does it mean?"),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1\nHelp me to fix it", "Help me to fix it"),
        ("{\"a\": 1, \"b\": [2]}\nWhat is in here?", "What is in here?"),
        // Links.
        ("Summarize https://www.example.org/a/very/long/path?with=query", "Summarize example.org"),
        ("Is [the report](https://example.org/report) right?", "Is the report right?"),
        ("https://example.org/x", "example.org"),
        // Nothing but what is left out.
        ("```\ncode\n```", "``` code ```"),
        ("> quoted", "> quoted"),
        ("2026-11-30 18:29:03 ERROR lost", "2026-11-30 18:29:03 ERROR lost"),
        ("🎉🎉", "🎉🎉"),
    ];
    for (text, title) in cases {
        assert_eq!(title_for(text, &[]), title, "{text:?}");
    }
}

#[test]
fn a_long_message_is_cut_after_a_sentence_or_a_word() {
    let cases = [
        (
            "I want to reduce what we pay. We use three models for support, and most requests are short.",
            "I want to reduce what we pay",
        ),
        (
            "Compare the cost of all models that were used in the last three months and show me a chart",
            "Compare the cost of all models that were used in the last…",
        ),
        (
            "今日はとても天気が良いですね。散歩に行きたいのですが、どこかおすすめの場所はありますか？教えてください。できれば駅の近くがいいです。",
            "今日はとても天気が良いですね",
        ),
    ];
    for (text, title) in cases {
        assert_eq!(title_for(text, &[]), title, "{text:?}");
        assert!(title.chars().count() <= MAX_CHARS + 1);
    }
    let unspaced = "量".repeat(100);
    assert_eq!(title_for(&unspaced, &[]), format!("{}…", "量".repeat(MAX_CHARS)));
}

#[test]
fn a_short_request_about_a_file_names_the_file() {
    assert_eq!(title_for("Analyze this.", &["support.csv"]), "Analyze this: support.csv");
    assert_eq!(title_for("What is in support.csv?", &["support.csv"]), "What is in support.csv?");
    assert_eq!(title_for("```\n1\n```", &["support.csv", "more.csv"]), "support.csv");
    let long = "Which of these requests could a smaller model answer?";
    assert_eq!(title_for(long, &["support.csv"]), long);
}

#[test]
fn a_title_is_not_cut_inside_an_emoji() {
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    let before = "x".repeat(MAX_CHARS - 2);
    assert_eq!(title_for(&format!("{before}{family}"), &[]), format!("{before}…"));
    assert_eq!(title_for(&format!("  two\nlines {family} "), &[]), format!("two lines {family}"));
}
