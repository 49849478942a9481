//! The lab: a QEMU guest on a tap, a bridge, a NIC, a wire and a peer, in network namespaces of their own, so
//! that nothing of it touches the machine's own network and several labs can stand side by side.
//!
//! The modules, from the name to the commands: `layout` (names and paths), `spec` and `accel` (what can be chosen), `addresses`,
//! `state` (what is recorded), `lock`; `tools` (other programs), `netns`, `network` (links, switches, routing),
//! `kernel`, `elf`, `initramfs` (what the guest boots from), `qemu`, `http` (what peer and host serve); `wire` (protocol of the serial port), `agent` and `session` (its end in the
//! guest), `client` (its end here), `interrupts`; `boot`; and one module for each subcommand.
//!
//! Not in here: measuring. The lab knows nothing of the tracer, and the tracer sees a lab as any other VM.

mod accel;
mod addresses;
mod agent;
mod ask;
mod boot;
mod client;
mod down;
mod elf;
mod exec;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod initramfs;
mod interrupts;
mod kernel;
mod layout;
mod lock;
mod netns;
pub(crate) mod network;
mod qemu;
mod respond;
mod session;
mod spec;
mod state;
mod status;
mod talk;
pub(crate) mod tools;
mod up;
mod wire;

use std::{io::Write, net::IpAddr, path::PathBuf, process::ExitCode};

use clap::Subcommand;
use nix::unistd::geteuid;

use self::layout::Lab;
pub use self::{
    accel::AccelChoice,
    ask::AskArgs,
    down::DownArgs,
    exec::{ExecArgs, Place},
    respond::RespondArgs,
    spec::{Cable, Network},
    status::StatusArgs,
    up::UpArgs,
};
pub(crate) use self::{boot::was_interrupted, layout::MAX_GUESTS};

const DEFAULT_NAME: &str = "lab";

/// Where the files are that the peer of a lab serves.
pub(crate) fn www(lab: &str) -> anyhow::Result<PathBuf> {
    Ok(Lab::new(lab)?.www())
}

/// The VM at a place of a lab, which must be a guest.
pub(crate) fn vm_name(lab: &str, place: &str) -> String {
    match place.strip_prefix("guest") {
        Some(number) if !number.is_empty() => format!("vmhop-{lab}-{number}"),
        _ => format!("vmhop-{lab}"),
    }
}

/// The stations of a lab, each with its addresses: the IPv4 address towards the wire first, that towards the guests last.
pub(crate) fn stations(network: Network, guests: u8) -> Vec<(String, Vec<IpAddr>)> {
    let parsed = |texts: Vec<String>| texts.iter().filter_map(|text| text.parse().ok()).collect();
    let both = |station: addresses::Station| vec![station.ipv4, station.ipv6];
    let host = addresses::host();
    let inside = addresses::gateway(network).unwrap_or_else(|| host.clone());
    let host = parsed(vec![host.ipv4, host.ipv6, inside.ipv6, inside.ipv4]);
    let place = |number: u8| if number == 1 { "guest".to_owned() } else { format!("guest{number}") };
    let guests = (1..=guests).map(|number| (place(number), parsed(both(addresses::guest(network, number)))));
    let others = [("host".to_owned(), host), ("peer".to_owned(), parsed(both(addresses::peer())))];
    guests.chain(others).collect()
}

/// A VM to try vmhop on: a guest on a tap and a bridge, a NIC, a wire and a peer, made from nothing
#[derive(Debug, Clone, Subcommand)]
pub enum LabCommand {
    /// Make a lab and wait until its guest is ready
    ///
    /// Makes two network namespaces: vmhop-NAME-host with the bridge br0 (192.0.2.1), the tap tap0 and the NIC
    /// nic0, and vmhop-NAME-peer at the other end of nic0's wire (192.0.2.3). A QEMU guest (192.0.2.2) sits
    /// on the tap. All three answer ping and serve a file of 40,000,000 bytes, http://ADDRESS/40MB.
    ///
    /// --network takes another way from the tap to the NIC. Where the guests' network is not the wire's (nat, routed,
    /// host-only), they are 198.51.100.2 and so on.
    Up(UpArgs),
    /// Remove a lab, whole or broken
    Down(DownArgs),
    /// Show which labs there are and whether they are whole
    ///
    /// With --name, ends with exit code 1 unless that lab is up.
    Status(StatusArgs),
    /// Run a command in the guest, on the peer or on the host side of a lab
    ///
    /// Its output and exit code are the command's own. For example:
    /// vmhop lab exec peer -- ping -c 3 192.0.2.2
    Exec(ExecArgs),
    /// Send each UDP datagram back after a known time, in guest, peer or host
    ///
    /// Until Ctrl-C; then it says how long it has really held them. A delay that is known shows what a report makes of
    /// it: vmhop lab exec guest -- vmhop lab respond --delay 1ms
    Respond(RespondArgs),
    /// Ask who runs `lab respond`, one question after the other, and print the round trips
    ///
    /// For example: vmhop lab exec peer -- vmhop lab ask 192.0.2.2
    Ask(AskArgs),
    /// Run the commands of `lab exec guest`, inside the guest
    #[command(hide = true)]
    Agent {
        /// Number of the serial port to serve
        port: usize,
    },
}

/// Does what `command` says; results go to `out`, progress to standard error.
pub fn run(command: LabCommand, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if !geteuid().is_root() {
        writeln!(std::io::stderr(), "vmhop lab needs root, for namespaces and taps: run it with sudo")?;
        return Ok(ExitCode::from(2));
    }
    match command {
        LabCommand::Up(args) => up::run(&args, out),
        LabCommand::Down(args) => down::run(&args, out),
        LabCommand::Status(args) => status::run(&args, out),
        LabCommand::Exec(args) => exec::run(&args, out),
        LabCommand::Respond(args) => respond::run(&args, out),
        LabCommand::Ask(args) => ask::run(&args, out),
        LabCommand::Agent { port } => agent::run(port).map(|()| ExitCode::SUCCESS),
    }
}
