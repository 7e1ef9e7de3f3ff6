//! The processor of Ringside.
