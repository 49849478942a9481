//! The report as one HTML file that needs nothing but itself: no script, no font, no picture from anywhere else.
//!
//! Markup is made by `maud`, which escapes all text; names from the host go through `numbers::name` first, as in every
//! other output. Charts are inline SVG, each a function of data alone. Figures are the report's own: every cell of a
//! table carries its value as it is in the JSON beside the words that stand for it.
//!
//! `page` (skeleton, sections, warnings), `style` (style sheet, the layers' colours and patterns), `table` and `stacked`
//! know nothing of reports, so that other pages can be made of them.

pub(crate) mod page;
pub(crate) mod stacked;
pub(crate) mod style;
pub(crate) mod table;
