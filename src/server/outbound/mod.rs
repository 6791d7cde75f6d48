//! What the server's own requests to other hosts share: which addresses it may connect to, reading server-sent events within
//! bounds, circuit breakers, and images.

pub(crate) mod address;
pub(crate) mod breaker;
pub(crate) mod images;
pub(crate) mod memory;
pub(crate) mod sse;
