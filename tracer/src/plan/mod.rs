//! Which hook serves which hop on this kernel.
//!
//! [`chains`] is the plan as a table, hop by hop; [`catalog`] has the program of every hook; [`btf`] and [`symbols`]
//! find out what this kernel offers; [`user`] does so for hops of the user's own. [`Plan::new`] is pure: facts and wishes in, a plan out. Nothing is loaded here:
//! `probe` tries, and what fails there moves the plan down its chains.

pub mod btf;
pub mod catalog;
pub mod chains;
mod facts;
#[doc(hidden)]
pub mod fuzz;
pub mod spans;
pub mod symbols;
mod unserved;
pub mod user;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tracer_common::hop::{Hook, Hop};

pub use self::{
    chains::REPORTED_HOPS,
    facts::{Facts, Function, Tracepoint, cases_of, cases_of_all},
    user::UserHop,
};
use crate::{
    plan::{
        catalog::{CATALOG, Program},
        chains::{CHAINS, Case, Row},
        user::{Missing, Resolved},
    },
    profile::Definition,
    recording::{Choice, Mode, PassedOver, PlannedHop},
};

/// How XDP programs are used, `--xdp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpMode {
    /// Only where no tracepoint serves the hop, since XDP as a probe disturbs what it measures.
    #[default]
    Auto,
    /// In the driver: fast, but replaces the skb on veth, and some NICs reopen the port.
    Native,
    /// In the stack, for any driver.
    Generic,
    /// Never.
    Off,
}

/// What the user wants of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `--xdp`.
    pub xdp: XdpMode,
    /// `--hook HOP=HOOK`: hops with the hook that is to serve them.
    pub hooks: Vec<(Hop, Hook)>,
    /// `--hop` and `--profile`: hops of the user's own.
    pub user_hops: Vec<Definition>,
    /// `--hops`: of vmhop's own hops only these; empty for all.
    pub only: Vec<Hop>,
    /// `--mode`: histogram mode knows fewer hops.
    pub mode: Mode,
}

impl Wishes {
    /// Functions that the wishes name beside those of the catalog: [`btf::KernelBtf::facts`] has to look for them.
    pub fn functions(&self) -> Vec<&str> {
        let places = self.user_hops.iter().flat_map(|hop| &hop.places);
        places.map(|place| place.function.as_str()).collect()
    }
}

/// Programs to attach, and the hops they serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// XDP mode asked for.
    pub xdp: XdpMode,
    /// Hops of the user's own.
    pub user_hops: Vec<UserHop>,
    /// What could not be checked, a sentence each.
    pub notes: Vec<String>,
    /// Hops of the user's own that may be missing, and are.
    pub missing: Vec<Missing>,
    facts: Facts,
    wished: Vec<(Hop, Hook)>,
    /// Hops asked for; empty for all.
    only: Vec<Hop>,
    mode: Mode,
    rows: Vec<Served>,
    /// What could not be attached, by program.
    failed: BTreeMap<&'static str, String>,
}

/// What tells vhost's queues apart; no hops of their own.
const VHOST_PAIR: [Hop; 2] = [Hop::VhostNotify, Hop::VhostTransmit];

/// What serves a row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Served {
    row: usize,
    hooks: Vec<Hook>,
    passed_over: Vec<(Hook, String)>,
}

impl Plan {
    /// Chooses the hooks for `facts`.
    ///
    /// # Errors
    /// A hook that is wished for and cannot serve, a hop of the user's that cannot be.
    pub fn new(facts: &Facts, wishes: &Wishes) -> Result<Plan> {
        let Resolved { hops: user_hops, missing, notes } = user::resolve(&wishes.user_hops, facts)?;
        let first_sights = [Hop::TapRx, Hop::NicRx];
        let by_xdp = wishes.only.is_empty() || first_sights.iter().any(|hop| wishes.only.contains(hop));
        let mut plan = Plan {
            xdp: if by_xdp && wishes.mode == Mode::Stream { wishes.xdp } else { XdpMode::Off },
            user_hops,
            notes,
            missing,
            facts: facts.clone(),
            wished: wishes.hooks.clone(),
            only: wishes.only.clone(),
            mode: wishes.mode,
            rows: Vec::new(),
            failed: BTreeMap::new(),
        };
        plan.choose();
        plan.grants_all()?;
        Ok(plan)
    }

