//! The skeleton of a page: head, landmarks, sections with anchors, warnings.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::style;
use crate::{export::numbers::name, report::WarningRow};

/// What a page may load: nothing, but for its own style sheet. The empty icon keeps a browser from asking for one.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                      form-action 'none'";

/// A whole page; `contents` are the sections that its navigation names, as (anchor, words).
pub(crate) fn page(title: &str, head: &Markup, contents: &[(String, String)], main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "vmhop " (env!("CARGO_PKG_VERSION")) };
                title { (name(title)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(style::SHEET)) }
            }
            body {
                a.skip href="#main" { "Skip to the report" }
                (style::patterns())
                header { (head) }
                @if !contents.is_empty() { (navigation(contents)) }
                main #main tabindex="-1" { (main) }
                footer { "Made by vmhop " (env!("CARGO_PKG_VERSION")) ". This file loads nothing from anywhere." }
            }
        }
    }
}

fn navigation(contents: &[(String, String)]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul { @for (anchor, words) in contents { li { a href={ "#" (anchor) } { (name(words)) } } } }
        }
    }
}

/// A section under a heading of the second level, with an anchor.
pub(crate) fn section(anchor: &str, heading: &str, body: &Markup) -> Markup {
    let label = format!("{anchor}-heading");
    html! {
        section id=(anchor) aria-labelledby=(label) {
            h2 id=(label) { (name(heading)) " " a.anchor href={ "#" (anchor) } aria-label="Link to this section" { "#" } }
            (body)
        }
    }
}

/// A chart or drawing under a heading of the third level, with a sentence on how to read it.
pub(crate) fn figure(heading: &str, how_to_read: &str, body: &Markup) -> Markup {
    html! {
        div.figure {
            h3 { (name(heading)) }
            @if !how_to_read.is_empty() { p.how { (how_to_read) } }
            (body)
        }
    }
}

/// Warnings, the grave ones first and apart: by words, a sign and a border as much as by colour. Nothing where there is
/// none.
pub(crate) fn warnings(rows: &[WarningRow]) -> Markup {
    let of = |grave| rows.iter().filter(move |row| row.grave == grave);
    html! {
        @if of(true).next().is_some() {
            section.warning.grave aria-label="Warnings that could change the conclusions" {
                h2 { span.sign aria-hidden="true" { "!" } " Beware" }
                ul { @for row in of(true) { li { (name(&row.text)) } } }
            }
        }
        @if of(false).next().is_some() {
            section.warning.note aria-label="Notes" {
                h2 { span.sign aria-hidden="true" { "i" } " Notes" }
                ul { @for row in of(false) { li { (name(&row.text)) } } }
            }
        }
    }
}

/// Text as part of an anchor: letters and digits, the rest as dashes.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grave_warnings_come_first_and_are_escaped() {
        let row = |grave, text: &str| WarningRow { grave, text: text.to_owned() };
        let shown = warnings(&[row(false, "<b>"), row(true, "\u{202e}worse")]).into_string();
        assert!(shown.find("\\u{202e}worse").unwrap() < shown.find("&lt;b&gt;").unwrap());
        assert!(warnings(&[]).into_string().is_empty());
    }

    #[test]
    fn anchors_are_plain_words() {
        assert_eq!(slug("echo, asked by <guest>"), "echo-asked-by-guest");
        assert_eq!(slug("…"), "");
    }

    #[test]
    fn a_page_says_what_it_may_load_before_anything_else_could_be() {
        let page = page("<x>", &html! {}, &[], &html! {}).into_string();
        assert!(page.find("default-src 'none'").unwrap() < page.find("<title>").unwrap());
        assert!(page.contains("<title>&lt;x&gt;</title>"));
    }
}
