//! Pages of made-up reports.

use super::*;
use crate::export::sample;

fn page(report: &Report) -> String {
    whole(report, &Details::default()).into_string()
}

/// Start tags must have their ends, in order: what a browser would mend silently fails here.
fn assert_well_formed(page: &str) {
    const VOID: [&str; 2] = ["meta", "link"];
    let mut open: Vec<&str> = Vec::new();
    let body = page.split_once("</style>").unwrap().1;
    for tag in body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        for attribute in [" class=", " id=", " x=", " width="] {
            assert!(tag.matches(attribute).count() <= 1, "twice in {tag}");
        }
        match tag.strip_prefix('/') {
            Some("head" | "html") => {}
            Some(end) => assert_eq!(open.pop(), Some(end)),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn reports_of_everything_and_of_nothing_are_well_formed() {
    let mut bill = sample::full();
    bill.bill = vec![sample::bill()];
    for report in [sample::empty(), sample::full(), bill] {
        assert_well_formed(&page(&report));
    }
}

#[test]
fn a_report_of_nothing_says_so() {
    let page = page(&sample::empty());
    assert!(page.contains("No frame was seen."));
    assert!(page.contains("no KVM here"));
}

#[test]
fn every_anchor_of_the_navigation_is_there_once() {
    let mut report = sample::full();
    let group = report.exchanges.groups[0].clone();
    for (kind, initiator) in [("tcp", "guest"), ("udp", "guest to guest"), ("udp", "host")] {
        let (kind, initiator) = (kind.to_owned(), initiator.to_owned());
        report.exchanges.groups.push(crate::report::Group { kind, initiator, ..group.clone() });
    }
    let page = page(&report);
    for (anchor, _) in contents(&report) {
        assert_eq!(page.matches(&format!("id=\"{anchor}\"")).count(), 1, "{anchor}");
    }
    for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
    }
}

#[test]
fn names_of_the_host_are_words_and_nothing_else() {
    let hostile = "</title></style><script>alert(1)</script>\"' onload=x \u{1b}[2J\u{202e}\u{0}&amp;";
    let mut report = sample::full();
    report.bill = vec![sample::bill()];
    report.recording.vms = vec![hostile.to_owned()];
    report.recording.command = vec![hostile.to_owned()];
    report.recording.filter = hostile.to_owned();
    report.recording.ended = Some(hostile.to_owned());
    report.host.name = hostile.to_owned();
    report.host.kernel = hostile.to_owned();
    report.nics[0].device = hostile.to_owned();
    report.nics[0].netns = hostile.to_owned();
    report.flows[0].flow = hostile.to_owned();
    report.losses.drops[0].reason = hostile.to_owned();
    report.bill[0].vm = hostile.to_owned();
    report.bill[0].threads[0].what = hostile.to_owned();
    report.warnings[0].text = hostile.to_owned();
    report.hops[0].unserved = Some(hostile.to_owned());
    report.hops[1].hook = hostile.to_owned();
    for row in report.segments.iter_mut().chain(&mut report.exchanges.groups[0].segments) {
        row.from = hostile.to_owned();
    }
    let page = page(&report);
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains("\u{202e}") && !page.contains('\u{1b}'));
    assert!(!page.contains('\u{0}') && page.matches("</style>").count() == 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;' onload=x \\u{1b}[2J\\u{202e}"));
}

#[test]
fn nothing_is_fetched_and_nothing_runs() {
    let page = page(&sample::full());
    for word in ["http:", "https:", "src=", "@import", "<script", "<iframe", "<object", "onclick"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn pictures_have_words_or_are_hidden_from_readers() {
    let page = page(&sample::full());
    for tag in page.split("<svg").skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let inner = !tag.contains("role=") && !tag.contains("aria-hidden");
        // Pieces of a picture are part of its description.
        assert!(!inner || tag.contains("x=\""), "{tag}");
    }
    for picture in page.split("role=\"img\"").skip(1) {
        assert!(picture.split_once('>').unwrap().1.starts_with("<title>"), "{picture}");
    }
}

#[test]
fn headings_are_in_order() {
    let mut levels = vec![1];
    let page = page(&sample::full());
    for (at, _) in page.match_indices("<h") {
        let level = page.as_bytes()[at + 2];
        if level.is_ascii_digit() {
            levels.push(level - b'0');
        }
    }
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 2);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
}
