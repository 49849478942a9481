//! From a workload and the stations at the ends of its path to the commands that make its traffic.

use std::{net::IpAddr, time::Duration};

use super::{
    spec::WorkloadKind,
    station::{Reach, Station, words},
};

/// Where the lab's guests have the files that they serve; host and peer have another folder.
const GUEST_WWW: &str = "/www";
/// The file that every lab serves.
const LAB_FILE: (&str, u64) = ("40MB", 40_000_000);

/// Fetches a file with whatever a station has.
const FETCH: &str = "if command -v wget >/dev/null 2>&1; then exec wget -q -O /dev/null \"$1\"; \
    elif command -v curl >/dev/null 2>&1; then exec curl -sSf -o /dev/null \"$1\"; \
    else exec busybox wget -q -O /dev/null \"$1\"; fi";

/// The commands of one run, each with the station where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commands<'a> {
    /// Before, and not measured.
    pub(super) prepare: Option<(&'a Station, Vec<String>)>,
    /// Runs meanwhile, and is ended afterwards.
    pub(super) server: Option<(&'a Station, Vec<String>)>,
    /// Makes the traffic; the run ends with it.
    pub(super) client: (&'a Station, Vec<String>),
}

/// The ends of a path, each with its address as the other end has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    pub(super) from: (&'a Station, IpAddr),
    pub(super) to: (&'a Station, IpAddr),
    /// The folder whose files host and peer of a lab serve.
    pub(super) www: &'a str,
}

/// The commands of a workload over a path.
pub(super) fn commands<'a>(kind: &WorkloadKind, ends: &Ends<'a>) -> Commands<'a> {
    let ((from, from_address), (to, to_address)) = (ends.from, ends.to);
    match kind {
        WorkloadKind::Ping { count, size, interval } => {
            let mut ping = words(&["ping", "-c", &count.to_string(), "-s", &size.to_string()]);
            ping.extend(words(&["-i", &seconds(*interval)]));
            // A line for each would be traffic of its own on the way to who reads it.
            ping.extend((*count > 10).then(|| "-q".to_owned()));
            ping.push(to_address.to_string());
            Commands { prepare: None, server: None, client: (from, ping) }
        }
        WorkloadKind::Http { bytes, url, port } => {
            let (prepare, url) = match url {
                Some(url) => (None, with_addresses(url, from_address, to_address)),
                None => lab_file(*bytes, *port, ends),
            };
            Commands { prepare, server: None, client: (to, words(&["sh", "-c", FETCH, "fetch", &url])) }
        }
        WorkloadKind::Iperf3 { udp, duration, bitrate } => {
            let mut client = words(&["iperf3", "-c", &to_address.to_string(), "-t", &seconds(*duration)]);
            client.extend(udp.then(|| "-u".to_owned()));
            client.extend(bitrate.iter().flat_map(|bitrate| words(&["-b", bitrate])));
            Commands {
                prepare: None,
                server: Some((to, words(&["iperf3", "-s", "-1"]))),
                client: (from, client),
            }
        }
        WorkloadKind::Command { command, server } => {
            let shell = |text: &str| words(&["sh", "-c", &with_addresses(text, from_address, to_address)]);
            let server = server.as_ref().map(|server| (to, shell(server)));
            Commands { prepare: None, server, client: (from, shell(command)) }
        }
    }
}

/// The file of so many bytes that the first station of a lab's path serves, and how it gets there.
fn lab_file<'a>(bytes: u64, port: u16, ends: &Ends<'a>) -> (Option<(&'a Station, Vec<String>)>, String) {
    let (from, address) = ends.from;
    let name = if bytes == LAB_FILE.1 { LAB_FILE.0.to_owned() } else { format!("{bytes}.bytes") };
    let in_guest = matches!(&from.reach, Reach::Lab { place, .. } if place.starts_with("guest"));
    let folder = if in_guest { GUEST_WWW } else { ends.www };
    // Sparse: it has its size at once.
    let make = words(&["truncate", "-s", &bytes.to_string(), &format!("{folder}/{name}")]);
    let prepare = (bytes != LAB_FILE.1).then_some((from, make));
    (prepare, format!("http://{}:{port}/{name}", bracketed(address)))
}

fn with_addresses(text: &str, from: IpAddr, to: IpAddr) -> String {
    text.replace("{from}", &bracketed(from)).replace("{to}", &bracketed(to))
}

/// An address as it stands in a URL.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Seconds as ping and iperf3 take them.
fn seconds(duration: Duration) -> String {
    let text = format!("{:.6}", duration.as_secs_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{super::station::Role, *};

    fn station(name: &str) -> Station {
        let reach = Reach::Lab { vmhop: "v".into(), lab: "x".to_owned(), place: name.to_owned() };
        Station { name: name.to_owned(), role: Role::Guest, reach, addresses: Vec::new(), vm: None }
    }

    fn line(kind: &WorkloadKind, from: &str, to: &str) -> String {
        let (from, to) = (station(from), station(to));
        let ends =
            Ends { from: (&from, [192, 0, 2, 2].into()), to: (&to, [192, 0, 2, 3].into()), www: "/run/www" };
        let Commands { prepare, server, client } = commands(kind, &ends);
        let shown = |command: Option<(&Station, Vec<String>)>| {
            command
                .map_or(String::new(), |(station, words)| format!("{}: {}; ", station.name, words.join(" ")))
        };
        shown(prepare) + &shown(server) + &shown(Some(client))
    }

    #[test]
    fn each_kind_runs_where_it_belongs() {
        let ping = WorkloadKind::Ping { count: 4, size: 56, interval: Duration::from_millis(2) };
        assert_eq!(line(&ping, "guest", "peer"), "guest: ping -c 4 -s 56 -i 0.002 192.0.2.3; ");
        let http = WorkloadKind::Http { bytes: 40_000_000, url: None, port: 80 };
        assert!(line(&http, "guest", "peer").starts_with("peer: sh -c "));
        assert!(line(&http, "guest", "peer").ends_with(" fetch http://192.0.2.2:80/40MB; "));
        let small = WorkloadKind::Http { bytes: 5, url: None, port: 80 };
        assert!(line(&small, "guest", "peer").starts_with("guest: truncate -s 5 /www/5.bytes; "));
        assert!(line(&small, "host", "peer").starts_with("host: truncate -s 5 /run/www/5.bytes; "));
        let iperf3 = WorkloadKind::Iperf3 { udp: true, duration: Duration::from_secs(2), bitrate: None };
        assert_eq!(
            line(&iperf3, "guest", "peer"),
            "peer: iperf3 -s -1; guest: iperf3 -c 192.0.2.3 -t 2 -u; "
        );
        let own = WorkloadKind::Command { command: "x {to} {from}".to_owned(), server: Some("y".to_owned()) };
        assert_eq!(line(&own, "guest", "peer"), "peer: sh -c y; guest: sh -c x 192.0.2.3 192.0.2.2; ");
    }
}
