//! The files of a run, read together into one log.
//!
//! If one of several files cannot be read, none is analysed: totals without it would be too low, and nobody would see
//! it in them. The run fails with the name of that file and the reason.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};

use super::columns::{self, FileQuestion, Named};
use crate::{
    analyst::{
        dataset::MAX_ROWS,
        format::{list, whole},
        goals::Question,
        ingest::{ColumnChoice, ColumnQuestion, IngestError, Input, Reading, StopFn, UsageLog, columns::Role},
    },
    protocol::{Attachment, FileId},
    server::runs::RunInput,
};

/// Most names in the name of several files together.
const SHOWN_NAMES: usize = 3;

/// A file, and what is known of its columns.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub(super) attachment: Attachment,
    pub(super) path: PathBuf,
    named: Named,
}

/// The log of all files, and what people said of their columns.
pub(super) struct ReadLog {
    pub(super) log: UsageLog,
    /// For each file about whose columns something was said.
    pub(super) columns: Vec<(FileId, ColumnChoice)>,
}

/// What reading the files gave.
pub(super) enum LogResult {
    /// The log.
    Read(Box<ReadLog>),
    /// Questions that have to be answered first.
    Questions(Vec<FileQuestion>),
    /// Why the files cannot be analysed.
    Unreadable(String),
}

/// The files that a run reads: those of the newest message that has files, each once. `named` is what its message says
/// of columns.
pub(super) fn of_run(input: &RunInput, named: &ColumnChoice) -> Vec<LogFile> {
    let attached = input.attached_files(&input.history());
    let newest = attached.first().map(|file| file.message.clone());
    let files = match newest {
        Some(message) => {
            attached.into_iter().take_while(|file| file.message == message).map(|file| file.file).collect()
        }
        None => input.files.clone(),
    };
    let mut logs: Vec<LogFile> = Vec::with_capacity(files.len());
    for file in files {
        let id = file.attachment.file_id;
        if logs.iter().any(|known| known.attachment.file_id == id) {
            continue;
        }
        let mut before = columns::named_before(&input.thread, &input.agent, id);
        before.choice.extend(named.clone());
        logs.push(LogFile { attachment: file.attachment, path: file.path, named: before });
    }
    logs
}

/// The name of several files together: `a.csv, b.csv and 2 more files`.
pub(super) fn joint_name(files: &[LogFile]) -> String {
    let names: Vec<&str> = files.iter().map(|file| file.attachment.name.as_str()).collect();
    match names.len().checked_sub(SHOWN_NAMES) {
        None | Some(0) => list(&names),
        Some(more) => {
            let files = if more == 1 { "file" } else { "files" };
            format!("{} and {more} more {files}", names[..SHOWN_NAMES].join(", "))
        }
    }
}

/// The sentences in which the supervisor says what will happen.
pub(super) fn plan(question: &Question, files: &[LogFile]) -> Vec<String> {
    let describe = |file: &LogFile| format!("{} ({} bytes)", file.attachment.name, whole(file.attachment.bytes as f64));
    let described: Vec<String> = files.iter().map(describe).collect();
    let mut plan = vec![match described.as_slice() {
        [one] => format!("The log is {one}."),
        several => format!("The log is {} files, read together: {}.", several.len(), list(several)),
    }];
    let order = "Data reads and profiles it, Optimizations computes what could change, Actions orders the changes, Report \
                 writes it down.";
    plan.push(order.into());
    if question.unclear {
        plan.push("I do not understand the question; the answer says what can be asked.".into());
    } else if question.goals.is_empty() {
        plan.push("The question asks for nothing in particular, so the report is the overview.".into());
    }
    plan
}

/// The files as arguments of a tool call.
pub(super) fn arguments(files: &[LogFile]) -> Value {
    let describe = |file: &LogFile| json!({"file": file.attachment.name, "bytes": file.attachment.bytes});
    json!({"files": files.iter().map(describe).collect::<Vec<_>>()})
}

/// One attempt to read all files.
struct Attempt {
    reading: Reading,
    /// The files that need an answer, by their index.
    questions: Vec<(usize, ColumnQuestion)>,
    failures: Vec<(usize, IngestError)>,
}

