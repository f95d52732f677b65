//! The public handles that run nodes, and what runs beside them.

pub(crate) mod input;
