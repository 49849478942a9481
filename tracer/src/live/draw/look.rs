//! Colours and letters. Layers have letters of their own, so that nothing is told by colour alone; colours are those that
//! every terminal has, and where one is behind a letter, both are set, so that it does not matter whether the terminal is
//! dark or light.

use ratatui::{
    style::{Color, Modifier, Style},
    text::Span,
};

use crate::latency::{LAYERS, Layer};

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// There are.
    pub colour: bool,
}

impl Look {
    /// What stands out.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there to be found.
    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What must be seen.
    pub(super) fn alarm(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// What is chosen.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    /// A layer's letters.
    pub(super) fn layer(self, layer: Layer) -> Style {
        if !self.colour {
            return Style::new();
        }
        let (back, letters) = match layer {
            Layer::Guest => (Color::Green, Color::Black),
            Layer::GuestVmm => (Color::LightGreen, Color::Black),
            Layer::Vmm => (Color::Yellow, Color::Black),
            Layer::Vmnet => (Color::Cyan, Color::Black),
            Layer::Host => (Color::LightMagenta, Color::Black),
            Layer::Nic => (Color::LightBlue, Color::Black),
            Layer::WirePeer => (Color::Gray, Color::Black),
            Layer::Unattributed => (Color::Red, Color::White),
        };
        Style::new().fg(letters).bg(back)
    }

    /// A layer's letter.
    pub(super) fn mark(self, layer: Layer) -> Span<'static> {
        Span::styled(letter(layer), self.layer(layer))
    }

    /// A bar of so many characters, each layer's part in its letters.
    pub(super) fn bar(self, times: &[u64; LAYERS], width: u16) -> Vec<Span<'static>> {
        let parts = apportion(times, width);
        let part = |(layer, cells): (Layer, u16)| {
            Span::styled(letter(layer).repeat(usize::from(cells)), self.layer(layer))
        };
        Layer::ALL.into_iter().zip(parts).filter(|(_, cells)| *cells > 0).map(part).collect()
    }
}

/// The letter that stands for a layer.
pub(super) fn letter(layer: Layer) -> &'static str {
    match layer {
        Layer::Guest => "G",
        Layer::GuestVmm => "X",
        Layer::Vmm => "V",
        Layer::Vmnet => "N",
        Layer::Host => "H",
        Layer::Nic => "I",
        Layer::WirePeer => "W",
        Layer::Unattributed => "U",
    }
}

/// The layer of this name.
pub(super) fn layer_named(name: &str) -> Option<Layer> {
    Layer::ALL.into_iter().find(|layer| layer.name() == name)
}

/// Shares out so many cells: in whole ones by the largest remainder, so that they are always all.
pub(super) fn apportion(times: &[u64; LAYERS], cells: u16) -> [u16; LAYERS] {
    let all: u128 = times.iter().map(|time| u128::from(*time)).sum();
    let mut parts = [0; LAYERS];
    if all == 0 {
        return parts;
    }
    let mut rests: Vec<(u128, usize)> = Vec::with_capacity(LAYERS);
    for (at, time) in times.iter().enumerate() {
        let share = u128::from(*time) * u128::from(cells);
        parts[at] = (share / all) as u16;
        rests.push((share % all, at));
    }
    rests.sort_by_key(|(rest, at)| (std::cmp::Reverse(*rest), *at));
    let given: u16 = parts.iter().sum();
    for (_, at) in rests.into_iter().take(usize::from(cells - given)) {
        parts[at] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_bar_is_always_full() {
        for (times, cells, parts) in [
            ([1, 1, 1, 0, 0, 0, 0, 0], 10, [4, 3, 3, 0, 0, 0, 0, 0]),
            ([0, 0, 999, 0, 0, 0, 1, 0], 10, [0, 0, 10, 0, 0, 0, 0, 0]),
            ([u64::MAX; LAYERS], 80, [10; LAYERS]),
            ([0; LAYERS], 80, [0; LAYERS]),
            ([7; LAYERS], 0, [0; LAYERS]),
        ] {
            assert_eq!(apportion(&times, cells), parts);
        }
    }

    #[test]
    fn each_layer_has_a_letter_and_a_colour_of_its_own() {
        let letters: BTreeSet<_> = Layer::ALL.into_iter().map(letter).collect();
        assert_eq!(letters.len(), LAYERS);
        let look = Look { colour: true };
        let backs: BTreeSet<_> =
            Layer::ALL.into_iter().map(|layer| look.layer(layer).bg.unwrap().to_string()).collect();
        assert_eq!(backs.len(), LAYERS);
        assert_eq!(Look { colour: false }.layer(Layer::Nic), Style::new());
    }
}
