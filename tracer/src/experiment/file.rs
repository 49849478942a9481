//! An experiment as a TOML file. An error names the file, the line, the key, and what was expected there, on one line.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::ValueEnum as _;
use serde::Deserialize;
use toml::Spanned;

use super::spec::{LabSpec, Path, Spec, StationSpec, Workload, WorkloadKind};
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
    #[serde(default)]
    warmup: u32,
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWorkload {
    name: Spanned<String>,
    kind: Spanned<String>,
    paths: Option<Vec<Spanned<String>>>,
    timeout: Option<Spanned<String>>,
    count: Option<Spanned<u32>>,
    size: Option<Spanned<u16>>,
    interval: Option<Spanned<String>>,
    bytes: Option<Spanned<u64>>,
    url: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    protocol: Option<Spanned<String>>,
    duration: Option<Spanned<String>>,
    bitrate: Option<Spanned<String>>,
    command: Option<Spanned<String>>,
    server: Option<Spanned<String>>,
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
    fn check<T: Clone, U>(&self, key: &str, value: &Spanned<T>, check: impl FnOnce(T) -> Result<U>) -> Result<U> {
        check(value.get_ref().clone()).map_err(|error| self.file.wrong(&value.span(), key, &error))
    }

    fn spec(&self, written: WrittenSpec) -> Result<Spec> {
        let lab = written.lab.as_ref().map(|lab| self.lab(lab)).transpose()?;
        let stations = self.stations(&written.stations, lab.is_some())?;
        let known = |name: &str| known_station(name, lab.as_ref(), &stations);
        let paths = written.path.get_ref().iter();
        let paths = paths.map(|path| self.path(path, lab.as_ref(), &known)).collect::<Result<Vec<_>>>()?;
        self.check("path", &written.path, |_| {
            ensure!(!paths.is_empty(), "there is no path: give at least one [[path]] with from and to");
            Ok(())
        })?;
        let mut workloads: Vec<Workload> = Vec::new();
        for workload in written.workload.get_ref() {
            let read = self.workload(workload, &paths, lab.is_some())?;
            self.check("name", &workload.name, |name| {
                ensure!(workloads.iter().all(|other| other.name != name), "workload {name} is defined twice");
                Ok(())
            })?;
            workloads.push(read);
        }
        self.check("workload", &written.workload, |_| {
            ensure!(!workloads.is_empty(), "there is no workload: give at least one [[workload]] with name and kind");
            Ok(())
        })?;
        Ok(Spec {
            name: self.check("name", &written.name, file_name)?,
            description: written.description,
            repetitions: self.check("repetitions", &written.repetitions, |count| {
                ensure!((1..=1000).contains(&count), "expected 1 to 1000, five or more for statistics, not {count}");
                Ok(count)
            })?,
            warmup: written.warmup,
            cooldown: self.duration("cooldown", written.cooldown.as_ref(), Duration::ZERO)?,
            random: written.order.as_ref().map_or(Ok(true), |order| self.check("order", order, is_random))?,
            seed: written.seed,
            lab,
            stations,
            paths,
            workloads,
        })
    }

    fn lab(&self, written: &WrittenLab) -> Result<LabSpec> {
        let networks = match &written.networks {
            None => vec![Network::Bridge],
            Some(list) => {
                let networks: Result<Vec<_>> =
                    list.get_ref().iter().map(|name| self.check("networks", name, |name| network(&name))).collect();
                let networks = networks?;
                self.check("networks", list, |_| {
                    ensure!(!networks.is_empty(), "the list is empty: give at least one of {}", network_names());
                    Ok(())
                })?;
                networks
            }
        };
        let number = |key: &str, value: &Option<Spanned<u32>>, default: u32, range: std::ops::RangeInclusive<u32>| {
            value.as_ref().map_or(Ok(default), |value| {
                self.check(key, value, |count| {
                    ensure!(range.contains(&count), "expected {} to {}, not {count}", range.start(), range.end());
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
            let spec = StationSpec { ssh, ssh_config: station.ssh_config.clone(), address, vm: station.vm.clone() };
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
            ensure!(&to != written.from.get_ref(), "expected another station than {to}, where the path begins");
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

    fn workload(&self, written: &WrittenWorkload, paths: &[Path], in_lab: bool) -> Result<Workload> {
        let name = self.check("name", &written.name, file_name)?;
        let kind = self.check("kind", &written.kind, |kind| match kind.as_str() {
            "ping" => self.ping(written),
            "http" => self.http(written, in_lab),
            "iperf3" => self.iperf3(written),
            "command" => self.command(written),
            other => bail!("expected ping, http, iperf3 or command, not `{other}`"),
        })?;
        self.only_its_own_keys(written, &kind)?;
        let only = written.paths.as_deref().unwrap_or_default().iter();
        let only = only.map(|path| self.check("paths", path, |path| one_of(&path, paths)));
        let mut workload = Workload { name, kind, paths: only.collect::<Result<_>>()?, timeout: Duration::ZERO };
        let default = workload.expected() * 5 + Duration::from_secs(60);
        workload.timeout = self.duration("timeout", written.timeout.as_ref(), default)?;
        Ok(workload)
    }

    fn ping(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let count = written.count.as_ref().map_or(Ok(4), |count| {
            self.check("count", count, |count| {
                ensure!(count > 0, "expected at least 1");
                Ok(count)
            })
        })?;
        let size = written.size.as_ref().map_or(Ok(56), |size| {
            self.check("size", size, |size| {
                ensure!(size <= 65_507, "expected at most 65507 bytes, what an IPv4 datagram holds, not {size}");
                Ok(size)
            })
        })?;
        let interval = self.duration("interval", written.interval.as_ref(), Duration::from_secs(1))?;
        Ok(WorkloadKind::Ping { count, size, interval })
    }

    fn http(&self, written: &WrittenWorkload, in_lab: bool) -> Result<WorkloadKind> {
        let bytes = written.bytes.as_ref().map_or(Ok(40_000_000), |bytes| {
            self.check("bytes", bytes, |bytes| {
                ensure!((1..=1 << 40).contains(&bytes), "expected 1 byte to 1 TiB, not {bytes}");
                Ok(bytes)
            })
        })?;
        ensure!(
            in_lab || written.url.is_some(),
            "outside of a lab it needs key url, such as \"http://{{from}}/40MB\": the file to fetch"
        );
        let url = written.url.as_ref().map(|url| {
            self.check("url", url, |url| {
                ensure!(url.starts_with("http://"), "expected http://{{from}}/PATH, not `{url}`");
                Ok(url)
            })
        });
        let port = written.port.as_ref().map_or(80, |port| *port.get_ref());
        Ok(WorkloadKind::Http { bytes, url: url.transpose()?, port })
    }

    fn iperf3(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let udp = written.protocol.as_ref().map_or(Ok(false), |protocol| {
            self.check("protocol", protocol, |protocol| match protocol.as_str() {
                "tcp" => Ok(false),
                "udp" => Ok(true),
                other => bail!("expected tcp or udp, not `{other}`"),
            })
        })?;
        let duration = self.duration("duration", written.duration.as_ref(), Duration::from_secs(10))?;
        let bitrate = written.bitrate.as_ref().map(|bitrate| {
            self.check("bitrate", bitrate, |bitrate| {
                let digits = bitrate.trim_end_matches(['K', 'M', 'G']);
                let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                ensure!(sound && bitrate.len() - digits.len() <= 1, "expected bits a second, such as 100M");
                Ok(bitrate)
            })
        });
        Ok(WorkloadKind::Iperf3 { udp, duration, bitrate: bitrate.transpose()? })
    }

    fn command(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let Some(command) = &written.command else {
            bail!("it needs key command: what a shell on the path's first station runs")
        };
        let command = command.get_ref().clone();
        ensure!(!command.trim().is_empty(), "its command is empty");
        Ok(WorkloadKind::Command { command, server: written.server.as_ref().map(|it| it.get_ref().clone()) })
    }

    /// Keys that mean nothing to this kind are mistakes.
    fn only_its_own_keys(&self, written: &WrittenWorkload, kind: &WorkloadKind) -> Result<()> {
        let own: &[&str] = match kind {
            WorkloadKind::Ping { .. } => &["count", "size", "interval"],
            WorkloadKind::Http { .. } => &["bytes", "url", "port"],
            WorkloadKind::Iperf3 { .. } => &["protocol", "duration", "bitrate"],
            WorkloadKind::Command { .. } => &["command", "server"],
        };
        let span = |key: &Option<Spanned<String>>| key.as_ref().map(Spanned::span);
        let keys = [
            ("count", written.count.as_ref().map(Spanned::span)),
            ("size", written.size.as_ref().map(Spanned::span)),
            ("interval", span(&written.interval)),
            ("bytes", written.bytes.as_ref().map(Spanned::span)),
            ("url", span(&written.url)),
            ("port", written.port.as_ref().map(Spanned::span)),
            ("protocol", span(&written.protocol)),
            ("duration", span(&written.duration)),
            ("bitrate", span(&written.bitrate)),
            ("command", span(&written.command)),
            ("server", span(&written.server)),
        ];
        for (key, span) in keys {
            if let Some(span) = span.filter(|_| !own.contains(&key)) {
                let kind = written.kind.get_ref();
                let expected = anyhow!("a workload of kind {kind} has no such key: it has {}", own.join(", "));
                return Err(self.file.wrong(&span, key, &expected));
            }
        }
        Ok(())
    }

    fn duration(&self, key: &str, typed: Option<&Spanned<String>>, default: Duration) -> Result<Duration> {
        let Some(typed) = typed else { return Ok(default) };
        self.check(key, typed, |text| {
            humantime::parse_duration(&text)
                .with_context(|| format!("expected a duration, such as 500ms, 10s or 2m, not `{text}`"))
        })
    }
}

/// A name that files can be called by.
fn file_name(name: String) -> Result<String> {
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
    ensure!(place.is_some(), "the lab has no station `{name}`: it has guest to guest{}, host and peer", lab.guests);
    Ok(())
}

/// The path of a workload, which must be one of the experiment's.
fn one_of(text: &str, paths: &[Path]) -> Result<(String, String)> {
    let Some((from, to)) = text.split_once("->") else { bail!("expected \"FROM -> TO\", not `{text}`") };
    let (from, to) = (from.trim().to_owned(), to.trim().to_owned());
    ensure!(
        paths.iter().any(|path| (&path.from, &path.to) == (&from, &to)),
        "there is no [[path]] from {from} to {to}"
    );
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("repetitions = 2", "repetitions = \"2\"", "line 2: key repetitions: invalid type: string \"2\", expected u32"),
            ("repetitions = 2", "repetition = 2", "line 2: unknown field `repetition`"),
            ("\"peer\"", "\"pear\"", "line 6: key to: the lab has no station `pear`"),
            ("\"peer\"", "\"guest2\"", "line 6: key to: the lab has no station `guest2`"),
            ("\"peer\"", "\"guest\"", "line 6: key to: expected another station than guest"),
            ("\"ping\"", "\"pong\"", "line 9: key kind: expected ping, http, iperf3 or command, not `pong`"),
            ("\"ping\"\n", "\"ping\"\ninterval = \"fast\"\n", "line 10: key interval: expected a duration"),
            ("\"ping\"\n", "\"ping\"\nbytes = 4\n", "line 10: key bytes: a workload of kind ping has no such key"),
            ("\"ping\"\n", "\"ping\"\npaths = [\"peer -> host\"]\n", "line 10: key paths: there is no [[path]] from peer"),
            ("[lab]", "[lab]\nnetworks = [\"nut\"]", "line 4: key networks: expected one of bridge, nat"),
            ("[lab]\n", "", "line 4: key from: there are no stations: add a table [lab]"),
            ("\"p\"", "\"a/b\"", "line 8: key name: expected a name of at most 40 letters"),
            ("\"x\"\n", "\"x\"\nname = \"y\"\n", "line 2: duplicate key"),
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
