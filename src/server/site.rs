//! The page's files: where they are, and how they are served.
//!
//! Files under `/pkg` are named by their content's hash, so a browser may keep them for ever; each has a compressed twin.

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

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");

/// The page's files.
#[derive(Debug, Clone)]
pub struct Site {
    /// What the shell names its files by.
    pub options: LeptosOptions,
    /// The folder, where one was found.
    pub root: Option<PathBuf>,
}

impl Site {
    /// Looks for the site: where `LEPTOS_SITE_ROOT` or the configuration says, in `target/site`, beside the program.
    #[must_use]
    pub fn find(config: &Config) -> Self {
        let leptos = config.package.as_ref().and_then(|package| package.get("metadata")?.get("leptos").cloned());
        let options = leptos.and_then(|table| table.try_into::<LeptosOptions>().ok());
        let mut options = options.unwrap_or_else(|| LeptosOptions::builder().output_name("netra").build());
        let told = env::var("LEPTOS_SITE_ROOT").ok().map(PathBuf::from);
        let configured = Some(PathBuf::from(&*options.site_root)).filter(|root| root.as_os_str() != ".");
        let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("../site")));
        let mut places = [told, configured, Some("target/site".into()), beside].into_iter().flatten();
        let root = places.find(|root| root.join(&*options.site_pkg_dir).is_dir());
        let Some(root) = root else {
            tracing::warn!("the page's files were not found (target/site): pages are shown without scripts and styles");
            return Self { options, root: None };
        };
        options.site_root = root.display().to_string().into();
        let hashes = hashes(&root, &root.join(&*options.site_pkg_dir), &options.output_name);
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
        let pkg = if self.options.hash_files { FOR_EVER } else { REVALIDATED };
        router
            .nest_service(
                &format!("/{}", self.options.site_pkg_dir.trim_matches('/')),
                ServiceBuilder::new()
                    .map_response(cached(pkg))
                    .service(folder(&root.join(&*self.options.site_pkg_dir))),
            )
            .fallback_service(
                ServiceBuilder::new().map_response(cached(FOR_AN_HOUR)).service(folder(root).fallback(fallback)),
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

/// Says how long to keep what was found, unless it says so itself.
fn cached<B>(how: HeaderValue) -> impl Fn(Response<B>) -> Response<B> + Clone {
    move |mut response| {
        if response.status().is_success() {
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert_with(|| how.clone());
        }
        response
    }
}

/// The list of hashes that belongs to the files: beside the program, or where a release build left it. One that names other
/// files is of another build.
fn hashes(root: &Path, pkg: &Path, name: &str) -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("hash.txt")));
    let built = ["release", "debug"].map(|profile| root.join("..").join(profile).join("hash.txt"));
    let fits = |list: &PathBuf| {
        let text = fs::read_to_string(list).unwrap_or_default();
        let mut hash = text.lines().filter_map(|line| line.strip_prefix("js:"));
        hash.any(|hash| pkg.join(format!("{name}.{}.js", hash.trim())).is_file())
    };
    let list = beside.into_iter().chain(built).find(fits)?;
    // Leptos looks beside the program unless the path is absolute.
    list.canonicalize().ok()
}
