use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{source::Source, unit::Unit, writer::parse_units, *};

/// The HTML of a text that is parsed at once.
fn whole(text: &str) -> String {
    parse_units(&Source::new("", text, false), |_| None).0.iter().map(Unit::html).collect()
}

/// The examples of CommonMark, of GitHub Flavored Markdown, and of the parser's own tests.
fn examples() -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/markdown/examples.json"));
    let all: BTreeMap<String, Vec<String>> = serde_json::from_str(&text.unwrap()).unwrap();
    all.into_values().flatten().collect()
}

/// Grows a text to each of these lengths in turn, and compares with the text parsed at once.
fn grow(text: &str, cuts: impl Iterator<Item = usize>) -> Result<(), String> {
    let (mut document, mut page) = (Document::default(), Page::default());
    for cut in cuts.chain([text.len()]) {
        let part = &text[..text.floor_char_boundary(cut)];
        page.apply(document.update(part, true));
        let (html, right) = (page.html(), whole(part));
        if html != right {
            return Err(format!("{part:?}\n grown: {html}\n whole: {right}"));
        }
    }
    Ok(())
}

#[test]
fn every_example_renders_the_same_in_steps_as_at_once() {
    let failed: Vec<_> =
        examples().iter().filter_map(|text| grow(text, (0..text.len()).step_by(1 + text.len() / 250)).err()).collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed[..failed.len().min(12)].join("\n"));
}

/// Pieces of documents: whole examples, and markup that changes how others are parsed.
fn piece() -> impl Strategy<Value = String> {
    let marks = [
        "\n",
        "\n\n",
        "- a\n",
        "* b\n",
        "1. c\n",
        "  d\n",
        "    e\n",
        "> f\n",
        "```\n",
        "~~~\n",
        "|a|b|\n|-|-:|\n",
        "|1|2|\n",
        "[a]: /u\n",
        "[a]: https://e.org/1\n",
        "[b]: <https://e.org/2>\n'title\n",
        "[a] [b][a] ![c][b]\n",
        "é**「x」**を\n",
        "\\[\n",
        "\\]\n",
        "\\(a*b*\\)",
        "# h\n",
        "===\n",
        "---\n",
        "<div>\n",
        "<br>",
        "`",
        "**",
        "~",
        "$",
        "a",
        " ",
        "\t",
        "\r\n",
        "😀",
        "-",
        "|",
        "- [ ] x\n",
        "[^1]",
        "[^1]: note\n",
        "> [!NOTE]\n",
        "$5",
        "$x$",
        "\\(",
        "\\)",
        "![a](https://e.org/i.png)",
        "```js\n",
    ];
    prop_oneof![3 => prop::sample::select(marks.to_vec()).prop_map(str::to_owned), 1 => prop::sample::select(examples())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_text_renders_the_same_wherever_it_is_cut(
        pieces in prop::collection::vec(piece(), 1..14),
        cuts in prop::collection::vec(0.0..1.0f64, 0..24),
    ) {
        let text = pieces.concat();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| (cut * text.len() as f64) as usize).collect();
        cuts.sort_unstable();
        prop_assert_eq!(grow(&text, cuts.into_iter()), Ok(()));
    }
}

#[test]
fn raw_html_is_shown_as_text() {
    for hostile in
        ["<script>alert(1)</script>", "a <img src=x onerror=alert(1)> b", "<b onclick='x'>b</b>", "<br onclick=x>"]
    {
        let html = to_html(hostile);
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("<b"), "{html}");
        assert!(html.contains("&lt;"), "{html}");
    }
}

