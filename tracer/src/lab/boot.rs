//! Starting the guest and waiting for its first word, which comes over a virtio-serial port: waiting over the
//! network would leave traces in what is measured next. Whether KVM works is learned by trying it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    client::Client,
    interrupts::Interrupts,
    kernel::Kernel,
    layout::{Lab, RUN_DIR},
    qemu::{self, Accel, Machine},
    state::{Process, State},
    up::AccelChoice,
};

/// How long a guest may take to start under emulation on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long under KVM, where it takes 2 s, and how long until its kernel has said a first word.
const KVM_PATIENCE: Duration = Duration::from_secs(30);
const KVM_FIRST_WORD: Duration = Duration::from_secs(4);

/// The user's Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {0}")]
struct Interrupted(&'static str);

/// The accelerators to try, in order.
pub(crate) fn candidates(choice: AccelChoice) -> Vec<Accel> {
    match choice {
        AccelChoice::Kvm => vec![Accel::Kvm],
        AccelChoice::Tcg => vec![Accel::Tcg],
        AccelChoice::Auto if Path::new("/dev/kvm").exists() && !verdict_file().exists() => {
            vec![Accel::Kvm, Accel::Tcg]
        }
        AccelChoice::Auto => vec![Accel::Tcg],
    }
}

/// Remembers, until the next boot of this machine, that KVM does not work; forgets it when it did.
pub(crate) fn remember(accel: Accel, choice: AccelChoice) {
    // Only a short cut: without it every lab tries again.
    let _ = match (accel, choice) {
        (Accel::Kvm, _) => fs::remove_file(verdict_file()),
        (Accel::Tcg, AccelChoice::Auto) => fs::write(verdict_file(), "a guest did not start under KVM\n"),
        (Accel::Tcg, _) => Ok(()),
    };
}

fn verdict_file() -> PathBuf {
    Path::new(RUN_DIR).join("kvm-does-not-work")
}

/// Whether after this failure emulation is worth a try.
pub(crate) fn falls_back(accel: Accel, choice: AccelChoice, error: &anyhow::Error) -> bool {
    accel == Accel::Kvm && choice == AccelChoice::Auto && !error.is::<Interrupted>()
}

/// Starts the guest and waits until it says that it is ready; ends it if it does not.
pub(crate) fn start(
    lab: &Lab,
    kernel: &Kernel,
    machine: Machine,
    state: &mut State,
    interrupts: &Interrupts,
) -> anyhow::Result<()> {
    // What an attempt before this one left behind would be taken for this one's first word.
    let _ = fs::remove_file(lab.console_log());
    let mut child = qemu::start(lab, kernel, machine)?;
    state.accel = machine.accel;
    state.qemu = Process::find(child.id() as i32);
    state.save(lab)?;
    let ready = await_ready(lab, machine.accel, &mut child, interrupts);
    if ready.is_err() {
        // It may have ended by itself, and then there is nothing to end.
        let _ = child.kill();
        let _ = child.wait();
        state.qemu = None;
    }
    ready
}

fn await_ready(lab: &Lab, accel: Accel, qemu: &mut Child, interrupts: &Interrupts) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut client: Option<Client> = None;
    loop {
        if let Some(status) = qemu.try_wait().context("failed to look after QEMU")? {
            bail!("QEMU ended ({status}) before the guest was ready");
        }
        if let Some(signal) = interrupts.next() {
            return Err(Interrupted(signal.as_str()).into());
        }
        // Until QEMU listens there is nothing to connect to; its end is noticed above.
        if let Some(client) = &mut client {
            if client.hears_ready(Duration::from_millis(50)).unwrap_or(false) {
                return Ok(());
            }
        } else {
            client = Client::try_connect(lab, 0).unwrap_or(None);
            client.iter_mut().for_each(Client::say_hello);
            std::thread::sleep(Duration::from_millis(20));
        }
        let elapsed = started.elapsed();
        if accel == Accel::Kvm && elapsed > KVM_FIRST_WORD && is_silent(lab) {
            bail!("the guest's kernel has said nothing within {} s", KVM_FIRST_WORD.as_secs());
        }
        let patience = if accel == Accel::Kvm { KVM_PATIENCE } else { PATIENCE };
        if elapsed > patience {
            bail!("the guest was not ready within {} s", patience.as_secs());
        }
    }
}

fn is_silent(lab: &Lab) -> bool {
    fs::metadata(lab.console_log()).is_ok_and(|log| log.len() == 0)
}
