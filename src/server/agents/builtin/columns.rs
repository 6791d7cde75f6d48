//! Questions about the columns of a log, and their answers.
//!
//! A question ends the run with an AG-UI interrupt for each file that needs one: a form with the columns to choose
//! from, after a table with the file's first rows. The thread's log keeps the answer: a question is stored with its
//! file's id, its answer beside it, and a run that finishes stores what it read each file by. A later run looks there
//! ([`named_before`]), so nobody is asked twice about one file, and the answer is deleted with the thread. If the
//! oldest turns of a thread are deleted, the newest run that read the file still has it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::events::EventWriter;
use crate::{
    analyst::{
        format::{inline_code, list},
        ingest::{ColumnChoice, ColumnQuestion, MAX_CHOICES, columns::Role},
    },
    protocol::{AnswerStatus, Attachment, FileId, InterruptAnswer, agui::Interrupt},
    server::runs::{AgentError, Done, Outcome, RunInput},
    text::clip,
    thread::{Item, Resolution, RunView, ThreadView},
};

/// The reason of interrupts with such a question.
const REASON: &str = "columns";
/// The key of what is known of columns: in a run's result an object by file id, in an interrupt's metadata for its file
/// alone.
pub(super) const COLUMNS: &str = "columns";
/// The role that stands for the order of day and month.
const DATES: &str = "dates";
/// The longest question, in characters.
const MAX_MESSAGE_CHARS: usize = 1_500;
/// The longest name of a column in a preview, in characters.
const MAX_HEADING_CHARS: usize = 60;
/// The most bytes of column names that a form lists; with more, the name is typed. Eight questions must fit into one
/// event.
const MAX_LISTED_BYTES: usize = 4 << 10;

/// What people have said of a file's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::server::agents) struct Named {
    pub(in crate::server::agents) choice: ColumnChoice,
    /// Why the last answer cannot be used.
    pub(super) problem: Option<String>,
}

/// A question about one file.
#[derive(Debug)]
pub(super) struct FileQuestion {
    pub(super) file: Attachment,
    pub(super) question: ColumnQuestion,
    /// What is known of the file's columns already.
    pub(super) known: ColumnChoice,
    /// Why it is asked again.
    pub(super) problem: Option<String>,
}

/// What people said before of a file's columns: by the newest run of `agent` that knows of any.
pub(in crate::server::agents) fn named_before(thread: &ThreadView, agent: &str, file: FileId) -> Named {
    let runs = thread.items.iter().rev().filter_map(|item| match item {
        Item::Run(run) if run.agent == agent => Some(run),
        _ => None,
    });
    runs.into_iter().find_map(|run| named_in(run, file)).unwrap_or_default()
}

/// What a run knows of a file's columns: from its result, or from its question and the answer.
fn named_in(run: &RunView, file: FileId) -> Option<Named> {
    let id = file.to_string();
    if let Some(known) = run.result.as_ref().and_then(|result| result.get(COLUMNS)?.get(&id)) {
        return Some(Named { choice: serde_json::from_value(known.clone()).ok()?, problem: None });
    }
    let is_asked =
        |interrupt: &&Interrupt| interrupt.reason == REASON && metadata(interrupt, "fileId") == Some(&json!(id));
    let interrupt = run.interrupts().iter().find(is_asked)?;
    let choice = serde_json::from_value(metadata(interrupt, COLUMNS)?.clone()).ok()?;
    let mut named = Named { choice, problem: None };
    if let Some(answer) = answer_to(run, interrupt).filter(|answer| answer.status == AnswerStatus::Resolved) {
        match parse_answer(interrupt, answer.payload.as_ref(), &named.choice) {
            Ok(choice) => named.choice = choice,
            Err(problem) => named.problem = Some(format!("The last answer cannot be used: {problem}.")),
        }
    }
    Some(named)
}

fn metadata<'a>(interrupt: &'a Interrupt, key: &str) -> Option<&'a Value> {
    interrupt.metadata.as_ref()?.get(key)
}

fn answer_to<'a>(run: &'a RunView, interrupt: &Interrupt) -> Option<&'a InterruptAnswer> {
    match run.answered.as_ref()? {
        Resolution::Answered { answers, .. } => answers.iter().find(|answer| answer.interrupt_id == interrupt.id),
        Resolution::Abandoned => None,
    }
}

