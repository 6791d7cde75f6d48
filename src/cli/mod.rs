//! The `netra` command.
