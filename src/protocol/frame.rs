//! Encodes and decodes the socket's text frames, one JSON object each, for both sides; `compact` has the arrays of `netra.v1.compact`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Command, ErrorBody, ErrorCode, Push, compact::CompactEntry, ids::excerpt, limits::MAX_SAFE_INTEGER, untrusted,
};

/// A command on the wire: `{"type", "id", "payload"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientFrame {
    /// Unique on this connection; the reply has the same id.
    pub id: i64,
    /// The command.
    #[serde(flatten)]
    pub command: Command,
}

/// A command's result: the payload of its `ok` or `error` reply.
pub type Outcome = Result<Value, ErrorBody>;

/// A frame from the server, as a client decodes it.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame {
    /// The reply to a command.
    Reply {
        /// The command's id.
        id: i64,
        /// The `ok` payload, or the error.
        outcome: Outcome,
    },
    /// A push.
    Push(Push),
    /// An entry, on `netra.v1.compact`.
    Entry(CompactEntry),
}

/// Why a client's frame is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum DecodeError {
    /// The frame has no valid id, so it gets no reply. The server sends an `error` push; the third within a minute closes the socket
    /// with 4400.
    Frame(ErrorBody),
    /// The frame has an id and gets an `error` reply.
    Command {
        /// The command's id.
        id: i64,
        /// The error.
        error: ErrorBody,
    },
}

/// Decodes a client's text frame, strictly.
///
/// # Errors
/// [`DecodeError::Frame`] if the text is not a JSON object, has a duplicate key, or its `id` is not an integer within ±2⁵³;
/// [`DecodeError::Command`] if the type or a field is unknown, or the payload does not match its type.
pub fn decode_client(text: &str) -> Result<ClientFrame, DecodeError> {
    let bad = |message: &str| DecodeError::Frame(ErrorBody::new(ErrorCode::BadFrame, message));
    let frame = untrusted::from_slice(text.as_bytes())
        .map_err(|e| bad(&format!("invalid JSON: {e}; send one JSON object per frame")))?;
    let Value::Object(mut frame) = frame else {
        return Err(bad("not a JSON object; send {\"type\", \"id\", \"payload\"}"));
    };
    let id = frame.remove("id").and_then(|id| id.as_i64()).filter(|id| id.abs() <= MAX_SAFE_INTEGER);
    let Some(id) = id else { return Err(bad("no valid `id`; send an integer that is unique on this connection")) };
    decode_command(frame).map(|command| ClientFrame { id, command }).map_err(|error| DecodeError::Command { id, error })
}

fn decode_command(mut frame: Map<String, Value>) -> Result<Command, ErrorBody> {
    let Some(Value::String(kind)) = frame.remove("type") else {
        return Err(ErrorBody::new(ErrorCode::BadFrame, "no `type`; send the command's name as a string"));
    };
    if !Command::TYPES.contains(&kind.as_str()) {
        let known = Command::TYPES.join(", ");
        let kind = excerpt(&kind);
        return Err(ErrorBody::new(
            ErrorCode::UnknownType,
            format!("`{kind}` is not a command; the commands are {known}"),
        ));
    }
    let payload = frame.remove("payload").unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(extra) = frame.keys().next() {
        let extra = excerpt(extra);
        return Err(ErrorBody::new(
            ErrorCode::BadFrame,
            format!("unknown field `{extra}` beside type, id and payload"),
        ));
    }
    let tagged = Map::from_iter([("type".to_owned(), kind.into()), ("payload".to_owned(), payload)]);
    Command::deserialize(Value::Object(tagged))
        .map_err(|e| ErrorBody::new(ErrorCode::InvalidPayload, format!("invalid payload: {e}")))
}

/// Encodes a command as a frame.
#[must_use]
pub fn encode_command(id: i64, command: &Command) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        id: i64,
        #[serde(flatten)]
        command: &'a Command,
    }
    to_text(&Frame { id, command })
}

