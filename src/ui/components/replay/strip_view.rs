//! The strip of a replay on the page. It is one tab stop; arrow keys move between its bars.

use leptos::{ev::KeyboardEvent, prelude::*};

use super::{
    player::Player,
    strip::{Bar, Row, rows},
};
use crate::ui::components::focus::focus_id;

fn bar_id(index: usize) -> String {
    format!("replay-bar-{index}")
}

/// A share as a percentage.
fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// The bar to which a key moves the focus. `first_bars` has the number of each row's first bar.
fn moved_to(key: &str, index: usize, count: usize, first_bars: &[usize]) -> Option<usize> {
    let row = first_bars.partition_point(|first| *first <= index).saturating_sub(1);
    Some(match key {
        "ArrowRight" => (index + 1).min(count.saturating_sub(1)),
        "ArrowLeft" => index.saturating_sub(1),
        "ArrowDown" => first_bars.get(row + 1).copied().unwrap_or(index),
        "ArrowUp" => first_bars[..row].last().copied().unwrap_or(0),
        "Home" => 0,
        "End" => count.saturating_sub(1),
        _ => return None,
    })
}

/// The strip. A press on a bar shows the position of its beginning.
#[component]
pub(super) fn Strip(player: Player, agent: String) -> impl IntoView {
    let rows = Memo::new(move |_| {
        let rows = player.pace.with(|pace| player.recording.with_value(|recording| rows(recording, &agent, pace)));
        // A row without bars would be an empty line.
        rows.into_iter().filter(|row| !row.bars.is_empty()).collect::<Vec<_>>()
    });
    // The bar in the tab order.
    let focused = RwSignal::new(0_usize);
    let on_keydown = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let (first_bars, count) = rows.with_untracked(|rows| first_bars(rows));
        let Some(next) = moved_to(&event.key(), focused.get_untracked(), count, &first_bars) else { return };
        event.prevent_default();
        focused.set(next);
        focus_id(&bar_id(next));
    };
    let cursor = move || {
        let index = player.position.get().saturating_sub(1);
        player.pace.with(|pace| {
            let total = pace.total();
            percent(if total > 0.0 { (pace.offset_of(index) / total).clamp(0.0, 1.0) } else { 0.0 })
        })
    };
    view! {
        <div class="strip" role="group" aria-label="Agents, steps, tools and waits" on:keydown=on_keydown>
            <div class="strip-content">
                {move || rows.with(|rows| {
                    let (first_bars, _) = first_bars(rows);
                    rows.iter().zip(first_bars).map(|(row, first)| row_view(player, focused, row, first)).collect_view()
                })}
                <div class="strip-cursor" aria-hidden="true">
                    <svg><line x1=cursor x2=cursor y1="0" y2="100%"></line></svg>
                </div>
            </div>
        </div>
    }
    .into_any()
}

/// The number of each row's first bar, and the number of all bars.
fn first_bars(rows: &[Row]) -> (Vec<usize>, usize) {
    let mut count = 0;
    let first_bars = rows.iter().map(|row| {
        let first = count;
        count += row.bars.len();
        first
    });
    (first_bars.collect(), count)
}

fn row_view(player: Player, focused: RwSignal<usize>, row: &Row, first: usize) -> AnyView {
    let bars = row.bars.iter().enumerate().map(|(index, bar)| bar_view(player, focused, bar, first + index));
    let bars = bars.collect_view();
    let (label, row_name) = (row.label.clone(), row.label.clone());
    view! {
        <div class="strip-row" class:strip-agent=row.is_agent data-depth=row.depth.min(4).to_string()>
            <span class="strip-label" title=label.clone()><bdi>{label.clone()}</bdi></span>
            <svg class="strip-bars" role="group" aria-label=row_name>{bars}</svg>
        </div>
    }
    .into_any()
}

fn bar_view(player: Player, focused: RwSignal<usize>, bar: &Bar, index: usize) -> AnyView {
    let (label, position, (from, to)) = (bar.label(), bar.position, bar.extent);
    let tooltip = label.clone();
    let stand = move || {
        focused.set(index);
        player.stand(position);
    };
    let on_keydown = move |event: KeyboardEvent| {
        if matches!(event.key().as_str(), "Enter" | " ") {
            event.prevent_default();
            stand();
        }
    };
    view! {
        <rect
            id=bar_id(index)
            class="strip-bar"
            class:failed=bar.has_failed
            data-kind=bar.kind.name()
            role="button"
            tabindex=move || if focused.get() == index { "0" } else { "-1" }
            aria-label=label
            x=percent(from)
            y="2"
            width=percent(to - from)
            height="14"
            rx="2"
            on:click=move |_| stand()
            on:keydown=on_keydown
        >
            <title>{tooltip}</title>
        </rect>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_between_bars_and_rows() {
        // Rows with 2, 1 and 3 bars.
        let moved = |key, index| moved_to(key, index, 6, &[0, 2, 3]);
        assert_eq!((moved("ArrowRight", 1), moved("ArrowRight", 5)), (Some(2), Some(5)));
        assert_eq!((moved("ArrowLeft", 3), moved("ArrowLeft", 0)), (Some(2), Some(0)));
        assert_eq!((moved("ArrowDown", 1), moved("ArrowDown", 4)), (Some(2), Some(4)));
        assert_eq!((moved("ArrowUp", 4), moved("ArrowUp", 1)), (Some(2), Some(0)));
        assert_eq!((moved("Home", 4), moved("End", 0), moved("a", 0)), (Some(0), Some(5), None));
        assert_eq!(moved_to("End", 0, 0, &[]), Some(0));
    }
}
