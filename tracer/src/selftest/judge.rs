//! What came of the self-test: of each planned hook whether it fired, was silent though frames passed it, or could not
//! be tested. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use tracer_common::hop::{Hook, Hop};

use super::network::Way;
use crate::plan::{Plan, chains::Case};

/// Events by hop and hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fired(pub(super) BTreeMap<(Hop, Hook), u64>);

impl Fired {
    /// Events of a hop by a hook.
    pub(super) fn of(&self, hop: Hop, hook: Hook) -> u64 {
        self.0.get(&(hop, hook)).copied().unwrap_or_default()
    }
}

/// A round of the test: what was attached, and what fired.
pub(super) struct Tested {
    pub(super) plan: Plan,
    pub(super) fired: Fired,
    /// Whether frames of IPv6 were sent.
    pub(super) ipv6: bool,
}

/// How a hook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It fired.
    Fired,
    /// Frames passed its hop, and it did not fire.
    Silent,
    /// The test has no frame for it.
    NotExercised,
}

/// One planned hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name of the hop.
    pub hop: String,
    /// When it is used, such as `guest on KVM`; empty for always.
    pub case: String,
    /// Name of the hook.
    pub hook: String,
    /// How it stands.
    pub state: State,
    /// How often it fired; none where the test has no frame for it.
    pub fired: Option<u64>,
    /// Why the test has no frame for it; of a silent hook what to do.
    pub why: Option<String>,
    #[serde(skip)]
    pub(super) place: Option<(Hop, Case, Hook)>,
    /// Of a silent hook: another that fires.
    #[serde(skip)]
    pub(super) instead: Option<Hook>,
}

impl Row {
    fn new(hop: &str, case: Case, hook: &str, fired: Result<u64, String>) -> Row {
        let state = match &fired {
            Ok(0) => State::Silent,
            Ok(_) => State::Fired,
            Err(_) => State::NotExercised,
        };
        let (fired, why) = match fired {
            Ok(count) => (Some(count), None),
            Err(why) => (None, Some(why)),
        };
        let (hop, case, hook) = (hop.to_owned(), case.describe().to_owned(), hook.to_owned());
        Row { hop, case, hook, state, fired, why, place: None, instead: None }
    }

    /// Says what to do about a silent hook.
    pub(super) fn explain(&mut self) {
        if self.state == State::Silent {
            let found = match self.instead {
                Some(hook) => format!("record with --hook {}={}, which fires", self.hop, hook.name()),
                None => {
                    "no other hook for it fires here: its time is part of the span between its neighbours"
                        .to_owned()
                }
            };
            self.why = Some(format!("attached, and silent though frames passed: {found}"));
        }
    }
}

/// Lays the test's outcome over the hooks of `planned`.
pub(super) fn rows(planned: &Plan, tested: &Tested, left_out: &[(Way, String)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (hop, case, mut hooks) in planned.served() {
        let why_not = untested_case(case, left_out);
        if why_not.is_none() {
            // What the test has attached, should the plans differ.
            let own = tested.plan.served().into_iter().find(|(at, when, _)| (*at, *when) == (hop, case));
            hooks = own.map_or(hooks, |(.., hooks)| hooks);
        }
        for hook in hooks {
            let why_not = why_not.clone().or_else(|| untested(hop, hook, tested.ipv6).map(str::to_owned));
            let fired = why_not.map_or_else(|| Ok(tested.fired.of(hop, hook)), Err);
            let row = Row::new(hop.name(), case, hook.name(), fired);
            rows.push(Row { place: Some((hop, case, hook)), ..row });
        }
    }
    rows.extend(tested.plan.user_hops.iter().enumerate().map(|(number, hop)| {
        let count = Hop::user(number).map_or(0, |hop| tested.fired.of(hop, Hook::User));
        let unknown =
            "attached; none of the test's frames passed it: its function is not on their way, or inlined";
        let fired = if count > 0 { Ok(count) } else { Err(unknown.to_owned()) };
        Row::new(&hop.name, Case::Any, &format!("kprobe:{}", hop.function), fired)
    }));
    rows
}

/// Why the test has no frame for a case.
fn untested_case(case: Case, left_out: &[(Way, String)]) -> Option<String> {
    let missing = |way: Way| {
        let found = left_out.iter().find(|(out, _)| *out == way);
        found.map(|(_, why)| format!("not exercised: {why}"))
    };
    let needs = match case {
        Case::Kvm => "a guest on KVM",
        Case::VhostTap | Case::VhostMacvtap => "a guest whose tap is served by vhost",
        Case::Ovs => "Open vSwitch",
        Case::NicIrq => "a NIC with interrupts of its own",
        Case::Bridge => return missing(Way::Bridge),
        Case::Routed => return missing(Way::Routed),
        Case::Macvtap | Case::VmmMacvtap => return missing(Way::Macvtap),
        Case::Tap | Case::VmmTap => return missing(Way::Bridge).and(missing(Way::Routed)),
        Case::Any | Case::Emulated => return None,
    };
    Some(format!("not exercised: needs {needs}"))
}

/// Why the test has no frame for a hook.
fn untested(hop: Hop, hook: Hook, ipv6: bool) -> Option<&'static str> {
    match (hop, hook) {
        (Hop::NicDone, Hook::ConsumeSkb | Hook::RawConsumeSkb) => {
            Some("not exercised: needs a NIC that frees what it has sent; the test's hands it on")
        }
        (_, Hook::NapiGroReceiveEntry | Hook::RawNapiGroReceiveEntry) => {
            Some("not exercised: needs a NIC that receives by NAPI")
        }
        (
            _,
            Hook::FentryIp6Forward
            | Hook::KprobeIp6Forward
            | Hook::FentryIp6FinishOutput2
            | Hook::KprobeIp6FinishOutput2,
        ) if !ipv6 => Some("not exercised: this kernel has no IPv6"),
        _ => None,
    }
}
