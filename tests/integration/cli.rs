//! The command line: exit codes, and errors that say what to do.

use std::{
    fs::Permissions,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Output, Stdio},
};

use netra::server::store::Store;

use crate::support::{ADMIN, Account, Client, SETUP_TOKEN, Setup, TestServer, blocking, cookie, netra};

async fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = netra();
    command.current_dir(folder).args(arguments).envs(variables.iter().copied());
    blocking(move || command.output()).await.expect("the program runs")
}

/// Asserts that it exits with 2 and one line of error that has all these parts.
fn assert_refused(output: &Output, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let message: Vec<&str> = stderr.lines().filter(|line| line.starts_with("netra: ")).collect();
    assert_eq!((output.status.code(), message.len()), (Some(2), 1), "{stderr}");
    for part in parts {
        assert!(message[0].contains(part), "`{part}` is missing: {stderr}");
    }
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_two_and_names_file_key_and_what_is_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    std::fs::write(folder.path().join("Leptos.toml"), "[socket]\ncoalesce_ms = 900\n").expect("the file is written");
    assert_refused(&run(folder.path(), &serve, &[]).await, &["Leptos.toml", "socket.coalesce_ms", "0 to 500"]);
    std::fs::write(folder.path().join("Leptos.toml"), "[analyst]\nprices = \"none.json\"\n")
        .expect("the file is written");
    assert_refused(&run(folder.path(), &serve, &[]).await, &["Leptos.toml", "analyst.prices", "none.json"]);
    std::fs::write(folder.path().join("Leptos.toml"), "[socket\n").expect("the file is written");
    assert_refused(&run(folder.path(), &serve, &[]).await, &["Leptos.toml", "line 1"]);
    std::fs::remove_file(folder.path().join("Leptos.toml")).expect("it is removed");
    let variable = [("NETRA_SOCKET__HEARTBEAT_MS", "soon")];
    assert_refused(&run(folder.path(), &serve, &variable).await, &["NETRA_SOCKET__HEARTBEAT_MS", "100 to 300000"]);
    let file = ["serve", "--config", "none.toml"];
    assert_refused(&run(folder.path(), &file, &[]).await, &["none.toml", "--config"]);
    let url = [("NETRA_STORE__URL", "mysql://localhost/netra")];
    assert_refused(&run(folder.path(), &serve, &url).await, &["NETRA_STORE__URL", "sqlite:"]);
    let bus = [("NETRA_BUS__URL", "nats://127.0.0.1:4222")];
    assert_refused(&run(folder.path(), &serve, &bus).await, &["bus.url", "store.url = \"postgres://"]);
    assert!(!folder.path().join("data").exists(), "a server that does not start creates nothing");
}

#[tokio::test]
async fn wrong_arguments_end_with_two() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["serve", "--listen", "here"][..], &["serve", "--port", "1"], &["dance"], &["user", "add"]] {
        assert_eq!(run(folder.path(), arguments, &[]).await.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    assert_refused(&run(folder.path(), &["serve", "--listen", &address], &[]).await, &[&address, "--listen"]);
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_to_ends_with_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |data: &str| ["serve", "--listen", "127.0.0.1:0", "--data", data].map(ToOwned::to_owned);
    std::fs::write(folder.path().join("file"), "").expect("the file is written");
    let output = run(folder.path(), &serve("file").each_ref().map(String::as_str), &[]).await;
    assert_refused(&output, &["data folder file", "--data"]);

    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).expect("the folder is created");
    std::fs::set_permissions(&closed, Permissions::from_mode(0o500)).expect("the permissions are set");
    if std::fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("not tested: this user may write to folders that are closed to it");
        return;
    }
    let output = run(folder.path(), &serve("closed").each_ref().map(String::as_str), &[]).await;
    assert_refused(&output, &["data folder closed", "--data"]);
}

#[tokio::test]
async fn two_servers_do_not_share_a_data_folder() {
    let server = Setup::default().start_without_accounts().await;
    let data = server.data();
    let output =
        run(server.folder(), &["serve", "--listen", "127.0.0.1:0", "--data", &data.to_string_lossy()], &[]).await;
    assert_refused(&output, &["data folder", "another netra"]);
}

