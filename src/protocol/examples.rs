//! Examples of every message, for the schema. They are built from the types, so they are never out of date, and have fixed ids and
//! times, so they are the same in every build.

use serde::Serialize;
use serde_json::{Value, json};

use super::agui::{
    Custom, Event, Interrupt, RunFinished, RunOutcome, RunStarted, StepStarted, SubagentStarted, TextMessageContent,
    TextMessageStart, ToolCallResult, ToolCallStart, ToolContent,
};
use super::{
    AddMember, Answer, AnswerStatus, ArchiveThread, Author, ChannelName, ClientFrame, Command, CreateTemporaryThread,
    CreateThread, Cursor, DeletePrompt, DeleteTag, DeleteThread, Draining, EditAnswer, EditQueued, Epoch, ErrorBody,
    ErrorCode, EventPush, ForkOrigin, ForkThread, GiveFeedback, InterruptAnswer, KeepThread, LeaveThread, MarkRead,
    Member, MemberRole, MessageAccepted, Mode, MoveQueued, Notice, Person, PinThread, Ping, Pong, Present, Push,
    Rating, RemoveMember, RenameTag, RenameThread, RunAnswer, RunFeedback, RunPhase, RunState, RunView, SavePrompt,
    SendMessage, SendMode, SetAgent, SetMemberRole, ShareThread, SharedThread, StopRun, Subscribe, Subscribed, Tag,
    TagThreads, TakeBack, ThreadEntry, ThreadInfo, ThreadMembers, ThreadReply, ThreadSignal, Unsubscribe, UserEntry,
    UserMessage, Waiting, WaitsFor, Welcome, WelcomeUser, WithdrawLink, compact, encode_reply, http,
};

const AT: i64 = 1_767_225_600_000;

/// A fixed id; `n` distinguishes ids from each other.
fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u8) -> T {
    format!("019b76da-a800-7000-8000-0000000000{n:02x}").parse().expect("a UUIDv7")
}

fn values<T: Serialize>(examples: impl IntoIterator<Item = T>) -> Vec<Value> {
    examples.into_iter().map(|example| serde_json::to_value(example).expect("the value is serialized")).collect()
}

/// The examples of each definition, by its name in the schema.
pub(super) fn all() -> Vec<(&'static str, Vec<Value>)> {
    let commands = commands();
    let frames = (1..).zip(commands.clone()).map(|(id, command)| ClientFrame { id, command });
    vec![
        ("ClientFrame", values(frames)),
        ("Command", values(commands)),
        ("Reply", replies()),
        ("Push", values(pushes())),
        ("CompactEntry", compact_entries()),
        ("ThreadEntry", values(thread_entries())),
        ("ThreadSignal", values([presence(), queue()])),
        ("UserEntry", values(user_entries())),
        ("Event", values(events())),
        ("Config", values([config()])),
        ("Problem", values([problem()])),
        ("SignedIn", values([http::SignedIn { user: user() }])),
        ("InboxPage", values([inbox_page()])),
        ("SearchPage", values([search_page()])),
        ("Uploaded", values([http::Uploaded { file_id: id(6), name: "log.csv".into(), bytes: 320_117 }])),
    ]
}

fn inbox_page() -> http::InboxPage {
    let interrupt = Interrupt {
        message: Some("Which month do you mean?".into()),
        ..serde_json::from_value(json!({"id": "i1", "reason": "question"})).expect("an interrupt")
    };
    let run = RunView {
        message_id: Some(id(2)),
        state: RunState::Interrupted { interrupts: vec![interrupt] },
        ended_at: Some(AT),
        ..RunView::new(id(3), "analyst", AT)
    };
    let older = Some(format!("{AT}.{}", run.run_id));
    http::InboxPage { items: vec![http::InboxItem { thread: thread(), asked_at: AT, run }], older }
}

