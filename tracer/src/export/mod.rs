//! The report for people and for programs: one file a format, each a function of the report alone.

pub mod json;
pub(crate) mod numbers;
#[cfg(test)]
pub(crate) mod sample;
pub mod text;
