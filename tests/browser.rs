//! Tests of the page's code that need a real browser, run by `make wasm-test`.
#![cfg(target_arch = "wasm32")]

#[path = "browser/socket.rs"]
mod socket;

use netra::protocol::MessageId;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// Browsers provide another clock and another source of randomness than the server.
#[wasm_bindgen_test]
fn ids_minted_in_the_page_are_all_different_in_order_and_accepted_by_the_server() {
    let ids: Vec<MessageId> = (0..1000).map(|_| MessageId::new()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(ids.iter().all(|id| id.to_string().parse() == Ok(*id)));
}
