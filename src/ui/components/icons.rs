//! Icons: strokes on a 24 by 24 grid in the colour of the surrounding text. They are hidden from screen readers, so put a text or a
//! label next to each.

use leptos::prelude::*;

/// An icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyph {
    Archive,
    Attach,
    Check,
    Chevron,
    Close,
    Copy,
    Down,
    Download,
    Edit,
    File,
    Fork,
    Inbox,
    Keyboard,
    Link,
    Menu,
    Moon,
    More,
    Pause,
    People,
    Pin,
    Play,
    Plus,
    Question,
    Redo,
    Search,
    Send,
    SignOut,
    Spark,
    Stop,
    Sun,
    System,
    Tag,
    ThumbDown,
    ThumbUp,
    Thread,
    Tool,
    Trash,
    Undo,
    Up,
    Warning,
}

impl Glyph {
    fn path(self) -> &'static str {
        match self {
            Self::Archive => "M4 5h16v4H4zM5.5 9v10h13V9M10 13h4",
            Self::Attach => {
                "M20 11.5l-8.2 8.2a5 5 0 0 1-7.1-7.1l8.6-8.6a3.4 3.4 0 0 1 4.8 4.8l-8.6 8.6a1.7 1.7 0 0 1-2.4-2.4l7.6-7.6"
            }
            Self::Check => "M5 12.5l4.5 4.5L19 7.5",
            Self::Chevron => "M9 6l6 6-6 6",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Copy => "M9 9h11v11H9zM15 9V4H4v11h5",
            Self::Down => "M12 5v14M6 13l6 6 6-6",
            Self::Download => "M12 4v11M7 11l5 5 5-5M5 20h14",
            Self::Edit => "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
            Self::File => "M7 3h7l4 4v14H7zM14 3v4h4M10 13h5M10 17h5",
            Self::Fork => "M7 20V4M7 14c6 0 10-1.500 10-8M13.500 9L17 5.500L20.500 9",
            Self::Inbox => "M4 13l3-8h10l3 8v6H4zM4 13h5l1 2.500h4L15 13h5",
            Self::Keyboard => "M3 6h18v12H3zM7 10h.01M12 10h.01M17 10h.01M8 14h8",
            Self::Link => {
                "M10 13a5 5 0 0 0 7.5.5l3-3a5 5 0 0 0-7-7l-1.5 1.5M14 11a5 5 0 0 0-7.5-.5l-3 3a5 5 0 0 0 7 7l1.5-1.5"
            }
            Self::Menu => "M4 7h16M4 12h16M4 17h10",
            Self::Moon => "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.500 10.5z",
            Self::More => "M5 12h.01M12 12h.01M19 12h.01",
            Self::People => {
                "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6M16 4.3a3.5 3.5 0 0 1 0 6.4M17.5 14.4c2.4.7 4 2.8 4 5.6"
            }
            Self::Pause => "M8 5v14M16 5v14",
            Self::Pin => "M9 4h6l-1 7 3 3H7l3-3zM12 14v6",
            Self::Play => "M7 4.500l12 7.500-12 7.500z",
            Self::Plus => "M12 5v14M5 12h14",
            Self::Question => "M8.500 9a3.500 3.500 0 1 1 5 3.200c-1 .500-1.500 1.200-1.500 2.300M12 18h.01",
            Self::Redo => "M20 5v5h-5M19.500 10A8 8 0 1 0 20 14",
            Self::Search => "M10.500 4a6.500 6.500 0 1 1 0 13a6.500 6.500 0 0 1 0-13M15.200 15.200L20 20",
            Self::Send => "M12 19V5M5.500 11.5L12 5l6.500 6.5",
            Self::SignOut => "M14 4h5v16h-5M4 12h11M8 8l-4 4 4 4",
            Self::Spark => "M12 3l1.900 6.100L20 11l-6.100 1.900L12 19l-1.900-6.100L4 11l6.100-1.900z",
            Self::Stop => "M7 7h10v10H7z",
            Self::Sun => {
                "M12 8a4 4 0 1 1 0 8a4 4 0 0 1 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5"
            }
            Self::System => "M4 5h16v11H4zM9 20h6M12 16v4",
            Self::ThumbDown => {
                "M17 4v9l-4.500 7a2 2 0 0 1-2-2.500L11.500 14H5.500a2 2 0 0 1-2-2.400L5 5.600A2 2 0 0 1 7 4zM17 4h3.500v9H17"
            }
            Self::ThumbUp => {
                "M7 20v-9l4.500-7a2 2 0 0 1 2 2.500L12.500 10h6a2 2 0 0 1 2 2.400L19 18.400A2 2 0 0 1 17 20zM7 20H3.500v-9H7"
            }
            Self::Up => "M12 19V5M6 11l6-6 6 6",
            Self::Tag => "M4 4h8l8.500 8.500-8 8L4 12zM8.200 8.200h.01",
            Self::Thread => "M4 5h16v11H10l-4 4v-4H4z",
            Self::Tool => {
                "M14.500 6.500a4 4 0 0 0-5.300 5L4 16.700 7.300 20l5.200-5.200a4 4 0 0 0 5-5.300l-2.700 2.700-2.500-.500-.500-2.500z"
            }
            Self::Trash => "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
            Self::Undo => "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
            Self::Warning => "M12 4l9 16H3zM12 10v4M12 17h.01",
        }
    }
}

/// An icon as SVG.
pub(crate) fn icon(glyph: Glyph) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d=glyph.path()/>
        </svg>
    }
}

/// Netra's logo: an eye whose iris is a signal.
pub(crate) fn logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
            <path class="logo-lid" d="M3 16C7 9 11.500 6 16 6s9 3 13 10c-4 7-8.500 10-13 10S7 23 3 16z"/>
            <path class="logo-iris" d="M10 16h3l2-5 2.500 10 2-5H22"/>
        </svg>
    }
}
