//! What stands inside events (messages, their parts, calls, outcomes, usage), held to AG-UI's published schemas.
//!
//! The events' own types read these leniently or not at all. Here as there, a field of another type is wrong, `null` is no
//! value, and what a later version may add is none of our business: an unknown field, a message of an unknown role, a part of
//! an unknown type.

use serde_json::Value;

use crate::protocol::limits::MAX_SAFE_INTEGER;

/// What a place may hold.
#[derive(Debug, Clone, Copy)]
enum Is {
    /// Text.
    Text,
    /// This text.
    Only(&'static str),
    /// An object of any content.
    Object,
    /// Anything but `null`.
    Something,
    /// Anything.
    Anything,
    /// A whole number, not less than none.
    Count,
    /// A list of such.
    List(&'static Self),
    /// An object with these fields.
    Fields(&'static [Field]),
    /// An object that is one of several, and which says a field of it; of another it may be anything.
    OneOf(&'static str, &'static [(&'static str, &'static [Field])]),
    /// Text, or such a list of parts.
    Content(&'static Self),
}

/// A field: its name, whether it may be absent, and what it holds.
type Field = (&'static str, Need, Is);

/// Whether a field may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

use Is::{Anything, Content, Count, Fields, List, Object, OneOf, Only, Something, Text};
use Need::{Optional, Required};

const SOURCE: Is = OneOf(
    "type",
    &[
        ("data", &[("value", Required, Text), ("mimeType", Required, Text)]),
        ("url", &[("value", Required, Text), ("mimeType", Optional, Text)]),
        ("file", &[("value", Required, Text), ("provider", Optional, Text), ("mimeType", Optional, Text)]),
    ],
);

/// Parts, the metadata of whose files may be so.
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

const PARTS: Is = parts!(Something);
/// In messages older frameworks say `null` there.
const MESSAGE_PARTS: Is = parts!(Anything);
const CALL: Is = Fields(&[
    ("id", Required, Text),
    ("type", Required, Only("function")),
    ("function", Required, Fields(&[("name", Required, Text), ("arguments", Required, Text)])),
    ("encryptedValue", Optional, Text),
    ("metadata", Optional, Object),
]);

/// The fields of a message: those of all, those of all but a few, and its own.
macro_rules! message {
    (named $($own:tt)*) => { message!(sealed ("name", Optional, Text), $($own)*) };
    (sealed $($own:tt)*) => { message!(any ("encryptedValue", Optional, Text), $($own)*) };
    (any $($own:tt)*) => {
        &[("id", Required, Text), ("subagentRunId", Optional, Text), ("metadata", Optional, Object), $($own)*]
    };
}

const MESSAGES: Is = List(&OneOf(
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
const USAGE: Is = List(&Fields(&[
    ("provider", Optional, Text),
    ("model", Optional, Text),
    ("inputTokens", Optional, Count),
    ("outputTokens", Optional, Count),
    ("totalTokens", Optional, Count),
    ("reasoningTokens", Optional, Count),
    ("cachedInputTokens", Optional, Count),
    ("cacheWriteInputTokens", Optional, Count),
]));
const INTERRUPT: Is = Fields(&[
    ("id", Required, Text),
    ("reason", Required, Text),
    ("message", Optional, Text),
    ("toolCallId", Optional, Text),
    ("responseSchema", Optional, Object),
    ("expiresAt", Optional, Text),
    ("subagentRunId", Optional, Text),
    ("metadata", Optional, Object),
]);
/// How runs end, and sub-agents.
const RUN_OUTCOMES: &[(&str, &[Field])] = &[
    ("success", &[("pendingToolCallIds", Optional, List(&Text))]),
    ("interrupt", &[("interrupts", Required, List(&INTERRUPT))]),
    ("cancelled", &[]),
];
const SUBAGENT_OUTCOMES: &[(&str, &[Field])] =
    &[("success", &[]), ("suspended", &[("interruptIds", Optional, List(&Text))])];

/// What the events hold that hold anything of this.
const EVENTS: &[(&str, &[Field])] = &[
    ("MESSAGES_SNAPSHOT", &[("messages", Required, MESSAGES)]),
    ("TOOL_CALL_RESULT", &[("content", Required, Content(&PARTS))]),
    ("RUN_FINISHED", &[("usage", Optional, USAGE), ("outcome", Optional, OneOf("type", RUN_OUTCOMES))]),
    ("RUN_ERROR", &[("usage", Optional, USAGE)]),
    ("SUBAGENT_FINISHED", &[("outcome", Optional, OneOf("type", SUBAGENT_OUTCOMES))]),
];

/// Holds an event of this type to what stands inside it.
///
/// # Errors
/// Which place is wrong and what belongs there.
pub(super) fn check(kind: &str, event: &Value) -> Result<(), String> {
    let known = EVENTS.iter().find(|(known, _)| *known == kind).map(|(_, fields)| *fields);
    known
        .map_or(Ok(()), |fields| object(event, fields))
        .map_err(|Wrong { path, expected }| format!("`{path}` {expected}"))
}

/// Whether an outcome is of a kind that the protocol knows; what is no object is wrong in another way.
pub(super) fn is_known_outcome(kind: &str, outcome: &Value) -> bool {
    let known = if kind == "RUN_FINISHED" { RUN_OUTCOMES } else { SUBAGENT_OUTCOMES };
    !outcome.is_object() || known.iter().any(|(name, _)| outcome["type"] == *name)
}

/// A place that is wrong, and what belongs there.
struct Wrong {
    path: String,
    expected: String,
}

impl Wrong {
    fn new(expected: &str) -> Self {
        Self { path: String::new(), expected: expected.to_owned() }
    }

    /// The same, seen from outside.
    fn within(self, name: impl std::fmt::Display) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{dot}{}", self.path), ..self }
    }
}

fn object(value: &Value, fields: &[Field]) -> Result<(), Wrong> {
    let Value::Object(object) = value else { return Err(Wrong::new("is no object")) };
    fields.iter().try_for_each(|(name, need, is)| match object.get(*name) {
        None if *need == Required => Err(Wrong::new("is missing").within(name)),
        None => Ok(()),
        Some(Value::Null) if !matches!(is, Anything) => Err(Wrong::new("is null; say it or leave it out").within(name)),
        Some(value) => fits(value, is).map_err(|wrong| wrong.within(name)),
    })
}

fn fits(value: &Value, is: &Is) -> Result<(), Wrong> {
    let right = |right: bool, expected: &str| if right { Ok(()) } else { Err(Wrong::new(expected)) };
    match is {
        Text => right(value.is_string(), "is no text"),
        Only(text) => right(value == text, &format!("is not `{text}`")),
        Object => right(value.is_object(), "is no object"),
        Something => right(!value.is_null(), "is null"),
        Anything => Ok(()),
        Count => right(
            value.as_u64().is_some_and(|count| count <= MAX_SAFE_INTEGER.unsigned_abs()),
            "is no whole number that JSON carries exactly",
        ),
        Fields(fields) => object(value, fields),
        List(each) => {
            let Value::Array(items) = value else { return Err(Wrong::new("is no list")) };
            items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| fits(item, each).map_err(|wrong| wrong.within(format_args!("[{at}]"))))
        }
        OneOf(field, known) => {
            let known = known.iter().find(|(name, _)| value[*field] == *name);
            object(value, known.map_or(&[], |(_, fields)| fields))
        }
        Content(_) if value.is_string() => Ok(()),
        Content(parts) => fits(value, parts),
    }
}
