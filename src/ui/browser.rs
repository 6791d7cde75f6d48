//! What only a browser has: clock, storage, files, requests. On the server nothing of it is ever called; the stand-ins
//! there let one interface compile for both sides.

use super::format::sentence;
use crate::protocol::{
    ThreadId,
    http::{Problem, Uploaded},
};

/// Why a request got no good answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RequestError {
    /// The server refused, and says why.
    #[cfg_attr(not(feature = "hydrate"), expect(dead_code, reason = "only a browser asks"))]
    Refused(Problem),
    /// There was no answer, or none that could be read.
    Unreachable,
}

impl RequestError {
    /// For a person: what is wrong and what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Refused(problem) => match problem.retry_after_ms {
                Some(wait) => format!("{} Try again in {} s.", sentence(&problem.detail), wait.div_ceil(1000)),
                None => sentence(&problem.detail),
            },
            Self::Unreachable => "The server could not be reached. Check the network and try again.".into(),
        }
    }
}

/// What goes on in an upload.
pub(crate) type Progress = Box<dyn Fn(f64)>;

#[cfg(feature = "hydrate")]
pub(crate) use here::*;
#[cfg(not(feature = "hydrate"))]
pub(crate) use nowhere::*;

#[cfg(feature = "hydrate")]
mod here {
    use gloo_net::http::Request;
    use leptos::__reexports::send_wrapper::SendWrapper;
    use serde::{Serialize, de::DeserializeOwned};
    use uuid::Uuid;
    use wasm_bindgen::{JsCast, closure::Closure};
    use wasm_bindgen_futures::JsFuture;

    use super::*;

    /// A file that a person chose, under the name that it is stored by.
    #[derive(Debug, Clone)]
    pub(crate) struct LocalFile(SendWrapper<web_sys::File>, Uuid);

    impl LocalFile {
        pub(crate) fn new(file: web_sys::File) -> Self {
            Self::from_stored(Uuid::now_v7(), file)
        }

        /// One that was stored.
        pub(crate) fn from_stored(key: Uuid, file: web_sys::File) -> Self {
            Self(SendWrapper::new(file), key)
        }

        pub(crate) fn key(&self) -> Uuid {
            self.1
        }

        pub(crate) fn blob(&self) -> &web_sys::File {
            &self.0
        }

        pub(crate) fn name(&self) -> String {
            self.0.name()
        }

        pub(crate) fn bytes(&self) -> u64 {
            self.0.size() as u64
        }
    }

    fn list(files: Option<web_sys::FileList>) -> Vec<LocalFile> {
        let files = files.into_iter().flat_map(|files| (0..files.length()).filter_map(move |index| files.get(index)));
        files.map(LocalFile::new).collect()
    }

    /// The files in an input, which is then empty again: the same file may be chosen twice.
    pub(crate) fn take_chosen_files(input: &leptos::web_sys::HtmlInputElement) -> Vec<LocalFile> {
        let files = list(input.files());
        input.set_value("");
        files
    }

    /// The files that are being dropped.
    pub(crate) fn dropped_files(event: &leptos::web_sys::DragEvent) -> Vec<LocalFile> {
        list(event.data_transfer().and_then(|transfer| transfer.files()))
    }

    /// The plain text and the files that are being pasted.
    pub(crate) fn pasted_content(event: &leptos::web_sys::ClipboardEvent) -> (String, Vec<LocalFile>) {
        let Some(transfer) = event.clipboard_data() else { return Default::default() };
        (transfer.get_data("text/plain").unwrap_or_default(), list(transfer.files()))
    }

    /// Puts text where the cursor is, in the place of what is selected, so that it can be undone; says whether it could.
    pub(crate) fn insert_text(text: &str) -> bool {
        let document = leptos::prelude::document().dyn_into::<web_sys::HtmlDocument>().ok();
        let done = document.map(|document| document.exec_command_with_show_ui_and_value("insertText", false, text));
        matches!(done, Some(Ok(true)))
    }

    /// Whether what is being dragged holds files.
    pub(crate) fn drags_files(event: &leptos::web_sys::DragEvent) -> bool {
        event.data_transfer().is_some_and(|transfer| transfer.types().includes(&"Files".into(), 0))
    }

    pub(crate) fn now_ms() -> i64 {
        js_sys::Date::now() as i64
    }

    /// Tells `public/early-presses.js` that buttons and forms work now.
    pub(crate) fn announce_hydrated() {
        if let (Some(window), Ok(event)) = (web_sys::window(), web_sys::Event::new("netra:hydrated")) {
            let _ = window.dispatch_event(&event);
        }
    }

    /// The origin that the page was loaded from: `https://example.org`.
    pub(crate) fn origin() -> Option<String> {
        web_sys::window()?.location().origin().ok()
    }

    /// Minutes east of Greenwich.
    pub(crate) fn utc_offset_minutes() -> i64 {
        -js_sys::Date::new_0().get_timezone_offset() as i64
    }

    /// A moment as ISO 8601 has it, in milliseconds since 1970.
    pub(crate) fn parse_time_ms(text: &str) -> Option<i64> {
        let at = js_sys::Date::parse(text);
        at.is_finite().then_some(at as i64)
    }

    pub(crate) fn is_visible() -> bool {
        leptos::prelude::document().visibility_state() == web_sys::VisibilityState::Visible
    }

    fn storage() -> Option<web_sys::Storage> {
        leptos::prelude::window().local_storage().ok().flatten()
    }

