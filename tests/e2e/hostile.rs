//! Sources that mean harm.
