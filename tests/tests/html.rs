//! The page of a report, opened in a browser: it complains of nothing, asks for nothing, fits narrow and wide windows,
//! and says what the JSON says.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tests::{browser::Browser, host::skip, vmhop::Place};

const GOLDENS: [&str; 3] = ["echo-peer", "echo-guest", "download"];

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.vmhop"));
    path.to_str().unwrap().to_owned()
}

/// The page of a recording, in a file.
fn page(place: &Place, name: &str) -> PathBuf {
    let path = place.path(&format!("{name}.html"));
    let outcome = place.run(&["report", &golden(name), "--format", "html", "-o", path.to_str().unwrap()]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    path
}

fn browser_or_skip() -> Option<Browser> {
    let browser = Browser::find();
    if browser.is_none() {
        skip("no Chromium: `cargo xtask setup` installs it");
    }
    browser
}

/// What is between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    between(tag, &format!(" {name}=\""), "\"")
}

/// Row → field → value.
type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// The figures of the first table of this kind in a part of the page.
fn figures(part: &str, kind: &str) -> Figures {
    let table = between(part, &format!("data-table=\"{kind}\""), "</table>").unwrap();
    let heads: Vec<_> = table.split("<th scope=\"col\"").skip(1).collect();
    let fields: Vec<_> =
        heads.iter().map(|head| attribute(head.split('>').next().unwrap(), "data-field")).collect();
    let row = |row: &str| {
        let cells = row.split("<td").skip(1).map(|cell| cell.split('>').next().unwrap());
        let value =
            |cell: &str| attribute(cell, "data-ns").or_else(|| attribute(cell, "data-value"))?.parse().ok();
        let values = fields[1..].iter().zip(cells);
        let values = values.filter_map(|(field, cell)| Some(((*field)?.to_owned(), value(cell)?)));
        (row.split('"').next().unwrap().to_owned(), values.collect())
    };
    table.split("<tr data-key=\"").skip(1).map(row).collect()
}

/// The same of the JSON: rows by the text of these keys.
fn expected(rows: &Value, keys: &[&str], fields: &[&str]) -> Figures {
    let row = |row: &Value| {
        let key: Vec<_> = keys.iter().map(|key| row[key].as_str().unwrap()).collect();
        let value = |field: &&str| Some(((*field).to_owned(), row[field].as_f64()?));
        (key.join("|"), fields.iter().filter_map(value).collect())
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

/// The same values, but for what reading a number from JSON rounds in its last bit.
fn assert_same(shown: &Figures, expected: &Figures) {
    assert_eq!(shown.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, fields) in expected {
        let shown = &shown[key];
        assert_eq!(shown.keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>(), "{key}");
        for (field, value) in fields {
            let apart = (shown[field] - value).abs();
            assert!(apart <= 2.0 * f64::EPSILON * value.abs(), "{key} {field}: {} for {value}", shown[field]);
        }
    }
}

/// The part of a page that is a section.
fn section<'a>(dom: &'a str, anchor: &str) -> &'a str {
    between(dom, &format!("<section id=\"{anchor}\""), "</section>").unwrap_or_else(|| panic!("no {anchor}"))
}

