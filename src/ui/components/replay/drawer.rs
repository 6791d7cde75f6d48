//! The log entries of a run beside its replay: a list that can be filtered, and the chosen entry as JSON.
//!
//! Only the rows near the visible ones are in the document, so that any number of entries can be scrolled through.

use std::{ops::Range, sync::Arc};

use leptos::{ev::KeyboardEvent, html, prelude::*};

use super::{
    entry_text::{first_line, json_line, kind, kinds, matching},
    player::Player,
};
use crate::{
    protocol::{RunId, http::RunEntry},
    ui::{
        browser,
        components::{
            copy::CopyButton,
            icons::{Glyph, icon},
            json::{LongText, pretty},
        },
        format,
    },
};

/// The height of a row in pixels, as in `style/replay.css`.
const ROW_HEIGHT: usize = 36;
/// How many rows are in the document before the first visible one.
const ROWS_BEFORE: usize = 15;
/// The most rows in the document.
const MAX_ROWS: usize = 90;
/// How many rows a page key moves by.
const PAGE_ROWS: usize = 10;

/// Which rows are in the document.
fn rendered_rows(scroll_top: i32, count: usize) -> Range<usize> {
    let first_visible = usize::try_from(scroll_top).unwrap_or(0) / ROW_HEIGHT;
    let start = first_visible.saturating_sub(ROWS_BEFORE).min(count.saturating_sub(MAX_ROWS));
    start..(start + MAX_ROWS).min(count)
}

/// The row to which a key moves from the chosen entry. `row` is the number of rows before the entry, or the entry's own row.
fn moved_to(key: &str, row: Result<usize, usize>, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    let (before, after) = match row {
        Ok(row) => (row.saturating_sub(1), row + 1),
        Err(row) => (row.saturating_sub(1), row),
    };
    let row = match key {
        "ArrowDown" => after,
        "ArrowUp" => before,
        "PageDown" => after + PAGE_ROWS - 1,
        "PageUp" => (before + 1).saturating_sub(PAGE_ROWS),
        "Home" => 0,
        "End" => last,
        _ => return None,
    };
    Some(row.min(last))
}

fn option_id(index: usize) -> String {
    format!("replay-entry-{index}")
}

/// The entries, which of them are listed, and the scroll position of the list.
#[derive(Clone, Copy)]
struct EntryList {
    player: Player,
    entries: StoredValue<Arc<Vec<RunEntry>>>,
    /// The indices of the entries that match the filter.
    listed: Memo<Vec<usize>>,
    area: NodeRef<html::Div>,
    scroll_top: RwSignal<i32>,
}

impl EntryList {
    /// The index of the entry at the replay's position. Reactive.
    fn chosen(self) -> usize {
        self.player.position.get().saturating_sub(1)
    }

    /// The row of the entry at the replay's position, or the number of rows before it. Reactive.
    fn chosen_row(self) -> Result<usize, usize> {
        let chosen = self.chosen();
        self.listed.with(|listed| listed.binary_search(&chosen))
    }

    fn on_keydown(self, event: &KeyboardEvent) {
        if event.ctrl_key() || event.alt_key() || event.meta_key() || event.shift_key() {
            return;
        }
        let (row, count) = untrack(|| (self.chosen_row(), self.listed.with(Vec::len)));
        let Some(row) = moved_to(&event.key(), row, count) else { return };
        event.prevent_default();
        if let Some(index) = self.listed.with_untracked(|listed| listed.get(row).copied()) {
            self.player.stand(index + 1);
        }
    }

    /// Scrolls the list so that the chosen entry is in view.
    fn reveal_chosen(self) {
        let Some(area) = self.area.try_get_untracked().flatten() else { return };
        let row = untrack(|| self.chosen_row()).unwrap_or_else(|row| row.saturating_sub(1));
        let (top, height) = (i32::try_from(row * ROW_HEIGHT).unwrap_or(i32::MAX), area.client_height());
        let row_height = ROW_HEIGHT as i32;
        if top < area.scroll_top() {
            area.set_scroll_top(top);
        } else if top.saturating_add(row_height) > area.scroll_top() + height {
            area.set_scroll_top(top.saturating_add(row_height) - height);
        }
    }
}

