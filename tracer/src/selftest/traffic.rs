//! Who sends: a thread that stands for a vCPU kicks, one that stands for the VMM's I/O thread wakes, writes to the taps
//! and reads from them; the peers send from sockets.

use std::{
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    sync::mpsc::{self, Receiver, Sender},
    thread::{Scope, sleep},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{gettid, pipe2, read, write},
};

use super::network::{Network, Port, Way};
use crate::topology::{Thread, ThreadRole, Vm, Vmm};

/// How often each frame is sent, each way.
const TIMES: usize = 4;
/// Between two frames: the threads are to sleep and be woken.
const PAUSE: Duration = Duration::from_millis(2);
/// Until the last frame has arrived.
const LINGER: Duration = Duration::from_millis(50);
/// What a macvtap expects before each frame: a virtio header, here empty (drivers/net/tap.c `tap_open`).
const VIRTIO_HEADER: [u8; 10] = [0; 10];

/// A frame to send, and from which port.
type Sending = (usize, usize);

/// The threads of the self-test's guest. Dropped, they end.
pub(super) struct Guest {
    to_vcpu: Sender<Sending>,
    io: i32,
    vcpu: i32,
}

impl Guest {
    /// Starts the threads in `scope`; they wait.
    pub(super) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        network: &'env Network,
    ) -> Result<Guest> {
        let (bell, ring) = pipe2(OFlag::O_CLOEXEC).context("failed to make a pipe")?;
        let (to_vcpu, orders) = mpsc::channel();
        let (to_io, writes) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let tell_io = tell.clone();
        scope.spawn(move || {
            // Whoever waits for it has gone if it cannot be told.
            let _ = tell_io.send((ThreadRole::Io, gettid().as_raw()));
            serve(&network.ports, &bell, &writes)
        });
        scope.spawn(move || {
            let _ = tell.send((ThreadRole::Vcpu(0), gettid().as_raw()));
            kick(&orders, &to_io, &ring)
        });
        let (mut io, mut vcpu) = (0, 0);
        for _ in 0..2 {
            match told.recv().map_err(|_| anyhow!("a thread of the self-test did not start"))? {
                (ThreadRole::Io, tid) => io = tid,
                (_, tid) => vcpu = tid,
            }
        }
        Ok(Guest { to_vcpu, io, vcpu })
    }

    /// The VM that this process is.
    pub(super) fn vm(&self, network: &Network) -> Vm {
        let thread = |tid, role| Thread { tid, name: String::new(), role };
        Vm {
            name: "self-test".to_owned(),
            vmm: Vmm::Other("vmhop".to_owned()),
            pid: std::process::id() as i32,
            start_time: 0,
            threads: vec![thread(self.io, ThreadRole::Io), thread(self.vcpu, ThreadRole::Vcpu(0))],
            taps: network.ports.iter().map(|port| port.tap.clone()).collect(),
            kvm: false,
        }
    }

    /// Sends all frames both ways, and waits until the last has arrived.
    pub(super) fn talk(&self, network: &Network) -> Result<()> {
        for _ in 0..TIMES {
            for (number, port) in network.ports.iter().enumerate() {
                for frame in 0..port.frames.len() {
                    let gone = |_| anyhow!("the self-test's vCPU thread ended early");
                    self.to_vcpu.send((number, frame)).map_err(gone)?;
                    sleep(PAUSE);
                }
                for peer in &port.peers {
                    peer.send(b"vmhop self-test?").context("the self-test's peer could not send")?;
                    sleep(PAUSE);
                }
            }
        }
        sleep(LINGER);
        Ok(())
    }
}

/// The vCPU: hands a frame over and notifies, until nobody orders any more.
fn kick(orders: &Receiver<Sending>, to_io: &Sender<Sending>, ring: &OwnedFd) {
    for order in orders {
        if to_io.send(order).is_err() || write(ring, &[1]).is_err() {
            return;
        }
    }
}

/// The I/O thread: writes what it is notified of, reads what arrives, until the vCPU has gone.
fn serve(ports: &[Port], bell: &OwnedFd, writes: &Receiver<Sending>) {
    loop {
        let mut fds: Vec<PollFd> = vec![PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        fds.extend(ports.iter().map(|port| PollFd::new(port.file.as_fd(), PollFlags::POLLIN)));
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (port, _) in ports.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            // A frame that cannot be read is one that did not pass; the counts tell.
            let _ = (&port.file).read(&mut [0; 2048]);
        }
        if !ready[0] {
            continue;
        }
        match read(bell, &mut [0]) {
            Ok(1) => {}
            _ => return,
        }
        if let Ok((port, frame)) = writes.recv() {
            let port = &ports[port];
            let header: &[u8] = if port.way == Way::Macvtap { &VIRTIO_HEADER } else { &[] };
            let _ = (&port.file).write(&[header, &port.frames[frame]].concat());
        }
    }
}
