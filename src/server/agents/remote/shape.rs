//! Checks nested values of events (messages, their parts, tool calls, outcomes, usage) against AG-UI's published schemas.
//!
//! The types of events parse these leniently or not at all. As there, a field of another type is an error, `null` is not a value, and
//! additions of later versions are accepted: unknown fields, messages of unknown roles, parts of unknown types.
//!
//! These are constant tables and not JSON Schemas for [`json_schema`](crate::server::json_schema), because every event must be checked
//! completely: that module stops at a bound, and treats `null` as absent.

use serde_json::Value;

use crate::protocol::limits::MAX_SAFE_INTEGER;

/// The type of a value.
#[derive(Debug, Clone, Copy)]
enum Type {
    /// Text.
    Text,
    /// This text alone.
    Only(&'static str),
    /// An object with any fields.
    Object,
    /// Anything but `null`.
    Something,
    /// Anything, `null` included.
    Anything,
    /// A whole number from 0.
    Count,
    /// A list of values of this type.
    List(&'static Self),
    /// An object with these fields.
    Fields(&'static [Field]),
    /// An object whose fields depend on the value of this field; with an unknown value any fields are accepted.
    OneOf(&'static str, &'static [(&'static str, &'static [Field])]),
    /// Text, or a value of this type.
    Content(&'static Self),
}

/// A field: its name, whether it may be absent, and its type.
type Field = (&'static str, Need, Type);

/// Whether a field may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

use Need::{Optional, Required};
use Type::{Anything, Content, Count, Fields, List, Object, OneOf, Only, Something, Text};

const SOURCE: Type = OneOf(
    "type",
    &[
        ("data", &[("value", Required, Text), ("mimeType", Required, Text)]),
        ("url", &[("value", Required, Text), ("mimeType", Optional, Text)]),
        ("file", &[("value", Required, Text), ("provider", Optional, Text), ("mimeType", Optional, Text)]),
    ],
);

/// Parts; the argument is the type of the metadata of files.
macro_rules! parts {
    ($more:ident) => {
        List(&OneOf(
            "type",
            &[
                ("text", &[("id", Optional, Text), ("text", Required, Text), ("metadata", Optional, Something)]),
                ("image", parts!(file $more)),
                ("audio", parts!(file $more)),
                ("video", parts!(file $more)),
                ("document", parts!(file $more)),
            ],
        ))
    };
    (file $more:ident) => { &[("id", Optional, Text), ("source", Required, SOURCE), ("metadata", Optional, $more)] };
}

const PARTS: Type = parts!(Something);
/// Older frameworks send `null` there in messages.
const MESSAGE_PARTS: Type = parts!(Anything);
const CALL: Type = Fields(&[
    ("id", Required, Text),
    ("type", Required, Only("function")),
    ("function", Required, Fields(&[("name", Required, Text), ("arguments", Required, Text)])),
    ("encryptedValue", Optional, Text),
    ("metadata", Optional, Object),
]);

/// The fields of a message: those of all roles, those of most roles, and those of its own.
macro_rules! message {
    (named $($own:tt)*) => { message!(sealed ("name", Optional, Text), $($own)*) };
    (sealed $($own:tt)*) => { message!(any ("encryptedValue", Optional, Text), $($own)*) };
    (any $($own:tt)*) => {
        &[("id", Required, Text), ("subagentRunId", Optional, Text), ("metadata", Optional, Object), $($own)*]
    };
}

const MESSAGES: Type = List(&OneOf(
    "role",
    &[
        ("developer", message!(named("content", Required, Text))),
        ("system", message!(named("content", Required, Text))),
        ("assistant", message!(named("content", Optional, Text), ("toolCalls", Optional, List(&CALL)))),
        ("user", message!(named("content", Required, Content(&MESSAGE_PARTS)))),
        (
            "tool",
            message!(
                sealed("content", Required, Content(&MESSAGE_PARTS)),
                ("toolCallId", Required, Text),
                ("error", Optional, Text)
            ),
        ),
        ("activity", message!(any("activityType", Required, Text), ("content", Required, Object))),
        ("reasoning", message!(sealed("content", Required, Text))),
    ],
));
const USAGE: Type = List(&Fields(&[
    ("provider", Optional, Text),
    ("model", Optional, Text),
    ("inputTokens", Optional, Count),
    ("outputTokens", Optional, Count),
    ("totalTokens", Optional, Count),
    ("reasoningTokens", Optional, Count),
    ("cachedInputTokens", Optional, Count),
    ("cacheWriteInputTokens", Optional, Count),
]));
const INTERRUPT: Type = Fields(&[
    ("id", Required, Text),
    ("reason", Required, Text),
    ("message", Optional, Text),
    ("toolCallId", Optional, Text),
    ("responseSchema", Optional, Object),
    ("expiresAt", Optional, Text),
    ("subagentRunId", Optional, Text),
    ("metadata", Optional, Object),
]);
/// Outcomes of runs.
const RUN_OUTCOMES: &[(&str, &[Field])] = &[
    ("success", &[("pendingToolCallIds", Optional, List(&Text))]),
    ("interrupt", &[("interrupts", Required, List(&INTERRUPT))]),
    ("cancelled", &[]),
];
/// Outcomes of sub-agents.
const SUBAGENT_OUTCOMES: &[(&str, &[Field])] =
    &[("success", &[]), ("suspended", &[("interruptIds", Optional, List(&Text))])];

/// The events that contain such values.
const EVENTS: &[(&str, &[Field])] = &[
    ("MESSAGES_SNAPSHOT", &[("messages", Required, MESSAGES)]),
    ("TOOL_CALL_RESULT", &[("content", Required, Content(&PARTS))]),
    ("RUN_FINISHED", &[("usage", Optional, USAGE), ("outcome", Optional, OneOf("type", RUN_OUTCOMES))]),
    ("RUN_ERROR", &[("usage", Optional, USAGE)]),
    ("SUBAGENT_FINISHED", &[("outcome", Optional, OneOf("type", SUBAGENT_OUTCOMES))]),
];

/// Checks the nested values of an event of this type.
///
/// # Errors
/// Names the wrong place and what is expected there.
pub(super) fn check(kind: &str, event: &Value) -> Result<(), String> {
    let known = EVENTS.iter().find(|(known, _)| *known == kind).map(|(_, fields)| *fields);
    known
        .map_or(Ok(()), |fields| object(event, fields))
        .map_err(|Wrong { path, expected }| format!("`{path}` {expected}"))
}

/// Whether the protocol defines this type of outcome. A value that is not an object is reported by [`check`].
pub(super) fn is_known_outcome(kind: &str, outcome: &Value) -> bool {
    let known = if kind == "RUN_FINISHED" { RUN_OUTCOMES } else { SUBAGENT_OUTCOMES };
    !outcome.is_object() || known.iter().any(|(name, _)| outcome["type"] == *name)
}

/// A wrong value: its path, and what is wrong.
struct Wrong {
    path: String,
    expected: String,
}

impl Wrong {
    fn new(expected: &str) -> Self {
        Self { path: String::new(), expected: expected.to_owned() }
    }

    /// The same, with the place below `name`.
    fn within(self, name: impl std::fmt::Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{dot}{}", self.path), ..self }
    }
}

fn object(value: &Value, fields: &[Field]) -> Result<(), Wrong> {
    let Value::Object(object) = value else { return Err(Wrong::new("is not an object")) };
    fields.iter().try_for_each(|(name, need, expected)| match object.get(*name) {
        None if *need == Required => Err(Wrong::new("is missing").within(name)),
        None => Ok(()),
        Some(Value::Null) if !matches!(expected, Anything) => {
            Err(Wrong::new("is null; set it or leave it out").within(name))
        }
        Some(value) => check_type(value, expected).map_err(|wrong| wrong.within(name)),
    })
}

fn check_type(value: &Value, expected: &Type) -> Result<(), Wrong> {
    let require = |is_right: bool, expected: &str| if is_right { Ok(()) } else { Err(Wrong::new(expected)) };
    match expected {
        Text => require(value.is_string(), "is not a string"),
        Only(text) => require(value == text, &format!("is not `{text}`")),
        Object => require(value.is_object(), "is not an object"),
        Something => require(!value.is_null(), "is null"),
        Anything => Ok(()),
        Count => require(
            value.as_u64().is_some_and(|count| count <= MAX_SAFE_INTEGER.unsigned_abs()),
            "is not a non-negative integer that JSON represents exactly",
        ),
        Fields(fields) => object(value, fields),
        List(each) => {
            let Value::Array(items) = value else { return Err(Wrong::new("is not an array")) };
            items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| check_type(item, each).map_err(|wrong| wrong.within(format_args!("[{at}]"))))
        }
        OneOf(field, known) => {
            let known = known.iter().find(|(name, _)| value[*field] == *name);
            object(value, known.map_or(&[], |(_, fields)| fields))
        }
        Content(_) if value.is_string() => Ok(()),
        Content(parts) => check_type(value, parts),
    }
}
