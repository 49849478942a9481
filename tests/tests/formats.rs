//! The formats of a report, opened by the programs that they are for: Wireshark's tshark, pyarrow, Perfetto's own
//! definitions, Prometheus' parser. What these read must be what the recording and the JSON report say.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::pty::openpty;
use serde_json::Value;
use tests::{
    host::skip,
    python::{self, python_or_skip},
    vmhop::Place,
};

const GOLDENS: [&str; 3] = ["echo-peer", "echo-guest", "download"];
const FORMATS: [&str; 7] = ["text", "json", "csv", "parquet", "pcapng", "perfetto", "openmetrics"];
const BINARY: [&str; 3] = ["parquet", "pcapng", "perfetto"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"))
}

/// The recording in this format, in a file of the place.
fn report(place: &Place, name: &str, format: &str) -> PathBuf {
    let file = format!("{name}.{format}");
    let golden = golden(name);
    let outcome = place.run(&["report", golden.to_str().unwrap(), "--format", format, "-o", &file]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
        (Some(0), "", ""),
        "{format}"
    );
    place.path(&file)
}

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&fs::read(report(place, name, "json")).unwrap()).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn group_of(group: &Value) -> String {
    format!("{} by {}", text(&group["kind"]), text(&group["initiator"]))
}

/// Equal but for what a mean's rounding takes away.
fn assert_near(one: f64, other: f64, what: &str) {
    assert!((one - other).abs() <= other.abs() * 1e-9 + 1e-6, "{what}: {one} is not {other}");
}

