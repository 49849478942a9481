//! Every parser of what others say, on its corpus and on inputs made from it: `tests::fuzz`. What cargo-fuzz runs for
//! hours (`cargo xtask fuzz`) is here a bounded number of inputs, always the same.
#![expect(clippy::print_stderr, reason = "tests print their figures")]

use std::time::Instant;

use tests::fuzz::target;

fn bounded(name: &str, count: usize) {
    let started = Instant::now();
    let inputs = target(name).bounded(count);
    eprintln!("{name}: {inputs} inputs in {:.1} s", started.elapsed().as_secs_f64());
}

#[test]
fn no_frame_is_read_past_its_end() {
    bounded("frame", 20_000);
}

#[test]
fn no_record_is_guessed() {
    bounded("record", 20_000);
}

#[test]
fn no_bytes_of_a_recording_make_its_report_panic() {
    bounded("recording", 20_000);
}

#[test]
fn no_events_make_the_correlator_panic() {
    bounded("correlate", 20_000);
}

#[test]
fn a_filter_decides_every_frame_or_is_refused() {
    bounded("filter", 20_000);
}

#[test]
fn no_experiment_makes_its_reader_panic() {
    bounded("experiment", 20_000);
}

#[test]
fn no_profile_makes_its_reader_panic() {
    bounded("profile", 20_000);
}

#[test]
fn no_word_of_the_command_line_makes_its_reader_panic() {
    bounded("options", 20_000);
}

#[test]
fn no_name_that_a_process_chooses_makes_discovery_panic() {
    bounded("host", 20_000);
}

#[test]
fn no_answer_of_netlink_makes_discovery_panic() {
    bounded("netlink", 20_000);
}

#[test]
fn no_guest_makes_its_lab_panic() {
    bounded("lab", 20_000);
}

#[test]
fn no_btf_makes_the_plan_panic() {
    bounded("btf", 20_000);
}
