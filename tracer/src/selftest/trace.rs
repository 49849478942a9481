//! One round of the self-test: the programs attached, the frames sent, the events counted.

use std::{collections::BTreeSet, convert::Infallible, thread};

use anyhow::Result;
use tracer_common::hop::{Hook, Hop};

use super::{Fired, Tested, network::Network, traffic::Guest};
use crate::{
    decode::{Event, Record},
    plan::{Plan, Wishes, btf::KernelBtf},
    probe::{BufferMode, Buffers, Probe},
    session,
    source::Source,
};

/// Room for all events of a round.
const RING_BYTES: u32 = 4 << 20;

/// Traces the frames of the self-test as the frames of any VM are traced. What is known from `planned` not to attach
/// is not tried again.
pub(super) fn round(btf: &KernelBtf, network: &Network, wishes: &Wishes, planned: &Plan) -> Result<Tested> {
    thread::scope(|scope| -> Result<Tested> {
        let guest = Guest::start(scope, network)?;
        let vms = [guest.vm(network)];
        let facts = btf.facts(&wishes.functions()).with_vms(&[&vms[0]]);
        let mut plan = Plan::new(&facts, wishes)?;
        plan.learn(planned);
        let setup = session::setup(btf, &vms, Buffers::new(BufferMode::Auto, RING_BYTES)?)?;
        let mut probe = Probe::attach(&setup, &mut plan)?;
        let mut source = Source::new(probe.outlet()?);
        guest.talk(network)?;
        // Those who are still to be told of an event must not be the ones who read it.
        drop(probe);
        let mut counting = Counting::default();
        let Ok(_) = source.drain(usize::MAX, |record| -> Result<(), Infallible> {
            if let Record::Event(event) = record {
                counting.event(&event);
            }
            Ok(())
        });
        Ok(Tested { plan, fired: counting.fired, ipv6: network.ipv6 })
    })
}

/// Which hooks fired for which hops.
#[derive(Default)]
struct Counting {
    fired: Fired,
    /// Frames that are being read from a tap.
    read: BTreeSet<u64>,
}

impl Counting {
    fn event(&mut self, event: &Event) {
        let hop = match event.hop {
            // The end of an skb ends what it was last seen at: of the two hops that this serves, only the copy to a
            // guest can be told without its device's driver.
            Hop::SkbFree if self.read.remove(&event.skb) => Hop::VmmReadEnd,
            hop => hop,
        };
        if hop == Hop::VmmRead {
            self.read.insert(event.skb);
        }
        self.fired.add(hop, event.hook);
    }
}

impl Fired {
    fn add(&mut self, hop: Hop, hook: Hook) {
        *self.0.entry((hop, hook)).or_default() += 1;
    }
}
