//! A comparison as a page.

use std::io::{self, Write};

use crate::compare::Comparison;

pub(super) fn write(_comparison: &Comparison, _out: &mut dyn Write) -> io::Result<()> {
    Ok(())
}
