//! Which runs there are, and in which order: rounds of all cells, each in an order of its own. What drifts during an
//! experiment (heat, other users of the machine) then falls on all cells alike.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::spec::{Path, Spec, Workload};
use crate::lab::Network;

/// One run of the schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// From 1 on; 0 for a warm-up.
    pub repetition: u32,
    /// The lab's network; none outside of a lab.
    pub network: Option<Network>,
    /// Where the path begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// Name of the workload.
    pub workload: String,
}

impl Run {
    /// What its files are called.
    pub fn id(&self) -> String {
        let network = self.network.map_or(String::new(), |network| format!("{}_", network.name()));
        format!("{network}{}_{}_{}_{:03}", self.from, self.to, self.workload, self.repetition)
    }

    /// In words.
    pub fn title(&self) -> String {
        let network = self.network.map_or(String::new(), |network| format!("{}: ", network.name()));
        format!("{network}{} → {}, {}", self.from, self.to, self.workload)
    }
}

/// The runs under one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The lab's network; none outside of a lab.
    pub network: Option<Network>,
    /// Runs that only warm up.
    pub warmup: Vec<Run>,
    /// The runs that count, in order.
    pub runs: Vec<Run>,
}

/// All runs in order, network after network: their labs are made one after the other, since guests that are up cost the others
/// time.
pub fn of(spec: &Spec, seed: u64) -> Vec<Block> {
    let mut rng = Rng::with_seed(seed);
    let mut networks: Vec<Option<Network>> = match &spec.lab {
        Some(lab) => lab.networks.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    if spec.random {
        rng.shuffle(&mut networks);
    }
    networks.into_iter().map(|network| block(spec, network, &mut rng)).collect()
}

fn block(spec: &Spec, network: Option<Network>, rng: &mut Rng) -> Block {
    let mut round = |repetition: u32| {
        let mut runs: Vec<Run> = cells(spec, network)
            .map(|(path, workload)| Run {
                repetition,
                network,
                from: path.from.clone(),
                to: path.to.clone(),
                workload: workload.name.clone(),
            })
            .collect();
        if spec.random {
            rng.shuffle(&mut runs);
        }
        runs
    };
    let warmup = (0..spec.warmup).flat_map(|_| round(0)).collect();
    let runs = (1..=spec.repetitions).flat_map(&mut round).collect();
    Block { network, warmup, runs }
}

/// Every path with every workload that takes it.
fn cells(spec: &Spec, network: Option<Network>) -> impl Iterator<Item = (&Path, &Workload)> {
    let paths = spec.paths.iter().filter(move |path| {
        path.networks.is_empty() || network.is_some_and(|network| path.networks.contains(&network))
    });
    paths.flat_map(|path| {
        spec.workloads.iter().filter(|workload| workload.takes(path)).map(move |workload| (path, workload))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::builtin, *};

    fn hosted_vm() -> Spec {
        Spec::parse(builtin::find("hosted-vm").unwrap().text, "hosted-vm").unwrap()
    }

    #[test]
    fn every_cell_is_measured_once_a_round_in_another_order() {
        let spec = hosted_vm();
        for block in of(&spec, 7) {
            let cells = block.runs.len() / 5;
            let rounds: Vec<&[Run]> = block.runs.chunks(cells).collect();
            let cell = |run: &Run| (run.from.clone(), run.to.clone(), run.workload.clone());
            let sets: BTreeSet<BTreeSet<_>> =
                rounds.iter().map(|round| round.iter().map(cell).collect()).collect();
            assert_eq!((sets.len(), rounds.len()), (1, 5));
            let orders: BTreeSet<Vec<_>> =
                rounds.iter().map(|round| round.iter().map(cell).collect()).collect();
            assert!(orders.len() > 1, "all rounds have one order");
            assert_eq!(block.warmup.len(), cells);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_order() {
        let spec = hosted_vm();
        assert_eq!(of(&spec, 1), of(&spec, 1));
        assert_ne!(of(&spec, 1), of(&spec, 2));
        let written = Spec { random: false, ..spec };
        assert_eq!(of(&written, 1), of(&written, 2));
    }

    #[test]
    fn a_path_is_measured_only_under_its_networks() {
        let runs: Vec<Run> = of(&hosted_vm(), 1).into_iter().flat_map(|block| block.runs).collect();
        let has = |network, from: &str, to: &str| {
            runs.iter().any(|run| run.network == Some(network) && run.from == from && run.to == to)
        };
        assert!(has(Network::Nat, "guest", "peer") && has(Network::Bridge, "guest", "guest2"));
        assert!(has(Network::HostOnly, "guest", "host") && !has(Network::HostOnly, "guest", "peer"));
    }

    #[test]
    fn no_two_runs_have_the_same_files() {
        let runs: Vec<Run> = of(&hosted_vm(), 1).into_iter().flat_map(|block| block.runs).collect();
        let ids: BTreeSet<String> = runs.iter().map(Run::id).collect();
        assert_eq!(ids.len(), runs.len());
    }
}
