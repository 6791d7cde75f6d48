//! Stand-ins for the functions of [`browser`](super::browser), [`layout`](super::layout) and [`scripts`](super::scripts) in the server's build.
//!
//! Event handlers and effects call those functions, and the server runs neither. It still compiles the handlers as part of
//! the views that it renders.

pub(crate) mod scripts {
    pub(crate) fn prepare_answer(_: &leptos::web_sys::Element) {}

    pub(crate) fn copy_text(_: &leptos::web_sys::Element, _: &str) {}
}

pub(crate) mod browser {
    use serde::{Serialize, de::DeserializeOwned};
    use uuid::Uuid;

    use crate::{
        protocol::http::Uploaded,
        ui::browser::{Progress, RequestError},
    };

    /// A file that a person chose. The server never has one.
    #[derive(Debug, Clone)]
    pub(crate) struct LocalFile(());

    impl LocalFile {
        pub(crate) fn key(&self) -> Uuid {
            Uuid::nil()
        }

        pub(crate) fn name(&self) -> String {
            String::new()
        }

        pub(crate) fn bytes(&self) -> u64 {
            0
        }

        pub(crate) fn is_image(&self) -> bool {
            false
        }

        pub(crate) fn url(&self) -> Option<String> {
            None
        }
    }

    pub(crate) fn revoke_url(_: &str) {}

    pub(crate) fn take_chosen_files(_: &leptos::web_sys::HtmlInputElement) -> Vec<LocalFile> {
        Vec::new()
    }

    pub(crate) fn dropped_files(_: &leptos::web_sys::DragEvent) -> Vec<LocalFile> {
        Vec::new()
    }

    pub(crate) fn pasted_content(_: &leptos::web_sys::ClipboardEvent) -> (String, Vec<LocalFile>) {
        Default::default()
    }

    pub(crate) fn text_file(_: &str, _: &str) -> Option<LocalFile> {
        None
    }

    pub(crate) fn insert_text(_: &str) -> bool {
        false
    }

    pub(crate) fn drags_files(_: &leptos::web_sys::DragEvent) -> bool {
        false
    }

    pub(crate) fn now_ms() -> i64 {
        0
    }

    pub(crate) fn announce_hydrated() {}

    pub(crate) fn origin() -> Option<String> {
        None
    }

    pub(crate) fn encode(_: &str) -> String {
        String::new()
    }

    pub(crate) fn utc_offset_minutes() -> i64 {
        0
    }

    pub(crate) fn parse_time_ms(_: &str) -> Option<i64> {
        None
    }

    pub(crate) fn on_leave(_: impl FnMut() + 'static) {}

    pub(crate) fn is_visible() -> bool {
        false
    }

    pub(crate) fn read_session_storage(_: &str) -> Option<String> {
        None
    }

    pub(crate) fn write_session_storage(_: &str, _: &str) {}

    pub(crate) fn is_apple() -> bool {
        false
    }

    pub(crate) fn read_local_storage(_: &str) -> Option<String> {
        None
    }

    pub(crate) fn write_local_storage(_: &str, _: Option<&str>) {}

    pub(crate) fn navigate_to(_: &str) {}

    pub(crate) fn go_back() {}

    pub(crate) fn download(_: &str, _: &str) {}

    pub(crate) fn remove_fragment() {}

    pub(crate) async fn post<T: Serialize, R: DeserializeOwned>(_: &str, _: &T) -> Result<R, RequestError> {
        Err(RequestError::Unreachable)
    }

    pub(crate) async fn put<T: Serialize, R: DeserializeOwned>(_: &str, _: &T) -> Result<R, RequestError> {
        Err(RequestError::Unreachable)
    }

    pub(crate) async fn get<R: DeserializeOwned>(_: &str) -> Result<R, RequestError> {
        Err(RequestError::Unreachable)
    }

    pub(crate) async fn delete(_: &str) -> Result<(), RequestError> {
        Err(RequestError::Unreachable)
    }

    pub(crate) fn delete_on_leave(_: &str) {}

    pub(crate) async fn post_file<R: DeserializeOwned>(_: &str, _: &LocalFile) -> Result<R, RequestError> {
        Err(RequestError::Unreachable)
    }

    /// In the browser, what aborts an upload. The server uploads nothing.
    #[derive(Debug)]
    pub(crate) struct AbortUpload(());

    impl AbortUpload {
        pub(crate) fn abort(self) {}
    }

    pub(crate) async fn upload(
        _: LocalFile,
        _: Progress,
        _: impl FnOnce(AbortUpload),
    ) -> Result<Uploaded, RequestError> {
        Err(RequestError::Unreachable)
    }
}

pub(crate) mod layout {
    use leptos::web_sys::Element;

    pub(crate) fn observe_resize(_: &[&Element], _: impl Fn() + 'static) {}

    /// The reading position of a scroll box.
    pub(crate) struct Anchor(());

    impl Anchor {
        pub(crate) fn capture(_: &Element, _: &Element) -> Self {
            Self(())
        }

        pub(crate) fn at(_: Element, _: f64) -> Self {
            Self(())
        }

        pub(crate) fn article(&self) -> Option<(&Element, f64)> {
            None
        }

        pub(crate) fn restore(&self, _: &Element) {}
    }

    pub(crate) fn question_above(_: &Element, _: &Element) -> Option<Element> {
        None
    }

    pub(crate) fn height_from(_: &Element, _: &Element) -> f64 {
        0.0
    }

    pub(crate) fn articles_above(_: &Element, _: &Element, _: f64) -> usize {
        0
    }

    pub(crate) fn scroll_into_view(_: &Element) {}

    pub(crate) fn first_in_view(_: &Element, _: &[Element]) -> Option<usize> {
        None
    }

    pub(crate) fn is_touch_only() -> bool {
        false
    }

    pub(crate) fn track_keyboard_height() {}
}