fn search_page() -> http::SearchPage {
    let part = |text: &str, matched| http::ExcerptPart { text: text.into(), matched };
    let excerpt =
        vec![part("\u{2026}the ", false), part("tokens", true), part(" go into long conversations\u{2026}", false)];
    let hit = http::SearchHit {
        thread_id: id(1),
        title: "Where the tokens go".into(),
        kind: http::SearchHitKind::Answer,
        message_id: Some(id(3)),
        run_id: Some(id(4)),
        at: AT,
        excerpt,
    };
    http::SearchPage { hits: vec![hit], next: Some("1767225600000.1.1767225600000".into()) }
}

fn feedback() -> RunFeedback {
    RunFeedback { rating: Some(Rating::Bad), note: "The totals are those of May.".into() }
}

fn commands() -> Vec<Command> {
    let channel = ChannelName::Thread(id(1));
    vec![
        Subscribe { channel: ChannelName::User, after: None, newest: None }.into(),
        Subscribe { channel, after: Some(Cursor { epoch: Epoch("1".into()), seq: 41 }), newest: None }.into(),
        Unsubscribe { channel }.into(),
        CreateThread { thread_id: id(1), title: Some("Tokens".into()), agent: None }.into(),
        CreateTemporaryThread { thread_id: id(13), agent: None }.into(),
        KeepThread { thread_id: id(13) }.into(),
        ForkThread { thread_id: id(12), from: id(1), message_id: id(2) }.into(),
        RenameThread { thread_id: id(1), title: "Where the tokens go".into() }.into(),
        PinThread { thread_id: id(1), pinned: true }.into(),
        ArchiveThread { thread_id: id(1), archived: true }.into(),
        DeleteThread { thread_id: id(1) }.into(),
        SetAgent { thread_id: id(1), agent: "analyst".into() }.into(),
        SendMessage {
            message_id: id(2),
            attachments: vec![id(6)],
            ..SendMessage::new(id(1), "Where do my tokens go?")
        }
        .into(),
        SendMessage {
            message_id: id(9),
            external_id: Some("msg-9".into()),
            replaces: Some(id(2)),
            ..SendMessage::new(id(1), "And my money?")
        }
        .into(),
        SendMessage { message_id: id(12), mode: SendMode::Steer, ..SendMessage::new(id(1), "In euros.") }.into(),
        TakeBack { thread_id: id(1), message_id: id(9) }.into(),
        EditQueued { thread_id: id(1), message_id: id(9), text: "And my time?".into(), attachments: None }.into(),
        MoveQueued { thread_id: id(1), message_id: id(9), before: Some(id(12)) }.into(),
        Answer { answer_id: id(10), thread_id: id(1), run_id: id(3), answers: answers() }.into(),
        StopRun { run_id: id(3) }.into(),
        MarkRead { thread_id: id(1) }.into(),
        EditAnswer { thread_id: id(1), run_id: id(3), message_id: id(13), text: "**Fourteen** euros.".into() }.into(),
        GiveFeedback { thread_id: id(1), run_id: id(3), feedback: feedback() }.into(),
        ShareThread { share_id: id(12), thread_id: id(1), expires_at: Some(AT) }.into(),
        WithdrawLink { share_id: id(12), thread_id: id(1) }.into(),
        AddMember { thread_id: id(1), user_id: id(14), role: MemberRole::Read }.into(),
        SetMemberRole { thread_id: id(1), user_id: id(14), role: MemberRole::Write }.into(),
        RemoveMember { thread_id: id(1), user_id: id(14) }.into(),
        LeaveThread { thread_id: id(1) }.into(),
        TagThreads { thread_ids: vec![id(1)], add: vec!["Costs".into()], remove: vec![id(15)] }.into(),
        RenameTag { tag_id: id(14), name: "Money".into() }.into(),
        DeleteTag { tag_id: id(15) }.into(),
        SavePrompt { prompt_id: id(16), name: "Summary".into(), text: "Summarise {{text}}".into(), shared: true }
            .into(),
        DeletePrompt { prompt_id: id(16) }.into(),
        Ping {}.into(),
    ]
}

