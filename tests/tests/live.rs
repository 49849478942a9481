//! `vmhop live` on a terminal, over a lab: what it shows while frames pass, what its keys do, and that the terminal is as
//! it was however it ends.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tests::{
    host::{eventually, skip},
    lab::{TestLab, root_or_skip},
    tmux::Terminal,
    vmhop::{Place, binary},
};

/// A lab whose guest pings its peer.
struct Pinging {
    lab: TestLab,
    ping: Child,
    dir: TempDir,
}

impl Pinging {
    fn new(interval: &str) -> Pinging {
        let lab = TestLab::up().unwrap();
        let words = ["exec", "guest", "--", "ping", "-i", interval, "192.0.2.3"];
        let ping = lab.command(&words).unwrap().stdout(Stdio::null()).spawn().unwrap();
        Pinging { lab, ping, dir: tempfile::tempdir().unwrap() }
    }

    /// A terminal on which vmhop runs, its process id in a file, the terminal's settings before and after in two.
    fn live(&self, width: u16, height: u16, options: &str) -> Terminal {
        let dir = self.dir.path().display();
        let _ = fs::remove_file(self.dir.path().join("pid"));
        Terminal::new(
            width,
            height,
            &format!(
                "cd {dir}; stty -g > before; sh -c 'echo $$ > pid; exec {} live --vm {} {options}'; echo ended $?; stty -g > after",
                binary().display(),
                self.lab.vm()
            ),
        )
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.dir.path().join("pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    /// The terminal is as it was, and vmhop ended with this code.
    fn assert_given_back(&self, terminal: &Terminal, code: u8) -> String {
        let screen = terminal.reads(&format!("ended {code}\n"));
        assert!(!terminal.is_taken());
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap();
        let after =
            eventually("settings of the terminal", || Some(read("after")).filter(|text| !text.is_empty()));
        assert_eq!(read("before"), after);
        screen
    }
}

impl Drop for Pinging {
    fn drop(&mut self) {
        let _ = self.ping.kill();
        let _ = self.ping.wait();
    }
}

fn able(test: &str) -> bool {
    let has_tmux = Command::new("tmux").arg("-V").output().is_ok();
    if !has_tmux {
        skip(&format!("{test} needs tmux"));
    }
    has_tmux && root_or_skip(test)
}

/// The number behind a word.
fn number(screen: &str, word: &str) -> Option<u64> {
    let rest = screen.split_once(word)?.1.trim_start();
    rest.split_whitespace().next()?.replace(',', "").parse().ok()
}

#[test]
fn a_view_shows_exchanges_and_its_keys_do_what_they_say() {
    if !able("a_view_shows_exchanges_and_its_keys_do_what_they_say") {
        return;
    }
    let pinging = Pinging::new("0.1");
    let terminal = pinging.live(80, 24, "--interval 200ms -o seen.vmhop");
    let screen =
        terminal.shows("exchanges", |screen| number(screen, "exchanges").is_some_and(|count| count > 20));
    for part in
        ["last 10 s", "[1 Overview]", "transmit", "receive", "V vmm", "192.0.2.2 > 192.0.2.3 icmp", "q quit"]
    {
        assert!(screen.contains(part), "{part:?} is not in\n{screen}");
    }
    assert!(terminal.is_taken());
    terminal.press(&["w"]);
    terminal.reads("last 60 s");
    terminal.press(&["s"]);
    terminal.reads("Slowest by time in guest");
    terminal.press(&["Tab"]);
    terminal.reads("tap.rx → nic.queue");
    terminal.press(&["6"]);
    terminal.reads("net_dev_queue");
    terminal.press(&["BTab"]);
    terminal.shows("coverage", |screen| screen.contains("tap.queue") && screen.contains("100.0 %"));
    terminal.press(&["?"]);
    terminal.reads("Ctrl-C    end");
    terminal.press(&["?", "p"]);
    terminal.reads("PAUSED");
    terminal.press(&["p", "1"]);
    terminal.shows("going on", |screen| !screen.contains("PAUSED"));
    terminal.resize(200, 50);
    terminal.shows("all on one page", |screen| {
        ["Segments", "Slowest", "Losses", "Cost", "hop, since start"].iter().all(|part| screen.contains(part))
    });
    terminal.resize(40, 10);
    terminal.reads("40×10 is too small");
    terminal.press(&["q"]);
    pinging.assert_given_back(&terminal, 0);
    let seen = pinging.dir.path().join("seen.vmhop");
    let report = Place::new().run(&["report", seen.to_str().unwrap(), "--format", "json"]).json();
    assert!(report["exchanges"]["count"].as_u64().unwrap() > 20 && report["recording"]["complete"] == true);
}

#[test]
fn the_terminal_is_given_back_whatever_ends_the_view() {
    if !able("the_terminal_is_given_back_whatever_ends_the_view") {
        return;
    }
    let pinging = Pinging::new("0.2");
    let running = || {
        let terminal = pinging.live(80, 24, "");
        terminal.reads("[1 Overview]");
        terminal
    };
    let terminal = running();
    terminal.press(&["C-c"]);
    pinging.assert_given_back(&terminal, 0);
    for signal in ["-TERM", "-INT", "-HUP"] {
        let terminal = running();
        pinging.signal(signal);
        pinging.assert_given_back(&terminal, 0);
    }
    let terminal = running();
    pinging.lab.run(&["down"]).unwrap();
    let screen = pinging.assert_given_back(&terminal, 1);
    assert!(screen.contains("vmhop: "), "{screen}");
}

#[test]
fn events_that_the_view_does_not_get_are_said_to_be_lost() {
    if !able("events_that_the_view_does_not_get_are_said_to_be_lost") {
        return;
    }
    let pinging = Pinging::new("0.02");
    let terminal = pinging.live(80, 24, "--buffers ring --ring-size 4096 --window 60s");
    terminal.reads("[1 Overview]");
    pinging.signal("-STOP");
    // The ring has room for some sixty events: a few pings.
    let pings = ["ping", "-c", "20", "-i", "0.05", "192.0.2.2"];
    assert_eq!(pinging.lab.exec("peer", &pings).unwrap().code, Some(0));
    pinging.signal("-CONT");
    let screen = terminal.reads("EVENTS LOST");
    assert!(number(&screen, "since start:").is_some_and(|lost| lost > 0), "{screen}");
    terminal.press(&["q"]);
    pinging.assert_given_back(&terminal, 0);
}

#[test]
fn without_a_terminal_there_is_no_view() {
    let outcome = Place::new().run(&["live"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.error().contains("is no terminal") && outcome.error().contains("`vmhop record`"),
        "{outcome:?}"
    );
}
