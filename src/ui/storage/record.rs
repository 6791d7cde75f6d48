//! What is stored of what a person wrote: one record for each place where they write, with the page that wrote it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::protocol::{Answer, Attachment, FileId, MessageId, ThreadId, UserId};

/// The most records that are stored in a browser; the oldest beyond that are removed when a page loads.
const MAX_RECORDS: usize = 500;
/// How long a record is stored without being touched, in milliseconds: 90 days.
const RECORD_TTL_MS: i64 = 90 * 24 * 60 * 60 * 1000;
/// How long a file without a record is stored, in milliseconds: a page stores the file first, then the record.
const LOOSE_FILE_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// Where a person writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The composer of a thread, or of a new one.
    Draft(Option<ThreadId>),
    /// Another version of a message, being written.
    Edit(MessageId),
    /// A message that was sent and not accepted yet.
    Message(MessageId),
    /// An answer to what a run asks, by its own id, that was sent and not accepted yet.
    Answer(MessageId),
}

/// The name of a record. A page changes its own records only, until it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RecordKey {
    /// The page that wrote it: another one for every load.
    pub(crate) page: Uuid,
    pub(crate) slot: Slot,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = self.page;
        match self.slot {
            Slot::Draft(None) => write!(f, "{page}/draft/new"),
            Slot::Draft(Some(thread)) => write!(f, "{page}/draft/{thread}"),
            Slot::Edit(message) => write!(f, "{page}/edit/{message}"),
            Slot::Message(message) => write!(f, "{page}/message/{message}"),
            Slot::Answer(answer) => write!(f, "{page}/answer/{answer}"),
        }
    }
}

impl FromStr for RecordKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().ok_or(());
        let page = Uuid::try_parse(part()?).map_err(drop)?;
        let slot = match (part()?, part()?) {
            ("draft", "new") => Slot::Draft(None),
            ("draft", thread) => Slot::Draft(Some(thread.parse().map_err(drop)?)),
            ("edit", message) => Slot::Edit(message.parse().map_err(drop)?),
            ("message", message) => Slot::Message(message.parse().map_err(drop)?),
            ("answer", answer) => Slot::Answer(answer.parse().map_err(drop)?),
            _ => return Err(()),
        };
        Ok(Self { page, slot })
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose it is: it is shown to nobody else.
    pub(crate) user: UserId,
    /// When it was written, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) content: Content,
}

/// What is in a record.
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

    /// Whether it was sent: then any page may go on with it. Else it waits until its place is looked at.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Answer(_))
    }
}

/// A file beside a record, as the person chose it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Its name in the store of files.
    pub(crate) key: Uuid,
    pub(crate) name: String,
    /// Its id at the server, once it is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<FileId>,
}

/// What is in a composer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DraftRecord {
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileRecord>,
    /// Files that the thread has already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attached: Vec<Attachment>,
    /// Messages that were taken back and wait until the composer is free for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) returned: Vec<TakenBackMessage>,
}

/// What was taken back while something else was being written: it waits to be taken up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TakenBackMessage {
    pub(crate) text: String,
    pub(crate) attached: Vec<Attachment>,
}

impl DraftRecord {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.files.is_empty() && self.attached.is_empty() && self.returned.is_empty()
    }

    /// Adds what was written later, or elsewhere; the same text is not repeated.
    pub(crate) fn append(&mut self, later: Self) {
        self.text = join(&self.text, &later.text);
        self.files.extend(later.files);
        self.attached.extend(later.attached);
        self.returned.extend(later.returned);
    }
}

/// Two texts as one; the same text is not repeated.
pub(crate) fn join(first: &str, second: &str) -> String {
    match (first.trim_end(), second.trim()) {
        (_, "") => first.to_owned(),
        ("", _) => second.to_owned(),
        (begun, added) if begun.trim_start() == added => first.to_owned(),
        (begun, _) => format!("{begun}\n\n{second}"),
    }
}

/// Another version of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EditRecord {
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
}

/// Where in its thread a message stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// After the newest message.
    #[default]
    Newest,
    /// After this one.
    After(MessageId),
    /// In the place of this one, as another version of it.
    #[serde(rename = "instead")]
    Replacing(MessageId),
}

/// A message that was sent and not accepted yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) message_id: MessageId,
    pub(crate) thread_id: ThreadId,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attached: Vec<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    pub(crate) place: Place,
    /// The thread is to be made first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) new_thread: Option<NewThread>,
}

/// A thread that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewThread {
    /// The agent that answers in it; absent: the server's default.
    pub(crate) agent: Option<String>,
}

/// The records as they are: those of the database, changed by what was written after them (absent: removed).
pub(crate) fn overlay(
    stored: Vec<(String, String)>,
    written: Vec<(String, Option<String>)>,
) -> Vec<(String, Option<Record>)> {
    let mut all: std::collections::BTreeMap<String, String> = stored.into_iter().collect();
    for (key, value) in written {
        match value {
            Some(value) => all.insert(key, value),
            None => all.remove(&key),
        };
    }
    all.into_iter().map(|(key, value)| (key, serde_json::from_str(&value).ok())).collect()
}

