//! Layout in the browser: resize observers, reading positions, the on-screen keyboard. Only effects and event handlers call
//! these functions; the server's build uses [`server_stubs`](super::server_stubs).

#[cfg(not(feature = "hydrate"))]
pub(crate) use super::server_stubs::layout::*;
#[cfg(feature = "hydrate")]
pub(crate) use web::*;

#[cfg(feature = "hydrate")]
mod web {
    use leptos::{__reexports::send_wrapper::SendWrapper, prelude::*};
    use wasm_bindgen::{JsCast, closure::Closure};
    use web_sys::Element;

    /// How many levels of elements [`Anchor::capture`] descends.
    const MAX_DEPTH: usize = 16;
    /// In how many elements from the one at the edge on [`Anchor::capture`] looks for an article: a heading and a button come before them.
    const MAX_SIBLINGS: usize = 4;
    /// How many elements before an answer [`question_above`] looks at: a question may have several runs.
    const MAX_RUNS: usize = 50;
    /// Smaller differences, in pixels, are rounding errors.
    const ROUNDING: f64 = 0.5;

    /// Calls `changed` once at first, and then after each change of an element's size, before it is painted. Stops when the
    /// current owner is cleaned up.
    pub(crate) fn observe_resize(elements: &[&Element], changed: impl Fn() + 'static) {
        let callback = Closure::<dyn FnMut()>::new(changed);
        let Ok(observer) = web_sys::ResizeObserver::new(callback.as_ref().unchecked_ref()) else { return };
        for element in elements {
            observer.observe(element);
        }
        let held = SendWrapper::new((observer, callback));
        on_cleanup(move || held.0.disconnect());
    }

    /// The reading position of a scroll box: the element at its top edge and that element's ancestors, outermost first, each
    /// with its distance from the edge in pixels.
    pub(crate) struct Anchor(SendWrapper<Vec<(Element, f64)>>);

    fn top_of(element: &Element) -> f64 {
        element.get_bounding_client_rect().top()
    }

    fn is_article(element: &Element) -> bool {
        element.tag_name() == "ARTICLE"
    }

    impl Anchor {
        /// Descends to the innermost element of the content that the top edge of the box crosses, or the first one below it.
        pub(crate) fn capture(area: &Element, content: &Element) -> Self {
            let edge = top_of(area);
            let (mut chain, mut around) = (Vec::new(), content.clone());
            while chain.len() < MAX_DEPTH {
                let Some(mut child) = first_below(&around, edge) else { break };
                // What is above the articles stays there when articles are added before those that are being read.
                if chain.is_empty() {
                    let siblings = std::iter::successors(Some(child.clone()), Element::next_element_sibling);
                    child = siblings.take(MAX_SIBLINGS).find(is_article).unwrap_or(child);
                }
                let top = top_of(&child);
                chain.push((child.clone(), top - edge));
                if top >= edge {
                    break;
                }
                around = child;
            }
            Self(SendWrapper::new(chain))
        }

        /// The position at which an element is `offset` pixels below the edge.
        pub(crate) fn at(element: Element, offset: f64) -> Self {
            Self(SendWrapper::new(vec![(element, offset)]))
        }

        /// The article at the edge, or else the first one below it, with its distance from the edge.
        pub(crate) fn article(&self) -> Option<(&Element, f64)> {
            self.0.first().filter(|(element, _)| is_article(element)).map(|(element, offset)| (element, *offset))
        }

        /// Scrolls the box so that the innermost element that is still in the document is where it was.
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

    /// The number of articles in the content that begin above the line that is `below` pixels below the top edge of the box.
    pub(crate) fn articles_above(area: &Element, content: &Element, below: f64) -> usize {
        let line = top_of(area) + below;
        let children = content.children();
        let children = (0..children.length()).filter_map(|index| children.item(index));
        children.filter(is_article).take_while(|article| top_of(article) < line).count()
    }

    /// The question of the answer at the top edge of the box, if the question is above the edge.
    pub(crate) fn question_above(area: &Element, content: &Element) -> Option<Element> {
        let at_edge = first_below(content, top_of(area))?;
        let is_answer = at_edge.has_attribute("data-run-id");
        let before = std::iter::successors(at_edge.previous_element_sibling(), Element::previous_element_sibling);
        before.take(MAX_RUNS).find(|element| element.has_attribute("data-message-id")).filter(|_| is_answer)
    }

    /// The height of the content from the top of an element on.
    pub(crate) fn height_from(element: &Element, content: &Element) -> f64 {
        content.get_bounding_client_rect().bottom() - top_of(element)
    }

    /// The first child whose bottom is below an edge, by binary search: children are laid out top to bottom.
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

    /// Whether the only pointer is a touch screen. Such a device has no keyboard but the one on its screen.
    pub(crate) fn is_touch_only() -> bool {
        let query = window().match_media("(hover: none) and (pointer: coarse)").ok().flatten();
        query.is_some_and(|query| query.matches())
    }

    /// Scrolls the element's ancestors just enough to make it visible.
    pub(crate) fn scroll_into_view(element: &Element) {
        let options = web_sys::ScrollIntoViewOptions::new();
        options.set_block(web_sys::ScrollLogicalPosition::Nearest);
        element.scroll_into_view_with_scroll_into_view_options(&options);
    }

    /// The index of the first element that is not above the visible part of a scroll box.
    pub(crate) fn first_in_view(area: &Element, elements: &[Element]) -> Option<usize> {
        let top = area.get_bounding_client_rect().top();
        elements.iter().position(|element| element.get_bounding_client_rect().bottom() > top)
    }

    /// Keeps the height that the on-screen keyboard leaves visible in the CSS variable `--visible-height`, for browsers that
    /// lay the keyboard over the page without resizing it. Stops when the current owner is cleaned up.
    pub(crate) fn track_keyboard_height() {
        let Some(viewport) = window().visual_viewport() else { return };
        let viewport_now = viewport.clone();
        let update = Closure::<dyn FnMut()>::new(move || {
            let style = document().document_element().and_then(|root| root.dyn_into::<web_sys::HtmlElement>().ok());
            let (Some(style), Some(height)) = (style.map(|root| root.style()), inner_height()) else { return };
            // Zooming also makes the viewport smaller; scaling undoes that.
            let visible = viewport_now.height() * viewport_now.scale();
            if height - visible > 1.0 {
                let _ = style.set_property("--visible-height", &format!("{visible}px"));
                // The browser scrolled the page to show the field; at this height the field fits without that.
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