/// Reads the files.
///
/// # Errors
/// [`IngestError::Stopped`] alone.
pub(super) fn read(mut files: Vec<LogFile>, stop: StopFn<'_>) -> Result<LogResult, IngestError> {
    let said: BTreeSet<(String, String)> = files
        .iter()
        .flat_map(|file| file.named.choice.named())
        .map(|(role, column)| (role.to_owned(), column.to_owned()))
        .collect();
    loop {
        let attempt = attempt(&files, stop)?;
        if !attempt.failures.is_empty() {
            return Ok(LogResult::Unreadable(describe_failures(&files, attempt.failures)));
        }
        // What was said may hold for another file only, or may be wrong: the file is read without it.
        if forget_missing(&mut files, &attempt.questions) {
            continue;
        }
        if !attempt.questions.is_empty() {
            return Ok(LogResult::Questions(questions(&files, attempt.questions)));
        }
        return match attempt.reading.finish() {
            Ok(mut log) => {
                note_unread(&mut log, &said);
                let columns = files.into_iter().map(|file| (file.attachment.file_id, file.named.choice));
                let columns = columns.filter(|(_, choice)| !choice.is_empty()).collect();
                Ok(LogResult::Read(Box::new(ReadLog { log, columns })))
            }
            Err(IngestError::Stopped) => Err(IngestError::Stopped),
            Err(error) => ask_again(files, &error, stop),
        };
    }
}

fn attempt(files: &[LogFile], stop: StopFn<'_>) -> Result<Attempt, IngestError> {
    let new = || Reading::new(files.len() > 1);
    let mut attempt = Attempt { reading: new(), questions: Vec::new(), failures: Vec::new() };
    for (index, file) in files.iter().enumerate() {
        let name = &file.attachment.name;
        let added =
            Input::from_path(&file.path).and_then(|input| attempt.reading.add(name, &input, &file.named.choice, stop));
        match added {
            Ok(()) => continue,
            Err(IngestError::Stopped) => return Err(IngestError::Stopped),
            Err(IngestError::NeedsColumns(question)) => attempt.questions.push((index, *question)),
            Err(error) => attempt.failures.push((index, error)),
        }
        // There will be no log. The other files are read for their questions and errors, without the rows so far.
        attempt.reading = new();
    }
    Ok(attempt)
}

/// Forgets columns that were named and are not in their files; returns whether there were any. A role that is asked for
/// although its column is known has no such column.
fn forget_missing(files: &mut [LogFile], questions: &[(usize, ColumnQuestion)]) -> bool {
    let mut any = false;
    for (index, question) in questions {
        let Some(Named { choice, problem }) = files.get_mut(*index).map(|file| &mut file.named) else { continue };
        for role in &question.roles {
            let missing = choice.named().find(|(named, _)| named == role).map(|(_, column)| format!("{column:?}"));
            if let Some(column) = missing {
                choice.forget(role);
                *problem = Some(format!("The log has no column {column}."));
                any = true;
            }
        }
    }
    any
}

fn questions(files: &[LogFile], questions: Vec<(usize, ColumnQuestion)>) -> Vec<FileQuestion> {
    let asked = questions.into_iter().filter_map(|(index, question)| {
        let LogFile { attachment, named, .. } = files.get(index)?.clone();
        Some(FileQuestion { file: attachment, question, known: named.choice, problem: named.problem })
    });
    asked.collect()
}

/// If no row can be used with the columns that people named, asks for them again; else the files are unreadable.
fn ask_again(mut files: Vec<LogFile>, error: &IngestError, stop: StopFn<'_>) -> Result<LogResult, IngestError> {
    let unreadable = format!("{}: {error}", joint_name(&files));
    for file in files.iter_mut().filter(|file| !file.named.choice.is_empty()) {
        let problem = Some(format!("The columns that were named cannot be used: {error}"));
        file.named = Named { choice: ColumnChoice::default(), problem };
    }
    let attempt = attempt(&files, stop)?;
    Ok(match attempt.questions.is_empty() {
        true => LogResult::Unreadable(unreadable),
        false => LogResult::Questions(questions(&files, attempt.questions)),
    })
}

/// Says first which columns were named and not read.
fn note_unread(log: &mut UsageLog, said: &BTreeSet<(String, String)>) {
    for (key, column) in said {
        let Some(role) = Role::from_key(key) else { continue };
        if !log.report.files.iter().any(|file| file.uses(role, column)) {
            let sentence = format!(
                "The column {column:?} was named for {}, but was not read: no file has it, or the source of the file is known \
                 and its columns are fixed.",
                role.label()
            );
            log.report.unknown.insert(0, sentence);
        }
    }
}

