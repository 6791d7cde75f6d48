//! Functions of the browser: files, requests, clock, local storage, navigation. Only effects and event handlers call them,
//! so the server never does; its build uses [`server_stubs`](super::server_stubs).

use super::format::sentence;
use crate::protocol::http::Problem;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RequestError {
    /// The server refused it, with this reason.
    #[cfg_attr(not(feature = "hydrate"), expect(dead_code, reason = "only the browser makes requests"))]
    Refused(Problem),
    /// There was no response, or one that could not be read.
    Unreachable,
}

impl RequestError {
    /// The error as a sentence for the user, with what to do.
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

/// A callback for the uploaded share of a file, 0 to 1.
pub(crate) type Progress = Box<dyn Fn(f64)>;

#[cfg(not(feature = "hydrate"))]
pub(crate) use super::server_stubs::browser::*;
#[cfg(feature = "hydrate")]
pub(crate) use web::*;

#[cfg(feature = "hydrate")]
mod web {
    use gloo_net::http::Request;
    use leptos::__reexports::send_wrapper::SendWrapper;
    use serde::{Serialize, de::DeserializeOwned};
    use uuid::Uuid;
    use wasm_bindgen::{JsCast, closure::Closure};
    use wasm_bindgen_futures::JsFuture;

    use super::*;
    use crate::protocol::{http::Uploaded, json};

    /// A file that the user chose, and its key in the browser's storage.
    #[derive(Debug, Clone)]
    pub(crate) struct LocalFile(SendWrapper<web_sys::File>, Uuid);

    impl LocalFile {
        /// A file that is not stored yet, with a new key.
        pub(crate) fn new(file: web_sys::File) -> Self {
            Self::from_stored(Uuid::now_v7(), file)
        }

        /// A file that was read from storage.
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

        /// Whether it is an image that browsers show.
        pub(crate) fn is_image(&self) -> bool {
            ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"].contains(&self.0.type_().as_str())
        }

        /// An address for the file in this page, until [`revoke_url`] is called.
        pub(crate) fn url(&self) -> Option<String> {
            web_sys::Url::create_object_url_with_blob(&self.0).ok()
        }
    }

    /// Ends the use of an address of [`LocalFile::url`].
    pub(crate) fn revoke_url(url: &str) {
        let _ = web_sys::Url::revoke_object_url(url);
    }

    fn local_files(files: Option<web_sys::FileList>) -> Vec<LocalFile> {
        let files = files.into_iter().flat_map(|files| (0..files.length()).filter_map(move |index| files.get(index)));
        files.map(LocalFile::new).collect()
    }

    /// Takes the files out of a file input. Emptying it lets the user choose the same file again.
    pub(crate) fn take_chosen_files(input: &leptos::web_sys::HtmlInputElement) -> Vec<LocalFile> {
        let files = local_files(input.files());
        input.set_value("");
        files
    }

    /// The files of a drop event.
    pub(crate) fn dropped_files(event: &leptos::web_sys::DragEvent) -> Vec<LocalFile> {
        local_files(event.data_transfer().and_then(|transfer| transfer.files()))
    }

    /// The plain text and the files of a paste event.
    pub(crate) fn pasted_content(event: &leptos::web_sys::ClipboardEvent) -> (String, Vec<LocalFile>) {
        let Some(transfer) = event.clipboard_data() else { return Default::default() };
        (transfer.get_data("text/plain").unwrap_or_default(), local_files(transfer.files()))
    }

    /// A new file with a text.
    pub(crate) fn text_file(name: &str, text: &str) -> Option<LocalFile> {
        let parts = js_sys::Array::of1(&text.into());
        web_sys::File::new_with_str_sequence(&parts, name).ok().map(LocalFile::new)
    }

    /// Replaces the selection with a text, as an edit that the user can undo. Returns whether the browser did it.
    pub(crate) fn insert_text(text: &str) -> bool {
        let document = leptos::prelude::document().dyn_into::<web_sys::HtmlDocument>().ok();
        let done = document.map(|document| document.exec_command_with_show_ui_and_value("insertText", false, text));
        matches!(done, Some(Ok(true)))
    }

    /// Whether a drag carries files.
    pub(crate) fn drags_files(event: &leptos::web_sys::DragEvent) -> bool {
        event.data_transfer().is_some_and(|transfer| transfer.types().includes(&"Files".into(), 0))
    }

