//! Starting the guests and waiting for their first words, which come over virtio-serial ports: waiting over the
//! network would leave traces in what is measured next. Whether KVM works is learned by trying it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};

use super::{
    accel::{Accel, AccelChoice},
    client::Client,
    interrupts::Interrupts,
    kernel::Kernel,
    layout::{Guest, Lab, RUN_DIR},
    qemu::{self, Machine},
    state::{Process, State},
    tools::progress,
};

/// How long a guest may take to start under emulation on a slow machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long under KVM, where it takes 2 s, before emulation is tried instead, and how long until its kernel has
/// said a first word.
const KVM_PATIENCE: Duration = Duration::from_secs(30);
const KVM_FIRST_WORD: Duration = Duration::from_secs(4);
/// How much slower a machine is that is emulated itself: KVM in it takes 17 s, and minutes when it is busy.
const EMULATED_MACHINE: u32 = 5;

/// The user's Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {0}")]
struct Interrupted(&'static str);

/// Whether Ctrl-C is why a lab was not made.
pub(crate) fn was_interrupted(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Interrupted>().is_some()
}

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

/// How long a guest may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// Until its kernel writes anything, where that tells whether it runs at all.
    first_word: Option<Duration>,
    ready: Duration,
}

impl Limits {
    /// Guests that start side by side share the processors.
    fn new(accel: Accel, choice: AccelChoice, guests: u8, emulated: bool) -> Self {
        let guests = guests.into();
        match (accel, choice) {
            // An emulated processor emulates what KVM needs as well, and emulation within emulation takes far
            // longer than waiting for it.
            _ if emulated => Self { first_word: None, ready: PATIENCE * EMULATED_MACHINE * guests },
            (Accel::Kvm, AccelChoice::Auto) => {
                Self { first_word: Some(KVM_FIRST_WORD * guests), ready: KVM_PATIENCE * guests }
            }
            // Nothing else will be tried, so there is no hurry.
            (Accel::Kvm | Accel::Tcg, _) => Self { first_word: None, ready: PATIENCE * guests },
        }
    }
}

/// Whether this machine's own processor is emulated, by the name that QEMU gives it.
fn machine_is_emulated() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU TCG CPU"))
}

/// How often guests are started that reset themselves on the way: in a VM that is emulated itself, a guest's processor
/// now and then does so before its kernel's first word.
const ATTEMPTS: usize = 3;

/// A guest's processor gave up, or its kernel panicked: QEMU ends then without an error, by `-no-reboot`.
#[derive(Debug, thiserror::Error)]
#[error("the guest reset itself before it was ready")]
struct Reset;

/// A guest on its way.
struct Booting<'a> {
    guest: Guest<'a>,
    qemu: Child,
    client: Option<Client>,
    ready: bool,
}

/// Starts the guests and waits until each says that it is ready; ends them all if one does not. Guests that reset
/// themselves are started again, which is said.
pub(crate) fn start(
    lab: &Lab,
    kernel: &Kernel,
    accel: (Accel, AccelChoice),
    state: &mut State,
    interrupts: &Interrupts,
) -> anyhow::Result<()> {
    for _ in 1..ATTEMPTS {
        match attempt(lab, kernel, accel, state, interrupts) {
            Err(error) if error.is::<Reset>() => progress(&format!("{error:#}: starting again")),
            done => return done,
        }
    }
    attempt(lab, kernel, accel, state, interrupts)
}

fn attempt(
    lab: &Lab,
    kernel: &Kernel,
    (accel, choice): (Accel, AccelChoice),
    state: &mut State,
    interrupts: &Interrupts,
) -> anyhow::Result<()> {
    let limits = Limits::new(accel, choice, state.spec.guests, machine_is_emulated());
    let mut guests = Vec::new();
    state.accel = accel;
    let started = launch(lab, kernel, state, &mut guests);
    let ready = started.and_then(|()| await_ready(&mut guests, limits, interrupts));
    if ready.is_err() {
        for Booting { qemu, .. } in &mut guests {
            // It may have ended by itself, and then there is nothing to end.
            let _ = qemu.kill();
            let _ = qemu.wait();
        }
        state.qemus.clear();
    }
    ready
}

