//! Parts of the page that a browser loads only when they are shown, each in a WebAssembly file of its own.
//!
//! With the feature `split`, `scripts/bindgen` moves the code that only a part uses into the part's file; without it, the code of all
//! parts is in the page's first file. The server renders parts like any other view and marks them with `data-part`. Before the
//! browser hydrates a page, it loads the parts that are marked in its HTML, so they hydrate with the rest.
//!
//! A part that cannot be loaded is replaced by a message with a button that tries again. If the server has another build by then,
//! whose parts have other names, the button reloads the page.

#[cfg(feature = "split")]
mod load;
#[cfg(not(feature = "split"))]
mod whole;

#[cfg(feature = "split")]
pub(crate) use load::{LoadError, Part, after_loading};
#[cfg(not(feature = "split"))]
pub(crate) use whole::Part;

/// Defines a [`Part`], the name of its file, and its view as a function of its input:
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
