//! Filters in tcpdump's words: from what was typed to the clauses that the kernel evaluates.
//!
//! [`lexer`] cuts the text into words, [`parser`] reads them into an expression, [`normal`] turns that into a
//! disjunction of [`Clause`]s. How a clause is evaluated is in [`tracer_common::filter`].
//!
//! # Where it differs from tcpdump
//! - Names of hosts are not looked up; names of ports are few and stand for TCP and UDP alike.
//! - `tcp host A` is allowed and means `tcp and host A`.
//! - `port` is a test of whole datagrams: no fragment has ports, not even the first.
//! - An IPv6 protocol is the one behind the extension headers.
//! - VLAN tags are skipped: `ip` passes tagged frames too.

mod error;
mod lexer;
mod normal;
mod parser;

use tracer_common::filter::Clause;

pub use self::error::{FilterError, Problem};

/// What `--filter` said, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// As typed.
    pub text: String,
    /// A frame passes if one of these passes it, or if there are none.
    pub clauses: Vec<Clause>,
}

/// Reads a filter. Nothing but white space passes every frame.
///
/// # Errors
/// A word that is not known or does not fit where it stands, an expression that no frame can match, or one
/// that needs more clauses or tests than the kernel side evaluates.
pub fn parse(expression: &str) -> Result<Filter, FilterError> {
    let text = expression.to_owned();
    let tokens = lexer::tokens(expression);
    if tokens.is_empty() {
        return Ok(Filter { text, clauses: Vec::new() });
    }
    let expr = parser::parse(expression, &tokens)?;
    let clauses = normal::clauses(&expr).map_err(|problem| FilterError::whole(expression, problem))?;
    Ok(Filter { text, clauses })
}

#[cfg(test)]
mod tests;
