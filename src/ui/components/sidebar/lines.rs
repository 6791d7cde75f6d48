//! The lines of the list of threads: a heading for each group, and the rows of its threads. Pinned threads come first, then all others by
//! the date of their latest activity in the reader's time zone. Archived and temporary threads are left out.

use crate::{
    protocol::{TagId, ThreadId},
    thread::{ThreadSummary, UserFeed},
    ui::{components::clock::LocalDay, format},
};

/// How many threads are in the document at most.
pub(super) const MAX_ROWS: usize = 200;

/// A group of threads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// Pinned.
    Pinned,
    /// All others, as long as the reader's date is not known: on the server, and until the page is hydrated.
    Recent,
    /// Active today.
    Today,
    /// Active yesterday.
    Yesterday,
    /// Active up to 7 days ago.
    Previous7Days,
    /// Active up to 30 days ago.
    Previous30Days,
    /// Active in this month: `October 2026`.
    Month(String),
}

impl Group {
    fn for_thread(thread: &ThreadSummary, today: Option<LocalDay>) -> Self {
        let Some(LocalDay { number, utc_offset }) = today.filter(|_| !thread.info.pinned) else {
            return if thread.info.pinned { Self::Pinned } else { Self::Recent };
        };
        match number - format::day_number(thread.active_at, utc_offset) {
            ..=0 => Self::Today,
            1 => Self::Yesterday,
            2..=7 => Self::Previous7Days,
            8..=30 => Self::Previous30Days,
            _ => Self::Month(format::month(thread.active_at, utc_offset)),
        }
    }

    /// Its heading.
    pub(super) fn heading(&self) -> String {
        match self {
            Self::Pinned => "Pinned".into(),
            Self::Recent => "Recent".into(),
            Self::Today => "Today".into(),
            Self::Yesterday => "Yesterday".into(),
            Self::Previous7Days => "Previous 7 days".into(),
            Self::Previous30Days => "Previous 30 days".into(),
            Self::Month(month) => month.clone(),
        }
    }
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// The heading above a group.
    Heading(Group),
    /// The row of a thread.
    Thread(ThreadId),
}

/// The lines that are in the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// The lines, top to bottom.
    pub(super) lines: Vec<Line>,
    /// How many threads of the feed come before the first line.
    pub(super) before: usize,
    /// How many threads of the feed come after the last line.
    pub(super) after: usize,
}

impl Lines {
    /// The lines of at most [`MAX_ROWS`] threads, from the index `first` on; those of the last threads if there are fewer after it.
    /// `hidden` threads, and those without the `tag`, if there is one, are left out.
    pub(super) fn new(
        feed: &UserFeed,
        (hidden, tag): (&[ThreadId], Option<TagId>),
        first: usize,
        today: Option<LocalDay>,
    ) -> Self {
        let has_tag = |thread: &ThreadSummary| tag.is_none_or(|tag| thread.info.tags.contains(&tag));
        let is_listed =
            |thread: &ThreadSummary| !thread.info.archived && thread.info.temporary.is_none() && has_tag(thread);
        let listed = || feed.threads.iter().filter(|thread| is_listed(thread) && !hidden.contains(&thread.info.id));
        let pinned = listed().filter(|thread| thread.info.pinned);
        let all: Vec<&ThreadSummary> = pinned.chain(listed().filter(|thread| !thread.info.pinned)).collect();
        let before = first.min(all.len().saturating_sub(MAX_ROWS));
        let shown = &all[before..all.len().min(before + MAX_ROWS)];
        let mut lines = Vec::with_capacity(shown.len() + 8);
        let mut group = None;
        for thread in shown {
            let of_thread = Group::for_thread(thread, today);
            if group.as_ref() != Some(&of_thread) {
                lines.push(Line::Heading(of_thread.clone()));
                group = Some(of_thread);
            }
            lines.push(Line::Thread(thread.info.id));
        }
        Self { lines, before, after: all.len() - before - shown.len() }
    }

    /// The threads, top to bottom.
    pub(super) fn threads(&self) -> impl Iterator<Item = ThreadId> {
        self.lines.iter().filter_map(|line| match line {
            Line::Thread(id) => Some(*id),
            Line::Heading(_) => None,
        })
    }

