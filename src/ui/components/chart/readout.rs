//! Reads the values of a chart's points: of the point nearest to the pointer, or chosen with the arrow keys.

use leptos::{ev, prelude::*};

use crate::ui::components::event_target;

/// By how many points Page Up and Page Down move.
const PAGE: usize = 10;

/// Where the points of a chart are along its width. Each variant has their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Points {
    /// From one edge to the other, as those of lines.
    Edges(usize),
    /// In the middles of equal parts, as those of bars.
    Middles(usize),
}

impl Points {
    fn count(self) -> usize {
        match self {
            Self::Edges(count) | Self::Middles(count) => count,
        }
    }

    /// The index of the last point.
    fn last(self) -> usize {
        self.count().saturating_sub(1)
    }

    /// The position of a point, in percent of the width.
    fn position(self, index: usize) -> f64 {
        match self {
            Self::Edges(_) => index as f64 / self.last().max(1) as f64 * 100.0,
            Self::Middles(count) => (index as f64 + 0.5) / count.max(1) as f64 * 100.0,
        }
    }

    /// The point nearest to a share of the width, from 0 to 1.
    fn nearest(self, share: f64) -> usize {
        let index = match self {
            Self::Edges(_) => (share * self.last() as f64).round(),
            Self::Middles(count) => (share * count as f64).floor(),
        };
        // A negative number or NaN becomes 0.
        (index as usize).min(self.last())
    }

    /// The point to which a key moves.
    fn moved(self, from: usize, key: &str) -> Option<usize> {
        let to = match key {
            "ArrowLeft" | "ArrowDown" => from.saturating_sub(1),
            "ArrowRight" | "ArrowUp" => from + 1,
            "PageDown" => from.saturating_sub(PAGE),
            "PageUp" => from + PAGE,
            "Home" => 0,
            "End" => self.last(),
            _ => return None,
        };
        Some(to.min(self.last()))
    }
}

/// An area over a chart's drawing, and below it the label and the values of the selected point, which `describe` returns.
#[component]
pub(super) fn Readout(
    title: String,
    points: Points,
    describe: impl Fn(usize) -> String + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let selected = RwSignal::new(None::<usize>);
    let has_focus = RwSignal::new(false);
    let index = move || selected.get().unwrap_or_default();
    let point_at = move |event: ev::PointerEvent| {
        if let Some(area) = event_target::target(&event) {
            let share = f64::from(event.offset_x()) / f64::from(area.client_width());
            selected.set(Some(points.nearest(share)));
        }
    };
    let on_key = move |event: ev::KeyboardEvent| {
        if let Some(to) = points.moved(index(), &event.key()) {
            event.prevent_default();
            selected.set(Some(to));
        }
    };
    let guide = move || {
        let position = points.position(selected.get()?);
        Some(view! {
            <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
                <path d=format!("M{position:.2} 0V100")></path>
            </svg>
        })
    };
    view! {
        <div
            class="readout" role="slider" tabindex="0" aria-label=format!("Values of {title}")
            aria-valuemin="1" aria-valuemax=points.count() aria-valuenow=move || index() + 1
            aria-valuetext=move || describe(index())
            on:pointermove=point_at on:pointerdown=point_at
            on:pointerleave=move |_| if !has_focus.get() { selected.set(None) }
            on:focus=move |_| {
                has_focus.set(true);
                selected.update(|selected| _ = selected.get_or_insert_default());
            }
            on:blur=move |_| {
                has_focus.set(false);
                selected.set(None);
            }
            on:keydown=on_key
        >
            {guide}
        </div>
        <p class="readout-values" aria-hidden="true">
            {move || selected.get().map_or_else(|| "Point at the chart to read its values.".to_owned(), describe)}
        </p>
    }
}

#[cfg(test)]
mod tests {
    use super::Points;

    #[test]
    fn the_nearest_point_is_the_one_drawn_there() {
        for points in [Points::Edges(7), Points::Middles(7), Points::Edges(1), Points::Middles(1)] {
            for index in 0..points.count() {
                assert_eq!(points.nearest(points.position(index) / 100.0), index, "{points:?}");
            }
        }
        assert_eq!((Points::Edges(3).nearest(-0.5), Points::Edges(3).nearest(1.5)), (0, 2));
        assert_eq!((Points::Middles(0).nearest(0.5), Points::Edges(3).nearest(f64::NAN)), (0, 0));
    }

    #[test]
    fn keys_move_within_the_points() {
        let points = Points::Edges(12);
        let moved = ["ArrowLeft", "ArrowRight", "PageUp", "End", "Home"].map(|key| points.moved(5, key));
        assert_eq!(moved, [Some(4), Some(6), Some(11), Some(11), Some(0)]);
        assert_eq!((points.moved(0, "ArrowLeft"), points.moved(11, "ArrowRight")), (Some(0), Some(11)));
        assert_eq!(points.moved(5, "Tab"), None);
    }
}
