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
    /// Their threads, with when each account was opened, ns of `CLOCK_MONOTONIC`.
    threads: BTreeMap<u32, u64>,
    /// When the first were opened.
    pub opened: Instant,
    /// As last read.
    times: BTreeMap<u32, VcpuTimes>,
}

impl ExitMeter {
    /// Opens an account for each of these threads: counting begins.
    pub(super) fn open(ebpf: &mut Ebpf, threads: &[u32]) -> Result<ExitMeter> {
        let map =
            ebpf.take_map("ACCOUNTS").ok_or_else(|| anyhow!("the vCPUs' accounts were taken before"))?;
        let accounts: HashMap<MapData, u32, Account> = HashMap::try_from(map)?;
        let mut meter =
            ExitMeter { accounts, threads: BTreeMap::new(), opened: Instant::now(), times: BTreeMap::new() };
        meter.add(threads)?;
        Ok(meter)
    }

    /// Opens accounts for further threads.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn add(&mut self, threads: &[u32]) -> Result<()> {
        let opened_ns = now_ns()?;
        let account = Account::opened(opened_ns);
        for &tid in threads.iter() {
            self.accounts.insert(tid, account, 0).context("failed to open a vCPU's account")?;
            self.threads.insert(tid, opened_ns);
        }
        Ok(())
    }

    /// Closes accounts of threads that are gone. Their times stay as they were read last.
    pub fn close(&mut self, threads: &[u32]) {
        for tid in threads.iter().filter(|tid| self.threads.remove(tid).is_some()) {
            // It is closed, whether or not the kernel keeps the memory.
            let _ = self.accounts.remove(tid);
        }
    }

    /// Forgets the times of accounts that are closed.
    pub fn forget(&mut self) {
        let threads = &self.threads;
        self.times.retain(|tid, _| threads.contains_key(tid));
    }

    /// Each vCPU's times so far, by thread; as read before, should reading fail.
    pub fn read(&mut self) -> BTreeMap<u32, VcpuTimes> {
        for (&tid, &opened_ns) in &self.threads {
            match read(&self.accounts, tid, opened_ns) {
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
