//! From the hops that a user defined to those that can be attached: each is held against what this kernel has before
//! anything is attached, since a probe on the wrong function is silent, and one on the wrong argument sees nonsense.

use anyhow::{Result, bail, ensure};
use tracer_common::hop::USER_HOPS;

use crate::{
    plan::{Facts, Function},
    profile::{Definition, Place},
};

/// Types that a frame is passed as.
const SKB: &str = "sk_buff *";
const SKB_BEHIND: &str = "sk_buff **";

/// A hop of the user's own: a function of this kernel with an skb among its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserHop {
    /// Its name in the report, such as `vmnet.in`.
    pub name: String,
    /// Kernel function to probe.
    pub function: String,
    /// Which argument the skb is, from 0.
    pub argument: u32,
    /// Whether that argument points to the pointer.
    pub indirect: bool,
    /// What its time stamp means.
    pub describe: String,
}

/// An optional hop that this kernel does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// What its time stamp would mean.
    pub describe: String,
    /// Why it is passed over.
    pub why: String,
}

/// What came of a user's definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Hops to attach.
    pub hops: Vec<UserHop>,
    /// Optional hops that are passed over.
    pub missing: Vec<Missing>,
    /// What could not be checked, a sentence each.
    pub notes: Vec<String>,
}

/// Holds the definitions against this kernel.
///
/// # Errors
/// A hop that cannot be, a profile without a single hop that can, more hops than there is room for.
pub fn resolve(definitions: &[Definition], facts: &Facts) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for definition in definitions {
        match judge(definition, facts) {
            Ok((hop, note)) => {
                resolved.hops.push(hop);
                resolved.notes.extend(note);
            }
            Err(why) if definition.optional => resolved.missing.push(Missing {
                name: definition.name.clone(),
                describe: definition.describe.clone(),
                why,
            }),
            Err(why) => bail!("hop {} ({}): {why}", definition.name, definition.origin),
        }
    }
    for definition in definitions {
        let left = |other: &Definition| {
            other.origin == definition.origin && resolved.hops.iter().any(|hop| hop.name == other.name)
        };
        if !definitions.iter().any(left) {
            let why = resolved.missing.iter().find(|missing| missing.name == definition.name);
            let why = why.map_or("", |missing| &missing.why);
            bail!("{}: this host has none of its hops: {}: {why}", definition.origin, definition.name);
        }
    }
    let count = resolved.hops.len();
    ensure!(
        count <= USER_HOPS,
        "{count} hops by --hop and --profile: there is room for {USER_HOPS}, so leave out some, or copy a profile (`vmhop profiles NAME`) and keep of it what is needed"
    );
    Ok(resolved)
}

/// The first of a definition's functions that this kernel has and that takes an skb where it was said; with it a note
/// if the latter could not be checked.
///
/// # Errors
/// Why none does, with the remedy.
pub fn judge(definition: &Definition, facts: &Facts) -> Result<(UserHop, Option<String>), String> {
    if let Some(why) = &facts.no_reading {
        return Err(why.clone());
    }
    if let Some(why) = &facts.no_kprobes {
        return Err(format!(
            "{why}: boot one with CONFIG_KPROBES and CONFIG_KPROBE_EVENTS, as those of all current distributions"
        ));
    }
    let mut reasons = Vec::new();
    for place in &definition.places {
        match fits(place, facts) {
            Ok((indirect, note)) => {
                let hop = UserHop {
                    name: definition.name.clone(),
                    function: place.function.clone(),
                    argument: place.argument,
                    indirect,
                    describe: definition.describe.clone(),
                };
                return Ok((hop, note.map(|note| format!("hop {}: {note}", definition.name))));
            }
            Err(why) => reasons.push(format!("{place}: {why}")),
        }
    }
    Err(reasons.join("; "))
}

/// Whether the function exists and takes an skb there: whether behind a further pointer, and what was not checked.
fn fits(place: &Place, facts: &Facts) -> Result<(bool, Option<String>), String> {
    let Some(Function { module, parameters }) = facts.functions.get(&place.function) else {
        return Err(facts.no_function(&place.function));
    };
    let Some(parameters) = parameters else {
        let of = module.as_ref().map_or("the kernel".to_owned(), |module| format!("module {module}"));
        let note = format!(
            "{of} has no type information of {}, so that arg{} is an skb was taken as said and not checked",
            place.function, place.argument
        );
        return Ok((place.indirect, Some(note)));
    };
    match parameters.get(place.argument as usize).map(String::as_str) {
        Some(SKB_BEHIND) => Ok((true, None)),
        Some(SKB) if !place.indirect => Ok((false, None)),
        Some(SKB) => {
            Err(format!("arg{0} is the skb itself and not a pointer to it: say skb=arg{0}", place.argument))
        }
        _ => Err(wrong_argument(place, parameters)),
    }
}