/// The records to remove: those that are too old, and the oldest where there are too many. What is not understood was
/// written by another version of the page, and counts as oldest.
pub(crate) fn surplus(records: &[(String, Option<Record>)], now_ms: i64) -> Vec<String> {
    let age = |record: &Option<Record>| record.as_ref().map_or(i64::MIN, |record| record.at);
    let mut newest_first: Vec<(i64, &String)> = records.iter().map(|(key, record)| (age(record), key)).collect();
    newest_first.sort_by(|a, b| b.cmp(a));
    let is_surplus = |(index, (at, _)): &(usize, (i64, &String))| {
        *index >= MAX_RECORDS || (*at > i64::MIN && now_ms - at > RECORD_TTL_MS)
    };
    newest_first.into_iter().enumerate().filter(is_surplus).map(|(_, (_, key))| key.clone()).collect()
}

/// The files to remove: no record names them, and they are no longer about to be named.
pub(crate) fn loose_files(files: Vec<String>, records: &[(String, Option<Record>)], now_ms: i64) -> Vec<String> {
    let named: Vec<String> = records
        .iter()
        .filter_map(|(_, record)| record.as_ref())
        .flat_map(|record| record.content.files())
        .map(|file| file.key.to_string())
        .collect();
    let is_old = |key: &String| {
        let time = Uuid::try_parse(key).ok().and_then(|key| key.get_timestamp());
        let made_ms = time.map_or(0, |time| time.to_unix().0 * 1000);
        u64::try_from(now_ms).is_ok_and(|now| now.saturating_sub(made_ms) > LOOSE_FILE_TTL_MS)
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
    fn the_name_of_a_record_is_read_as_it_was_written() {
        let slots = [
            Slot::Draft(None),
            Slot::Draft(Some(ThreadId::new())),
            Slot::Edit(MessageId::new()),
            Slot::Message(MessageId::new()),
            Slot::Answer(MessageId::new()),
        ];
        for slot in slots {
            let key = RecordKey { page: Uuid::now_v7(), slot };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for wrong in ["", "x/draft/new", "draft/new", &format!("{}/other/new", Uuid::now_v7())] {
            assert_eq!(wrong.parse::<RecordKey>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written_also_one_for_a_new_thread_without_an_agent() {
        for new_thread in [None, Some(NewThread { agent: None }), Some(NewThread { agent: Some("analyst".into()) })] {
            let message = MessageRecord {
                message_id: MessageId::new(),
                thread_id: ThreadId::new(),
                text: "why?".into(),
                files: vec![FileRecord { key: Uuid::now_v7(), name: "log.csv".into(), id: Some(FileId::new()) }],
                attached: Vec::new(),
                agent: None,
                place: Place::Replacing(MessageId::new()),
                new_thread,
            };
            let record = Record { user: UserId::new(), at: 1, content: Content::Message(message) };
            let json = serde_json::to_string(&record).expect("it can be written");
            assert_eq!(serde_json::from_str::<Record>(&json).expect("it can be read"), record);
        }
    }

    #[test]
    fn what_was_written_last_counts_also_where_it_is_a_removal() {
        let json = |at| serde_json::to_string(&record(at, &[])).expect("it can be written");
        let stored = vec![("a".to_owned(), json(1)), ("b".to_owned(), json(1)), ("c".to_owned(), json(1))];
        let written = vec![("b".to_owned(), Some(json(2))), ("c".to_owned(), None), ("d".to_owned(), Some("{".into()))];
        let all = overlay(stored, written);
        let seen: Vec<_> = all.iter().map(|(key, record)| (key.as_str(), record.as_ref().map(|r| r.at))).collect();
        assert_eq!(seen, [("a", Some(1)), ("b", Some(2)), ("d", None)]);
    }

    #[test]
    fn the_store_is_bounded_in_number_and_age() {
        let now = RECORD_TTL_MS * 2;
        let mut all: Vec<(String, Option<Record>)> =
            (0..MAX_RECORDS).map(|n| (format!("{n:04}"), Some(record(now - n as i64, &[])))).collect();
        assert!(surplus(&all, now).is_empty());
        all.push(("old".into(), Some(record(now - RECORD_TTL_MS - 1, &[]))));
        all.push(("unknown".into(), None));
        assert_eq!(surplus(&all, now), ["old", "unknown"]);
    }

    #[test]
    fn only_files_that_no_record_names_are_removed_and_not_at_once() {
        let (named, loose) = (Uuid::now_v7(), Uuid::now_v7());
        let records = [("a".to_owned(), Some(record(1, &[named])))];
        let made = i64::try_from(named.get_timestamp().expect("it has a time").to_unix().0 * 1000).expect("it fits");
        let files = || vec![named.to_string(), loose.to_string()];
        assert!(loose_files(files(), &records, made).is_empty());
        let later = made + 2 * i64::try_from(LOOSE_FILE_TTL_MS).expect("it fits");
        assert_eq!(loose_files(files(), &records, later), [loose.to_string()]);
    }

    #[test]
    fn drafts_are_joined_without_a_repetition() {
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a ", ""), "a ");
        assert_eq!(join("a\n", "b"), "a\n\nb");
        assert_eq!(join("same", " same "), "same");
    }
}
