//! `lab exec`: runs a command in the guest, on the peer or on the host side.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::{
    client::Client,
    layout::{Guest, Lab},
    netns, status,
};

/// Where a command can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In the VM; over a serial port, so that it causes no network traffic
    Guest,
    /// In the second VM, of a lab with `--guests 2` or more
    Guest2,
    /// In the third
    Guest3,
    /// In the fourth
    Guest4,
    /// In the network namespace at the other end of the wire
    Peer,
    /// In the network namespace that has the taps, the NIC, and what is between them
    Host,
}

impl Place {
    /// The number of the guest, if it is one.
    pub(crate) fn guest(self) -> Option<u8> {
        match self {
            Self::Guest => Some(1),
            Self::Guest2 => Some(2),
            Self::Guest3 => Some(3),
            Self::Guest4 => Some(4),
            Self::Peer | Self::Host => None,
        }
    }
}

/// What to run, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct ExecArgs {
    /// Name of the lab
    #[arg(long, default_value = super::DEFAULT_NAME)]
    name: String,
    /// Let the command read standard input
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Where to run it
    #[arg(value_enum)]
    place: Place,
    /// The command and its arguments; the guest has busybox and knows its commands
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(crate) fn run(args: &ExecArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let lab = Lab::new(&args.name)?;
    if let Some(guest) = args.place.guest() {
        return in_guest(lab.guest(guest), args, out);
    }
    let namespace = if args.place == Place::Peer { lab.peer_ns() } else { lab.host_ns() };
    if !netns::exists(&namespace) {
        bail!(not_up(&lab));
    }
    out.flush()?;
    replace(&namespace, args)
}

fn in_guest(guest: Guest<'_>, args: &ExecArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let lab = guest.lab;
    if !guest.port_socket(0).exists() {
        if lab.guest(1).port_socket(0).exists() {
            bail!("lab {} has no {}: `vmhop lab up --guests N` makes several", lab.name(), guest.place());
        }
        bail!(not_up(lab));
    }
    let client = Client::connect(guest).with_context(|| remedy(lab))?;
    client.run(&args.command, args.stdin, out).map(ExitCode::from)
}

/// Becomes the command, in the namespace; comes back only when it cannot.
fn replace(namespace: &str, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    netns::enter(namespace)?;
    let (program, arguments) = args.command.split_first().context("there is no command to run")?;
    let mut command = Command::new(program);
    if !args.stdin {
        command.stdin(Stdio::null());
    }
    let error = command.args(arguments).exec();
    writeln!(io::stderr(), "{program}: {error}")?;
    // The codes that a shell gives for the same, and the guest's agent too.
    Ok(ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }))
}

fn not_up(lab: &Lab) -> String {
    let others: Vec<String> =
        status::all().unwrap_or_default().iter().map(|lab| lab.name().to_owned()).collect();
    let others =
        if others.is_empty() { String::new() } else { format!(" (there is: {})", others.join(", ")) };
    format!("lab {name} is not up{others}: run `vmhop lab up --name {name}`", name = lab.name())
}

fn remedy(lab: &Lab) -> String {
    format!(
        "the guest of lab {name} cannot be reached: see `vmhop lab status --name {name}`",
        name = lab.name()
    )
}
