//! The page that creates the first account, an administrator. The link that the server prints has the setup token in its
//! fragment. Browsers do not send it, so the token is in no log of requests.

use leptos::{html, prelude::*};

use super::form::{AuthForm, Field, FormPage, NewPassword, value};
use crate::{
    protocol::http::Setup,
    ui::{browser, context::AppContext, part::part},
};

part!(
    /// The page that creates the first account.
    pub(crate) SETUP_PAGE, setup, |(): ()| view! { <SetupPage/> }.into_any()
);

#[component]
fn SetupPage() -> impl IntoView {
    let [token, name, email, password] = [(); 4].map(|()| NodeRef::<html::Input>::new());
    let app: AppContext = expect_context();
    let is_done = app.config.with_value(|config| config.as_ref().is_some_and(|config| !config.auth.needs_setup));
    Effect::new(move |_| {
        let fragment = location_hash();
        let linked_token =
            fragment.as_deref().map(|hash| hash.trim_start_matches('#')).and_then(|hash| hash.strip_prefix("token="));
        if let (Some(linked_token), Some(token)) = (linked_token, token.get()) {
            token.set_value(linked_token);
            browser::remove_fragment();
        }
    });
    let body = move || Setup {
        setup_token: value(token).trim().to_owned(),
        email: value(email).trim().to_owned(),
        name: value(name).trim().to_owned(),
        password: value(password),
    };
    if is_done {
        return view! {
            <FormPage title="Already set up" intro="This server already has an account.">
                <a class="button wide" href="/sign-in">"Sign in"</a>
            </FormPage>
        }
        .into_any();
    }
    view! {
        <FormPage title="Welcome to Netra" intro="Create the first account. It can administer this server.">
            <AuthForm action="/api/auth/setup" button="Create account" body next=|| "/".to_owned()>
                <Field
                    label="Setup token"
                    name="setup_token"
                    autocomplete="off"
                    hint="In the link that the server printed when it started."
                    input=token
                />
                <Field label="Name" name="name" autocomplete="name" input=name/>
                <Field label="Email" name="email" kind="email" autocomplete="username" input=email/>
                <NewPassword label="Password" name="password" input=password/>
            </AuthForm>
        </FormPage>
    }
    .into_any()
}
