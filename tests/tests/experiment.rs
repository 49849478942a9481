//! Experiments as a user runs them: from the file to the tables, with a capture as the witness, and what goes wrong on the way.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{
    host::{run, unique},
    lab::{TestLab, root_or_skip},
    vmhop::binary,
};

/// A folder with an experiment's file; the lab of its own goes away with it.
struct Bench {
    dir: TempDir,
    lab: String,
}

impl Bench {
    fn new(spec: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("spec.toml"), spec).unwrap();
        Bench { dir, lab: unique("exp") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("experiment").args(words).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn begin(&self, options: &[&str]) -> Command {
        let lab = format!("--lab={}", self.lab);
        self.command(&[&["run", "spec.toml", &lab, "-o", "out"], options].concat())
    }

    fn report(&self) -> Value {
        let output = self.command(&["report", "out", "--format", "json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Where an experiment was killed its lab is left.
        let _ = Command::new(binary()).args(["lab", "down", "--name", &self.lab]).output();
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn cell<'a>(report: &'a Value, path: (&str, &str), workload: &str) -> &'a Value {
    let mut cells = report["cells"].as_array().unwrap().iter();
    cells
        .find(|cell| {
            (cell["from"].as_str(), cell["to"].as_str()) == (Some(path.0), Some(path.1))
                && cell["workload"] == workload
        })
        .unwrap()
}

const SPEC: &str = r#"
name = "test"
repetitions = 2
warmup = 1
seed = 5

[lab]

[[path]]
from = "guest"
to = "peer"

[[path]]
from = "host"
to = "peer"

[[workload]]
name = "ping"
kind = "ping"
count = 5
interval = "50ms"

[[workload]]
name = "http"
kind = "http"
bytes = 3_000_000
"#;

/// What tshark reads in a capture: each field of each frame.
fn tshark(pcap: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<u64>> {
    let mut command = Command::new("tshark");
    command.args(["-r", &pcap.display().to_string(), "-Y", filter, "-T", "fields", "-E", "occurrence=f"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let number = |word: &str| word.trim().parse().unwrap_or(0);
    text.lines().map(|line| line.split('\t').map(number).collect()).collect()
}

/// Frames and bytes at each level, towards 192.0.2.3 and from it, from a capture: super-frames by their segments.
fn levels_of_capture(pcap: &Path, filter: &str) -> [[[u64; 2]; 2]; 4] {
    // TCP's timestamps take 12 of the 1460 bytes.
    const MSS: u64 = 1448;
    let mut levels = [[[0; 2]; 2]; 4];
    for (way, address) in ["ip.dst", "ip.src"].iter().enumerate() {
        let filter = format!("({filter}) && {address} == 192.0.2.3");
        for frame in tshark(pcap, &filter, &["frame.len", "tcp.hdr_len"]) {
            let (len, tcp) = (frame[0], frame[1]);
            let headers = 14 + 20 + if tcp == 0 { 8 } else { tcp };
            let payload = len - headers;
            let frames = payload.div_ceil(if tcp == 0 { payload.max(1) } else { MSS }).max(1);
            let mac = payload + frames * headers;
            let rows = [mac, mac - 14 * frames, mac - 34 * frames, payload];
            for (level, bytes) in levels.iter_mut().zip(rows) {
                level[way][1] += bytes;
            }
            levels[..3].iter_mut().for_each(|level| level[way][0] += frames);
            levels[3][way][0] += if payload > 0 { frames } else { 0 };
        }
    }
    levels
}

#[test]
fn tables_say_what_an_independent_capture_says() {
    if !root_or_skip("an experiment in a lab") {
        return;
    }
    let bench = Bench::new(SPEC);
    let output = bench.begin(&["--capture"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["guest → peer", "MAC (Ethernet)", "more than native, host → peer", "8 of 8 runs done"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let report = bench.report();
    for cell in report["cells"].as_array().unwrap() {
        assert_eq!((cell["planned"].as_u64(), cell["failed"].as_array().map(Vec::len)), (Some(2), Some(0)));
        adds_up(cell);
        let filter = if cell["workload"] == "ping" { "icmp" } else { "tcp" };
        for run in cell["runs"].as_array().unwrap() {
            let recording = bench.path("out").join(run["recording"].as_str().unwrap());
            let captured = levels_of_capture(&recording.with_extension("pcap"), filter);
            let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
            let row = |row: &Value| {
                [
                    [number(row, "rx_frames"), number(row, "rx_bytes")],
                    [number(row, "tx_frames"), number(row, "tx_bytes")],
                ]
            };
            let counted: Vec<[[u64; 2]; 2]> = run["levels"].as_array().unwrap().iter().map(row).collect();
            assert_eq!(counted, captured, "{recording:?}");
            assert_eq!((run["levels_left_out"].as_u64(), run["lost"].as_u64()), (Some(0), Some(0)), "{run}");
        }
    }
    let http = &cell(&report, ("guest", "peer"), "http")["runs"][0]["levels"][3];
    // The file, its HTTP header and the request.
    assert!((3_000_000..3_002_000).contains(&http["rx_bytes"].as_u64().unwrap()), "{http}");
    assert_eq!(cell(&report, ("guest", "peer"), "ping")["runs"][0]["exchanges"], 5);
    let page = bench.command(&["report", "out", "--format", "html"]).output().unwrap();
    assert!(String::from_utf8(page.stdout).unwrap().contains("guest → peer"));
}

/// Layers and segments add up to the total, and the differences from native to theirs.
fn adds_up(cell: &Value) {
    let mean = |row: &Value, key: &str| row[key]["mean"].as_f64().unwrap();
    let total = mean(&cell["time"]["total"], "mean_ns");
    for part in ["layers", "segments"] {
        let sum: f64 = cell["time"][part].as_array().unwrap().iter().map(|row| mean(row, "mean_ns")).sum();
        assert!((sum - total).abs() <= total * 1e-9 + 1.0, "{part} of {cell}: {sum} and {total}");
    }
    if let Some(layers) = cell["baseline"]["layers"].as_array() {
        let sum: f64 = layers.iter().map(|row| mean(row, "shift_ns")).sum();
        assert!((sum - mean(&cell["baseline"], "total_ns")).abs() <= total * 1e-9 + 1.0, "{cell}");
    }
}

/// Waits until so many runs are over.
fn wait_for_runs(bench: &Bench, child: &mut Child, runs: usize) {
    let end = Instant::now() + Duration::from_secs(180);
    let done = || {
        let entries = fs::read_dir(bench.path("out/runs")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
    };
    while done() < runs {
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "it does not go on");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_interrupted_experiment_goes_on_where_it_was() {
    if !root_or_skip("an experiment in a lab") {
        return;
    }
    let spec = SPEC
        .replace("warmup = 1\n", "")
        .replace("[[workload]]\nname = \"http\"\nkind = \"http\"\nbytes = 3_000_000\n", "");
    let bench = Bench::new(&spec);
    let mut child = bench.begin(&[]).spawn().unwrap();
    wait_for_runs(&bench, &mut child, 2);
    run(&format!("kill -INT {}", child.id()));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).lines().last().unwrap().contains("--resume out"), "{}", stderr(&output));
    assert!(!Path::new(&format!("/run/netns/vmhop-{}-host", bench.lab)).exists(), "the lab is left");
    let records = |bench: &Bench| {
        let entries = fs::read_dir(bench.path("out/runs")).unwrap().flatten().map(|entry| entry.path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = records(&bench);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("are not done yet"), "{text}");
    let second = bench.command(&["run", "--resume", "out"]).output().unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    let after = records(&bench);
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|record| after.contains(record)), "a run that was done was done again");
}

#[test]
fn a_workload_that_fails_is_kept_and_the_others_go_on() {
    if !root_or_skip("an experiment in a lab") {
        return;
    }
    let spec = SPEC.replace("warmup = 1\n", "").replace("repetitions = 2", "repetitions = 1").replace(
        "kind = \"http\"\nbytes = 3_000_000",
        "kind = \"command\"\ncommand = \"echo to {to}; echo it is broken >&2; exit 3\"",
    );
    let bench = Bench::new(&spec);
    let output = bench.begin(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("2 runs failed"), "{}", stderr(&output));
    let report = bench.report();
    let failed = &cell(&report, ("guest", "peer"), "http")["failed"][0];
    assert!(failed["why"].as_str().unwrap().contains("it is broken"), "{failed}");
    let log = fs::read_to_string(bench.path("out").join(failed["log"].as_str().unwrap())).unwrap();
    assert_eq!(log, "to 192.0.2.3\nit is broken\n");
    assert_eq!(cell(&report, ("guest", "peer"), "ping")["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_guest_that_dies_costs_its_run_and_no_other() {
    if !root_or_skip("an experiment in a lab") {
        return;
    }
    let spec = SPEC.replace("warmup = 1\n", "").replace("count = 5", "count = 40");
    let spec = spec.replace("[[workload]]\nname = \"http\"\nkind = \"http\"\nbytes = 3_000_000\n", "");
    let bench = Bench::new(&spec);
    let mut child = bench.begin(&[]).spawn().unwrap();
    wait_for_runs(&bench, &mut child, 1);
    let vm = format!("guest=vmhop-{},", bench.lab);
    run(&format!("pkill -KILL -f {vm}"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report = bench.report();
    let count = |key: &str| -> usize {
        report["cells"].as_array().unwrap().iter().map(|cell| cell[key].as_array().unwrap().len()).sum()
    };
    assert_eq!((count("failed"), count("runs")), (1, 3), "{}", stderr(&output));
    assert!(bench.command(&["run", "--resume", "out"]).output().unwrap().status.success());
    // A recording that is gone, or damaged, costs its own figures.
    fs::remove_file(bench.path("out/runs/bridge_guest_peer_ping_001.vmhop")).unwrap();
    fs::write(bench.path("out/runs/bridge_guest_peer_ping_002.vmhop"), "nothing").unwrap();
    let report = bench.report();
    let failed = &cell(&report, ("guest", "peer"), "ping")["failed"];
    assert_eq!(failed.as_array().unwrap().len(), 2, "{failed}");
}

#[test]
fn a_disk_that_fills_keeps_what_was_measured() {
    if !root_or_skip("a disk that fills") {
        return;
    }
    let spec = SPEC.replace("warmup = 1\n", "").replace("bytes = 3_000_000", "bytes = 40_000_000");
    let bench = Bench::new(&spec);
    let disk = bench.path("disk");
    fs::create_dir(&disk).unwrap();
    run(&format!("mount -t tmpfs -o size=6M vmhop-test {}", disk.display()));
    let lab = format!("--lab={}", bench.lab);
    let output = bench.command(&["run", "spec.toml", &lab, "-o", "disk/out"]).output().unwrap();
    let (code, told) = (output.status.code(), stderr(&output));
    run(&format!("mount -o remount,size=200M {}", disk.display()));
    let second = bench.command(&["run", "--resume", "disk/out"]).output().unwrap();
    run(&format!("umount {}", disk.display()));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("--resume disk/out") && told.contains("room"), "{told}");
    assert!(second.status.success(), "{}", stderr(&second));
    assert!(String::from_utf8(second.stdout).unwrap().contains("8 of 8 runs done"));
}

#[test]
fn what_cannot_begin_is_told_in_one_line() {
    if !root_or_skip("an experiment in a lab") {
        return;
    }
    let bench = Bench::new(&SPEC.replace("count = 5", "count = \"five\""));
    for (words, told) in [
        (
            vec!["run", "spec.toml", "--lab"],
            "spec.toml, line 20: key count: invalid type: string \"five\", expected u32",
        ),
        (
            vec!["run", "nothing.toml"],
            "failed to read experiment nothing.toml: name a TOML file, or one of hosted-vm",
        ),
        (vec!["run", "hosted-vm"], "the stations of hosted-vm are in a lab: add --lab"),
        (vec!["report", "."], "holds no experiment"),
        (vec!["run", "--resume", "."], "holds no experiment"),
        (vec!["show", "nothing"], "no experiment is called `nothing`"),
    ] {
        let output = bench.command(&words).output().unwrap();
        let text = stderr(&output);
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{words:?}: {text}");
        assert!(text.contains(told), "{text}");
    }
}

/// An OpenSSH server with a key of its own, in a namespace.
struct Sshd {
    dir: TempDir,
    child: Child,
}

impl Sshd {
    fn start(netns: &str) -> Sshd {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let key = file(key);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status();
            assert!(made.unwrap().success());
        }
        fs::copy(file("user.pub"), file("authorized")).unwrap();
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile {}\nLogLevel ERROR\n",
            file("user"),
            file("known")
        );
        fs::write(file("config"), config).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            netns,
            "/usr/sbin/sshd",
            "-D",
            "-e",
            "-f",
            "/dev/null",
            "-h",
            &file("host"),
        ]);
        for option in ["StrictModes=no", "UsePAM=no", "PermitRootLogin=prohibit-password", "PidFile=none"] {
            command.args(["-o", option]);
        }
        command.args(["-o", &format!("AuthorizedKeysFile={}", file("authorized"))]);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        Sshd { child, dir }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // `ip netns exec` has become the server.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn stations_that_exist_are_reached_over_ssh() {
    if !root_or_skip("an experiment over ssh") {
        return;
    }
    let lab = TestLab::up().unwrap();
    let netns = |side: &str| format!("vmhop-{}-{side}", lab.name());
    let server = Sshd::start(&netns("peer"));
    let config = server.dir.path().join("config").display().to_string();
    let stations = format!(
        "[stations.host]\naddress = \"192.0.2.1\"\n[stations.guest]\naddress = \"192.0.2.2\"\nvm = \"{}\"\n\
         [stations.peer]\naddress = \"192.0.2.3\"\nssh = \"root@192.0.2.3\"\nssh_config = \"{config}\"\n",
        lab.vm()
    );
    let spec = format!(
        "name = \"ssh\"\nrepetitions = 2\n{stations}[[path]]\nfrom = \"peer\"\nto = \"guest\"\n[[path]]\nfrom = \"peer\"\n\
         to = \"host\"\n[[workload]]\nname = \"ping\"\nkind = \"ping\"\ncount = 5\ninterval = \"100ms\"\n"
    );
    let bench = Bench::new(&spec);
    let output = Command::new("ip")
        .args(["netns", "exec", &netns("host")])
        .arg(binary())
        .args(["experiment", "run", "spec.toml", "-o", "out"])
        .current_dir(bench.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = bench.report();
    for to in ["guest", "host"] {
        let cell = cell(&report, ("peer", to), "ping");
        assert_eq!(cell["runs"][1]["exchanges"], 5, "{cell}");
        assert_eq!(cell["runs"][0]["levels"][0]["rx_bytes"], 5 * 98, "{cell}");
    }
}