/// Encodes a reply as a frame.
#[must_use]
pub fn encode_reply(id: i64, outcome: &Outcome) -> String {
    match outcome {
        Ok(payload) => encode_ok(id, payload),
        Err(payload) => to_text(&ReplyFrame { r#type: "error", id, payload }),
    }
}

/// Encodes the reply to a command that succeeded.
#[must_use]
pub fn encode_ok(id: i64, payload: &impl Serialize) -> String {
    to_text(&ReplyFrame { r#type: "ok", id, payload })
}

#[derive(Serialize)]
struct ReplyFrame<'a, P> {
    r#type: &'static str,
    id: i64,
    payload: &'a P,
}

/// Encodes a push as a frame.
#[must_use]
pub fn encode_push(push: &Push) -> String {
    to_text(push)
}

fn to_text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("the wire's types have string keys and no failing serializers")
}

impl ServerFrame {
    /// Decodes a server's frame, leniently: unknown fields are ignored, and an unknown push becomes [`Push::Unknown`].
    ///
    /// # Errors
    /// If the text is not a valid frame; the message says why.
    pub fn decode(text: &str) -> Result<Self, String> {
        if text.starts_with('[') {
            return CompactEntry::decode(text).map(Self::Entry);
        }
        let frame: Value = serde_json::from_str(text).map_err(|e| format!("the server's frame is not JSON: {e}"))?;
        let kind = frame.get("type").and_then(Value::as_str).ok_or("the server's frame has no type")?.to_owned();
        let Some(id) = frame.get("id").and_then(Value::as_i64) else {
            let known = ["welcome", "event", "error", "draining", "notice"].contains(&kind.as_str());
            return match Push::deserialize(frame) {
                Ok(push) => Ok(Self::Push(push)),
                Err(e) if known => Err(format!("the server's `{kind}` push is invalid: {e}")),
                Err(_) => Ok(Self::Push(Push::Unknown(kind))),
            };
        };
        let payload = frame.get("payload").cloned().unwrap_or(Value::Null);
        let outcome =
            match kind.as_str() {
                "ok" => Ok(payload),
                "error" => Err(ErrorBody::deserialize(payload)
                    .map_err(|e| format!("the server's `error` reply is invalid: {e}"))?),
                other => return Err(format!("`{other}` is not a reply")),
            };
        Ok(Self::Reply { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ChannelName, Ping, Subscribe};

    fn code(text: &str) -> (Option<i64>, ErrorCode) {
        match decode_client(text).expect_err("a refusal") {
            DecodeError::Frame(error) => (None, error.code),
            DecodeError::Command { id, error } => (Some(id), error.code),
        }
    }

    #[test]
    fn a_command_decodes_as_it_was_encoded() {
        let command = Command::from(Subscribe { channel: ChannelName::User, after: None, newest: None });
        let text = encode_command(7, &command);
        assert_eq!(text, r#"{"id":7,"type":"subscribe","payload":{"channel":"user"}}"#);
        assert_eq!(decode_client(&text), Ok(ClientFrame { id: 7, command }));
        let ping = ClientFrame { id: 1, command: Ping {}.into() };
        assert_eq!(decode_client(r#"{"type":"ping","id":1}"#), Ok(ping), "an empty payload may be left out");
    }

    #[test]
    fn a_frame_without_a_valid_id_is_a_bad_frame() {
        for text in [
            "",
            "nope",
            "[1]",
            "{}",
            r#"{"type":"ping"}"#,
            r#"{"type":"ping","id":"1"}"#,
            r#"{"type":"ping","id":1.5}"#,
            r#"{"type":"ping","id":1,"id":2}"#,
            r#"{"type":"ping","id":1,"payload":{"x":[{"y":1,"y":2}]}}"#,
        ] {
            assert_eq!(code(text), (None, ErrorCode::BadFrame), "{text}");
        }
        assert_eq!(code(r#"{"type":"ping","id":9007199254740992}"#), (None, ErrorCode::BadFrame));
    }

    #[test]
    fn an_invalid_frame_with_an_id_is_refused_by_reply() {
        assert_eq!(code(r#"{"type":"no","id":1,"payload":{}}"#), (Some(1), ErrorCode::UnknownType));
        assert_eq!(code(r#"{"id":1,"payload":{}}"#), (Some(1), ErrorCode::BadFrame));
        assert_eq!(code(r#"{"type":"ping","id":1,"payload":{"x":1}}"#), (Some(1), ErrorCode::InvalidPayload));
        assert_eq!(code(r#"{"type":"ping","id":1,"payload":{},"x":1}"#), (Some(1), ErrorCode::BadFrame));
        assert_eq!(code(r#"{"type":"ping","id":1,"payload":null}"#), (Some(1), ErrorCode::InvalidPayload));
        let v4 = r#"{"type":"stop_run","id":1,"payload":{"run_id":"7f3d9a52-0c1e-4f4b-9a53-6d2f1c0b8e11"}}"#;
        assert_eq!(code(v4), (Some(1), ErrorCode::InvalidPayload));
    }

    #[test]
    fn a_client_accepts_unknown_fields_and_pushes() {
        let newer = r#"{"type":"draining","payload":{"reconnect_in_ms":5,"why":"deploy"}}"#;
        assert!(matches!(ServerFrame::decode(newer), Ok(ServerFrame::Push(Push::Draining(_)))));
        let unknown = ServerFrame::decode(r#"{"type":"weather","payload":{}}"#);
        assert_eq!(unknown, Ok(ServerFrame::Push(Push::Unknown("weather".into()))));
        let reply = ServerFrame::decode(r#"{"type":"ok","id":3,"payload":{}}"#);
        assert_eq!(reply, Ok(ServerFrame::Reply { id: 3, outcome: Ok(serde_json::json!({})) }));
    }
}
