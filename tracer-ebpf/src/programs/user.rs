//! Kprobes on functions that a user named. A program does not know where it is attached, so each of the user's hops
//! has a program of its own.

use aya_ebpf::{macros::kprobe, programs::ProbeContext};
use tracer_common::hop::Hop;

use crate::hooks::user::passed;

macro_rules! user_hops {
    ($($name:ident: $hop:ident, $number:literal;)*) => { $(
        #[kprobe]
        pub fn $name(ctx: ProbeContext) -> i32 {
            passed(Hop::$hop, $number, &ctx)
        }
    )* };
}

user_hops! {
    user_hop_0: User0, 0;
    user_hop_1: User1, 1;
    user_hop_2: User2, 2;
    user_hop_3: User3, 3;
    user_hop_4: User4, 4;
    user_hop_5: User5, 5;
    user_hop_6: User6, 6;
    user_hop_7: User7, 7;
}
