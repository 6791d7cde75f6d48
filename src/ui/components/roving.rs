//! Roving tabindex: only one row of a list is in the tab order, and arrow keys, Home and End move between rows. Each row has two
//! columns: a link, and a button to its right.

use leptos::{ev::KeyboardEvent, wasm_bindgen::JsCast, web_sys};

use super::event_target;

/// Where a key moves the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// To a row, in the same column.
    Row(usize),
    /// To a column of the same row.
    Column(usize),
}

fn step(key: &str, row: usize, rows: usize) -> Option<Step> {
    Some(match key {
        "ArrowDown" => Step::Row((row + 1).min(rows.saturating_sub(1))),
        "ArrowUp" => Step::Row(row.saturating_sub(1)),
        "Home" => Step::Row(0),
        "End" => Step::Row(rows.saturating_sub(1)),
        "ArrowRight" => Step::Column(1),
        "ArrowLeft" => Step::Column(0),
        _ => return None,
    })
}

/// Moves the focus within the list that handles the event. `row_selector` matches its rows, `columns` the two focusable elements of
/// a row.
pub(crate) fn move_focus(event: &KeyboardEvent, row_selector: &str, columns: [&str; 2]) {
    if event.default_prevented() || event.alt_key() || event.ctrl_key() || event.meta_key() || event.shift_key() {
        return;
    }
    let list = event.current_target().and_then(|list| list.dyn_into::<web_sys::Element>().ok());
    let target = event_target::target(event);
    let (Some(list), Some(target)) = (list, target) else { return };
    // Other elements of a row, such as a text field, handle these keys themselves.
    let Some(column) = columns.iter().position(|column| target.matches(column).is_ok_and(|is| is)) else { return };
    let row = target.closest(row_selector).ok().flatten();
    let rows: Vec<web_sys::Element> = {
        let children = row.as_ref().and_then(|row| row.parent_element()).unwrap_or(list).children();
        let children = (0..children.length()).filter_map(|index| children.item(index));
        children.filter(|child| child.matches(row_selector).is_ok_and(|is| is)).collect()
    };
    let Some(index) = rows.iter().position(|other| Some(other) == row.as_ref()) else { return };
    let Some(step) = step(&event.key(), index, rows.len()) else { return };
    let (row, column) = match step {
        Step::Row(row) => (row, column),
        Step::Column(column) => (index, column),
    };
    event.prevent_default();
    let found = [columns[column], columns[0]]
        .into_iter()
        .find_map(|selector| rows[row].query_selector(selector).ok().flatten());
    if let Some(found) = found.and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok()) {
        let _ = found.focus();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_within_the_list_and_stop_at_its_ends() {
        assert_eq!(step("ArrowDown", 0, 3), Some(Step::Row(1)));
        assert_eq!(step("ArrowDown", 2, 3), Some(Step::Row(2)));
        assert_eq!(step("ArrowUp", 0, 3), Some(Step::Row(0)));
        assert_eq!((step("Home", 2, 3), step("End", 0, 3)), (Some(Step::Row(0)), Some(Step::Row(2))));
        assert_eq!((step("ArrowRight", 1, 3), step("ArrowLeft", 1, 3)), (Some(Step::Column(1)), Some(Step::Column(0))));
        assert_eq!((step("a", 1, 3), step("Tab", 1, 3)), (None, None));
    }
}
