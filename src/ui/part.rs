//! Parts of the page that a browser loads only when they are shown, each in a WebAssembly file of its own. Code that some parts share is in
//! further files.
//!
//! With the feature `split`, `scripts/bindgen` moves the code that only a part uses into the part's file; without it, the code of all
//! parts is in the page's first file. The server renders parts like any other view and marks them with `data-part`. Before the
//! browser hydrates a page, it loads the parts that are marked in its HTML, so they hydrate with the rest.
//!
//! A part that cannot be loaded is replaced by a message with a button that tries again. If that fails although the server can be reached,
//! it probably has another build, whose parts have other names, and the page is reloaded. A page whose own part cannot be loaded
//! before hydration has a message with a link that reloads it.

#[cfg(not(feature = "split"))]
mod included;
#[cfg(feature = "split")]
mod load;

#[cfg(not(feature = "split"))]
pub(crate) use included::Part;
#[cfg(feature = "split")]
pub(crate) use load::{LoadError, Part, after_loading};

/// Defines a [`Part`], its unique name (of its file, and in `data-part`), and its view as a function of its input:
/// `part!(pub(crate) ACCOUNT, account, |()| view! { <Account/> }.into_any())`.
macro_rules! part {
    ($(#[$doc:meta])* $visibility:vis $part:ident, $name:ident, |$input:tt: $type:ty| $view:expr) => {
        $(#[$doc])*
        $visibility static $part: $crate::ui::part::Part<$type> = {
            fn view($input: $type) -> leptos::prelude::AnyView {
                $view
            }
            #[cfg(not(feature = "split"))]
            {
                $crate::ui::part::Part::new(stringify!($name), view)
            }
            #[cfg(feature = "split")]
            {
                // All that is reachable only from here moves to the part's file.
                #[leptos::wasm_split::wasm_split($name, wasm_split_path = ::leptos::wasm_split, fallible)]
                fn load() -> Result<fn($type) -> leptos::prelude::AnyView, $crate::ui::part::LoadError> {
                    Ok(view)
                }
                $crate::ui::part::Part::new(stringify!($name), || Box::pin(load()))
            }
        };
    };
}
pub(crate) use part;
