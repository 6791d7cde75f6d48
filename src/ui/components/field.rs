//! A field of a form: its label, the control, what it is about and what is wrong with it, tied together for who cannot see
//! them. What is filled in is text, whatever the control.

use leptos::{prelude::*, wasm_bindgen::JsCast, web_sys};

/// How a field is filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Control {
    /// One line.
    Line,
    /// One line of digits: phones show those.
    Number,
    /// Some lines; of code they are shown letter by letter, and nobody corrects them.
    Text { code: bool },
    /// One of some: value and name.
    Choice(Vec<(String, String)>),
    /// The same with all in sight.
    Picks(Vec<(String, String)>),
}

/// Moves the focus to the element of an id, where it is there.
pub(crate) fn focus(id: &str) {
    let found = document().get_element_by_id(id).and_then(|found| found.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(found) = found {
        let _ = found.focus();
    }
}

/// A field.
#[component]
pub(crate) fn Field(
    /// The id of the control, of its own in the document.
    #[prop(into)]
    id: String,
    #[prop(into)] label: String,
    /// What it is about, if that needs words.
    #[prop(into, optional)]
    about: String,
    control: Control,
    text: RwSignal<String>,
    /// What is wrong with what was filled in.
    #[prop(into)]
    wrong: Signal<Option<String>>,
    /// It cannot be changed.
    #[prop(optional)]
    fixed: bool,
    /// The most characters that it takes; 0: any.
    #[prop(optional)]
    most: usize,
) -> impl IntoView {
    let (about_id, wrong_id) = (format!("{id}-about"), format!("{id}-wrong"));
    let described = format!("{about_id} {wrong_id}");
    let invalid = move || wrong.with(Option::is_some).then_some("true");
    let first = text.get_untracked();
    let notes = view! {
        <p class="hint" id=about_id>{about}</p>
        <p class="wrong" id=wrong_id>{wrong}</p>
    };
    let control = match control {
        Control::Picks(options) => {
            let pick = |(index, (value, name)): (usize, (String, String))| {
                view! {
                    <label class="pick">
                        <input
                            id=(index == 0).then(|| id.clone())
                            type="radio"
                            name=id.clone()
                            checked=first == value
                            aria-invalid=invalid
                            on:change=move |_| text.set(value.clone())
                        />
                        <span>{name}</span>
                    </label>
                }
            };
            let picks = options.into_iter().enumerate().map(pick).collect_view();
            return view! {
                <fieldset class="field" aria-describedby=described>
                    <legend>{label}</legend>
                    <div class="picks">{picks}</div>
                    {notes}
                </fieldset>
            }
            .into_any();
        }
        Control::Choice(options) => {
            let option = |(value, name): (String, String)| {
                view! { <option value=value.clone() selected=first == value>{name}</option> }
            };
            view! {
                <select
                    id=id.clone()
                    aria-describedby=described
                    aria-invalid=invalid
                    on:change:target=move |event| text.set(event.target().value())
                >
                    {options.into_iter().map(option).collect_view()}
                </select>
            }
            .into_any()
        }
        Control::Text { code } => {
            let rows = first.lines().count().clamp(2, 14).to_string();
            view! {
                <textarea
                    id=id.clone()
                    class:code=code
                    rows=rows
                    spellcheck=if code { "false" } else { "true" }
                    autocapitalize=code.then_some("off")
                    autocomplete="off"
                    aria-describedby=described
                    aria-invalid=invalid
                    prop:value=first
                    on:input:target=move |event| text.set(event.target().value())
                ></textarea>
            }
            .into_any()
        }
        Control::Line | Control::Number => view! {
            <input
                id=id.clone()
                type="text"
                inputmode=(control == Control::Number).then_some("decimal")
                autocomplete="off"
                readonly=fixed
                maxlength=(most > 0).then(|| most.to_string())
                value=first
                aria-describedby=described
                aria-invalid=invalid
                on:input:target=move |event| text.set(event.target().value())
            />
        }
        .into_any(),
    };
    view! {
        <div class="field">
            <label for=id>{label}</label>
            {control}
            {notes}
        </div>
    }
    .into_any()
}
