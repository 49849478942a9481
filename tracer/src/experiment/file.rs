//! An experiment as a TOML file. An error names the file, the line, the key, and what was expected there, on one line.

mod workload;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::ValueEnum as _;
use serde::Deserialize;
use toml::Spanned;

use self::workload::WrittenWorkload;
use super::spec::{LabSpec, Path, Spec, StationSpec, Workload};
use crate::{
    lab::{MAX_GUESTS, Network, Place},
    written::Written,
};

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSpec {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    repetitions: Spanned<u32>,
    warmup: Option<Spanned<u32>>,
    cooldown: Option<Spanned<String>>,
    order: Option<Spanned<String>>,
    seed: Option<u64>,
    lab: Option<WrittenLab>,
    #[serde(default)]
    stations: BTreeMap<Spanned<String>, WrittenStation>,
    path: Spanned<Vec<WrittenPath>>,
    workload: Spanned<Vec<WrittenWorkload>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLab {
    networks: Option<Spanned<Vec<Spanned<String>>>>,
    guests: Option<Spanned<u8>>,
    #[serde(default)]
    vhost: bool,
    cpus: Option<Spanned<u32>>,
    memory_mib: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStation {
    ssh: Option<Spanned<String>>,
    ssh_config: Option<String>,
    address: Spanned<String>,
    vm: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPath {
    from: Spanned<String>,
    to: Spanned<String>,
    #[serde(default)]
    networks: Vec<Spanned<String>>,
}

/// Most runs of an experiment: what one waits for, and what a folder holds.
const MAX_RUNS: usize = 100_000;

impl Spec {
    /// Reads an experiment. `shown` is what errors call the file.
    ///
    /// # Errors
    /// What is wrong, and where, on one line.
    pub fn parse(text: &str, shown: &str) -> Result<Spec> {
        let file = Written { text, shown };
        let written: WrittenSpec = file.read()?;
        let reader = Reader { file };
        let spec = reader.spec(written)?;
        let runs = spec.paths.len() * spec.workloads.len() * spec.repetitions as usize;
        ensure!(runs <= MAX_RUNS, "{shown}: that would be {runs} runs: at most {MAX_RUNS} are possible");
        Ok(spec)
    }
}

/// Checks one part after the other.
struct Reader<'a> {
    file: Written<'a>,
}

impl Reader<'_> {
    /// A value that must pass a check, with the place of its key in the error.
    pub(super) fn check<T: Clone, U>(
        &self,
        key: &str,
        value: &Spanned<T>,
        check: impl FnOnce(T) -> Result<U>,
    ) -> Result<U> {
        check(value.get_ref().clone()).map_err(|error| self.file.wrong(&value.span(), key, &error))
    }

    fn spec(&self, written: WrittenSpec) -> Result<Spec> {
        let lab = written.lab.as_ref().map(|lab| self.lab(lab)).transpose()?;
        let stations = self.stations(&written.stations, lab.is_some())?;
        let known = |name: &str| known_station(name, lab.as_ref(), &stations);
        let paths = written.path.get_ref().iter();
        let paths = paths.map(|path| self.path(path, lab.as_ref(), &known)).collect::<Result<Vec<_>>>()?;
        for (at, (path, written)) in paths.iter().zip(written.path.get_ref()).enumerate() {
            self.check("to", &written.to, |_| {
                let same = |other: &Path| (&other.from, &other.to) == (&path.from, &path.to);
                ensure!(
                    !paths[..at].iter().any(same),
                    "path {path} is defined twice: give it all its networks"
                );
                Ok(())
            })?;
        }
        self.check("path", &written.path, |_| {
            ensure!(!paths.is_empty(), "there is no path: give at least one [[path]] with from and to");
            Ok(())
        })?;
        let workloads = self.workloads(&written.workload, &paths, lab.is_some())?;
        Ok(Spec {
            name: self.check("name", &written.name, file_name)?,
            description: written.description,
            repetitions: self.check("repetitions", &written.repetitions, |count| {
                ensure!(
                    (1..=1000).contains(&count),
                    "expected 1 to 1000, five or more for statistics, not {count}"
                );
                Ok(count)
            })?,
            warmup: written.warmup.as_ref().map_or(Ok(0), |warmup| {
                self.check("warmup", warmup, |count| {
                    ensure!(count <= 100, "expected at most 100 rounds, not {count}");
                    Ok(count)
                })
            })?,
            cooldown: self.duration("cooldown", written.cooldown.as_ref(), Duration::ZERO)?,
            random: written.order.as_ref().map_or(Ok(true), |order| self.check("order", order, is_random))?,
            seed: written.seed,
            lab,
            stations,
            paths,
            workloads,
        })
    }

    fn workloads(
        &self,
        written: &Spanned<Vec<WrittenWorkload>>,
        paths: &[Path],
        in_lab: bool,
    ) -> Result<Vec<Workload>> {
        let mut workloads: Vec<Workload> = Vec::new();
        for workload in written.get_ref() {
            let read = self.workload(workload, paths, in_lab)?;
            self.check("name", &workload.name, |name| {
                ensure!(workloads.iter().all(|other| other.name != name), "workload {name} is defined twice");
                Ok(())
            })?;
            workloads.push(read);
        }
        self.check("workload", written, |_| {
            ensure!(
                !workloads.is_empty(),
                "there is no workload: give at least one [[workload]] with name and kind"
            );
            Ok(())
        })?;
        Ok(workloads)
    }

    fn lab(&self, written: &WrittenLab) -> Result<LabSpec> {
        let networks = match &written.networks {
            None => vec![Network::Bridge],
            Some(list) => {
                let networks: Result<Vec<_>> = list
                    .get_ref()
                    .iter()
                    .map(|name| self.check("networks", name, |name| network(&name)))
                    .collect();
                let networks = networks?;
                self.check("networks", list, |_| {
                    ensure!(
                        !networks.is_empty(),
                        "the list is empty: give at least one of {}",
                        network_names()
                    );
                    let twice = (1..networks.len()).find(|&at| networks[..at].contains(&networks[at]));
                    ensure!(twice.is_none(), "a network is there twice");
                    Ok(())
                })?;
                networks
            }
        };
        let number =
            |key: &str, value: &Option<Spanned<u32>>, default: u32, range: std::ops::RangeInclusive<u32>| {
                value.as_ref().map_or(Ok(default), |value| {
                    self.check(key, value, |count| {
                        ensure!(
                            range.contains(&count),
                            "expected {} to {}, not {count}",
                            range.start(),
                            range.end()
                        );
                        Ok(count)
                    })
                })
            };
        let guests = written.guests.as_ref().map_or(Ok(1), |guests| {
            self.check("guests", guests, |count| {
                ensure!((1..=MAX_GUESTS).contains(&count), "expected 1 to {MAX_GUESTS}, not {count}");
                Ok(count)
            })
        })?;
        Ok(LabSpec {
            networks,
            guests,
            vhost: written.vhost,
            cpus: number("cpus", &written.cpus, 1, 1..=64)?,
            memory_mib: number("memory_mib", &written.memory_mib, 256, 128..=1_048_576)?,
        })
    }

    fn stations(
        &self,
        written: &BTreeMap<Spanned<String>, WrittenStation>,
        in_lab: bool,
    ) -> Result<BTreeMap<String, StationSpec>> {
        let mut stations = BTreeMap::new();
        for (name, station) in written {
            self.check("stations", name, |name| {
                ensure!(!in_lab, "the stations are in the lab: take out [lab], or [stations.{name}]");
                file_name(name).map(drop)
            })?;
            let address = self.check("address", &station.address, |address| {
                address.parse::<IpAddr>().map_err(|_| anyhow!("expected an IP address, not `{address}`"))
            })?;
            let ssh = station.ssh.as_ref().map(|ssh| self.check("ssh", ssh, destination)).transpose()?;
            let spec =
                StationSpec { ssh, ssh_config: station.ssh_config.clone(), address, vm: station.vm.clone() };
            stations.insert(name.get_ref().clone(), spec);
        }
        Ok(stations)
    }

    fn path(
        &self,
        written: &WrittenPath,
        lab: Option<&LabSpec>,
        known: &dyn Fn(&str) -> Result<()>,
    ) -> Result<Path> {
        for (key, station) in [("from", &written.from), ("to", &written.to)] {
            self.check(key, station, |name| known(&name))?;
        }
        self.check("to", &written.to, |to| {
            ensure!(
                &to != written.from.get_ref(),
                "expected another station than {to}, where the path begins"
            );
            Ok(())
        })?;
        let networks = written.networks.iter().map(|name| {
            self.check("networks", name, |name| {
                let network = network(&name)?;
                let has = lab.is_some_and(|lab| lab.networks.contains(&network));
                ensure!(has, "[lab] has no network {name}");
                Ok(network)
            })
        });
        let networks = networks.collect::<Result<_>>()?;
        Ok(Path { from: written.from.get_ref().clone(), to: written.to.get_ref().clone(), networks })
    }

    pub(super) fn duration(
        &self,
        key: &str,
        typed: Option<&Spanned<String>>,
        default: Duration,
    ) -> Result<Duration> {
        let Some(typed) = typed else { return Ok(default) };
        self.check(key, typed, |text| {
            humantime::parse_duration(&text)
                .with_context(|| format!("expected a duration, such as 500ms, 10s or 2m, not `{text}`"))
        })
    }
}

/// A name that files can be called by.
pub(super) fn file_name(name: String) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let sound = (1..=40).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']);
    ensure!(sound, "expected a name of at most 40 letters, digits, '-', '_' and '.', not `{name}`");
    Ok(name)
}