/// What tshark prints of the packets: fields of every one. It must find nothing to complain of.
fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=|"]);
    command.args(["-o", "tcp.relative_sequence_numbers:FALSE"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let complaints: Vec<_> = said.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

fn tshark_or_skip() -> bool {
    let found = Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        skip("needs tshark: cargo xtask setup");
    }
    found.is_ok()
}

/// Nanoseconds of tshark's seconds.
fn nanoseconds(seconds: &str) -> u64 {
    let (whole, part) = seconds.split_once('.').unwrap();
    whole.parse::<u64>().unwrap() * 1_000_000_000 + format!("{part:0<9}").parse::<u64>().unwrap()
}

/// One sight of a frame, in the words of tshark's fields.
type Sight = (u64, String, Vec<String>);

/// What the recording says of a sight, as the fields of [`wireshark_reads_every_sight_as_it_was_recorded`].
fn expected(sight: &Value, flows: &Value) -> Sight {
    let number = |name: &str| sight[name].as_u64().unwrap();
    let (time_ns, hop) = (number("time_ns"), text(&sight["hop"]).to_owned());
    let (kind, len) = (text(&sight["kind"]), number("len").to_string());
    let mut fields = vec![len];
    fields.extend(vec![String::new(); 10]);
    let reverse = (text(&sight["flow"]).parse::<u64>().unwrap() ^ 1).to_string();
    let (flow, turned) = match flows.get(text(&sight["flow"])) {
        Some(flow) => (flow, false),
        None => (&flows[&reverse], true),
    };
    let end = |name: &str, other: &str| &flow[if turned { other } else { name }];
    if let (Some(src), Some(dst)) = (end("src", "dst").as_str(), end("dst", "src").as_str()) {
        let at = if src.contains(':') { 3 } else { 1 };
        (fields[at], fields[at + 1]) = (src.to_owned(), dst.to_owned());
    }
    match kind {
        "echo-request" | "echo-reply" => {
            (fields[5], fields[6]) = (number("ack").to_string(), number("seq").to_string());
        }
        "tcp" => {
            fields[7] = end("src_port", "dst_port").to_string();
            fields[8] = end("dst_port", "src_port").to_string();
            (fields[9], fields[10]) = (number("seq").to_string(), number("ack").to_string());
        }
        _ => {}
    }
    (time_ns, hop, fields)
}

#[test]
fn wireshark_reads_every_sight_as_it_was_recorded() {
    if !(tshark_or_skip() && python_or_skip()) {
        return;
    }
    let place = Place::new();
    for name in GOLDENS {
        let fields = [
            "frame.time_epoch",
            "frame.interface_name",
            "frame.len",
            "ip.src",
            "ip.dst",
            "ipv6.src",
            "ipv6.dst",
            "icmp.ident",
            "icmp.seq",
            "tcp.srcport",
            "tcp.dstport",
            "tcp.seq_raw",
            "tcp.ack_raw",
        ];
        let packets = tshark(&report(&place, name, "pcapng"), &fields);
        let recording = python::read("recording.py", &golden(name));
        let mut recorded: Vec<Sight> =
            list(&recording["sights"]).map(|sight| expected(sight, &recording["flows"])).collect();
        let hops: BTreeSet<String> = recorded.iter().map(|(_, hop, _)| hop.clone()).collect();
        let read = packets.iter().filter(|packet| hops.contains(&packet[1]));
        let mut read: Vec<Sight> =
            read.map(|packet| (nanoseconds(&packet[0]), packet[1].clone(), packet[2..].to_vec())).collect();
        assert!(packets.iter().map(|packet| nanoseconds(&packet[0])).is_sorted(), "{name}");
        recorded.sort();
        read.sort();
        assert!(!recorded.is_empty());
        assert_eq!(read, recorded, "{name}");
        // Where no frame is looked at, as many as were joined to one.
        let report = json(&place, name);
        for hop in list(&report["hops"]).filter(|row| !hops.contains(text(&row["hop"]))) {
            let count = packets.iter().filter(|packet| packet[1] == text(&hop["hop"])).count();
            assert_eq!(count as u64, hop["matched"].as_u64().unwrap(), "{name}: {hop}");
        }
    }
}

#[test]
fn one_packet_id_is_one_frame_on_its_way() {
    if !tshark_or_skip() {
        return;
    }
    let place = Place::new();
    for name in GOLDENS {
        let fields =
            ["frame.packet_id", "frame.interface_name", "icmp.type", "icmp.seq", "tcp.seq_raw", "tcp.len"];
        let mut ways: BTreeMap<String, (BTreeSet<String>, Vec<String>)> = BTreeMap::new();
        for packet in tshark(&report(&place, name, "pcapng"), &fields) {
            let (hops, said) =
                ways.entry(packet[0].clone()).or_insert_with(|| (BTreeSet::new(), packet[2..].to_vec()));
            assert!(hops.insert(packet[1].clone()), "{name}: twice at one hop: {packet:?}");
            assert_eq!(*said, packet[2..], "{name}");
        }
        let report = json(&place, name);
        assert_eq!(ways.len() as u64, report["passages"]["count"].as_u64().unwrap(), "{name}");
        // A copy that a flood made has an id of its own from there on.
        let copies = report["passages"]["branches"].as_u64().unwrap();
        for row in list(&report["segments"]).filter(|row| row["way"] != "turn") {
            let ends = [text(&row["from"]), text(&row["to"])];
            let through = ways.values().filter(|(hops, _)| ends.iter().all(|hop| hops.contains(*hop)));
            assert!(through.count() as u64 + copies >= row["count"].as_u64().unwrap(), "{name}: {row}");
        }
    }
}

#[test]
fn the_tables_have_the_times_of_the_report() {
    if !python_or_skip() {
        return;
    }
    let place = Place::new();
    for name in GOLDENS {
        let parquet = python::read("segments.py", &report(&place, name, "parquet"));
        let csv = python::read("segments.py", &report(&place, name, "csv"));
        assert_eq!((&parquet["columns"], &parquet["rows"]), (&csv["columns"], &csv["rows"]), "{name}");
        assert_eq!(parquet["metadata"]["vmhop.schema"], tracer::export::SEGMENTS_SCHEMA);
        let report = json(&place, name);
        assert_eq!(parquet["metadata"]["vmhop.kernel"], report["host"]["kernel"]);
        let mut rows = 0;
        for group in list(&report["exchanges"]["groups"]) {
            let (of, count) = (group_of(group), group["count"].as_u64().unwrap());
            let total = &parquet["totals"][&of];
            assert_eq!(total[0], group["count"]);
            assert_near(total[1].as_f64().unwrap() / count as f64, group["mean_ns"].as_f64().unwrap(), &of);
            for layer in list(&group["layers"]) {
                let key = format!("{of}: {}", text(&layer["layer"]));
                let sum = parquet["layers"].get(&key).and_then(Value::as_f64).unwrap_or_default();
                assert_near(sum / count as f64, layer["mean_ns"].as_f64().unwrap(), &key);
            }
            for segment in list(&group["segments"]) {
                let (way, from, to) = (text(&segment["way"]), text(&segment["from"]), text(&segment["to"]));
                let found = &parquet["segments"][&format!("{of}: {way} {from} {to}")];
                assert_eq!(found[0], segment["count"], "{name}: {segment}");
                let mean = found[1].as_f64().unwrap() / found[0].as_f64().unwrap();
                assert_near(mean, segment["mean_ns"].as_f64().unwrap(), from);
                rows += segment["count"].as_u64().unwrap();
            }
        }
        assert_eq!(list(&parquet["rows"]).count() as u64, rows, "{name}");
    }
}

#[test]
fn the_trace_has_a_slice_for_every_row_of_the_table() {
    if !python_or_skip() {
        return;
    }
    let place = Place::new();
    for name in GOLDENS {
        let trace = python::read("trace.py", &report(&place, name, "perfetto"));
        let table = python::read("segments.py", &report(&place, name, "csv"));
        let number = |value: &Value| value.as_u64().unwrap();
        let mut slices: Vec<_> = list(&trace["slices"])
            .filter(|slice| slice["track"] != "exchange")
            .map(|slice| {
                assert_eq!(slice["category"], slice["track"]);
                let (exchange, start_ns) = (number(&slice["exchange"]), number(&slice["start_ns"]));
                (exchange, start_ns, number(&slice["time_ns"]), text(&slice["name"]), text(&slice["process"]))
            })
            .collect();
        let names: Vec<_> = list(&table["rows"])
            .map(|row| format!("{} → {}", text(&row["from"]), text(&row["to"])))
            .collect();
        let mut rows: Vec<_> = list(&table["rows"])
            .zip(&names)
            .map(|(row, name)| {
                let start_ns = number(&row["start_ns"]) + number(&row["offset_ns"]);
                (number(&row["exchange"]), start_ns, number(&row["time_ns"]), name.as_str(), text(&row["vm"]))
            })
            .collect();
        slices.sort_unstable();
        rows.sort_unstable();
        assert_eq!(slices, rows, "{name}");
        let exchanges: BTreeSet<_> = rows.iter().map(|row| row.0).collect();
        let flows: u64 = list(&trace["flows"]).map(number).sum();
        assert_eq!((flows, list(&trace["flows"]).count()), (rows.len() as u64, exchanges.len()), "{name}");
        assert!(list(&trace["ended_once"]).all(|count| *count == 1));
    }
}

#[test]
fn prometheus_reads_the_figures_of_the_report() {
    if !python_or_skip() {
        return;
    }
    let place = Place::new();
    for name in GOLDENS {
        let samples = python::read("metrics.py", &report(&place, name, "openmetrics"));
        let find = |sample: &str, wanted: &[(&str, &Value)]| {
            let fits = |found: &&Value| {
                found["name"] == sample
                    && wanted.iter().all(|(label, value)| &&found["labels"][*label] == value)
            };
            let found: Vec<_> = list(&samples).filter(fits).collect();
            assert_eq!(found.len(), 1, "{sample} {wanted:?}");
            found[0]["value"].as_f64().unwrap()
        };
        let report = json(&place, name);
        for group in list(&report["exchanges"]["groups"]) {
            let count = group["count"].as_f64().unwrap();
            let of_group = [("kind", &group["kind"]), ("initiator", &group["initiator"])];
            assert_near(find("vmhop_exchanges_total", &of_group), count, name);
            for layer in list(&group["layers"]) {
                let labels = [of_group[0], of_group[1], ("layer", &layer["layer"])];
                let sum = find("vmhop_layer_time_seconds_total", &labels);
                assert_near(sum / count * 1e9, layer["mean_ns"].as_f64().unwrap(), name);
                let half = Value::from("0.5");
                let labels = [labels[0], labels[1], labels[2], ("quantile", &half)];
                let p50 = find("vmhop_layer_time_quantile_seconds", &labels);
                assert_near(p50 * 1e9, layer["p50_ns"].as_f64().unwrap(), name);
            }
        }
        for hop in list(&report["hops"]) {
            assert_near(
                find("vmhop_hop_seen_total", &[("hop", &hop["hop"])]),
                hop["seen"].as_f64().unwrap(),
                name,
            );
        }
        assert_near(find("vmhop_build_info", &[("version", &report["host"]["vmhop"])]), 1.0, name);
        let seconds = list(&samples).filter(|sample| sample["unit"] == "seconds");
        assert!(seconds.into_iter().all(|sample| text(&sample["family"]).ends_with("_seconds")));
    }
}

#[test]
fn the_same_recording_gives_the_same_bytes_to_a_file_and_to_a_pipe() {
    let place = Place::new();
    for format in FORMATS {
        let file = fs::read(report(&place, "echo-guest", format)).unwrap();
        let golden = golden("echo-guest");
        let mut command = place.command(&["report", golden.to_str().unwrap(), "--format", format]);
        let piped = command.output().unwrap();
        assert!(piped.status.success() && piped.stderr.is_empty(), "{format}: {piped:?}");
        assert!(!file.is_empty() && file == piped.stdout, "{format}");
    }
}

#[test]
fn binary_formats_spare_a_terminal() {
    let place = Place::new();
    let golden = golden("echo-peer");
    for format in FORMATS {
        let pty = openpty(None, None).unwrap();
        let mut command = place.command(&["report", golden.to_str().unwrap(), "--format", format]);
        let mut child = command.stdout(pty.slave).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        // The terminal's other end is gone (EIO) when the command has ended.
        let _ = fs::File::from(pty.master).read_to_end(&mut shown);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        if BINARY.contains(&format) {
            let remedy = "is binary, and standard output is a terminal: name a file with -o\n";
            assert_eq!((code, said), (Some(2), format!("vmhop: {format} {remedy}")));
            assert!(shown.is_empty());
        } else {
            assert_eq!((code, said.as_str()), (Some(0), ""), "{format}");
            assert!(!shown.is_empty());
        }
    }
}

#[test]
fn a_reader_that_went_away_is_no_error_in_any_format() {
    let place = Place::new();
    let golden = golden("echo-peer");
    for format in FORMATS {
        let mut command = place.command(&["report", golden.to_str().unwrap(), "--format", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn half_of_a_report_is_none() {
    let place = Place::new();
    let mut damaged = fs::read(golden("echo-peer")).unwrap();
    // A row's hop that there is none of.
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xee);
    fs::write(place.path("damaged.vmhop"), damaged).unwrap();
    for format in FORMATS {
        let outcome = place.run(&["report", "damaged.vmhop", "--format", format, "-o", "out"]);
        assert_eq!(outcome.code, Some(1), "{format}: {outcome:?}");
        assert!(outcome.error().contains("damaged"), "{outcome:?}");
        assert!(!place.path("out").exists(), "{format}");
    }
}