fn replies() -> Vec<Value> {
    let subscribed: Subscribed = Subscribed {
        channel: ChannelName::User,
        epoch: Epoch("1".into()),
        seq: 42,
        mode: Mode::Live,
        snapshot: None,
        channel_number: None,
    };
    let limited = ErrorBody::new(ErrorCode::RateLimited, "more than 120 commands a minute").retry_after(900);
    let outcomes = [
        Ok(json!(subscribed)),
        Ok(json!(ThreadReply { thread: thread() })),
        Ok(json!(MessageAccepted { run_id: id(3), seq: 2 })),
        Ok(json!(Pong { server_time: AT })),
        Ok(json!({})),
        Err(limited),
    ];
    let frames = (1..).zip(&outcomes).map(|(id, outcome)| encode_reply(id, outcome));
    frames.map(|text| serde_json::from_str(&text).expect("a frame is JSON")).collect()
}

fn pushes() -> Vec<Push> {
    let event = |channel, seq, entry| {
        Push::Event(EventPush { channel, epoch: Epoch("1".into()), seq: Some(seq), at: AT, entry })
    };
    vec![
        Push::Welcome(Welcome {
            connection_id: id(5),
            user: WelcomeUser { id: id(4), name: "Ada".into(), role: http::Role::Member },
            node: "netra-1".into(),
            server_time: AT,
            heartbeat_ms: super::limits::HEARTBEAT_MS,
            max_frame_bytes: super::limits::MAX_FRAME_BYTES,
            expires_at: AT + 86_400_000,
        }),
        event(ChannelName::Thread(id(1)), 2, json!(thread_entries()[1])),
        event(ChannelName::User, 7, json!(user_entries()[4])),
        Push::Error(ErrorBody::new(ErrorCode::BadFrame, "not a JSON object; send {\"type\", \"id\", \"payload\"}")),
        Push::Draining(Draining { reconnect_in_ms: 1_840 }),
        Push::Notice(Notice { id: id(7), text: "Maintenance at noon.".into(), at: AT }),
    ]
}

fn compact_entries() -> Vec<Value> {
    let delta =
        |text: &str| ThreadEntry::Agent { run_id: id(3), event: Box::new(TextMessageContent::new("m1", text).into()) };
    let json = |entry| serde_json::to_string(&entry).expect("the value is serialized");
    let frames = [
        compact::encode_whole(1, 41, AT, &json(thread_entries()[0].clone()), None),
        compact::encode_whole(1, 42, AT + 40, &json(delta("Your")), Some(0)),
        compact::encode_delta(1, 0, 41, "\" tokens go\""),
    ];
    frames.iter().map(|text| serde_json::from_str(text).expect("a frame is JSON")).collect()
}

fn presence() -> ThreadSignal {
    ThreadSignal::Presence { present: vec![Present { user: Person { id: id(4), name: "Ada".into() }, connections: 3 }] }
}

fn queue() -> ThreadSignal {
    ThreadSignal::Queue { waiting: vec![Waiting { run_id: id(11), position: 1, waits_for: WaitsFor::Thread }] }
}

fn answers() -> Vec<InterruptAnswer> {
    let payload = Some(json!({"approved": true, "editedArgs": {"path": "notes.txt"}}));
    vec![InterruptAnswer { interrupt_id: "i1".into(), status: AnswerStatus::Resolved, payload, metadata: None }]
}

fn thread() -> ThreadInfo {
    ThreadInfo::new(id(1), "Tokens", "analyst", AT)
}

fn members() -> ThreadMembers {
    let member = Member { user: Person { id: id(14), name: "Bob".into() }, role: MemberRole::Read };
    ThreadMembers { owner: Person { id: id(4), name: "Ada".into() }, members: vec![member] }
}

fn shared() -> SharedThread {
    SharedThread { owner: members().owner, role: Some(MemberRole::Read) }
}

fn fork() -> ThreadInfo {
    let forked_from = Some(ForkOrigin { thread_id: id(1), message_id: id(2), title: "Tokens".into() });
    ThreadInfo { forked_from, ..ThreadInfo::new(id(12), "Tokens (fork)", "analyst", AT) }
}

