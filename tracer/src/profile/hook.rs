//! `kprobe:FUNCTION(skb=argN)`: a place in the kernel that a frame passes.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, Error, Result, ensure};

/// Arguments that are passed in registers, where a probe finds them.
const ARGUMENTS: u32 = 6;

/// A function, and which of its arguments the skb is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function.
    pub function: String,
    /// The argument, from 0.
    pub argument: u32,
    /// Whether the argument was said to point to the pointer, `skb=*argN`.
    pub indirect: bool,
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Place> {
        let form = || {
            format!("`{typed}` is not kprobe:FUNCTION(skb=argN), where arg0 is the function's first argument")
        };
        let inside = typed.strip_prefix("kprobe:").and_then(|rest| rest.strip_suffix(')'));
        let (function, argument) = inside.and_then(|rest| rest.split_once('(')).with_context(form)?;
        let argument = argument.trim().strip_prefix("skb=").with_context(form)?;
        let (indirect, argument) = match argument.strip_prefix('*') {
            Some(argument) => (true, argument),
            None => (false, argument),
        };
        let argument: u32 =
            argument.strip_prefix("arg").and_then(|number| number.parse().ok()).with_context(form)?;
        ensure!(is_symbol(function), "`{typed}`: `{function}` is no name of a kernel function");
        ensure!(
            argument < ARGUMENTS,
            "`{typed}`: a probe finds the arguments arg0 to arg{}, which are passed in registers",
            ARGUMENTS - 1
        );
        Ok(Place { function: function.to_owned(), argument, indirect })
    }
}

/// A name of /proc/kallsyms; the compiler's variants have dots, such as `tun_build_skb.constprop.0`.
fn is_symbol(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { function, argument, indirect } = self;
        write!(f, "kprobe:{function}(skb={}arg{argument})", if *indirect { "*" } else { "" })
    }
}
