//! Sockets: the shell that carries links.

pub(crate) mod tls;