#[test]
fn only_web_and_mail_addresses_become_links() {
    for hostile in [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,y)",
        "[x](/local)",
        "<vbscript:x>",
        "[x]\n\n[x]: javascript:alert(1)",
    ] {
        let html = to_html(hostile);
        assert!(!html.contains("<a") && !html.contains("href"), "{html}");
    }
    let html = to_html("[x](https://example.org/?a=1&b=\"2\")");
    assert!(html.contains("href=\"https://example.org/?a=1&amp;b=%222%22\""), "{html}");
    assert!(html.contains("rel=\"noopener"), "{html}");
    assert!(to_html("<a@e.org>").contains("href=\"mailto:a@e.org\">a@e.org</a>"));
}

#[test]
fn text_cannot_break_out_of_attributes() {
    let html = to_html(
        "[x](<https://e.org/\" onmouseover=\"alert(1)>)\n\n```\"><script>\ncode\n```\n\n![\"><script>](https://e.org/i.png \"t\") https://e.org/\"onclick='x'",
    );
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("\" onmouseover"), "{html}");
    assert!(!html.contains("<img"), "{html}");
}

#[test]
fn tables_align_numbers_and_fill_short_rows() {
    let html = to_html("|a|b|c|\n|-|-:|-|\n|1|2|3|\n|1|\n||2|\n");
    assert!(html.contains("<thead><tr><th>a</th><th class=\"number\">b</th><th>c</th></tr></thead>"), "{html}");
    assert!(html.contains("<tr><td>1</td><td class=\"number\">2</td><td>3</td></tr>"), "{html}");
    assert!(html.contains("<tr><td>1</td><td colspan=\"2\"></td></tr>"), "{html}");
    assert!(html.contains("<tr><td></td><td class=\"number\">2</td><td colspan=\"1\"></td></tr>"), "{html}");
}

/// The HTML of a recorded answer.
fn recorded(name: &str) -> String {
    to_html(&std::fs::read_to_string(format!("{}/tests/data/markdown/{name}.md", env!("CARGO_MANIFEST_DIR"))).unwrap())
}

fn count(html: &str, what: &str) -> usize {
    html.matches(what).count()
}

#[test]
fn recorded_answers_render_as_intended() {
    let links = recorded("bare-urls");
    for address in [
        "https://docs.example.org/start",
        "https://www.example.org",
        "mailto:help@example.org",
        "https://docs.example.org/zh",
    ] {
        assert!(links.contains(&format!("href=\"{address}\"")), "{address} in {links}");
    }
    assert_eq!(count(&links, "<a "), 7, "{links}");
    assert_eq!((count(&recorded("br-table"), "<br>"), count(&recorded("br-table"), "&lt;")), (4, 0));
    assert_eq!((count(&recorded("cjk-bold"), "<strong>"), count(&recorded("cjk-bold"), "*")), (5, 0));
    let fence = recorded("inline-fence");
    assert!(fence.starts_with("<p dir=\"auto\"><code dir=\"ltr\">npm ci</code> installs"), "{fence}");
    assert!(fence.contains("<code>first part\n\n# second part\nthird part\n</code></pre>"), "{fence}");
    assert!(fence.ends_with("After the file, <strong>one</strong> more sentence.</p>"), "{fence}");
    let math = recorded("math");
    for as_written in [
        r"\( x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a} \)",
        "\\[\na_1 * b_1 + a_2 * b_2 = \\sum_{i=1}^{n} x_i * y_i\n\\]",
        r"$$\int_0^1 x^2\,dx = \tfrac{1}{3}$$",
        "$E = mc^2$",
        "$5 a month, the large one $20, so a year is $60 or $240",
    ] {
        assert!(math.contains(as_written), "{as_written} in {math}");
    }
    assert_eq!((count(&math, "<span class=\"math\""), count(&math, "<span class=\"math display\"")), (2, 2), "{math}");
    assert_eq!((count(&recorded("tilde2"), "<del>"), count(&recorded("tilde2"), "~")), (0, 12));
    assert_eq!(count(&recorded("rtl"), "dir=\"auto\""), 5);
}

