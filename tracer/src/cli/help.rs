//! The longer texts of the help. Nothing but text.

/// `vmhop --help`.
pub(super) const ABOUT: &str = "\
Where does a VM's frame spend its time?

vmhop stamps every Ethernet frame of a VM as it passes the layers of this host, on its real traffic, and splits \
the time into VMM, virtual network, host stack, NIC and wire. The parts add up to the whole, and what could not \
be measured is shown as such. No frame is changed, held up or dropped.";

/// Below `vmhop --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  vmhop doctor                        what can this host trace, and what is missing?
  vmhop topology                      which VMs are there, and what lies behind their taps?
  vmhop record --duration 10s         trace all VMs for ten seconds, then report
  vmhop live                          watch all VMs on the terminal
  vmhop report vmhop-20300101-120000.vmhop
                                      the same report again, without root

Exit status:
  0  done
  1  something went wrong on the way, or nothing was seen; what was recorded is kept
  2  it could not start: wrong usage, missing permissions, no such VM or file";

/// `vmhop doctor --help`.
pub(super) const DOCTOR: &str = "\
Show what this host can trace, hop by hop, and what is missing

A hop is a point that a frame passes, such as tap.rx, where it enters the host's network stack. For each hop \
doctor names the kernel hook that serves it, or says why none does and what would help. Each program is \
loaded and attached for a moment, which traces nothing. The plan is for the VMs that run now; without one, for a \
VM on KVM behind a NIC of hardware.

With --hop and --profile it tells whether these hops can be served, and why not.

An ordinary user is shown what can be found out without root.";

/// Below `vmhop doctor --help`.
pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  sudo vmhop doctor
  sudo vmhop doctor --self-test       do the hooks fire when frames pass?
  vmhop doctor --json | jq '.checks[] | select(.ok == false)'
                                      what is missing; `ok` is null where it could not be checked

Exit status:
  0  this host can record
  1  it can, but the self-test found a hook that is silent, or could not be made
  2  it cannot: a needed check has failed";

/// `vmhop topology --help`.
pub(super) const TOPOLOGY: &str = "\
Show the VMs of this host and the path behind each of their taps

A VM is a process that holds a tap: QEMU, Firecracker, Cloud Hypervisor or any other. Its taps are found in \
whichever network namespace they are, and behind each of them its bridge, Open vSwitch, lower device or route, \
and the NIC where frames leave the host. Nothing is changed. Needs root.";

/// Below `vmhop topology --help`.
pub(super) const TOPOLOGY_EXAMPLES: &str = "\
Examples:
  sudo vmhop topology
  sudo vmhop topology --json | jq -r '.vms[] | \"\\(.pid) \\(.name)\"'

Exit status:
  0  done, also where there is no VM
  2  it could not start: missing permissions";

/// `vmhop record --help`.
pub(super) const RECORD: &str = "\
Record the way of each frame, then report where it spent its time

Records until the command has ended, the time is over, or Ctrl-C, whichever comes first. A line on the terminal \
counts frames, events and losses meanwhile; the report follows on standard output. The recording holds digests \
of headers and the addresses of flows, no payload; it is readable up to its last batch even after a crash. \
Needs root. Whatever ends vmhop, the kernel removes its programs.";

/// Below `vmhop record --help`.
pub(super) const RECORD_EXAMPLES: &str = "\
Examples:
  sudo vmhop record --vm web1 --duration 10s
  sudo vmhop record --vm tap0 --filter 'icmp and host 192.0.2.2' -- ping -c 100 192.0.2.2
  sudo vmhop record --vm 4242 --nic eth0 -o download.vmhop
                                      until Ctrl-C, with eth0 as the NIC behind the VM
  sudo vmhop record --vm web1 --profile ovs --hop 'queue=kprobe:fq_codel_enqueue(skb=arg0)'
                                      with further hops, by functions that frames pass
  sudo vmhop record --hops tap.rx,nic.queue,nic.xmit --duration 1h
                                      the virtual network alone, at less cost for the host
  sudo vmhop record --duration 1m --json > report.json

