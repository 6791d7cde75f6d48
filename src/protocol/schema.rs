//! Generates `shared/schema.json`: the JSON Schema (2020-12) of every type that crosses the wire, with examples.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Accepted, ClientFrame, Command, ErrorBody, MessageAccepted, Pong, Push, Request, Subscribed, ThreadEntry,
    ThreadReply, ThreadSignal, UserEntry, agui, examples, http,
};

/// The schema that `netra schema` prints. The same in every build.
#[must_use]
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let commands = commands(&mut generator);
    register(&mut generator);
    let mut definitions = generator.take_definitions(true);
    for (name, examples) in examples::all() {
        if let Some(Value::Object(definition)) = definitions.get_mut(name) {
            definition.insert("examples".to_owned(), Value::Array(examples));
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "netra.v1 and netra.v1.compact",
        "description": "The messages of Netra's socket and HTTP API. A text frame is a ClientFrame (client to server), or a Reply or Push (server to client); on netra.v1.compact, entries of logs are CompactEntry in place of the push `event`.",
        "oneOf": [{"$ref": "#/$defs/ClientFrame"}, {"$ref": "#/$defs/Reply"}, {"$ref": "#/$defs/Push"}, {"$ref": "#/$defs/CompactEntry"}],
        "x-commands": commands,
        "$defs": definitions,
    })
}

/// The schemas of each command's payload and `ok` payload.
fn commands(generator: &mut SchemaGenerator) -> Value {
    fn one<R: Request + schemars::JsonSchema>(out: &mut Map<String, Value>, generator: &mut SchemaGenerator)
    where
        R::Ok: schemars::JsonSchema,
    {
        let (payload, ok) = (generator.subschema_for::<R>(), generator.subschema_for::<R::Ok>());
        out.insert(R::TYPE.to_owned(), json!({"payload": payload, "ok": ok}));
    }
    let mut out = Map::new();
    one::<super::Subscribe>(&mut out, generator);
    one::<super::Unsubscribe>(&mut out, generator);
    one::<super::CreateThread>(&mut out, generator);
    one::<super::CreateTemporaryThread>(&mut out, generator);
    one::<super::KeepThread>(&mut out, generator);
    one::<super::ForkThread>(&mut out, generator);
    one::<super::RenameThread>(&mut out, generator);
    one::<super::PinThread>(&mut out, generator);
    one::<super::ArchiveThread>(&mut out, generator);
    one::<super::SetAgent>(&mut out, generator);
    one::<super::DeleteThread>(&mut out, generator);
    one::<super::SendMessage>(&mut out, generator);
    one::<super::TakeBack>(&mut out, generator);
    one::<super::EditQueued>(&mut out, generator);
    one::<super::MoveQueued>(&mut out, generator);
    one::<super::Answer>(&mut out, generator);
    one::<super::StopRun>(&mut out, generator);
    one::<super::MarkRead>(&mut out, generator);
    one::<super::EditAnswer>(&mut out, generator);
    one::<super::GiveFeedback>(&mut out, generator);
    one::<super::ShareThread>(&mut out, generator);
    one::<super::WithdrawLink>(&mut out, generator);
    one::<super::AddMember>(&mut out, generator);
    one::<super::SetMemberRole>(&mut out, generator);
    one::<super::RemoveMember>(&mut out, generator);
    one::<super::LeaveThread>(&mut out, generator);
    one::<super::TagThreads>(&mut out, generator);
    one::<super::RenameTag>(&mut out, generator);
    one::<super::DeleteTag>(&mut out, generator);
    one::<super::SavePrompt>(&mut out, generator);
    one::<super::DeletePrompt>(&mut out, generator);
    one::<super::Ping>(&mut out, generator);
    debug_assert_eq!(out.len(), Command::TYPES.len(), "every command has a schema");
    Value::Object(out)
}

/// A reply. Exists for the schema only: in code, a reply's payload is decoded by the type of its command.
#[derive(schemars::JsonSchema)]
#[schemars(tag = "type", rename_all = "snake_case")]
#[expect(dead_code, reason = "only describes the wire; `encode_reply` writes the frames")]
enum Reply {
    /// The command succeeded.
    Ok {
        /// The command's id.
        id: i64,
        /// The command's `ok` payload; see `x-commands`.
        payload: OkPayload,
    },
    /// The command was refused.
    Error {
        /// The command's id.
        id: i64,
        /// The error.
        payload: ErrorBody,
    },
}

/// The `ok` payload of any command.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only describes the wire")]
enum OkPayload {
    Subscribed(Subscribed),
    ThreadReply(ThreadReply),
    MessageAccepted(MessageAccepted),
    Pong(Pong),
    Accepted(Accepted),
}

/// An entry of a log on `netra.v1.compact`.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only describes the wire; `protocol::compact` reads and writes the frames")]
enum CompactEntry {
    /// An entry that equals the one in a slot except for the event's `delta`, and follows the channel's last one: the channel's number, the slot, the milliseconds since the last entry, the delta.
    Delta(u32, #[schemars(range(max = 3))] u32, i64, String),
    /// A whole entry that the client puts into a slot: the channel's number, `seq`, the time in milliseconds since 1970, the entry, the slot.
    IntoSlot(u32, u64, i64, ThreadEntry, #[schemars(range(max = 3))] u32),
    /// A whole entry: the channel's number, `seq`, the time in milliseconds since 1970, the entry.
    Whole(u32, u64, i64, AnyEntry),
}

/// An entry of either kind of channel.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only describes the wire")]
enum AnyEntry {
    Thread(ThreadEntry),
    User(UserEntry),
}

/// Adds the definitions of all types to the generator.
fn register(generator: &mut SchemaGenerator) {
    macro_rules! all {
        ($($kind:ty),* $(,)?) => {{ $(let _ = generator.subschema_for::<$kind>();)* }};
    }
    all!(ClientFrame, Reply, Push, CompactEntry, Command, ThreadEntry, ThreadSignal, UserEntry, agui::Event);
    all!(agui::Message, agui::RunAgentInput);
    all!(
        http::Config,
        http::Setup,
        http::SignIn,
        http::ChangePassword,
        http::SignedIn,
        http::AccessToken,
        http::Ticket,
        http::Uploaded
    );
    all!(super::ShareLinks);
    all!(super::ThreadMembers);
    all!(super::People);
    all!(super::TagList, super::PromptList, super::Prompt, http::ImportReport);
    all!(
        http::AgentInfo,
        http::ThreadPage,
        http::SearchPage,
        http::InboxPage,
        http::RawEvents,
        http::RunEntries,
        http::AdminAgents,
        http::CheckAgent,
        http::AgentCheck,
        http::AdminTools,
        http::UsageReport,
        http::OwnUsage,
        http::Problem
    );
}
