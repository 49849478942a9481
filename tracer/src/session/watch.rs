//! Notices when a traced VM or device goes away. In a thread of its own, since looking takes milliseconds.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use crate::{
    config::TraceConfig,
    topology::{Device, Watch},
};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Starts watching; each thing that goes away is told once. The thread ends when nobody listens any more.
pub(super) fn spawn(config: &TraceConfig, devices: Vec<Device>) -> Result<mpsc::UnboundedReceiver<String>> {
    let (tell, told) = mpsc::unbounded_channel();
    let watches: Result<Vec<_>> = config.vms.iter().map(|vm| Watch::new(vm, &devices)).collect();
    let mut watches = watches?;
    let look = move || {
        while !tell.is_closed() {
            for gone in watches.iter_mut().flat_map(Watch::gone) {
                // Nobody listening any more is the way this thread ends.
                let _ = tell.send(gone.to_string());
            }
            thread::sleep(LOOK_EVERY);
        }
    };
    thread::Builder::new().name("watch".to_owned()).spawn(look).context("failed to start watching the VM")?;
    Ok(told)
}
