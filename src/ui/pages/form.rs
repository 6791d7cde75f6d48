//! Shared parts of the sign-in, setup and account forms.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};
use leptos_meta::Title;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    protocol::http::SignedIn,
    ui::{
        address::use_address_problem,
        browser,
        components::{
            icons::{Glyph, icon, logo},
            theme::ThemeToggle,
        },
    },
};

/// A page that holds nothing but a form.
#[component]
pub(super) fn FormPage(title: &'static str, intro: &'static str, children: Children) -> impl IntoView {
    let address_problem = use_address_problem();
    let problem = move || {
        address_problem
            .get()
            .map(|text| view! { <p class="failure" role="alert">{icon(Glyph::Warning)} <span>{text}</span></p> })
    };
    view! {
        <Title text=title/>
        <div class="standalone">
            <header class="standalone-head">
                <span class="brand">{logo()} <span>"Netra"</span></span>
                <ThemeToggle/>
            </header>
            <main class="standalone-card" id="main">
                <h1>{title}</h1>
                <p class="quiet">{intro}</p>
                {problem}
                {children()}
            </main>
        </div>
    }
    .into_any()
}

/// A field with its label above it. Uncontrolled, so that text typed before hydration stays.
#[component]
pub(super) fn Field(
    label: &'static str,
    name: &'static str,
    #[prop(default = "text")] kind: &'static str,
    autocomplete: &'static str,
    #[prop(optional)] hint: Option<&'static str>,
    #[prop(optional)] minlength: Option<&'static str>,
    input: NodeRef<html::Input>,
) -> impl IntoView {
    let hint_id = format!("{name}-hint");
    let described = hint.map(|_| hint_id.clone());
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <input id=name name=name type=kind autocomplete=autocomplete required minlength=minlength aria-describedby=described node_ref=input/>
            {hint.map(|hint| view! { <p class="hint" id=hint_id>{hint}</p> })}
        </div>
    }
    .into_any()
}

/// A field for a new password, with the rules. The server decides whether the password is too easy to guess.
#[component]
pub(super) fn NewPassword(label: &'static str, name: &'static str, input: NodeRef<html::Input>) -> impl IntoView {
    view! {
        <Field
            label
            name
            kind="password"
            autocomplete="new-password"
            hint="At least 10 characters. Three or four unrelated words make a good one."
            minlength="10"
            input
        />
    }
    .into_any()
}

/// The value of a field.
pub(super) fn value(input: NodeRef<html::Input>) -> String {
    input.get_untracked().map(|input| input.value()).unwrap_or_default()
}

/// The state of a form that posts: whether a request is under way, and why the last one was refused.
#[derive(Clone, Copy)]
pub(super) struct Submission {
    pub(super) busy: RwSignal<bool>,
    pub(super) error: RwSignal<Option<String>>,
}

impl Submission {
    pub(super) fn new() -> Self {
        Self { busy: RwSignal::new(false), error: RwSignal::new(None) }
    }

    /// Posts the result of `body`, unless a request is under way. On success calls `done` and leaves `busy` set, for `done` to
    /// clear; on failure sets `error` and clears `busy`.
    pub(super) fn post<T: Serialize + 'static, A: DeserializeOwned + 'static>(
        self,
        action: &'static str,
        body: impl Fn() -> T,
        done: impl FnOnce(A) + 'static,
    ) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        let body = body();
        spawn_local(async move {
            match browser::post::<_, A>(action, &body).await {
                Ok(response) => done(response),
                Err(error) => {
                    self.error.try_set(Some(error.message()));
                    self.busy.try_set(false);
                }
            }
        });
    }
}

/// A form that signs the user in: it posts, shows errors, and on success loads the next page.
#[component]
pub(super) fn AuthForm<T: Serialize + 'static>(
    /// Where to post. Also the form's `action`, so that a form sent before hydration does not put the password into the URL.
    action: &'static str,
    button: &'static str,
    body: impl Fn() -> T + 'static,
    /// The page to load on success.
    next: impl Fn() -> String + Copy + 'static,
    children: Children,
) -> impl IntoView {
    let submission = Submission::new();
    let Submission { busy, error } = submission;
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        // A full page load, so that the server renders the user's data. The form stays busy until then.
        submission.post(action, &body, move |_: SignedIn| browser::navigate_to(&next()));
    };
    view! {
        <form method="post" action=action on:submit=submit>
            {children()}
            <div role="alert">
                {move || error.get().map(|message| view! { <p class="failure">{icon(Glyph::Warning)} <span>{message}</span></p> })}
            </div>
            <button type="submit" class="button wide" disabled=move || busy.get()>{button}</button>
        </form>
    }
    .into_any()
}

/// The path if it is one of this application, or else `/`.
pub(super) fn local_path(path: Option<String>) -> String {
    let is_local =
        |path: &String| path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\n', '\r', '\t']);
    path.filter(is_local).unwrap_or_else(|| "/".into())
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn only_local_paths_are_followed_after_signing_in() {
        assert_eq!(local_path(Some("/threads/x?y".into())), "/threads/x?y");
        for foreign in ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", ""] {
            assert_eq!(local_path(Some(foreign.into())), "/", "{foreign}");
        }
        assert_eq!(local_path(None), "/");
    }
}
