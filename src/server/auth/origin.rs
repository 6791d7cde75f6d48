//! Which origins may use cookies (protection against cross-site request forgery).
//!
//! A browser sends cookies also with requests that pages of other origins make. So a cookie counts only if `Origin` is the server's own
//! or an allowed one. Without `Origin` the request is not from another site (browsers always send it with WebSockets and with methods
//! other than `GET` and `HEAD`), unless `Sec-Fetch-Site` says that it is.

use axum::http::{HeaderMap, header};

use super::Refusal;

/// The origins whose pages may use cookies.
#[derive(Debug, Clone)]
pub struct Origins {
    public: Option<String>,
    allowed: Vec<String>,
}

impl Origins {
    /// The server's public origin and other allowed ones, each as `scheme://host[:port]` in lower case.
    #[must_use]
    pub fn new(public: Option<String>, allowed: Vec<String>) -> Self {
        Self { public, allowed }
    }

    /// Checks that a request with a cookie comes from an allowed origin.
    ///
    /// # Errors
    /// [`Refusal::Origin`] with the origin that is not allowed.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
            return match site {
                Some(b"cross-site" | b"same-site") => Err(Refusal::Origin("a page of another site".into())),
                _ => Ok(()),
            };
        };
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let same = match &self.public {
            Some(public) => without_default_port(public) == without_default_port(&origin),
            None => headers.get(header::HOST).and_then(|host| host.to_str().ok()).is_some_and(|host| {
                let host = host.to_ascii_lowercase();
                // A proxy may have changed the scheme, so both count; a page cannot choose the host and port.
                ["http", "https"]
                    .iter()
                    .any(|scheme| without_default_port(&origin) == without_default_port(&format!("{scheme}://{host}")))
            }),
        };
        if same || self.allowed.iter().any(|allowed| without_default_port(allowed) == without_default_port(&origin)) {
            Ok(())
        } else {
            Err(Refusal::Origin(origin.chars().take(200).collect()))
        }
    }
}

/// An origin without the default port of its scheme.
fn without_default_port(origin: &str) -> &str {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")));
        origins.check(&headers.collect()).is_ok()
    }

    #[test]
    fn without_a_public_url_the_host_decides() {
        let origins = Origins::new(None, vec!["https://app.example.com".into()]);
        let host = ("host", "127.0.0.1:3000");
        assert!(allows(&origins, &[host, ("origin", "http://127.0.0.1:3000")]));
        assert!(!allows(&origins, &[host, ("origin", "http://127.0.0.1:3001")]), "another port is another origin");
        assert!(!allows(&origins, &[host, ("origin", "http://localhost:3000")]));
        assert!(!allows(&origins, &[host, ("origin", "null")]));
        assert!(allows(&origins, &[host, ("origin", "https://app.example.com")]));
        assert!(allows(&origins, &[("host", "netra.example.com"), ("origin", "https://netra.example.com")]));
    }

    #[test]
    fn with_a_public_url_only_its_origin_counts() {
        let origins = Origins::new(Some("https://netra.example.com".into()), Vec::new());
        assert!(allows(&origins, &[("host", "10.0.0.1"), ("origin", "https://netra.example.com:443")]));
        assert!(!allows(&origins, &[("host", "evil.example"), ("origin", "https://evil.example")]));
        assert!(!allows(&origins, &[("host", "netra.example.com"), ("origin", "http://netra.example.com")]));
    }

    #[test]
    fn without_an_origin_only_another_site_is_refused() {
        let origins = Origins::new(None, Vec::new());
        assert!(allows(&origins, &[("host", "a")]));
        assert!(allows(&origins, &[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(allows(&origins, &[("host", "a"), ("sec-fetch-site", "none")]));
        assert!(!allows(&origins, &[("host", "a"), ("sec-fetch-site", "cross-site")]));
    }
}
