//! Looks for VMs that come, go and change. In a thread of its own, since looking takes milliseconds, and on a host of many
//! processes many of them: it looks at once when a device came or went, else each second, and more seldom where that
//! would take more than a hundredth of a CPU.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use crate::{
    config::WatchConfig,
    topology::{LinkNews, Topology, Vm},
};

/// How often to look, where nothing was heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looking takes at most one part in so many of the time.
const SPARE: u32 = 100;
/// The same while there is news all the time.
const SPARE_NEWS: u32 = 20;
/// Whoever makes a device does more to it in the next moment.
const SETTLE: Duration = Duration::from_millis(100);
/// No host is so large that it is looked at more seldom.
const SELDOM: Duration = Duration::from_secs(60);

/// What looking has cost.
#[derive(Debug, Default)]
pub(super) struct Scans {
    pub(super) count: AtomicU64,
    pub(super) ns: AtomicU64,
}

/// Starts looking; the VMs are told each time that they are others. The thread ends when nobody listens any more.
pub(super) fn start(config: &WatchConfig, scans: Arc<Scans>) -> Result<mpsc::UnboundedReceiver<Vec<Vm>>> {
    let (tell, told) = mpsc::unbounded_channel();
    let config = config.clone();
    let news = LinkNews::listen().inspect_err(|error| log::info!("{error:#}")).ok();
    let mut known = config.trace.vms.clone();
    let look = move || {
        let mut last = Duration::ZERO;
        while !tell.is_closed() {
            pause(news.as_ref(), last);
            let begun = Instant::now();
            match Topology::discover() {
                Ok(topology) => {
                    let vms = config.present(&topology);
                    if vms != known {
                        known.clone_from(&vms);
                        // Nobody listening any more is the way this thread ends.
                        let _ = tell.send(vms);
                    }
                }
                Err(error) => log::warn!("VMs that come and go are not seen: {error:#}"),
            }
            last = begun.elapsed();
            scans.count.fetch_add(1, Ordering::Relaxed);
            scans.ns.fetch_add(last.as_nanos() as u64, Ordering::Relaxed);
        }
    };
    thread::Builder::new().name("scan".to_owned()).spawn(look).context("failed to start looking for VMs")?;
    Ok(told)
}

/// Waits until it is time to look again, the last look having taken so long.
fn pause(news: Option<&LinkNews>, last: Duration) {
    let longest = (last * SPARE).clamp(LOOK_EVERY, SELDOM);
    let Some(news) = news else { return thread::sleep(longest) };
    let least = (last * SPARE_NEWS).clamp(SETTLE, longest);
    if news.wait(longest) {
        thread::sleep(least);
    }
}
