//! The stored records: one for each place where the user writes, named by the tab that wrote it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::protocol::{Answer, Attachment, FileId, MessageId, SendMode, ThreadId, UserId, json};

/// The most records in one browser. Loading a page removes the oldest beyond that.
const MAX_RECORDS: usize = 500;
/// How long a record is kept after its last change, in milliseconds: 90 days.
const RECORD_TTL_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// How long a file without a record is kept, in milliseconds: a tab stores the file before the record that names it.
const ORPHAN_FILE_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// A place where the user writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The composer of a thread, or of a new one.
    Draft(Option<ThreadId>),
    /// The edit of a message.
    Edit(MessageId),
    /// A message that the server has not accepted yet.
    Message(MessageId),
    /// An answer to a run's interrupts that the server has not accepted yet, by the answer's id.
    Answer(MessageId),
}

/// The key of a record. While a tab is open, only it changes its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordKey {
    /// The tab that wrote it; a new id for each page load.
    pub(crate) tab: Uuid,
    pub(crate) slot: Slot,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tab = self.tab;
        match self.slot {
            Slot::Draft(None) => write!(f, "{tab}/draft/new"),
            Slot::Draft(Some(thread)) => write!(f, "{tab}/draft/{thread}"),
            Slot::Edit(message) => write!(f, "{tab}/edit/{message}"),
            Slot::Message(message) => write!(f, "{tab}/message/{message}"),
            Slot::Answer(answer) => write!(f, "{tab}/answer/{answer}"),
        }
    }
}

impl FromStr for RecordKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(());
        let tab = Uuid::try_parse(part()?).map_err(drop)?;
        let slot = match (part()?, part()?) {
            ("draft", "new") => Slot::Draft(None),
            ("draft", thread) => Slot::Draft(Some(thread.parse().map_err(drop)?)),
            ("edit", message) => Slot::Edit(message.parse().map_err(drop)?),
            ("message", message) => Slot::Message(message.parse().map_err(drop)?),
            ("answer", answer) => Slot::Answer(answer.parse().map_err(drop)?),
            _ => return Err(()),
        };
        Ok(Self { tab, slot })
    }
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The user who wrote it. Other users do not see it.
    pub(crate) user: UserId,
    /// The time of the last change, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) content: Content,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub(crate) enum Content {
    Draft(DraftRecord),
    Edit(EditRecord),
    Message(MessageRecord),
    Answer(Answer),
}

impl Content {
    pub(super) fn files(&self) -> &[FileRecord] {
        match self {
            Self::Draft(draft) => &draft.files,
            Self::Message(message) => &message.files,
            Self::Edit(_) | Self::Answer(_) => &[],
        }
    }

    /// Whether the user sent it. Then any tab may deliver it; a draft or an edit waits until its thread is opened.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Answer(_))
    }
}

/// A file that belongs to a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Its key among the stored files.
    pub(crate) key: Uuid,
    pub(crate) name: String,
    /// Its id on the server, once it is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<FileId>,
}

/// The content of a composer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DraftRecord {
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileRecord>,
    /// Files that were uploaded to the thread before.
    #[serde(rename = "attached", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) uploaded: Vec<Attachment>,
    /// Messages that the user took back while the composer was in use.
    #[serde(rename = "returned", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) taken_back: Vec<TakenBackMessage>,
}

/// A message that the user took back while the composer was in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TakenBackMessage {
    pub(crate) text: String,
    #[serde(rename = "attached")]
    pub(crate) uploaded: Vec<Attachment>,
}

impl DraftRecord {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.files.is_empty() && self.uploaded.is_empty() && self.taken_back.is_empty()
    }

    /// Appends another draft. The same text is not repeated.
    pub(crate) fn append(&mut self, later: Self) {
        self.text = join(&self.text, &later.text);
        self.files.extend(later.files);
        self.uploaded.extend(later.uploaded);
        self.taken_back.extend(later.taken_back);
    }
}

/// Joins two texts with a blank line. The same text is not repeated.
pub(crate) fn join(first: &str, second: &str) -> String {
    match (first.trim_end(), second.trim()) {
        (_, "") => first.to_owned(),
        ("", _) => second.to_owned(),
        (first_trimmed, added) if first_trimmed.trim_start() == added => first.to_owned(),
        (first_trimmed, _) => format!("{first_trimmed}\n\n{second}"),
    }
}

