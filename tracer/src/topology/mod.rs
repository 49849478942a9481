//! Which VM owns which tap, and the path from there to a NIC.
