//! The format of the tracepoint `kvm:kvm_exit` as tracefs tells it: where its record has the reason, and the kernel's
//! own names of the reasons.

use std::{collections::BTreeMap, fs, path::Path};

use tracer_common::account::{ExitRecord, ISA_SVM, ISA_VMX};

/// Where tracefs is; in the second place by kernels and systems that mount it with debugfs.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Names of exit reasons by instruction set and number.
pub type ReasonNames = BTreeMap<u32, BTreeMap<u32, String>>;

/// What a format says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitFormat {
    /// Where the record has what is read of it; all 0 where it cannot be read.
    pub record: ExitRecord,
    /// The kernel's names of the reasons.
    pub names: ReasonNames,
}

/// This kernel's format.
///
/// # Errors
/// Why the reasons of exits cannot be told, and what would help: one sentence without a full stop.
pub fn read() -> Result<ExitFormat, String> {
    let there = |root: &&&str| fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
    let Some(root) = TRACEFS.iter().find(there) else {
        return Err("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing".to_owned());
    };
    let path = Path::new(root).join("events/kvm/kvm_exit/format");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).ok_or_else(|| format!("{} tells of no exit_reason", path.display()))
}

/// The format in a file of tracefs; `None` where its records have no reason.
pub fn parse(text: &str) -> Option<ExitFormat> {
    let reason = field(text, "exit_reason")?;
    let isa = field(text, "isa")?;
    let print = text.lines().find_map(|line| line.strip_prefix("print fmt:")).unwrap_or_default();
    Some(ExitFormat { record: ExitRecord { reason, isa }, names: names(print) })
}

/// Offset of a field of four bytes or more: `field:unsigned int exit_reason; offset:8; size:4; signed:0;`, in which the
/// blanks behind semicolons are tabs.
fn field(text: &str, wanted: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut parts = line.trim().split(';').map(str::trim);
        let declaration = parts.next()?.strip_prefix("field:")?;
        if declaration.rsplit(' ').next() != Some(wanted) {
            return None;
        }
        let offset: u32 = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
        let size: u32 = parts.next()?.strip_prefix("size:")?.parse().ok()?;
        // The low half of a wider one has the reason as well, on a little-endian machine.
        let readable = size == 4 || size == 8 && cfg!(target_endian = "little");
        (readable && offset > 0).then_some(offset)
    })
}

/// The tables of the print format: `(REC->isa == 1) ? __print_symbolic(REC->exit_reason & 0xffff, { 0, "EXCEPTION_NMI" },
/// …) : __print_symbolic(REC->exit_reason, { 0x000, "read_cr0" }, …)`, since v2.6.38.
fn names(print: &str) -> ReasonNames {
    let mut found = ReasonNames::new();
    let mut isa = 0;
    let mut rest = print;
    while let Some((before, table)) = rest.split_once("__print_symbolic(") {
        isa = match condition(before) {
            Some(isa) => isa,
            // The other branch of the condition before.
            None if isa == ISA_VMX => ISA_SVM,
            None => ISA_VMX,
        };
        let (value, pairs) = table.split_once(',').unwrap_or((table, ""));
        let (pairs, behind) = pairs_of(pairs);
        if value.contains("exit_reason") {
            found.entry(isa).or_default().extend(pairs);
        }
        rest = behind;
    }
    found
}

/// The instruction set that the last condition in `text` asks for.
fn condition(text: &str) -> Option<u32> {
    let (_, after) = text.rsplit_once("isa ==")?;
    after.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The pairs ` { 0x040 + 0, "DE excp" }, { 0x060, "interrupt" }) …` up to the parenthesis, and what is behind it.
fn pairs_of(text: &str) -> (Vec<(u32, String)>, &str) {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        let pair = rest.strip_prefix('{').and_then(|pair| pair.split_once(','));
        let Some((value, name)) = pair else { return (pairs, rest) };
        // A name may hold any sign but its own quotes.
        let Some((name, behind)) = name.trim_start().strip_prefix('"').and_then(|name| name.split_once('"'))
        else {
            return (pairs, rest);
        };
        pairs.extend(sum(value).map(|value| (value, name.to_owned())));
        rest = behind.trim_start().strip_prefix('}').unwrap_or(behind);
    }
}

/// A sum of constants as the preprocessor leaves them: `0x040 + 13`, `-1`.
fn sum(text: &str) -> Option<u32> {
    let numbers = text.split('+').map(|term| {
        let term = term.trim_matches(|c: char| c.is_whitespace() || "()uUlL".contains(c));
        let (negative, term) = term.strip_prefix('-').map_or((false, term), |term| (true, term));
        let value = match term.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => term.parse().ok()?,
        };
        Some(if negative { -value } else { value })
    });
    numbers.sum::<Option<i64>>().map(|sum| sum as u32)
}

#[cfg(test)]
mod tests;
