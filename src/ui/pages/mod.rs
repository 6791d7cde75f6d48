//! The pages, one per route.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod archive;
mod form;
pub(crate) mod home;
pub(crate) mod inbox;
pub(crate) mod not_found;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod thread;
