//! `--hook HOP=HOOK`: from the words to the hop and the hook that is to serve it.

use anyhow::{Context as _, Result, bail};
use tracer_common::hop::{Hook, Hop};

use crate::plan::{REPORTED_HOPS, chains::CHAINS};

/// Reads one wish. Whether this host can grant it, the plan knows.
pub(super) fn wish(typed: &str) -> Result<(Hop, Hook)> {
    let (hop, hook) = typed
        .split_once('=')
        .with_context(|| format!("--hook `{typed}` is not HOP=HOOK, such as tap.write=raw_tp:sys_enter"))?;
    let Some(hop) = Hop::from_name(hop).filter(|hop| REPORTED_HOPS.contains(hop)) else {
        let known: Vec<_> = REPORTED_HOPS.iter().map(|hop| hop.name()).collect();
        bail!("--hook `{typed}`: no hop is called {hop}: they are {}", known.join(", "));
    };
    let mut known: Vec<Hook> = CHAINS
        .iter()
        .filter(|row| row.hop == hop)
        .flat_map(|row| row.chain.iter().flat_map(|link| link.iter().copied()))
        .collect();
    known.dedup();
    match Hook::from_name(hook).filter(|hook| known.contains(hook)) {
        Some(hook) => Ok((hop, hook)),
        None if hook == Hook::Xdp.name() => {
            bail!("--hook `{typed}`: XDP is chosen by --xdp native or generic")
        }
        None => {
            let known: Vec<_> = known.iter().map(|hook| hook.name()).collect();
            bail!("--hook `{typed}`: {} can be served by: {}", hop.name(), known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_a_hop_and_one_of_its_hooks() {
        assert_eq!(wish("tap.write=raw_tp:sys_enter").unwrap(), (Hop::TapWrite, Hook::SysEnter));
        for (wrong, says) in [
            ("tap.write", "HOP=HOOK"),
            ("tap.rite=raw_tp:sys_enter", "no hop is called tap.rite"),
            ("tap.write=kprobe:br_handle_frame", "kprobe:tun_sendmsg"),
            ("skb.free=tp_btf:consume_skb", "no hop"),
            ("nic.rx=xdp", "--xdp"),
        ] {
            let error = format!("{:#}", wish(wrong).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
