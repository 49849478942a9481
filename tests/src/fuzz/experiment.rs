//! Experiments in TOML.

use tracer::experiment::fuzz::{read, shipped};

use super::{text, texts, told_in_one_line};

pub(super) fn run(bytes: &[u8]) {
    match read(&text(bytes)) {
        Ok((runs, names)) => assert_eq!(runs, names, "two runs share their files"),
        Err(error) => told_in_one_line(error),
    }
}

pub(super) const WORDS: &[&str] = &[
    "name = ",
    "repetitions = ",
    "warmup = ",
    "cooldown = ",
    "order = \"written\"",
    "seed = ",
    "[lab]\n",
    "networks = ",
    "\"nat\"",
    "\"host-only\"",
    "guests = 2",
    "[stations.a]\n",
    "address = \"192.0.2.1\"",
    "ssh = ",
    "[[path]]\n",
    "from = \"guest\"",
    "to = \"peer\"",
    "[[workload]]\n",
    "kind = \"http\"",
    "kind = \"iperf3\"",
    "kind = \"command\"",
    "paths = [\"guest -> peer\"]",
    "interval = \"1s\"",
    "timeout = \"9999999999y\"",
    "bytes = 18446744073709551615",
    "4294967295",
    "url = \"http://{from}\"",
    "command = ",
    "\u{202e}",
    "\u{1b}[31m",
    "\\n",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = shipped().into_iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.extend(texts(&[
        "name = \"x\"\nrepetitions = 1\n[stations.a]\naddress = \"192.0.2.1\"\nvm = \"v\"\n[stations.b]\naddress = \"::1\"\n\
         ssh = \"b\"\n[[path]]\nfrom = \"a\"\nto = \"b\"\n[[workload]]\nname = \"w\"\nkind = \"command\"\ncommand = \"x {to}\"\n",
        "name = \"x\"\nrepetitions = 1000\nwarmup = 100\n[lab]\n[[path]]\nfrom = \"host\"\nto = \"guest\"\n[[workload]]\n\
         name = \"w\"\nkind = \"iperf3\"\nprotocol = \"udp\"\nduration = \"1s\"\nbitrate = \"10M\"\n",
        "",
    ]));
    seeds
}
