//! An Open vSwitch of the lab's own: database, daemon and sockets in the lab's folder, the kernel's datapath in the
//! host's namespace. A system-wide Open vSwitch is neither needed nor touched.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use super::{
    super::{
        addresses::host_mac,
        layout::{BRIDGE, Lab},
        netns, qemu,
        spec::Spec,
        state::{Helper, Process},
        tools,
    },
    has_device,
};

const PACKAGE: &str = "openvswitch-switch";
const PROGRAMS: [&str; 4] = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"];
/// Where the packages put the database's schema.
const SCHEMAS: [&str; 2] =
    ["/usr/share/openvswitch/vswitch.ovsschema", "/usr/local/share/openvswitch/vswitch.ovsschema"];
/// How long the daemon may take to make the bridge, in seconds; far less but under emulation.
const PATIENCE: &str = "120";

pub(super) fn check() -> anyhow::Result<()> {
    for program in PROGRAMS {
        tools::need(program, PACKAGE)?;
    }
    schema()?;
    let modprobe = || tools::find("modprobe").map(|path| tools::run(Command::new(path).arg("openvswitch")));
    if !Path::new("/sys/module/openvswitch").exists() && !matches!(modprobe(), Some(Ok(_))) {
        bail!("this kernel has no module openvswitch: load it, or take --network bridge");
    }
    Ok(())
}

fn schema() -> anyhow::Result<&'static str> {
    let found = SCHEMAS.into_iter().find(|path| Path::new(path).exists());
    found.with_context(|| format!("Open vSwitch's schema is missing: install package {PACKAGE} again"))
}

/// Starts both daemons and makes the bridge with its ports.
pub(super) fn start(lab: &Lab, spec: &Spec) -> anyhow::Result<Vec<Helper>> {
    let switch = Switch { lab, dir: lab.ovs() };
    fs::create_dir_all(&switch.dir).with_context(|| format!("failed to make {}", switch.dir.display()))?;
    let database = switch.dir.join("conf.db");
    tools::run(switch.command("ovsdb-tool")?.arg("create").arg(&database).arg(schema()?))?;
    let mut server = switch.command("ovsdb-server")?;
    server.arg(&database).arg(format!("--remote=p{}", switch.socket()));
    let server = switch.daemon("ovsdb-server", server)?;
    // The client waits for the server's socket.
    switch.configure(&["--no-wait", "init"])?;
    let mut daemon = switch.command("ovs-vswitchd")?;
    daemon.arg(switch.socket());
    let daemon = switch.daemon("ovs-vswitchd", daemon)?;
    switch.make_bridge(spec)?;
    Ok(vec![server, daemon])
}

struct Switch<'a> {
    lab: &'a Lab,
    dir: PathBuf,
}

impl Switch<'_> {
    fn socket(&self) -> String {
        format!("unix:{}", self.dir.join("db.sock").display())
    }

    /// One of Open vSwitch's programs, in the host's namespace, with every file that it makes in the lab's folder.
    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(tools::need(program, PACKAGE)?);
        for folder in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(folder, &self.dir);
        }
        netns::enter_on_exec(&mut command, &self.lab.host_ns())?;
        Ok(command)
    }

    fn daemon(&self, name: &str, mut command: Command) -> anyhow::Result<Helper> {
        let path = self.dir.join(format!("{name}.log"));
        let log = File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        qemu::own_session(&mut command);
        let child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        let process = Process::find(child.id() as i32);
        let process = process.with_context(|| format!("{name} ended at once: {}", last_line(&path)))?;
        Ok(Helper { name: name.to_owned(), process })
    }

    fn configure(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command("ovs-vsctl")?;
        command.arg(format!("--db={}", self.socket())).args(["--retry", "--timeout", PATIENCE]).args(words);
        tools::run(&mut command).map(drop)
    }

    /// A bridge that learns addresses as any switch does, with no controller.
    fn make_bridge(&self, spec: &Spec) -> anyhow::Result<()> {
        let mac = format!("other-config:hwaddr=\"{}\"", host_mac());
        let mut words = vec!["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "fail_mode=standalone", &mac];
        let taps = spec.taps();
        for port in taps.iter().map(String::as_str).chain([spec.nic()]) {
            words.extend(["--", "add-port", BRIDGE, port]);
        }
        self.configure(&words)?;
        // A datapath that cannot be made is only in the daemon's log.
        if !has_device(&self.lab.host_ns(), BRIDGE) {
            bail!("ovs-vswitchd has made no {BRIDGE}: {}", last_line(&self.dir.join("ovs-vswitchd.log")));
        }
        Ok(())
    }
}

fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or("its log is empty").to_owned()
}