    /// The thread after this one, or before it if this is the last.
    pub(super) fn neighbour(&self, id: ThreadId) -> Option<ThreadId> {
        let after = self.threads().skip_while(|other| *other != id).nth(1);
        after.or_else(|| self.threads().take_while(|other| *other != id).last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ThreadInfo;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    /// Noon of 15 November 2026, UTC.
    const NOON: i64 = 1_794_744_000_000;

    /// A feed whose threads were active at these times, latest first; the title of each is its index.
    fn feed(active_at: &[i64]) -> UserFeed {
        let thread = |(index, at): (usize, &i64)| {
            ThreadSummary::new(ThreadInfo::new(ThreadId::new(), index.to_string(), "a", *at), *at)
        };
        UserFeed { threads: active_at.iter().enumerate().map(thread).collect(), older: None, tags: Vec::new() }
    }

    /// Headings, and the titles of threads.
    fn texts(feed: &UserFeed, lines: &Lines) -> Vec<String> {
        let text = |line: &Line| match line {
            Line::Heading(group) => group.heading(),
            Line::Thread(id) => feed.thread(*id).map(|thread| thread.info.title.clone()).unwrap_or_default(),
        };
        lines.lines.iter().map(text).collect()
    }

    fn today(utc_offset: i64) -> Option<LocalDay> {
        Some(LocalDay { number: format::day_number(NOON, utc_offset), utc_offset })
    }

    #[test]
    fn threads_are_grouped_by_the_date_of_their_latest_activity() {
        let days = [0, 1, 2, 7, 8, 30, 31, 46, 365];
        let feed = feed(&days.map(|days| NOON - days * DAY));
        assert_eq!(
            texts(&feed, &Lines::new(&feed, (&[], None), 0, today(0))),
            [
                "Today",
                "0",
                "Yesterday",
                "1",
                "Previous 7 days",
                "2",
                "3",
                "Previous 30 days",
                "4",
                "5",
                "October 2026",
                "6",
                "September 2026",
                "7",
                "November 2025",
                "8"
            ]
        );
    }

    #[test]
    fn days_begin_at_midnight_in_the_time_zone_of_the_reader() {
        let feed = feed(&[NOON + DAY, NOON - 11 * HOUR, NOON - 13 * HOUR]);
        assert_eq!(texts(&feed, &Lines::new(&feed, (&[], None), 0, today(0))), ["Today", "0", "1", "Yesterday", "2"]);
        assert_eq!(texts(&feed, &Lines::new(&feed, (&[], None), 0, today(120))), ["Today", "0", "1", "2"]);
        assert_eq!(
            texts(&feed, &Lines::new(&feed, (&[], None), 0, today(-120))),
            ["Today", "0", "Yesterday", "1", "2"]
        );
        assert_eq!(texts(&feed, &Lines::new(&feed, (&[], None), 0, None)), ["Recent", "0", "1", "2"]);
    }

    #[test]
    fn pinned_threads_come_first_and_archived_and_hidden_ones_are_left_out() {
        let mut feed = feed(&[NOON; 5]);
        feed.threads[3].info.pinned = true;
        feed.threads[1].info.archived = true;
        let hidden = [feed.threads[0].info.id];
        let lines = Lines::new(&feed, (&hidden, None), 0, today(0));
        assert_eq!(texts(&feed, &lines), ["Pinned", "3", "Today", "2", "4"]);
        let tag = TagId::new();
        feed.threads[2].info.tags.push(tag);
        let tagged = Lines::new(&feed, (&hidden, Some(tag)), 0, today(0));
        assert_eq!(texts(&feed, &tagged), ["Today", "2"]);
        let [pinned, second, last] = [3, 2, 4].map(|index: usize| feed.threads[index].info.id);
        assert_eq!(lines.neighbour(pinned), Some(second));
        assert_eq!(lines.neighbour(last), Some(second));
    }

    #[test]
    fn the_number_of_rows_is_bounded() {
        let feed = feed(&vec![NOON; MAX_ROWS + 100]);
        let lines = Lines::new(&feed, (&[], None), 30, today(0));
        assert_eq!((lines.threads().count(), lines.before, lines.after), (MAX_ROWS, 30, 70));
        let end = Lines::new(&feed, (&[], None), 1_000, today(0));
        assert_eq!((end.threads().count(), end.before, end.after), (MAX_ROWS, 100, 0));
        assert_eq!(texts(&feed, &end)[..2], ["Today", "100"]);
    }
}
