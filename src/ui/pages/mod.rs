//! The pages, one for each route.

mod form;
pub(crate) mod home;
pub(crate) mod not_found;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod thread;