/// Shows the real prototype, and where in it the skb is.
fn wrong_argument(place: &Place, parameters: &[String]) -> String {
    let numbered = (0..).zip(parameters);
    let skbs: Vec<String> = numbered
        .filter(|(_, found)| matches!(found.as_str(), SKB | SKB_BEHIND))
        .map(|(number, _): (u32, _)| format!("skb=arg{number}"))
        .collect();
    let remedy = match skbs.as_slice() {
        [] => "none of its arguments is an skb: name another function".to_owned(),
        skbs => format!("say {}", skbs.join(" or ")),
    };
    let prototype = format!("{}({})", place.function, parameters.join(", "));
    format!("arg{} is no skb, its prototype is {prototype}: {remedy}", place.argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn facts() -> Facts {
        let function = |module: Option<&str>, parameters: Option<&[&str]>| Function {
            module: module.map(str::to_owned),
            parameters: parameters.map(|types| types.iter().map(|&name| name.to_owned()).collect()),
        };
        let functions = [
            ("direct", function(None, Some(&["net *", "sk_buff *"]))),
            ("behind", function(Some("bridge"), Some(&["sk_buff **"]))),
            ("none", function(None, Some(&["net *"]))),
            ("untyped", function(Some("vmnet"), None)),
        ];
        Facts {
            functions: functions.into_iter().map(|(name, found)| (name.to_owned(), found)).collect(),
            similar: [("dircet".to_owned(), vec!["direct".to_owned()])].into(),
            ..Facts::default()
        }
    }

    fn one(place: &str) -> Result<Resolved> {
        let hops = profile::gather(&[format!("x={place}")], &[]).unwrap();
        resolve(&hops, &facts())
    }

    #[test]
    fn an_argument_that_is_an_skb_is_taken_and_pointers_are_followed() {
        for (place, argument, indirect) in [
            ("kprobe:direct(skb=arg1)", 1, false),
            ("kprobe:behind(skb=arg0)", 0, true),
            ("kprobe:behind(skb=*arg0)", 0, true),
            ("kprobe:untyped(skb=arg0)", 0, false),
            ("kprobe:untyped(skb=*arg3)", 3, true),
        ] {
            let resolved = one(place).unwrap();
            let hop = &resolved.hops[0];
            assert_eq!((hop.argument, hop.indirect), (argument, indirect), "{place}");
            assert_eq!(resolved.notes.len(), usize::from(place.contains("untyped")), "{place}");
        }
        let note = &one("kprobe:untyped(skb=arg0)").unwrap().notes[0];
        assert!(note.starts_with("hop x: module vmnet has no type information of untyped"), "{note}");
    }

    #[test]
    fn a_wrong_function_or_argument_is_answered_with_the_right_one() {
        for (place, says) in [
            (
                "kprobe:direct(skb=arg0)",
                "arg0 is no skb, its prototype is direct(net *, sk_buff *): say skb=arg1",
            ),
            ("kprobe:direct(skb=arg5)", "arg5 is no skb"),
            ("kprobe:direct(skb=*arg1)", "arg1 is the skb itself and not a pointer to it: say skb=arg1"),
            ("kprobe:none(skb=arg0)", "none of its arguments is an skb"),
            ("kprobe:dircet(skb=arg0)", "no such function; similar: direct"),
            ("kprobe:VNetHubReceive(skb=arg1)", "module vmnet is not loaded"),
        ] {
            let said = one(place).unwrap_err().to_string();
            assert!(said.starts_with("hop x (--hop): ") && said.contains(says), "{said}");
        }
        let hops = profile::gather(&["x=kprobe:direct(skb=arg1)".to_owned()], &[]).unwrap();
        let without = Facts { no_kprobes: Some("this kernel has no kprobes".to_owned()), ..facts() };
        let said = resolve(&hops, &without).unwrap_err().to_string();
        assert!(said.contains("no kprobes: boot one with CONFIG_KPROBES"), "{said}");
    }

    fn definition(name: &str, functions: &[&str], optional: bool) -> Definition {
        let place = |function: &&str| format!("kprobe:{function}(skb=arg1)").parse().unwrap();
        Definition {
            name: name.to_owned(),
            places: functions.iter().map(place).collect(),
            describe: String::new(),
            optional,
            origin: "profile p".to_owned(),
        }
    }

    #[test]
    fn of_several_functions_the_first_that_fits_is_taken_and_what_is_optional_may_be_missing() {
        let hops = [definition("a", &["gone", "none", "direct"], false), definition("b", &["gone"], true)];
        let resolved = resolve(&hops, &facts()).unwrap();
        assert_eq!((resolved.hops.len(), resolved.hops[0].function.as_str()), (1, "direct"));
        assert_eq!((resolved.missing.len(), resolved.missing[0].name.as_str()), (1, "b"));
        let said = resolve(&hops[1..], &facts()).unwrap_err().to_string();
        assert!(said.starts_with("profile p: this host has none of its hops: b: kprobe:gone"), "{said}");
    }

    #[test]
    fn there_is_room_for_eight_hops() {
        let hops: Vec<_> = (0..9).map(|n| definition(&format!("h{n}"), &["direct"], false)).collect();
        assert_eq!(resolve(&hops[..8], &facts()).unwrap().hops.len(), 8);
        let said = resolve(&hops, &facts()).unwrap_err().to_string();
        assert!(said.starts_with("9 hops by --hop and --profile: there is room for 8"), "{said}");
    }
}
