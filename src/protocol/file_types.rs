//! Which uploaded files a browser may show, and as what type: the server sends no other file to be shown, and the page links to no other.

/// Endings of names, and the media type as which such a file is shown. None of them can run scripts; SVG and HTML can, so they are missing.
const SHOWN: [(&str, &[&str]); 8] = [
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/bmp", &["bmp"]),
    ("application/pdf", &["pdf"]),
    (
        "text/plain; charset=utf-8",
        &["txt", "md", "log", "csv", "tsv", "json", "jsonl", "ndjson", "yaml", "yml", "toml"],
    ),
];

/// The media type as which a browser shows a file, by the file's name. `None`: the file can only be downloaded.
#[must_use]
pub fn shown_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let found = SHOWN.iter().find(|(_, endings)| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    found.map(|(media_type, _)| *media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_cannot_run_scripts_are_shown() {
        assert_eq!(shown_type("Chart.PNG"), Some("image/png"));
        assert_eq!(shown_type("a.b.csv"), Some("text/plain; charset=utf-8"));
        for name in ["a.svg", "a.html", "a.xhtml", "a.xml", "a.js", "a.csv.gz", "png", "a.", ""] {
            assert_eq!(shown_type(name), None, "{name}");
        }
    }
}