/// What is known with an answer to a question.
///
/// # Errors
/// Why the answer cannot be used, as a clause.
fn parse_answer(interrupt: &Interrupt, payload: Option<&Value>, known: &ColumnChoice) -> Result<ColumnChoice, String> {
    let asked = metadata(interrupt, "roles").and_then(Value::as_array).into_iter().flatten();
    let mut choice = known.clone();
    for role in asked.filter_map(Value::as_str) {
        // A field that may stay empty is missing then: the log has no such column.
        let column = payload.and_then(|payload| payload.get(role)).and_then(Value::as_str).unwrap_or_default();
        choice.set(role, column.trim())?;
    }
    choice.check()?;
    Ok(choice)
}

/// The names of the files whose question was skipped, if this run continues after that.
pub(super) fn skipped(input: &RunInput) -> Vec<String> {
    let asked = input.parent_run_id.and_then(|parent| input.thread.run(parent));
    let Some(asked) = asked.filter(
        |asked| matches!(&asked.answered, Some(Resolution::Answered { resumed_by, .. }) if *resumed_by == input.run_id),
    ) else {
        return Vec::new();
    };
    let is_skipped = |interrupt: &&Interrupt| {
        interrupt.reason == REASON
            && answer_to(asked, interrupt).is_none_or(|answer| answer.status == AnswerStatus::Cancelled)
    };
    let name = |interrupt: &Interrupt| metadata(interrupt, "file").and_then(Value::as_str).map(str::to_owned);
    asked.interrupts().iter().filter(is_skipped).filter_map(name).collect()
}

/// What the supervisor says if the questions about these files were skipped.
pub(super) fn without_answer(files: &[String]) -> String {
    format!(
        "Without an answer I cannot tell which columns of {} hold which counts, so I computed nothing. Ask again to get the \
         question again, or name the columns in a line of your message, such as `columns: input=…, output=…`.\n",
        list(&files.iter().map(|name| inline_code(name)).collect::<Vec<_>>())
    )
}

/// Ends the run with questions, after the first rows of each file.
pub(super) async fn ask(supervisor: &EventWriter<'_>, questions: &[FileQuestion]) -> Result<Done, AgentError> {
    for question in questions {
        supervisor.emit_custom("netra.table", question.preview()).await?;
    }
    let interrupts = questions.iter().map(FileQuestion::interrupt).collect();
    Ok(Done { outcome: Outcome::Interrupt(interrupts), ..Done::default() })
}

impl FileQuestion {
    /// The id of the table with the file's first rows.
    fn table_id(&self) -> String {
        format!("columns-{}", self.file.file_id)
    }

    /// The file's first rows, as a `netra.table`.
    pub(super) fn preview(&self) -> Value {
        let columns: Vec<String> = self.question.columns.iter().map(|name| clip(name, MAX_HEADING_CHARS)).collect();
        let title = format!("The first rows of {}", self.file.name);
        json!({"id": self.table_id(), "title": title, "columns": columns, "rows": self.question.rows})
    }

    /// The question as text.
    pub(super) fn message(&self) -> String {
        let reasons =
            self.problem.iter().chain(&self.question.reasons).map(String::as_str).collect::<Vec<_>>().join(" ");
        let is_order_only = self.question.roles.iter().all(|role| role == DATES);
        let question = if is_order_only { "Which comes first?" } else { "Which column is which?" };
        format!("{}: {} {question}", self.file.name, clip(&reasons, MAX_MESSAGE_CHARS))
    }

