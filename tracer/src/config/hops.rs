//! `--hops LIST`: from the names to the hops that are to be traced, and no others.

use anyhow::{Result, bail};
use tracer_common::hop::Hop;

use crate::plan::REPORTED_HOPS;

/// How alike two names must be for one to be meant by the other, 0 to 1.
const ALIKE: f64 = 0.8;

/// Hops that can be asked for: those of a frame's way, and where it is dropped.
fn known() -> impl Iterator<Item = Hop> {
    REPORTED_HOPS.iter().copied().chain([Hop::SkbDrop])
}

/// Reads one name.
///
/// # Errors
/// No hop has it: says which do, and which of them is most like it.
pub(super) fn named(typed: &str) -> Result<Hop> {
    let name = typed.trim();
    if let Some(hop) = known().find(|hop| hop.name() == name) {
        return Ok(hop);
    }
    let names: Vec<&str> = known().map(Hop::name).collect();
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = names.iter().map(|known| (likeness(known), *known)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let meant = match nearest {
        Some((likeness, known)) if likeness >= ALIKE => format!(", {known} perhaps"),
        _ => String::new(),
    };
    bail!("--hops: no hop is called `{name}`{meant}; they are {}", names.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_named_as_in_the_report() {
        assert_eq!(named("tap.rx").unwrap(), Hop::TapRx);
        assert_eq!(named(" skb.drop").unwrap(), Hop::SkbDrop);
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_and_the_nearest() {
        let error = named("nic.quue").unwrap_err().to_string();
        assert!(error.contains("`nic.quue`, nic.queue perhaps"), "{error}");
        assert!(REPORTED_HOPS.iter().all(|hop| error.contains(hop.name())), "{error}");
        for wrong in ["", "skb.free", "everything"] {
            let error = named(wrong).unwrap_err().to_string();
            assert!(error.contains("--hops: no hop is called") && error.contains("tap.rx"), "{error}");
        }
    }
}
