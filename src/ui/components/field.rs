//! A form field: label, control, help text and error, linked for screen readers. Its value is a string, whatever the control.

use leptos::prelude::*;

/// The control of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Control {
    TextLine,
    /// A text line for which phones show a numeric keyboard.
    Number,
    /// Several lines. `code` is shown in monospace, without spell checking.
    TextArea {
        code: bool,
    },
    /// A drop-down list of (value, label).
    Select(Vec<(String, String)>),
    /// Radio buttons of (value, label).
    Radio(Vec<(String, String)>),
}

/// A field.
#[component]
pub(crate) fn Field(
    /// The control's element id.
    #[prop(into)]
    id: String,
    #[prop(into)] label: String,
    #[prop(into, optional)] help: String,
    control: Control,
    text: RwSignal<String>,
    /// What is wrong with the value.
    #[prop(into)]
    error: Signal<Option<String>>,
    /// For text lines.
    #[prop(optional)]
    read_only: bool,
    /// In characters, for text lines; 0 for no limit.
    #[prop(optional)]
    max_length: usize,
) -> impl IntoView {
    let (help_id, error_id) = (format!("{id}-help"), format!("{id}-error"));
    let aria = Aria {
        described_by: format!("{help_id} {error_id}"),
        invalid: Signal::derive(move || error.with(Option::is_some).then_some("true")),
    };
    let notes = view! {
        <p class="hint" id=help_id>{help}</p>
        <p class="field-error" id=error_id>{error}</p>
    };
    let control = match control {
        Control::Radio(options) => {
            return view! {
                <fieldset class="field" aria-describedby=aria.described_by.clone()>
                    <legend>{label}</legend>
                    <div class="radio-group">{radio_buttons(&id, options, text, &aria)}</div>
                    {notes}
                </fieldset>
            }
            .into_any();
        }
        Control::Select(options) => select(id.clone(), options, text, aria),
        Control::TextArea { code } => text_area(id.clone(), code, text, aria),
        Control::TextLine | Control::Number => {
            let limits = Limits { is_number: control == Control::Number, read_only, max_length };
            text_line(id.clone(), limits, text, aria)
        }
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

/// The ARIA attributes of a field's control.
struct Aria {
    described_by: String,
    invalid: Signal<Option<&'static str>>,
}

/// What a text line accepts.
struct Limits {
    is_number: bool,
    read_only: bool,
    max_length: usize,
}

fn text_line(id: String, limits: Limits, text: RwSignal<String>, aria: Aria) -> AnyView {
    let Limits { is_number, read_only, max_length } = limits;
    view! {
        <input
            id=id
            type="text"
            inputmode=is_number.then_some("decimal")
            autocomplete="off"
            readonly=read_only
            maxlength=(max_length > 0).then(|| max_length.to_string())
            value=text.get_untracked()
            aria-describedby=aria.described_by
            aria-invalid=move || aria.invalid.get()
            on:input:target=move |event| text.set(event.target().value())
        />
    }
    .into_any()
}

fn radio_buttons(id: &str, options: Vec<(String, String)>, text: RwSignal<String>, aria: &Aria) -> AnyView {
    let (initial, invalid) = (text.get_untracked(), aria.invalid);
    let radio = |(index, (value, name)): (usize, (String, String))| {
        view! {
            <label class="radio-option">
                <input
                    id=(index == 0).then(|| id.to_owned())
                    type="radio"
                    name=id.to_owned()
                    checked=initial == value
                    aria-invalid=move || invalid.get()
                    on:change=move |_| text.set(value.clone())
                />
                <span>{name}</span>
            </label>
        }
    };
    options.into_iter().enumerate().map(radio).collect_view().into_any()
}

fn select(id: String, options: Vec<(String, String)>, text: RwSignal<String>, aria: Aria) -> AnyView {
    let initial = text.get_untracked();
    let option = |(value, name): (String, String)| {
        view! { <option value=value.clone() selected=initial == value>{name}</option> }
    };
    view! {
        <select
            id=id
            aria-describedby=aria.described_by
            aria-invalid=move || aria.invalid.get()
            on:change:target=move |event| text.set(event.target().value())
        >
            {options.into_iter().map(option).collect_view()}
        </select>
    }
    .into_any()
}

fn text_area(id: String, code: bool, text: RwSignal<String>, aria: Aria) -> AnyView {
    let initial = text.get_untracked();
    let rows = initial.lines().count().clamp(2, 14).to_string();
    view! {
        <textarea
            id=id
            class:code=code
            rows=rows
            spellcheck=if code { "false" } else { "true" }
            autocapitalize=code.then_some("off")
            autocomplete="off"
            aria-describedby=aria.described_by
            aria-invalid=move || aria.invalid.get()
            prop:value=initial
            on:input:target=move |event| text.set(event.target().value())
        ></textarea>
    }
    .into_any()
}
