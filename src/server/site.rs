//! The site: the page's static files. Finds their folder and serves them.
//!
//! Files under `/pkg` have a hash of their content in their name, so browsers may cache them forever; without the list of hashes they
//! have none, and browsers ask again. Each file has compressed versions beside it. One of them is a page: `src/ui/scripts/diagram_page.js`
//! draws diagrams in it, whose sources agents write, so it has no origin and no access to the network.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    http::{HeaderValue, header},
    response::Response,
};
use leptos::config::LeptosOptions;
use tower::ServiceBuilder;
use tower_http::services::ServeDir;

use super::config::Config;

const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ONE_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// The Content-Security-Policy of the page that draws diagrams: its script runs without an origin, and loads nothing.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox allow-scripts",
);
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("SAMEORIGIN");

/// The page's static files.
#[derive(Debug, Clone)]
pub struct Site {
    /// The options from which the HTML shell derives the files' names.
    pub options: LeptosOptions,
    /// The folder, if it was found.
    pub root: Option<PathBuf>,
}

impl Site {
    /// Looks for the folder in this order: `LEPTOS_SITE_ROOT`, the configuration, `target/site`, `../site` from the program's folder.
    #[must_use]
    pub fn find(config: &Config) -> Self {
        let leptos = config.package.as_ref().and_then(|package| package.get("metadata")?.get("leptos").cloned());
        let options = leptos.and_then(|table| serde_json::from_value::<LeptosOptions>(table).ok());
        let mut options = options.unwrap_or_else(|| LeptosOptions::builder().output_name("netra").build());
        let from_env = env::var("LEPTOS_SITE_ROOT").ok().map(PathBuf::from);
        let configured = Some(PathBuf::from(&*options.site_root)).filter(|root| root.as_os_str() != ".");
        let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("../site")));
        let mut candidates = [from_env, configured, Some("target/site".into()), beside].into_iter().flatten();
        let root = candidates.find(|root| root.join(&*options.site_pkg_dir).is_dir());
        let Some(root) = root else {
            tracing::warn!("found no static files (target/site): pages have no scripts and styles");
            return Self { options, root: None };
        };
        options.site_root = root.display().to_string().into();
        let hashes = hash_list(&root, &root.join(&*options.site_pkg_dir), &options.output_name);
        options.hash_files = hashes.is_some();
        if let Some(hashes) = hashes {
            options.hash_file = hashes.display().to_string().into();
        }
        Self { options, root: Some(root) }
    }

    /// Adds the site's files to `router`. A request for a file that does not exist goes to `fallback`.
    pub fn serve<S>(&self, router: Router<S>, fallback: Router) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let Some(root) = &self.root else { return router.fallback_service(fallback) };
        let pkg = if self.options.hash_files { IMMUTABLE } else { REVALIDATE };
        router
            .nest_service(
                &format!("/{}", self.options.site_pkg_dir.trim_matches('/')),
                ServiceBuilder::new()
                    .map_response(cache_for(pkg))
                    .map_response(sandbox_page)
                    .service(folder(&root.join(&*self.options.site_pkg_dir))),
            )
            .fallback_service(
                ServiceBuilder::new().map_response(cache_for(ONE_HOUR)).service(folder(root).fallback(fallback)),
            )
    }
}

fn folder(path: &Path) -> ServeDir {
    ServeDir::new(path)
        .precompressed_br()
        .precompressed_gzip()
        .append_index_html_on_directories(false)
        .call_fallback_on_method_not_allowed(true)
}

/// Sets `Cache-Control` on successful responses that do not have it.
fn cache_for<B>(value: HeaderValue) -> impl Fn(Response<B>) -> Response<B> + Clone {
    move |mut response| {
        if response.status().is_success() {
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert_with(|| value.clone());
        }
        response
    }
}

/// Restricts what a page among the files may do, and allows our pages to embed it.
fn sandbox_page<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
        headers.insert(header::X_FRAME_OPTIONS, SAME_ORIGIN);
    }
    response
}

/// The path of the list with the files' hashes: beside the program, or in the folder of a build. A list that names files
/// which do not exist belongs to another build.
fn hash_list(root: &Path, pkg: &Path, name: &str) -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("hash.txt")));
    let built = ["release", "debug"].map(|profile| root.join("..").join(profile).join("hash.txt"));
    let matches_files = |list: &PathBuf| {
        let text = fs::read_to_string(list).unwrap_or_default();
        let mut hash = text.lines().filter_map(|line| line.strip_prefix("js:"));
        hash.any(|hash| pkg.join(format!("{name}.{}.js", hash.trim())).is_file())
    };
    let list = beside.into_iter().chain(built).find(matches_files)?;
    // Leptos treats a relative path as relative to the program.
    list.canonicalize().ok()
}
