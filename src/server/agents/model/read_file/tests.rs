//! Parts of files, searches, and the bound on what a run reads.

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;
use crate::protocol::{Attachment, FileId};

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("the file is written");
    file
}

fn part_of(bytes: &[u8], encoding: Encoding, request: PartRequest) -> Option<Part> {
    read(file(bytes).path(), encoding, &request, &CancellationToken::new()).expect("the file is read")
}

fn part(text: &str, from: u64, find: Option<&str>, max_bytes: usize) -> Option<Part> {
    let request = PartRequest { from, find: find.map(str::to_owned), max_bytes, max_weighted_bytes: u64::MAX };
    part_of(text.as_bytes(), Encoding::Utf8, request)
}

/// A file of a conversation, and the temporary file that must outlive it.
fn attached(name: &str, text: &str) -> (NamedTempFile, InputFile) {
    let file = file(text.as_bytes());
    let attachment = Attachment { file_id: FileId::new(), name: name.into(), bytes: text.len() as u64 };
    let path = file.path().to_owned();
    (file, InputFile { attachment, path })
}

async fn call(reader: &FileReader, args: Value) -> ToolOutput {
    reader.call(&args, &CancellationToken::new()).await
}

#[test]
fn parts_hold_whole_characters_and_join_without_a_gap() {
    let text = "aé€🦀".repeat(9);
    for max_bytes in 4..12 {
        let (mut from, mut all) = (0, String::new());
        while from < text.len() as u64 {
            let part = part(&text, from, None, max_bytes).expect("a part");
            assert!(part.from == from && part.to > from && part.text.len() <= max_bytes, "{part:?}");
            all.push_str(&part.text);
            from = part.to;
        }
        assert_eq!(all, text);
    }
    let inside = part("é!", 1, None, 9).expect("a part");
    assert_eq!(inside, Part { from: 2, to: 3, text: "!".into() });
    assert_eq!(part("end", 99, None, 9).expect("a part").text, "");
}

#[test]
fn a_character_that_is_cut_by_the_end_of_the_file_is_skipped() {
    let request = PartRequest { from: 0, find: None, max_bytes: 9, max_weighted_bytes: u64::MAX };
    let part = part_of(b"end \xe2\x82", Encoding::Utf8, request).expect("a part");
    assert_eq!(
        part,
        Part { from: 0, to: 6, text: "end ".into() },
        "otherwise the model would be told to read on forever"
    );
}

#[test]
fn a_text_is_found_wherever_it_is() {
    for place in [0, 1, PIECE_BYTES - 6, PIECE_BYTES - 3, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
        let text = format!("{}NEEDLE{}", "x".repeat(place), "y".repeat(100));
        let found = part(&text, 0, Some("needle"), 64).expect("the part is found");
        assert!(found.text.contains("NEEDLE") && found.text.len() <= 64, "{place}: {found:?}");
        assert_eq!(part(&text, place as u64 + 1, Some("needle"), 64), None);
    }
}

#[test]
fn texts_in_other_encodings_are_read_and_found() {
    for encoding in [Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Latin1] {
        let text = format!("{}Größe{}", "x".repeat(PIECE_BYTES / 2 - 3), "y".repeat(100));
        let bytes = encoding.encode(&text).expect("the encoding has all characters");
        let request = |find| PartRequest { from: 1, find: Some(find), max_bytes: 64, max_weighted_bytes: u64::MAX };
        let found = part_of(&bytes, encoding, request("gRöße".into())).expect("the part is found");
        assert!(found.text.contains("xxGrößeyy") && found.to - found.from <= 64, "{encoding:?}: {found:?}");
        assert_eq!(part_of(&bytes, encoding, request("Ödnis".into())), None);
        assert_eq!(part_of(&bytes, encoding, request("🦀".into())), None);
    }
    let encoding = Encoding::Utf16Le;
    let (text, mut all, mut from) = ("a€🦀".repeat(9), String::new(), 0);
    let bytes = encoding.encode(&text).expect("the encoding has all characters");
    while from < bytes.len() as u64 {
        let request = PartRequest { from, find: None, max_bytes: 6, max_weighted_bytes: u64::MAX };
        let part = part_of(&bytes, encoding, request).expect("a part");
        assert!(part.from == from && part.to > from, "{part:?}");
        all.push_str(&part.text);
        from = part.to;
    }
    assert_eq!(all, text);
}

#[test]
fn a_part_takes_no_more_room_than_it_may_and_shows_what_was_found() {
    let table = "1234567,89012345,67890\n".repeat(1_000);
    let text = format!("{table}needle\n{table}");
    let request = |find: Option<&str>| PartRequest {
        from: 0,
        find: find.map(str::to_owned),
        max_bytes: 4_096,
        max_weighted_bytes: 600,
    };
    let part = part_of(text.as_bytes(), Encoding::Utf8, request(None)).expect("a part");
    assert!(part.text.len() > 150 && weighted_bytes(&part.text) <= 600, "{} bytes", part.text.len());
    let found = part_of(text.as_bytes(), Encoding::Utf8, request(Some("needle"))).expect("the part is found");
    assert!(found.text.contains("needle") && weighted_bytes(&found.text) <= 600, "{found:?}");
}

#[tokio::test]
async fn all_results_of_a_run_are_bounded_together() {
    const BUDGET: u64 = 20_000;
    for line in ["All work and no play.\n", "1234567,89012345,67890\n"] {
        let (_kept, file) = attached("long.txt", &line.repeat(10_000));
        let reader = FileReader::new(vec![file], 4_096, BUDGET);
        let (mut weighted, mut from, mut results) = (0, 0, Vec::new());
        loop {
            let output = call(&reader, json!({"file": "long.txt", "from_byte": from})).await;
            if output.failed {
                assert_eq!(output.text, NO_ROOM);
                break;
            }
            weighted += weighted_bytes(&output.text);
            from += line.len();
            results.push(output.text);
            assert!(results.len() < 100, "it never ends");
        }
        assert!((BUDGET - 2 * FRAME_BYTES..=BUDGET + FRAME_BYTES).contains(&weighted), "{line}: {weighted}");
        let (last, before) = results.split_last().expect("results");
        assert!(before.iter().all(|result| result.contains("bytes follow: call `read_file`")), "{before:#?}");
        assert!(last.contains(NO_ROOM), "{last}");
    }
}

#[tokio::test]
async fn each_of_several_files_with_the_same_name_is_read_by_its_id() {
    let (newest, older) = (attached("log.csv", "the newest"), attached("log.csv", "the older"));
    let (other, ids) = (attached("notes.txt", "other"), [&newest, &older].map(|(_, file)| file.attachment.file_id));
    let files = [&newest, &older, &other].map(|(_, file)| file.clone());
    let reader = FileReader::new(files.to_vec(), 1_024, 100_000);
    let by_name = call(&reader, json!({"file": "log.csv"})).await.text;
    assert!(by_name.contains("the newest") && by_name.ends_with(&format!("have these ids: {}.]", ids[1])), "{by_name}");
    let by_id = call(&reader, json!({"file": ids[1].to_string()})).await.text;
    assert!(by_id.contains("the older") && !by_id.contains(&ids[0].to_string()), "{by_id}");
    let unknown = call(&reader, json!({"file": "log"})).await.text;
    let listed = format!("There is: log.csv (id {}), log.csv (id {}), notes.txt.", ids[0], ids[1]);
    assert!(unknown.ends_with(&listed), "{unknown}");
}
