//! Whether the address that the page was loaded from is the one that the server takes for its own.
//!
//! Where they differ no socket opens and no cookie is kept, and neither says why. The page is the only one that knows both.

use leptos::prelude::*;

use super::{browser, context::AppContext};

/// What is wrong with the page's address, once the page is alive; nothing where it is right.
pub(crate) fn use_address_problem() -> Memo<Option<String>> {
    let app: AppContext = expect_context();
    let origin = RwSignal::new(None::<String>);
    Effect::new(move |_| origin.set(browser::origin()));
    Memo::new(move |_| {
        let origin = origin.get()?;
        app.config.with_value(|config| problem(&origin, &config.as_ref()?.socket.url))
    })
}

/// Compares the page's origin (`https://example.org`) with the socket's URL (`wss://example.org/ws`), as discovery gave it.
fn problem(origin: &str, socket: &str) -> Option<String> {
    let server = socket.strip_suffix("/ws").unwrap_or(socket).replacen("ws", "http", 1);
    let ((page_scheme, page_host), (server_scheme, server_host)) =
        (origin.split_once("://")?, server.split_once("://")?);
    let same_host = page_host.eq_ignore_ascii_case(server_host);
    if same_host && page_scheme == server_scheme {
        return None;
    }
    Some(match (page_scheme, server_scheme) {
        ("https", "http") if same_host => format!(
            "This page came over HTTPS, but the server does not know that. Set server.public_url = \"{origin}\" in its Leptos.toml."
        ),
        _ => format!(
            "This page came from {origin}, but the server's address is {server}. Open {server}, or set \
             server.public_url = \"{origin}\" in the server's Leptos.toml; a proxy in front of it has to pass on the Host header."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_the_servers_own_address_has_no_problem() {
        assert_eq!(problem("https://netra.example.org", "wss://netra.example.org/ws"), None);
        assert_eq!(problem("http://127.0.0.1:3000", "ws://127.0.0.1:3000/ws"), None);
        assert_eq!(problem("http://[::1]:3000", "ws://[::1]:3000/ws"), None);
    }

    #[test]
    fn a_page_over_https_names_the_setting_that_is_missing() {
        let told = problem("https://netra.example.org", "ws://netra.example.org/ws").expect("a problem");
        assert!(told.contains("server.public_url = \"https://netra.example.org\""), "{told}");
    }

    #[test]
    fn another_address_is_told_with_both_ways_out() {
        for (origin, socket, server) in [
            ("http://127.0.0.1:3000", "wss://netra.example.org/ws", "https://netra.example.org"),
            ("https://netra.example.org", "ws://0.0.0.0:3000/ws", "http://0.0.0.0:3000"),
        ] {
            let told = problem(origin, socket).expect("a problem");
            assert!(told.contains(&format!("Open {server}")) && told.contains(origin), "{told}");
        }
    }
}
