//! The accounts of vCPUs on KVM: attaches the program that reads exits' reasons, opens the accounts, reads them.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
    programs::TracePoint,
};
use nix::time::ClockId;
use tracer_common::account::Account;

use crate::bill::account::{VcpuTimes, is_torn, settle};

/// How often a copy of an account is taken until it is whole. A turn takes some 100 ns, a copy 1 µs.
const TRIES: usize = 4;

/// Attaches the program that reads the records of `kvm:kvm_exit`.
pub(super) fn attach(ebpf: &mut Ebpf) -> Result<()> {
    let program = ebpf
        .program_mut("kvm_exit_record")
        .ok_or_else(|| anyhow!("the BPF object has no program kvm_exit_record"))?;
    let program: &mut TracePoint = program.try_into()?;
    program.load().context("failed to load kvm_exit_record")?;
    program.attach("kvm", "kvm_exit").context("failed to attach kvm_exit_record")?;
    Ok(())
}

/// The accounts of the traced vCPUs.
pub struct ExitMeter {
    accounts: HashMap<MapData, u32, Account>,
    /// Their threads.
    threads: Vec<u32>,
    /// When they were opened, ns of `CLOCK_MONOTONIC`.
    opened_ns: u64,
    /// The same moment.
    pub opened: Instant,
    /// As last read.
    times: BTreeMap<u32, VcpuTimes>,
}

impl ExitMeter {
    /// Opens an account for each of these threads: counting begins.
    pub(super) fn open(ebpf: &mut Ebpf, threads: &[u32]) -> Result<ExitMeter> {
        let map =
            ebpf.take_map("ACCOUNTS").ok_or_else(|| anyhow!("the vCPUs' accounts were taken before"))?;
        let mut accounts: HashMap<MapData, u32, Account> = HashMap::try_from(map)?;
        let (opened, opened_ns) = (Instant::now(), now_ns()?);
        let account = Account::opened(opened_ns);
        for tid in threads {
            accounts.insert(tid, account, 0).context("failed to open a vCPU's account")?;
        }
        Ok(ExitMeter { accounts, threads: threads.to_vec(), opened_ns, opened, times: BTreeMap::new() })
    }

    /// Each vCPU's times so far, by thread; as read before, should reading fail.
    pub fn read(&mut self) -> BTreeMap<u32, VcpuTimes> {
        for &tid in &self.threads {
            match read(&self.accounts, tid, self.opened_ns) {
                Ok(times) => {
                    self.times.insert(tid, times);
                }
                Err(error) => log::warn!("{error:#}"),
            }
        }
        self.times.clone()
    }
}

fn read(accounts: &HashMap<MapData, u32, Account>, tid: u32, opened_ns: u64) -> Result<VcpuTimes> {
    let get = || accounts.get(&tid, 0).context("failed to read a vCPU's account");
    let mut account = get()?;
    for _ in 1..TRIES {
        if !is_torn(&account, opened_ns) {
            break;
        }
        account = get()?;
    }
    Ok(settle(&account, opened_ns, now_ns()?))
}

fn now_ns() -> Result<u64> {
    let now = ClockId::CLOCK_MONOTONIC.now().context("failed to read CLOCK_MONOTONIC")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}
