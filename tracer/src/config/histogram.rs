//! What cannot go together with `--mode histogram`.

use anyhow::{Result, ensure};

use crate::{cli::TraceArgs, plan::XdpMode};

/// Makes sure that nothing is asked for which histogram mode cannot do.
pub(super) fn check(args: &TraceArgs) -> Result<()> {
    ensure!(
        args.sample.is_none(),
        "--sample makes recordings smaller, and histogram mode records no frames: leave it out, or take --mode stream"
    );
    ensure!(
        !matches!(args.xdp, XdpMode::Native | XdpMode::Generic),
        "--xdp sees a frame before it has the address by which histogram mode knows it: leave it out, or take --mode stream"
    );
    Ok(())
}