#[tokio::test]
async fn accounts_are_made_and_listed_beside_a_running_server() {
    let server = TestServer::start().await;
    let ada = Account { email: "ada@example.com", name: "Ada", password: "correct horse" };
    server.add_member(ada).await;
    assert_eq!(Client::new(&server).sign_in(ada).await.status(), 200);
    let data = server.data();
    let list = run(server.folder(), &["user", "list", "--data", &data.to_string_lossy()], &[]).await;
    let lines: Vec<String> = String::from_utf8_lossy(&list.stdout).lines().map(ToOwned::to_owned).collect();
    assert!(lines[0].ends_with(&format!("\tadmin\t{}\t{}", ADMIN.email, ADMIN.name)), "{lines:?}");
    assert!(lines[1].ends_with("\tmember\tada@example.com\tAda"), "{lines:?}");
    assert_eq!(lines.len(), 2);

    let mut again = netra();
    again.args(["user", "add", "--email", "ADA@example.com", "--name", "Ada", "--password-stdin", "--data"]);
    again.arg(&data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = again.spawn().expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("standard input"), b"correct horse\n")
        .expect("the process reads its input");
    let output = blocking(move || child.wait_with_output()).await.expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has an account already"));

    let browser = server.signed_in(ada).await;
    for (new, code) in [("password123\n", 1), ("another horse\n", 0)] {
        let mut change = netra();
        change.args(["user", "password", "--email", "Ada@example.com", "--password-stdin", "--data"]);
        change.arg(&data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = change.spawn().expect("the program starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("standard input"), new.as_bytes())
            .expect("the process reads its input");
        let output = blocking(move || child.wait_with_output()).await.expect("the program runs");
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(browser.get("/api/auth/me").await.status(), 401, "all sessions ended");
    assert_eq!(Client::new(&server).sign_in(ada).await.status(), 401);
    let ada = Account { password: "another horse", ..ada };
    assert_eq!(Client::new(&server).sign_in(ada).await.status(), 200);
}

#[tokio::test]
async fn a_restored_store_starts_a_new_epoch_and_must_not_be_in_use() {
    let server = TestServer::start().await;
    let data = server.data();
    let restored = ["store", "restored", "--data", &data.to_string_lossy()];
    let elsewhere = server.folder().join("elsewhere");
    let verify = ["store", "verify", "--data", &elsewhere.to_string_lossy()];
    assert_refused(&run(server.folder(), &verify, &[]).await, &["there is no store at", "--data"]);
    assert!(!elsewhere.exists(), "reading creates nothing");
    assert_refused(&run(server.folder(), &restored, &[]).await, &["data folder", "another netra"]);
    let epoch = async || {
        Store::open(&data).await.expect("the store opens").setting("epoch").await.expect("the setting is read")
    };
    let before = epoch().await;
    let (_, _stopped) = server.stop().await;
    let output = run(&data, &restored, &[]).await;
    assert!(output.status.success(), "{output:?}");
    let after = epoch().await.expect("an epoch");
    assert_ne!(Some(&after), before.as_ref());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&after));
}

#[tokio::test]
async fn the_data_folder_has_no_secret_or_password_in_clear_text() {
    let server = Setup::default().start_without_accounts().await;
    server.set_up().await;
    let browser = server.signed_in(ADMIN).await;
    let ticket: serde_json::Value = browser.call("/api/auth/ticket").await.json().await.expect("JSON");
    let signed_in = browser.sign_in(ADMIN).await;
    let cookie = cookie(&signed_in);
    let secrets = [
        ADMIN.password,
        SETUP_TOKEN,
        ticket["ticket"].as_str().expect("a ticket"),
        cookie.split_once('=').expect("a value").1,
    ];
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(server.data()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).expect("the file is read"));
        }
    }
    assert!(bytes.len() > 10_000);
    for secret in secrets {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn help_names_the_kinds_of_agents_and_schema_prints_the_wire() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = run(folder.path(), &["serve", "--help"], &[]).await;
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(text.contains("[[agents]]") && text.contains("kind = \"replay\""), "{text}");
    let schema = run(folder.path(), &["schema"], &[]).await;
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[tokio::test]
async fn a_signal_ends_it_with_zero() {
    let server = TestServer::start().await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(0));
}