/// The edit of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EditRecord {
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
}

/// The position of a new message in its thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// After the newest message.
    #[default]
    Newest,
    /// After this one.
    After(MessageId),
    /// Instead of this one, as another version of it.
    #[serde(rename = "instead")]
    Replacing(MessageId),
}

/// A message that the server has not accepted yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) message_id: MessageId,
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileRecord>,
    #[serde(rename = "attached", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) uploaded: Vec<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    pub(crate) place: Place,
    #[serde(default, skip_serializing_if = "SendMode::is_queue")]
    pub(crate) mode: SendMode,
    /// The thread to create first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new_thread: Option<NewThread>,
}

/// A thread that is to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewThread {
    /// The agent that answers in it; `None`: the server's default.
    pub(crate) agent: Option<String>,
    /// Whether it is temporary.
    #[serde(default)]
    pub(crate) temporary: bool,
}

/// The current records: those of the database, overlaid with the newer ones of local storage (`None`: removed). A record
/// that this version of the page cannot read is `None`.
pub(crate) fn overlay(
    database: Vec<(String, String)>,
    local: Vec<(String, Option<String>)>,
) -> Vec<(String, Option<Record>)> {
    let mut all: std::collections::BTreeMap<String, String> = database.into_iter().collect();
    for (key, value) in local {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
        };
    }
    all.into_iter().map(|(key, value)| (key, json::from_str(&value).ok())).collect()
}

/// The records to remove: those that are too old, and the oldest if there are too many. Records that this version of the page
/// cannot read count as the oldest.
pub(crate) fn surplus(records: &[(String, Option<Record>)], now_ms: i64) -> Vec<String> {
    let age = |record: &Option<Record>| record.as_ref().map_or(i64::MIN, |record| record.at);
    let mut newest_first: Vec<(i64, &String)> = records.iter().map(|(key, record)| (age(record), key)).collect();
    newest_first.sort_by(|a, b| b.cmp(a));
    let is_surplus = |(index, (at, _)): &(usize, (i64, &String))| {
        *index >= MAX_RECORDS || (*at > i64::MIN && now_ms - at > RECORD_TTL_MS)
    };
    newest_first.into_iter().enumerate().filter(is_surplus).map(|(_, (_, key))| key.clone()).collect()
}

/// The keys of all files that records name.
fn named_files(records: &[(String, Option<Record>)]) -> Vec<String> {
    let known = records.iter().filter_map(|(_, record)| record.as_ref());
    known.flat_map(|record| record.content.files()).map(|file| file.key.to_string()).collect()
}

/// The files of a removed record that no other record names: a message has the files of the draft that it was.
pub(crate) fn unnamed_files(removed: &Record, records: &[(String, Option<Record>)]) -> Vec<String> {
    let named = named_files(records);
    removed.content.files().iter().map(|file| file.key.to_string()).filter(|key| !named.contains(key)).collect()
}