    /// Makes sure that the wished hooks serve their hops, also after some could not be attached.
    ///
    /// # Errors
    /// One that does not.
    pub fn grants_all(&self) -> Result<()> {
        self.wished.iter().try_for_each(|&(hop, hook)| self.grants(hop, hook))
    }

    fn choose(&mut self) {
        let rows = CHAINS.iter().enumerate().filter(|(_, row)| self.facts.cases.contains(&row.case));
        self.rows = rows.map(|(index, row)| self.serve(index, row)).collect();
        self.pair();
        self.leave_out();
    }

    /// Leaves the programs out that only hops use which are not asked for. A program that is attached for one hop may
    /// serve others: those come along, since their events come in any case.
    fn leave_out(&mut self) {
        let asked: Vec<bool> = self.rows.iter().map(|served| self.asks_for(CHAINS[served.row].hop)).collect();
        let used = |(served, asked): (&Served, &bool)| if *asked { served.hooks.clone() } else { Vec::new() };
        let used: Vec<Hook> = self.rows.iter().zip(&asked).flat_map(used).collect();
        for (served, asked) in self.rows.iter_mut().zip(asked) {
            if !asked {
                served.hooks.retain(|hook| used.contains(hook));
                served.passed_over.clear();
            }
        }
    }

    /// Whether a hop is to be served. What tells vhost's queues apart belongs to the kick.
    fn asks_for(&self, hop: Hop) -> bool {
        let hop = if VHOST_PAIR.contains(&hop) { Hop::VmmKick } else { hop };
        (self.only.is_empty() || self.only.contains(&hop)) && self.knows(hop)
    }

    /// Whether the mode can make something of a hop.
    fn knows(&self, hop: Hop) -> bool {
        self.mode == Mode::Stream || spans::knows(hop)
    }

    /// Which queue a kick is for, and which queue a worker takes frames from: one says nothing without the other.
    fn pair(&mut self) {
        for case in [Case::VhostTap, Case::VhostMacvtap] {
            let of_pair = |served: &Served| {
                CHAINS[served.row].case == case && VHOST_PAIR.contains(&CHAINS[served.row].hop)
            };
            if self.rows.iter().any(|served| of_pair(served) && served.hooks.is_empty()) {
                self.rows.iter_mut().filter(|served| of_pair(served)).for_each(|served| served.hooks.clear());
            }
        }
    }

    fn serve(&self, index: usize, row: &Row) -> Served {
        let mut served = Served { row: index, ..Served::default() };
        for link in self.links(row) {
            match self.takes(link[0]) {
                Ok(()) => {
                    for &hook in link {
                        match self.takes(hook) {
                            Ok(()) => served.hooks.push(hook),
                            Err(why) => served.passed_over.push((hook, why)),
                        }
                    }
                    break;
                }
                Err(why) => served.passed_over.push((link[0], why)),
            }
        }
        served
    }