fn user() -> http::User {
    http::User { id: id(4), name: "Ada".into(), email: "ada@example.org".into(), role: http::Role::Member }
}

fn thread_entries() -> Vec<ThreadEntry> {
    let author = Author { id: id(4), name: "Ada".into() };
    let message = UserMessage { id: id(2), ..UserMessage::new(author, "Where do my tokens go?", id(3), "analyst") };
    let answer = RunAnswer {
        id: id(10),
        run_id: id(3),
        resumed_by: id(11),
        agent: "analyst".into(),
        author: Author { id: id(4), name: "Ada".into() },
        answers: answers(),
    };
    let [started, ..] = &events()[..] else { unreachable!("there are example events") };
    vec![
        ThreadEntry::Thread { thread: thread() },
        ThreadEntry::Message { message },
        ThreadEntry::Agent { run_id: id(3), event: Box::new(started.clone()) },
        ThreadEntry::Answer { answer },
        ThreadEntry::TakenBack { message_id: id(9) },
        ThreadEntry::Edited {
            message_id: id(9),
            run_id: id(11),
            content: "And my time?".into(),
            attachments: Vec::new(),
        },
        ThreadEntry::Moved { message_id: id(9), before: Some(id(12)) },
        ThreadEntry::Read { message_id: id(12), run_id: id(3) },
        ThreadEntry::Feedback { run_id: id(3), feedback: feedback() },
        ThreadEntry::Members { members: members() },
    ]
}

fn user_entries() -> Vec<UserEntry> {
    vec![
        UserEntry::Thread { thread: thread() },
        UserEntry::Thread { thread: fork() },
        UserEntry::ThreadRemoved { thread_id: id(8) },
        UserEntry::Archived { thread: ThreadInfo { archived: true, ..thread() } },
        UserEntry::Shared { thread: ThreadInfo { shared: Some(shared()), ..thread() } },
        UserEntry::Run { thread_id: id(1), run_id: id(3), phase: RunPhase::Running },
        UserEntry::Read { thread_id: id(1) },
        UserEntry::Tag { tag: Tag { id: id(14), name: "Costs".into() } },
        UserEntry::Thread { thread: ThreadInfo { tags: vec![id(14)], ..thread() } },
        UserEntry::TagRemoved { tag_id: id(15) },
    ]
}

fn events() -> Vec<Event> {
    let (thread, run): (super::ThreadId, super::RunId) = (id(1), id(3));
    let finished = RunFinished {
        outcome: Some(RunOutcome::Success { pending_tool_call_ids: None }),
        ..RunFinished::new(thread, run)
    };
    vec![
        RunStarted::new(thread, run).into(),
        SubagentStarted::new("s1", "Data").into(),
        Event::from(StepStarted::new("profile")).with_subagent(Some("s1")),
        Event::from(ToolCallStart::new("c1", "profile_workload")).with_subagent(Some("s1")),
        ToolCallResult::new("m2", "c1", ToolContent::Text("{\"requests\":8819}".into())).into(),
        TextMessageStart::new("m1").into(),
        TextMessageContent::new("m1", "Your tokens go").into(),
        Custom::new("netra.chart", json!({"id": "tokens", "kind": "bar"})).into(),
        finished.into(),
    ]
}

fn config() -> http::Config {
    http::Config {
        version: env!("CARGO_PKG_VERSION").into(),
        socket: http::SocketConfig {
            url: "wss://netra.example.org/ws".into(),
            protocol: super::PROTOCOL.into(),
            heartbeat_ms: super::limits::HEARTBEAT_MS,
            max_frame_bytes: super::limits::MAX_FRAME_BYTES,
        },
        auth: http::AuthConfig { signed_in: false, methods: vec!["password".into()], needs_setup: false },
        members: true,
        images: true,
    }
}

fn problem() -> http::Problem {
    http::Problem {
        status: 401,
        title: "Unauthorized".into(),
        code: "wrong_credentials".into(),
        detail: "The address or the password is wrong.".into(),
        retry_after_ms: None,
    }
}
