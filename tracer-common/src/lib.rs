//! What the BPF programs and the host program must agree on, in one definition.
#![cfg_attr(not(test), no_std)]
