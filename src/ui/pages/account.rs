//! The account page: change the password, and sign out everywhere.

use leptos::{ev::SubmitEvent, html, prelude::*, task::spawn_local};
use leptos_meta::Title;

use super::form::{Field, NewPassword, Submission, value};
use crate::{
    protocol::http::ChangePassword,
    socket::context::use_socket,
    ui::{
        components::{
            error_message::error_message,
            icons::{Glyph, icon},
        },
        part::part,
        sign_out::SignOut,
    },
};

part!(
    /// The account page.
    pub(crate) ACCOUNT_PAGE, account, |(): ()| view! { <AccountPage/> }.into_any()
);

/// The account page.
#[component]
fn AccountPage() -> impl IntoView {
    let user = use_socket().user();
    let who = move || {
        user.with(|user| {
            user.as_ref().map(|user| view! { <p class="quiet">{format!("{}, {}", user.name, user.email)}</p> })
        })
    };
    view! {
        <Title text="Your account"/>
        <div class="scroller">
            <div class="page account">
                <h1>"Your account"</h1>
                {who}
                <PasswordForm/>
                <SignOutEverywhere/>
            </div>
        </div>
    }
    .into_any()
}

/// The form that changes the password.
#[component]
fn PasswordForm() -> impl IntoView {
    let (current, new) = (NodeRef::<html::Input>::new(), NodeRef::<html::Input>::new());
    let submission = Submission::new();
    let Submission { busy, error } = submission;
    let done = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        done.set(false);
        let body = || ChangePassword { password: value(current), new_password: value(new) };
        submission.post("/api/auth/password", body, move |()| {
            for input in [current, new] {
                if let Some(input) = input.try_get_untracked().flatten() {
                    input.set_value("");
                }
            }
            done.try_set(true);
            busy.try_set(false);
        });
    };
    view! {
        <form class="account-form" method="post" action="/api/auth/password" on:submit=submit>
            <h2>"Change your password"</h2>
            <Field
                label="Current password"
                name="password"
                kind="password"
                autocomplete="current-password"
                input=current
            />
            <NewPassword label="New password" name="new_password" input=new/>
            {move || error.get().map(error_message)}
            <p role="status">
                {move || done.get().then_some("Your password was changed. All your other sessions were signed out.")}
            </p>
            <button type="submit" class="button" disabled=move || busy.get()>"Change password"</button>
        </form>
    }
    .into_any()
}

/// The button that ends all sessions, including this one.
#[component]
fn SignOutEverywhere() -> impl IntoView {
    let sign_out: SignOut = expect_context();
    let error = RwSignal::new(None::<String>);
    let sign_out = move |_| {
        spawn_local(async move {
            let refusal = sign_out.post("/api/auth/sign-out-everywhere").await.err();
            error.try_set(refusal.map(|refusal| refusal.message()));
        });
    };
    view! {
        <section class="account-form">
            <h2>"Sign out everywhere"</h2>
            <p class="quiet">"Ends your sessions in all browsers, including this one, and revokes your access tokens."</p>
            {move || error.get().map(error_message)}
            <button type="button" class="button" on:click=sign_out>{icon(Glyph::SignOut)} "Sign out everywhere"</button>
        </section>
    }
    .into_any()
}