/// The files to remove: no record names them, and they are too old for a record to name them soon.
pub(crate) fn orphan_files(files: Vec<String>, records: &[(String, Option<Record>)], now_ms: i64) -> Vec<String> {
    let named = named_files(records);
    let is_old = |key: &String| {
        let time = Uuid::try_parse(key).ok().and_then(|key| key.get_timestamp());
        let made_ms = time.map_or(0, |time| time.to_unix().0 * 1000);
        u64::try_from(now_ms).is_ok_and(|now| now.saturating_sub(made_ms) > ORPHAN_FILE_TTL_MS)
    };
    files.into_iter().filter(|key| !named.contains(key) && is_old(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: i64, files: &[Uuid]) -> Record {
        let file = |key: &Uuid| FileRecord { key: *key, name: "log.csv".into(), id: None };
        let draft = DraftRecord { text: "why?".into(), files: files.iter().map(file).collect(), ..Default::default() };
        Record { user: UserId::new(), at, content: Content::Draft(draft) }
    }

    #[test]
    fn files_of_a_removed_record_go_unless_another_record_names_them() {
        let [gone, kept] = [Uuid::now_v7(), Uuid::now_v7()];
        let removed = record(0, &[gone, kept]);
        let others = [("a".to_owned(), Some(record(0, &[kept]))), ("b".to_owned(), None)];
        assert_eq!(unnamed_files(&removed, &others), [gone.to_string()]);
        assert_eq!(unnamed_files(&removed, &[]), [gone.to_string(), kept.to_string()]);
    }

    #[test]
    fn a_record_key_is_parsed_back_from_its_text() {
        let slots = [
            Slot::Draft(None),
            Slot::Draft(Some(ThreadId::new())),
            Slot::Edit(MessageId::new()),
            Slot::Message(MessageId::new()),
            Slot::Answer(MessageId::new()),
        ];
        for slot in slots {
            let key = RecordKey { tab: Uuid::now_v7(), slot };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for wrong in ["", "x/draft/new", "draft/new", &format!("{}/other/new", Uuid::now_v7())] {
            assert_eq!(wrong.parse::<RecordKey>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_stored_message_is_read_back_unchanged_with_and_without_a_new_thread() {
        for new_thread in [
            None,
            Some(NewThread { agent: None, temporary: false }),
            Some(NewThread { agent: Some("analyst".into()), temporary: true }),
        ] {
            let message = MessageRecord {
                message_id: MessageId::new(),
                thread_id: ThreadId::new(),
                text: "why?".into(),
                files: vec![FileRecord { key: Uuid::now_v7(), name: "log.csv".into(), id: Some(FileId::new()) }],
                uploaded: Vec::new(),
                agent: None,
                place: Place::Replacing(MessageId::new()),
                mode: SendMode::Steer,
                new_thread,
            };
            let record = Record { user: UserId::new(), at: 1, content: Content::Message(message) };
            let json = serde_json::to_string(&record).expect("it can be written");
            assert!(json.contains("\"place\":{\"instead\":"), "the name in records of earlier versions: {json}");
            assert_eq!(serde_json::from_str::<Record>(&json).expect("it can be read"), record);
        }
    }

    #[test]
    fn local_storage_overrides_the_database_also_with_a_removal() {
        let json = |at| serde_json::to_string(&record(at, &[])).expect("it can be written");
        let stored = vec![("a".to_owned(), json(1)), ("b".to_owned(), json(1)), ("c".to_owned(), json(1))];
        let written = vec![("b".to_owned(), Some(json(2))), ("c".to_owned(), None), ("d".to_owned(), Some("{".into()))];
        let all = overlay(stored, written);
        let seen: Vec<_> = all.iter().map(|(key, record)| (key.as_str(), record.as_ref().map(|r| r.at))).collect();
        assert_eq!(seen, [("a", Some(1)), ("b", Some(2)), ("d", None)]);
    }

    #[test]
    fn records_are_limited_in_number_and_age() {
        let now = RECORD_TTL_MS * 2;
        let mut all: Vec<(String, Option<Record>)> =
            (0..MAX_RECORDS).map(|n| (format!("{n:04}"), Some(record(now - n as i64, &[])))).collect();
        assert!(surplus(&all, now).is_empty());
        all.push(("old".into(), Some(record(now - RECORD_TTL_MS - 1, &[]))));
        all.push(("unknown".into(), None));
        assert_eq!(surplus(&all, now), ["old", "unknown"]);
    }

    #[test]
    fn only_old_files_that_no_record_names_are_removed() {
        let (named, orphan) = (Uuid::now_v7(), Uuid::now_v7());
        let records = [("a".to_owned(), Some(record(1, &[named])))];
        let made = i64::try_from(named.get_timestamp().expect("it has a time").to_unix().0 * 1000).expect("it fits");
        let files = || vec![named.to_string(), orphan.to_string()];
        assert!(orphan_files(files(), &records, made).is_empty());
        let later = made + 2 * i64::try_from(ORPHAN_FILE_TTL_MS).expect("it fits");
        assert_eq!(orphan_files(files(), &records, later), [orphan.to_string()]);
    }

    #[test]
    fn joining_drafts_does_not_repeat_a_text() {
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a ", ""), "a ");
        assert_eq!(join("a\n", "b"), "a\n\nb");
        assert_eq!(join("same", " same "), "same");
    }
}
