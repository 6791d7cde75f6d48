//! Example questions of an agent, as buttons that put them into the message field.

use leptos::prelude::*;

use super::draft::Draft;
use crate::ui::context::AppContext;

/// How many example questions are shown at first.
const MAX_FIRST_EXAMPLES: usize = 6;

/// Example questions of the agent that answers; nothing if it has none.
#[component]
pub(crate) fn Examples(draft: Draft, #[prop(into)] agent: Signal<Option<String>>) -> impl IntoView {
    let app: AppContext = expect_context();
    let show_all = RwSignal::new(false);
    let examples = Memo::new(move |_| {
        agent.with(|id| app.of_agent(id.as_deref(), |agent| agent.examples.clone())).unwrap_or_default()
    });
    let visible = move || {
        let shown = if show_all.get() { usize::MAX } else { MAX_FIRST_EXAMPLES };
        examples.get().into_iter().take(shown).collect::<Vec<_>>()
    };
    let example = move |text: String| {
        let suggested = text.clone();
        view! { <li><button type="button" class="example" on:click=move |_| draft.fill(suggested.clone())>{text}</button></li> }
    };
    view! {
        <Show when=move || !examples.with(Vec::is_empty)>
            <section class="examples" aria-labelledby="examples-title">
                <h2 id="examples-title">"Example questions"</h2>
                <ul><For each=visible key=String::clone children=example/></ul>
                <Show when=move || { examples.with(Vec::len) > MAX_FIRST_EXAMPLES }>
                    <button type="button" class="small-button" on:click=move |_| show_all.update(|all| *all = !*all)>
                        {move || if show_all.get() { "Fewer" } else { "More questions" }}
                    </button>
                </Show>
            </section>
        </Show>
    }
    .into_any()
}

/// What an empty thread shows: what its agent does, and its example questions.
#[component]
pub(crate) fn EmptyThread(draft: Draft, agent: Signal<Option<String>>) -> impl IntoView {
    let app: AppContext = expect_context();
    let description = move || {
        let description = agent.with(|id| app.of_agent(id.as_deref(), |agent| agent.description.clone()));
        description.filter(|text| !text.is_empty()).unwrap_or_else(|| "No messages yet.".into())
    };
    view! {
        <div class="page empty-thread">
            <p class="lead">{description}</p>
            <Examples draft agent/>
        </div>
    }
    .into_any()
}
