//! `vmhop watch` while a test goes on: what it says, what it serves, and what it leaves.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    host::inside,
    python,
    truth::toy::{GUEST, PORT, Toy},
    vmhop::binary,
};

/// How long a word may take, on a machine that is emulated and busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A watch; killed when dropped.
pub struct Watching {
    child: Child,
    lines: Receiver<String>,
    said: String,
    /// Where it serves.
    address: String,
    /// A folder for what it, or the test, writes.
    pub dir: TempDir,
}

impl Watching {
    /// Starts it with these options, and waits until it watches. It serves at a free port.
    pub fn start(options: &[&str]) -> Watching {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary());
        command.args(["watch", "--listen", "127.0.0.1:0"]).args(options).current_dir(dir.path());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let said = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut watching = Watching { child, lines, said: String::new(), address: String::new(), dir };
        let serving = watching.until("serving http://");
        let address = serving.trim_start_matches("serving http://").trim_end_matches("/metrics");
        watching.address = address.to_owned();
        watching.until("watching ");
        watching
    }

    /// Waits until it says something with these words; gives the line.
    pub fn until(&mut self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("never said: {words}; but:\n{}", self.said));
            self.said += &format!("{line}\n");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to its server.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Asks for a path; gives the head of the answer, and its body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        (head.to_owned(), body.to_owned())
    }

    /// The figures, by Prometheus' own parser.
    pub fn scrape(&self) -> Scrape {
        let (head, body) = self.get("/metrics");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let file = self.dir.path().join("scrape");
        fs::write(&file, body).unwrap();
        Scrape(python::read("metrics.py", &file))
    }

    /// Stops it as systemd does; gives its exit code, and all that it said.
    pub fn stop(mut self) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        self.said.extend(self.lines.iter().map(|line| line + "\n"));
        (status.code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Where it was stopped this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Samples as they were served.
pub struct Scrape(Value);

impl Scrape {
    fn samples(&self) -> &[Value] {
        self.0.as_array().unwrap()
    }

    /// The value of a sample, by its labels; none where there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Value| {
            sample["name"] == name && labels.iter().all(|(label, value)| sample["labels"][*label] == *value)
        };
        self.samples().iter().find(fits)?["value"].as_f64()
    }

    /// Asserts that no counter has fallen since an earlier scrape, and that none is missing.
    pub fn assert_not_below(&self, earlier: &Scrape) {
        let counters = || earlier.samples().iter().filter(|sample| sample["type"] == "counter");
        assert!(counters().count() > 10);
        for before in counters() {
            let same = |now: &&Value| (&now["name"], &now["labels"]) == (&before["name"], &before["labels"]);
            let now = self.samples().iter().find(same).unwrap_or_else(|| panic!("missing: {before}"));
            assert!(now["value"].as_f64() >= before["value"].as_f64(), "{before} {now}");
        }
    }
}

/// The recordings in a folder, oldest first.
pub fn recordings(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_own = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("watch-") && name.ends_with(".vmhop")
    };
    let mut found: Vec<PathBuf> = entries.filter(is_own).collect();
    found.sort();
    found
}

/// Asks a toy's guest, from its peer; each question and its answer are a frame each.
pub fn ask(toy: &Toy, questions: usize) {
    let socket = inside(&toy.peer.path(), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 64];
    for number in 0..questions {
        let question = format!("question {number:08}");
        socket.send_to(question.as_bytes(), (GUEST, PORT)).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], question.as_bytes());
    }
}
