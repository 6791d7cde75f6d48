//! Resumes runs that were cut off by the end of their server while a tool's server worked on a task for them.
//!
//! Such a run ends with an interrupt that has already expired. The first node that checks for expired interrupts
//! (`runner/expired_questions.rs`) starts a run that continues it, whose agent follows the task by the id in the log.

use std::iter;

use jiff::Timestamp;
use uuid::Uuid;

use super::{failures::is_caused_by_server, tool_tasks};
use crate::{
    protocol::{RunId, agui::Interrupt, extensions::SERVER_RESTARTED},
    thread::{EndKind, RunEnd, ThreadView},
};

/// How many times in a row a run is resumed automatically, in case the run itself crashes its server.
const MAX_RESUMES: usize = 3;

/// The interrupted end that replaces this failure, if the run can be resumed automatically.
pub(super) fn resumable_end(thread: &ThreadView, run_id: RunId, ending: &RunEnd) -> Option<RunEnd> {
    let EndKind::Failed { code, .. } = &ending.kind else { return None };
    let run = thread.run(run_id).filter(|_| is_caused_by_server(code))?;
    let chain = || iter::successors(Some(run), |run| thread.run(run.resumes?));
    if chain().filter(|run| run.was_cut_by_restart()).count() >= MAX_RESUMES {
        return None;
    }
    if !chain().any(|run| tool_tasks::has_open_task(thread, run)) {
        return None;
    }
    let interrupt = Interrupt {
        id: Uuid::now_v7().to_string(),
        reason: SERVER_RESTARTED.into(),
        message: Some("The server restarted while a tool was working. The run continues automatically.".into()),
        tool_call_id: None,
        response_schema: None,
        expires_at: Some(Timestamp::now().to_string()),
        subagent_run_id: None,
        metadata: None,
    };
    Some(RunEnd { kind: EndKind::Interrupted(vec![interrupt]), ..ending.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        protocol::{
            AnswerStatus, Author, InterruptAnswer, MessageId, RunAnswer, ThreadEntry, ThreadId, UserId, UserMessage,
            agui::Event,
        },
        server::runs::run::failed,
    };

    fn apply(thread: &mut ThreadView, run_id: RunId, event: Value) {
        let event: Event = serde_json::from_value(event).expect("an event");
        thread.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) });
    }

    /// A thread whose run has an open call with this activity.
    fn with_open_call(activity: Value) -> (ThreadView, RunId) {
        let (mut thread, run) = (ThreadView::default(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada".into() };
        thread.apply(0, ThreadEntry::Message { message: UserMessage::new(author, "Rest", run, "a") });
        apply(&mut thread, run, json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r"}));
        apply(&mut thread, run, json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "odd__task"}));
        apply(&mut thread, run, json!({"type": "TOOL_CALL_END", "toolCallId": "c"}));
        apply(
            &mut thread,
            run,
            json!({"type": "ACTIVITY_SNAPSHOT", "messageId": "t", "activityType": "tool_task", "content": activity}),
        );
        (thread, run)
    }

    fn task() -> Value {
        json!({"toolCallId": "c", "toolName": "odd__task", "continuation": {"task": "7"}})
    }

    /// Ends the run and adds the run that resumes it.
    fn resume(thread: &mut ThreadView, run_id: RunId, ending: &RunEnd) -> RunId {
        let events = thread.run(run_id).expect("the run").closing_events(ThreadId::new(), ending);
        events.into_iter().for_each(|event| thread.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) }));
        let EndKind::Interrupted(interrupts) = &ending.kind else { panic!("not interrupted: {ending:?}") };
        let cancelled = |interrupt: &Interrupt| InterruptAnswer {
            interrupt_id: interrupt.id.clone(),
            status: AnswerStatus::Cancelled,
            payload: None,
            metadata: None,
        };
        let (author, resumed_by) = (Author { id: UserId::new(), name: "Ada".into() }, RunId::new());
        let answers = interrupts.iter().map(cancelled).collect();
        let answer = RunAnswer { id: MessageId::new(), run_id, resumed_by, agent: "a".into(), author, answers };
        thread.apply(0, ThreadEntry::Answer { answer });
        resumed_by
    }

    #[test]
    fn a_run_with_an_open_task_is_resumed_automatically_at_most_three_times() {
        let (mut thread, mut run) = with_open_call(task());
        for code in ["server_restarted", "server_restarting", "server_lost"] {
            let ending = resumable_end(&thread, run, &failed(code, "x")).expect("it is resumed");
            let EndKind::Interrupted(interrupts) = &ending.kind else { panic!("not interrupted: {ending:?}") };
            let expires: Timestamp = interrupts[0].expires_at.as_ref().expect("a time").parse().expect("a time");
            assert!(expires <= Timestamp::now(), "it has expired already");
            run = resume(&mut thread, run, &ending);
        }
        assert_eq!(resumable_end(&thread, run, &failed("server_restarted", "x")), None);
    }

    #[test]
    fn a_run_without_an_open_task_is_not_resumed() {
        let (mut thread, run) = with_open_call(task());
        assert_eq!(resumable_end(&thread, run, &failed("time_limit", "x")), None);
        assert_eq!(resumable_end(&thread, run, &EndKind::Cancelled.into()), None);
        let result = json!({"type": "TOOL_CALL_RESULT", "messageId": "m", "toolCallId": "c", "content": "rested"});
        apply(&mut thread, run, result);
        assert_eq!(resumable_end(&thread, run, &failed("server_restarted", "x")), None);
        for continuation in [json!({"retry": {"state": null}}), json!(7)] {
            let mut other = task();
            other["continuation"] = continuation;
            let (thread, run) = with_open_call(other);
            assert_eq!(resumable_end(&thread, run, &failed("server_restarted", "x")), None);
        }
    }
}
