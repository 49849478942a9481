//! The self-test: sends frames of its own through taps, a bridge, a router and a macvtap that exist for it alone, and
//! tells which of the planned hooks fired.
//!
//! A kernel function can be probed and never fire, because the compiler inlined the copy that matters. A test that
//! passes frames is all that can tell. It is traced like any VM: `topology` of itself, the plan, the programs, the ring.
//!
//! `frames` are the frames, `network` what they pass, `traffic` who sends them, `trace` counts what fired, `judge` says
//! what that means.

mod frames;
mod judge;
mod namespace;
mod network;
mod tap;
mod trace;
mod traffic;

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

pub use self::judge::{Row, State};
use self::{
    judge::{Fired, Tested},
    network::Network,
};
use crate::{
    plan::{Plan, Wishes, btf::KernelBtf},
    profile::Definition,
};

/// How many alternatives of a silent hook are tried: a chain is not longer.
const ALTERNATIVES: usize = 3;

/// Tests the hooks of `planned`, and these hops of the user's own. Whatever was made for it goes away with the
/// descriptors that this process holds of it, so also when the process is killed.
///
/// # Errors
/// The test cannot be made on this host, or its programs cannot be attached.
pub fn run(btf: &KernelBtf, planned: &Plan, own: &[Definition]) -> Result<Vec<Row>> {
    if !geteuid().is_root() {
        bail!("the self-test makes network devices: run it as root");
    }
    let network = Network::make().context("failed to make the self-test's network")?;
    let mut round = |wishes: &Wishes| trace::round(btf, &network, wishes, planned);
    let wishes = Wishes { user_hops: own.to_vec(), ..Wishes::default() };
    let tested = round(&wishes).context("the self-test failed")?;
    let mut rows = judge::rows(planned, &tested, &network.left_out);
    try_others(&mut rows, &tested, &mut round)?;
    Ok(rows)
}

/// Looks for a hook that fires in the place of each that was silent, down its chain.
fn try_others(
    rows: &mut [Row],
    tested: &Tested,
    round: &mut dyn FnMut(&Wishes) -> Result<Tested>,
) -> Result<()> {
    for step in 0..ALTERNATIVES {
        let asked = |row: &Row| (row.state == State::Silent && row.instead.is_none()).then_some(row.place?);
        let others: Vec<_> = rows
            .iter()
            .enumerate()
            .filter_map(|(number, row)| {
                let (hop, case, hook) = asked(row)?;
                let other = *tested.plan.others(hop, case, hook).get(step)?;
                Some((number, hop, other))
            })
            .collect();
        if others.is_empty() {
            break;
        }
        let hooks = others.iter().map(|&(_, hop, hook)| (hop, hook)).collect();
        let outcome = round(&Wishes { hooks, ..Wishes::default() })?;
        for (number, hop, hook) in others {
            if outcome.fired.of(hop, hook) > 0 {
                rows[number].instead = Some(hook);
            }
        }
    }
    rows.iter_mut().for_each(Row::explain);
    Ok(())
}

#[cfg(test)]
mod tests;