/// The drawer.
#[component]
pub(super) fn Drawer(player: Player, run_id: RunId) -> impl IntoView {
    let entries = player.recording.with_value(|recording| recording.entries.clone());
    let kinds = kinds(&entries);
    let all = entries.len();
    let entries = StoredValue::new(entries);
    let (text, of_kind) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    let listed = Memo::new(move |_| {
        let of_kind = of_kind.get();
        let of_kind = Some(of_kind.as_str()).filter(|kind| !kind.is_empty());
        entries.with_value(|entries| text.with(|text| matching(entries, text, of_kind)))
    });
    let count = move || match listed.with(Vec::len) {
        1 if all == 1 => "1 entry".to_owned(),
        count if count == all => format!("{} entries", format::number(all as f64)),
        count => format!("{} of {} entries", format::number(count as f64), format::number(all as f64)),
    };
    let download = move |_| {
        let lines =
            entries.with_value(|entries| entries.iter().map(|entry| json_line(entry) + "\n").collect::<String>());
        browser::download(&format!("run-{run_id}.jsonl"), &lines);
    };
    let options =
        kinds.into_iter().map(|(kind, count)| view! { <option value=kind>{format!("{kind} ({count})")}</option> });
    let list = EntryList { player, entries, listed, area: NodeRef::new(), scroll_top: RwSignal::new(0) };
    view! {
        <aside class="replay-drawer" id="replay-entries" aria-label="Log entries">
            <div class="replay-filter">
                <input
                    type="search"
                    aria-label="Filter entries"
                    placeholder="Filter entries"
                    on:input:target=move |event| text.set(event.target().value())
                />
                <select aria-label="Kind of entry" on:change:target=move |event| of_kind.set(event.target().value())>
                    <option value="">"All kinds"</option>
                    {options.collect_view()}
                </select>
                <p class="quiet" role="status">{count}</p>
                <button type="button" class="small-button" title="Download all entries as JSON Lines" on:click=download>
                    {icon(Glyph::Download)} "Download"
                </button>
            </div>
            <List list/>
            <ChosenEntry list/>
        </aside>
    }
    .into_any()
}

/// The list.
#[component]
fn List(list: EntryList) -> impl IntoView {
    let EntryList { listed, area, scroll_top, .. } = list;
    let rendered = Memo::new(move |_| rendered_rows(scroll_top.get(), listed.with(Vec::len)));
    let rows = Memo::new(move |_| {
        let Range { start, end } = rendered.get();
        listed.with(|listed| listed.get(start..end).unwrap_or_default().to_vec())
    });
    // Once the rows are in the document.
    Effect::new(move |_| {
        list.player.position.track();
        listed.track();
        request_animation_frame(move || list.reveal_chosen());
    });
    let active = move || {
        let row = list.chosen_row().ok()?;
        rendered.with(|rendered| rendered.contains(&row)).then(|| option_id(list.chosen()))
    };
    let space = move |rows: usize| (rows * ROW_HEIGHT).to_string();
    let before = move || space(rendered.with(|rendered| rendered.start));
    let after = move || space(listed.with(Vec::len) - rendered.with(|rendered| rendered.end));
    view! {
        <div
            class="replay-list"
            role="listbox"
            tabindex="0"
            aria-label="Entries"
            aria-activedescendant=active
            node_ref=area
            on:scroll=move |_| {
                if let Some(area) = area.get_untracked() {
                    scroll_top.set(area.scroll_top());
                }
            }
            on:keydown=move |event| list.on_keydown(&event)
        >
            <svg class="replay-space" aria-hidden="true" height=before></svg>
            <For each=move || rows.get() key=|index| *index children=move |index| row_view(list, index)/>
            <svg class="replay-space" aria-hidden="true" height=after></svg>
        </div>
        <Show when=move || listed.with(Vec::is_empty)>
            <p class="quiet centred">"No entry matches."</p>
        </Show>
    }
    .into_any()
}

