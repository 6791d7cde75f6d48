//! A WebSocket server as axum's documentation shows it: one task per socket, which writes each frame as it comes.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
    serve::ListenerExt,
};
use netra_peers::{Connection, Hub};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type SharedHub = Arc<Hub<Utf8Bytes>>;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = netra_peers::listen()?.tap_io(|stream| {
        // Without it, frames only wait longer.
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new().route("/ws", any(upgrade)).with_state(SharedHub::default());
    axum::serve(listener, router).await
}

async fn upgrade(State(hub): State<SharedHub>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["netra.v1"]).on_upgrade(|socket| async {
        // The client has gone.
        let _ = serve(socket, hub).await;
    })
}

async fn serve(mut socket: WebSocket, hub: SharedHub) -> Result<(), axum::Error> {
    let (mut connection, mut entries) = Connection::new(hub);
    socket.send(Message::Text(connection.welcome())).await?;
    loop {
        tokio::select! {
            message = socket.recv() => match message.transpose()? {
                Some(Message::Text(command)) => socket.send(Message::Text(connection.execute(&command))).await?,
                Some(Message::Close(_)) | None => return Ok(()),
                Some(_) => {}
            },
            Some(entry) = entries.recv() => socket.send(Message::Text(entry)).await?,
        }
    }
}
