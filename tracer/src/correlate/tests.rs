//! Rules of correlation.