/// The time since the run's first entry.
fn time_label(entries: &[RunEntry], at: i64) -> String {
    format::duration(entries.first().map_or(0, |first| at - first.at))
}

fn row_view(list: EntryList, index: usize) -> Option<AnyView> {
    let (seq, time, kind, line) = list.entries.with_value(|entries| {
        let RunEntry { seq, at, entry } = entries.get(index)?;
        Some((*seq, time_label(entries, *at), kind(entry), first_line(entry)))
    })?;
    let is_chosen = move || list.chosen() == index;
    let row = move || list.listed.with(|listed| listed.binary_search(&index)).map_or(1, |row| row + 1).to_string();
    Some(
        view! {
            <div
                class="replay-entry"
                role="option"
                id=option_id(index)
                aria-selected=move || is_chosen().to_string()
                aria-posinset=row
                aria-setsize=move || list.listed.with(Vec::len).to_string()
                on:click=move |_| list.player.stand(index + 1)
            >
                <span class="replay-seq">{seq}</span>
                <span class="replay-time">{time}</span>
                <span class="replay-kind">{kind}</span>
                <span class="replay-line">{line}</span>
            </div>
        }
        .into_any(),
    )
}

/// The entry at the replay's position, as JSON.
#[component]
fn ChosenEntry(list: EntryList) -> impl IntoView {
    let json = Memo::new(move |_| {
        let index = list.chosen();
        list.entries.with_value(|entries| entries.get(index).map(json_line)).unwrap_or_default()
    });
    let title = move || {
        let index = list.chosen();
        list.entries.with_value(|entries| {
            entries.get(index).map(|entry| format!("Entry {}, {}", entry.seq, time_label(entries, entry.at)))
        })
    };
    let text = Signal::derive(move || json.with(|json| pretty(json)));
    let copied = Callback::new(move |()| text.get_untracked());
    view! {
        <section class="replay-json" aria-label="Selected entry">
            <p class="replay-json-title"><strong>{title}</strong> <CopyButton class="small-button" text=copied/></p>
            <LongText text label="JSON of the entry"/>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rows_near_the_visible_ones_are_in_the_document() {
        assert_eq!(rendered_rows(0, 10), 0..10);
        assert_eq!(rendered_rows(0, 10_000), 0..90);
        assert_eq!(rendered_rows(36 * 5_000, 10_000), 4_985..5_075);
        assert_eq!(rendered_rows(36 * 9_990, 10_000), 9_910..10_000);
        // The list became shorter than the place to which it is scrolled.
        assert_eq!(rendered_rows(36 * 9_990, 3), 0..3);
        assert_eq!(rendered_rows(-5, 0), 0..0);
    }

    #[test]
    fn keys_move_between_the_listed_entries() {
        assert_eq!((moved_to("ArrowDown", Ok(3), 10), moved_to("ArrowDown", Ok(9), 10)), (Some(4), Some(9)));
        assert_eq!((moved_to("ArrowUp", Ok(3), 10), moved_to("ArrowUp", Ok(0), 10)), (Some(2), Some(0)));
        // The chosen entry is not listed: it lies before row 3.
        assert_eq!((moved_to("ArrowDown", Err(3), 10), moved_to("ArrowUp", Err(3), 10)), (Some(3), Some(2)));
        assert_eq!((moved_to("Home", Err(3), 10), moved_to("End", Ok(0), 10)), (Some(0), Some(9)));
        assert_eq!((moved_to("PageDown", Ok(0), 100), moved_to("PageUp", Ok(3), 100)), (Some(10), Some(0)));
        assert_eq!((moved_to("ArrowDown", Err(0), 0), moved_to("x", Ok(0), 5)), (None, None));
    }
}