    /// The question as an interrupt.
    pub(super) fn interrupt(&self) -> Interrupt {
        let metadata = [
            ("fileId", json!(self.file.file_id)),
            ("file", json!(self.file.name)),
            ("table", json!(self.table_id())),
            ("roles", json!(self.question.roles)),
            (COLUMNS, json!(self.known)),
        ];
        Interrupt {
            id: Uuid::now_v7().to_string(),
            reason: REASON.into(),
            message: Some(self.message()),
            tool_call_id: None,
            response_schema: Some(self.schema()),
            expires_at: None,
            subagent_run_id: None,
            metadata: Some(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        }
    }

    /// The schema of the answer: a field for each role.
    fn schema(&self) -> Value {
        let listed = self.listed_columns();
        let field = |role: &String| (role.clone(), field(role, listed.as_deref()));
        let properties: Map<String, Value> = self.question.roles.iter().map(field).collect();
        let must = |role: &&String| *role == DATES || listed.is_some();
        let required: Vec<&String> = self.question.roles.iter().filter(must).collect();
        json!({
            "type": "object",
            "title": format!("Columns of {}", self.file.name),
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// The columns that a form can list, each once; `None` if there are too many, or more than the question names.
    fn listed_columns(&self) -> Option<Vec<&str>> {
        let columns = &self.question.columns;
        let bytes: usize = columns.iter().map(String::len).sum();
        if columns.len() >= MAX_CHOICES || bytes > MAX_LISTED_BYTES {
            return None;
        }
        let mut listed: Vec<&str> = Vec::with_capacity(columns.len());
        for name in columns.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            if !listed.contains(&name) {
                listed.push(name);
            }
        }
        Some(listed)
    }
}

/// The schema of the answer for one role.
fn field(role: &str, listed: Option<&[&str]>) -> Value {
    if role == DATES {
        let names = ["The day: 31/12/2026", "The month: 12/31/2026"];
        let title = "What comes first in dates";
        return json!({"type": "string", "title": title, "enum": ["day_first", "month_first"], "enumNames": names});
    }
    let title =
        format!("Column with {}", Role::from_key(role).map_or_else(|| role.to_owned(), |role| role.label().to_owned()));
    let Some(columns) = listed else {
        let description = "Its name as in the log. Leave it empty if the log has no such column.";
        return json!({"type": "string", "title": title, "description": description});
    };
    let values: Vec<&str> = columns.iter().copied().chain([""]).collect();
    let names: Vec<&str> = columns.iter().copied().chain(["Not in this log"]).collect();
    json!({"type": "string", "title": title, "enum": values, "enumNames": names})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(columns: &[&str], roles: &[&str]) -> FileQuestion {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        FileQuestion {
            file: Attachment { file_id: FileId::new(), name: "log.csv".into(), bytes: 1 },
            question: ColumnQuestion {
                file: "log.csv".into(),
                reasons: vec!["No column with input tokens was recognised.".into()],
                roles: texts(roles),
                columns: texts(columns),
                rows: vec![texts(columns)],
            },
            known: ColumnChoice::default(),
            problem: None,
        }
    }

    #[test]
    fn a_question_lists_each_column_once_and_that_there_is_none() {
        let schema = question(&["a", "b", "a", ""], &["input", "dates"]).schema();
        assert_eq!(schema["properties"]["input"]["enum"], json!(["a", "b", ""]));
        assert_eq!(schema["properties"]["input"]["enumNames"], json!(["a", "b", "Not in this log"]));
        assert_eq!(schema["required"], json!(["input", "dates"]));
        let many: Vec<String> = (0..MAX_CHOICES).map(|n| format!("c{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let schema = question(&many, &["input"]).schema();
        assert_eq!((&schema["properties"]["input"]["enum"], &schema["required"]), (&Value::Null, &json!([])));
    }

    #[test]
    fn an_answer_is_added_to_what_is_known_unless_it_names_a_column_twice() {
        let asked = FileQuestion {
            known: ColumnChoice::parse("latency:ms=c").expect("a choice"),
            ..question(&["a", "b", "c"], &["input", "output"])
        };
        let interrupt = asked.interrupt();
        let parse = |payload: Value| parse_answer(&interrupt, Some(&payload), &asked.known);
        let expected = ColumnChoice::parse("latency:ms=c,input=b,output=").expect("a choice");
        assert_eq!(parse(json!({"input": "b", "output": ""})), Ok(expected.clone()));
        assert_eq!(parse(json!({"input": "b"})), Ok(expected));
        assert!(parse(json!({"input": "b", "output": "b"})).is_err_and(|problem| problem.contains("\"b\"")));
        assert!(parse(json!({"input": "c", "output": "b"})).is_err_and(|problem| problem.contains("latency")));
    }
}