    pub(crate) fn read_local_storage(key: &str) -> Option<String> {
        storage()?.get_item(key).ok().flatten()
    }

    /// Storage may be full or forbidden; the choice then lasts as long as the page.
    pub(crate) fn write_local_storage(key: &str, value: Option<&str>) {
        if let Some(storage) = storage() {
            let _ = match value {
                Some(value) => storage.set_item(key, value),
                None => storage.remove_item(key),
            };
        }
    }

    /// Loads another page of this server, from the start.
    pub(crate) fn navigate_to(path: &str) {
        let _ = leptos::prelude::window().location().assign(path);
    }

    /// Removes the fragment, so that no history keeps a token.
    pub(crate) fn remove_fragment() {
        let window = leptos::prelude::window();
        if let (Ok(history), Ok(path)) = (window.history(), window.location().pathname()) {
            let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
        }
    }

    /// Posts JSON and reads JSON; an empty answer reads as `null`.
    pub(crate) async fn post<T: Serialize, R: DeserializeOwned>(path: &str, body: &T) -> Result<R, RequestError> {
        call(Request::post(path).json(body)).await
    }

    /// Puts JSON and reads JSON.
    pub(crate) async fn put<T: Serialize, R: DeserializeOwned>(path: &str, body: &T) -> Result<R, RequestError> {
        call(Request::put(path).json(body)).await
    }

    /// Reads JSON.
    pub(crate) async fn get<R: DeserializeOwned>(path: &str) -> Result<R, RequestError> {
        call(Request::get(path).build()).await
    }

    /// Removes what is there.
    pub(crate) async fn delete(path: &str) -> Result<(), RequestError> {
        call(Request::delete(path).build()).await
    }

    async fn call<R: DeserializeOwned>(request: Result<Request, gloo_net::Error>) -> Result<R, RequestError> {
        let unreachable = |_| RequestError::Unreachable;
        let response = request.map_err(unreachable)?.send().await.map_err(unreachable)?;
        let text = response.text().await.map_err(unreachable)?;
        answer(response.ok(), response.status(), &text)
    }

    fn answer<R: DeserializeOwned>(ok: bool, status: u16, text: &str) -> Result<R, RequestError> {
        if ok {
            let text = if text.is_empty() { "null" } else { text };
            return serde_json::from_str(text).map_err(|_| RequestError::Unreachable);
        }
        let problem = serde_json::from_str(text).unwrap_or_else(|_| Problem {
            status,
            title: String::new(),
            code: "internal".into(),
            detail: format!("The server answered {status}. Try again later."),
            retry_after_ms: None,
        });
        Err(RequestError::Refused(problem))
    }

    /// Uploads a file to a thread; `progress` hears the share that is through, 0 to 1.
    pub(crate) async fn upload(
        thread: ThreadId,
        file: LocalFile,
        progress: Progress,
    ) -> Result<Uploaded, RequestError> {
        let failed = |_| RequestError::Unreachable;
        let request = web_sys::XmlHttpRequest::new().map_err(failed)?;
        request.open("POST", &format!("/api/threads/{thread}/files")).map_err(failed)?;
        let on_progress = Closure::<dyn Fn(web_sys::ProgressEvent)>::new(move |event: web_sys::ProgressEvent| {
            if event.total() > 0.0 {
                progress(event.loaded() / event.total());
            }
        });
        request.upload().map_err(failed)?.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
        let form = web_sys::FormData::new().map_err(failed)?;
        form.append_with_blob_and_filename("file", &file.0, &file.name()).map_err(failed)?;
        let ended = js_sys::Promise::new(&mut |resolve, _| request.set_onloadend(Some(&resolve)));
        request.send_with_opt_form_data(Some(&form)).map_err(failed)?;
        JsFuture::from(ended).await.map_err(failed)?;
        // The closure lives until here: the browser may call it while the upload goes on.
        request.set_onloadend(None);
        drop(on_progress);
        let status = request.status().map_err(failed)?;
        if status == 0 {
            return Err(RequestError::Unreachable);
        }
        let text = request.response_text().map_err(failed)?.unwrap_or_default();
        answer((200..300).contains(&status), status, &text)
    }
}

#[cfg(not(feature = "hydrate"))]
mod nowhere {
    use serde::{Serialize, de::DeserializeOwned};
    use uuid::Uuid;

    use super::*;

    /// A file that a person chose; there is none here.
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
    }

    pub(crate) fn take_chosen_files(_: &leptos::web_sys::HtmlInputElement) -> Vec<LocalFile> {
        Vec::new()
    }

    pub(crate) fn dropped_files(_: &leptos::web_sys::DragEvent) -> Vec<LocalFile> {
        Vec::new()
    }

    pub(crate) fn pasted_content(_: &leptos::web_sys::ClipboardEvent) -> (String, Vec<LocalFile>) {
        Default::default()
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

    pub(crate) fn utc_offset_minutes() -> i64 {
        0
    }

    pub(crate) fn parse_time_ms(_: &str) -> Option<i64> {
        None
    }

    pub(crate) fn is_visible() -> bool {
        false
    }

    pub(crate) fn read_local_storage(_: &str) -> Option<String> {
        None
    }

    pub(crate) fn write_local_storage(_: &str, _: Option<&str>) {}

    pub(crate) fn navigate_to(_: &str) {}

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

    pub(crate) async fn upload(_: ThreadId, _: LocalFile, _: Progress) -> Result<Uploaded, RequestError> {
        Err(RequestError::Unreachable)
    }
}
