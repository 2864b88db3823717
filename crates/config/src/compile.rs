//! Objects and node to intent, desired host and one verdict per object.