#[test]
fn footnotes_lead_to_their_text_and_back() {
    let html = recorded("footnotes");
    assert_eq!((count(&html, "data-press=\"footnote\""), count(&html, "data-press=\"reference\"")), (3, 2), "{html}");
    assert!(
        html.contains("grew<sup><button type=\"button\" data-press=\"footnote\" aria-label=\"Footnote 1\">[1]"),
        "{html}"
    );
    assert!(html.contains("<p dir=\"auto\"><button type=\"button\" data-press=\"reference\""), "{html}");
    assert!(html.contains("[1]</button> From the <a "), "{html}");
    assert!(html.contains("<code dir=\"ltr\">[^a-z]</code>") && html.contains("[^not one]"), "{html}");
}

#[test]
fn alerts_have_a_title() {
    let html = recorded("alerts");
    assert!(
        html.starts_with(
            "<blockquote class=\"alert note\" dir=\"auto\"><p class=\"alert-title\" dir=\"ltr\">Note</p><p>"
        ),
        "{html}"
    );
    assert_eq!((count(&html, "<blockquote class=\"alert "), count(&html, "[!")), (5, 1), "{html}");
}

#[test]
fn remote_images_are_links_and_files_of_threads_are_shown() {
    let html = to_html(
        "![A *chart* \"x\"](https://img.e.org/c.png) [![badge](https://e.org/b.svg)](https://e.org) ![x](javascript:y) ![z](https:e.org)",
    );
    assert!(html.contains("class=\"image\"") && html.contains("href=\"https://img.e.org/c.png\""), "{html}");
    assert!(html.contains("A chart \"x\"</span>") && html.contains("Open image on img.e.org"), "{html}");
    assert!(html.contains("href=\"https://e.org\">badge</a>") && html.ends_with(" x z</p>"), "{html}");
    assert!(!html.contains("<img"), "{html}");
    assert_eq!(count(&html, "<button type=\"button\" data-press=\"image\">Load image</button>"), 1, "{html}");
    let id = "0199a0b0-0000-7000-8000-000000000000";
    let html = to_html(&format!("![a \"b\" <i>](/api/threads/{id}/files/{id})"));
    let file = format!("<img loading=\"lazy\" src=\"/api/threads/{id}/files/{id}\" alt=\"a &quot;b&quot; &lt;i&gt;\">");
    assert!(html.contains(&file), "{html}");
}

#[test]
fn a_code_block_names_its_language() {
    let html = to_html("```rust,ignore\nx\n```\n\n- ~~~\n  y\n  ~~~\n\n```\"><script>\nz\n```");
    assert!(
        html.starts_with(
            "<div class=\"code\" data-language=\"rust\"><div class=\"block-head\"><span class=\"language\">rust</span>"
        ),
        "{html}"
    );
    assert_eq!((count(&html, ">Code</span>"), count(&html, "</code></pre></div>")), (2, 3), "{html}");
}

#[test]
fn code_blocks_end_where_the_parser_ends_them() {
    let html = to_html("1. one\n   ```\n   a\n   > ```\n   b\n   ```\n2. two\n\n> ```\n> c\n\nafter\n");
    assert!(
        html.contains("<code>a\n&gt; ```\nb\n</code>") && html.contains("<code>c\n</code></pre></div></blockquote>"),
        "{html}"
    );
    assert!(html.ends_with("<p dir=\"auto\">after</p>"), "{html}");
}