    pub(crate) fn now_ms() -> i64 {
        js_sys::Date::now() as i64
    }

    /// Dispatches the event for which `public/early-presses.js` waits: buttons and forms work now.
    pub(crate) fn announce_hydrated() {
        if let (Some(window), Ok(event)) = (web_sys::window(), web_sys::Event::new("netra:hydrated")) {
            let _ = window.dispatch_event(&event);
        }
    }

    fn session_storage() -> Option<web_sys::Storage> {
        leptos::prelude::window().session_storage().ok().flatten()
    }

    /// A value of this tab's session storage.
    pub(crate) fn read_session_storage(key: &str) -> Option<String> {
        session_storage()?.get_item(key).ok().flatten()
    }

    /// Writes a value to this tab's session storage. Does nothing if the browser refuses it.
    pub(crate) fn write_session_storage(key: &str, value: &str) {
        if let Some(storage) = session_storage() {
            let _ = storage.set_item(key, value);
        }
    }

    /// The origin that the page was loaded from: `https://example.org`.
    pub(crate) fn origin() -> Option<String> {
        web_sys::window()?.location().origin().ok()
    }

    /// Encodes a text as a value in a query string.
    pub(crate) fn encode(text: &str) -> String {
        String::from(js_sys::encode_uri_component(text))
    }

    /// The offset of the local time zone in minutes, positive east of Greenwich.
    pub(crate) fn utc_offset_minutes() -> i64 {
        -js_sys::Date::new_0().get_timezone_offset() as i64
    }

    /// Parses an ISO 8601 date and time into milliseconds since 1970.
    pub(crate) fn parse_time_ms(text: &str) -> Option<i64> {
        let at = js_sys::Date::parse(text);
        at.is_finite().then_some(at as i64)
    }

    /// Calls a function when the page is left.
    pub(crate) fn on_leave(leave: impl FnMut() + 'static) {
        // Never removed: the application runs as long as the tab.
        let listener = Closure::<dyn FnMut()>::new(leave).into_js_value();
        if let Some(window) = web_sys::window() {
            let _ = window.add_event_listener_with_callback("pagehide", listener.unchecked_ref());
        }
    }

    pub(crate) fn is_visible() -> bool {
        leptos::prelude::document().visibility_state() == web_sys::VisibilityState::Visible
    }

    /// Whether the keyboard is one of Apple's, with a Command key.
    pub(crate) fn is_apple() -> bool {
        let platform = leptos::prelude::window().navigator().platform().unwrap_or_default();
        ["Mac", "iPhone", "iPad"].iter().any(|apple| platform.starts_with(apple))
    }

    fn local_storage() -> Option<web_sys::Storage> {
        leptos::prelude::window().local_storage().ok().flatten()
    }

    pub(crate) fn read_local_storage(key: &str) -> Option<String> {
        local_storage()?.get_item(key).ok().flatten()
    }

    /// Writes a value, or removes it. Does nothing where storage is full or forbidden.
    pub(crate) fn write_local_storage(key: &str, value: Option<&str>) {
        if let Some(storage) = local_storage() {
            let _ = match value {
                Some(value) => storage.set_item(key, value),
                None => storage.remove_item(key),
            };
        }
    }

    /// Leaves this page and loads another one of this server.
    pub(crate) fn navigate_to(path: &str) {
        let _ = leptos::prelude::window().location().assign(path);
    }

    /// Goes to the previous page of the tab.
    pub(crate) fn go_back() {
        let _ = leptos::prelude::window().history().and_then(|history| history.back());
    }

    /// Saves a text as a file with this name.
    pub(crate) fn download(name: &str, text: &str) {
        let Some(LocalFile(file, _)) = text_file(name, text) else { return };
        let Ok(url) = web_sys::Url::create_object_url_with_blob(&file) else { return };
        let link = leptos::prelude::document().create_element("a").ok();
        if let Some(link) = link.and_then(|link| link.dyn_into::<web_sys::HtmlElement>().ok()) {
            let _ = link.set_attribute("href", &url);
            let _ = link.set_attribute("download", name);
            // Keeps the router from handling the click.
            let _ = link.set_attribute("rel", "external");
            link.click();
        }
        // The browser has begun to save the file.
        let _ = web_sys::Url::revoke_object_url(&url);
    }

