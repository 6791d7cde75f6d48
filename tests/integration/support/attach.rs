//! Stores files of threads as an upload does.

use std::path::Path;

use netra::{
    protocol::{FileId, ThreadId},
    server::channel::Channels,
};

/// The header of a PNG image, which is enough to be recognised as one.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR";

/// Stores a file of a thread. `folder`: the folder of all threads' files.
pub(crate) async fn attach(channels: &Channels, folder: &Path, thread: ThreadId, name: &str, bytes: &[u8]) -> FileId {
    let (id, folder) = (FileId::new(), folder.join(thread.to_string()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(id.to_string()), bytes).expect("the file is written");
    let mut tx = channels.begin().await.expect("the transaction begins");
    sqlx::query("INSERT INTO files (id, thread_id, name, bytes, created_at) VALUES ($1, $2, $3, $4, 0)")
        .bind(id.to_string())
        .bind(thread.to_string())
        .bind(name)
        .bind(i64::try_from(bytes.len()).expect("the number fits"))
        .execute(tx.sql())
        .await
        .expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    id
}

/// The contents of the user messages in a request.
pub(crate) fn user_contents(request: &serde_json::Value) -> Vec<serde_json::Value> {
    let messages = request["messages"].as_array().expect("messages").iter();
    messages.filter(|message| message["role"] == "user").map(|message| message["content"].clone()).collect()
}
