//! Sessions of Codex CLI: `~/.codex/sessions/**/rollout-*.jsonl`, lines with `timestamp`, `type` and `payload`.
//!
//! Source: the rollout format of the repository openai/codex (`TokenUsageInfo`), and what ccusage and tokscale found
//! in real files.
//! - `token_count` events state the sum of the session and the usage of the last request. The event is written again,
//!   with the same sum, when only limits change: the growth of the sum counts, not the event.
//! - A forked session, and the session of a sub-agent, begin with a copy of the session they continue, written in one
//!   go at their start: it counts only in the file of that session. Should a copied event escape, it has the same sums
//!   as the original, by which the two are known as one.
//! - Input includes cached tokens, output includes reasoning.

use super::{Reader, Source};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage};

/// The source.
pub(super) static SESSIONS: Sessions = Sessions;

/// Sessions of Codex CLI.
pub(super) struct Sessions;

impl Source for Sessions {
    fn name(&self) -> &'static str {
        "Codex sessions"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        const TYPES: [&str; 5] = ["session_meta", "turn_context", "event_msg", "response_item", "compacted"];
        record.has_all(&["timestamp", "payload"])
            && record.text("type").is_some_and(|kind| TYPES.contains(&kind.as_ref()))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Session::default())
    }
}

/// Longest pause between two lines of a copy, in milliseconds. The answer of a model takes longer.
const COPY_PAUSE_MS: i64 = 1000;

/// Input, cached, written to a cache, output, reasoning.
type Counts = [Option<u64>; 5];

/// What is known of the session so far.
#[derive(Default)]
struct Session {
    id: Option<String>,
    /// The session at the beginning of all copies.
    root: Option<String>,
    model: Option<String>,
    project: Option<String>,
    /// The sum of the last event.
    sum: Option<Counts>,
    /// Whether the lines still copy another session.
    is_copy: bool,
    last_ms: Option<i64>,
}

impl Reader for Session {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let time = sink.optional("time", record.time("timestamp", None));
        let pause = time.zip(self.last_ms).map_or(0, |(time, last)| time - last);
        self.is_copy &= pause < COPY_PAUSE_MS;
        self.last_ms = time.or(self.last_ms);
        let text = |path: &str| record.text(path).map(|text| text.into_owned());
        if record.is("type", "session_meta") {
            self.begin(record);
            sink.skip("lines without usage (prompts, tool calls, notes)");
            return Ok(());
        }
        if record.is("type", "turn_context") {
            self.model = text("payload.model").or(self.model.take());
            self.project = text("payload.cwd").or(self.project.take());
        }
        if !record.is("payload.type", "token_count") {
            sink.skip("lines without usage (prompts, tool calls, notes)");
            return Ok(());
        }
        let Some(counts) = self.growth(record)? else {
            sink.skip("events that repeat the sum of the one before, or state limits only");
            return Ok(());
        };
        if self.is_copy {
            sink.skip("events copied from the session that this one continues (they count in its own file)");
            return Ok(());
        }
        let model = text("payload.info.model").or_else(|| self.model.clone());
        let [input, cached, cache_write, output, reasoning] = counts;
        let root = self.root.as_ref().or(self.id.as_ref());
        let mut usage = Usage {
            start_ms: time,
            model: model.map(Into::into),
            input,
            output,
            cached,
            cache_write,
            reasoning,
            request_id: root.zip(self.sum).map(|(root, sum)| format!("{root} {sum:?}").into()),
            ..Usage::default()
        };
        usage.group("session", self.id.clone().map(Into::into));
        usage.group("project", self.project.clone().map(Into::into));
        sink.push(usage);
        Ok(())
    }
}

impl Session {
    /// The first description is that of the session itself; those after it are of the sessions that it copies.
    fn begin(&mut self, record: Record<'_>) {
        let text = |path: &str| record.text(path).map(|text| text.into_owned());
        let id = text("payload.id").or_else(|| text("payload.session_id"));
        if self.id.is_some() {
            self.is_copy |= id != self.id && self.sum.is_none();
            self.root = id.or(self.root.take());
            return;
        }
        let parent = record.first_text(&[
            "payload.forked_from_id",
            "payload.parent_thread_id",
            "payload.source.subagent.thread_spawn.parent_thread_id",
        ]);
        self.is_copy = parent.is_some();
        self.root = parent.map(|parent| parent.into_owned());
        self.id = id;
        self.project = text("payload.cwd");
    }

    /// What the session used since the last event; `None` if nothing.
    fn growth(&mut self, record: Record<'_>) -> Result<Option<Counts>, String> {
        let last = counts(record, "last_token_usage")?;
        let Some(sum) = counts(record, "total_token_usage")? else {
            return Ok(last);
        };
        let before = self.sum.replace(sum);
        let growth = match before {
            Some(before) if before == sum => return Ok(None),
            // A sum that fell began anew.
            Some(before) if sum.iter().zip(&before).any(|(now, then)| now.unwrap_or(0) < then.unwrap_or(0)) => last,
            Some(before) => {
                let less = |at: usize| sum[at].map(|now: u64| now - before[at].unwrap_or(0));
                Some(std::array::from_fn(less))
            }
            // The sum of a continued session may begin with what its other files state.
            None => last.or(Some(sum)),
        };
        Ok(growth.filter(|counts| counts.iter().any(|count| count.unwrap_or(0) > 0)))
    }
}

fn counts(record: Record<'_>, name: &str) -> Result<Option<Counts>, String> {
    let count = |names: [&str; 2]| {
        record.first_count(&names.map(|field| format!("payload.info.{name}.{field}")).each_ref().map(String::as_str))
    };
    let counts = [
        count(["input_tokens", "input_tokens"])?,
        count(["cached_input_tokens", "cache_read_input_tokens"])?,
        count(["cache_write_input_tokens", "cache_creation_input_tokens"])?,
        count(["output_tokens", "output_tokens"])?,
        count(["reasoning_output_tokens", "reasoning_tokens"])?,
    ];
    Ok(counts.iter().any(Option::is_some).then_some(counts))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::analyst::ingest::{ColumnChoice, Input, Reading};

    #[test]
    fn a_copy_in_another_file_counts_once_also_if_it_keeps_its_times() {
        let meta =
            |id: &str| json!({"timestamp": "2026-11-02T09:00:00Z", "type": "session_meta", "payload": {"id": id}});
        let event = |minute: u64, sum: u64| {
            let usage = json!({"input_tokens": sum, "output_tokens": 1});
            json!({"timestamp": format!("2026-11-02T09:{minute:02}:00Z"), "type": "event_msg",
                "payload": {"type": "token_count", "info": {"total_token_usage": usage}}})
        };
        let parent = [meta("parent"), event(1, 100), event(2, 250)];
        let child = [meta("child"), meta("parent"), event(1, 100), event(2, 250), event(3, 300)];
        let mut reading = Reading::new(true);
        for (name, lines) in [("parent", &parent[..]), ("child", &child)] {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let input = Input::from_bytes(text.as_bytes()).expect("an input");
            reading.add(name, &input, &ColumnChoice::default(), &|| false).expect("a log");
        }
        let log = reading.finish().expect("requests");
        assert_eq!(log.data.input.iter().sum::<u64>(), 300);
    }
}
