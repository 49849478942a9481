//! From plain data to what a person or a program reads: one file a format.

pub mod topology;
