use std::{fs, path::PathBuf};

use super::*;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Leptos.toml");
    fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&Flags { config: Some(file), ..Flags::default() }, variables)
}

fn load_error(text: &str, variables: &[(&str, &str)]) -> String {
    let message = load_text(text, variables).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one message, one line: {message}");
    message
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = load_text("", &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(config.server.data, PathBuf::from("data"));
    assert_eq!(config.socket.max_connections_per_user, 16);
    assert_eq!(config.socket.commands_per_minute, 600);
    assert_eq!((config.socket.heartbeat_ms, config.socket.heartbeat_timeout_ms), (25_000, 10_000));
    assert_eq!(config.store_url(), "sqlite:data/netra.db?mode=rwc");
}

#[test]
fn every_table_is_read_and_the_section_of_cargo_leptos_is_ignored() {
    let config = load_text(
        r#"
        [package.metadata.leptos]
        output-name = "netra"
        [server]
        listen = "0.0.0.0:80"
        public_url = "https://Netra.example.com/"
        [store]
        url = "sqlite:/var/netra.db"
        [bus]
        url = "local"
        [socket]
        coalesce_ms = 0
        [auth]
        allowed_origins = ["https://app.example.com"]
        [analyst]
        prices = "prices.json"
        [[agents]]
        id = "demo"
        name = "Demo"
        kind = "replay"
        file = "demo.jsonl"
        events_per_second = 200
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.server.public_url.as_deref(), Some("https://netra.example.com"));
    assert!(config.is_https());
    assert_eq!(config.store_url(), "sqlite:/var/netra.db?mode=rwc");
    assert_eq!(config.socket.coalesce_ms, 0);
    assert_eq!(config.agents[0].0["events_per_second"], 200);
    assert!(config.folder().is_absolute(), "a relative path belongs to the folder of its file");
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let variables = [("NETRA_SOCKET__HEARTBEAT_MS", "5000"), ("NETRA_SERVER__DATA", "elsewhere")];
    let config = load_text("[socket]\nheartbeat_ms = 9000", &variables).unwrap();
    assert_eq!((config.socket.heartbeat_ms, config.server.data), (5000, PathBuf::from("elsewhere")));

    let flags = Flags { data: Some("flagged".into()), listen: "[::1]:9".parse().ok(), config: None };
    let config = load(&flags, [("NETRA_SERVER__DATA".to_owned(), "elsewhere".to_owned())]).unwrap();
    assert_eq!((config.server.data, config.server.listen.port()), (PathBuf::from("flagged"), 9));
}

#[test]
fn a_variable_is_parsed_by_the_type_of_its_key() {
    let variables = [
        ("NETRA_SERVER__DATA", "2026"),
        ("NETRA_AUTH__ALLOWED_ORIGINS", r#"["http://localhost:8080"]"#),
        ("NETRA_SERVER__TRUST_PROXY", "true"),
        ("NETRA_SERVER__TRUSTED_PROXIES", r#"["127.0.0.1", "10.0.0.0/8", "::1"]"#),
        ("NETRA_SETUP_TOKEN", "not a setting"),
    ];
    let config = load_text("", &variables).unwrap();
    assert_eq!(config.server.data, PathBuf::from("2026"));
    assert_eq!(config.auth.allowed_origins, ["http://localhost:8080"]);
    assert!(config.server.trust_proxy);
    assert_eq!(config.server.trusted_proxies.len(), 3);
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_known_keys() {
    let message = load_error("[socket]\nhartbeat_ms = 1", &[]);
    for part in ["Leptos.toml: ", "socket", "hartbeat_ms", "`heartbeat_ms`"] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    let message = load_error("[sockets]", &[]);
    assert!(message.contains("`sockets`") && message.contains("`socket`"), "{message}");
}

#[test]
fn a_wrong_value_is_named_with_its_key_and_what_is_allowed() {
    let cases = [
        ("[socket]\nheartbeat_ms = 5", "socket.heartbeat_ms", "an integer from 100 to 300000"),
        ("[socket]\nheartbeat_ms = -5", "socket.heartbeat_ms", "an integer from 100 to 300000"),
        ("[socket]\ncoalesce_ms = 501", "socket.coalesce_ms", "an integer from 0 to 500"),
        ("[socket]\ncoalesce_ms = \"x\"", "socket.coalesce_ms", "an integer from 0 to 500"),
        ("[server]\nlisten = \"here\"", "server.listen", "127.0.0.1:3000"),
        ("[server]\npublic_url = \"ftp://x\"", "server.public_url", "https://"),
        ("[store]\nurl = \"mysql://x\"", "store.url", "sqlite:"),
        ("[bus]\nurl = \"redis://x\"", "bus.url", "\"local\", or \"nats://\""),
        ("[bus]\nurl = \"nats://\"", "bus.url", "host:port"),
        ("[bus]\nurl = \"nats://a:4222,http://b\"", "bus.url", "host:port"),
        ("[auth]\nallowed_origins = [\"x\"]", "auth.allowed_origins", "an origin such as"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/33\"]", "server.trusted_proxies", "a network such as"),
        ("[server]\ntrusted_proxies = [\"proxy\"]", "server.trusted_proxies", "an address or"),
    ];
    for (text, key, allowed) in cases {
        let message = load_error(text, &[]);
        assert!(message.contains(key) && message.contains(allowed), "{text} gave: {message}");
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let message = load_error("", &[("NETRA_SOCKET__HEARTBEAT_MS", "often")]);
    assert!(message.starts_with("NETRA_SOCKET__HEARTBEAT_MS: socket.heartbeat_ms: "), "{message}");
    let message = load_error("", &[("NETRA_SOCKET__PULSE", "1")]);
    assert!(message.starts_with("NETRA_SOCKET__PULSE: ") && message.contains("heartbeat_ms"), "{message}");
    assert!(load_error("", &[("NETRA_SOCKETS__X", "1")]).contains("NETRA_TABLE__KEY"));
}

#[test]
fn errors_of_malformed_and_missing_files_are_one_line() {
    let message = load_error("[server]\nlisten = = 3", &[]);
    assert!(message.contains("line 2 is not valid TOML"), "{message}");
    let missing = Flags { config: Some("/no/such/file.toml".into()), ..Flags::default() };
    let message = load(&missing, []).unwrap_err().to_string();
    assert!(message.contains("/no/such/file.toml") && message.contains("--config"), "{message}");
}

#[test]
fn the_shipped_file_has_the_defaults() {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Leptos.toml"));
    let mut shipped = load(&Flags { config: Some(file), ..Flags::default() }, []).unwrap();
    assert!(shipped.package.take().is_some() && shipped.file.take().is_some(), "the page's part is there");
    assert_eq!(format!("{shipped:?}"), format!("{:?}", Config::default()));
}

#[test]
fn a_bus_has_one_or_several_servers() {
    let servers = |url: &str| {
        let servers = BusConfig { url: url.into() }.servers()?;
        Some(
            servers
                .iter()
                .map(|s| format!("{}://{}:{}", s.scheme(), s.host_str().unwrap(), s.port().unwrap_or(4222)))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(servers("local"), None);
    assert_eq!(servers("nats://u:p@a").unwrap(), ["nats://a:4222"]);
    assert_eq!(servers("tls://a:1,b:2, nats://c:3").unwrap(), ["tls://a:1", "tls://b:2", "nats://c:3"]);
}

#[test]
fn nodes_that_share_a_bus_must_share_a_store() {
    for store in ["", "[store]\nurl = \"sqlite:x.db\"\n"] {
        let message = load_error(&format!("{store}[bus]\nurl = \"nats://u:hidden@h:4222\""), &[]);
        for part in ["Leptos.toml: bus.url", "store.url = \"postgres://", "bus.url = \"local\""] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
    let postgres = "[store]\nurl = \"postgres://h/d\"\n[bus]\nurl = \"nats://h\"\n";
    let message = load_error(postgres, &[]);
    assert!(message.contains("set server.files"), "{message}");
    assert!(load_text(&format!("{postgres}[server]\nfiles = \"/shared\""), &[]).is_ok());
}

#[test]
fn errors_and_logs_contain_no_password() {
    for url in ["redis://u:hidden@h", "nats://u:hidden@h/x", "nats://a:1,u:hidden@b:x", "u:hidden@h"] {
        let message = load_error(&format!("[bus]\nurl = \"{url}\""), &[]);
        assert!(message.contains("bus.url") && !message.contains("hidden"), "{message}");
    }
    let message = load_error("[store]\nurl = \"mysql://u:hidden@h/d\"", &[]);
    assert!(message.contains("store.url") && !message.contains("hidden"), "{message}");
    let config = load_text("[store]\nurl = \"postgres://u:hid@den@h/d\"", &[]).unwrap();
    assert_eq!(config.redacted_store_url(), "postgres://...@h/d");
    let config = BusConfig { url: "nats://u:hid@den@a:1,tls://v:hidden@b".into() };
    let text = format!("{config:?}");
    assert!(!text.contains("hid") && !text.contains("den") && text.contains("nats://...@a:1"), "{text}");
}

#[test]
fn the_numbers_and_switches_of_the_documented_file_can_be_set_by_variables() {
    let document: toml::Table = include_str!("../../../Leptos.toml").parse().expect("it is TOML");
    let mut tables = 0;
    for (table, keys) in document.iter().filter(|(table, _)| *table != "package") {
        let Some(keys) = keys.as_table() else { continue };
        tables += 1;
        for (key, value) in keys {
            let number = value.as_integer().map(|number| number.to_string());
            let Some(text) = number.or_else(|| value.as_bool().map(|switch| switch.to_string())) else { continue };
            let variable = format!("NETRA_{}__{}", table.to_uppercase(), key.to_uppercase());
            let loaded = load_text("", &[(&variable, &text)]);
            assert!(loaded.is_ok(), "{variable}: {:?}", loaded.err());
        }
    }
    assert!(tables > 10, "{tables} tables");
}
