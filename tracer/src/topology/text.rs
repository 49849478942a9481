//! Names as they may be shown. Pure.

/// A name that came from the host, safe to print. A guest's owner may choose it: what would move the cursor,
/// change colours or turn the direction of writing becomes an escape.
pub fn printable(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_on_a_terminal_is_escaped() {
        for (name, shown) in [
            ("lab", "lab"),
            ("bücher 世界", "bücher 世界"),
            ("a\u{1b}[31m\n", "a\\u{1b}[31m\\n"),
            ("x\u{202e}y", "x\\u{202e}y"),
        ] {
            assert_eq!(printable(name), shown);
        }
    }
}
