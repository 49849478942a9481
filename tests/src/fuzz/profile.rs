//! The user's own hops: profiles in TOML, and `--hop NAME=kprobe:FUNCTION(skb=argN)`.

use tracer::profile::{Place, Profile, SHIPPED, gather};

use super::{text, texts, told, told_in_one_line};

pub(super) fn run(bytes: &[u8]) {
    let text = text(bytes);
    match Profile::parse(&text, "x.toml", "profile x.toml") {
        Ok(profile) => {
            assert!(!profile.hops.is_empty());
            let hops = &profile.hops;
            hops.iter().for_each(|hop| assert!(!hop.places.is_empty() && is_name(&hop.name), "{hop:?}"));
            hops.iter().flat_map(|hop| &hop.places).for_each(said_again);
        }
        Err(error) => told_in_one_line(error),
    }
    match gather(&[text.clone().into_owned()], &[]) {
        Ok(hops) => {
            hops.iter().for_each(|hop| assert!(hop.places.len() == 1 && is_name(&hop.name), "{hop:?}"))
        }
        Err(error) => told(error),
    }
    if let Ok(place) = text.parse() {
        said_again(&place);
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.is_empty()
}

/// What a place is shown as stands for the same place.
fn said_again(place: &Place) {
    assert_eq!(&place.to_string().parse::<Place>().unwrap(), place);
}

pub(super) const WORDS: &[&str] = &[
    "name = ",
    "description = ",
    "[[hop]]\n",
    "hook = ",
    "describe = ",
    "optional = ",
    "true",
    "\"",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "=",
    "#",
    "kprobe:",
    "(skb=arg0)",
    "(skb=*arg5)",
    "arg4294967296",
    "\\u0000",
    "\\x1b",
    "1979-05-27",
    "1e400",
    "inf",
    "tap.rx",
    "user0",
    "\u{202e}",
    "\u{1b}[31m",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = SHIPPED.iter().map(|shipped| shipped.text.as_bytes().to_vec()).collect();
    seeds.extend(texts(&[
        "vmnet.in=kprobe:VNetHubReceive(skb=arg1)",
        "kprobe:tun_build_skb.constprop.0(skb=*arg5)",
        "name = \"x\"\n[[hop]]\nname = \"a\"\nhook = [\"kprobe:f(skb=arg0)\", \"kprobe:g(skb=*arg1)\"]\noptional = true\n",
        "name = 'x'\ndescription = \"\"\"\nlong\"\"\"\nhop = [{ name = 'a', hook = 'kprobe:f(skb=arg0)' }]\n",
        "name = \"x\"\nhop.name = 3\n",
        "",
    ]));
    seeds
}
