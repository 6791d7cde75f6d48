//! Checks that the page was loaded from the address that the server is configured with.
//!
//! If the two differ, the socket does not open and the cookie is not kept, without an error. Only the page has both addresses.

use leptos::prelude::*;

use super::{browser, context::AppContext};

/// The problem with the page's address, if there is one. Always `None` before hydration.
pub(crate) fn use_address_problem() -> Memo<Option<String>> {
    let app: AppContext = expect_context();
    let origin = RwSignal::new(None::<String>);
    Effect::new(move |_| origin.set(browser::origin()));
    Memo::new(move |_| {
        let origin = origin.get()?;
        app.config.with_value(|config| problem(&origin, &config.as_ref()?.socket.url))
    })
}

/// Compares the page's origin (`https://example.org`) with the socket URL from `GET /api/config` (`wss://example.org/ws`).
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
            "This page was loaded over HTTPS, but the server is configured for HTTP. Set server.public_url = \"{origin}\" in its Leptos.toml."
        ),
        _ => format!(
            "This page was loaded from {origin}, but the server's address is {server}. Open {server}, or set \
             server.public_url = \"{origin}\" in the server's Leptos.toml. A proxy in front of the server must pass on the Host header."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_the_configured_address_has_no_problem() {
        assert_eq!(problem("https://netra.example.org", "wss://netra.example.org/ws"), None);
        assert_eq!(problem("http://127.0.0.1:3000", "ws://127.0.0.1:3000/ws"), None);
        assert_eq!(problem("http://[::1]:3000", "ws://[::1]:3000/ws"), None);
    }

    #[test]
    fn a_page_over_https_names_the_setting_that_is_missing() {
        let text = problem("https://netra.example.org", "ws://netra.example.org/ws").expect("a problem");
        assert!(text.contains("server.public_url = \"https://netra.example.org\""), "{text}");
    }

    #[test]
    fn a_page_from_another_address_names_both_remedies() {
        for (origin, socket, server) in [
            ("http://127.0.0.1:3000", "wss://netra.example.org/ws", "https://netra.example.org"),
            ("https://netra.example.org", "ws://0.0.0.0:3000/ws", "http://0.0.0.0:3000"),
        ] {
            let text = problem(origin, socket).expect("a problem");
            assert!(text.contains(&format!("Open {server}")) && text.contains(origin), "{text}");
        }
    }
}