Exit status:
  0  done
  1  something went wrong while recording (a VM or device went away, the disk is full),
     or no frame was seen; what was recorded is kept
  2  it could not start: wrong usage, missing permissions, no such VM or NIC, no BTF";

/// `vmhop live --help`.
pub(super) const LIVE: &str = "\
Show on the terminal where frames spend their time right now

Draws the way of the frames with the time on each segment, the layers' shares over time, the slowest exchanges, \
losses, and what the tracing itself costs, of the last seconds. Needs a terminal of 60 x 16 characters at least; \
at 200 x 50 all is on one page. Keys: q ends, Tab turns the page, p holds the figures, w changes the time that they \
are of, v shows the next VM alone, s sorts the slowest by another layer, ? tells more. With NO_COLOR set it draws \
without colours; letters tell the layers apart either way. Nothing is kept, unless -o names a file. Needs root.";

/// Below `vmhop live --help`.
pub(super) const LIVE_EXAMPLES: &str = "\
Examples:
  sudo vmhop live                     all VMs
  sudo vmhop live --vm web1 --filter 'tcp port 80' --window 60s
  sudo vmhop live -o seen.vmhop       and record meanwhile

Exit status:
  0  ended by q, Ctrl-C or a signal
  1  something went wrong on the way: a VM or device went away, the terminal is gone
  2  it could not start: no terminal, wrong usage, missing permissions, no such VM or NIC";

/// `vmhop report --help`.
pub(super) const REPORT: &str = "\
Report from a recording

Needs neither root nor the host of the recording. As text: the path, the layers with their mean and share, the \
segments with their percentiles, coverage of each hop, losses, what measuring cost, and warnings. As JSON: \
schema vmhop.report/1. As csv and parquet: every segment of every exchange. As pcapng: the headers of every frame at \
every hop, for Wireshark. As perfetto: the exchanges on a time line, for ui.perfetto.dev. As openmetrics: the figures \
for Prometheus. docs/formats.md tells what is in each.";

/// Below `vmhop report --help`.
pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  vmhop report download.vmhop
  vmhop report download.vmhop --format json | jq '.layers[] | {layer, mean_ns}'
  vmhop report download.vmhop --format json -o report.json
  vmhop report download.vmhop --format parquet -o segments.parquet
  vmhop report download.vmhop --format pcapng | wireshark -k -i -

Exit status:
  0  done; of a recording that was cut off, the report tells so
  1  the recording is damaged, or the report could not be written
  2  there is no such file, or it is no recording of this version";

/// `vmhop profiles --help`.
pub(super) const PROFILES: &str = "\
List the profiles, sets of further hops for --profile, or show one

A profile names functions of the kernel, or of a module that vmhop does not know, which frames pass: each becomes a \
hop of the report. Shown by its name, a profile is a TOML file: write it to a file, change it, and name the file \
by --profile.";

/// Below `vmhop profiles --help`.
pub(super) const PROFILES_EXAMPLES: &str = "\
Examples:
  vmhop profiles
  vmhop profiles ovs > mine.toml      a file to begin with
  sudo vmhop doctor --profile mine.toml
                                      can its hops be served here?
  sudo vmhop record --profile mine.toml --duration 10s

Exit status:
  0  done
  2  there is no such profile";

/// Below `vmhop experiment --help`.
pub(super) const EXPERIMENT_EXAMPLES: &str = "\
Examples:
  vmhop experiment list               which experiments does vmhop bring?
  sudo vmhop experiment run hosted-vm --lab
                                      the study: pings and downloads of guests, host and peer, on any machine
  vmhop experiment show hosted-vm > mine.toml
                                      a file to begin with, for machines of your own
  vmhop experiment report DIR         the tables again, from the folder of results";

/// Below `vmhop lab --help`.
pub(super) const LAB_EXAMPLES: &str = "\
Examples:
  sudo vmhop lab up                   make a guest, its network and a peer
  sudo vmhop record --vm vmhop-lab -- vmhop lab exec guest -- ping -c 100 192.0.2.3
                                      trace the guest while it pings the peer
  sudo vmhop lab down                 remove all of it

Exit status:
  0  done
  1  something went wrong; `vmhop lab down` removes what is left
  2  it could not start: wrong usage, missing permissions";
