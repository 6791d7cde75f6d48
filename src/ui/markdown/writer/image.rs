//! Images. A file of a thread is shown. A remote image would tell its server who reads, and when, so it is a link, with a button by which the
//! page loads it through this server.

use pulldown_cmark::LinkType;
use pulldown_cmark_escape::{escape_href, escape_html};

use super::{Writer, is_allowed};

/// The image that is open.
pub(super) struct OpenImage {
    address: String,
    /// The number of images within its description.
    inner: usize,
}

impl Writer<'_> {
    pub(super) fn start_image(&mut self, link_type: LinkType, address: &str, id: &str) {
        let address = self.resolved_address(link_type, address, id);
        if let Some(image) = &mut self.image {
            image.inner += 1;
            return;
        }
        self.write_inline("");
        self.image = Some(OpenImage { address, inner: 0 });
    }

    /// Writes the open image. Its description is text without markup.
    pub(super) fn end_image(&mut self) {
        match self.image.take() {
            Some(image) if image.inner > 0 => {
                self.image = Some(OpenImage { inner: image.inner - 1, ..image });
            }
            Some(image) => {
                let description = std::mem::take(&mut self.text);
                let description = super::restore(&description).into_owned();
                self.write_image(&image.address, &description);
            }
            None => {}
        }
    }

    fn write_image(&mut self, address: &str, description: &str) {
        let is_file = is_thread_file(address);
        let host = host(address).filter(|_| is_allowed(address));
        if self.links.contains(&true) || !(is_file || host.is_some()) {
            return self.write_escaped(description);
        }
        // Writing to a String cannot fail.
        if is_file {
            self.html.push_str("<img loading=\"lazy\" src=\"");
            let _ = escape_href(&mut self.html, address);
            self.html.push_str("\" alt=\"");
            let _ = escape_html(&mut self.html, description);
            self.html.push_str("\">");
            return;
        }
        self.html.push_str("<span class=\"image-place\">");
        self.open_link_with(" class=\"image\"", address);
        if !description.trim().is_empty() {
            self.html.push_str("<span class=\"image-description\">");
            self.write_escaped(description);
            self.html.push_str("</span> ");
        }
        self.html.push_str("<span class=\"image-open\">Open image on ");
        self.write_escaped(host.unwrap_or_default());
        self.html.push_str("</span></a> <button type=\"button\" data-press=\"image\">Load image</button></span>");
    }
}

/// The host in an address, with its port.
fn host(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then_some(host)
}

/// Whether an address is that of a thread's file: `/api/threads/<id>/files/<id>`.
fn is_thread_file(address: &str) -> bool {
    let is_id = |id: &str| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let ids = address.strip_prefix("/api/threads/").and_then(|rest| rest.split_once("/files/"));
    ids.is_some_and(|(thread, file)| is_id(thread) && is_id(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_one_that_a_browser_asks() {
        assert_eq!(host("https://e.org:8080/a@b?c"), Some("e.org:8080"));
        assert_eq!(host("https://good.org@evil.org/x"), Some("evil.org"));
        assert_eq!(host("https://evil.org\\@good.org"), Some("evil.org"));
        assert_eq!((host("https:///x"), host("https:e.org")), (None, None));
    }

    #[test]
    fn only_files_of_threads_are_recognised() {
        let id = "0199a0b0-0000-7000-8000-000000000000";
        assert!(is_thread_file(&format!("/api/threads/{id}/files/{id}")));
        assert!(!is_thread_file(&format!("//api/threads/{id}/files/{id}")));
        assert!(!is_thread_file(&format!("/api/threads/{id}/files/{id}/../x")));
        assert!(!is_thread_file("/api/threads"));
    }
}