/// Where ssh goes: nothing that it would take for an option.
fn destination(text: String) -> Result<String> {
    let sound = !text.is_empty() && !text.starts_with('-') && !text.chars().any(char::is_whitespace);
    ensure!(sound, "expected what ssh connects to, such as root@192.0.2.3, not `{text}`");
    Ok(text)
}

fn is_random(order: String) -> Result<bool> {
    match order.as_str() {
        "random" => Ok(true),
        "written" => Ok(false),
        other => bail!("expected random or written, not `{other}`"),
    }
}

fn network(name: &str) -> Result<Network> {
    Network::from_str(name, false).map_err(|_| anyhow!("expected one of {}, not `{name}`", network_names()))
}

fn network_names() -> String {
    Network::value_variants().iter().map(|network| network.name()).collect::<Vec<_>>().join(", ")
}

/// Whether there is such a station.
fn known_station(name: &str, lab: Option<&LabSpec>, stations: &BTreeMap<String, StationSpec>) -> Result<()> {
    let Some(lab) = lab else {
        let names: Vec<&str> = stations.keys().map(String::as_str).collect();
        ensure!(!names.is_empty(), "there are no stations: add a table [lab], or [stations.NAME] for each");
        ensure!(stations.contains_key(name), "there is no station `{name}`: there are {}", names.join(", "));
        return Ok(());
    };
    let place = Place::from_str(name, false).ok().filter(|place| place.guest() <= Some(lab.guests));
    ensure!(
        place.is_some(),
        "the lab has no station `{name}`: it has guest to guest{}, host and peer",
        lab.guests
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::spec::WorkloadKind, *};

    const LEAST: &str = "name = \"x\"\nrepetitions = 2\n[lab]\n[[path]]\nfrom = \"guest\"\nto = \"peer\"\n\
        [[workload]]\nname = \"p\"\nkind = \"ping\"\n";

    #[test]
    fn the_least_that_is_an_experiment() {
        let spec = Spec::parse(LEAST, "x.toml").unwrap();
        let ping = WorkloadKind::Ping { count: 4, size: 56, interval: Duration::from_secs(1) };
        assert_eq!((&spec.workloads[0].kind, spec.random, spec.warmup), (&ping, true, 0));
        assert_eq!(spec.lab.unwrap().networks, [Network::Bridge]);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_key_and_what_was_expected() {
        for (from, to, told) in [
            ("repetitions = 2", "repetitions = 0", "x.toml, line 2: key repetitions: expected 1 to 1000"),
            (
                "repetitions = 2",
                "repetitions = \"2\"",
                "line 2: key repetitions: invalid type: string \"2\", expected u32",
            ),
            ("repetitions = 2", "repetition = 2", "line 2: unknown field `repetition`"),
            ("\"peer\"", "\"pear\"", "line 6: key to: the lab has no station `pear`"),
            ("\"peer\"", "\"guest2\"", "line 6: key to: the lab has no station `guest2`"),
            ("\"peer\"", "\"guest\"", "line 6: key to: expected another station than guest"),
            ("\"ping\"", "\"pong\"", "line 9: key kind: expected ping, http, iperf3 or command, not `pong`"),
            ("\"ping\"\n", "\"ping\"\ninterval = \"fast\"\n", "line 10: key interval: expected a duration"),
            (
                "\"ping\"\n",
                "\"ping\"\nbytes = 4\n",
                "line 10: key bytes: a workload of kind ping has no such key",
            ),
            (
                "\"ping\"\n",
                "\"ping\"\npaths = [\"peer -> host\"]\n",
                "line 10: key paths: there is no [[path]] from peer",
            ),
            ("[lab]", "[lab]\nnetworks = [\"nut\"]", "line 4: key networks: expected one of bridge, nat"),
            ("[lab]\n", "", "line 4: key from: there are no stations: add a table [lab]"),
            ("\"p\"", "\"a/b\"", "line 8: key name: expected a name of at most 40 letters"),
            (
                "[lab]",
                "[lab]\nnetworks = [\"nat\", \"nat\"]",
                "line 4: key networks: a network is there twice",
            ),
            (
                "[[workload]]",
                "[[path]]\nfrom = \"guest\"\nto = \"peer\"\n[[workload]]",
                "line 9: key to: path guest → peer is defined twice",
            ),
            ("\"x\"\n", "\"x\"\nname = \"y\"\n", "line 2: key name: duplicate key"),
        ] {
            let text = LEAST.replacen(from, to, 1);
            let error = format!("{:#}", Spec::parse(&text, "x.toml").unwrap_err());
            assert!(error.contains(told) && !error.contains('\n'), "{error}\nand not {told}");
        }
    }

    #[test]
    fn a_cut_off_file_is_an_error_and_no_panic() {
        let text = super::super::builtin::ALL[0].text;
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let _ = Spec::parse(&text[..at], "x");
        }
    }
}
