//! The workloads of an experiment's file.

use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde::Deserialize;
use toml::Spanned;

use super::{Reader, file_name};
use crate::experiment::spec::{Path, Workload, WorkloadKind};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenWorkload {
    pub(super) name: Spanned<String>,
    kind: Spanned<String>,
    paths: Option<Vec<Spanned<String>>>,
    timeout: Option<Spanned<String>>,
    count: Option<Spanned<u32>>,
    size: Option<Spanned<u16>>,
    interval: Option<Spanned<String>>,
    bytes: Option<Spanned<u64>>,
    url: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    protocol: Option<Spanned<String>>,
    duration: Option<Spanned<String>>,
    bitrate: Option<Spanned<String>>,
    command: Option<Spanned<String>>,
    server: Option<Spanned<String>>,
}

impl Reader<'_> {
    pub(super) fn workload(
        &self,
        written: &WrittenWorkload,
        paths: &[Path],
        in_lab: bool,
    ) -> Result<Workload> {
        let name = self.check("name", &written.name, file_name)?;
        let kind = self.check("kind", &written.kind, |kind| match kind.as_str() {
            "ping" => self.ping(written),
            "http" => self.http(written, in_lab),
            "iperf3" => self.iperf3(written),
            "command" => self.command(written),
            other => bail!("expected ping, http, iperf3 or command, not `{other}`"),
        })?;
        self.only_its_own_keys(written, &kind)?;
        let only = written.paths.as_deref().unwrap_or_default().iter();
        let only = only.map(|path| self.check("paths", path, |path| one_of(&path, paths)));
        let mut workload =
            Workload { name, kind, paths: only.collect::<Result<_>>()?, timeout: Duration::ZERO };
        let default = workload.expected() * 5 + Duration::from_secs(60);
        workload.timeout = self.duration("timeout", written.timeout.as_ref(), default)?;
        Ok(workload)
    }

    fn ping(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let count = written.count.as_ref().map_or(Ok(4), |count| {
            self.check("count", count, |count| {
                ensure!(count > 0, "expected at least 1");
                Ok(count)
            })
        })?;
        let size = written.size.as_ref().map_or(Ok(56), |size| {
            self.check("size", size, |size| {
                ensure!(
                    size <= 65_507,
                    "expected at most 65507 bytes, what an IPv4 datagram holds, not {size}"
                );
                Ok(size)
            })
        })?;
        let interval = self.duration("interval", written.interval.as_ref(), Duration::from_secs(1))?;
        Ok(WorkloadKind::Ping { count, size, interval })
    }

    fn http(&self, written: &WrittenWorkload, in_lab: bool) -> Result<WorkloadKind> {
        let bytes = written.bytes.as_ref().map_or(Ok(40_000_000), |bytes| {
            self.check("bytes", bytes, |bytes| {
                ensure!((1..=1 << 40).contains(&bytes), "expected 1 byte to 1 TiB, not {bytes}");
                Ok(bytes)
            })
        })?;
        ensure!(
            in_lab || written.url.is_some(),
            "outside of a lab it needs key url, such as \"http://{{from}}/40MB\": the file to fetch"
        );
        let url = written.url.as_ref().map(|url| {
            self.check("url", url, |url| {
                ensure!(url.starts_with("http://"), "expected http://{{from}}/PATH, not `{url}`");
                Ok(url)
            })
        });
        let port = written.port.as_ref().map_or(80, |port| *port.get_ref());
        Ok(WorkloadKind::Http { bytes, url: url.transpose()?, port })
    }

    fn iperf3(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let udp = written.protocol.as_ref().map_or(Ok(false), |protocol| {
            self.check("protocol", protocol, |protocol| match protocol.as_str() {
                "tcp" => Ok(false),
                "udp" => Ok(true),
                other => bail!("expected tcp or udp, not `{other}`"),
            })
        })?;
        let duration = self.duration("duration", written.duration.as_ref(), Duration::from_secs(10))?;
        let bitrate = written.bitrate.as_ref().map(|bitrate| {
            self.check("bitrate", bitrate, |bitrate| {
                let digits = bitrate.trim_end_matches(['K', 'M', 'G']);
                let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                ensure!(sound && bitrate.len() - digits.len() <= 1, "expected bits a second, such as 100M");
                Ok(bitrate)
            })
        });
        Ok(WorkloadKind::Iperf3 { udp, duration, bitrate: bitrate.transpose()? })
    }

    fn command(&self, written: &WrittenWorkload) -> Result<WorkloadKind> {
        let Some(command) = &written.command else {
            bail!("it needs key command: what a shell on the path's first station runs")
        };
        let command = command.get_ref().clone();
        ensure!(!command.trim().is_empty(), "its command is empty");
        Ok(WorkloadKind::Command { command, server: written.server.as_ref().map(|it| it.get_ref().clone()) })
    }

    /// Keys that mean nothing to this kind are mistakes.
    fn only_its_own_keys(&self, written: &WrittenWorkload, kind: &WorkloadKind) -> Result<()> {
        let own: &[&str] = match kind {
            WorkloadKind::Ping { .. } => &["count", "size", "interval"],
            WorkloadKind::Http { .. } => &["bytes", "url", "port"],
            WorkloadKind::Iperf3 { .. } => &["protocol", "duration", "bitrate"],
            WorkloadKind::Command { .. } => &["command", "server"],
        };
        let span = |key: &Option<Spanned<String>>| key.as_ref().map(Spanned::span);
        let keys = [
            ("count", written.count.as_ref().map(Spanned::span)),
            ("size", written.size.as_ref().map(Spanned::span)),
            ("interval", span(&written.interval)),
            ("bytes", written.bytes.as_ref().map(Spanned::span)),
            ("url", span(&written.url)),
            ("port", written.port.as_ref().map(Spanned::span)),
            ("protocol", span(&written.protocol)),
            ("duration", span(&written.duration)),
            ("bitrate", span(&written.bitrate)),
            ("command", span(&written.command)),
            ("server", span(&written.server)),
        ];
        for (key, span) in keys {
            if let Some(span) = span.filter(|_| !own.contains(&key)) {
                let kind = written.kind.get_ref();
                let expected =
                    anyhow!("a workload of kind {kind} has no such key: it has {}", own.join(", "));
                return Err(self.file.wrong(&span, key, &expected));
            }
        }
        Ok(())
    }
}

/// The path of a workload, which must be one of the experiment's.
fn one_of(text: &str, paths: &[Path]) -> Result<(String, String)> {
    let Some((from, to)) = text.split_once("->") else { bail!("expected \"FROM -> TO\", not `{text}`") };
    let (from, to) = (from.trim().to_owned(), to.trim().to_owned());
    ensure!(
        paths.iter().any(|path| (&path.from, &path.to) == (&from, &to)),
        "there is no [[path]] from {from} to {to}"
    );
    Ok((from, to))
}
