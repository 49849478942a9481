//! How pages look: the style sheet, and a colour and a pattern for each layer.
//!
//! The colours are Paul Tol's light scheme, which people tell apart whatever colours their eyes see, and which black
//! words can be read on; the patterns tell the layers apart without any colour. Lines are drawn in darker shades where
//! the page is light.

use maud::{Markup, html};

use crate::latency::Layer;

/// The style sheet.
pub(super) const SHEET: &str = include_str!("style.css");

/// The layer's name in classes and anchors; a layer of another version looks like what is unattributed.
pub(crate) fn layer_class(layer: &str) -> &'static str {
    let known = Layer::ALL.into_iter().find(|known| known.name() == layer);
    match known.unwrap_or(Layer::Unattributed) {
        Layer::Guest => "guest",
        Layer::GuestVmm => "guest-vmm",
        Layer::Vmm => "vmm",
        Layer::Vmnet => "vmnet",
        Layer::Host => "host",
        Layer::Nic => "nic",
        Layer::WirePeer => "wire",
        Layer::Unattributed => "unattributed",
    }
}

/// The lines of the layer's pattern, in a square of 8 by 8.
fn lines(layer: Layer) -> &'static str {
    match layer {
        Layer::Guest => "",
        Layer::GuestVmm => "M4 0V8",
        Layer::Vmm => "M-2 2L2 -2M0 8L8 0M6 10L10 6",
        Layer::Vmnet => "M1.2 2h1.6M5.2 6h1.6",
        Layer::Host => "M4 2V6M2 4H6",
        Layer::Nic => "M0 4H8",
        Layer::WirePeer => "M-2 6L2 10M0 0L8 8M6 -2L10 2",
        Layer::Unattributed => "M0 0L8 8M0 8L8 0",
    }
}

/// The patterns, once a page: `f-NAME` fills with them.
pub(super) fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                @for layer in Layer::ALL {
                    @let class = layer_class(layer.name());
                    pattern id={ "p-" (class) } width="8" height="8" patternUnits="userSpaceOnUse" {
                        rect.{ "b-" (class) } width="8" height="8" {}
                        path.hatch d=(lines(layer)) {}
                    }
                }
            }
        }
    }
}

/// A square in the layer's colour and pattern, beside its name.
pub(crate) fn swatch(layer: &str) -> Markup {
    let class = layer_class(layer);
    html! {
        svg.swatch width="16" height="16" aria-hidden="true" focusable="false" {
            rect class={ "f-" (class) } x="0.5" y="0.5" width="15" height="15" rx="3" {}
        }
    }
}

/// The layer's name behind its swatch.
pub(crate) fn layer_label(layer: &str) -> Markup {
    html! { span.layer { (swatch(layer)) (crate::export::numbers::name(layer)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_has_a_colour_a_pattern_and_a_line_of_its_own() {
        let mut drawn: Vec<&str> = Layer::ALL.iter().map(|layer| lines(*layer)).collect();
        for layer in Layer::ALL {
            let class = layer_class(layer.name());
            for rule in [format!(".f-{class}{{"), format!(".b-{class}{{"), format!(".s-{class}{{")] {
                assert!(SHEET.contains(&rule), "{rule}");
            }
            assert_eq!(SHEET.matches(&format!("--l-{class}:")).count(), 1, "{class}");
        }
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), Layer::ALL.len());
    }

    #[test]
    fn the_sheet_loads_nothing() {
        assert!(!SHEET.contains("//") && !SHEET.contains("@import") && !SHEET.contains("url(\""));
        assert_eq!(SHEET.matches("url(").count(), SHEET.matches("url(#p-").count());
    }
}