    /// Loads this page again.
    #[cfg(feature = "split")]
    pub(crate) fn reload() {
        let _ = leptos::prelude::window().location().reload();
    }

    /// Whether the server answers.
    #[cfg(feature = "split")]
    pub(crate) async fn is_server_reachable() -> bool {
        Request::get("/api/config").send().await.is_ok()
    }

    /// Removes the fragment from the address, so that the browser's history does not keep the token in it.
    pub(crate) fn remove_fragment() {
        let window = leptos::prelude::window();
        if let (Ok(history), Ok(path)) = (window.history(), window.location().pathname()) {
            let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path));
        }
    }

    /// Posts JSON and reads JSON. An empty response reads as `null`.
    pub(crate) async fn post<T: Serialize, R: DeserializeOwned>(path: &str, body: &T) -> Result<R, RequestError> {
        send(Request::post(path).json(body)).await
    }

    /// Puts JSON and reads JSON.
    pub(crate) async fn put<T: Serialize, R: DeserializeOwned>(path: &str, body: &T) -> Result<R, RequestError> {
        send(Request::put(path).json(body)).await
    }

    /// Reads JSON.
    pub(crate) async fn get<R: DeserializeOwned>(path: &str) -> Result<R, RequestError> {
        send(Request::get(path).build()).await
    }

    /// Sends a DELETE request.
    pub(crate) async fn delete(path: &str) -> Result<(), RequestError> {
        send(Request::delete(path).build()).await
    }

    /// Sends a DELETE request that continues when the page ends. The response is ignored.
    pub(crate) fn delete_on_leave(path: &str) {
        let init = web_sys::RequestInit::new();
        init.set_method("DELETE");
        let _ = js_sys::Reflect::set(&init, &"keepalive".into(), &true.into());
        if let Some(window) = web_sys::window() {
            let _ = window.fetch_with_str_and_init(path, &init);
        }
    }

    async fn send<R: DeserializeOwned>(request: Result<Request, gloo_net::Error>) -> Result<R, RequestError> {
        let unreachable = |_| RequestError::Unreachable;
        let response = request.map_err(unreachable)?.send().await.map_err(unreachable)?;
        let text = response.text().await.map_err(unreachable)?;
        parse_response(response.ok(), response.status(), &text)
    }

    fn parse_response<R: DeserializeOwned>(ok: bool, status: u16, text: &str) -> Result<R, RequestError> {
        if ok {
            let text = if text.is_empty() { "null" } else { text };
            return json::from_str(text).map_err(|_| RequestError::Unreachable);
        }
        let problem = json::from_str(text).unwrap_or_else(|_| Problem {
            status,
            title: String::new(),
            code: "internal".into(),
            detail: format!("The server returned status {status}. Try again later."),
            retry_after_ms: None,
        });
        Err(RequestError::Refused(problem))
    }

    /// Sends a file as the body of a request.
    pub(crate) async fn post_file<R: DeserializeOwned>(path: &str, file: &LocalFile) -> Result<R, RequestError> {
        let body: &web_sys::File = &file.0;
        send(Request::post(path).body(body.clone())).await
    }

    /// Ends the request of an upload.
    #[derive(Debug)]
    pub(crate) struct AbortUpload(SendWrapper<web_sys::XmlHttpRequest>);

    impl AbortUpload {
        pub(crate) fn abort(self) {
            let _ = self.0.abort();
        }
    }

    /// Uploads a file and reports the progress. `XMLHttpRequest`, because `fetch` reports none. `on_begin` gets what ends it early.
    pub(crate) async fn upload(
        file: LocalFile,
        progress: Progress,
        on_begin: impl FnOnce(AbortUpload),
    ) -> Result<Uploaded, RequestError> {
        let failed = |_| RequestError::Unreachable;
        let request = web_sys::XmlHttpRequest::new().map_err(failed)?;
        request.open("POST", "/api/files").map_err(failed)?;
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
        on_begin(AbortUpload(SendWrapper::new(request.clone())));
        JsFuture::from(ended).await.map_err(failed)?;
        request.set_onloadend(None);
        // Not earlier: the browser calls the closure during the upload.
        drop(on_progress);
        let status = request.status().map_err(failed)?;
        if status == 0 {
            return Err(RequestError::Unreachable);
        }
        let text = request.response_text().map_err(failed)?.unwrap_or_default();
        parse_response((200..300).contains(&status), status, &text)
    }
}
