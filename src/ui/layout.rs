//! What only a page that is laid out has: sizes that change, places of things, what a keyboard leaves to see. On the server
//! nothing of it is ever called.

#[cfg(feature = "hydrate")]
pub(crate) use here::*;
#[cfg(not(feature = "hydrate"))]
pub(crate) use nowhere::*;

#[cfg(feature = "hydrate")]
mod here {
    use leptos::{__reexports::send_wrapper::SendWrapper, prelude::*};
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::Element;

    /// How deep in the content an anchor is looked for.
    const MAX_DEPTH: usize = 16;
    /// What is less is a matter of rounding, in pixels.
    const ROUNDING: f64 = 0.5;

    /// Calls `changed` after an element got another size, and before that is painted; at first too. Until the current
    /// owner ends.
    pub(crate) fn observe_resize(elements: &[&Element], changed: impl Fn() + 'static) {
        let callback = Closure::<dyn FnMut()>::new(changed);
        let Ok(observer) = web_sys::ResizeObserver::new(callback.as_ref().unchecked_ref()) else { return };
        for element in elements {
            observer.observe(element);
        }
        let held = SendWrapper::new((observer, callback));
        on_cleanup(move || held.0.disconnect());
    }

    /// What is at the top of a scroll box, and where exactly: an element with those around it, the outermost first.
    pub(crate) struct Anchor(SendWrapper<Vec<(Element, f64)>>);

    fn top_of(element: &Element) -> f64 {
        element.get_bounding_client_rect().top()
    }

    impl Anchor {
        /// The innermost part of the content that the top edge of the box is in, or that begins below it.
        pub(crate) fn capture(area: &Element, content: &Element) -> Self {
            let edge = top_of(area);
            let (mut chain, mut around) = (Vec::new(), content.clone());
            while chain.len() < MAX_DEPTH {
                let Some(child) = first_below(&around, edge) else { break };
                let top = top_of(&child);
                chain.push((child.clone(), top - edge));
                if top >= edge {
                    break;
                }
                around = child;
            }
            Self(SendWrapper::new(chain))
        }

        /// Scrolls the box so that the anchor is where it was; what is no longer there leaves that to what was around it.
        pub(crate) fn restore(&self, area: &Element) {
            let edge = top_of(area);
            if let Some((element, offset)) = self.0.iter().rev().find(|(element, _)| element.is_connected()) {
                let moved = top_of(element) - edge - offset;
                if moved.abs() > ROUNDING {
                    area.set_scroll_top(area.scroll_top() + moved.round() as i32);
                }
            }
        }
    }

    /// The first child that reaches below an edge. Children stand below each other: half of them is passed at each look.
    fn first_below(around: &Element, edge: f64) -> Option<Element> {
        let children = around.children();
        let (mut from, mut to) = (0, children.length());
        while from < to {
            let middle = from.midpoint(to);
            match children.item(middle)?.get_bounding_client_rect().bottom() > edge {
                true => to = middle,
                false => from = middle + 1,
            }
        }
        children.item(from)
    }

    /// Whether all that points is a finger: such a device has no keyboard but the one on its screen.
    pub(crate) fn is_touch_only() -> bool {
        let query = window().match_media("(hover: none) and (pointer: coarse)").ok().flatten();
        query.is_some_and(|query| query.matches())
    }

    /// Scrolls what is around an element so far that it is in sight.
    pub(crate) fn scroll_into_view(element: &Element) {
        let options = web_sys::ScrollIntoViewOptions::new();
        options.set_block(web_sys::ScrollLogicalPosition::Nearest);
        element.scroll_into_view_with_scroll_into_view_options(&options);
    }

    /// Keeps the height that a keyboard leaves to see in `--visible-height`, where the browser lays a keyboard over the
    /// page and does not say so otherwise. Until the current owner ends.
    pub(crate) fn track_keyboard_height() {
        let Some(viewport) = window().visual_viewport() else { return };
        let seen = viewport.clone();
        let update = Closure::<dyn FnMut()>::new(move || {
            let style = document().document_element().and_then(|root| root.dyn_into::<web_sys::HtmlElement>().ok());
            let (Some(style), Some(height)) = (style.map(|root| root.style()), inner_height()) else { return };
            // A page that is zoomed in shows less of itself too: that is no keyboard.
            let visible = seen.height() * seen.scale();
            if height - visible > 1.0 {
                let _ = style.set_property("--visible-height", &format!("{visible}px"));
                // The browser moved the page to show what is written: it fits now.
                window().scroll_to_with_x_and_y(0.0, 0.0);
            } else {
                let _ = style.remove_property("--visible-height");
            }
        });
        let listener = update.as_ref().unchecked_ref();
        let _ = viewport.add_event_listener_with_callback("resize", listener);
        let held = SendWrapper::new((viewport, update));
        on_cleanup(move || {
            let (viewport, update) = held.take();
            let _ = viewport.remove_event_listener_with_callback("resize", update.as_ref().unchecked_ref());
        });
    }

    fn inner_height() -> Option<f64> {
        window().inner_height().ok()?.as_f64()
    }
}

#[cfg(not(feature = "hydrate"))]
mod nowhere {
    use leptos::web_sys::Element;

    pub(crate) fn observe_resize(_: &[&Element], _: impl Fn() + 'static) {}

    /// What is at the top of a scroll box; nothing here.
    pub(crate) struct Anchor(());

    impl Anchor {
        pub(crate) fn capture(_: &Element, _: &Element) -> Self {
            Self(())
        }

        pub(crate) fn restore(&self, _: &Element) {}
    }

    pub(crate) fn scroll_into_view(_: &Element) {}

    pub(crate) fn is_touch_only() -> bool {
        false
    }

    pub(crate) fn track_keyboard_height() {}
}