/// The largest edit, in bytes, for a text that arrives line by line.
fn largest_edit(lines: impl Iterator<Item = String>) -> usize {
    let (mut document, mut text) = (Document::default(), String::new());
    let size = |edit: &Edit| match edit {
        Edit::Push(unit) | Edit::Replace { with: unit, .. } => unit.html().len(),
        Edit::Parts { parts, .. } => parts.iter().map(String::len).sum(),
        Edit::Code { text, .. } | Edit::ReplacePart { html: text, .. } => text.len(),
        Edit::Truncate { .. } | Edit::Loose { .. } => 0,
    };
    lines
        .map(|line| {
            text.push_str(&line);
            document.update(&text, false).iter().map(size).sum()
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn edits_do_not_grow_with_the_text() {
    let edit = |head: &str, line: &dyn Fn(usize) -> String| {
        largest_edit([head.to_owned()].into_iter().chain((0..3000).map(line)))
    };
    assert!(edit("", &|n| format!("- item {n}\n")) < 300);
    assert!(edit("", &|n| format!("{n}. item\n\n   more\n")) < 300);
    assert!(edit("|a|b|\n|-|-|\n", &|n| format!("|{n}|x|\n")) < 500);
    assert!(edit("```\n", &|n| format!("line {n}\n")) < 500);
    assert!(edit("", &|n| format!("paragraph {n}\n\n")) < 300);
}

#[test]
fn a_long_block_that_cannot_settle_is_parsed_again_only_after_growing() {
    let (mut document, mut page, mut text) = (Document::default(), Page::default(), String::new());
    let mut parsed = 0;
    for n in 0..20_000 {
        text.push_str(&format!("> word {n} "));
        let edits = document.update(&text, false);
        parsed += usize::from(edits.iter().any(|edit| matches!(edit, Edit::Truncate { .. })));
        page.apply(edits);
    }
    assert!(parsed < 60, "{parsed}");
    assert!(page.html().contains("word 19999"), "the newest text is shown");
    page.apply(document.update(&text, true));
    assert_eq!(page.html(), whole(&text));
}

#[test]
fn the_html_of_hostile_texts_is_bounded_by_their_length() {
    let rows = |columns: usize| format!("{}\n{}\n{}", "|a".repeat(columns), "|-".repeat(columns), "b\n".repeat(20_000));
    let hostile = [
        "> ".repeat(20_000),
        format!("{}x{}", "- ".repeat(20_000), "\n".repeat(20_000)),
        (0..300).map(|depth| format!("{}- a\n", "  ".repeat(depth))).collect(),
        "[".repeat(50_000),
        "[a](".repeat(20_000),
        "*a **a _".repeat(10_000),
        "`a``b```".repeat(10_000),
        "<a ".repeat(20_000) + &"<!--".repeat(10_000) + &"<?".repeat(10_000),
        "$a$$b".repeat(10_000),
        "~a ~~b ".repeat(10_000),
        "\\(".repeat(30_000),
        "https://a,".repeat(10_000),
        "a@".repeat(30_000),
        rows(2000),
        rows(64),
        (0..5000).map(|n| format!("[{n}]: https://e.org/{n}\n[{n}]\n\n")).collect(),
        format!("[a]: https://e.org/{}\n\n{}", "x".repeat(50_000), "[a]\n\n".repeat(10_000)),
        "```\n```\n".repeat(10_000),
        "|a|\n|-|\n\n".repeat(10_000),
        "[^1]".repeat(20_000),
        "![](http://a)".repeat(10_000),
        "\\(x\\)\\[".repeat(10_000),
        "$x".repeat(30_000),
    ];
    for text in hostile {
        let html = to_html(&text);
        assert!(html.len() < 48 * text.len() + 1_000_000, "{} of {}: {:.40}", html.len(), text.len(), text);
    }
}

proptest! {
    #[test]
    fn no_text_produces_an_element_that_is_not_allowed(text in "(<[a-z/!]{0,8}|[\\[\\]()<>\"'`&:=*\\\\\n|-]|javascript:|onerror=|https://e.org|\u{e7c1}|\u{e7c5}){0,24}") {
        let html = to_html(&text);
        for tag in html.split('<').skip(1) {
            let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
            let known = [
                "p", "a", "code", "pre", "em", "strong", "ul", "ol", "li", "blockquote", "br", "hr", "h3", "h4", "h5", "h6", "del",
                "div", "table", "thead", "tbody", "tr", "th", "td", "span", "sup", "button",
            ];
            prop_assert!(known.contains(&name.as_str()), "<{tag} in {html}");
        }
    }
}
