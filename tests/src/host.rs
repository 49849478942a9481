//! Namespaces, devices and processes made for a test, and removed with it, also when it fails.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail the test and print skips"
)]

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Whether the test can run; prints why not.
pub fn able() -> bool {
    // SAFETY: reads the caller's user id.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        skip("namespaces and taps need root");
    }
    root
}

/// Says why a test is skipped. A skip is for a developer's machine: where VMHOP_NO_SKIPS is set, as in CI, it is a
/// failure.
pub fn skip(why: &str) {
    assert!(env::var_os("VMHOP_NO_SKIPS").is_none(), "would be skipped: {why}");
    eprintln!("skipped: {why}");
}

/// A word that no other test and no other run uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("vmhop-t{}-{}-{what}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a command of words; its output, or a panic with what it said.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something holds: the kernel removes namespaces and processes in the background.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Loads modules of the kernel; it may have them built in, or have no use for them.
pub fn load_modules(names: &[&str]) {
    for name in names {
        let _ = Command::new("modprobe").arg(name).output();
    }
}

/// A named network namespace.
pub struct Netns {
    /// Its name under /run/netns.
    pub name: String,
}

impl Netns {
    /// Makes one, with its loopback up.
    pub fn new(what: &str) -> Self {
        let netns = Self { name: unique(what) };
        run(&format!("ip netns add {}", netns.name));
        netns.ip("link set lo up");
        netns
    }

    /// `ip` inside it.
    pub fn ip(&self, command: &str) -> String {
        run(&format!("ip -n {} {command}", self.name))
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Its inode number.
    pub fn inode(&self) -> u32 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(self.path()).unwrap()) as u32
    }

    /// A veth pair from here to `far`, both ends up.
    pub fn veth(&self, near: &str, far: &Netns, far_name: &str) {
        self.ip(&format!("link add {near} type veth peer name {far_name} netns {}", far.name));
        self.ip(&format!("link set {near} up"));
        far.ip(&format!("link set {far_name} up"));
    }

    /// Opens a queue of a tun device here, from a thread that enters the namespace.
    pub fn tun(&self, name: &str, flags: libc::c_int) -> OwnedFd {
        self.inside(|| {
            let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
            // SAFETY: all-zero bytes are a valid ifreq.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_flags = (flags | libc::IFF_NO_PI) as i16;
            // SAFETY: the descriptor is open and the request outlives the call.
            let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &request) };
            assert_eq!(result, 0, "TUNSETIFF {name}: {}", io::Error::last_os_error());
            OwnedFd::from(file)
        })
    }

    /// Does some work in a thread that has entered it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.name, work)
    }
}

/// Does some work in a thread that has entered the network namespace of this name.
pub fn inside<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(Path::new("/run/netns").join(netns)).unwrap();
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: moves this thread, which ends with the work, to an open namespace.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
                work()
            })
            .join()
            .unwrap()
    })
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A test may have removed it already.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

/// A process that holds descriptors and waits.
pub struct Holder {
    child: Child,
    _dir: Option<TempDir>,
}

impl Holder {
    /// A shell under the executable's name `exe`, with the descriptors as its output and error output.
    pub fn new(exe: &str, arguments: &[&str], first: OwnedFd, second: Option<OwnedFd>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(exe);
        // By a process of its own: were it open for writing here, a test forking at that moment would keep it
        // open, and its execution would fail (ETXTBSY).
        run(&format!("cp /bin/bash {}", path.display()));
        // `read` waits for a line that never comes; the arguments behind it are the shell's $0, $1 and so on.
        let child = Command::new(&path)
            .args(["-c", "read line"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(first))
            .stderr(second.map_or_else(Stdio::null, Stdio::from))
            .spawn()
            .unwrap();
        Self { child, _dir: Some(dir) }
    }

    /// A command of its own that opens its tap itself.
    pub fn command(command: &mut Command) -> Self {
        Self { child: command.spawn().unwrap(), _dir: None }
    }

    /// A stand-in for QEMU that runs the VM of this name.
    pub fn qemu(name: &str, first: OwnedFd, second: Option<OwnedFd>) -> Self {
        let guest = format!("guest={name},debug-threads=on");
        Self::new("qemu-system-x86_64", &["-name", &guest], first, second)
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Kills it without reaping: it stays a zombie until the test ends.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
