//! The prompts that are suggested while `/` and a part of a name are typed.

use leptos::prelude::*;

use crate::{
    protocol::{Person, PromptInfo, PromptList, limits::MAX_PROMPT_NAME_CHARS},
    socket::context::use_socket,
    text::escape_invisible,
    ui::{
        browser,
        components::{
            icons::Glyph,
            suggestions::{Choice, Suggestion},
        },
        latest::{Latest, latest},
    },
};

/// How many prompts are suggested.
const MAX_SUGGESTED: usize = 8;

/// The part of a name that follows the `/`, in lower case. A text with several lines is a message.
fn typed_name(text: &str) -> Option<String> {
    let name = text.strip_prefix('/')?;
    let is_name = name.chars().count() <= MAX_PROMPT_NAME_CHARS && !name.contains('\n');
    is_name.then(|| name.trim().to_lowercase())
}

/// The suggestions for a text, and whether the first ones are being loaded.
pub(crate) fn suggested_prompts(text: RwSignal<String>) -> (Memo<Vec<Suggestion>>, Signal<bool>) {
    let socket = use_socket();
    let name = Memo::new(move |_| text.with(|text| typed_name(text)));
    let found = latest::<PromptList>(Signal::derive(move || {
        let name = name.get()?;
        Some(format!("/api/prompts?limit={MAX_SUGGESTED}&q={}", browser::encode(&name)))
    }));
    let suggestions = Memo::new(move |_| {
        let name = name.get();
        name.map(|name| found.with(|found| suggestions(&name, found))).unwrap_or_default()
    });
    // A complete list of an earlier, shorter name has all that match a longer one.
    let is_incomplete =
        |found: &Latest<PromptList>| found.is_loading && found.response.as_ref().is_none_or(|list| list.more);
    let is_loading = Signal::derive(move || socket.is_up_to_date() && found.with(is_incomplete));
    (suggestions, is_loading)
}

/// The suggestions for a name. Those of an earlier response stay as long as they match.
fn suggestions(name: &str, found: &Latest<PromptList>) -> Vec<Suggestion> {
    let prompts = found.response.iter().flat_map(|list| &list.prompts);
    let matching = prompts.filter(|prompt| prompt.name.to_lowercase().contains(name));
    let mut suggestions: Vec<Suggestion> = matching.map(suggestion).collect();
    // Only while nothing follows the `/`: otherwise a message that begins with it could not be sent.
    if name.is_empty() && !found.is_loading {
        let (name, about) = ("Prompt library".to_owned(), "Find, write and share prompts".to_owned());
        suggestions.push(Suggestion {
            glyph: Glyph::Edit,
            name,
            code: None,
            about,
            is_usable: true,
            choice: Choice::Library,
        });
    }
    suggestions
}

fn suggestion(prompt: &PromptInfo) -> Suggestion {
    let excerpt = prompt.excerpt.split_whitespace().collect::<Vec<_>>().join(" ");
    let of = |owner: &Person| format!("Of {}. ", owner.name);
    let owner = prompt.owner.as_ref().map(of).unwrap_or_default();
    Suggestion {
        glyph: Glyph::File,
        name: escape_invisible(&prompt.name),
        code: None,
        about: escape_invisible(&format!("{owner}{excerpt}")),
        is_usable: true,
        choice: Choice::Prompt(prompt.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PromptId;

    fn found(names: &[&str]) -> Latest<PromptList> {
        let prompt = |name: &&str| PromptInfo {
            id: PromptId::new(),
            name: (*name).to_owned(),
            excerpt: "Write\n  it".to_owned(),
            shared: false,
            owner: None,
            updated_at: 0,
        };
        let prompts = names.iter().map(prompt).collect();
        Latest { response: Some(PromptList { prompts, more: false }), is_failed: false, is_loading: false }
    }

    #[test]
    fn one_line_that_begins_with_a_slash_is_a_name() {
        assert_eq!(typed_name("/").as_deref(), Some(""));
        assert_eq!(typed_name("/Weekly Report").as_deref(), Some("weekly report"));
        assert_eq!(
            (typed_name("a /b"), typed_name("/a\nb"), typed_name(&format!("/{}", "x".repeat(61)))),
            (None, None, None)
        );
    }

    #[test]
    fn prompts_are_suggested_by_a_part_of_their_name() {
        let names = |typed: &str| {
            suggestions(typed, &found(&["Weekly report", "Costs"])).into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["Weekly report", "Costs", "Prompt library"]);
        assert_eq!(names("report"), ["Weekly report"]);
        assert!(names("etc/hosts").is_empty());
        assert_eq!(suggestions("costs", &found(&["Costs"]))[0].about, "Write it");
    }
}
