//! The button that attaches files, and the file types that agents read.

use leptos::{html, prelude::*};

use super::{
    clock::use_clock,
    draft::Draft,
    icons::{Glyph, icon},
    mention::parse_mention,
};
use crate::{
    protocol::{http::AgentInfo, limits},
    ui::browser::take_chosen_files,
};

/// The file types that the addressed agent reads, as a file input's `accept`; empty for any.
pub(super) fn accepted_types(text: &str, current: Option<&str>, agents: &[AgentInfo]) -> String {
    let mentioned = parse_mention(text, agents).map(|(agent, _)| agent);
    let agent = mentioned.or_else(|| agents.iter().find(|agent| Some(agent.id.as_str()) == current));
    agent.map(|agent| agent.files.join(",")).unwrap_or_default()
}

/// The accepted files in words.
pub(super) fn describe_accepted(accept: &str) -> String {
    let kinds = [
        (".csv", "CSV, JSON Lines"),
        (".xlsx", "Excel"),
        (".gz", "gzip, ZIP"),
        ("image/", "images"),
        (".pdf", "PDF"),
        ("text/*", "other text"),
    ];
    let names: Vec<&str> = kinds.iter().filter(|(kind, _)| accept.contains(kind)).map(|(_, name)| *name).collect();
    let max = limits::MAX_FILE_BYTES / 1024 / 1024;
    match names.is_empty() {
        true => format!("Files up to {max} MiB."),
        false => format!("Files up to {max} MiB: {}.", names.join(", ")),
    }
}

/// The button that attaches files.
#[component]
pub(super) fn AttachButton(draft: Draft, accept: Memo<String>) -> impl IntoView {
    let clock = use_clock();
    let input = NodeRef::<html::Input>::new();
    view! {
        <input
            type="file"
            class="sr-only"
            node_ref=input
            multiple
            accept=move || accept.get()
            tabindex="-1"
            aria-hidden="true"
            on:change:target=move |event| draft.attach(take_chosen_files(&event.target()))
        />
        <button
            type="button"
            class="icon-button attach-button"
            aria-label="Attach file"
            title="Attach file"
            // Browsers open the file dialog only during a click, so a click before hydration cannot be repeated later.
            disabled=move || !clock.is_hydrated()
            on:click=move |_| if let Some(input) = input.get_untracked() { input.click() }
        >
            {icon(Glyph::Attach)}
        </button>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_files_are_those_that_the_addressed_agent_reads() {
        let agent = |id: &str, files: &[&str]| AgentInfo {
            files: files.iter().map(ToString::to_string).collect(),
            ..AgentInfo::new(id, id, "")
        };
        let agents = [agent("analyst", &[".csv"]), agent("eyes", &["image/png", "image/webp"]), agent("any", &[])];
        assert_eq!(accepted_types("why?", Some("analyst"), &agents), ".csv");
        assert_eq!(accepted_types("@eyes what is it?", Some("analyst"), &agents), "image/png,image/webp");
        assert_eq!(accepted_types("", Some("any"), &agents), "");
        assert_eq!(accepted_types("", None, &agents), "");
        assert_eq!(describe_accepted("image/png,image/webp"), "Files up to 100 MiB: images.");
        assert_eq!(describe_accepted(""), "Files up to 100 MiB.");
    }
}