    /// The links of a row that the user leaves to choose from: all, or the one with the hook asked for.
    fn links(&self, row: &Row) -> Vec<&'static [Hook]> {
        let wanted = self
            .wished
            .iter()
            .find(|(hop, hook)| *hop == row.hop && row.chain.iter().any(|link| link.contains(hook)));
        let keeps = |link: &&&[Hook]| wanted.is_none_or(|(_, hook)| link.contains(hook));
        row.chain.iter().filter(keeps).copied().collect()
    }

    /// Whether this kernel takes a hook's program, as far as is known by now.
    fn takes(&self, hook: Hook) -> Result<(), String> {
        let Some(program) = catalog::program(hook) else { return Err("not a hook of its own".to_owned()) };
        match self.failed.get(program.name) {
            Some(why) => Err(why.clone()),
            None => self.facts.offers(program),
        }
    }

    /// Makes sure that a wished hook serves its hop.
    fn grants(&self, hop: Hop, hook: Hook) -> Result<()> {
        if !self.knows(hop) {
            bail!("--hook {}: histogram mode does not know this hop", hop.name());
        }
        if !self.asks_for(hop) {
            bail!("--hook {}: --hops leaves this hop out: add it there", hop.name());
        }
        let rows: Vec<_> = self.rows.iter().filter(|served| CHAINS[served.row].hop == hop).collect();
        if rows.iter().any(|served| served.hooks.contains(&hook)) {
            return Ok(());
        }
        let together = |other: Hook| {
            rows.iter().any(|served| {
                let chain = CHAINS[served.row].chain.concat();
                chain.contains(&hook) && chain.contains(&other)
            })
        };
        let rival = self.wished.iter().find(|(of, other)| *of == hop && *other != hook && together(*other));
        if let Some((_, rival)) = rival {
            bail!("--hook {}: it is either {} or {}", hop.name(), rival.name(), hook.name());
        }
        let refused = rows.iter().flat_map(|served| &served.passed_over).find(|(over, _)| *over == hook);
        if let Some((_, why)) = refused {
            bail!("--hook {}={}: {why}", hop.name(), hook.name());
        }
        let mut known: Vec<_> = rows
            .iter()
            .flat_map(|served| CHAINS[served.row].chain.iter())
            .flat_map(|link| link.iter())
            .map(|hook| hook.name())
            .collect();
        known.dedup();
        match known.as_slice() {
            [] => bail!("--hook {}: {}", hop.name(), unserved::no_case(hop)),
            known => bail!(
                "--hook {}={}: that hook does not serve this hop here; these can: {}",
                hop.name(),
                hook.name(),
                known.join(", ")
            ),
        }
    }

    /// What serves each row of the table.
    pub fn served(&self) -> Vec<(Hop, Case, Vec<Hook>)> {
        let row = |served: &Served| {
            let Row { hop, case, .. } = CHAINS[served.row];
            (hop, case, served.hooks.clone())
        };
        self.rows.iter().map(row).collect()
    }

    /// Hooks further down the chain that `hook` serves in, as far as this kernel takes them.
    pub fn others(&self, hop: Hop, case: Case, hook: Hook) -> Vec<Hook> {
        let holds = |row: &&Row| row.chain.iter().any(|link| link.contains(&hook));
        let mut rows = CHAINS.iter().filter(|row| (row.hop, row.case) == (hop, case));
        let chain = rows.find(holds).map_or(&[][..], |row| row.chain);
        let behind = chain.iter().skip_while(|link| !link.contains(&hook)).skip(1);
        behind.map(|link| link[0]).filter(|other| self.takes(*other).is_ok()).collect()
    }

    /// Programs to attach, in the order of the catalog.
    pub fn programs(&self) -> Vec<&'static Program> {
        let used = |program: &&Program| self.rows.iter().any(|served| served.hooks.contains(&program.hook));
        CATALOG.iter().filter(used).collect()
    }

    /// Whether a hook is in use, for whatever hop.
    pub fn uses(&self, hook: Hook) -> bool {
        self.rows.iter().any(|served| served.hooks.contains(&hook))
    }

    /// Whether `hook` serves `hop` in any case.
    pub fn serves(&self, hop: Hop, hook: Hook) -> bool {
        self.rows.iter().any(|served| CHAINS[served.row].hop == hop && served.hooks.contains(&hook))
    }

    /// Takes over what another plan has found not to attach.
    pub fn learn(&mut self, other: &Plan) {
        self.failed.extend(other.failed.clone());
        self.choose();
    }

    /// Notes that a program could not be attached: the plan moves down the chains that it stood in.
    pub fn fail(&mut self, program: &'static Program, reason: &str) {
        self.failed.insert(program.name, reason.to_owned());
        self.choose();
    }

    /// Notes that a hop of the user's could not be attached.
    pub fn fail_user_hop(&mut self, name: &str, reason: &str) {
        let Some(at) = self.user_hops.iter().position(|hop| hop.name == name) else { return };
        let UserHop { name, describe, .. } = self.user_hops.remove(at);
        self.missing.push(Missing { name, describe, why: reason.to_owned() });
    }

    /// The hooks that serve `hop`, first choice first.
    pub fn hooks(&self, hop: Hop) -> Vec<Hook> {
        let mut hooks = Vec::new();
        if matches!(hop, Hop::NicRx | Hop::TapRx) && matches!(self.xdp, XdpMode::Native | XdpMode::Generic) {
            hooks.push(Hook::Xdp);
        }
        for hook in self.rows.iter().filter(|served| CHAINS[served.row].hop == hop).flat_map(|row| &row.hooks)
        {
            if !hooks.contains(hook) {
                hooks.push(*hook);
            }
        }
        hooks
    }

    /// Takes XDP out where it could not be attached to any device.
    pub fn without_xdp(&mut self) {
        self.xdp = XdpMode::Off;
    }

    /// The plan as the recording and `doctor` show it, one entry a hop.
    pub fn hops(&self) -> Vec<PlannedHop> {
        let reported = REPORTED_HOPS.iter().map(|&hop| self.planned(hop));
        let by_user = self.user_hops.iter().map(planned_by_user);
        reported.chain(by_user).chain(self.missing.iter().map(passed_over)).collect()
    }

    fn planned(&self, hop: Hop) -> PlannedHop {
        // What comes along with another hop's program is of no use where the mode does not know it.
        let hooks = if self.knows(hop) { self.hooks(hop) } else { Vec::new() };
        let of = |hop: Hop| self.rows.iter().filter(move |served| CHAINS[served.row].hop == hop);
        let mut choices: Vec<Choice> = of(hop).map(choice).collect();
        if let (Hop::VmmKick, Some(first)) = (hop, choices.first_mut()) {
            // The pair is no hop of its own: without it a kick's queue is not known.
            let lost = VHOST_PAIR.into_iter().flat_map(of).flat_map(|served| choice(served).passed_over);
            for over in lost {
                if !first.passed_over.contains(&over) {
                    first.passed_over.push(over);
                }
            }
        }
        PlannedHop {
            hop: hop.name().to_owned(),
            unserved: hooks.is_empty().then(|| match self.asks_for(hop) {
                true => unserved::why(hop, &choices),
                false if self.knows(hop) => "left out by --hops".to_owned(),
                false => "not in histogram mode: only a recording of all events can join it".to_owned(),
            }),
            hooks: hooks.iter().map(|hook| hook.name().to_owned()).collect(),
            choices,
        }
    }
}

fn choice(served: &Served) -> Choice {
    let passed_over =
        |(hook, why): &(Hook, String)| PassedOver { hook: hook.name().to_owned(), why: why.clone() };
    Choice {
        case: CHAINS[served.row].case.describe().to_owned(),
        hooks: served.hooks.iter().map(|hook| hook.name().to_owned()).collect(),
        passed_over: served.passed_over.iter().map(passed_over).collect(),
    }
}

fn planned_by_user(user: &UserHop) -> PlannedHop {
    PlannedHop {
        hop: user.name.clone(),
        hooks: vec![format!("kprobe:{}", user.function)],
        unserved: None,
        choices: Vec::new(),
    }
}

fn passed_over(missing: &Missing) -> PlannedHop {
    PlannedHop {
        hop: missing.name.clone(),
        hooks: Vec::new(),
        unserved: Some(missing.why.clone()),
        choices: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
