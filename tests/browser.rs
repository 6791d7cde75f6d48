//! What only a browser can prove of the page's code, run in a real one by `make wasm-test`.
#![cfg(target_arch = "wasm32")]

use uuid::{Uuid, Version};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn ids_minted_in_the_page_are_version_7_and_in_order() {
    let ids: Vec<Uuid> = (0..100).map(|_| Uuid::now_v7()).collect();
    assert!(
        ids.iter()
            .all(|id| id.get_version() == Some(Version::SortRand))
    );
    assert!(ids.is_sorted());
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
}
