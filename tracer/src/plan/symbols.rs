//! Which functions and tracepoints the running kernel has, by /proc/kallsyms: modules included, and also where BTF
//! lists a function that the compiler has changed or inlined, which cannot be attached to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufRead, BufReader},
};

/// Function name → module, none for vmlinux.
pub type Symbols = BTreeMap<String, Option<String>>;

/// Prefix of the function that runs a tracepoint's probes (`DEFINE_TRACE`), v5.10 and later.
const TRACEPOINT: &str = "__traceiter_";

/// What was looked for and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Functions.
    pub functions: Symbols,
    /// Tracepoints.
    pub tracepoints: BTreeSet<String>,
}

/// Looks for these functions and tracepoints. A kernel that shows no symbols has none of them.
pub fn find(functions: &BTreeSet<&str>, tracepoints: &BTreeSet<&str>) -> Found {
    match File::open("/proc/kallsyms") {
        Ok(file) => search(BufReader::with_capacity(1 << 20, file), functions, tracepoints),
        Err(_) => Found::default(),
    }
}

pub(super) fn search(
    mut symbols: impl BufRead,
    functions: &BTreeSet<&str>,
    tracepoints: &BTreeSet<&str>,
) -> Found {
    let mut found = Found::default();
    let mut line = String::new();
    while symbols.read_line(&mut line).is_ok_and(|length| length > 0) {
        let mut words = line.split_whitespace();
        if let (Some(_), Some("t" | "T"), Some(name)) = (words.next(), words.next(), words.next()) {
            if functions.contains(name) {
                let module = words.next().map(|module| module.trim_matches(['[', ']']).to_owned());
                found.functions.insert(name.to_owned(), module);
            } else if let Some(tracepoint) = name.strip_prefix(TRACEPOINT)
                && tracepoints.contains(tracepoint)
            {
                found.tracepoints.insert(tracepoint.to_owned());
            }
        }
        line.clear();
    }
    found
}

/// The functions that these code addresses are in, as `function [module]`; those that are not known are left out. A
/// kernel that hides addresses (`kernel.kptr_restrict`) knows none.
pub fn names_of(addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    match File::open("/proc/kallsyms") {
        Ok(file) if !addresses.is_empty() => name(BufReader::with_capacity(1 << 20, file), addresses),
        _ => BTreeMap::new(),
    }
}

pub(super) fn name(symbols: impl BufRead, addresses: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    // By address: the start of the function that begins closest before it, and its name.
    let mut closest: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for line in symbols.lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        let (Some(start), Some("t" | "T" | "w" | "W"), Some(name)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(start @ 1..) = u64::from_str_radix(start, 16) else { continue };
        for &address in addresses.range(start..) {
            if closest.get(&address).is_none_or(|(known, _)| *known < start) {
                let module = words.clone().next().map(|module| format!(" {module}")).unwrap_or_default();
                closest.insert(address, (start, format!("{name}{module}")));
            }
        }
    }
    closest.into_iter().map(|(address, (_, name))| (address, name)).collect()
}

/// How many similar names are told.
const SIMILAR: usize = 3;
/// How much two names must have in common, of 1.
const ALIKE: f64 = 0.85;

/// For each of these names the functions that are called most like it: a slip of the pen, or a variant that the
/// compiler made, such as `tun_build_skb.constprop.0`.
pub fn similar(names: &BTreeSet<&str>) -> BTreeMap<String, Vec<String>> {
    match File::open("/proc/kallsyms") {
        Ok(file) if !names.is_empty() => resemble(BufReader::with_capacity(1 << 20, file), names),
        Ok(_) | Err(_) => BTreeMap::new(),
    }
}

pub(super) fn resemble(symbols: impl BufRead, names: &BTreeSet<&str>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<&str, Vec<(f64, String)>> = BTreeMap::new();
    for line in symbols.lines().map_while(Result::ok) {
        let mut words = line.split_whitespace().skip(1);
        let (Some("t" | "T"), Some(symbol)) = (words.next(), words.next()) else { continue };
        for &name in names {
            let variant = symbol.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            // Names that differ much in length are not alike, which is known without comparing them.
            let near = symbol.len().abs_diff(name.len()) <= 4;
            let likeness = match variant {
                true => 1.0,
                false if near => strsim::jaro_winkler(name, symbol),
                false => 0.0,
            };
            if likeness >= ALIKE {
                found.entry(name).or_default().push((likeness, symbol.to_owned()));
            }
        }
    }
    let best = |(name, mut symbols): (&str, Vec<(f64, String)>)| {
        symbols.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let names = symbols.into_iter().map(|(_, symbol)| symbol).take(SIMILAR).collect();
        (name.to_owned(), names)
    };
    found.into_iter().map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_function_that_begins_closest_before_it() {
        let text = "ffffffff81000000 T first\nffffffffc0001000 t tun_net_xmit\t[tun]\n\
                    ffffffff81000100 T second\nffffffff81000180 d data\n0000000000000000 T hidden\n";
        let addresses = [0xffff_ffff_8100_01f0, 0xffff_ffff_c000_10ff, 0xffff_ffff_0000_0000];
        let names = name(text.as_bytes(), &BTreeSet::from(addresses));
        let expected = [(addresses[0], "second"), (addresses[1], "tun_net_xmit [tun]")];
        assert_eq!(names, expected.map(|(address, name)| (address, name.to_owned())).into());
    }

    #[test]
    fn only_exact_names_of_functions_count() {
        let text = "0000000000000000 T ip_forward\n\
                    0000000000000000 t tun_build_skb.constprop.0\t[tun]\n\
                    0000000000000000 d tun_sendmsg\t[tun]\n\
                    0000000000000000 t br_handle_frame\t[bridge]\n\
                    0000000000000000 T __traceiter_kvm_exit\t[kvm]\n\
                    broken\n";
        let functions = BTreeSet::from(["ip_forward", "tun_build_skb", "tun_sendmsg", "br_handle_frame"]);
        let found = search(text.as_bytes(), &functions, &BTreeSet::from(["kvm_exit", "kvm_entry"]));
        let expected = [("br_handle_frame", Some("bridge")), ("ip_forward", None)];
        let expected = expected.map(|(name, module)| (name.to_owned(), module.map(str::to_owned)));
        assert_eq!(found.functions, Symbols::from(expected));
        assert_eq!(found.tracepoints, BTreeSet::from(["kvm_exit".to_owned()]));
    }

    #[test]
    fn a_slip_and_a_compilers_variant_are_told() {
        let text = "0 t br_handle_frame\t[bridge]\n0 t tun_build_skb.constprop.0\t[tun]\n0 T vfs_read\n\
                    0 d br_handle_framd\n0 t br_handle_frame_finish\t[bridge]\n";
        let similar = resemble(text.as_bytes(), &BTreeSet::from(["br_handle_farme", "tun_build_skb", "x"]));
        assert_eq!(similar["br_handle_farme"], ["br_handle_frame"]);
        assert_eq!(similar["tun_build_skb"], ["tun_build_skb.constprop.0"]);
        assert!(!similar.contains_key("x"));
    }
}
