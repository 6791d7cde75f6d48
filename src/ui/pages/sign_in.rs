//! The sign-in page.

use leptos::{html, prelude::*};
use leptos_router::hooks::use_query_map;

use super::form::{AuthForm, Field, FormPage, local_path, value};
use crate::protocol::http::SignIn;

/// The sign-in page.
#[component]
pub(crate) fn SignInPage() -> impl IntoView {
    let (email, password) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let query = use_query_map();
    let body = move || SignIn { email: value(email).trim().to_owned(), password: value(password) };
    let ended = move || {
        let ended = query.with(|query| query.get("ended").is_some());
        ended.then(
            || view! { <p class="session-ended" role="status">"Your session ended. Sign in to continue where you left off."</p> },
        )
    };
    view! {
        <FormPage title="Sign in" intro="Your threads and agents, on all your devices.">
            {ended}
            <AuthForm
                action="/api/auth/sign-in"
                button="Sign in"
                body
                next=move || local_path(query.with_untracked(|query| query.get("next")))
            >
                <Field label="Email" name="email" kind="email" autocomplete="username" input=email/>
                <Field label="Password" name="password" kind="password" autocomplete="current-password" input=password/>
            </AuthForm>
        </FormPage>
    }
    .into_any()
}