const LAYER: [&str; 6] = ["mean_ns", "share", "p50_ns", "p90_ns", "p99_ns", "max_ns"];
const SEGMENT: [&str; 6] = ["count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "max_ns"];
const HOP: [&str; 5] = ["seen", "matched", "ambiguous", "lost", "coverage"];

fn assert_same_figures(dom: &str, json: &Value) {
    let key = ["way", "from", "to"];
    let mut compared = 0;
    for group in json["exchanges"]["groups"].as_array().unwrap().iter().filter(|group| group["count"] != 0) {
        let anchor =
            format!("group {} {}", group["kind"].as_str().unwrap(), group["initiator"].as_str().unwrap());
        let part = section(dom, &anchor.replace(' ', "-"));
        let layers = expected(&group["layers"], &["layer"], &LAYER);
        assert_same(&figures(part, "layers"), &layers);
        assert_same(&figures(part, "segments"), &expected(&group["segments"], &key, &SEGMENT));
        let facts = between(part, "<dl class=\"facts\">", "</dl>").unwrap();
        for (words, field) in [("mean", "mean_ns"), ("p99", "p99_ns"), ("residual, mean", "residual_mean_ns")]
        {
            let shown: f64 =
                between(facts, &format!("<dt>{words}</dt><dd data-ns=\""), "\"").unwrap().parse().unwrap();
            let value = group[field].as_f64().unwrap();
            assert!((shown - value).abs() <= 2.0 * f64::EPSILON * value, "{words}: {shown} for {value}");
        }
        compared += layers.len();
    }
    assert!(compared > 0);
    assert_same(&figures(section(dom, "all"), "segments"), &expected(&json["segments"], &key, &SEGMENT));
    let hops: Vec<_> =
        json["hops"].as_array().unwrap().iter().filter(|hop| hop["unserved"].is_null()).cloned().collect();
    assert_same(&figures(section(dom, "hops"), "hops"), &expected(&Value::Array(hops), &["hop"], &HOP));
}

#[test]
fn a_page_says_what_the_json_says_and_the_browser_has_nothing_to_complain_of() {
    let Some(browser) = browser_or_skip() else { return };
    let place = Place::new();
    for name in GOLDENS {
        let seen = browser.open(&page(&place, name));
        assert_eq!(seen.console, [""; 0], "{name}");
        let json = place.run(&["report", &golden(name), "--format", "json"]).json();
        assert_same_figures(&seen.dom, &json);
    }
}

#[test]
fn what_a_page_must_not_do_is_seen() {
    let Some(browser) = browser_or_skip() else { return };
    let place = Place::new();
    let html = fs::read_to_string(page(&place, "echo-peer")).unwrap();
    let path = place.path("wrong.html");
    fs::write(&path, html.replace("</main>", "<script>1</script><img src=\"http://192.0.2.1/x\"></main>"))
        .unwrap();
    // The page's own policy stops both.
    assert_eq!(browser.open(&path).console.len(), 2);
    fs::write(&path, html.replace("</main>", "<div style=\"width:2000px\">wide</div></main>")).unwrap();
    assert!(browser.width_of(&path, 400) >= 2000);
}

#[test]
fn a_page_asks_for_nothing_from_anywhere() {
    let place = Place::new();
    for name in GOLDENS {
        let html = fs::read_to_string(page(&place, name)).unwrap();
        assert!(html.contains("content=\"default-src 'none'; style-src 'unsafe-inline'"));
        for word in [" src=", "srcset", "action=", "xlink", "@import", "<script", "<object", "<iframe"] {
            assert!(!html.contains(word), "{name}: {word}");
        }
        let targets = html.split("url(").skip(1).chain(html.split("href=\"").skip(1));
        let targets: Vec<_> = targets.collect();
        assert!(targets.len() > 8, "{name}");
        assert!(
            targets.iter().all(|target| target.starts_with('#') || target.starts_with("data:,")),
            "{name}"
        );
        assert!(html.len() < 2_000_000, "{name}: {} bytes", html.len());
    }
}

/// The width and height of a PNG picture, and that it is one.
fn size(picture: &Path) -> (u32, u32) {
    let bytes = fs::read(picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn a_page_fits_narrow_and_wide_windows() {
    let Some(browser) = browser_or_skip() else { return };
    let place = Place::new();
    for name in GOLDENS {
        let page = page(&place, name);
        for width in [1280, 400] {
            assert_eq!(browser.width_of(&page, width), width, "{name}");
        }
    }
}

#[test]
fn a_page_can_be_looked_at_light_and_dark() {
    let Some(browser) = browser_or_skip() else { return };
    let place = Place::new();
    let page = page(&place, "echo-peer");
    for (width, dark) in [(1280, false), (1280, true), (400, false), (400, true)] {
        let picture = place.path(&format!("{width}-{dark}.png"));
        browser.picture(&page, (width, 900), dark, &picture);
        assert!(size(&picture).0 >= width);
        // A page of one colour takes next to nothing.
        assert!(fs::metadata(&picture).unwrap().len() > 20_000);
    }
    let bytes = |dark| fs::read(place.path(&format!("1280-{dark}.png"))).unwrap();
    assert_ne!(bytes(false), bytes(true));
}