fn launch<'a>(
    lab: &'a Lab,
    kernel: &Kernel,
    state: &mut State,
    guests: &mut Vec<Booting<'a>>,
) -> anyhow::Result<()> {
    for guest in (1..=state.spec.guests).map(|number| lab.guest(number)) {
        // What an attempt before this one left behind would be taken for this one's first word.
        let _ = fs::remove_file(guest.console_log());
        let qemu = qemu::start(kernel, Machine { guest, spec: &state.spec, accel: state.accel })?;
        state.qemus.extend(Process::find(qemu.id() as i32));
        guests.push(Booting { guest, qemu, client: None, ready: false });
        state.save(lab)?;
    }
    Ok(())
}

fn await_ready(guests: &mut [Booting<'_>], limits: Limits, interrupts: &Interrupts) -> anyhow::Result<()> {
    let started = Instant::now();
    while guests.iter().any(|guest| !guest.ready) {
        if let Some(signal) = interrupts.next() {
            return Err(Interrupted(signal.as_str()).into());
        }
        for guest in guests.iter_mut().filter(|guest| !guest.ready) {
            let vm = || format!("VM {} does not start", guest.guest.vm());
            if let Some(status) = guest.qemu.try_wait().context("failed to look after QEMU")? {
                return Err(ended(status).context(vm()));
            }
            overdue(guest.guest, started.elapsed(), limits).with_context(vm)?;
            guest.listen();
        }
    }
    Ok(())
}

/// Why QEMU ended before its guest was ready.
fn ended(status: ExitStatus) -> anyhow::Error {
    if status.success() {
        return Reset.into();
    }
    anyhow!("QEMU ended ({status}) before the guest was ready")
}

/// Fails when a guest that is not ready has taken too long.
fn overdue(guest: Guest<'_>, elapsed: Duration, limits: Limits) -> anyhow::Result<()> {
    if let Some(limit) = limits.first_word.filter(|limit| elapsed > *limit && is_silent(guest)) {
        bail!("the guest's kernel has said nothing within {} s", limit.as_secs());
    }
    if elapsed > limits.ready {
        bail!("the guest was not ready within {} s", limits.ready.as_secs());
    }
    Ok(())
}

impl Booting<'_> {
    /// Listens for the first word, for a moment.
    fn listen(&mut self) {
        // Until QEMU listens there is nothing to connect to; the caller notices its end.
        if let Some(client) = &mut self.client {
            self.ready = client.hears_ready(Duration::from_millis(50)).unwrap_or(false);
        } else {
            self.client = Client::try_connect(self.guest, 0).unwrap_or(None);
            self.client.iter_mut().for_each(Client::say_hello);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_silent(guest: Guest<'_>) -> bool {
    fs::metadata(guest.console_log()).is_ok_and(|log| log.len() == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn only_a_guest_that_reset_itself_is_started_again() {
        assert!(ended(ExitStatus::from_raw(0)).context("VM x does not start").is::<Reset>());
        // Exit code 1, and the end by SIGKILL.
        for status in [1 << 8, 9] {
            assert!(!ended(ExitStatus::from_raw(status)).is::<Reset>());
        }
    }

    #[test]
    fn only_where_there_is_something_else_to_try_is_the_wait_short() {
        let limits = |accel, choice| Limits::new(accel, choice, 1, false);
        let auto = limits(Accel::Kvm, AccelChoice::Auto);
        assert_eq!((auto.first_word, auto.ready), (Some(KVM_FIRST_WORD), KVM_PATIENCE));
        for (accel, choice) in [(Accel::Kvm, AccelChoice::Kvm), (Accel::Tcg, AccelChoice::Auto)] {
            assert_eq!(limits(accel, choice), Limits { first_word: None, ready: PATIENCE });
        }
        let slow = Limits::new(Accel::Kvm, AccelChoice::Auto, 2, true);
        assert_eq!(slow, Limits { first_word: None, ready: PATIENCE * 10 });
    }
}
