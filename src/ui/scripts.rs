//! The page's JavaScript, in `src/ui/scripts`. `page.js` is in the page's first file; it loads the others when an answer needs them. They
//! use libraries in JavaScript, and change only the blocks of answers that are complete.

#[cfg(not(feature = "hydrate"))]
pub(crate) use super::server_stubs::scripts::*;
#[cfg(feature = "hydrate")]
pub(crate) use web::*;

#[cfg(feature = "hydrate")]
mod web {
    use wasm_bindgen::prelude::wasm_bindgen;

    #[wasm_bindgen(module = "/src/ui/scripts/page.js")]
    extern "C" {
        /// Loads what the code blocks and formulas in an answer need.
        #[wasm_bindgen(js_name = prepareAnswer)]
        pub(crate) fn prepare_answer(area: &web_sys::Element);

        /// Copies a text, and shows the result on the button that was pressed.
        #[wasm_bindgen(js_name = copyText)]
        pub(crate) fn copy_text(button: &web_sys::Element, text: &str);
    }
}
