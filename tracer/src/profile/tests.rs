use super::*;

fn error(result: Result<impl std::fmt::Debug>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[test]
fn a_place_is_a_function_and_one_of_its_arguments() {
    for (typed, function, argument, indirect) in [
        ("kprobe:VNetHubReceive(skb=arg1)", "VNetHubReceive", 1, false),
        ("kprobe:br_handle_frame(skb=*arg0)", "br_handle_frame", 0, true),
        ("kprobe:tun_build_skb.constprop.0(skb=arg5)", "tun_build_skb.constprop.0", 5, false),
    ] {
        let place: Place = typed.parse().unwrap();
        assert_eq!((place.function.as_str(), place.argument, place.indirect), (function, argument, indirect));
        assert_eq!(place.to_string(), typed);
    }
}

#[test]
fn what_is_no_place_is_answered_with_the_form() {
    let form = "is not kprobe:FUNCTION(skb=argN), where arg0 is the function's first argument";
    for (typed, says) in [
        ("", form),
        ("VNetHubReceive(skb=arg1)", form),
        ("fentry:ip_rcv(skb=arg0)", form),
        ("kprobe:ip_rcv", form),
        ("kprobe:ip_rcv(arg0)", form),
        ("kprobe:ip_rcv(skb=0)", form),
        ("kprobe:ip_rcv(skb=arg)", form),
        ("kprobe:ip_rcv(skb=arg-1)", form),
        ("kprobe:ip_rcv(skb=**arg0)", form),
        ("kprobe:(skb=arg0)", "`` is no name of a kernel function"),
        ("kprobe:ip rcv(skb=arg0)", "`ip rcv` is no name of a kernel function"),
        ("kprobe:ip_rcv(skb=arg6)", "arg0 to arg5"),
    ] {
        let said = error(typed.parse::<Place>());
        assert!(said.contains(says), "{typed}: {said}");
    }
}

#[test]
fn a_hop_needs_a_name_of_its_own() {
    let typed = |text: &str| gather(&[text.to_owned()], &[]);
    assert_eq!(typed("vmnet.in=kprobe:VNetHubReceive(skb=arg1)").unwrap()[0].name, "vmnet.in");
    for (text, says) in [
        ("vmnet.in", "--hop `vmnet.in` is not NAME=kprobe:FUNCTION(skb=argN)"),
        ("=kprobe:f(skb=arg0)", "`` is no name for a hop"),
        ("a b=kprobe:f(skb=arg0)", "`a b` is no name for a hop"),
        ("1a=kprobe:f(skb=arg0)", "beginning with a letter"),
        ("tap.rx=kprobe:f(skb=arg0)", "tap.rx is one of vmhop's own hops"),
        ("user0=kprobe:f(skb=arg0)", "user0 is one of vmhop's own hops"),
        ("skb.free=kprobe:f(skb=arg0)", "one of vmhop's own hops"),
    ] {
        let said = error(typed(text));
        assert!(said.contains(says), "{text}: {said}");
    }
    let twice = ["a=kprobe:f(skb=arg0)".to_owned(), "a=kprobe:g(skb=arg0)".to_owned()];
    assert!(error(gather(&twice, &[])).starts_with("hop a is defined twice, by --hop and by --hop"));
    let both = ["ovs.lookup=kprobe:f(skb=arg0)".to_owned()];
    assert!(error(gather(&both, &["ovs".to_owned()])).contains("by --hop and by profile ovs"));
}

#[test]
fn the_shipped_profiles_are_sound_and_fit_together() {
    let names: Vec<String> = SHIPPED.iter().map(|shipped| shipped.name.to_owned()).collect();
    for name in &names {
        let profile = load(name).unwrap();
        assert_eq!(&profile.name, name);
        assert!(!profile.description.is_empty() && !profile.hops.is_empty());
        assert!(profile.hops.iter().all(|hop| !hop.describe.is_empty()));
    }
    let all = gather(&[], &[names.clone(), names].concat()).unwrap();
    let vmnet = all.iter().filter(|hop| hop.origin == "profile vmnet");
    assert!(vmnet.clone().count() > 0 && vmnet.clone().all(|hop| hop.optional));
}

#[test]
fn a_file_can_give_several_functions_for_a_hop() {
    let text = "name = \"mine\"\n[[hop]]\nname = \"mine.in\"\n\
                hook = [\"kprobe:new(skb=arg0)\", \"kprobe:old(skb=*arg1)\"]\ndescribe = \"in\"\noptional = true\n";
    let profile = Profile::parse(text, "mine.toml", "profile mine.toml").unwrap();
    let hop = &profile.hops[0];
    assert!(hop.optional && hop.origin == "profile mine.toml");
    let places: Vec<String> = hop.places.iter().map(Place::to_string).collect();
    assert_eq!(places, ["kprobe:new(skb=arg0)", "kprobe:old(skb=*arg1)"]);
}

#[test]
fn an_error_in_a_file_names_line_and_key_and_what_was_expected() {
    let hop = "[[hop]]\nname = \"a\"\nhook = \"kprobe:f(skb=arg0)\"\n";
    let table = [
        ("name = \"x\"\n".to_owned(), "x.toml: it has no [[hop]]: give at least one, with name and hook"),
        (hop.to_string(), "missing field `name`"),
        ("name = \"x\"\n[[hop]]\nname = \"a\"\n".to_owned(), "x.toml, line 2: missing field `hook`"),
        (
            "name = \"x\"\nhops = []\n".to_owned(),
            "x.toml, line 2: unknown field `hops`, expected one of `name`",
        ),
        (
            format!("name = 3\n{hop}"),
            "x.toml, line 1: key name: invalid type: integer `3`, expected a string",
        ),
        (
            "name = \"x\"\n[[hop]]\nname = \"a\"\nhook = 3\n".to_owned(),
            "x.toml, line 4: key hook: expected \"kprobe:FUNCTION(skb=argN)\", or a list of such",
        ),
        (
            "name = \"x\"\n[[hop]]\nname = \"a\"\nhook = \"kprobe:f\"\n".to_owned(),
            "x.toml, line 4: key hook: `kprobe:f` is not kprobe:FUNCTION(skb=argN)",
        ),
        (
            "name = \"x\"\n[[hop]]\nname = \"a\"\nhook = []\n".to_owned(),
            "line 4: key hook: the list is empty",
        ),
        (
            "name = \"x\"\n[[hop]]\nname = \"tap.rx\"\nhook = \"kprobe:f(skb=arg0)\"\n".to_owned(),
            "x.toml, line 3: key name: tap.rx is one of vmhop's own hops",
        ),
        (
            format!("name = \"x\"\n{hop}optional = \"yes\"\n"),
            "x.toml, line 5: key optional: invalid type: string \"yes\", expected a boolean",
        ),
        (format!("name = \"x\"\n{hop}{hop}"), "x.toml, line 6: key name: hop a is defined twice"),
        ("name = \"x\n".to_owned(), "x.toml, line 1:"),
    ];
    for (text, says) in table {
        let said = error(Profile::parse(&text, "x.toml", "profile x.toml"));
        assert!(said.contains(says) && !said.contains('\n'), "{text}\n{said}");
    }
}

#[test]
fn a_profile_that_is_nowhere_is_answered_with_those_there_are() {
    let said = error(gather(&[], &["vmnett".to_owned()]));
    assert!(
        said.contains("`vmnett` is neither one of vmhop's own (macvtap, ovs, vmnet) nor a file"),
        "{said}"
    );
}
