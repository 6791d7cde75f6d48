//! File modes: only the server's user can open what it stores.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
};

use netra::protocol::{CreateThread, ThreadId};

use crate::support::{ADMIN, TestServer};

/// A folder and everything in it.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => found.push(path),
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file exists").permissions().mode() & 0o777
}

/// Asserts that no other user of this machine can open anything there.
fn assert_private(folder: &Path) {
    let open: Vec<PathBuf> = all(folder).into_iter().filter(|path| mode(path) & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

async fn upload(server: &TestServer) {
    let socket = server.socket(ADMIN).await;
    let thread_id = ThreadId::new();
    socket.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let browser = server.signed_in(ADMIN).await;
    assert_eq!(browser.upload(&thread_id.to_string(), "a.csv", "a,b").await.status(), 201);
}

#[tokio::test]
async fn all_files_in_a_servers_folders_are_private_to_its_user() {
    let server = TestServer::start().await;
    upload(&server).await;
    let data = server.data();
    assert_private(&data);
    let names: Vec<String> =
        all(&data).iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into())).collect();
    for name in ["netra.db", "netra.db-wal", "netra.db-shm", "netra.lock", "files"] {
        assert!(names.iter().any(|known| known == name), "{name} is among {names:?}");
    }
    assert_eq!((mode(&data), mode(&data.join("netra.db"))), (0o700, 0o600));

    // Files as older versions left them, and a copy beside them.
    let (_, stopped) = server.stop().await;
    fs::copy(data.join("netra.db"), data.join("netra.db.backup")).expect("the file is copied");
    for path in all(&data) {
        let wide = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(wide)).expect("the permissions are set");
    }
    let server = stopped.restart().await;
    upload(&server).await;
    assert_private(&data);
}

#[test]
fn a_command_creates_files_that_only_its_user_can_open() {
    let place = tempfile::tempdir().expect("a folder");
    let data = place.path().join("new/data");
    let mut command = super::netra();
    command.args(["user", "list", "--data"]).arg(&data).current_dir(place.path());
    // With a umask under which every user may read and write new files.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    let done = shell.current_dir(place.path()).process_group(0).output().expect("the program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_private(&data);
}