/// Why the files cannot be analysed, a line for each that cannot be read.
fn describe_failures(files: &[LogFile], failures: Vec<(usize, IngestError)>) -> String {
    let several = files.len() > 1;
    let describe = |(index, error): (usize, IngestError)| match error {
        IngestError::TooManyRows if several => format!(
            "The files have more than {} rows together. Attach a shorter period, or a sample of the rows.",
            whole(MAX_ROWS as f64)
        ),
        error => {
            let name = files.get(index).map(|file| file.attachment.name.as_str()).unwrap_or_default();
            format!("{name}: {error}")
        }
    };
    let mut lines: Vec<String> = failures.into_iter().map(describe).collect();
    if several {
        lines.push(format!(
            "None of the {} files was analysed, because totals without one of them would be too low. To leave it out, attach \
             the others alone.",
            files.len()
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contents: &[(&str, &str)], named: &str) -> (tempfile::TempDir, Vec<LogFile>) {
        let folder = tempfile::tempdir().expect("a folder");
        let choice = ColumnChoice::parse(named).expect("a choice");
        let file = |(name, text): &(&str, &str)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("the file is written");
            let attachment = Attachment { file_id: FileId::new(), name: (*name).into(), bytes: text.len() as u64 };
            LogFile { attachment, path, named: Named { choice: choice.clone(), problem: None } }
        };
        let files = contents.iter().map(file).collect();
        (folder, files)
    }

    const NAMED: (&str, &str) = ("named.csv", "model,input_tokens,output_tokens\ngpt-4.1,10,5\n");
    const UNNAMED: (&str, &str) = ("other.csv", "model,counter_a,counter_b\ngpt-4.1,20,7\n");

    #[test]
    fn names_hold_for_the_files_that_have_the_columns() {
        let (_folder, logs) = files(&[NAMED, UNNAMED], "input=counter_a,output=counter_b");
        let LogResult::Read(read) = read(logs, &|| false).expect("not stopped") else { panic!("not read") };
        assert_eq!((read.log.report.rows, read.log.report.files.len()), (2, 2));
        assert_eq!(read.log.report.unknown.iter().filter(|text| text.contains("was named")).count(), 0);
        assert_eq!(read.columns.len(), 1, "the other file is read by its own names");
    }

    #[test]
    fn a_name_that_no_file_has_is_said_first_or_asked_again() {
        let (_folder, logs) = files(&[NAMED], "input=Foo");
        let LogResult::Read(read_log) = read(logs, &|| false).expect("not stopped") else { panic!("not read") };
        assert!(read_log.log.report.unknown[0].contains("\"Foo\" was named for input tokens"));
        let (_folder, logs) = files(&[UNNAMED], "input=Foo,output=counter_b");
        let LogResult::Questions(asked) = read(logs, &|| false).expect("not stopped") else { panic!("not asked") };
        assert_eq!(asked[0].question.roles, ["input"]);
        assert!(asked[0].message().starts_with("other.csv: The log has no column \"Foo\"."), "{}", asked[0].message());
    }

    #[test]
    fn a_column_without_counts_is_asked_for_again() {
        let (_folder, logs) = files(&[UNNAMED], "input=model,output=counter_b");
        let LogResult::Questions(asked) = read(logs, &|| false).expect("not stopped") else { panic!("not asked") };
        assert_eq!(asked[0].question.roles, ["input", "output"]);
        assert!(asked[0].message().contains("cannot be used"), "{}", asked[0].message());
        assert_eq!(asked[0].known, ColumnChoice::default());
    }

    #[test]
    fn one_unreadable_file_among_several_is_named_and_nothing_is_analysed() {
        let (_folder, logs) = files(&[NAMED, ("empty.csv", "")], "");
        let LogResult::Unreadable(text) = read(logs, &|| false).expect("not stopped") else { panic!("not refused") };
        assert!(text.starts_with("empty.csv: The file is empty.") && text.contains("None of the 2 files"), "{text}");
    }

    #[test]
    fn several_files_have_one_name() {
        let names = |count: usize| {
            let (_folder, logs) = files(&[("a", "x"), ("b", "x"), ("c", "x"), ("d", "x")][..count], "");
            joint_name(&logs)
        };
        assert_eq!([names(1), names(2), names(4)], ["a", "a and b", "a, b, c and 1 more file"]);
    }
}
