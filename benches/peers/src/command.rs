//! The commands of `netra.v1` that `netra bench` sends, and their replies.

use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{Connection, now_ms};

/// The epoch of all channels: they last as long as the process.
const EPOCH: &str = "1";

#[derive(Deserialize)]
struct ClientFrame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: i64,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Subscribe {
    channel: String,
    after: Option<Cursor>,
}

#[derive(Deserialize)]
struct Cursor {
    epoch: String,
    seq: u64,
}

#[derive(Deserialize)]
struct Unsubscribe {
    channel: String,
}

/// `create_thread` and `rename_thread`.
#[derive(Deserialize)]
struct NameThread {
    thread_id: String,
    title: Option<String>,
}

/// The first push of a connection.
pub(crate) fn welcome(connection_id: u64) -> String {
    format!(r#"{{"type":"welcome","payload":{{"connection_id":{connection_id},"server_time":{}}}}}"#, now_ms())
}

/// Executes a command; returns its reply, encoded.
pub(crate) fn execute<F: Clone + From<String>>(connection: &mut Connection<F>, frame: &str) -> String {
    let Ok(ClientFrame { kind, id, payload }) = serde_json::from_str(frame) else {
        return r#"{"type":"error","payload":{"code":"bad_frame","message":"not a command"}}"#.to_owned();
    };
    match reply(connection, kind, payload.get()) {
        Ok(reply) => format!(r#"{{"type":"ok","id":{id},"payload":{reply}}}"#),
        Err(error) => {
            let payload = json!({"code": "invalid_payload", "message": error.to_string()});
            format!(r#"{{"type":"error","id":{id},"payload":{payload}}}"#)
        }
    }
}

/// The payload of the reply.
fn reply<F: Clone + From<String>>(
    connection: &mut Connection<F>,
    kind: &str,
    payload: &str,
) -> Result<String, serde_json::Error> {
    Ok(match kind {
        "ping" => format!(r#"{{"server_time":{}}}"#, now_ms()),
        "subscribe" => {
            let Subscribe { channel, after } = serde_json::from_str(payload)?;
            let seq = connection.follow(&channel);
            let is_at_end = after.is_some_and(|after| after.epoch == EPOCH && after.seq == seq);
            // There is no state, so a snapshot has none.
            let mode = if is_at_end { "live" } else { "snapshot" };
            json!({"channel": channel, "epoch": EPOCH, "seq": seq, "mode": mode}).to_string()
        }
        "unsubscribe" => {
            let Unsubscribe { channel } = serde_json::from_str(payload)?;
            connection.unfollow(&channel);
            "{}".to_owned()
        }
        "create_thread" | "rename_thread" => {
            let NameThread { thread_id, title } = serde_json::from_str(payload)?;
            let at = now_ms() as u64;
            let thread =
                json!({"id": thread_id, "title": title.unwrap_or_default(), "agent": "none", "created_at": at});
            let channel = format!("thread/{thread_id}");
            connection.append(&channel, |seq| {
                let entry = json!({"kind": "thread", "thread": thread});
                format!(
                    r#"{{"type":"event","payload":{{"channel":"{channel}","epoch":"{EPOCH}","seq":{seq},"at":{at},"entry":{entry}}}}}"#
                )
            });
            format!(r#"{{"thread":{thread}}}"#)
        }
        kind => return Err(serde::de::Error::custom(format!("unknown command `{kind}`"))),
    })
}
